//! XML straight into text.

use base::Timestamp;

use crate::flow::Writer;
use crate::schema::{Kind, Member, Schema, TimeFormat};
use crate::text;

/// Writes elements. The caller opens the root with [`XmlWriter::open`].
pub struct XmlWriter {
    out: String,
    frames: Vec<Frame>,
    /// The name of the element about to be written; empty for the root's own content.
    name: &'static str,
    /// The namespace to declare on it.
    namespace: (&'static str, &'static str),
    is_flat: bool,
    is_attribute: bool,
    /// Whether a start tag still lacks its `>`.
    is_tag_open: bool,
    /// AWS: EC2 writes milliseconds even where they are zero.
    has_millis: bool,
}

/// An open structure, list or map.
struct Frame {
    /// The element to close at the end; empty if there is none.
    close: &'static str,
    item: &'static str,
    item_namespace: (&'static str, &'static str),
    key: Option<(&'static Member, &'static Member)>,
    /// Maps: whether an entry is open.
    is_entry_open: bool,
}

impl XmlWriter {
    /// `is_ec2` asks for EC2's habits: the XML declaration, and milliseconds where they are zero.
    pub fn new(is_ec2: bool) -> XmlWriter {
        let mut out = String::with_capacity(512);
        if is_ec2 {
            out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        }
        XmlWriter {
            out,
            frames: Vec::new(),
            name: "",
            namespace: ("", ""),
            is_flat: false,
            is_attribute: false,
            is_tag_open: false,
            has_millis: is_ec2,
        }
    }

    pub fn finish(self) -> String {
        self.out
    }

    pub fn open(&mut self, name: &str, namespace: &str) {
        self.close_tag();
        self.out.push('<');
        self.out.push_str(name);
        if !namespace.is_empty() {
            self.out.push_str(" xmlns=\"");
            escape(namespace, &mut self.out);
            self.out.push('"');
        }
        self.out.push('>');
    }

    pub fn close(&mut self, name: &str) {
        self.close_tag();
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    pub fn leaf(&mut self, name: &str, value: &str) {
        self.open(name, "");
        escape(value, &mut self.out);
        self.close(name);
    }

    fn close_tag(&mut self) {
        if std::mem::take(&mut self.is_tag_open) {
            self.out.push('>');
        }
    }

    /// `<name` and its namespace; the tag stays open for attributes.
    fn start(&mut self, name: &str) {
        self.close_tag();
        self.out.push('<');
        self.out.push_str(name);
        let (prefix, uri) = std::mem::take(&mut self.namespace);
        if !uri.is_empty() {
            self.out.push_str(" xmlns");
            if !prefix.is_empty() {
                self.out.push(':');
                self.out.push_str(prefix);
            }
            self.out.push_str("=\"");
            escape(uri, &mut self.out);
            self.out.push('"');
        }
        self.is_tag_open = true;
    }

    fn push(&mut self, close: &'static str, item: &'static Member) {
        self.frames.push(Frame {
            close,
            item: item.wire,
            item_namespace: item.namespace,
            key: None,
            is_entry_open: false,
        });
    }

    fn pop(&mut self) {
        let close = self.frames.pop().map_or("", |frame| frame.close);
        if !close.is_empty() {
            self.close(close);
        }
    }

    fn put(&mut self, value: &str) {
        let name = std::mem::take(&mut self.name);
        if std::mem::take(&mut self.is_attribute) && self.is_tag_open {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(value, &mut self.out);
            self.out.push('"');
            return;
        }
        if name.is_empty() {
            self.close_tag();
            escape(value, &mut self.out);
            return;
        }
        self.start(name);
        self.close_tag();
        escape(value, &mut self.out);
        self.close(name);
    }
}

impl Writer for XmlWriter {
    fn structure(&mut self, _: &'static Schema) {
        let name = std::mem::take(&mut self.name);
        if !name.is_empty() {
            self.start(name);
        }
        self.frames.push(Frame {
            close: name,
            item: "",
            item_namespace: ("", ""),
            key: None,
            is_entry_open: false,
        });
    }

    fn member(&mut self, _: usize, member: &'static Member) {
        self.name = member.wire;
        self.namespace = member.namespace;
        self.is_flat = member.is_flattened;
        self.is_attribute = member.is_attribute;
    }

    fn end_structure(&mut self) {
        self.pop();
    }

    fn list(&mut self, schema: &'static Schema, _: usize) {
        let name = std::mem::take(&mut self.name);
        let Kind::List(item) = schema.kind else { return };
        if std::mem::take(&mut self.is_flat) {
            // A flattened list has no element of its own to declare the member's namespace on.
            self.namespace = ("", "");
            self.push("", item);
            if let Some(frame) = self.frames.last_mut() {
                frame.item = name;
            }
        } else {
            self.start(name);
            self.push(name, item);
        }
    }

    fn item(&mut self) {
        if let Some(frame) = self.frames.last() {
            self.name = frame.item;
            self.namespace = frame.item_namespace;
        }
    }

    fn end_list(&mut self) {
        self.pop();
    }

    fn map(&mut self, schema: &'static Schema, _: usize) {
        let name = std::mem::take(&mut self.name);
        let Kind::Map(key, value) = schema.kind else { return };
        let is_flat = std::mem::take(&mut self.is_flat);
        if !is_flat {
            self.start(name);
        }
        self.push(if is_flat { "" } else { name }, value);
        let namespace = std::mem::take(&mut self.namespace);
        if let Some(frame) = self.frames.last_mut() {
            frame.item = if is_flat { name } else { "entry" };
            frame.item_namespace = namespace;
            frame.key = Some((key, value));
        }
    }

    fn entry(&mut self, key_text: &str) {
        let Some(frame) = self.frames.last_mut() else { return };
        let (item, names, namespace) = (frame.item, frame.key, frame.item_namespace);
        let was_open = std::mem::replace(&mut frame.is_entry_open, true);
        if was_open {
            self.close(item);
        }
        let Some((key, value)) = names else { return };
        self.namespace = namespace;
        self.start(item);
        self.name = key.wire;
        self.namespace = key.namespace;
        self.put(key_text);
        self.name = value.wire;
        self.namespace = value.namespace;
    }

    fn end_map(&mut self) {
        if let Some(frame) = self.frames.last()
            && frame.is_entry_open
        {
            let item = frame.item;
            self.close(item);
        }
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
        let text = match schema.kind {
            Kind::Timestamp(format) if format != TimeFormat::Default => text::time(value, format),
            _ if self.has_millis => value.iso8601(),
            _ => text::time(value, TimeFormat::DateTime),
        };
        self.put(&text);
    }
}

/// Appends `text` as character data or an attribute's value. A character that XML cannot carry
/// becomes U+FFFD.
fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            '\t' => out.push('\t'),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
}
