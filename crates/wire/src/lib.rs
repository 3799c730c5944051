//! Protocol-neutral shapes and the protocols that carry them.
mod api;
mod flow;
pub mod schema;
mod shape;

pub use api::{Api, ErrorDefinition, Operation, OperationDefinition, Protocol};
pub use base::Blame;
pub use base::Timestamp;
pub use flow::{MAX_DEPTH, ReadError, Reader, Writer};
pub use schema::{Kind, Limits, Location, Member, Pattern, Schema, TimeFormat};
pub use shape::{AsAny, Empty, Shape, Sink, Source, Value};
