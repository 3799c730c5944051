//! The SQLite backend through its public surface.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash;
mod trouble;

use store::{Backend, Store};
use store_sqlite::Sqlite;

#[test]
fn sqlite_passes_the_suite() {
    store::suite::run(&|| {
        let dir = tempfile::tempdir().unwrap();
        Box::new(move || {
            let sqlite = Sqlite::open(&dir.path().join("records.db"))?;
            Ok(Box::new(sqlite) as Box<dyn Backend>)
        })
    });
}

fn open(path: &std::path::Path) -> Result<Store, store::OpenError> {
    let sqlite = Sqlite::open(path)?;
    Store::open(Box::new(sqlite), store::suite::kinds())
}
