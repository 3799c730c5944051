use store::suite::Note;
use store::{Memory, WriteError};

use crate::{key, note, open, write};

#[test]
fn a_transaction_reads_its_own_writes_and_nobody_elses() {
    let store = open(&Memory::default());
    let before = store.snapshot();
    write(&store, |tx| {
        tx.put(note("1"));
        assert!(tx.contains::<Note>(&key("1")));
        assert!(tx.delete::<Note>(&key("1")));
        assert!(!tx.delete::<Note>(&key("1")));
        tx.put(note("2"));
        assert_eq!(tx.count::<Note>(), 1);
    });
    assert_eq!(before.count::<Note>(), 0);
    assert_eq!(store.snapshot().count::<Note>(), 1);
}

#[test]
fn a_rejected_transaction_leaves_no_trace() {
    let store = open(&Memory::default());
    let result = store.blocking_write("test", |tx| {
        tx.put(note("1"));
        tx.set_meta("x", "y");
        Err::<(), _>("no")
    });
    assert!(matches!(result, Err(WriteError::Rejected("no"))));
    write(&store, |tx| {
        assert_eq!((tx.revision(), tx.count::<Note>()), (0, 0));
        assert_eq!(tx.meta("x"), None);
    });
}

#[test]
fn a_panic_is_an_answer_and_leaves_no_trace() {
    let store = open(&Memory::default());
    let result = store.blocking_write("broken", |tx| {
        tx.put(note("1"));
        if tx.count::<Note>() > 0 {
            panic!("a bug");
        }
        Ok::<_, ()>(())
    });
    let text = result.unwrap_err();
    assert!(matches!(&text, WriteError::Panicked { name: "broken", message } if message == "a bug"));
    assert_eq!(write(&store, |tx| tx.count::<Note>()), 0);
}

#[test]
fn a_failed_attempt_leaves_what_was_before_it() {
    let store = open(&Memory::default());
    write(&store, |tx| tx.put(note("old")));
    let mut watch = store.watch();
    write(&store, |tx| {
        tx.put(note("1"));
        let inner: Result<(), _> = tx.attempt(|tx| {
            tx.put(note("2"));
            tx.delete::<Note>(&key("1"));
            tx.delete::<Note>(&key("old"));
            let innermost: Result<_, ()> = tx.attempt(|tx| {
                tx.put(note("3"));
                Ok(tx.count::<Note>())
            });
            assert_eq!(innermost, Ok(2));
            Err("no")
        });
        assert_eq!(inner, Err("no"));
        let names: Vec<_> = tx.scan::<Note>(&store::Key::all()).map(|note| note.name.clone()).collect();
        assert_eq!(names, ["1", "old"]);
    });
    let Some(store::Event::Commit(commit)) = watch.try_next() else { panic!("a commit is due") };
    assert_eq!(commit.changes.len(), 1);
    assert_eq!(commit.changes[0].key, key("1"));
}

#[test]
fn a_transaction_may_write_while_it_walks() {
    let store = open(&Memory::default());
    write(&store, |tx| (0..100).for_each(|n| tx.put(note(&format!("{n:02}")))));
    write(&store, |tx| {
        for found in tx.scan::<Note>(&store::Key::all()) {
            tx.delete::<Note>(&key(&found.name));
            tx.put(note(&format!("{}-again", found.name)));
        }
    });
    assert_eq!(store.snapshot().count::<Note>(), 100);
}

#[test]
fn only_what_the_predicate_picks_is_deleted() {
    let store = open(&Memory::default());
    write(&store, |tx| {
        tx.put(note("1"));
        tx.put(Note::new("b", "1", "text"));
    });
    write(&store, |tx| tx.delete_all(|kind, key| kind == "suite/note" && key.as_str().starts_with('a')));
    let left: Vec<_> = store.snapshot().scan::<Note>(&store::Key::all()).collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].owner, "b");
}

/// JSON has no such keys.
#[derive(serde::Serialize, serde::Deserialize)]
struct Odd(std::collections::BTreeMap<Vec<u8>, u8>);

impl store::Record for Odd {
    const KIND: &'static str = "test/odd";

    fn key(&self) -> store::Key {
        store::Key::of(&["odd"])
    }
}

#[test]
fn a_record_without_a_json_form_is_refused_and_leaves_no_trace() {
    let store = store::Store::open(Memory::default().open(), store::suite::kinds().with::<Odd>()).unwrap();
    let result = store.blocking_write("odd", |tx| {
        tx.put(note("1"));
        tx.put(Odd([(vec![1], 1)].into()));
        Ok::<_, ()>(())
    });
    assert!(matches!(result, Err(WriteError::Unwritable { name: "odd", .. })));
    assert_eq!(write(&store, |tx| tx.count::<Note>()), 0);
}
