use store::suite::Note;
use store::{Event, Key, Memory, Place, Read, Record, Store};

use crate::{key, note, open, write};

fn reads() -> [Read; 3] {
    let kind = Note::KIND;
    [
        Read::Record { kind, key: key("1") },
        Read::Prefix { kind, prefix: Key::of(&["a"]) },
        Read::Index { kind, index: "by-text", prefix: Key::of(&["text"]) },
    ]
}

/// Which of the reads still hold after `change`.
fn check(change: impl FnOnce(&mut store::Transaction) + Send + 'static, expected: [bool; 3]) {
    let store = open(&Memory::default());
    write(&store, |tx| tx.put(note("1")));
    let before = store.snapshot();
    write(&store, change);
    let now = store.snapshot();
    assert_eq!(reads().map(|read| now.agrees(&before, &[read])), expected);
}

#[test]
fn a_read_agrees_until_what_it_saw_moves() {
    check(|_| (), [true, true, true]);
    check(|tx| tx.put(note("1")), [false, false, false]);
    check(|tx| tx.put(note("2")), [true, false, false]);
    check(|tx| tx.put(Note::new("b", "1", "text")), [true, true, false]);
    check(|tx| tx.put(Note::new("b", "1", "other")), [true, true, true]);
    check(|tx| assert!(tx.delete::<Note>(&key("1"))), [false, false, false]);
}

#[test]
fn a_watcher_sees_each_change_with_both_sides() {
    let store = open(&Memory::default());
    write(&store, |tx| tx.put(note("1")));
    let mut watch = store.watch();
    write(&store, |tx| tx.put(Note::new("a", "1", "new")));
    write(&store, |tx| assert!(tx.delete::<Note>(&key("1"))));
    write(&store, |tx| {
        tx.put(note("2"));
        tx.delete::<Note>(&key("2"));
    });
    let mut seen = Vec::new();
    while let Some(Event::Commit(commit)) = watch.try_next() {
        for change in &commit.changes {
            let text = |note: Option<std::sync::Arc<Note>>| note.map(|note| note.text.clone());
            seen.push((change.revision, text(change.before()), text(change.after())));
        }
    }
    let (text, new) = (Some("text".to_owned()), Some("new".to_owned()));
    assert_eq!(seen, [(2, text, new.clone()), (3, new, None)]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_slow_watcher_is_told_and_goes_on() {
    let store = open(&Memory::default());
    let mut watch = store.watch();
    for n in 0..3000 {
        put(&store, n).await;
    }
    assert!(matches!(watch.next().await, Event::Lagged));
    let mut last = None;
    while let Some(Event::Commit(commit)) = watch.try_next() {
        last = Some(commit.revision);
    }
    assert_eq!(last, Some(3000));
    store.shut_down().await;
    assert!(matches!(watch.next().await, Event::Closed));
    assert!(matches!(store.watch().next().await, Event::Closed));
}

/// Every key that a walk in steps of `count` meets while `meanwhile` happens once per step.
fn walked(count: usize, meanwhile: impl Fn(&Store, usize)) -> Vec<String> {
    let store = open(&Memory::default());
    write(&store, |tx| ["b", "d", "f", "h"].iter().for_each(|name| tx.put(note(name))));
    let (mut seen, mut place) = (Vec::new(), Some(Place::default()));
    for step in 0.. {
        let Some(from) = place else { break };
        let (changes, rest) = store.snapshot().changes_from(from, count);
        assert!(changes.len() <= count);
        seen.extend(changes.iter().map(|change| change.key.last().to_owned()));
        place = rest;
        meanwhile(&store, step);
    }
    seen
}

#[test]
fn a_walk_in_steps_meets_every_record_once() {
    for count in 1..6 {
        assert_eq!(walked(count, |_, _| ()), ["b", "d", "f", "h"], "{count}");
    }
    // What comes behind it is met, what comes before or goes is not.
    let seen = walked(2, |store, step| {
        if step == 0 {
            write(store, |tx| {
                ["a", "g"].iter().for_each(|name| tx.put(note(name)));
                assert!(["b", "d", "f"].iter().all(|name| tx.delete::<Note>(&key(name))));
            });
        }
    });
    assert_eq!(seen, ["b", "d", "g", "h"]);
}

async fn put(store: &Store, n: usize) {
    let done = store.write("put", move |tx| {
        tx.put(note(&n.to_string()));
        Ok::<_, ()>(())
    });
    done.await.unwrap();
}
