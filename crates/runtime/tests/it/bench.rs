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
    let storage_gib =
        std::env::var_os("BOXSHIP_BENCH_STORAGE_GIB").and_then(|text| text.to_str()?.parse().ok());
    for round in 0..20 {
        let begun = base::clock::wall();
        let mut sandbox = fixture.sandbox();
        sandbox.storage_gib = storage_gib;
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

/// Processor time of a process and of the children that it has reaped, in milliseconds.
fn processor_ms(pid: &str) -> (u64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<u64> =
        stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(4).map(|n| n.parse().unwrap()).collect();
    ((fields[0] + fields[1]) * 10, (fields[2] + fields[3]) * 10)
}

fn shim_of(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().to_owned()
}

/// What a health check costs: `/bin/true` in a container.
#[tokio::test]
async fn exec() {
    if std::env::var_os("BOXSHIP_BENCH").is_none() {
        return;
    }
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let record = runtime.start_container(TASK, fixture.plan("main", "exec sleep 1000")).await.unwrap();
    let shim = shim_of(record.pid);
    const RUNS: u32 = 200;
    let mut took = Vec::new();
    let (shim_before, own_before) = (processor_ms(&shim), processor_ms("self"));
    for _ in 0..RUNS {
        let begun = base::clock::wall();
        let command = vec!["/bin/true".to_owned()];
        let plan = runtime::ExecPlan { command, ..Default::default() };
        let exec = runtime.exec(TASK, "main", plan).await.unwrap();
        assert_eq!(exec.control.wait().await.unwrap(), 0);
        took.push(base::clock::wall().since(begun));
    }
    let (shim_after, own_after) = (processor_ms(&shim), processor_ms("self"));
    took.sort();
    println!(
        "exec (p50, p99): {:?} {:?}; of {RUNS}: shim {} ms, programs {} ms, server {} ms",
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        shim_after.0 - shim_before.0,
        shim_after.1 - shim_before.1,
        own_after.0 - own_before.0,
    );
    let rollup = std::fs::read_to_string(format!("/proc/{shim}/smaps_rollup")).unwrap();
    let private = rollup.lines().filter(|line| line.starts_with("Private_")).collect::<Vec<_>>();
    println!("{private:?}");
    fixture.end().await;
}

/// Lines from a container into its spool, read and released as they come: one write each, as programs do.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn lines() {
    if std::env::var_os("BOXSHIP_BENCH").is_none() {
        return;
    }
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    const LINES: u64 = 500_000;
    let script = format!(
        "i=0; while [ $i -lt {LINES} ]; do echo \"$i a line of some eighty characters, as a \
                          program would write it to say what it does\"; i=$((i+1)); done"
    );
    let begun = base::clock::wall();
    let mut plan = fixture.plan("main", &script);
    plan.output = runtime::Output::Blocking { limit_bytes: 64 << 20 };
    let record = runtime.start_container(TASK, plan).await.unwrap();
    let shim = shim_of(record.pid);
    let mut reader = runtime::spool::Reader::new(&runtime.spool(TASK, "main"), Default::default());
    let mut next = 0;
    let mut used = (0, 0);
    while next < LINES {
        let entries = reader.read(10_000, 1 << 20).unwrap();
        for entry in &entries {
            let text = std::str::from_utf8(&entry.text).unwrap();
            assert_eq!(text.split(' ').next().unwrap().parse::<u64>().unwrap(), next);
            next += 1;
        }
        reader.release(reader.position()).unwrap();
        used = processor_ms(&shim);
        if entries.is_empty() {
            runtime.output(TASK, "main", reader.position()).await.unwrap();
        }
    }
    let seconds = base::clock::wall().since(begun).as_secs_f64();
    println!("{:.0} lines/s; shim {} ms for {LINES}", LINES as f64 / seconds, used.0);
    fixture.end().await;
}

/// What a container that never stops writing costs, where it must not wait and nobody reads: of a second.
#[tokio::test]
async fn endless() {
    if std::env::var_os("BOXSHIP_BENCH").is_none() {
        return;
    }
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("main", "exec yes a line of some forty characters, for ever");
    plan.output = runtime::Output::Dropping { limit_bytes: 1 << 20 };
    let record = runtime.start_container(TASK, plan).await.unwrap();
    let shim = shim_of(record.pid);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let stats = runtime.stats(TASK).await.unwrap();
    println!("shim {} ms, container {} ms", processor_ms(&shim).0, stats[0].cpu_ns / 1_000_000);
    fixture.end().await;
}

/// Figures of a task's containers.
#[tokio::test]
async fn figures() {
    if std::env::var_os("BOXSHIP_BENCH").is_none() {
        return;
    }
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    runtime.start_container(TASK, fixture.plan("main", "exec sleep 1000")).await.unwrap();
    const READS: u32 = 500;
    let (before, begun) = (processor_ms("self").0, base::clock::wall());
    for _ in 0..READS {
        runtime.stats(TASK).await.unwrap();
    }
    let took = base::clock::wall().since(begun);
    println!(
        "{:?} each, of that {} us of processor",
        took / READS,
        (processor_ms("self").0 - before) * 1000 / u64::from(READS)
    );
    fixture.end().await;
}

/// As many tasks at the same time as `BOXSHIP_BENCH_TASKS` says, each with one container that runs on.
#[tokio::test]
async fn many_at_once() {
    if std::env::var_os("BOXSHIP_BENCH").is_none() {
        return;
    }
    let number = |name: &str| std::env::var_os(name).and_then(|text| text.to_str()?.parse::<u32>().ok());
    let Some(fixture) = linux() else { return };
    fixture.runtime.list().await.unwrap();
    let begun = base::clock::wall();
    let one = async |index: u32| {
        let mut sandbox = fixture.sandbox();
        sandbox.task = format!("{index:032x}");
        sandbox.storage_gib = number("BOXSHIP_BENCH_STORAGE_GIB");
        let task = sandbox.task.clone();
        fixture.runtime.create_sandbox(sandbox).await.unwrap();
        fixture.runtime.start_container(&task, fixture.plan("main", "exec sleep 1000")).await.unwrap();
    };
    let tasks = number("BOXSHIP_BENCH_TASKS").unwrap_or(50);
    let mut waiting: Vec<_> = (0..tasks).map(|index| Box::pin(one(index))).collect();
    std::future::poll_fn(|cx| {
        waiting.retain_mut(|task| task.as_mut().poll(cx).is_pending());
        if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    drop(waiting);
    println!("{tasks} tasks: {:?}", base::clock::wall().since(begun));
    let begun = base::clock::wall();
    fixture.runtime.down().await.unwrap();
    println!("and their end: {:?}", base::clock::wall().since(begun));
}
