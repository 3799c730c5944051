//! Values whose type the model leaves open.

use crate::flow::{ReadError, Reader, Writer};
use crate::schema::Schema;
use crate::shape::Value;

/// A document of a model: whatever JSON can say.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Document {
    #[default]
    Null,
    Boolean(bool),
    Integer(i64),
    Double(f64),
    String(String),
    List(Vec<Document>),
    /// In the order of the message. A key may come twice.
    Object(Vec<(String, Document)>),
}

impl Value for Document {
    fn read(schema: &'static Schema, reader: &mut dyn Reader) -> Result<Self, ReadError> {
        reader.document(schema)
    }

    fn write(&self, schema: &'static Schema, writer: &mut dyn Writer) {
        writer.document(schema, self);
    }
}
