//! `Filter.1.Name=vpc-id&…` as a tree that the schema can walk.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::flow::{MAX_DEPTH, ReadError};
use crate::schema::Member;
use crate::tree::{Node, Place};

/// Parameters by the parts of their names.
#[derive(Debug, Default)]
pub struct Params {
    value: Option<String>,
    parts: BTreeMap<String, Params>,
}

impl Params {
    /// Parses one form. A parameter that comes twice keeps its last value.
    pub fn parse(form: &[u8]) -> Result<Params, ReadError> {
        let mut root = Params::default();
        for pair in form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let name = decode_component(&pair[..at])?;
            let value = decode_component(pair.get(at + 1..).unwrap_or_default())?;
            root.insert(&name, value)?;
        }
        Ok(root)
    }

    fn insert(&mut self, name: &str, value: String) -> Result<(), ReadError> {
        let mut node = self;
        for (depth, part) in name.split('.').enumerate() {
            // A list and its items, a map and its entries: two or three parts to a level.
            if depth >= 3 * MAX_DEPTH {
                return Err(ReadError::TooDeep);
            }
            if !node.parts.contains_key(part) {
                node.parts.insert(part.to_owned(), Params::default());
            }
            node = node.parts.get_mut(part).expect("inserted above");
        }
        node.value = Some(value);
        Ok(())
    }

    /// The first parts of all names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.keys().map(String::as_str)
    }

    fn path(&self, path: &str) -> Option<&Params> {
        path.split('.').try_fold(self, |node, part| node.parts.get(part))
    }

    /// Parts named 1, 2, 3, … in that order; AWS passes over gaps.
    fn numbered(&self) -> Result<Vec<&Params>, ReadError> {
        let mut items = Vec::with_capacity(self.parts.len());
        for (name, node) in &self.parts {
            let index: u32 = name
                .parse()
                .map_err(|_| ReadError::wrong_type(format!("{name} is not the number of a list's item")))?;
            items.push((index, node));
        }
        items.sort_by_key(|(index, _)| *index);
        Ok(items.into_iter().map(|(_, node)| node).collect())
    }
}

/// A node of [`Params`], in one of the two protocols.
#[derive(Clone, Copy)]
pub struct Param<'a> {
    pub node: &'a Params,
    /// ec2 flattens every list.
    pub is_ec2: bool,
}

impl<'a> Param<'a> {
    fn with(self, node: &'a Params) -> Param<'a> {
        Param { node, ..self }
    }

    /// The numbered items below this one, under `wrapper` unless the member is flattened.
    fn numbered(self, place: Place<Self>, wrapper: &str) -> Result<Vec<Self>, ReadError> {
        let is_flat = self.is_ec2 || place.is_some_and(|(_, member)| member.is_flattened);
        let node = if is_flat { Some(self.node) } else { self.node.parts.get(wrapper) };
        let items = node.map_or_else(|| Ok(Vec::new()), Params::numbered)?;
        Ok(items.into_iter().map(|node| self.with(node)).collect())
    }
}

impl Node for Param<'_> {
    fn text(&self) -> Option<Cow<'_, str>> {
        self.node.value.as_deref().map(Cow::Borrowed)
    }

    fn find(self, member: &'static Member) -> Option<Self> {
        Some(self.with(self.node.path(member.query)?))
    }

    fn items(self, place: Place<Self>, item: &'static Member) -> Result<Vec<Self>, ReadError> {
        self.numbered(place, item.query)
    }

    fn entries(
        self,
        place: Place<Self>,
        key: &'static Member,
        value: &'static Member,
    ) -> Result<Vec<(Self, Self)>, ReadError> {
        let mut entries = Vec::new();
        for entry in self.numbered(place, "entry")? {
            let found = (entry.node.path(key.query), entry.node.path(value.query));
            let (Some(key), Some(value)) = found else {
                return Err(ReadError::wrong_type("a map's entry without its key or value"));
            };
            entries.push((entry.with(key), entry.with(value)));
        }
        Ok(entries)
    }
}

/// The value of one parameter of a form, the last if there are several; `None` if it is missing or
/// not readable. For the front door, which needs `Action` and `Version` before all else.
pub fn value(form: &[u8], name: &str) -> Option<String> {
    let pairs = form.split(|byte| *byte == b'&');
    let of = |pair: &'_ [u8]| {
        let rest = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        decode_component(rest).ok()
    };
    pairs.rev().find_map(of)
}

/// Undoes form encoding.
fn decode_component(text: &[u8]) -> Result<String, ReadError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = text.get(at..at + 2).and_then(|digits| hex::decode(digits).ok());
                let digits =
                    digits.ok_or_else(|| ReadError::syntax("A percent sign without two hex digits"))?;
                bytes.extend_from_slice(&digits);
                at += 2;
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_err(|_| ReadError::syntax("A parameter that is not UTF-8"))
}
