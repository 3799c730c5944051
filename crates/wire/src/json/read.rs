//! A pull reader over JSON text: no tree, and no copy but the values themselves.

use std::borrow::Cow;

use base::Timestamp;

use super::scan::Scanner;
use crate::document::Document;
use crate::flow::{MAX_DEPTH, ReadError, Reader};
use crate::schema::{Kind, Member, Schema, TimeFormat};
use crate::text;

/// Reads one JSON document.
pub struct JsonReader<'a> {
    scan: Scanner<'a>,
    frames: Vec<Frame>,
}

/// An open object or array.
struct Frame {
    members: &'static [Member],
    /// Where the next key is looked for first: clients write members in the model's order.
    next: usize,
    is_first: bool,
}

impl<'a> JsonReader<'a> {
    pub fn new(text: &'a str) -> JsonReader<'a> {
        JsonReader { scan: Scanner::new(text), frames: Vec::with_capacity(8) }
    }

    /// The members of the object that are strings: enough to read a fault without its schema.
    pub fn scalars(mut self) -> Result<Vec<(String, String)>, ReadError> {
        let mut found = Vec::new();
        self.open(b'{', &[])?;
        while let Some(key) = self.entry()? {
            match self.scan.peek() {
                b'"' => found.push((key, self.scan.string()?.into_owned())),
                _ => self.skip()?,
            }
        }
        self.finish()?;
        Ok(found)
    }

    /// Nothing but white space may follow the document.
    pub fn finish(mut self) -> Result<(), ReadError> {
        if self.scan.is_at_end() { Ok(()) } else { Err(self.scan.unexpected()) }
    }

    fn open(&mut self, bracket: u8, members: &'static [Member]) -> Result<(), ReadError> {
        if self.scan.peek() != bracket {
            return Err(self.wrong_type(if bracket == b'[' { "a list" } else { "a structure" }));
        }
        self.scan.expect(bracket)?;
        if self.frames.len() >= MAX_DEPTH {
            return Err(ReadError::TooDeep);
        }
        self.frames.push(Frame { members, next: 0, is_first: true });
        Ok(())
    }

    /// Whether the innermost object or array has another entry; closes it if not.
    fn has_next(&mut self, bracket: u8) -> Result<bool, ReadError> {
        let is_first = match self.frames.last_mut() {
            Some(frame) => std::mem::replace(&mut frame.is_first, false),
            None => return Ok(false),
        };
        if self.scan.take(bracket) {
            self.frames.pop();
            return Ok(false);
        }
        if !is_first {
            self.scan.expect(b',')?;
        }
        Ok(true)
    }

    fn index_of(&mut self, key: &str) -> Option<usize> {
        let frame = self.frames.last_mut()?;
        let (before, after) = frame.members.split_at(frame.next.min(frame.members.len()));
        let found = after.iter().position(|member| member.wire == key).map(|index| index + before.len());
        let found = found.or_else(|| before.iter().position(|member| member.wire == key))?;
        frame.next = found + 1;
        Some(found)
    }

    /// AWS: the words of the service framework's own JSON parser.
    fn wrong_type(&mut self, wanted: &str) -> ReadError {
        let found = match self.scan.peek() {
            b'{' => "START_OBJECT",
            b'[' => "START_ARRAY",
            b'"' => "STRING_VALUE",
            b't' => "TRUE_VALUE",
            b'f' => "FALSE_VALUE",
            b'n' => "NULL_VALUE",
            b'-' | b'0'..=b'9' => "NUMBER_VALUE",
            _ => return self.scan.unexpected(),
        };
        ReadError::wrong_type(format!("{found} cannot be converted to {wanted}"))
    }

    fn text(&mut self, wanted: &str) -> Result<Cow<'a, str>, ReadError> {
        if self.scan.peek() == b'"' { self.scan.string() } else { Err(self.wrong_type(wanted)) }
    }

    fn number(&mut self, wanted: &str) -> Result<&'a str, ReadError> {
        if matches!(self.scan.peek(), b'-' | b'0'..=b'9') {
            self.scan.number()
        } else {
            Err(self.wrong_type(wanted))
        }
    }

    fn whole(&mut self, wanted: &str) -> Result<i64, ReadError> {
        let text = self.number(wanted)?;
        let fits = || text.parse::<f64>().ok().filter(|value| value.fract() == 0.0 && value.abs() < 9.0e15);
        let value = text.parse().ok().or_else(|| fits().map(|value| value as i64));
        value.ok_or_else(|| ReadError::wrong_type(format!("{text} cannot be converted to {wanted}")))
    }
}

