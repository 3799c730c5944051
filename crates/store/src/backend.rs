//! Where records rest: *load all, hold the lease, commit a batch under a fence*.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::Key;

/// A durable home for records. Used from one thread at a time. Dropping it gives up the lease.
pub trait Backend: Send {
    /// Becomes the only writer. The fence is above every earlier one of this database.
    fn hold_lease(&mut self) -> Result<Fence, BackendError>;

    /// The facts about the database. Never fails for a schema that it does not know.
    fn head(&mut self) -> Result<Head, BackendError>;

    /// Hands every record to `each`, in any order. `Err` from `each` ends the walk and is returned
    /// as [`BackendError::Stopped`].
    fn load(&mut self, each: &mut dyn FnMut(Row<'_>) -> Result<(), Stop>) -> Result<(), BackendError>;

    /// Makes all of `batch` durable, or nothing of it. Returns once it is on disk.
    fn commit(&mut self, batch: &Batch, fence: Fence) -> Result<(), BackendError>;
}

/// `each` has seen enough; why is its own affair.
#[derive(Debug)]
pub struct Stop;

/// A lease's number. A commit under any but the newest is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub u64);

/// One record at rest.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub kind: &'a str,
    pub key: &'a str,
    /// The version of the record's type that wrote `json`.
    pub version: u32,
    /// The transaction that wrote it.
    pub revision: u64,
    pub json: &'a str,
}

/// What a database says about itself.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// See [`crate::SCHEMA`]; 0 for a database that has never been written.
    pub schema: u32,
    pub revision: u64,
    pub meta: BTreeMap<String, String>,
}

/// What becomes durable together.
#[derive(Debug, Default)]
pub struct Batch {
    pub schema: u32,
    /// The last transaction in it.
    pub revision: u64,
    /// At most one per kind and key, in their order.
    pub writes: Vec<Write>,
    pub meta: BTreeMap<Arc<str>, Arc<str>>,
}

/// One record's new form; `json` is `None` where it is deleted.
#[derive(Debug, Clone)]
pub struct Write {
    pub kind: &'static str,
    pub key: Key,
    pub version: u32,
    pub revision: u64,
    pub json: Option<String>,
}

/// Why the disk or database refused. None of them is worth an immediate retry.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    #[error("the data is in use by {by}")]
    Held { by: String },
    #[error("another server has taken over (fence {newest}, ours was {ours})")]
    Fenced { ours: u64, newest: u64 },
    #[error("no space is left for the database")]
    Full,
    #[error("the database cannot be written: {0}")]
    ReadOnly(String),
    #[error("the database is damaged or is none: {0}")]
    Corrupt(String),
    #[error("the database has schema {found}, this program knows up to {known}")]
    NewerSchema { found: u32, known: u32 },
    #[error("loading was ended")]
    Stopped,
    #[error("the database failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the store was shut down")]
    ShutDown,
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
