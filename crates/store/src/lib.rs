//! Records in memory, every commit durable.
//!
//! Owns the whole record state as persistent maps, the one thread on which writing transactions
//! run in turn, the groups in which their changes reach the disk, and the stream of what changed.
//! Where the bytes rest is a [`Backend`]'s business.
//!
//! Invariant: an answer to a write, and a snapshot given to a reader, hold nothing that is not
//! durable. Invariant: a transaction is kept whole or leaves no trace. Invariant: when the backend
//! refuses a commit the store closes and never writes again.
//!
//! Deliberately ignores what records mean, time, and chance.

mod backend;
mod key;
mod load;
pub mod map;
mod memory;
mod record;
mod snapshot;
mod store;
pub mod suite;
mod transaction;
mod watch;
mod writer;

pub use backend::{Backend, BackendError, Batch, Fence, Head, Row, Stop, Write};
pub use key::Key;
pub use load::OpenError;
pub use memory::Memory;
pub use record::{Entries, Kinds, Record};
pub use snapshot::{Place, Read, Snapshot};
pub use store::{Store, WriteError};
pub use transaction::{Savepoint, Transaction};
pub use watch::{Change, Commit, Event, Watch};

/// The layout of the whole database; a record's own version is its kind's business.
pub const SCHEMA: u32 = 1;
