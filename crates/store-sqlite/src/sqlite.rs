//! The backend itself.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, ToSql, params};
use store::{Backend, BackendError, Batch, Fence, Head, Row, SCHEMA, Stop, Write};

use crate::fault;
use crate::lock::Lock;

/// How long another SQLite client's write may keep a commit waiting.
const PATIENCE: Duration = Duration::from_secs(10);

const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA cache_size = -1024;
    PRAGMA journal_size_limit = 8388608;
    PRAGMA temp_store = MEMORY;
";

const LAYOUT: &str = "
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS records (
        kind TEXT NOT NULL, key TEXT NOT NULL,
        version INTEGER NOT NULL, revision INTEGER NOT NULL, json TEXT NOT NULL,
        PRIMARY KEY (kind, key)
    ) WITHOUT ROWID;
    INSERT OR IGNORE INTO meta VALUES ('schema', 0), ('revision', 0), ('fence', 0);
";

const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";
/// Changes a row only under the newest fence.
const ADVANCE: &str = "UPDATE meta SET value = ?1 WHERE name = 'revision'
    AND ?2 = (SELECT value FROM meta WHERE name = 'fence')";
const PUT: &str = "INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE
    SET version = excluded.version, revision = excluded.revision, json = excluded.json";
const DELETE: &str = "DELETE FROM records WHERE kind = ?1 AND key = ?2";
const PUT_FACT: &str = "INSERT INTO facts VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value";
const SET_SCHEMA: &str = "UPDATE meta SET value = ?1 WHERE name = 'schema'";
const RAISE_FENCE: &str = "UPDATE meta SET value = value + 1 WHERE name = 'fence' RETURNING value";

/// One open of a database. See the crate for its layout.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    path: PathBuf,
    /// What the database's meta says; spares a write per commit.
    schema: u32,
    /// Declared last: given up after the connection has been closed.
    lock: Option<Lock>,
}

impl Sqlite {
    /// Opens the database at `path`; its directory must exist. Writes nothing before the lease.
    pub fn open(path: &Path) -> Result<Sqlite, BackendError> {
        let connection = Connection::open(path).map_err(fault::of)?;
        connection.busy_timeout(PATIENCE).map_err(fault::of)?;
        Ok(Sqlite { connection, path: path.to_owned(), schema: 0, lock: None })
    }

    fn prepare(&mut self) -> Result<Fence, BackendError> {
        let schema = self.head()?.schema;
        if schema > SCHEMA {
            return Err(BackendError::NewerSchema { found: schema, known: SCHEMA });
        }
        self.schema = schema;
        self.connection.execute_batch(SETTINGS).map_err(fault::of)?;
        self.connection.execute_batch(BEGIN).map_err(fault::of)?;
        self.connection.execute_batch(LAYOUT).map_err(fault::of)?;
        let fence: i64 = self.connection.query_row(RAISE_FENCE, [], |row| row.get(0)).map_err(fault::of)?;
        self.connection.execute_batch(COMMIT).map_err(fault::of)?;
        Ok(Fence(fence.unsigned_abs()))
    }

    fn run(&self, statement: &str, with: &[&dyn ToSql]) -> Result<usize, BackendError> {
        self.connection.prepare_cached(statement).and_then(|mut it| it.execute(with)).map_err(fault::of)
    }

    fn write(&self, batch: &Batch, fence: Fence) -> Result<(), BackendError> {
        let advanced = self.run(ADVANCE, &[&signed(batch.revision), &signed(fence.0)])?;
        if advanced == 0 {
            return Err(BackendError::Fenced { ours: fence.0, newest: self.meta("fence")? });
        }
        for Write { kind, key, version, revision, json } in &batch.writes {
            let key = key.as_str();
            match json {
                Some(json) => self.run(PUT, &[kind, &key, version, &signed(*revision), json])?,
                None => self.run(DELETE, &[kind, &key])?,
            };
        }
        for (name, value) in &batch.meta {
            self.run(PUT_FACT, &[name, value])?;
        }
        if batch.schema != self.schema {
            self.run(SET_SCHEMA, &[&batch.schema])?;
        }
        Ok(())
    }

