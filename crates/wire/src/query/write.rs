//! Form parameters out of a shape: the client's side.

use base::Timestamp;

use crate::flow::Writer;
use crate::schema::{Kind, Member, Schema, TimeFormat};
use crate::text;

/// Writes the form of one request.
pub struct QueryWriter {
    form: String,
    /// The name of the value about to be written.
    name: String,
    frames: Vec<Frame>,
    is_ec2: bool,
    /// Whether the member about to be written is flattened.
    is_flat: bool,
}

struct Frame {
    /// How much of `name` belongs to the structure, list or map itself.
    length: usize,
    count: usize,
    key: &'static str,
    value: &'static str,
}

impl QueryWriter {
    pub fn new(action: &str, version: &str, is_ec2: bool) -> QueryWriter {
        let form = format!("Action={action}&Version={version}");
        QueryWriter { form, name: String::new(), frames: Vec::new(), is_ec2, is_flat: false }
    }

    pub fn finish(self) -> String {
        self.form
    }

    fn push(&mut self, key: &'static str, value: &'static str) {
        self.frames.push(Frame { length: self.name.len(), count: 0, key, value });
    }

    fn pop(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.name.truncate(frame.length);
        }
    }

    /// Sets the name to the innermost frame's, followed by `part`.
    fn step(&mut self, part: &str) {
        self.name.truncate(self.frames.last().map_or(0, |frame| frame.length));
        self.append(part);
    }

    fn append(&mut self, part: &str) {
        if !self.name.is_empty() {
            self.name.push('.');
        }
        self.name.push_str(part);
    }

    fn count(&mut self) -> String {
        match self.frames.last_mut() {
            Some(frame) => {
                frame.count += 1;
                frame.count.to_string()
            }
            None => String::new(),
        }
    }

    fn put(&mut self, value: &str) {
        self.form.push('&');
        self.form.push_str(&encode_component(&self.name));
        self.form.push('=');
        self.form.push_str(&encode_component(value));
    }
}

impl Writer for QueryWriter {
    fn structure(&mut self, _: &'static Schema) {
        self.push("", "");
    }

    fn member(&mut self, _: usize, member: &'static Member) {
        self.step(member.query);
        self.is_flat = member.is_flattened;
    }

    fn end_structure(&mut self) {
        self.pop();
    }

    fn list(&mut self, schema: &'static Schema, len: usize) {
        let is_flat = std::mem::take(&mut self.is_flat) || self.is_ec2;
        // AWS: only the query protocol can say that a list is there and empty.
        if len == 0 && !self.is_ec2 {
            self.put("");
        }
        if let (false, Kind::List(item)) = (is_flat, schema.kind) {
            self.append(item.query);
        }
        self.push("", "");
    }

    fn item(&mut self) {
        let count = self.count();
        self.step(&count);
    }

    fn end_list(&mut self) {
        self.pop();
    }

    fn map(&mut self, schema: &'static Schema, _: usize) {
        let is_flat = std::mem::take(&mut self.is_flat);
        if !is_flat {
            self.append("entry");
        }
        match schema.kind {
            Kind::Map(key, value) => self.push(key.query, value.query),
            _ => self.push("key", "value"),
        }
    }

    fn entry(&mut self, key: &str) {
        let names = self.frames.last().map(|frame| (frame.key, frame.value));
        let count = self.count();
        let (key_name, value_name) = names.unwrap_or_default();
        self.step(&count);
        let length = self.name.len();
        self.append(key_name);
        self.put(key);
        self.name.truncate(length);
        self.append(value_name);
    }

    fn end_map(&mut self) {
        self.pop();
    }

    fn boolean(&mut self, _: &'static Schema, value: bool) {
        self.put(if value { "true" } else { "false" });
    }

    fn integer(&mut self, _: &'static Schema, value: i32) {
        self.put(&value.to_string());
    }

    fn long(&mut self, _: &'static Schema, value: i64) {
        self.put(&value.to_string());
    }

    fn float(&mut self, _: &'static Schema, value: f32) {
        self.put(&text::float_text(value));
    }

    fn double(&mut self, _: &'static Schema, value: f64) {
        self.put(&text::double_text(value));
    }

    fn string(&mut self, _: &'static Schema, value: &str) {
        self.put(value);
    }

    fn blob(&mut self, _: &'static Schema, value: &[u8]) {
        self.put(&text::base64(value));
    }

    fn timestamp(&mut self, schema: &'static Schema, value: Timestamp) {
        self.put(&text::time(value, format_of(schema)));
    }
}

fn format_of(schema: &Schema) -> TimeFormat {
    match schema.kind {
        Kind::Timestamp(format) => format,
        _ => TimeFormat::Default,
    }
}

/// Percent-encodes everything but AWS's unreserved characters.
pub fn encode_component(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
