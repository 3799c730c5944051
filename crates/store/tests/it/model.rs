//! Any run of transactions leaves what a plain map would, in records, index and changes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use store::suite::Note;
use store::{Change, Event, Key, Memory, Record, Snapshot};

use crate::open;

/// What a transaction does: puts (`Some`) and deletes (`None`) of a few names, some of them in an
/// attempt that fails, and whether it fails as a whole.
#[derive(Debug, Clone)]
struct Step {
    kept: Vec<(u8, Option<u8>)>,
    undone: Vec<(u8, Option<u8>)>,
    is_rejected: bool,
}

type Model = BTreeMap<u8, u8>;

fn writes() -> impl Strategy<Value = Vec<(u8, Option<u8>)>> {
    prop::collection::vec((0..20_u8, prop::option::weighted(0.7, 0..4_u8)), 0..6)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (writes(), writes(), prop::bool::weighted(0.2)).prop_map(|(kept, undone, is_rejected)| Step {
        kept,
        undone,
        is_rejected,
    });
    prop::collection::vec(step, 0..30)
}

fn note((name, text): (u8, u8)) -> Note {
    Note::new("a", &format!("{name:02}"), &text.to_string())
}

fn run(tx: &mut store::Transaction, writes: &[(u8, Option<u8>)]) {
    for &(name, text) in writes {
        match text {
            Some(text) => tx.put(note((name, text))),
            None => drop(Some(tx.delete::<Note>(&note((name, 0)).key()))),
        }
    }
}

fn check(snapshot: &Snapshot, model: &Model) {
    let expected: Vec<_> = model.iter().map(|(name, text)| note((*name, *text))).collect();
    assert!(snapshot.scan::<Note>(&Key::all()).map(|note| (*note).clone()).eq(expected.iter().cloned()));
    for text in 0..4 {
        let key = Key::of(&[&text.to_string()]);
        let found: Vec<_> = snapshot.by::<Note>("by-text", &key).map(|note| note.name.clone()).collect();
        let with_text = expected.iter().filter(|note| note.text == text.to_string());
        assert_eq!(found, with_text.map(|note| note.name.clone()).collect::<Vec<_>>());
    }
    assert_eq!(snapshot.by::<Note>("by-text", &Key::all()).count(), model.len());
}

/// Applies a change to a copy, which must be where the change says it was.
fn follow(copy: &mut BTreeMap<Key, Note>, change: &Change) {
    let was = match change.after::<Note>() {
        Some(after) => copy.insert(change.key.clone(), (*after).clone()),
        None => copy.remove(&change.key),
    };
    assert_eq!(was.as_ref(), change.before::<Note>().as_deref());
}

fn check_all(steps: Vec<Step>) {
    let memory = Memory::default();
    let store = open(&memory);
    let mut watch = store.watch();
    let mut model = Model::new();
    for step in steps {
        let mut after = model.clone();
        for &(name, text) in &step.kept {
            match text {
                Some(text) => after.insert(name, text),
                None => after.remove(&name),
            };
        }
        if !step.is_rejected {
            model = after;
        }
        let _ = store.blocking_write("step", move |tx| {
            let half = step.kept.len() / 2;
            run(tx, &step.kept[..half]);
            let _: Result<(), ()> = tx.attempt(|tx| {
                run(tx, &step.undone);
                Err(())
            });
            run(tx, &step.kept[half..]);
            if step.is_rejected { Err(()) } else { Ok(()) }
        });
        check(&store.snapshot(), &model);
    }
    let mut copy = BTreeMap::new();
    while let Some(Event::Commit(commit)) = watch.try_next() {
        commit.changes.iter().for_each(|change| follow(&mut copy, change));
    }
    assert!(store.snapshot().scan::<Note>(&Key::all()).map(|note| (*note).clone()).eq(copy.into_values()));
    store.blocking_shut_down();
    check(&open(&memory).snapshot(), &model);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_run_of_transactions_leaves_what_a_plain_map_would(steps in steps()) {
        check_all(steps);
    }
}
