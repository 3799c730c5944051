//! One writing transaction.

use std::ops::Deref;
use std::sync::Arc;

use crate::map::Map;
use crate::snapshot::{State, Versioned};
use crate::watch::Change;
use crate::{Key, Record, Snapshot};

/// Reads see the state before it and its own writes; nobody else sees them until they are durable.
#[derive(Debug)]
pub struct Transaction {
    now: Snapshot,
    /// What the transaction writes; one above the state it started from.
    revision: u64,
    touched: Touched,
}

/// By the kind's place and the key: what was there before the transaction.
type Touched = Map<(usize, Key), Option<Versioned>>;

/// Where to go back to; see [`Transaction::savepoint`].
#[derive(Debug, Clone)]
pub struct Savepoint {
    now: Snapshot,
    touched: Touched,
}

impl Transaction {
    pub(crate) fn new(before: Snapshot) -> Self {
        let revision = before.revision() + 1;
        Transaction { now: before, revision, touched: Touched::default() }
    }

    /// Writes `record` over what has its key.
    pub fn put<R: Record>(&mut self, record: R) {
        self.put_shared(Arc::new(record));
    }

    /// [`Transaction::put`] of a record that others hold too.
    pub fn put_shared<R: Record>(&mut self, record: Arc<R>) {
        let key = record.key();
        let versioned = Versioned { record, revision: self.revision };
        let place = self.now.state.kinds.place::<R>();
        self.set(place, key, Some(versioned));
    }

    /// Removes the record at `key`; says whether there was one.
    pub fn delete<R: Record>(&mut self, key: &Key) -> bool {
        if !self.contains::<R>(key) {
            return false;
        }
        let place = self.now.state.kinds.place::<R>();
        self.set(place, key.clone(), None);
        true
    }

    /// Removes all records of all kinds that `is_gone` picks; for a reset.
    pub fn delete_all(&mut self, is_gone: impl Fn(&str, &Key) -> bool) {
        for place in 0..self.now.state.tables.len() {
            let kind = self.now.state.kinds.at(place).name;
            let keys = self.now.state.tables[place].records.iter().map(|(key, _)| key);
            for key in keys.filter(|key| is_gone(kind, key)) {
                self.set(place, key, None);
            }
        }
    }

    /// Keeps a fact about the database itself; see [`Snapshot::meta`].
    pub fn set_meta(&mut self, name: &str, value: &str) {
        self.state().meta.insert(name.into(), value.into());
    }

    /// What [`Transaction::rollback`] returns to. Costs two counters.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint { now: self.now.clone(), touched: self.touched.clone() }
    }

    /// Forgets every write since `to` was made of this transaction.
    pub fn rollback(&mut self, to: Savepoint) {
        self.now = to.now;
        self.touched = to.touched;
    }

    /// Runs `part`; if it fails, none of its writes is left.
    pub fn attempt<T, E>(&mut self, part: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let savepoint = self.savepoint();
        let result = part(self);
        if result.is_err() {
            self.rollback(savepoint);
        }
        result
    }

    fn set(&mut self, place: usize, key: Key, to: Option<Versioned>) {
        let state = self.state();
        let kind = *state.kinds.at(place);
        let before = state.tables[place].set(&kind, &key, to);
        let at = (place, key);
        if self.touched.get(&at).is_none() {
            self.touched.insert(at, before);
        }
    }

    fn state(&mut self) -> &mut State {
        Arc::make_mut(&mut self.now.state)
    }

    /// The state that this transaction leaves, and its changes. `None` if it wrote nothing.
    pub(crate) fn finish(mut self, before: &Snapshot) -> Option<(Snapshot, Vec<Change>)> {
        let changes: Vec<_> = self.touched.iter().filter_map(|at| self.change(at)).collect();
        if changes.is_empty() && self.now.state.meta.is_same(&before.state.meta) {
            return None;
        }
        self.state().revision = self.revision;
        Some((self.now, changes))
    }

    fn change(&self, ((place, key), before): ((usize, Key), Option<Versioned>)) -> Option<Change> {
        let after = self.now.state.tables[place].records.get(&key);
        if before.is_none() && after.is_none() {
            return None;
        }
        Some(Change {
            kind: self.now.state.kinds.at(place).name,
            key,
            revision: self.revision,
            before: before.map(|before| before.record),
            after: after.map(|after| Arc::clone(&after.record)),
        })
    }
}

impl Deref for Transaction {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.now
    }
}
