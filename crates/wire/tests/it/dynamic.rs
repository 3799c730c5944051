//! A shape whose schema is only known at run time.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;
use wire::{Document, Kind, ReadError, Reader, Schema, Shape, Sink, Source, Timestamp, Value, Writer};

/// A structure of any schema.
pub struct Dynamic {
    schema: &'static Schema,
    members: BTreeMap<usize, Node>,
}

/// A value of any schema.
pub enum Node {
    Boolean(bool),
    Long(i64),
    Double(f64),
    String(String),
    Blob(Vec<u8>),
    Timestamp(Timestamp),
    List(Vec<Node>),
    Map(BTreeMap<String, Node>),
    Structure(Dynamic),
    Document(Document),
}

impl Dynamic {
    pub fn new(schema: &'static Schema) -> Dynamic {
        Dynamic { schema, members: BTreeMap::new() }
    }

    /// From the vectors' notation of parameters and results.
    pub fn from_json(schema: &'static Schema, json: &Json) -> Dynamic {
        let mut dynamic = Dynamic::new(schema);
        for (index, member) in schema.members().iter().enumerate() {
            if let Some(value) = json.get(member.name).filter(|value| !value.is_null()) {
                dynamic.members.insert(index, Node::from_json(member.schema, value));
            }
        }
        dynamic
    }
}

/// The members by name; two dynamics are equal if they print alike (so that NaN equals NaN).
impl fmt::Debug for Dynamic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |index: &usize| self.schema.members()[*index].name;
        f.debug_map().entries(self.members.iter().map(|(index, node)| (name(index), node))).finish()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Boolean(value) => value.fmt(f),
            Node::Long(value) => value.fmt(f),
            // The vectors' own parser is not exact to the last bit.
            Node::Double(value) => write!(f, "{value:.14e}"),
            Node::String(value) => value.fmt(f),
            Node::Blob(value) => write!(f, "blob {value:?}"),
            Node::Timestamp(value) => write!(f, "at {}", value.as_micros()),
            Node::List(value) => value.fmt(f),
            Node::Map(value) => value.fmt(f),
            Node::Structure(value) => value.fmt(f),
            Node::Document(value) => value.fmt(f),
        }
    }
}

impl Node {
    fn from_json(schema: &'static Schema, json: &Json) -> Node {
        let text = || json.as_str().map(str::to_owned);
        match schema.kind {
            Kind::Boolean => Node::Boolean(json.as_bool().unwrap()),
            Kind::Integer | Kind::Long => Node::Long(json.as_i64().unwrap()),
            Kind::Float => Node::Double(f64::from(number(json) as f32)),
            Kind::Double => Node::Double(number(json)),
            Kind::String => Node::String(text().unwrap()),
            Kind::Blob => Node::Blob(text().unwrap().into_bytes()),
            Kind::Timestamp(_) => {
                Node::Timestamp(Timestamp::from_micros((number(json) * 1e6).round() as i64))
            }
            Kind::Document => Node::Document(document(json)),
            Kind::List(item) => Node::List(
                json.as_array().unwrap().iter().map(|json| Node::from_json(item.schema, json)).collect(),
            ),
            Kind::Map(_, value) => {
                let entries = json.as_object().unwrap().iter();
                Node::Map(
                    entries.map(|(key, json)| (key.clone(), Node::from_json(value.schema, json))).collect(),
                )
            }
            Kind::Structure(_) | Kind::Union(_) => Node::Structure(Dynamic::from_json(schema, json)),
        }
    }

