//! Figures that we promise, measured only where asked for: `BOXSHIP_BENCH=1 cargo test --release
//! -p runtime bench -- --nocapture`. Nothing here is a timed assertion.

use crate::fixture::{TASK, linux};

#[tokio::test]
async fn start_and_memory() {
    if std::env::var_os("BOXSHIP_BENCH").is_none() {
        return;
    }
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    let mut starts = Vec::new();
    for round in 0..20 {
        let begun = base::clock::wall();
        let mut sandbox = fixture.sandbox();
        sandbox.task = format!("{round:032x}");
        let task = sandbox.task.clone();
        runtime.create_sandbox(sandbox).await.unwrap();
        let made = base::clock::wall();
        let record = runtime.start_container(&task, fixture.plan("main", "exec sleep 1000")).await.unwrap();
        let ready = base::clock::wall();
        starts.push((made.since(begun), ready.since(made)));
        if round == 0 {
            let status = std::fs::read_to_string(format!("/proc/{}/status", record.pid)).unwrap();
            let shim = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().to_owned();
            let rollup = std::fs::read_to_string(format!("/proc/{shim}/smaps_rollup")).unwrap();
            println!("{rollup}");
        }
    }
    starts.sort();
    println!("sandbox, container (p50): {:?}; all {starts:?}", starts[starts.len() / 2]);
    let _ = TASK;
    fixture.end().await;
}
