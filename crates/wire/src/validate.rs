//! The models' constraints, checked on the way from a protocol's reader into a shape.
//!
//! Owns AWS's sentences about broken constraints. A value that breaks one is still read, so that
//! every violation of a request is found; [`crate::decode`] then refuses the request.

use std::fmt;

use base::Timestamp;

use crate::document::Document;
use crate::flow::{MAX_STRUCTURES, ReadError, Reader};
use crate::schema::{Kind, Limits, Member, Schema};

/// One broken constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The value as text; `None` where a required member is missing.
    pub value: Option<String>,
    /// The member's path with list indices: `tags.1.member.key`.
    pub path: String,
    /// `Member must …`
    pub constraint: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "Value '{value}' at '{}'", self.path)?,
            None => write!(f, "Value null at '{}'", self.path)?,
        }
        write!(f, " failed to satisfy constraint: {}", self.constraint)
    }
}

/// AWS: the sentence of its service framework for one or more violations.
pub fn sentence(violations: &[Violation]) -> String {
    let plural = if violations.len() == 1 { "" } else { "s" };
    let list: Vec<String> = violations.iter().map(Violation::to_string).collect();
    format!("{} validation error{plural} detected: {}", violations.len(), list.join("; "))
}

/// More of them help nobody.
const MOST_VIOLATIONS: usize = 50;
/// Characters of a value, and of a map's key in a path, that a violation repeats.
const SHOWN: usize = 1024;
const SHOWN_KEY: usize = 128;

/// A reader that notes what breaks the schema's constraints.
pub struct Validating<'a> {
    inner: &'a mut dyn Reader,
    frames: Vec<Frame>,
    violations: Vec<Violation>,
    structures: usize,
}

enum Frame {
    Structure {
        members: &'static [Member],
        is_union: bool,
        current: usize,
        /// One bit per member. The generator refuses wider structures.
        seen: u128,
    },
    List {
        schema: &'static Schema,
        count: usize,
        items: Scalars,
    },
    Map {
        schema: &'static Schema,
        count: usize,
        key: String,
        values: Scalars,
    },
}

/// The constrained scalars of a list or map: a violation shows all of them.
#[derive(Default)]
struct Scalars {
    texts: Vec<String>,
    is_broken: bool,
}

