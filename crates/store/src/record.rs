//! What a record is, and which kinds of records a database may hold.

use std::any::{Any, TypeId, type_name};
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Key;

/// A record of any kind.
pub(crate) type Erased = Arc<dyn Any + Send + Sync>;

/// A typed value that the store keeps. Written as JSON under its kind, key and version.
pub trait Record: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Names the kind in the database and in changes: `ecs/cluster`.
    const KIND: &'static str;
    /// Grows whenever older JSON no longer decodes into this type, along with [`Record::migrate`].
    const VERSION: u32 = 1;

    fn key(&self) -> Key;

    /// Adds the entries under which [`crate::Snapshot::by`] finds the record.
    fn index(&self, _entries: &mut Entries) {}

    /// Turns the JSON of version `from` into that of [`Record::VERSION`]. The default refuses.
    fn migrate(from: u32, _json: Value) -> Result<Value, String> {
        Err(format!("no migration from version {from}"))
    }
}

/// A record's entries in its kind's secondary indexes.
#[derive(Debug, Default)]
pub struct Entries(pub(crate) Vec<(&'static str, Key)>);

impl Entries {
    /// Enters the record in `index` at `parts`. Several records may share an entry, and one record
    /// may have several in the same index.
    pub fn add(&mut self, index: &'static str, parts: &[&str]) {
        self.0.push((index, Key::of(parts)));
    }
}

/// The kinds of records that a database may hold, and how to read them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Kinds {
    kinds: Arc<Vec<Kind>>,
    places: Arc<BTreeMap<&'static str, usize>>,
}

impl Kinds {
    /// Adds a kind.
    ///
    /// # Panics
    /// If another type already has that kind's name.
    #[must_use]
    pub fn with<R: Record>(self) -> Self {
        self.with_kind(Kind::of::<R>())
    }

    /// Adds all kinds of `other`.
    ///
    /// # Panics
    /// If two types share a kind's name.
    #[must_use]
    pub fn and(self, other: &Kinds) -> Self {
        other.kinds.iter().fold(self, |all, kind| all.with_kind(*kind))
    }

    fn with_kind(mut self, kind: Kind) -> Self {
        if let Some(known) = self.find(kind.name) {
            assert_eq!(known.type_id, kind.type_id, "two types are called {}", kind.name);
            return self;
        }
        let kinds = Arc::make_mut(&mut self.kinds);
        Arc::make_mut(&mut self.places).insert(kind.name, kinds.len());
        kinds.push(kind);
        self
    }

    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.places.keys().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.kinds.len()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Kind> {
        self.places.get(name).map(|&place| &self.kinds[place])
    }

    pub(crate) fn place_of(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    pub(crate) fn at(&self, place: usize) -> &Kind {
        &self.kinds[place]
    }

    /// The place of `R`'s table.
    pub(crate) fn place<R: Record>(&self) -> usize {
        let Some(&place) = self.places.get(R::KIND) else {
            panic!("{} ({}) is not among the store's kinds", R::KIND, type_name::<R>());
        };
        place
    }
}

/// One kind with its type forgotten.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub name: &'static str,
    pub version: u32,
    type_id: TypeId,
    pub decode: fn(&str) -> Result<(Key, Erased), String>,
    pub decode_value: fn(Value) -> Result<(Key, Erased), String>,
    pub migrate: fn(u32, Value) -> Result<Value, String>,
    pub encode: fn(&Erased) -> Result<String, String>,
    pub entries: fn(&Erased) -> Vec<(&'static str, Key)>,
}

impl Kind {
    fn of<R: Record>() -> Kind {
        Kind {
            name: R::KIND,
            version: R::VERSION,
            type_id: TypeId::of::<R>(),
            decode: |json| erase::<R>(serde_json::from_str(json)),
            decode_value: |json| erase::<R>(serde_json::from_value(json)),
            migrate: R::migrate,
            encode: |record| serde_json::to_string(cast::<R>(record)).map_err(|error| error.to_string()),
            entries: |record| {
                let mut entries = Entries::default();
                cast::<R>(record).index(&mut entries);
                entries.0
            },
        }
    }
}

fn erase<R: Record>(decoded: Result<R, serde_json::Error>) -> Result<(Key, Erased), String> {
    let record = decoded.map_err(|error| error.to_string())?;
    Ok((record.key(), Arc::new(record)))
}

fn cast<R: Record>(record: &Erased) -> &R {
    record.downcast_ref().expect("a kind has one type")
}
