//! From rows at rest to a snapshot: decode, migrate, index.

use std::sync::Arc;

use crate::backend::{Backend, BackendError, Batch, Fence, Row, Stop, Write};
use crate::record::{Erased, Kind, Kinds};
use crate::snapshot::{State, Versioned};
use crate::{Key, SCHEMA, Snapshot};

/// Why a database cannot be served. Nothing of it has been changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("the database holds records of kind {kind}, which this program does not know")]
    UnknownKind { kind: String },
    #[error("{kind} {key} has version {found}, this program knows up to {known}")]
    NewerRecord { kind: &'static str, key: String, found: u32, known: u32 },
    #[error("{kind} {key} cannot be read: {reason}")]
    Unreadable { kind: &'static str, key: String, reason: String },
    #[error("a thread for the store cannot be started")]
    Thread(#[source] std::io::Error),
}

/// Reads everything; records of older versions are migrated, also at rest.
pub(crate) fn load(backend: &mut dyn Backend, kinds: Kinds, fence: Fence) -> Result<Snapshot, OpenError> {
    let head = backend.head()?;
    if head.schema > SCHEMA {
        return Err(BackendError::NewerSchema { found: head.schema, known: SCHEMA }.into());
    }
    let mut snapshot = Snapshot::empty(kinds);
    let state = Arc::make_mut(&mut snapshot.state);
    let mut migrated = Vec::new();
    let mut failure = None;
    let walked = backend.load(&mut |row| {
        take(state, &mut migrated, row).map_err(|error| {
            failure = Some(error);
            Stop
        })
    });
    if let Some(error) = failure {
        return Err(error);
    }
    walked?;
    state.revision = head.revision;
    for (name, value) in &head.meta {
        state.meta.insert(name.as_str().into(), value.as_str().into());
    }
    if !migrated.is_empty() {
        migrated.sort_by(|a, b| (a.kind, &a.key).cmp(&(b.kind, &b.key)));
        let batch = Batch { schema: SCHEMA, revision: head.revision, writes: migrated, ..Batch::default() };
        backend.commit(&batch, fence)?;
    }
    Ok(snapshot)
}

fn take(state: &mut State, migrated: &mut Vec<Write>, row: Row<'_>) -> Result<(), OpenError> {
    let place =
        state.kinds.place_of(row.kind).ok_or_else(|| OpenError::UnknownKind { kind: row.kind.to_owned() })?;
    let kind = *state.kinds.at(place);
    let key = Key::from_text(row.key);
    let unreadable = |reason| OpenError::Unreadable { kind: kind.name, key: key.to_string(), reason };
    if row.version > kind.version {
        let (found, known) = (row.version, kind.version);
        return Err(OpenError::NewerRecord { kind: kind.name, key: key.to_string(), found, known });
    }
    let is_old = row.version < kind.version;
    let (at, record) =
        if is_old { migrate(&kind, row) } else { (kind.decode)(row.json) }.map_err(unreadable)?;
    if is_old {
        let json = (kind.encode)(&record).map_err(unreadable)?;
        let (kind, version, revision) = (kind.name, kind.version, row.revision);
        if at != key {
            migrated.push(Write { kind, key: key.clone(), version, revision, json: None });
        }
        migrated.push(Write { kind, key: at.clone(), version, revision, json: Some(json) });
    } else if at != key {
        return Err(unreadable(format!("it says that its key is {at}")));
    }
    state.tables[place].set(&kind, &at, Some(Versioned { record, revision: row.revision }));
    Ok(())
}

fn migrate(kind: &Kind, row: Row<'_>) -> Result<(Key, Erased), String> {
    let json = serde_json::from_str(row.json).map_err(|error| error.to_string())?;
    (kind.decode_value)((kind.migrate)(row.version, json)?)
}