impl<'a> Validating<'a> {
    pub fn new(inner: &'a mut dyn Reader) -> Validating<'a> {
        Validating { inner, frames: Vec::with_capacity(8), violations: Vec::new(), structures: 0 }
    }

    pub fn finish(self) -> Vec<Violation> {
        self.violations
    }

    fn note(&mut self, value: Option<String>, path: String, constraint: String) {
        if self.violations.len() < MOST_VIOLATIONS {
            let value = value.map(|value| shorten(&value, SHOWN));
            self.violations.push(Violation { value, path, constraint });
        }
    }

    /// The path of the value being read; `extra` names a member below it.
    fn path(&self, extra: Option<&str>) -> String {
        let mut path = String::new();
        let mut add = |part: &str| {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(part);
        };
        for frame in &self.frames {
            match frame {
                Frame::Structure { members, current, .. } => {
                    if let Some(member) = members.get(*current) {
                        add(&lower_first(member.name));
                    }
                }
                Frame::List { count, .. } => {
                    add(&count.to_string());
                    add("member");
                }
                Frame::Map { key, .. } => {
                    add(&shorten(key, SHOWN_KEY));
                    add("member");
                }
            }
        }
        if let Some(extra) = extra {
            add(&lower_first(extra));
        }
        path
    }

    /// Checks a scalar; `measure` is its length or value.
    fn check(&mut self, schema: &'static Schema, measure: f64, text: &dyn Fn() -> String) {
        let limits = &schema.limits;
        if limits.is_none() {
            return;
        }
        let broken = broken(schema, measure, text);
        match self.frames.last_mut() {
            Some(Frame::List { items, .. } | Frame::Map { values: items, .. }) => {
                items.texts.push(text());
                items.is_broken |= !broken.is_empty();
            }
            _ if broken.is_empty() => {}
            _ => {
                let path = self.path(None);
                for constraint in broken {
                    self.note(Some(text()), path.clone(), constraint);
                }
            }
        }
    }

    /// Closes a list or map: its own length, and what its scalars broke.
    fn close(&mut self, schema: &'static Schema, count: usize, scalars: &Scalars) {
        let shown = || match scalars.texts.is_empty() && count > 0 {
            true => format!("[{count} members]"),
            false => format!("[{}]", scalars.texts.join(", ")),
        };
        self.check(schema, count as f64, &shown);
        if scalars.is_broken
            && let Kind::List(item) | Kind::Map(_, item) = schema.kind
        {
            let what = if matches!(schema.kind, Kind::List(_)) { "Member" } else { "Map value" };
            let constraint = format!("{what} must satisfy constraint: [{}]", all(item.schema).join(", "));
            let path = self.path(None);
            self.note(Some(shown()), path, constraint);
        }
    }

    fn close_structure(
        &mut self,
        members: &'static [Member],
        seen: u128,
        is_union: bool,
    ) -> Result<(), ReadError> {
        for (index, member) in members.iter().enumerate().take(128) {
            if member.is_required && seen & (1 << index) == 0 {
                let path = self.path(Some(member.name));
                self.note(None, path, String::from("Member must not be null"));
            }
        }
        if is_union && seen.count_ones() != 1 {
            return Err(ReadError::wrong_type("a union must have exactly one member set"));
        }
        Ok(())
    }
}

/// The limits that a scalar breaks, each as AWS words it, the pattern first as AWS has it.
fn broken(schema: &Schema, measure: f64, text: &dyn Fn() -> String) -> Vec<String> {
    let Limits { min, max, pattern, values } = schema.limits;
    let mut broken = Vec::new();
    // A value that is too long is not worth a look at each of its characters.
    if let Some(pattern) = pattern
        && measure <= max as f64
        && !pattern.matches(&text())
    {
        broken.push(format!("Member must satisfy regular expression pattern: {}", pattern.text));
    }
    if measure < min as f64 {
        broken.push(at_least(schema));
    }
    if measure > max as f64 {
        broken.push(at_most(schema));
    }
    if !values.is_empty() && !values.contains(&text().as_str()) {
        broken.push(format!("Member must satisfy enum value set: [{}]", values.join(", ")));
    }
    broken
}

/// Every limit of a list's items, broken or not.
fn all(schema: &Schema) -> Vec<String> {
    let Limits { min, max, pattern, values } = schema.limits;
    let mut limits = Vec::new();
    if max != i64::MAX {
        limits.push(at_most(schema));
    }
    if min != i64::MIN {
        limits.push(at_least(schema));
    }
    limits.extend(
        pattern.map(|pattern| format!("Member must satisfy regular expression pattern: {}", pattern.text)),
    );
    if !values.is_empty() {
        limits.push(format!("Member must satisfy enum value set: [{}]", values.join(", ")));
    }
    limits
}

fn at_least(schema: &Schema) -> String {
    format!("Member must have {} greater than or equal to {}", measured(schema), schema.limits.min)
}

fn at_most(schema: &Schema) -> String {
    format!("Member must have {} less than or equal to {}", measured(schema), schema.limits.max)
}

fn measured(schema: &Schema) -> &'static str {
    match schema.kind {
        Kind::Integer | Kind::Long | Kind::Float | Kind::Double => "value",
        _ => "length",
    }
}

/// AWS: paths spell members with a small first letter, whatever the model says.
fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

fn shorten(value: &str, most: usize) -> String {
    match value.char_indices().nth(most) {
        Some((at, _)) => format!("{}...", &value[..at]),
        None => value.to_owned(),
    }
}

