//! JSON straight into bytes.

use base::Timestamp;

use crate::document::Document;
use crate::flow::Writer;
use crate::schema::{Kind, Member, Schema, TimeFormat};
use crate::text;

/// Writes one JSON document.
#[derive(Default)]
pub struct JsonWriter {
    out: Vec<u8>,
}

impl JsonWriter {
    pub fn new() -> JsonWriter {
        JsonWriter { out: Vec::with_capacity(256) }
    }

    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// A comma, unless this is the first entry of an object or array. A string's own last byte is
    /// its quote, so the brackets cannot be mistaken.
    fn separate(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[')) {
            self.out.push(b',');
        }
    }

    /// A member that no schema describes: of faults.
    pub fn extra(&mut self, name: &str, value: &str) {
        self.separate();
        self.quoted(name);
        self.out.push(b':');
        self.quoted(value);
    }

    pub fn open(&mut self) {
        self.out.push(b'{');
    }

    pub fn close(&mut self) {
        self.out.push(b'}');
    }

    fn quoted(&mut self, text: &str) {
        self.out.push(b'"');
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
            self.out.extend_from_slice(&rest[..at]);
            match rest[at] {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                other => self.out.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
            }
            rest = &rest[at + 1..];
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
    }

    fn whole(&mut self, value: i64) {
        if value < 0 {
            self.out.push(b'-');
        }
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = value.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[at..]);
    }
}

impl Writer for JsonWriter {
    fn structure(&mut self, _: &'static Schema) {
        self.open();
    }

    fn member(&mut self, _: usize, member: &'static Member) {
        self.separate();
        // Names of members are words: nothing in them needs an escape.
        self.out.push(b'"');
        self.out.extend_from_slice(member.wire.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn end_structure(&mut self) {
        self.close();
    }

    fn list(&mut self, _: &'static Schema, _: usize) {
        self.out.push(b'[');
    }

    fn item(&mut self) {
        self.separate();
    }

    fn end_list(&mut self) {
        self.out.push(b']');
    }

    fn map(&mut self, _: &'static Schema, _: usize) {
        self.open();
    }

    fn entry(&mut self, key: &str) {
        self.separate();
        self.quoted(key);
        self.out.push(b':');
    }

    fn end_map(&mut self) {
        self.close();
    }

    fn boolean(&mut self, _: &'static Schema, value: bool) {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn integer(&mut self, _: &'static Schema, value: i32) {
        self.whole(i64::from(value));
    }

    fn long(&mut self, _: &'static Schema, value: i64) {
        self.whole(value);
    }

    fn float(&mut self, schema: &'static Schema, value: f32) {
        if value.is_finite() {
            self.out.extend_from_slice(format!("{value:?}").as_bytes());
        } else {
            self.double(schema, f64::from(value));
        }
    }

    fn double(&mut self, _: &'static Schema, value: f64) {
        if value.is_finite() {
            self.out.extend_from_slice(format!("{value:?}").as_bytes());
        } else {
            self.quoted(text::special_name(value));
        }
    }

    fn string(&mut self, _: &'static Schema, value: &str) {
        self.quoted(value);
    }

    fn blob(&mut self, _: &'static Schema, value: &[u8]) {
        self.quoted(&text::base64(value));
    }

    fn timestamp(&mut self, schema: &'static Schema, value: Timestamp) {
        match schema.kind {
            Kind::Timestamp(format @ (TimeFormat::DateTime | TimeFormat::HttpDate)) => {
                self.quoted(&text::time(value, format));
            }
            _ => self.out.extend_from_slice(text::time(value, TimeFormat::EpochSeconds).as_bytes()),
        }
    }

    fn document(&mut self, schema: &'static Schema, value: &Document) {
        match value {
            Document::Null => self.out.extend_from_slice(b"null"),
            Document::Boolean(value) => self.boolean(schema, *value),
            Document::Integer(value) => self.whole(*value),
            Document::Double(value) => self.double(schema, *value),
            Document::String(value) => self.quoted(value),
            Document::List(items) => {
                self.out.push(b'[');
                for item in items {
                    self.separate();
                    self.document(schema, item);
                }
                self.out.push(b']');
            }
            Document::Object(entries) => {
                self.open();
                for (key, value) in entries {
                    self.entry(key);
                    self.document(schema, value);
                }
                self.close();
            }
        }
    }
}
