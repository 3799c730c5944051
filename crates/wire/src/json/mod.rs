//! JSON as the awsJson (and later restJson) protocols use it.
//!
//! Invariant: reading never recurses by the message's nesting beyond [`crate::MAX_DEPTH`], and a
//! key that comes twice keeps its last value, as AWS's own parser has it.

mod read;
mod scan;
mod write;

pub use read::JsonReader;
pub use write::JsonWriter;
