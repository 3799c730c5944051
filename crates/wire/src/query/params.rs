//! `Filter.1.Name=vpc-id&…` as a tree that the schema can walk.

use std::borrow::Cow;

use crate::flow::ReadError;
use crate::schema::Member;
use crate::tree::{Node, Place};

/// More parameters than any operation can use.
const MOST: usize = 20_000;

/// The parameters of a form, sorted by name: what lies below a name is then one slice, and memory
/// stays a small multiple of the form's size however its names nest.
#[derive(Debug, Default)]
pub struct Params<'a> {
    pairs: Vec<Pair<'a>>,
}

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

impl<'a> Params<'a> {
    /// Parses one form. A parameter that comes twice keeps its last value.
    pub fn parse(form: &'a [u8]) -> Result<Params<'a>, ReadError> {
        let mut pairs: Vec<Pair<'a>> = Vec::new();
        for pair in form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == MOST {
                return Err(ReadError::syntax(format!("More than {MOST} parameters")));
            }
            let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
            pairs.push((decode(&pair[..at])?, decode(pair.get(at + 1..).unwrap_or_default())?));
        }
        // Stable, so that of equal names the last stays last; `dedup_by` then keeps it.
        pairs.sort_by(|left, right| left.0.cmp(&right.0));
        pairs.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                std::mem::swap(later, kept);
            }
            is_same
        });
        Ok(Params { pairs })
    }

    /// The first parts of all names, some more than once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(name, _)| name.split('.').next().unwrap_or_default())
    }

    /// The whole form, to be read as a structure.
    pub fn root(&self, is_ec2: bool) -> Param<'_> {
        Param { value: None, below: &self.pairs, offset: 0, is_ec2 }
    }
}

/// One name of a form: its value, and the parameters below it.
#[derive(Clone, Copy)]
pub struct Param<'a> {
    value: Option<&'a str>,
    below: &'a [Pair<'a>],
    /// How much of the names below leads to this one, its dot included.
    offset: usize,
    /// ec2 flattens every list.
    is_ec2: bool,
}

impl<'a> Param<'a> {
    /// The parameter `name` below this one.
    fn get(self, name: &str) -> Option<Param<'a>> {
        let exact = self.below.binary_search_by(|pair| pair.0[self.offset..].cmp(name)).ok();
        let start = self.below.partition_point(|pair| is_before(&pair.0[self.offset..], name));
        let length = self.below[start..].partition_point(|pair| is_below(&pair.0[self.offset..], name));
        let below = &self.below[start..start + length];
        if exact.is_none() && below.is_empty() {
            return None;
        }
        let value = exact.map(|at| &*self.below[at].1);
        Some(Param { value, below, offset: self.offset + name.len() + 1, is_ec2: self.is_ec2 })
    }

    /// Names 1, 2, 3, … below this one, or below `wrapper` unless the member is flattened. AWS
    /// passes over gaps.
    fn numbered(self, place: Place<Self>, wrapper: &str) -> Result<Vec<Self>, ReadError> {
        let is_flat = self.is_ec2 || place.is_some_and(|(_, member)| member.is_flattened);
        let Some(list) = (if is_flat { Some(self) } else { self.get(wrapper) }) else {
            return Ok(Vec::new());
        };
        let mut items: Vec<(u32, Param<'a>)> = Vec::new();
        let mut last = "";
        for (name, _) in list.below {
            let part = name[list.offset..].split('.').next().unwrap_or_default();
            if part == last {
                continue;
            }
            last = part;
            let number = part.parse().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()));
            let number = number.ok_or_else(|| {
                let shown: String = part.chars().take(100).collect();
                ReadError::wrong_type(format!("{shown} is not the number of a list's item"))
            })?;
            items.extend(list.get(part).map(|item| (number, item)));
        }
        items.sort_by_key(|(number, _)| *number);
        Ok(items.into_iter().map(|(_, item)| item).collect())
    }
}

/// Whether `rest` sorts before everything below `name`.
fn is_before(rest: &str, name: &str) -> bool {
    match rest.strip_prefix(name) {
        Some(tail) => tail < ".",
        None => rest < name,
    }
}

fn is_below(rest: &str, name: &str) -> bool {
    rest.strip_prefix(name).is_some_and(|tail| tail.starts_with('.'))
}

impl Node for Param<'_> {
    fn text(&self) -> Option<Cow<'_, str>> {
        self.value.map(Cow::Borrowed)
    }

    fn find(self, member: &'static Member) -> Option<Self> {
        self.get(member.query)
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
            let (Some(key), Some(value)) = (entry.get(key.query), entry.get(value.query)) else {
                return Err(ReadError::wrong_type("a map's entry without its key or value"));
            };
            entries.push((key, value));
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
        decode(rest).ok().map(Cow::into_owned)
    };
    pairs.rev().find_map(of)
}

/// Undoes form encoding.
fn decode(text: &[u8]) -> Result<Cow<'_, str>, ReadError> {
    let not_utf8 = |_| ReadError::syntax("A parameter that is not UTF-8");
    if memchr::memchr2(b'+', b'%', text).is_none() {
        return std::str::from_utf8(text).map(Cow::Borrowed).map_err(not_utf8);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut pair = [0];
                let digits = text.get(at..at + 2).map(|digits| hex::decode_to_slice(digits, &mut pair));
                if !matches!(digits, Some(Ok(()))) {
                    return Err(ReadError::syntax("A percent sign without two hex digits"));
                }
                bytes.push(pair[0]);
                at += 2;
            }
            other => bytes.push(*other),
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Owned(text)),
        Err(error) => Err(not_utf8(error.utf8_error())),
    }
}
