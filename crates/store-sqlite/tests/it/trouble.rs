use std::convert::Infallible;
use std::fs;

use store::suite::Note;
use store::{BackendError, Key, OpenError};

use crate::open;

fn cause(result: Result<store::Store, OpenError>) -> BackendError {
    match result {
        Err(OpenError::Backend(cause)) => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_second_server_is_told_who_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let first = open(&path).unwrap();
    let text = cause(open(&path)).to_string();
    assert_eq!(text, format!("the data is in use by process {}", std::process::id()));
    first.blocking_shut_down();
    open(&path).unwrap();
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let text = "surely not a database, but long enough to have a header".repeat(100);
    fs::write(&path, &text).unwrap();
    assert!(matches!(cause(open(&path)), BackendError::Corrupt(_)));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_damaged_database_is_said_to_be_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let store = open(&path).unwrap();
    let put = store.blocking_write("put", |tx| {
        (0..500).for_each(|n| tx.put(Note::new("a", &n.to_string(), &"text".repeat(100))));
        Ok::<_, Infallible>(())
    });
    put.unwrap();
    store.blocking_shut_down();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(cause(open(&path)), BackendError::Corrupt(_)));
}

#[test]
fn a_row_that_somebody_broke_is_said_to_be_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    open(&path).unwrap().blocking_shut_down();
    let editor = rusqlite::Connection::open(&path).unwrap();
    editor.execute("INSERT INTO records VALUES ('suite/note', 'a', 1, 1, x'ff')", []).unwrap();
    assert!(matches!(cause(open(&path)), BackendError::Corrupt(_)));
    editor.execute("UPDATE records SET json = '{\"owner\":'", []).unwrap();
    let unreadable = open(&path);
    assert!(matches!(&unreadable, Err(OpenError::Unreadable { key, .. }) if key == "a"), "{unreadable:?}");
    let moved = r#"UPDATE records SET json = '{"owner":"a","name":"b","text":""}'"#;
    editor.execute(moved, []).unwrap();
    assert!(matches!(open(&path), Err(OpenError::Unreadable { .. })));
}

#[test]
fn a_missing_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nowhere").join("records.db");
    let cause = cause(open(&path));
    assert!(matches!(&cause, BackendError::ReadOnly(_)), "{cause:?}");
    assert!(cause.to_string().contains("nowhere"), "{cause}");
}

#[test]
fn other_programs_may_look_while_a_server_writes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let store = open(&path).unwrap();
    let put = store.blocking_write("put", |tx| {
        tx.put(Note::new("a", "1", "text"));
        Ok::<_, Infallible>(())
    });
    put.unwrap();
    let reader = rusqlite::Connection::open(&path).unwrap();
    let row = reader.query_row("SELECT key, json FROM records", [], |row| Ok((row.get(0)?, row.get(1)?)));
    let (key, json): (String, String) = row.unwrap();
    assert_eq!(Key::from_text(&key), Key::of(&["a", "1"]));
    assert_eq!(json, r#"{"owner":"a","name":"1","text":"text"}"#);
}