    fn read(schema: &'static Schema, reader: &mut dyn Reader) -> Result<Node, ReadError> {
        Ok(match schema.kind {
            Kind::Boolean => Node::Boolean(reader.boolean(schema)?),
            Kind::Integer => Node::Long(i64::from(reader.integer(schema)?)),
            Kind::Long => Node::Long(reader.long(schema)?),
            Kind::Float => Node::Double(f64::from(reader.float(schema)?)),
            Kind::Double => Node::Double(reader.double(schema)?),
            Kind::String => Node::String(reader.string(schema)?),
            Kind::Blob => Node::Blob(reader.blob(schema)?),
            Kind::Timestamp(_) => Node::Timestamp(reader.timestamp(schema)?),
            Kind::Document => Node::Document(reader.document(schema)?),
            Kind::List(item) => {
                reader.list(schema)?;
                let mut items = Vec::new();
                while reader.item()? {
                    items.push(Node::read(item.schema, reader)?);
                }
                Node::List(items)
            }
            Kind::Map(_, value) => {
                reader.map(schema)?;
                let mut entries = BTreeMap::new();
                while let Some(key) = reader.entry()? {
                    entries.insert(key, Node::read(value.schema, reader)?);
                }
                Node::Map(entries)
            }
            Kind::Structure(_) | Kind::Union(_) => {
                let mut structure = Dynamic::new(schema);
                structure.read(reader)?;
                Node::Structure(structure)
            }
        })
    }

    fn write(&self, schema: &'static Schema, writer: &mut dyn Writer) {
        match self {
            Node::Boolean(value) => writer.boolean(schema, *value),
            Node::Long(value) if matches!(schema.kind, Kind::Integer) => {
                writer.integer(schema, *value as i32)
            }
            Node::Long(value) => writer.long(schema, *value),
            Node::Double(value) if matches!(schema.kind, Kind::Float) => writer.float(schema, *value as f32),
            Node::Double(value) => writer.double(schema, *value),
            Node::String(value) => writer.string(schema, value),
            Node::Blob(value) => writer.blob(schema, value),
            Node::Timestamp(value) => writer.timestamp(schema, *value),
            Node::Document(value) => writer.document(schema, value),
            Node::List(items) => {
                let Kind::List(item) = schema.kind else { unreachable!() };
                writer.list(schema, items.len());
                for value in items {
                    writer.item();
                    value.write(item.schema, writer);
                }
                writer.end_list();
            }
            Node::Map(entries) => {
                let Kind::Map(_, item) = schema.kind else { unreachable!() };
                writer.map(schema, entries.len());
                for (key, value) in entries {
                    writer.entry(key);
                    value.write(item.schema, writer);
                }
                writer.end_map();
            }
            Node::Structure(structure) => structure.write(writer),
        }
    }
}

fn document(json: &Json) -> Document {
    match json {
        Json::Null => Document::Null,
        Json::Bool(value) => Document::Boolean(*value),
        Json::Number(value) => {
            value.as_i64().map_or_else(|| Document::Double(number(json)), Document::Integer)
        }
        Json::String(value) => Document::String(value.clone()),
        Json::Array(items) => Document::List(items.iter().map(document).collect()),
        Json::Object(entries) => {
            Document::Object(entries.iter().map(|(key, json)| (key.clone(), document(json))).collect())
        }
    }
}

fn number(json: &Json) -> f64 {
    match json.as_str() {
        Some("NaN") => f64::NAN,
        Some("Infinity") => f64::INFINITY,
        Some("-Infinity") => f64::NEG_INFINITY,
        _ => json.as_f64().unwrap(),
    }
}

/// Lets `Sink` write a node: it hands the member's schema over.
impl Shape for Dynamic {
    fn schema(&self) -> &'static Schema {
        self.schema
    }

    fn read_member(&mut self, index: usize, from: &mut Source<'_>) -> Result<(), ReadError> {
        let node = Node::read(from.schema, from.reader)?;
        self.members.insert(index, node);
        Ok(())
    }

    fn write_members(&self, to: &mut Sink<'_>) {
        for (index, node) in &self.members {
            to.write(*index, &Borrowed(node));
        }
    }
}

struct Borrowed<'a>(&'a Node);

impl Value for Borrowed<'_> {
    fn read(_: &'static Schema, _: &mut dyn Reader) -> Result<Self, ReadError> {
        unreachable!("only written")
    }

    fn write(&self, schema: &'static Schema, writer: &mut dyn Writer) {
        self.0.write(schema, writer);
    }
}
