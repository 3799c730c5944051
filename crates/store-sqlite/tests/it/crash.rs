//! A writing process is killed at random moments, again and again on one database.
//! What it had acknowledged is there afterwards, and no transaction is there by half.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use base::Chance;
use store::suite::Note;
use store::{Key, Store};

use crate::open;

/// Set for the process that is to be killed: the database to write to.
const VICTIM: &str = "STORE_CRASH_VICTIM";
const CLIENTS: usize = 4;
/// Records that each transaction writes.
const PARTS: usize = 3;

/// One client's transactions: each rewrites the client's parts to the next number, adds a record of
/// its own, and is acknowledged on standard output by a line.
fn write_on(store: &Store, client: usize) {
    let owner = client.to_string();
    let part = Key::of(&[&owner, "part-0"]);
    let first = store.snapshot().get::<Note>(&part).map_or(0, |note| number(&note) + 1);
    for n in first.. {
        let owner = owner.clone();
        let written = store.blocking_write("crash", move |tx| {
            for part in 0..PARTS {
                tx.put(Note::new(&owner, &format!("part-{part}"), &n.to_string()));
            }
            tx.put(Note::new(&format!("log-{owner}"), &format!("{n:09}"), &n.to_string()));
            if let Some(old) = n.checked_sub(50_u64) {
                tx.delete::<Note>(&Key::of(&[&format!("log-{owner}"), &format!("{old:09}")]));
            }
            Ok::<_, ()>(())
        });
        written.unwrap();
        let mut out = stdout().lock();
        // One write per line, so that the reader never sees half of one that was acknowledged.
        out.write_all(format!("ack {client} {n}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

fn number(note: &Note) -> u64 {
    note.text.parse().unwrap()
}

/// Not a test by itself: the other side of the one below, which runs this very program anew.
#[test]
fn victim() {
    #[expect(clippy::disallowed_methods, reason = "the only way to tell a test binary its role")]
    let Ok(path) = env::var(VICTIM) else { return };
    let store = open(Path::new(&path)).unwrap();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let store = &store;
            scope.spawn(move || write_on(store, client));
        }
    });
}

fn start(path: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "crash::victim", "--nocapture", "--test-threads=1"])
        .env(VICTIM, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets the victim acknowledge `after` transactions and then spin a little more, so that the kill
/// falls anywhere within a commit. Returns the newest acknowledged number by client.
fn kill_after(mut child: Child, after: u64, spins: u64) -> BTreeMap<usize, u64> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = BTreeMap::new();
    let mut take = |line: String| -> u64 {
        // The test harness prints on the same pipe.
        let Some((_, ack)) = line.split_once("ack ") else { return 0 };
        let (client, n) = ack.split_once(' ').unwrap();
        acknowledged.insert(client.parse().unwrap(), n.parse().unwrap());
        1
    };
    let mut seen = 0;
    while seen < after {
        seen += take(lines.next().expect("the victim writes until it is killed").unwrap());
    }
    for _ in 0..spins {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    // What is left in the pipe was acknowledged too.
    lines.map_while(Result::ok).for_each(|line| {
        take(line);
    });
    child.wait().unwrap();
    acknowledged
}

fn check(path: &Path, acknowledged: &BTreeMap<usize, u64>) {
    let store = open(path).unwrap();
    let snapshot = store.snapshot();
    for (client, acknowledged) in acknowledged {
        let owner = client.to_string();
        let parts: Vec<_> = snapshot.scan::<Note>(&Key::of(&[&owner])).collect();
        assert_eq!(parts.len(), PARTS);
        let newest = number(&parts[0]);
        assert!(parts.iter().all(|part| number(part) == newest), "torn: {parts:?}");
        assert!(newest >= *acknowledged, "lost: {newest} < {acknowledged}");
        let log: Vec<_> =
            snapshot.scan::<Note>(&Key::of(&[&format!("log-{owner}")])).map(|note| number(&note)).collect();
        let first = (newest + 1).saturating_sub(50);
        assert_eq!(log, (first..=newest).collect::<Vec<_>>());
    }
    store.blocking_shut_down();
}

#[test]
fn a_killed_writer_loses_nothing_that_it_acknowledged() {
    let is_long = env::var_os("BOXSHIP_LONG").is_some();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let mut chance = Chance::new(0x0063_7261_7368);
    let mut newest = BTreeMap::new();
    for _ in 0..if is_long { 400 } else { 30 } {
        let (after, spins) = (chance.below(60) + 1, chance.below(200_000));
        newest.extend(kill_after(start(&path), after, spins));
        check(&path, &newest);
    }
    assert_eq!(newest.len(), CLIENTS);
}
