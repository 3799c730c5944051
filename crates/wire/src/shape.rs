//! Generated structures and the values that they are made of.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;

use base::Timestamp;

use crate::flow::{ReadError, Reader, Writer};
use crate::schema::{Kind, Member, Schema, plain};

/// Downcasts, for every type that can have them. A `Box<dyn Shape>` is such a type itself: call
/// `as_any` on what it holds, or use [`downcast_ref`](<dyn Shape>::downcast_ref).
pub trait AsAny: Any {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send + Sync>;
}

impl<T: Any + Send + Sync> AsAny for T {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send + Sync> {
        self
    }
}

/// A structure of a model. Object-safe: every protocol drives the same two generated bodies.
pub trait Shape: AsAny + Debug + Send + Sync {
    fn schema(&self) -> &'static Schema;

    /// Reads the member at `index` of the schema's members.
    fn read_member(&mut self, index: usize, from: &mut Source<'_>) -> Result<(), ReadError>;

    /// Hands every member that is set to `to`, in the order of the schema.
    fn write_members(&self, to: &mut Sink<'_>);

    /// Fills this structure. A member that comes twice keeps its last value.
    fn read(&mut self, reader: &mut dyn Reader) -> Result<(), ReadError> {
        let schema = self.schema();
        let members = schema.members();
        reader.structure(schema)?;
        while let Some(index) = reader.member()? {
            self.read_member(index, &mut Source { reader, schema: members[index].schema })?;
        }
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer) {
        let schema = self.schema();
        writer.structure(schema);
        self.write_members(&mut Sink { writer, members: schema.members() });
        writer.end_structure();
    }
}

impl dyn Shape {
    /// The structure, if it is a `T`.
    pub fn downcast_ref<T: Shape>(&self) -> Option<&T> {
        self.as_any().downcast_ref()
    }

    /// The structure, if it is a `T`.
    pub fn downcast_mut<T: Shape>(&mut self) -> Option<&mut T> {
        self.as_any_mut().downcast_mut()
    }
}

/// The value of one member, about to be read.
pub struct Source<'a> {
    pub reader: &'a mut dyn Reader,
    pub schema: &'static Schema,
}

impl Source<'_> {
    pub fn read<T: Value>(&mut self, into: &mut T) -> Result<(), ReadError> {
        *into = T::read(self.schema, self.reader)?;
        Ok(())
    }

    pub fn skip(&mut self) -> Result<(), ReadError> {
        self.reader.skip()
    }
}

/// Takes the members of one structure.
pub struct Sink<'a> {
    pub writer: &'a mut dyn Writer,
    pub members: &'static [Member],
}

impl Sink<'_> {
    pub fn write<T: Value>(&mut self, index: usize, value: &T) {
        if value.is_set() {
            let member = &self.members[index];
            self.writer.member(index, member);
            value.write(member.schema, self.writer);
        }
    }
}

/// Whatever can be a member: scalars, lists, maps, structures, and options of them.
pub trait Value: Sized {
    fn read(schema: &'static Schema, reader: &mut dyn Reader) -> Result<Self, ReadError>;
    fn write(&self, schema: &'static Schema, writer: &mut dyn Writer);

    fn is_set(&self) -> bool {
        true
    }
}

impl<T: Value> Value for Option<T> {
    fn read(schema: &'static Schema, reader: &mut dyn Reader) -> Result<Self, ReadError> {
        T::read(schema, reader).map(Some)
    }

    fn write(&self, schema: &'static Schema, writer: &mut dyn Writer) {
        if let Some(value) = self {
            value.write(schema, writer);
        }
    }

    fn is_set(&self) -> bool {
        self.is_some()
    }
}

impl<T: Value> Value for Box<T> {
    fn read(schema: &'static Schema, reader: &mut dyn Reader) -> Result<Self, ReadError> {
        T::read(schema, reader).map(Box::new)
    }

    fn write(&self, schema: &'static Schema, writer: &mut dyn Writer) {
        (**self).write(schema, writer);
    }
}

impl<T: Value> Value for Vec<T> {
    fn read(schema: &'static Schema, reader: &mut dyn Reader) -> Result<Self, ReadError> {
        let item = item_schema(schema);
        reader.list(schema)?;
        let mut items = Vec::new();
        while reader.item()? {
            items.push(T::read(item, reader)?);
        }
        Ok(items)
    }

    fn write(&self, schema: &'static Schema, writer: &mut dyn Writer) {
        let item = item_schema(schema);
        writer.list(schema, self.len());
        for value in self {
            writer.item();
            value.write(item, writer);
        }
        writer.end_list();
    }
}

impl<T: Value> Value for BTreeMap<String, T> {
    fn read(schema: &'static Schema, reader: &mut dyn Reader) -> Result<Self, ReadError> {
        let value = item_schema(schema);
        reader.map(schema)?;
        let mut entries = BTreeMap::new();
        while let Some(key) = reader.entry()? {
            entries.insert(key, T::read(value, reader)?);
        }
        Ok(entries)
    }

    fn write(&self, schema: &'static Schema, writer: &mut dyn Writer) {
        let item = item_schema(schema);
        writer.map(schema, self.len());
        for (key, value) in self {
            writer.entry(key);
            value.write(item, writer);
        }
        writer.end_map();
    }
}

/// The schema of a list's items or a map's values.
fn item_schema(schema: &'static Schema) -> &'static Schema {
    match schema.kind {
        Kind::List(item) | Kind::Map(_, item) => item.schema,
        _ => schema,
    }
}

macro_rules! scalar {
    ($($type:ty, $name:ident, $value:ident => $pass:expr;)*) => {$(
        impl Value for $type {
            fn read(schema: &'static Schema, reader: &mut dyn Reader) -> Result<Self, ReadError> {
                reader.$name(schema)
            }

            fn write(&self, schema: &'static Schema, writer: &mut dyn Writer) {
                let $value = self;
                writer.$name(schema, $pass);
            }
        }
    )*};
}

scalar! {
    bool, boolean, value => *value;
    i32, integer, value => *value;
    i64, long, value => *value;
    f32, float, value => *value;
    f64, double, value => *value;
    String, string, value => value;
    Vec<u8>, blob, value => value;
    Timestamp, timestamp, value => *value;
}

/// Makes generated structures into member values.
#[macro_export]
macro_rules! values {
    ($($type:ty),* $(,)?) => {$(
        impl $crate::Value for $type {
            fn read(
                _: &'static $crate::Schema,
                reader: &mut dyn $crate::Reader,
            ) -> Result<Self, $crate::ReadError> {
                let mut value = Self::default();
                $crate::Shape::read(&mut value, reader)?;
                Ok(value)
            }

            fn write(&self, _: &'static $crate::Schema, writer: &mut dyn $crate::Writer) {
                $crate::Shape::write(self, writer);
            }
        }
    )*};
}

/// The input or output of an operation whose model names none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Empty {}

impl Shape for Empty {
    fn schema(&self) -> &'static Schema {
        &plain::EMPTY
    }

    fn read_member(&mut self, _: usize, from: &mut Source<'_>) -> Result<(), ReadError> {
        from.skip()
    }

    fn write_members(&self, _: &mut Sink<'_>) {}
}
