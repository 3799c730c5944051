//! Deleted and trimmed events leave, the rest stays, also across reopens.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use journal::Journal;
use proptest::prelude::*;
use tempfile::tempdir;

use crate::{SMALL, all, event, put, wait};

fn segments(dir: &Path) -> usize {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".seg")).count()
}

#[test]
fn a_deleted_stream_stays_away_and_begins_anew() {
    let dir = tempdir().unwrap();
    let journal = Journal::open_with(dir.path(), SMALL).unwrap();
    put(&journal, "s", 1, "old");
    wait(journal.delete("s")).unwrap();
    assert_eq!(journal.summary("s"), None);
    wait(journal.delete("never")).unwrap();
    put(&journal, "s", 2, "new");
    wait(journal.seal()).unwrap();
    drop(journal);
    let journal = Journal::open_with(dir.path(), SMALL).unwrap();
    assert_eq!(all(&journal, "s"), ["new"]);
    assert_eq!(journal.summary("s").unwrap().next_seq, 1);
}

#[test]
fn dead_segments_are_given_back_and_sources_remembered() {
    let dir = tempdir().unwrap();
    let journal = Journal::open_with(dir.path(), SMALL).unwrap();
    let shipped = journal::Event { offset: 77, ..event(1, "shipped") };
    journal.append_blocking("s", Some("spool"), 1, vec![shipped]).unwrap();
    put(&journal, "keep", 1, "kept");
    for time in 0..60 {
        put(&journal, "s", time, &"x".repeat(2000));
    }
    assert!(segments(dir.path()) > 20);
    wait(journal.trim("s", 1_000)).unwrap();
    wait(journal.seal()).unwrap();
    assert!(journal.collect().unwrap() > 0);
    // The oldest holds what is kept; those behind it are small but not the oldest.
    assert_eq!(all(&journal, "keep"), ["kept"]);
    assert_eq!(all(&journal, "s"), Vec::<String>::new());
    drop(journal);
    let journal = Journal::open_with(dir.path(), SMALL).unwrap();
    assert_eq!(all(&journal, "keep"), ["kept"]);
    assert_eq!(journal.covered("s", "spool"), Some(77));
    assert_eq!(journal.summary("s").unwrap().next_seq, 61);
    put(&journal, "s", 5, "late, but after the trim");
    assert_eq!(all(&journal, "s"), ["late, but after the trim"]);
    wait(journal.delete("keep")).unwrap();
    wait(journal.seal()).unwrap();
    journal.collect().unwrap();
    journal.collect().unwrap();
    assert_eq!(all(&journal, "s"), ["late, but after the trim"]);
}

#[test]
fn a_trim_that_finds_nothing_writes_nothing() {
    let dir = tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    put(&journal, "s", 100, "young");
    let length = || fs::metadata(dir.path().join("0000000000000001.seg")).unwrap().len();
    let before = length();
    wait(journal.trim("s", 100)).unwrap();
    wait(journal.trim("none", 100)).unwrap();
    assert_eq!(length(), before);
    assert_eq!(all(&journal, "s"), ["young"]);
}

#[derive(Debug, Clone)]
enum Step {
    Append { stream: usize, count: usize, size: usize },
    Delete { stream: usize },
    Trim { stream: usize, back: i64 },
    Seal,
    Collect,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3usize, 1..5usize, 0..3000usize)
            .prop_map(|(stream, count, size)| Step::Append { stream, count, size }),
        1 => (0..3usize).prop_map(|stream| Step::Delete { stream }),
        2 => (0..3usize, 0..10i64).prop_map(|(stream, back)| Step::Trim { stream, back }),
        1 => Just(Step::Seal),
        1 => Just(Step::Collect),
        1 => Just(Step::Reopen),
    ]
}

/// What a stream must hold (since the last trim) and may still hold (before it).
#[derive(Default)]
struct Model {
    events: Vec<(i64, String)>,
    cutoff: i64,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn nothing_dead_returns_and_nothing_living_goes(steps in prop::collection::vec(step(), 1..80)) {
        let dir = tempdir().unwrap();
        let mut journal = Journal::open_with(dir.path(), SMALL).unwrap();
        let mut model: BTreeMap<usize, Model> = BTreeMap::new();
        let mut clock = 0;
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append { stream, count, size } => {
                    clock += 1;
                    let texts: Vec<_> =
                        (0..count).map(|at| format!("{number}.{at}{}", "x".repeat(size))).collect();
                    let events = texts.iter().map(|text| event(clock, text)).collect();
                    journal.append_blocking(&stream.to_string(), None, clock, events).unwrap();
                    let entry = model.entry(stream).or_default();
                    entry.events.extend(texts.into_iter().map(|text| (clock, text)));
                }
                Step::Delete { stream } => {
                    wait(journal.delete(&stream.to_string())).unwrap();
                    model.remove(&stream);
                }
                Step::Trim { stream, back } => {
                    wait(journal.trim(&stream.to_string(), clock - back)).unwrap();
                    if let Some(entry) = model.get_mut(&stream) {
                        entry.cutoff = entry.cutoff.max(clock - back);
                    }
                }
                Step::Seal => wait(journal.seal()).unwrap(),
                Step::Collect => drop(journal.collect().unwrap()),
                Step::Reopen => {
                    drop(journal);
                    journal = Journal::open_with(dir.path(), SMALL).unwrap();
                }
            }
            for stream in 0..3 {
                let found = all(&journal, &stream.to_string());
                let Some(entry) = model.get(&stream) else {
                    prop_assert_eq!(found, Vec::<String>::new());
                    continue;
                };
                let ever: Vec<&String> = entry.events.iter().map(|(_, text)| text).collect();
                let must: Vec<&String> = entry.events.iter()
                    .filter(|(time, _)| *time >= entry.cutoff).map(|(_, text)| text).collect();
                let found: Vec<&String> = found.iter().collect();
                prop_assert!(found.ends_with(&must), "{:?} lost some of {:?}", found, must);
                prop_assert!(ever.ends_with(&found), "{:?} was never in {:?}", found, ever);
            }
        }
    }
}
