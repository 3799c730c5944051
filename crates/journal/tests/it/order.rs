//! What is read is what was appended, in the order of its times, page by page, either way.

use journal::{AppendError, Journal, OpenError, Position, Query};
use proptest::prelude::*;
use tempfile::tempdir;

use crate::{SMALL, all, event, put, texts};

#[test]
fn an_append_is_read_after_a_reopen() {
    let dir = tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    put(&journal, "a", 2, "two");
    put(&journal, "b", 3, "other");
    put(&journal, "a", 1, "one");
    assert_eq!(all(&journal, "a"), ["one", "two"]);
    drop(journal);
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(all(&journal, "a"), ["one", "two"]);
    assert_eq!(all(&journal, "none"), Vec::<String>::new());
    let summary = journal.summary("a").unwrap();
    assert_eq!((summary.span_ms, summary.bytes, summary.next_seq), (Some((1, 2)), 6, 2));
    assert_eq!(journal.streams(""), ["a", "b"]);
    assert_eq!(journal.streams("b"), ["b"]);
}

#[test]
fn a_second_opener_is_told() {
    let dir = tempdir().unwrap();
    let _journal = Journal::open(dir.path()).unwrap();
    assert!(matches!(Journal::open(dir.path()), Err(OpenError::Locked(_))));
}

#[test]
fn a_source_is_never_repeated() {
    let dir = tempdir().unwrap();
    let numbered = |range: std::ops::Range<u64>| -> Vec<_> {
        let event = |offset: u64| journal::Event { offset, ..event(offset as i64, &offset.to_string()) };
        range.map(event).collect()
    };
    let journal = Journal::open(dir.path()).unwrap();
    let first = journal.append_blocking("s", Some("spool"), 0, numbered(1..4)).unwrap();
    assert_eq!((first.written, first.next_seq), (3, 3));
    let overlap = journal.append_blocking("s", Some("spool"), 0, numbered(2..6)).unwrap();
    assert_eq!((overlap.written, overlap.next_seq), (2, 5));
    drop(journal);
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.covered("s", "spool"), Some(5));
    assert_eq!(journal.covered("s", "elsewhere"), None);
    assert_eq!(journal.append_blocking("s", Some("spool"), 0, numbered(1..6)).unwrap().written, 0);
    assert_eq!(all(&journal, "s"), ["1", "2", "3", "4", "5"]);
    let other = journal.append_blocking("s", Some("elsewhere"), 0, numbered(1..2)).unwrap();
    assert_eq!(other.written, 1);
}

#[test]
fn pages_are_bounded_by_bytes_but_never_empty() {
    let dir = tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    put(&journal, "s", 1, &"x".repeat(100));
    put(&journal, "s", 2, "y");
    let page = journal.read("s", &Query { limit_bytes: 10, ..Query::default() }).unwrap();
    assert_eq!((page.events.len(), page.has_more), (1, true));
    let page = journal.read("s", &Query { limit_bytes: 153, ..Query::default() }).unwrap();
    assert_eq!((page.events.len(), page.has_more), (2, false));
}

#[test]
fn what_no_frame_holds_is_refused() {
    let dir = tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let huge = journal.append_blocking("s", None, 0, vec![event(0, &"x".repeat(65 << 20))]);
    assert!(matches!(huge, Err(AppendError::TooLarge { .. })));
    let name = "n".repeat(70_000);
    assert!(matches!(journal.append_blocking(&name, None, 0, vec![]), Err(AppendError::NameTooLong)));
    assert!(journal.streams("").is_empty());
}

/// Reads `stream` to the end in pages of `limit`.
fn paged(journal: &Journal, stream: &str, limit: usize, is_backward: bool) -> Vec<String> {
    let mut query = Query { limit, is_backward, ..Query::default() };
    let mut read = Vec::new();
    loop {
        let page = journal.read(stream, &query).unwrap();
        read.extend(texts(&page));
        let Some(last) = page.events.last() else {
            assert!(!page.has_more);
            return read;
        };
        match is_backward {
            false => query.after = last.position,
            true => query.before = last.position,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Batches of two streams with times all over the place, over several segments and a reopen.
    #[test]
    fn pages_add_up_to_the_sorted_whole(
        batches in prop::collection::vec((0..2usize, prop::collection::vec((0..50i64, 0..300usize), 1..8)), 1..60),
        limit in 1..20usize,
        from_ms in 0..50i64,
    ) {
        let dir = tempdir().unwrap();
        let mut journal = Journal::open_with(dir.path(), SMALL).unwrap();
        let mut wanted: [Vec<(i64, String)>; 2] = Default::default();
        for (number, (stream, times)) in batches.iter().enumerate() {
            let of = |(at, &(time, size)): (usize, &(i64, usize))| {
                (time, format!("{number}.{at}{}", "x".repeat(size)))
            };
            let texts: Vec<_> = times.iter().enumerate().map(of).collect();
            let events = texts.iter().map(|(time, text)| event(*time, text)).collect();
            journal.append_blocking(["a", "b"][*stream], None, 7, events).unwrap();
            wanted[*stream].extend(texts);
            if number == batches.len() / 2 {
                drop(journal);
                journal = Journal::open_with(dir.path(), SMALL).unwrap();
            }
        }
        for (stream, mut wanted) in ["a", "b"].into_iter().zip(wanted) {
            wanted.sort_by_key(|(time, _)| *time);
            let since = wanted.iter().filter(|(time, _)| *time >= from_ms);
            let since: Vec<String> = since.map(|(_, text)| text.clone()).collect();
            let mut wanted: Vec<String> = wanted.into_iter().map(|(_, text)| text).collect();
            let query = Query { from_ms, limit: usize::MAX, limit_bytes: usize::MAX, ..Query::default() };
            prop_assert_eq!(texts(&journal.read(stream, &query).unwrap()), since);
            prop_assert_eq!(&paged(&journal, stream, limit, false), &wanted);
            wanted.reverse();
            prop_assert_eq!(&paged(&journal, stream, limit, true), &wanted);
        }
    }
}

#[test]
fn a_window_of_positions_is_exclusive() {
    let dir = tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    for time in 0..5 {
        put(&journal, "s", time, &time.to_string());
    }
    let after = Position { timestamp_ms: 1, seq: 1 };
    let before = Position { timestamp_ms: 4, seq: 4 };
    let page = journal.read("s", &Query { after, before, ..Query::default() }).unwrap();
    assert_eq!(texts(&page), ["2", "3"]);
    let page = journal.read("s", &Query { after, before, until_ms: 3, ..Query::default() }).unwrap();
    assert_eq!(texts(&page), ["2"]);
}
