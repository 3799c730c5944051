//! One instant of the whole state.

use std::any::Any;
use std::sync::Arc;

use crate::map::Map;
use crate::record::{Erased, Kinds};
use crate::{Change, Key, Record};

/// The state at one revision. A clone costs one counter; nothing ever changes it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) state: Arc<State>,
}

#[derive(Debug, Clone)]
pub(crate) struct State {
    pub revision: u64,
    pub kinds: Kinds,
    /// One per kind, in the order of `kinds`.
    pub tables: Vec<Table>,
    pub meta: Map<Arc<str>, Arc<str>>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub records: Map<Key, Versioned>,
    pub indexes: Map<IndexKey, ()>,
}

#[derive(Debug, Clone)]
pub(crate) struct Versioned {
    pub record: Erased,
    pub revision: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct IndexKey {
    pub index: &'static str,
    pub entry: Key,
    pub record: Key,
}

/// How far a walk over every record has come. The default is its beginning.
#[derive(Debug, Clone, Default)]
pub struct Place {
    table: usize,
    after: Option<Key>,
}

/// Something that was read of a snapshot, so that it can be told later whether it has moved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Read {
    Record { kind: &'static str, key: Key },
    Prefix { kind: &'static str, prefix: Key },
    Index { kind: &'static str, index: &'static str, prefix: Key },
}

impl Snapshot {
    pub(crate) fn empty(kinds: Kinds) -> Self {
        let tables = vec![Table::default(); kinds.len()];
        Snapshot { state: Arc::new(State { revision: 0, kinds, tables, meta: Map::default() }) }
    }

    /// The revision of the last transaction in this state; 0 before the first.
    pub fn revision(&self) -> u64 {
        self.state.revision
    }

    pub fn get<R: Record>(&self, key: &Key) -> Option<Arc<R>> {
        self.get_versioned(key).map(|(record, _)| record)
    }

    /// A record with the revision that wrote it.
    pub fn get_versioned<R: Record>(&self, key: &Key) -> Option<(Arc<R>, u64)> {
        let found = self.table::<R>().records.get(key)?;
        Some((cast(Arc::clone(&found.record)), found.revision))
    }

    pub fn contains<R: Record>(&self, key: &Key) -> bool {
        self.table::<R>().records.get(key).is_some()
    }

    /// Records under `prefix` in the order of their keys. The iterator keeps its instant: a
    /// transaction may write while it walks.
    pub fn scan<R: Record>(&self, prefix: &Key) -> impl Iterator<Item = Arc<R>> + use<R> {
        under(self.table::<R>(), prefix).map(|(_, found)| cast(found.record))
    }

    /// Records under `prefix` whose keys come behind `after`: the next page.
    pub fn scan_after<R: Record>(&self, prefix: &Key, after: &Key) -> impl Iterator<Item = Arc<R>> + use<R> {
        let records = &self.table::<R>().records;
        let start = if after < prefix { records.from(prefix) } else { records.after(after) };
        let prefix = prefix.clone();
        start.take_while(move |(key, _)| key.is_under(&prefix)).map(|(_, found)| cast(found.record))
    }

    /// Records with an entry under `prefix` in `index`, in the order of their entries, then keys.
    pub fn by<R: Record>(&self, index: &'static str, prefix: &Key) -> impl Iterator<Item = Arc<R>> + use<R> {
        indexed(self.table::<R>(), index, prefix).map(|(_, found)| cast(found.record))
    }

    /// How many entries there are under `prefix` in `index`; the records are not looked at.
    pub fn count_by<R: Record>(&self, index: &'static str, prefix: &Key) -> usize {
        entries(self.table::<R>(), index, prefix).count()
    }

    /// How many records of the kind there are.
    pub fn count<R: Record>(&self) -> usize {
        self.table::<R>().records.len()
    }

    /// Every record of every kind as a change that has just made it: what a watcher that has missed
    /// something looks at instead.
    pub fn changes(&self) -> impl Iterator<Item = Change> + use<> {
        let state = Arc::clone(&self.state);
        (0..state.tables.len()).flat_map(move |place| {
            let kind = state.kinds.at(place).name;
            state.tables[place].records.iter().map(move |(key, found)| Change {
                kind,
                key,
                revision: found.revision,
                before: None,
                after: Some(found.record),
            })
        })
    }

    /// As [`Snapshot::changes`], at most `count` of them, from where an earlier call has ended. `None`
    /// behind the last. The snapshots of a walk may differ: what is there all the while is seen once.
    pub fn changes_from(&self, from: Place, count: usize) -> (Vec<Change>, Option<Place>) {
        let mut changes = Vec::new();
        let Place { mut table, mut after } = from;
        while let Some(records) = self.state.tables.get(table).map(|table| &table.records) {
            let kind = self.state.kinds.at(table).name;
            let rest = after.take().map_or_else(|| records.iter(), |key| records.after(&key));
            for (key, found) in rest {
                if changes.len() == count {
                    let after = changes.last().map(|change: &Change| change.key.clone());
                    // The last one seen may be of an earlier table.
                    let after = after.filter(|_| changes.last().is_some_and(|change| change.kind == kind));
                    return (changes, Some(Place { table, after }));
                }
                changes.push(Change {
                    kind,
                    key,
                    revision: found.revision,
                    before: None,
                    after: Some(found.record),
                });
            }
            table += 1;
        }
        (changes, None)
    }

    /// A fact about the database itself that the server keeps: its runtime, its clock's offset.
    pub fn meta(&self, name: &str) -> Option<Arc<str>> {
        self.state.meta.get(&Arc::from(name)).cloned()
    }

    /// Whether all of `reads` would give the same records, written by the same revisions, as they
    /// did in `earlier`.
    pub fn agrees(&self, earlier: &Snapshot, reads: &[Read]) -> bool {
        reads.iter().all(|read| self.agrees_on(earlier, read))
    }

    fn agrees_on(&self, earlier: &Snapshot, read: &Read) -> bool {
        let kind = match read {
            Read::Record { kind, .. } | Read::Prefix { kind, .. } | Read::Index { kind, .. } => kind,
        };
        let (Some(now), Some(then)) = (self.table_of(kind), earlier.table_of(kind)) else { return false };
        if now.records.is_same(&then.records) {
            return true;
        }
        let place = |(key, found): (Key, Versioned)| (key, found.revision);
        match read {
            Read::Record { key, .. } => {
                let revision = |table: &Table| table.records.get(key).map(|found| found.revision);
                revision(now) == revision(then)
            }
            Read::Prefix { prefix, .. } => under(now, prefix).map(place).eq(under(then, prefix).map(place)),
            Read::Index { index, prefix, .. } => {
                indexed(now, index, prefix).map(place).eq(indexed(then, index, prefix).map(place))
            }
        }
    }

    fn table<R: Record>(&self) -> &Table {
        &self.state.tables[self.state.kinds.place::<R>()]
    }

    fn table_of(&self, kind: &str) -> Option<&Table> {
        Some(&self.state.tables[self.state.kinds.place_of(kind)?])
    }
}

impl Table {
    /// Sets or removes a record with its index entries; returns what was there.
    pub fn set(&mut self, kind: &crate::record::Kind, key: &Key, to: Option<Versioned>) -> Option<Versioned> {
        let new = to.as_ref().map_or_else(Vec::new, |to| (kind.entries)(&to.record));
        let old = match to {
            Some(to) => self.records.insert(key.clone(), to),
            None => self.records.remove(key),
        };
        let gone = old.as_ref().map_or_else(Vec::new, |old| (kind.entries)(&old.record));
        for entry in gone.iter().filter(|entry| !new.contains(entry)) {
            self.indexes.remove(&index_key(entry, key));
        }
        for entry in new.iter().filter(|entry| !gone.contains(entry)) {
            self.indexes.insert(index_key(entry, key), ());
        }
        old
    }
}

fn index_key((index, entry): &(&'static str, Key), record: &Key) -> IndexKey {
    IndexKey { index, entry: entry.clone(), record: record.clone() }
}

fn under(table: &Table, prefix: &Key) -> impl Iterator<Item = (Key, Versioned)> + use<> {
    let prefix = prefix.clone();
    table.records.from(&prefix).take_while(move |(key, _)| key.is_under(&prefix))
}

fn indexed(
    table: &Table,
    index: &'static str,
    prefix: &Key,
) -> impl Iterator<Item = (Key, Versioned)> + use<> {
    let records = table.records.clone();
    entries(table, index, prefix).map(move |at| {
        let found = records.get(&at.record).expect("an index entry has its record").clone();
        (at.record, found)
    })
}

fn entries(table: &Table, index: &'static str, prefix: &Key) -> impl Iterator<Item = IndexKey> + use<> {
    let prefix = prefix.clone();
    let start = IndexKey { index, entry: prefix.clone(), record: Key::all() };
    let indexes = table.indexes.from(&start);
    indexes.map(|(at, ())| at).take_while(move |at| at.index == index && at.entry.is_under(&prefix))
}

fn cast<R: Record>(record: Arc<dyn Any + Send + Sync>) -> Arc<R> {
    record.downcast().expect("a kind has one type")
}
