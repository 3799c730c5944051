//! What a durable commit costs: processor time and wall time, with one client and with eight.
//! Run with `cargo run --release -p store-sqlite --example commit [DIRECTORY]`.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::convert::Infallible;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use base::clock::wall;
use rustix::time::{ClockId, clock_gettime};
use store::{Store, suite};
use store_sqlite::Sqlite;

const COMMITS: usize = 4000;

fn main() {
    let dir = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    for clients in [1, 8] {
        let home = dir.join(format!("commit-bench-{}-{clients}", std::process::id()));
        std::fs::create_dir_all(&home).expect("the directory can be written");
        measure(&home, clients);
        std::fs::remove_dir_all(&home).expect("it was made above");
    }
}

fn measure(home: &std::path::Path, clients: usize) {
    let sqlite = Sqlite::open(&home.join("records.db")).expect("a new database opens");
    let store = Store::open(Box::new(sqlite), suite::kinds()).expect("a new store opens");
    run(&store, clients, COMMITS / 8);
    let (wall_before, cpu_before) = (wall(), cpu());
    run(&store, clients, COMMITS);
    let (took, used) = (wall().since(wall_before), cpu() - cpu_before);
    let each = |time: Duration| time.as_secs_f64() * 1e3 / COMMITS as f64;
    println!(
        "{clients} client{}: {:.3} ms cpu and {:.3} ms wall per commit of a 1.5 KB record",
        if clients == 1 { "" } else { "s" },
        each(used),
        each(took),
    );
    store.blocking_shut_down();

    let before = wall();
    let sqlite = Sqlite::open(&home.join("records.db")).expect("it opens again");
    let store = Store::open(Box::new(sqlite), suite::kinds()).expect("it loads again");
    let (took, count) = (wall().since(before), store.snapshot().count::<suite::Note>());
    println!("  {:.1} ms to open again with {count} records", took.as_secs_f64() * 1e3);
    store.blocking_shut_down();
}

fn run(store: &Store, clients: usize, commits: usize) {
    let text = "x".repeat(1500);
    thread::scope(|scope| {
        for client in 0..clients {
            let text = &text;
            scope.spawn(move || {
                let mut chance = base::Chance::new(client as u64);
                for _ in 0..commits / clients {
                    let note = suite::Note::new("bench", &chance.hex(16), text);
                    let put = store.blocking_write("bench", move |tx| {
                        tx.put(note);
                        Ok::<_, Infallible>(())
                    });
                    put.expect("the commit succeeds");
                }
            });
        }
    });
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}
