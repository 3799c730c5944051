//! Which members a request carries.
//!
//! A service names the members that an operation acts on; the platform refuses a request that
//! carries any other. Paths are the model's names joined by dots, list indices and map keys left
//! out: `overrides.containerOverrides.command`. A path covers everything below it.
//!
//! An empty list, map or structure carries nothing: it asks for what leaving it out asks for.

use base::Timestamp;

use crate::flow::Writer;
use crate::schema::{Kind, Member, Schema};
use crate::shape::Shape;

/// A set of paths into one structure, compiled for walking. Make it once, not per request.
#[derive(Debug, Clone)]
pub struct Paths {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
enum Node {
    /// The member and everything below it.
    All,
    /// Of a structure: for each member its node, or [`NONE`].
    Some(Vec<u32>),
}

/// Stands for members outside the set.
const NONE: u32 = u32::MAX;

/// A path that the model does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shape} has no member {path}")]
pub struct UnknownPath {
    pub shape: &'static str,
    pub path: String,
}

impl Paths {
    /// Every member.
    pub fn all() -> Paths {
        Paths { nodes: vec![Node::All] }
    }

    /// The members of `schema`, a structure, that `paths` name. Errors on a path that the model
    /// does not have: a slip of the pen would otherwise refuse what is built.
    pub fn new(schema: &'static Schema, paths: &[&str]) -> Result<Paths, UnknownPath> {
        let mut set = Paths { nodes: vec![Node::Some(vec![NONE; schema.members().len()])] };
        for path in paths {
            set.insert(schema, path)?;
        }
        Ok(set)
    }

    fn insert(&mut self, schema: &'static Schema, path: &str) -> Result<(), UnknownPath> {
        let mut schema = structure(schema);
        let mut at = 0;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let index = schema.members().iter().position(|member| member.name == part);
            let index = index.ok_or_else(|| UnknownPath { shape: schema.name, path: path.to_owned() })?;
            schema = structure(schema.members()[index].schema);
            let is_last = parts.peek().is_none();
            at = match self.step(at, index) {
                // A shorter path covers this one already.
                None => return Ok(()),
                Some(NONE) => self.add(at, index, schema),
                Some(next) => next,
            };
            if is_last {
                self.nodes[at as usize] = Node::All;
            }
        }
        Ok(())
    }

    /// The node of a member; `None` below a node that covers everything.
    fn step(&self, at: u32, index: usize) -> Option<u32> {
        match &self.nodes[at as usize] {
            Node::All => None,
            Node::Some(members) => Some(members[index]),
        }
    }

    fn add(&mut self, at: u32, index: usize, schema: &'static Schema) -> u32 {
        let next = self.nodes.len() as u32;
        self.nodes.push(Node::Some(vec![NONE; schema.members().len()]));
        if let Node::Some(members) = &mut self.nodes[at as usize] {
            members[index] = next;
        }
        next
    }
}

/// The structure inside lists and maps.
fn structure(schema: &'static Schema) -> &'static Schema {
    match schema.kind {
        Kind::List(item) | Kind::Map(_, item) => structure(item.schema),
        _ => schema,
    }
}

/// The path of the first member that `shape` carries and `allowed` has nothing of: `tags`, not
/// `tags.key`. Allocates only where there is one, and for the first few levels of nesting.
pub fn outside(shape: &dyn Shape, allowed: &Paths) -> Option<String> {
    if matches!(allowed.nodes[0], Node::All) {
        return None;
    }
    let mut walk = Walk { allowed: Some(allowed), frames: Vec::with_capacity(8), found: Vec::new(), at: 0 };
    shape.write(&mut walk);
    walk.found.into_iter().next()
}

/// The path of every member that `shape` carries down to its scalars, each once, in order.
pub fn members(shape: &dyn Shape) -> Vec<String> {
    let mut walk = Walk { allowed: None, frames: Vec::with_capacity(8), found: Vec::new(), at: NONE };
    shape.write(&mut walk);
    walk.found
}

struct Walk<'a> {
    /// `None` collects every path.
    allowed: Option<&'a Paths>,
    /// One per open structure: the node of the structure, and its member being written.
    frames: Vec<(u32, Option<&'static Member>)>,
    found: Vec<String>,
    /// The node of the value about to be written.
    at: u32,
}

impl Walk<'_> {
    /// A value that carries something.
    fn value(&mut self) {
        let is_outside = match (self.allowed, self.at) {
            (None, _) | (_, NONE) => true,
            (Some(allowed), at) => matches!(allowed.nodes[at as usize], Node::Some(_)),
        };
        if !is_outside || (self.allowed.is_some() && !self.found.is_empty()) {
            return;
        }
        // The first member on the way that is outside stands for all that is below it.
        let is_shown = |(node, _): &&(u32, _)| self.allowed.is_none() || *node != NONE;
        let shown = self.frames.iter().take_while(is_shown);
        let names: Vec<&str> = shown.filter_map(|(_, member)| Some(member.as_ref()?.name)).collect();
        let path = names.join(".");
        if !self.found.contains(&path) {
            self.found.push(path);
        }
    }
}

impl Writer for Walk<'_> {
    fn structure(&mut self, _: &'static Schema) {
        self.frames.push((self.at, None));
    }

    fn member(&mut self, index: usize, member: &'static Member) {
        let Some((node, current)) = self.frames.last_mut() else { return };
        *current = Some(member);
        self.at = match (self.allowed, *node) {
            (Some(allowed), node) if node != NONE => allowed.step(node, index).unwrap_or(node),
            _ => NONE,
        };
    }

    fn end_structure(&mut self) {
        // The next item of a list of structures stands where this one stood.
        if let Some((node, _)) = self.frames.pop() {
            self.at = node;
        }
    }

    fn list(&mut self, _: &'static Schema, _: usize) {}
    fn item(&mut self) {}
    fn end_list(&mut self) {}
    fn map(&mut self, _: &'static Schema, _: usize) {}
    fn entry(&mut self, _: &str) {}
    fn end_map(&mut self) {}

    fn boolean(&mut self, _: &'static Schema, _: bool) {
        self.value();
    }

    fn integer(&mut self, _: &'static Schema, _: i32) {
        self.value();
    }

    fn long(&mut self, _: &'static Schema, _: i64) {
        self.value();
    }

    fn float(&mut self, _: &'static Schema, _: f32) {
        self.value();
    }

    fn double(&mut self, _: &'static Schema, _: f64) {
        self.value();
    }

    fn string(&mut self, _: &'static Schema, _: &str) {
        self.value();
    }

    fn blob(&mut self, _: &'static Schema, _: &[u8]) {
        self.value();
    }

    fn timestamp(&mut self, _: &'static Schema, _: Timestamp) {
        self.value();
    }
}
