//! One suite that every backend passes. Each backend's tests call [`run`].
//!
//! Panics, as tests do, where a backend breaks the contract of [`Backend`].

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::thread;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::backend::{Backend, BackendError, Batch, Fence, Write};
use crate::{Entries, Key, Kinds, OpenError, Record, SCHEMA, Store};

/// Opens one database, again and again; the first time it is new.
pub type Home = Box<dyn Fn() -> Result<Box<dyn Backend>, BackendError>>;

/// Runs every case on a database of its own.
pub fn run(new_home: &dyn Fn() -> Home) {
    let cases: [fn(&Home); 10] = [
        a_new_database_is_empty,
        what_was_acknowledged_is_there_after_a_restart,
        scans_are_in_order_after_a_restart,
        indexes_follow_the_records,
        any_text_comes_back_as_it_was,
        of_several_writes_the_last_stays,
        old_records_are_migrated_once,
        what_is_not_understood_is_refused,
        one_writer_at_a_time,
        concurrent_writers_lose_nothing,
    ];
    for case in cases {
        case(&new_home());
    }
}

/// A record to try things with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    pub owner: String,
    pub name: String,
    pub text: String,
}

impl Note {
    pub fn new(owner: &str, name: &str, text: &str) -> Note {
        Note { owner: owner.into(), name: name.into(), text: text.into() }
    }
}

impl Record for Note {
    const KIND: &'static str = "suite/note";

    fn key(&self) -> Key {
        Key::of(&[&self.owner, &self.name])
    }

    fn index(&self, entries: &mut Entries) {
        entries.add("by-text", &[&self.text, &self.owner]);
    }
}

/// What [`Note`] will have become.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LaterNote {
    owner: String,
    name: String,
    lines: Vec<String>,
}

impl Record for LaterNote {
    const KIND: &'static str = Note::KIND;
    const VERSION: u32 = 3;

    fn key(&self) -> Key {
        Key::of(&[&self.owner, &self.name])
    }

    fn migrate(from: u32, mut json: Value) -> Result<Value, String> {
        if from != Note::VERSION {
            return Err(format!("no migration from version {from}"));
        }
        let text = json["text"].take();
        json["lines"] = text.as_str().unwrap_or_default().split('\n').collect();
        Ok(json)
    }
}

pub fn kinds() -> Kinds {
    Kinds::default().with::<Note>()
}

fn backend(home: &Home) -> Box<dyn Backend> {
    home().expect("the database opens")
}

fn open(home: &Home) -> Store {
    Store::open(backend(home), kinds()).expect("the store opens")
}

fn put(store: &Store, notes: &[Note]) {
    let notes = notes.to_vec();
    let put = store.blocking_write("put", move |tx| {
        notes.into_iter().for_each(|note| tx.put(note));
        Ok::<_, Infallible>(())
    });
    put.expect("the write is kept");
}

fn texts(notes: impl Iterator<Item = impl AsRef<Note>>) -> Vec<String> {
    notes.map(|note| note.as_ref().text.clone()).collect()
}

fn a_new_database_is_empty(home: &Home) {
    let mut backend = backend(home);
    backend.hold_lease().expect("nobody else has the lease");
    backend.load(&mut |_| panic!("a new database has no record")).expect("it loads");
    let head = backend.head().expect("it has a head");
    assert_eq!((head.revision, head.meta.len()), (0, 0));
    assert!(head.schema <= SCHEMA);
}

fn what_was_acknowledged_is_there_after_a_restart(home: &Home) {
    let store = open(home);
    put(&store, &[Note::new("a", "1", "first"), Note::new("a", "2", "second")]);
    put(&store, &[Note::new("a", "2", "changed")]);
    let done = store.blocking_write("rest", |tx| {
        tx.put(Note::new("b", "1", "third"));
        tx.delete::<Note>(&Key::of(&["a", "1"]));
        tx.set_meta("runtime", "simulated");
        Ok::<_, Infallible>(())
    });
    done.expect("the write is kept");
    store.blocking_shut_down();

    let store = open(home);
    let snapshot = store.snapshot();
    assert_eq!(snapshot.revision(), 3);
    assert_eq!(snapshot.meta("runtime").as_deref(), Some("simulated"));
    assert_eq!(texts(snapshot.scan::<Note>(&Key::all())), ["changed", "third"]);
    let (_, revision) = snapshot.get_versioned::<Note>(&Key::of(&["a", "2"])).expect("it is there");
    assert_eq!(revision, 2);
    put(&store, &[Note::new("c", "1", "fourth")]);
    assert_eq!(store.snapshot().revision(), 4);
    store.blocking_shut_down();
}

