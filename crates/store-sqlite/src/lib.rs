//! Records in one SQLite database: the embedded home of the store.
//!
//! Owns the database's layout and settings, and the lock that keeps a second server out. Any SQLite
//! client may look while a server runs: keys, versions and JSON are plain text.
//!
//! ```text
//! meta     name → value            schema, revision, fence
//! facts    name → value            what the server keeps: its runtime, its clock's offset
//! records  kind, key → version, revision, json      key parts are joined by a tab
//! DATABASE-lock                    locked by the server; holds its process id
//! ```
//!
//! Invariant: a commit has returned only after its WAL frames are synced (`synchronous=FULL`), and
//! it is one SQLite transaction. Invariant: nothing is written without the lock.
//!
//! Deliberately ignores what records mean.

mod fault;
mod lock;
mod sqlite;

pub use sqlite::Sqlite;
