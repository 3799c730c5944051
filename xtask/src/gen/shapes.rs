//! The structures of a generated crate, one file per first letter.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Result, ensure};

use super::model::Shape;
use super::names;
use super::tree::Tree;

/// File name → text.
pub fn files(tree: &Tree<'_>) -> Result<BTreeMap<String, String>> {
    let mut letters: BTreeMap<char, Vec<&str>> = BTreeMap::new();
    for name in &tree.shapes {
        let shape = tree.shape(name)?;
        if shape.r#type == "structure" && !shape.document {
            let letter = name.chars().next().unwrap_or('x').to_ascii_lowercase();
            letters.entry(letter).or_default().push(name);
        }
    }
    let mut files = BTreeMap::new();
    for (letter, names) in letters {
        let mut text = String::from("use crate::schema;\n\n");
        for name in &names {
            structure(&mut text, tree, name, tree.shape(name)?)?;
        }
        let list: Vec<String> = names.iter().map(|name| names::camel(name)).collect();
        writeln!(text, "wire::values!({});", list.join(", "))?;
        files.insert(format!("{letter}.rs"), text);
    }
    Ok(files)
}

fn structure(text: &mut String, tree: &Tree<'_>, name: &str, shape: &Shape) -> Result<()> {
    let (mut fields, mut reads, mut writes) = (String::new(), String::new(), String::new());
    let mut taken = Vec::new();
    for (index, (member, reference)) in shape.members.0.iter().enumerate() {
        let field = names::field(member);
        ensure!(!taken.contains(&field), "{name} has two members {field}");
        let mut kind = tree.rust_type(reference)?;
        if tree.is_recursive(name, &reference.shape) {
            kind = format!("Box<{kind}>");
        }
        if !shape.required.contains(member) {
            kind = format!("Option<{kind}>");
        }
        writeln!(fields, "    pub {field}: {kind},")?;
        writeln!(reads, "            {index} => from.read(&mut self.{field}),")?;
        writeln!(writes, "        to.write({index}, &self.{field});")?;
        taken.push(field);
    }
    let (rust, constant) = (names::camel(name), names::constant(name));
    let (index, to) = if taken.is_empty() { ("_", "_") } else { ("index", "to") };
    let body = match taken.is_empty() {
        true => String::from("from.skip()"),
        false => format!("match index {{\n{reads}            _ => from.skip(),\n        }}"),
    };
    let braces = if taken.is_empty() { " {}" } else { &format!(" {{\n{fields}}}") };
    writeln!(
        text,
        "#[derive(Debug, Clone, Default, PartialEq)]
pub struct {rust}{braces}

impl wire::Shape for {rust} {{
    fn schema(&self) -> &'static wire::Schema {{
        &schema::{constant}
    }}

    fn read_member(&mut self, {index}: usize, from: &mut wire::Source<'_>) -> Result<(), wire::ReadError> {{
        {body}
    }}

    fn write_members(&self, {to}: &mut wire::Sink<'_>) {{
{writes}    }}
}}
"
    )?;
    Ok(())
}
