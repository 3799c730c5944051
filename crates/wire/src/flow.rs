//! The two traits that a protocol implements once: values in, values out.

use base::Timestamp;

use crate::document::Document;
use crate::schema::{Member, Schema};

/// Why bytes could not be read as the shape that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not the syntax of the protocol. The text is for the caller.
    #[error("{0}")]
    Syntax(String),
    /// A value of another type than the model's. The text is for the caller.
    #[error("{0}")]
    Type(String),
    #[error("nested deeper than {limit} levels", limit = MAX_DEPTH)]
    TooDeep,
    /// A few bytes of text can ask for a large structure: their number is bounded.
    #[error("more than {limit} structures", limit = MAX_STRUCTURES)]
    TooMany,
}

impl ReadError {
    pub fn syntax(text: impl Into<String>) -> ReadError {
        ReadError::Syntax(text.into())
    }

    pub fn wrong_type(text: impl Into<String>) -> ReadError {
        ReadError::Type(text.into())
    }
}

/// How deep structures, lists and maps may nest, unknown members included.
pub const MAX_DEPTH: usize = 128;

/// How many structures one request may hold. AWS: the longest list of structures that any operation
/// takes is a batch of 10,000 log events.
pub const MAX_STRUCTURES: usize = 20_000;

/// Pulls values out of a message. Calls follow the schema: `structure`, then `member` and the
/// member's value until `member` answers `None`; the same with lists and maps.
pub trait Reader {
    fn structure(&mut self, schema: &'static Schema) -> Result<(), ReadError>;
    /// The index of the next member that is present and not null.
    fn member(&mut self) -> Result<Option<usize>, ReadError>;
    fn list(&mut self, schema: &'static Schema) -> Result<(), ReadError>;
    /// Whether another item follows.
    fn item(&mut self) -> Result<bool, ReadError>;
    fn map(&mut self, schema: &'static Schema) -> Result<(), ReadError>;
    /// The key of the next entry.
    fn entry(&mut self) -> Result<Option<String>, ReadError>;
    fn boolean(&mut self, schema: &'static Schema) -> Result<bool, ReadError>;
    fn integer(&mut self, schema: &'static Schema) -> Result<i32, ReadError>;
    fn long(&mut self, schema: &'static Schema) -> Result<i64, ReadError>;
    fn float(&mut self, schema: &'static Schema) -> Result<f32, ReadError>;
    fn double(&mut self, schema: &'static Schema) -> Result<f64, ReadError>;
    fn string(&mut self, schema: &'static Schema) -> Result<String, ReadError>;
    fn blob(&mut self, schema: &'static Schema) -> Result<Vec<u8>, ReadError>;
    fn timestamp(&mut self, schema: &'static Schema) -> Result<Timestamp, ReadError>;
    /// Only JSON carries documents, so far.
    fn document(&mut self, _: &'static Schema) -> Result<Document, ReadError> {
        Err(ReadError::wrong_type("the protocol carries no document"))
    }

    /// Passes over one value of any type.
    fn skip(&mut self) -> Result<(), ReadError>;
}

/// Takes values in the order in which [`Reader`] would give them.
pub trait Writer {
    fn structure(&mut self, schema: &'static Schema);
    /// What follows is the value of `member`, the one at `index` of the innermost structure.
    fn member(&mut self, index: usize, member: &'static Member);
    fn end_structure(&mut self);
    fn list(&mut self, schema: &'static Schema, len: usize);
    fn item(&mut self);
    fn end_list(&mut self);
    fn map(&mut self, schema: &'static Schema, len: usize);
    fn entry(&mut self, key: &str);
    fn end_map(&mut self);
    fn boolean(&mut self, schema: &'static Schema, value: bool);
    fn integer(&mut self, schema: &'static Schema, value: i32);
    fn long(&mut self, schema: &'static Schema, value: i64);
    fn float(&mut self, schema: &'static Schema, value: f32);
    fn double(&mut self, schema: &'static Schema, value: f64);
    fn string(&mut self, schema: &'static Schema, value: &str);
    fn blob(&mut self, schema: &'static Schema, value: &[u8]);
    fn timestamp(&mut self, schema: &'static Schema, value: Timestamp);

    /// A writer that only asks what is there sees a document as one string.
    fn document(&mut self, schema: &'static Schema, _: &Document) {
        self.string(schema, "");
    }
}