impl Reader for JsonReader<'_> {
    fn structure(&mut self, schema: &'static Schema) -> Result<(), ReadError> {
        self.open(b'{', schema.members())
    }

    fn member(&mut self) -> Result<Option<usize>, ReadError> {
        while self.has_next(b'}')? {
            let key = self.scan.key()?;
            if self.scan.peek() == b'n' {
                self.scan.word("null")?;
                continue;
            }
            match self.index_of(&key) {
                Some(index) => return Ok(Some(index)),
                None => self.skip()?,
            }
        }
        Ok(None)
    }

    fn list(&mut self, _: &'static Schema) -> Result<(), ReadError> {
        self.open(b'[', &[])
    }

    fn item(&mut self) -> Result<bool, ReadError> {
        while self.has_next(b']')? {
            if self.scan.peek() != b'n' {
                return Ok(true);
            }
            self.scan.word("null")?;
        }
        Ok(false)
    }

    fn map(&mut self, _: &'static Schema) -> Result<(), ReadError> {
        self.open(b'{', &[])
    }

    fn entry(&mut self) -> Result<Option<String>, ReadError> {
        while self.has_next(b'}')? {
            let key = self.scan.key()?;
            if self.scan.peek() != b'n' {
                return Ok(Some(key.into_owned()));
            }
            self.scan.word("null")?;
        }
        Ok(None)
    }

    fn boolean(&mut self, _: &'static Schema) -> Result<bool, ReadError> {
        match self.scan.peek() {
            b't' => self.scan.word("true").map(|()| true),
            b'f' => self.scan.word("false").map(|()| false),
            _ => Err(self.wrong_type("Boolean")),
        }
    }

    fn integer(&mut self, _: &'static Schema) -> Result<i32, ReadError> {
        let value = self.whole("Integer")?;
        i32::try_from(value)
            .map_err(|_| ReadError::wrong_type(format!("{value} cannot be converted to Integer")))
    }

    fn long(&mut self, _: &'static Schema) -> Result<i64, ReadError> {
        self.whole("Long")
    }

    fn float(&mut self, schema: &'static Schema) -> Result<f32, ReadError> {
        self.double(schema).map(|value| value as f32)
    }

    fn double(&mut self, _: &'static Schema) -> Result<f64, ReadError> {
        if self.scan.peek() == b'"' {
            let text = self.scan.string()?;
            return text::special_double(&text)
                .ok_or_else(|| ReadError::wrong_type("STRING_VALUE cannot be converted to Double"));
        }
        let text = self.number("Double")?;
        text.parse().map_err(|_| ReadError::wrong_type(format!("{text} cannot be converted to Double")))
    }

    fn string(&mut self, _: &'static Schema) -> Result<String, ReadError> {
        self.text("String").map(Cow::into_owned)
    }

    fn blob(&mut self, _: &'static Schema) -> Result<Vec<u8>, ReadError> {
        let text = self.text("Blob")?;
        text::blob(&text).ok_or_else(|| ReadError::wrong_type("a blob that is not base64"))
    }

    fn timestamp(&mut self, schema: &'static Schema) -> Result<Timestamp, ReadError> {
        let format = match schema.kind {
            Kind::Timestamp(format) if format != TimeFormat::Default => format,
            _ => TimeFormat::EpochSeconds,
        };
        let parsed = if format == TimeFormat::EpochSeconds {
            text::timestamp(self.number("Timestamp")?, format)
        } else {
            text::timestamp(&self.text("Timestamp")?, format)
        };
        parsed.ok_or_else(|| ReadError::wrong_type("a timestamp that is not of the model's form"))
    }

    /// Recurses, but no deeper than `open` lets it.
    fn document(&mut self, schema: &'static Schema) -> Result<Document, ReadError> {
        Ok(match self.scan.peek() {
            b'{' => {
                let mut entries = Vec::new();
                self.open(b'{', &[])?;
                while self.has_next(b'}')? {
                    let key = self.scan.key()?.into_owned();
                    entries.push((key, self.document(schema)?));
                }
                Document::Object(entries)
            }
            b'[' => {
                let mut items = Vec::new();
                self.open(b'[', &[])?;
                while self.has_next(b']')? {
                    items.push(self.document(schema)?);
                }
                Document::List(items)
            }
            b'"' => Document::String(self.scan.string()?.into_owned()),
            b't' | b'f' => Document::Boolean(self.boolean(schema)?),
            b'n' => self.scan.word("null").map(|()| Document::Null)?,
            _ => {
                let text = self.scan.number()?;
                let double = || Document::Double(text.parse().unwrap_or(f64::NAN));
                text.parse().map_or_else(|_| double(), Document::Integer)
            }
        })
    }

    fn skip(&mut self) -> Result<(), ReadError> {
        self.scan.skip(self.frames.len())
    }
}
