//! A writing process is killed at random moments: what it was told is kept is kept, once.
//!
//! The child is this test binary again, told by a variable to append numbered events to a few
//! streams and to print each acknowledgement. It begins somewhere before where it got to, as a
//! shipper does that does not know better.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use base::Chance;
use journal::{Event, Journal, Options};
use tempfile::tempdir;

use crate::all;

const DIR: &str = "JOURNAL_CRASH_DIR";
const SEED: &str = "JOURNAL_CRASH_SEED";
const STREAMS: u64 = 3;
const KILLS: u64 = 20;
/// With `BOXSHIP_LONG` set.
const LONG_KILLS: u64 = 400;
const OPTIONS: Options = Options { segment_bytes: 16 << 10 };

#[expect(clippy::disallowed_methods, reason = "how a test tells its own child what to do")]
pub fn told(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Not a test of its own: returns at once unless the parent asks for a writing process.
#[test]
fn child() {
    let (Some(dir), Some(seed)) = (told(DIR), told(SEED)) else { return };
    let mut chance = Chance::new(seed.parse().unwrap());
    let journal = Journal::open_with(dir, OPTIONS).unwrap();
    let mut next: Vec<u64> = (0..STREAMS)
        .map(|stream| journal.covered(&stream.to_string(), "spool").unwrap_or(0))
        .map(|covered| covered.saturating_sub(chance.below(50)) + 1)
        .collect();
    loop {
        let stream = chance.below(STREAMS);
        let offset = &mut next[stream as usize];
        let count = 1 + chance.below(20);
        let events = (*offset..*offset + count).map(|offset| Event {
            timestamp_ms: offset as i64,
            offset,
            bytes: offset.to_string().into_bytes(),
        });
        *offset += count;
        let key = stream.to_string();
        journal.append_blocking(&key, Some("spool"), 0, events.collect()).unwrap();
        if chance.below(40) == 0 {
            journal.collect().unwrap();
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nacknowledged {key} {}", *offset - 1).unwrap();
        out.flush().unwrap();
    }
}

/// Lets a child write until it has acknowledged `count` appends, then kills it.
/// Adds what it acknowledged to `kept`.
fn write_and_kill(dir: &std::path::Path, seed: u64, count: u64, kept: &mut [u64]) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture"])
        .env(DIR, dir)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = 0;
    let mut note = |line: String| {
        let mut words = line.split(' ');
        if words.next() != Some("acknowledged") {
            return 0;
        }
        let stream: usize = words.next().unwrap().parse().unwrap();
        // The last line may be cut off by the kill.
        let Some(Ok(offset)) = words.next().map(str::parse) else { return 0 };
        kept[stream] = offset;
        1
    };
    while seen < count {
        let line = lines.next().expect("the child writes until it is killed").unwrap();
        seen += note(line);
    }
    child.kill().unwrap();
    // What it had printed by then counts too, whole lines only.
    for line in lines {
        let _ = line.map(&mut note);
    }
    child.wait().unwrap();
}

#[test]
fn what_was_acknowledged_survives_kill_minus_nine() {
    let seed = told("JOURNAL_SEED").and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    let mut chance = Chance::new(seed);
    let dir = tempdir().unwrap();
    let mut kept = vec![0; STREAMS as usize];
    let kills = if std::env::var_os("BOXSHIP_LONG").is_some() { LONG_KILLS } else { KILLS };
    for round in 0..kills {
        write_and_kill(dir.path(), chance.next(), 1 + chance.below(60), &mut kept);
        if round % 3 == 0 {
            tear(dir.path(), &mut chance);
        }
        let journal = Journal::open_with(dir.path(), OPTIONS)
            .unwrap_or_else(|error| panic!("seed {seed}, round {round}: {error}"));
        for (stream, acknowledged) in kept.iter().enumerate() {
            let found = all(&journal, &stream.to_string());
            let wanted: Vec<String> = (1..=found.len()).map(|number| number.to_string()).collect();
            assert!(found == wanted, "seed {seed}, round {round}: gap or repetition in {stream}");
            assert!(found.len() as u64 >= *acknowledged, "seed {seed}, round {round}: lost in {stream}");
        }
    }
}

/// A power failure leaves half a frame behind what was synced.
fn tear(dir: &std::path::Path, chance: &mut Chance) {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let last = names.filter(|path| path.extension().is_some_and(|e| e == "seg")).max().unwrap();
    let mut torn = vec![200, 0, 0, 0];
    torn.extend((0..chance.below(150)).map(|_| chance.next() as u8));
    OpenOptions::new().append(true).open(last).unwrap().write_all(&torn).unwrap();
}