fn scans_are_in_order_after_a_restart(home: &Home) {
    let store = open(home);
    let notes: Vec<_> = (0..100).rev().map(|n| Note::new("a", &format!("{n:03}"), "x")).collect();
    put(&store, &notes);
    put(&store, &[Note::new("ab", "000", "neighbor"), Note::new("A", "000", "neighbor")]);
    store.blocking_shut_down();

    let store = open(home);
    let snapshot = store.snapshot();
    let prefix = Key::of(&["a"]);
    let names: Vec<_> = snapshot.scan::<Note>(&prefix).map(|note| note.name.clone()).collect();
    assert_eq!(names, (0..100).map(|n| format!("{n:03}")).collect::<Vec<_>>());
    let page: Vec<_> = snapshot.scan_after::<Note>(&prefix, &prefix.child("041")).take(2).collect();
    assert_eq!([&page[0].name, &page[1].name], ["042", "043"]);
    assert_eq!(snapshot.scan_after::<Note>(&prefix, &prefix.child("099")).count(), 0);
    assert_eq!(snapshot.scan_after::<Note>(&prefix, &Key::of(&["A", "zzz"])).count(), 100);
    assert_eq!(snapshot.count::<Note>(), 102);
    store.blocking_shut_down();
}

fn indexes_follow_the_records(home: &Home) {
    let by = |store: &Store, text: &str| -> Vec<String> {
        let found = store.snapshot().by::<Note>("by-text", &Key::of(&[text]));
        found.map(|note| format!("{}{}", note.owner, note.name)).collect()
    };
    let store = open(home);
    put(&store, &[Note::new("b", "1", "red"), Note::new("a", "1", "red"), Note::new("a", "2", "redder")]);
    assert_eq!(by(&store, "red"), ["a1", "b1"]);
    put(&store, &[Note::new("a", "1", "blue")]);
    store.blocking_shut_down();

    let store = open(home);
    assert_eq!(by(&store, "red"), ["b1"]);
    assert_eq!(by(&store, "blue"), ["a1"]);
    assert_eq!(store.snapshot().by::<Note>("by-name", &Key::all()).count(), 0);
    store.blocking_shut_down();
}

fn any_text_comes_back_as_it_was(home: &Home) {
    let store = open(home);
    let odd = ["", "'\"\\;--", "\u{0}\t\n", "zażółć 🚢", "%_*", &"long".repeat(10_000)];
    let notes: Vec<_> = odd.iter().map(|text| Note::new(text, text, text)).collect();
    put(&store, &notes);
    store.blocking_shut_down();

    let store = open(home);
    for note in &notes {
        assert_eq!(store.snapshot().get::<Note>(&note.key()).as_deref(), Some(note));
    }
    store.blocking_shut_down();
}

