//! `schema.rs` of a generated crate: one static per shape.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Result, bail};

use super::model::{Namespace, Reference, Shape};
use super::names;
use super::tree::{Tree, part};

pub struct Schemas<'a> {
    tree: &'a Tree<'a>,
    is_ec2: bool,
    /// Patterns in use, with the names of their statics.
    patterns: BTreeMap<&'a str, String>,
}

impl<'a> Schemas<'a> {
    pub fn new(tree: &'a Tree<'a>) -> Schemas<'a> {
        Schemas { tree, is_ec2: tree.model.metadata.protocol == "ec2", patterns: BTreeMap::new() }
    }

    /// The text of the file.
    pub fn file(mut self) -> Result<String> {
        let mut statics = String::new();
        for name in &self.tree.shapes {
            let shape = self.tree.shape(name)?;
            if let Some(kind) = self.kind(name, shape)? {
                let limits = self.limits(name, shape)?;
                let constant = names::constant(name);
                writeln!(
                    statics,
                    "pub static {constant}: Schema = Schema::new({name:?}, {kind}){limits};\n"
                )?;
            }
        }
        let mut text =
            String::from("use wire::schema::plain;\nuse wire::{Kind, Member, Pattern, Schema};\n\n");
        if self.patterns.is_empty() {
            text = text.replace(" Pattern,", "");
        }
        if !statics.contains("plain::") {
            text = text.replace("use wire::schema::plain;\n", "");
        }
        text.push_str(&statics);
        for (pattern, constant) in &self.patterns {
            writeln!(text, "static {constant}: Pattern = Pattern::new({pattern:?});\n")?;
        }
        Ok(text)
    }

    /// The `Kind` of a shape that needs a static of its own; `None` where the plain one serves.
    fn kind(&self, name: &str, shape: &'a Shape) -> Result<Option<String>> {
        let scalar = match shape.r#type.as_str() {
            "structure" if shape.document => return Ok(None),
            "structure" => return self.structure(shape).map(Some),
            "list" => {
                let item = self.member("member", part(&shape.member)?, false)?;
                return Ok(Some(format!("Kind::List(&{item})")));
            }
            "map" => {
                let key = self.member("key", part(&shape.key)?, false)?;
                let value = self.member("value", part(&shape.value)?, false)?;
                return Ok(Some(format!("Kind::Map(&{key}, &{value})")));
            }
            "boolean" => "Boolean",
            "integer" => "Integer",
            "long" => "Long",
            "float" => "Float",
            "double" => "Double",
            "string" | "character" => "String",
            "blob" => "Blob",
            _ => return Ok(None),
        };
        Ok(self.has_limits(name, shape).then(|| format!("Kind::{scalar}")))
    }

    fn structure(&self, shape: &Shape) -> Result<String> {
        let mut members = String::new();
        for (name, reference) in &shape.members.0 {
            let is_payload = shape.payload.as_deref() == Some(name);
            let mut member = self.member(name, reference, is_payload)?;
            if shape.required.contains(name) {
                member.push_str(".required()");
            }
            writeln!(members, "    {member},")?;
        }
        let kind = if shape.union { "Union" } else { "Structure" };
        Ok(format!("Kind::{kind}(&[\n{members}])"))
    }

    fn member(&self, name: &str, reference: &Reference, is_payload: bool) -> Result<String> {
        let target = self.tree.shape(&reference.shape)?;
        let mut text = format!("Member::new({name:?}, &{})", self.schema(reference, target)?);
        let wire = reference.location_name.as_ref().or(target.location_name.as_ref());
        if let Some(wire) = wire.filter(|wire| *wire != name) {
            write!(text, ".wire({wire:?})")?;
        }
        let wire = wire.map_or(name, String::as_str);
        let query = reference.query_name.clone();
        let query = query.or_else(|| self.is_ec2.then(|| names::camel(wire)));
        if let Some(query) = query.filter(|query| query != wire) {
            write!(text, ".query({query:?})")?;
        }
        if reference.flattened || target.flattened {
            text.push_str(".flattened()");
        }
        if reference.xml_attribute {
            text.push_str(".attribute()");
        }
        match &reference.xml_namespace {
            Some(Namespace::Bare(uri)) => write!(text, ".namespace(\"\", {uri:?})")?,
            Some(Namespace::Full { uri, prefix }) => {
                write!(text, ".namespace({:?}, {uri:?})", prefix.as_deref().unwrap_or(""))?;
            }
            None => {}
        }
        if let Some(location) = location(reference, is_payload)? {
            write!(text, ".at(wire::Location::{location})")?;
        }
        Ok(text)
    }

    /// The path of the static that describes a use of a shape.
    fn schema(&self, reference: &Reference, target: &Shape) -> Result<String> {
        let format = reference.timestamp_format.as_deref().or(target.timestamp_format.as_deref());
        let plain = match target.r#type.as_str() {
            "timestamp" => match format {
                None => "TIMESTAMP",
                Some("iso8601") => "DATE_TIME",
                Some("rfc822") => "HTTP_DATE",
                Some("unixTimestamp") => "EPOCH_SECONDS",
                Some(other) => bail!("{} has the unknown timestamp format {other}", reference.shape),
            },
            "structure" if target.document => "DOCUMENT",
            "structure" | "list" | "map" => return Ok(names::constant(&reference.shape)),
            _ if self.has_limits(&reference.shape, target) => return Ok(names::constant(&reference.shape)),
            "boolean" => "BOOLEAN",
            "integer" => "INTEGER",
            "long" => "LONG",
            "float" => "FLOAT",
            "double" => "DOUBLE",
            "string" | "character" => "STRING",
            "blob" => "BLOB",
            other => bail!("{} has the unknown type {other}", reference.shape),
        };
        Ok(format!("plain::{plain}"))
    }

    fn has_limits(&self, name: &str, shape: &Shape) -> bool {
        let has_range = shape.min.is_some() || shape.max.is_some();
        self.tree.is_input(name)
            && (has_range || !shape.r#enum.is_empty() || shape.pattern.as_deref().is_some_and(is_readable))
    }

    fn limits(&mut self, name: &str, shape: &'a Shape) -> Result<String> {
        let mut text = String::new();
        if !self.tree.is_input(name) {
            return Ok(text);
        }
        if let Some(min) = shape.min {
            write!(text, ".min({})", min as i64)?;
        }
        if let Some(max) = shape.max {
            write!(text, ".max({})", max as i64)?;
        }
        if let Some(pattern) = shape.pattern.as_deref().filter(|pattern| is_readable(pattern)) {
            let next = format!("PATTERN_{}", self.patterns.len() + 1);
            write!(text, ".pattern(&{})", self.patterns.entry(pattern).or_insert(next))?;
        }
        if !shape.r#enum.is_empty() {
            write!(text, ".values(&{:?})", shape.r#enum)?;
        }
        Ok(text)
    }
}

fn location(reference: &Reference, is_payload: bool) -> Result<Option<&'static str>> {
    if is_payload {
        return Ok(Some("Payload"));
    }
    Ok(match reference.location.as_deref() {
        None => None,
        Some("uri") => Some("Uri"),
        Some("querystring") => Some("Query"),
        Some("header") => Some("Header"),
        Some("headers") => Some("Headers"),
        Some("statusCode") => Some("StatusCode"),
        Some(other) => bail!("unknown location {other}"),
    })
}

/// Whether wire's engine reads the pattern the way the services' does, and it says anything.
fn is_readable(pattern: &str) -> bool {
    let says_nothing = matches!(pattern, ".*" | "[\\s\\S]*" | "^[\\s\\S]*$" | "(?s).*");
    !says_nothing && wire::Pattern::is_readable(pattern)
}