    /// 0 where there is none.
    fn meta(&self, name: &str) -> Result<u64, BackendError> {
        let found = self
            .connection
            .query_row("SELECT value FROM meta WHERE name = ?1", params![name], |row| row.get::<_, i64>(0))
            .optional();
        Ok(found.map_err(fault::of)?.unwrap_or(0).unsigned_abs())
    }

    fn is_laid_out(&self) -> Result<bool, BackendError> {
        self.connection.table_exists(None, "records").map_err(fault::of)
    }
}

impl Backend for Sqlite {
    fn hold_lease(&mut self) -> Result<Fence, BackendError> {
        if self.lock.is_none() {
            let mut beside = OsString::from(&self.path);
            beside.push("-lock");
            self.lock = Some(Lock::take(Path::new(&beside))?);
        }
        self.prepare()
    }

    fn head(&mut self) -> Result<Head, BackendError> {
        if !self.is_laid_out()? {
            return Ok(Head::default());
        }
        let schema = u32::try_from(self.meta("schema")?).unwrap_or(u32::MAX);
        let mut query = self.connection.prepare("SELECT name, value FROM facts").map_err(fault::of)?;
        let facts = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(fault::of)?;
        let meta = facts.collect::<Result<BTreeMap<_, _>, _>>().map_err(fault::of)?;
        Ok(Head { schema, revision: self.meta("revision")?, meta })
    }

    fn load(&mut self, each: &mut dyn FnMut(Row<'_>) -> Result<(), Stop>) -> Result<(), BackendError> {
        if !self.is_laid_out()? {
            return Ok(());
        }
        let all = "SELECT kind, key, version, revision, json FROM records";
        let mut query = self.connection.prepare(all).map_err(fault::of)?;
        let mut rows = query.query([]).map_err(fault::of)?;
        while let Some(row) = rows.next().map_err(fault::of)? {
            each(borrow(row).map_err(fault::of)?).map_err(|Stop| BackendError::Stopped)?;
        }
        Ok(())
    }

    fn commit(&mut self, batch: &Batch, fence: Fence) -> Result<(), BackendError> {
        if self.lock.is_none() {
            return Err(BackendError::ReadOnly(String::from("the lease is not held")));
        }
        self.run(BEGIN, &[])?;
        let done = self.write(batch, fence).and_then(|()| self.run(COMMIT, &[]));
        if let Err(error) = done {
            // Some failures have rolled back already; then this one fails, and need not be told.
            let _ = self.run(ROLLBACK, &[]);
            return Err(error);
        }
        self.schema = batch.schema;
        Ok(())
    }
}

fn borrow<'a>(row: &'a rusqlite::Row<'_>) -> rusqlite::Result<Row<'a>> {
    Ok(Row {
        kind: row.get_ref(0)?.as_str()?,
        key: row.get_ref(1)?.as_str()?,
        version: row.get(2)?,
        revision: row.get::<_, i64>(3)?.unsigned_abs(),
        json: row.get_ref(4)?.as_str()?,
    })
}

/// SQLite's integers are signed; revisions do not reach that far.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use store::suite::Note;
    use store::{Backend, BackendError, Batch, Key, Record, SCHEMA, Write};

    use super::Sqlite;

    fn batch(revision: u64, notes: usize) -> Batch {
        let write = |n: usize| Write {
            kind: Note::KIND,
            key: Key::of(&["a", &n.to_string()]),
            version: 1,
            revision,
            json: Some("x".repeat(3000)),
        };
        Batch { schema: SCHEMA, revision, writes: (0..notes).map(write).collect(), ..Batch::default() }
    }

    #[test]
    fn a_full_disk_is_said_and_leaves_the_batch_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut sqlite = Sqlite::open(&dir.path().join("records.db")).unwrap();
        let fence = sqlite.hold_lease().unwrap();
        sqlite.commit(&batch(1, 1), fence).unwrap();
        sqlite.connection.pragma_update(None, "max_page_count", 10).unwrap();
        let full = sqlite.commit(&batch(2, 20), fence);
        assert!(matches!(full, Err(BackendError::Full)), "{full:?}");
        let mut rows = 0;
        let mut count = |_: store::Row<'_>| {
            rows += 1;
            Ok(())
        };
        sqlite.load(&mut count).unwrap();
        assert_eq!((rows, sqlite.head().unwrap().revision), (1, 1));
    }
}