impl Reader for Validating<'_> {
    fn structure(&mut self, schema: &'static Schema) -> Result<(), ReadError> {
        self.inner.structure(schema)?;
        self.structures += 1;
        if self.structures > MAX_STRUCTURES {
            return Err(ReadError::TooMany);
        }
        let is_union = matches!(schema.kind, Kind::Union(_));
        // Until the first member, the structure's own path has nothing of it.
        let current = usize::MAX;
        self.frames.push(Frame::Structure { members: schema.members(), is_union, current, seen: 0 });
        Ok(())
    }

    fn member(&mut self) -> Result<Option<usize>, ReadError> {
        let next = self.inner.member()?;
        match (next, self.frames.last_mut()) {
            (Some(index), Some(Frame::Structure { current, seen, .. })) => {
                *current = index;
                *seen |= 1u128.checked_shl(index as u32).unwrap_or(0);
            }
            _ => {
                if let Some(Frame::Structure { members, is_union, seen, .. }) = self.frames.pop() {
                    self.close_structure(members, seen, is_union)?;
                }
            }
        }
        Ok(next)
    }

    fn list(&mut self, schema: &'static Schema) -> Result<(), ReadError> {
        self.inner.list(schema)?;
        self.frames.push(Frame::List { schema, count: 0, items: Scalars::default() });
        Ok(())
    }

    fn item(&mut self) -> Result<bool, ReadError> {
        let has_next = self.inner.item()?;
        match self.frames.last_mut() {
            Some(Frame::List { count, .. }) if has_next => *count += 1,
            _ => {
                if let Some(Frame::List { schema, count, items }) = self.frames.pop() {
                    self.close(schema, count, &items);
                }
            }
        }
        Ok(has_next)
    }

    fn map(&mut self, schema: &'static Schema) -> Result<(), ReadError> {
        self.inner.map(schema)?;
        let (key, values) = (String::new(), Scalars::default());
        self.frames.push(Frame::Map { schema, count: 0, key, values });
        Ok(())
    }

    fn entry(&mut self) -> Result<Option<String>, ReadError> {
        let next = self.inner.entry()?;
        match (&next, self.frames.last_mut()) {
            (Some(name), Some(Frame::Map { schema, count, key, .. })) => {
                *count += 1;
                key.clone_from(name);
                let Kind::Map(names, _) = schema.kind else { return Ok(next) };
                let text = || name.clone();
                if !broken(names.schema, name.chars().count() as f64, &text).is_empty() {
                    let limits = all(names.schema).join(", ");
                    let path = self.path(None);
                    self.note(
                        Some(name.clone()),
                        path,
                        format!("Map keys must satisfy constraint: [{limits}]"),
                    );
                }
            }
            _ => {
                if let Some(Frame::Map { schema, count, values, .. }) = self.frames.pop() {
                    self.close(schema, count, &values);
                }
            }
        }
        Ok(next)
    }

    fn boolean(&mut self, schema: &'static Schema) -> Result<bool, ReadError> {
        self.inner.boolean(schema)
    }

    fn integer(&mut self, schema: &'static Schema) -> Result<i32, ReadError> {
        let value = self.inner.integer(schema)?;
        self.check(schema, f64::from(value), &|| value.to_string());
        Ok(value)
    }

    fn long(&mut self, schema: &'static Schema) -> Result<i64, ReadError> {
        let value = self.inner.long(schema)?;
        self.check(schema, value as f64, &|| value.to_string());
        Ok(value)
    }

    fn float(&mut self, schema: &'static Schema) -> Result<f32, ReadError> {
        let value = self.inner.float(schema)?;
        self.check(schema, f64::from(value), &|| value.to_string());
        Ok(value)
    }

    fn double(&mut self, schema: &'static Schema) -> Result<f64, ReadError> {
        let value = self.inner.double(schema)?;
        self.check(schema, value, &|| value.to_string());
        Ok(value)
    }

    fn string(&mut self, schema: &'static Schema) -> Result<String, ReadError> {
        let value = self.inner.string(schema)?;
        if !schema.limits.is_none() {
            self.check(schema, value.chars().count() as f64, &|| value.clone());
        }
        Ok(value)
    }

    fn blob(&mut self, schema: &'static Schema) -> Result<Vec<u8>, ReadError> {
        let value = self.inner.blob(schema)?;
        self.check(schema, value.len() as f64, &|| format!("{} bytes", value.len()));
        Ok(value)
    }

    fn timestamp(&mut self, schema: &'static Schema) -> Result<Timestamp, ReadError> {
        self.inner.timestamp(schema)
    }

    fn document(&mut self, schema: &'static Schema) -> Result<Document, ReadError> {
        self.inner.document(schema)
    }

    fn skip(&mut self) -> Result<(), ReadError> {
        self.inner.skip()
    }
}
