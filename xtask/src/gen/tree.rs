//! Which shapes the chosen operations reach, and how.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};

use super::model::{Model, Operation, Reference, Shape};

/// The reachable part of a model.
pub struct Tree<'a> {
    pub model: &'a Model,
    /// The chosen operations, by name.
    pub operations: Vec<(&'a str, &'a Operation)>,
    /// Every reachable shape.
    pub shapes: BTreeSet<&'a str>,
    /// Those that a request can carry: only they need constraints.
    inputs: BTreeSet<&'a str>,
}

impl<'a> Tree<'a> {
    pub fn new(model: &'a Model, chosen: &[String]) -> Result<Tree<'a>> {
        let mut tree =
            Tree { model, operations: Vec::new(), shapes: BTreeSet::new(), inputs: BTreeSet::new() };
        for name in chosen {
            let entry = model.operations.get_key_value(name);
            let (name, operation) = entry.with_context(|| format!("the model has no operation {name}"))?;
            tree.operations.push((name, operation));
        }
        tree.operations.sort_by_key(|(name, _)| *name);
        tree.operations.dedup_by_key(|(name, _)| *name);
        for (_, operation) in tree.operations.clone() {
            if let Some(input) = &operation.input {
                tree.reach(&input.shape, true)?;
            }
            if let Some(output) = &operation.output {
                tree.reach(&output.shape, false)?;
            }
        }
        Ok(tree)
    }

    pub fn shape(&self, name: &str) -> Result<&'a Shape> {
        self.model.shapes.get(name).with_context(|| format!("the model has no shape {name}"))
    }

    pub fn is_input(&self, name: &str) -> bool {
        self.inputs.contains(name)
    }

    fn reach(&mut self, name: &'a str, in_request: bool) -> Result<()> {
        let seen = if in_request { self.inputs.contains(name) } else { self.shapes.contains(name) };
        if seen {
            return Ok(());
        }
        self.shapes.insert(name);
        if in_request {
            self.inputs.insert(name);
        }
        let shape = self.shape(name)?;
        ensure!(!shape.eventstream, "{name} is an event stream, which wire does not carry yet");
        let wide = shape.members.0.iter().skip(128).find(|(member, _)| shape.required.contains(member));
        ensure!(wide.is_none(), "{name} requires a member past the 128th, which wire does not check");
        let parts = [&shape.member, &shape.key, &shape.value];
        let parts = parts.into_iter().flatten().chain(shape.members.0.iter().map(|(_, member)| member));
        for part in parts {
            self.reach(&part.shape, in_request)?;
        }
        Ok(())
    }

    /// The Rust type of a use of a shape, without `Option` and `Box`.
    pub fn rust_type(&self, reference: &Reference) -> Result<String> {
        let shape = self.shape(&reference.shape)?;
        Ok(match shape.r#type.as_str() {
            "boolean" => String::from("bool"),
            "integer" => String::from("i32"),
            "long" => String::from("i64"),
            "float" => String::from("f32"),
            "double" => String::from("f64"),
            "string" | "character" => String::from("String"),
            "blob" => String::from("Vec<u8>"),
            "timestamp" => String::from("wire::Timestamp"),
            "list" => format!("Vec<{}>", self.rust_type(part(&shape.member)?)?),
            "map" => format!("std::collections::BTreeMap<String, {}>", self.rust_type(part(&shape.value)?)?),
            "structure" if shape.document => String::from("wire::Document"),
            "structure" => format!("crate::{}", super::names::camel(&reference.shape)),
            other => bail!("{} has the unknown type {other}", reference.shape),
        })
    }

    /// Whether a member of type `to` inside `from` must be boxed: `to` holds `from` by value.
    pub fn is_recursive(&self, from: &str, to: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![to];
        while let Some(name) = open.pop() {
            if name == from {
                return true;
            }
            if let Some(shape) = self.model.shapes.get(name)
                && shape.r#type == "structure"
                && seen.insert(name)
            {
                open.extend(shape.members.0.iter().map(|(_, member)| member.shape.as_str()));
            }
        }
        false
    }
}

/// A part that every shape of that type has.
pub fn part(reference: &Option<Reference>) -> Result<&Reference> {
    reference.as_ref().context("a list or map without its parts")
}
