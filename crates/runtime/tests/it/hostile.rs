//! Containers that misbehave harm only themselves.

use std::path::Path;
use std::time::Duration;

use runtime::{Event, Signal, TaskSandbox};

use crate::fixture::{Fixture, TASK, linux};

/// A container that answers until it is told to end.
const NEIGHBOR: &str = "trap 'echo fine; exit 0' TERM; echo up; while true; do sleep 1000 & wait; done";

/// Runs `script` beside a neighbor, which must be as it was; returns the misbehaving one's exit code and output.
async fn beside_a_neighbor(fixture: &Fixture, memory_mib: u32, script: &str) -> (i32, bool, String) {
    let runtime = &fixture.runtime;
    let mut events = runtime.events(TASK);
    let storage_gib = Path::new("/usr/sbin/mkfs.ext4").exists().then_some(1);
    let sandbox = TaskSandbox { storage_gib, memory_mib: Some(512), ..fixture.sandbox() };
    runtime.create_sandbox(sandbox).await.unwrap();
    runtime.start_container(TASK, fixture.plan("neighbor", NEIGHBOR)).await.unwrap();
    runtime.output(TASK, "neighbor", Default::default()).await.unwrap();
    let mut plan = fixture.plan("bad", script);
    plan.memory_mib = Some(memory_mib);
    runtime.start_container(TASK, plan).await.unwrap();
    let exit = loop {
        if let Event::Exited { container, exit } = events.recv().await.unwrap() {
            assert_eq!(container, "bad");
            break exit;
        }
    };
    let output = fixture.output("bad").await;
    let neighbor = runtime.stop(TASK, "neighbor", Signal::TERM, Duration::from_secs(60)).await.unwrap();
    assert_eq!((neighbor.code, neighbor.is_oom), (0, false));
    assert_eq!(fixture.output("neighbor").await, "up\nfine\n");
    (exit.code, exit.is_oom, output)
}

#[tokio::test]
async fn one_that_fills_its_disk_with_little_memory() {
    let Some(fixture) = linux() else { return };
    // What a file in memory holds is memory.
    const TMPFS: i64 = 0x0102_1994;
    let is_in_memory = rustix::fs::statfs(fixture.dir.path()).unwrap().f_type as i64 == TMPFS;
    if !Path::new("/usr/sbin/mkfs.ext4").exists() || is_in_memory {
        eprintln!("left out: a full disk (mkfs.ext4 is not there, or there is no disk)");
        return fixture.end().await;
    }
    // More than its memory and than its disk.
    let script = "dd if=/dev/zero of=/big bs=1M count=1200; rm /big; echo x > /x && cat /x";
    let (code, is_oom, output) = beside_a_neighbor(&fixture, 32, script).await;
    assert!(output.contains("No space left on device") && output.ends_with("x\n"), "{output}");
    assert_eq!((code, is_oom), (0, false), "{output}");
    fixture.end().await;
}

#[tokio::test]
async fn one_that_forks_without_end() {
    let Some(fixture) = linux() else { return };
    // Every child waits, so that they add up to the limit.
    let script = "mkfifo /gate; i=0; while (exec 3<> /gate; read x <&3) & do i=$((i+1)); done; echo $i";
    let (code, _, output) = beside_a_neighbor(&fixture, 400, script).await;
    // Whichever limit it meets first: that of processes, or of the memory that they take.
    assert!(code == 137 || output.contains("can't fork"), "{code}: {output}");
    fixture.end().await;
}

#[tokio::test]
async fn one_that_takes_memory_closes_everything_and_leaves_zombies() {
    let Some(fixture) = linux() else { return };
    let script = "for i in 1 2 3 4 5 6 7 8 9; do (true) & done; exec 0<&- 1>&- 2>&-; \
                  x=$(head -c 64000000 /dev/zero | tr '\\0' x); exit 3";
    let (code, is_oom, output) = beside_a_neighbor(&fixture, 16, script).await;
    assert_eq!((code, is_oom, output.as_str()), (137, true, ""));
    fixture.end().await;
}