fn of_several_writes_the_last_stays(home: &Home) {
    let mut backend = backend(home);
    let fence = backend.hold_lease().expect("nobody else has the lease");
    commit(&mut *backend, fence, 1, &[("a", Some(r#"{"n":1}"#)), ("b", Some(r#"{"n":1}"#))])
        .expect("it commits");
    commit(&mut *backend, fence, 2, &[("a", Some(r#"{"n":2}"#)), ("b", None), ("c", None)])
        .expect("it commits");
    assert_eq!(rows(&mut *backend), [("a".to_owned(), (1, 2, r#"{"n":2}"#.to_owned()))].into());
}

fn old_records_are_migrated_once(home: &Home) {
    let store = open(home);
    put(&store, &[Note::new("a", "1", "one\ntwo"), Note::new("a", "2", "three")]);
    store.blocking_shut_down();

    let store = Store::open(backend(home), Kinds::default().with::<LaterNote>()).expect("it migrates");
    let note = store.snapshot().get::<LaterNote>(&Key::of(&["a", "1"])).expect("it is there");
    assert_eq!(note.lines, ["one", "two"]);
    store.blocking_shut_down();

    let rows = rows(&mut *backend(home));
    let (version, revision, json) = &rows["a\t2"];
    assert_eq!((*version, *revision), (LaterNote::VERSION, 1));
    let json: Value = serde_json::from_str(json).expect("rows are JSON");
    assert_eq!(json["lines"], json!(["three"]));
}

fn what_is_not_understood_is_refused(home: &Home) {
    let store = Store::open(backend(home), Kinds::default().with::<LaterNote>()).expect("it opens");
    let later = LaterNote { owner: "a".into(), name: "1".into(), lines: vec![] };
    let put = store.blocking_write("put", move |tx| {
        tx.put(later);
        Ok::<_, Infallible>(())
    });
    put.expect("the write is kept");
    store.blocking_shut_down();

    let newer = Store::open(backend(home), kinds());
    assert!(matches!(newer, Err(OpenError::NewerRecord { found: 3, known: 1, .. })), "{newer:?}");
    let unknown = Store::open(backend(home), Kinds::default());
    assert!(matches!(&unknown, Err(OpenError::UnknownKind { kind }) if kind == Note::KIND), "{unknown:?}");
    assert_eq!(rows(&mut *backend(home)).len(), 1);

    let mut last = backend(home);
    let fence = last.hold_lease().expect("nobody else has the lease");
    let batch = Batch { schema: SCHEMA + 1, revision: 2, ..Batch::default() };
    last.commit(&batch, fence).expect("it commits");
    drop(last);
    let schema = home().map_err(OpenError::from).and_then(|it| Store::open(it, kinds()));
    assert!(matches!(schema, Err(OpenError::Backend(BackendError::NewerSchema { .. }))), "{schema:?}");
}

fn one_writer_at_a_time(home: &Home) {
    let mut first = backend(home);
    let old = first.hold_lease().expect("nobody else has the lease");
    let second = home().and_then(|mut second| second.hold_lease());
    assert!(matches!(second, Err(BackendError::Held { .. })), "{second:?}");
    commit(&mut *first, old, 1, &[("a", Some("{}"))]).expect("the holder goes on");
    drop(first);

    let mut second = backend(home);
    let new = second.hold_lease().expect("the lease is free again");
    assert!(new > old);
    let late = commit(&mut *second, old, 2, &[("a", None)]);
    assert!(matches!(late, Err(BackendError::Fenced { .. })), "{late:?}");
    assert_eq!(rows(&mut *second).len(), 1);
    commit(&mut *second, new, 2, &[("a", None)]).expect("the new holder writes");
    assert_eq!(rows(&mut *second).len(), 0);
}

fn concurrent_writers_lose_nothing(home: &Home) {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let store = open(home);
    put(&store, &[Note::new("sum", "all", "0")]);
    let add_one = |writer: usize, n: usize| {
        let added = store.blocking_write("add", move |tx| {
            let sum = tx.get::<Note>(&Key::of(&["sum", "all"])).expect("it was put first");
            let next = sum.text.parse::<usize>().expect("it is a number") + 1;
            tx.put(Note::new("sum", "all", &next.to_string()));
            tx.put(Note::new("by", &format!("{writer}-{n}"), ""));
            Ok::<_, Infallible>(())
        });
        added.expect("the write is kept");
    };
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || (0..EACH).for_each(|n| add_one(writer, n)));
        }
    });
    store.blocking_shut_down();

    let store = open(home);
    let sum = store.snapshot().get::<Note>(&Key::of(&["sum", "all"])).expect("it is there");
    assert_eq!(sum.text, (WRITERS * EACH).to_string());
    assert_eq!(store.snapshot().scan::<Note>(&Key::of(&["by"])).count(), WRITERS * EACH);
    store.blocking_shut_down();
}

fn commit(
    backend: &mut dyn Backend,
    fence: Fence,
    revision: u64,
    to: &[(&str, Option<&str>)],
) -> Result<(), BackendError> {
    let write = |(key, json): &(&str, Option<&str>)| Write {
        kind: Note::KIND,
        key: Key::from_text(key),
        version: 1,
        revision,
        json: json.map(str::to_owned),
    };
    let writes = to.iter().map(write).collect();
    backend.commit(&Batch { schema: SCHEMA, revision, writes, ..Batch::default() }, fence)
}

fn rows(backend: &mut dyn Backend) -> BTreeMap<String, (u32, u64, String)> {
    let mut rows = BTreeMap::new();
    let loaded = backend.load(&mut |row| {
        rows.insert(row.key.to_owned(), (row.version, row.revision, row.json.to_owned()));
        Ok(())
    });
    loaded.expect("it loads");
    rows
}
