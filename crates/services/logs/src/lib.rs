//! Amazon CloudWatch Logs: log groups, streams and their events.
//!
//! Groups and streams are records; events lie in the journal, where a stream is known by ids that
//! are drawn anew whenever a group or stream is made, so that what a deleted one held never comes
//! back under its name.
//!
//! Invariant: putting events writes no record. First and last event times, sizes and sequence
//! tokens are derived from the journal.
//! Invariant: an event older than its group's retention is never answered, collected or not.
//!
//! Deliberately ignores metric and subscription filters, Insights queries, exports, live tail,
//! encryption with customer keys and linked accounts: refused by name.

mod api;
mod behaviour;
mod convert;
mod data;
mod faults;
mod state;

use std::sync::Arc;

use journal::Journal;
use service::Service;

pub use behaviour::accept::{Incoming, Put};
pub use data::once::Target;
pub use data::sweep::Swept;
pub use faults::refuse;

/// The service with the journal that its events lie in. Cheap to clone.
#[derive(Clone)]
pub struct Logs {
    journal: Arc<Journal>,
}

impl Logs {
    pub fn new(journal: Arc<Journal>) -> Self {
        Logs { journal }
    }

    /// Resolves once the disk has failed the journal: nobody knows then what is on it, and the
    /// process should end.
    pub async fn closed(&self) {
        self.journal.closed().await;
    }

    /// The service with its operations.
    pub fn service(&self) -> Service {
        Service {
            api: &aws_logs::API,
            operations: api::operations(&self.journal),
            kinds: state::kinds,
            refuse: faults::refuse,
            observe: None,
        }
    }
}
