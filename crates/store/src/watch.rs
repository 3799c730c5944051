//! What changed, as a bounded stream of durable commits.

use std::any::Any;
use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::record::Erased;
use crate::{Key, Record};

/// One record's change in one transaction.
#[derive(Debug, Clone)]
pub struct Change {
    pub kind: &'static str,
    pub key: Key,
    /// The revision that made the change.
    pub revision: u64,
    pub before: Option<Erased>,
    pub after: Option<Erased>,
}

impl Change {
    /// What the record was; `None` for another kind, and where there was none.
    pub fn before<R: Record>(&self) -> Option<Arc<R>> {
        self.cast(self.before.as_ref())
    }

    /// What the record is now; `None` for another kind, and where it was deleted.
    pub fn after<R: Record>(&self) -> Option<Arc<R>> {
        self.cast(self.after.as_ref())
    }

    /// Whether a record of type `R` changed.
    pub fn is<R: Record>(&self) -> bool {
        self.kind == R::KIND
    }

    fn cast<R: Record>(&self, record: Option<&Arc<dyn Any + Send + Sync>>) -> Option<Arc<R>> {
        if self.kind != R::KIND {
            return None;
        }
        Arc::clone(record?).downcast().ok()
    }
}

/// Changes of the transactions that became durable together, in order.
#[derive(Debug)]
pub struct Commit {
    /// The revision of the last of them; a snapshot taken after seeing this has at least it.
    pub revision: u64,
    pub changes: Vec<Change>,
}

/// What a watcher is told next.
#[derive(Debug, Clone)]
pub enum Event {
    Commit(Arc<Commit>),
    /// The watcher was too slow and has missed commits: it must look at everything again.
    Lagged,
    /// The store has closed; nothing more will come.
    Closed,
}

/// A reader of durable commits. A watcher that looks at a snapshot taken after it was made misses
/// nothing; it may be told of a change that the snapshot already has.
#[derive(Debug)]
pub struct Watch(pub(crate) broadcast::Receiver<Arc<Commit>>);

impl Watch {
    /// Waits for the next commit. Safe to cancel.
    pub async fn next(&mut self) -> Event {
        match self.0.recv().await {
            Ok(commit) => Event::Commit(commit),
            Err(RecvError::Lagged(_)) => Event::Lagged,
            Err(RecvError::Closed) => Event::Closed,
        }
    }

    /// The next commit if it has already happened; again and again `Closed` once the store has.
    pub fn try_next(&mut self) -> Option<Event> {
        match self.0.try_recv() {
            Ok(commit) => Some(Event::Commit(commit)),
            Err(TryRecvError::Lagged(_)) => Some(Event::Lagged),
            Err(TryRecvError::Closed) => Some(Event::Closed),
            Err(TryRecvError::Empty) => None,
        }
    }
}
