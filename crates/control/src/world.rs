//! What a plan is made from.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use base::{Chance, Timestamp};
use store::{Key, Read, Record, Snapshot};

/// One snapshot, one instant, one seed. Notes what is read, so that the plan is committed only if
/// none of it has moved.
#[derive(Debug)]
pub struct World {
    pub now: Timestamp,
    snapshot: Snapshot,
    chance: Chance,
    reads: RefCell<BTreeSet<Read>>,
}

impl World {
    pub fn new(snapshot: Snapshot, now: Timestamp, chance: Chance) -> World {
        World { now, snapshot, chance, reads: RefCell::default() }
    }

    pub fn get<R: Record>(&self, key: &Key) -> Option<Arc<R>> {
        self.note(Read::Record { kind: R::KIND, key: key.clone() });
        self.snapshot.get(key)
    }

    /// See [`Snapshot::scan`]. However far it is walked, all of the prefix counts as read.
    pub fn scan<R: Record>(&self, prefix: &Key) -> impl Iterator<Item = Arc<R>> + use<R> {
        self.note(Read::Prefix { kind: R::KIND, prefix: prefix.clone() });
        self.snapshot.scan(prefix)
    }

    /// See [`Snapshot::by`]. However far it is walked, all of the prefix counts as read.
    pub fn by<R: Record>(&self, index: &'static str, prefix: &Key) -> impl Iterator<Item = Arc<R>> + use<R> {
        self.note(Read::Index { kind: R::KIND, index, prefix: prefix.clone() });
        self.snapshot.by(index, prefix)
    }

    /// The same instant without notes: for what may have moved by the time of the commit.
    pub fn peek(&self) -> &Snapshot {
        &self.snapshot
    }

    /// A source of chance of its own for `name`.
    pub fn chance(&self, name: &str) -> Chance {
        self.chance.split(name)
    }

    pub(crate) fn into_reads(self) -> (Snapshot, Vec<Read>) {
        (self.snapshot, self.reads.into_inner().into_iter().collect())
    }

    fn note(&self, read: Read) {
        self.reads.borrow_mut().insert(read);
    }
}
