//! A reader over trees of text: query parameters and XML elements.

use base::Timestamp;

use crate::flow::{MAX_DEPTH, ReadError, Reader};
use crate::schema::{Kind, Member, Schema, TimeFormat};
use crate::text;

/// A node of such a tree. Nodes are references: cheap to copy.
pub trait Node: Copy {
    fn text(&self) -> Option<std::borrow::Cow<'_, str>>;
    /// The value of a structure's member, if it is there.
    fn find(self, member: &'static Member) -> Option<Self>;
    /// The items of the list at `place`.
    fn items(self, place: Place<Self>, item: &'static Member) -> Result<Vec<Self>, ReadError>;
    /// Keys and values of the map at `place`.
    fn entries(
        self,
        place: Place<Self>,
        key: &'static Member,
        value: &'static Member,
    ) -> Result<Vec<(Self, Self)>, ReadError>;
}

/// The structure that a value belongs to, and the member of it.
pub type Place<N> = Option<(N, &'static Member)>;

pub struct TreeReader<N> {
    /// The value about to be read.
    node: N,
    place: Place<N>,
    frames: Vec<Frame<N>>,
}

enum Frame<N> {
    Structure { node: N, members: &'static [Member], next: usize },
    List(std::vec::IntoIter<N>),
    Map(std::vec::IntoIter<(N, N)>),
}

impl<N: Node> TreeReader<N> {
    pub fn new(root: N) -> TreeReader<N> {
        TreeReader { node: root, place: None, frames: Vec::new() }
    }

    fn push(&mut self, frame: Frame<N>) -> Result<(), ReadError> {
        if self.frames.len() >= MAX_DEPTH {
            return Err(ReadError::TooDeep);
        }
        self.frames.push(frame);
        Ok(())
    }

    fn parse<T>(&self, wanted: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, ReadError> {
        let text = self.node.text();
        let parsed = text.as_deref().and_then(parse);
        parsed.ok_or_else(|| {
            let name = self.place.map_or("value", |(_, member)| member.query);
            let shown: String = text.as_deref().unwrap_or("").chars().take(100).collect();
            ReadError::wrong_type(format!("Value ({shown}) for {name} cannot be converted to {wanted}"))
        })
    }
}

impl<N: Node> Reader for TreeReader<N> {
    fn structure(&mut self, schema: &'static Schema) -> Result<(), ReadError> {
        self.push(Frame::Structure { node: self.node, members: schema.members(), next: 0 })
    }

    fn member(&mut self) -> Result<Option<usize>, ReadError> {
        let Some(Frame::Structure { node, members, next }) = self.frames.last_mut() else {
            return Ok(None);
        };
        while let Some(member) = members.get(*next) {
            *next += 1;
            if let Some(found) = node.find(member) {
                self.node = found;
                self.place = Some((*node, member));
                return Ok(Some(*next - 1));
            }
        }
        self.frames.pop();
        Ok(None)
    }

    fn list(&mut self, schema: &'static Schema) -> Result<(), ReadError> {
        let items = match schema.kind {
            Kind::List(item) => self.node.items(self.place, item)?,
            _ => Vec::new(),
        };
        self.push(Frame::List(items.into_iter()))
    }

    fn item(&mut self) -> Result<bool, ReadError> {
        let Some(Frame::List(items)) = self.frames.last_mut() else {
            return Ok(false);
        };
        match items.next() {
            Some(node) => {
                self.node = node;
                self.place = None;
                Ok(true)
            }
            None => {
                self.frames.pop();
                Ok(false)
            }
        }
    }

    fn map(&mut self, schema: &'static Schema) -> Result<(), ReadError> {
        let entries = match schema.kind {
            Kind::Map(key, value) => self.node.entries(self.place, key, value)?,
            _ => Vec::new(),
        };
        self.push(Frame::Map(entries.into_iter()))
    }

    fn entry(&mut self) -> Result<Option<String>, ReadError> {
        let Some(Frame::Map(entries)) = self.frames.last_mut() else {
            return Ok(None);
        };
        match entries.next() {
            Some((key, value)) => {
                self.node = value;
                self.place = None;
                Ok(Some(key.text().unwrap_or_default().into_owned()))
            }
            None => {
                self.frames.pop();
                Ok(None)
            }
        }
    }

    fn boolean(&mut self, _: &'static Schema) -> Result<bool, ReadError> {
        self.parse("Boolean", |text| match text {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        })
    }

    fn integer(&mut self, _: &'static Schema) -> Result<i32, ReadError> {
        self.parse("Integer", |text| text.parse().ok())
    }

    fn long(&mut self, _: &'static Schema) -> Result<i64, ReadError> {
        self.parse("Long", |text| text.parse().ok())
    }

    fn float(&mut self, _: &'static Schema) -> Result<f32, ReadError> {
        self.parse("Float", |text| text::double(text).map(|value| value as f32))
    }

    fn double(&mut self, _: &'static Schema) -> Result<f64, ReadError> {
        self.parse("Double", text::double)
    }

    fn string(&mut self, _: &'static Schema) -> Result<String, ReadError> {
        Ok(self.node.text().unwrap_or_default().into_owned())
    }

    fn blob(&mut self, _: &'static Schema) -> Result<Vec<u8>, ReadError> {
        self.parse("Blob", text::blob)
    }

    fn timestamp(&mut self, schema: &'static Schema) -> Result<Timestamp, ReadError> {
        let format = match schema.kind {
            Kind::Timestamp(format) => format,
            _ => TimeFormat::Default,
        };
        self.parse("Timestamp", |text| text::timestamp(text, format))
    }

    fn skip(&mut self) -> Result<(), ReadError> {
        Ok(())
    }
}
