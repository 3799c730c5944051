//! Files that are not as we left them.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use journal::{Journal, OpenError, Query, ReadError};
use proptest::prelude::*;
use tempfile::tempdir;

use crate::{all, put, wait};

const FIRST: &str = "0000000000000001.seg";

#[test]
fn a_tail_torn_anywhere_costs_what_it_held_and_no_more() {
    let dir = tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let mut ends = vec![fs::metadata(dir.path().join(FIRST)).unwrap().len()];
    for number in 0..4 {
        put(&journal, "s", number, &number.to_string());
        ends.push(fs::metadata(dir.path().join(FIRST)).unwrap().len());
    }
    drop(journal);
    let whole = fs::read(dir.path().join(FIRST)).unwrap();
    for length in 0..=whole.len() {
        let torn = tempdir().unwrap();
        fs::write(torn.path().join(FIRST), &whole[..length]).unwrap();
        let journal = Journal::open(torn.path()).unwrap();
        let kept = ends[1..].iter().filter(|end| **end <= length as u64).count();
        assert_eq!(all(&journal, "s").len(), kept, "torn at {length}");
        put(&journal, "s", 9, "after");
        drop(journal);
        let journal = Journal::open(torn.path()).unwrap();
        assert_eq!(all(&journal, "s").len(), kept + 1, "torn at {length}");
    }
}

#[test]
fn a_damaged_footer_of_a_sealed_segment_is_said() {
    let dir = tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    put(&journal, "s", 1, "one");
    wait(journal.seal()).unwrap();
    put(&journal, "s", 2, "two");
    drop(journal);
    let file = OpenOptions::new().write(true).open(dir.path().join(FIRST)).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(b"!", length - 20).unwrap();
    assert!(matches!(Journal::open(dir.path()), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_damaged_event_is_said_when_it_is_read() {
    let dir = tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    put(&journal, "s", 1, "one");
    put(&journal, "t", 1, "other");
    wait(journal.seal()).unwrap();
    let bytes = fs::read(dir.path().join(FIRST)).unwrap();
    let at = bytes.windows(3).position(|window| window == b"one").unwrap();
    let file = OpenOptions::new().write(true).open(dir.path().join(FIRST)).unwrap();
    file.write_all_at(b"two", at as u64).unwrap();
    assert!(matches!(journal.read("s", &Query::default()), Err(ReadError::Damaged { segment: 1, .. })));
    assert_eq!(all(&journal, "t"), ["other"]);
}

#[test]
fn an_event_that_looks_like_a_footer_is_an_event() {
    let dir = tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    put(&journal, "s", 1, "one");
    drop(journal);
    let sealed = tempdir().unwrap();
    let journal = Journal::open(sealed.path()).unwrap();
    wait(journal.seal()).unwrap();
    drop(journal);
    // The footer of an empty segment, which says that it begins behind the magic.
    let forged = fs::read(sealed.path().join(FIRST)).unwrap()[8..].to_vec();
    let journal = Journal::open(dir.path()).unwrap();
    let event = journal::Event { timestamp_ms: 2, offset: 0, bytes: forged };
    journal.append_blocking("s", None, 2, vec![event]).unwrap();
    drop(journal);
    let journal = Journal::open(dir.path()).unwrap();
    let page = journal.read("s", &Query::default()).unwrap();
    assert_eq!(page.events.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever a file holds, opening answers: no panic, no endless memory.
    #[test]
    fn any_bytes_are_opened_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), has_magic: bool) {
        let dir = tempdir().unwrap();
        let magic: &[u8] = if has_magic { b"bxjrnl\n1" } else { b"" };
        fs::write(dir.path().join(FIRST), [magic, &bytes].concat()).unwrap();
        let _ = Journal::open(dir.path());
    }
}
