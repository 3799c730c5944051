//! Containers that are started again, and those that do not end as they should.

use std::time::Duration;

use core_lifecycle::Namespace;
use runtime::{Event, Events, Linux, RuntimeError, SandboxPhase, Signal, TaskSandbox};
use rustix::process::Pid;

use crate::fixture::{Fixture, TASK, linux, options};

async fn exit_of(events: &mut Events) -> core_lifecycle::Exit {
    loop {
        match events.recv().await.expect("events go on") {
            Event::Exited { exit, .. } => return exit,
            Event::SandboxLost { reason } => panic!("{reason}"),
            Event::Started { .. } | Event::Dropped { .. } => {}
        }
    }
}

/// Counts its starts in a file of its own.
const COUNTS: &str = "echo x >> /count; n=$(cat /count | grep -c x); echo start $n; exit $n";

async fn files_and_spool_go_on(fixture: Fixture) {
    let runtime = &fixture.runtime;
    let mut events = runtime.events(TASK);
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let first = runtime.start_container(TASK, fixture.plan("main", COUNTS)).await.unwrap();
    assert_eq!(exit_of(&mut events).await.code, 1);
    for restarts in 1..=2 {
        let again = runtime.restart_container(TASK, "main").await.unwrap();
        assert_eq!(
            (again.restarts, again.exit.clone(), &again.runtime_id),
            (restarts, None, &first.runtime_id)
        );
        assert!(again.started_at > first.started_at);
        assert_eq!(exit_of(&mut events).await.code, 1 + restarts as i32);
    }
    let state = runtime.state(TASK).await.unwrap().unwrap();
    let main = state.container("main").unwrap();
    assert_eq!((main.restarts, main.exit.as_ref().unwrap().code), (2, 3));
    assert_eq!(fixture.output("main").await, "start 1\nstart 2\nstart 3\n");
    let missing = runtime.restart_container(TASK, "other").await.unwrap_err();
    assert!(matches!(missing, RuntimeError::NoContainer(_)), "{missing:?}");
    fixture.end().await;
}

#[tokio::test]
async fn with_our_launcher() {
    if let Some(fixture) = linux() {
        files_and_spool_go_on(fixture).await;
    }
}

#[tokio::test]
async fn over_runc() {
    let runc = ["/usr/sbin/runc", "/usr/bin/runc"].into_iter().find(|p| std::path::Path::new(p).exists());
    match runc.and_then(|runc| crate::fixture::linux_with(Some(runc))) {
        Some(fixture) => files_and_spool_go_on(fixture).await,
        None => eprintln!("left out: runc"),
    }
}

#[tokio::test]
async fn one_that_runs_is_left_alone_and_a_new_server_starts_one_again() {
    let Some(mut fixture) = linux() else { return };
    let dir = fixture.dir.path().to_path_buf();
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    fixture.runtime.start_container(TASK, fixture.plan("main", "exec sleep 1000")).await.unwrap();
    let running = fixture.runtime.restart_container(TASK, "main").await.unwrap_err();
    assert!(matches!(running, RuntimeError::StillRunning(_)), "{running:?}");
    fixture.runtime.stop(TASK, "main", Signal::KILL, Duration::ZERO).await.unwrap();
    fixture.runtime.close().await;
    fixture.runtime = Box::new(Linux::open(options(&dir, None)).unwrap());
    let again = fixture.runtime.restart_container(TASK, "main").await.unwrap();
    assert_eq!(again.restarts, 1);
    // And the next server finds the new run.
    fixture.runtime.close().await;
    fixture.runtime = Box::new(Linux::open(options(&dir, None)).unwrap());
    let state = fixture.runtime.state(TASK).await.unwrap().unwrap();
    assert_eq!(state.container("main"), Some(&again));
    let exit = fixture.runtime.stop(TASK, "main", Signal::KILL, Duration::ZERO).await.unwrap();
    assert_eq!(exit.code, 137);
    fixture.end().await;
}

/// The shim of a container's first process.
fn shim(pid: u32) -> Pid {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    Pid::from_raw(parent.trim().parse().unwrap()).unwrap()
}

/// The shim is killed at some moment around a restart: the record has the old exit or the new run's end,
/// and nothing runs.
#[tokio::test]
async fn a_shim_killed_meanwhile_leaves_one_truth() {
    let Some(fixture) = linux() else { return };
    for round in 0..12u32 {
        let task = format!("{round:032x}");
        let runtime = &fixture.runtime;
        let mut events = runtime.events(&task);
        runtime.create_sandbox(TaskSandbox { task: task.clone(), ..fixture.sandbox() }).await.unwrap();
        let other = runtime.start_container(&task, fixture.plan("other", "exec sleep 1000")).await.unwrap();
        runtime.start_container(&task, fixture.plan("main", "sleep 1000; exit 3")).await.unwrap();
        runtime.stop(&task, "main", Signal::KILL, Duration::ZERO).await.unwrap();
        let victim = shim(other.pid);
        let kill = tokio::task::spawn_blocking(move || {
            // Some way into the restart, which takes several milliseconds.
            for _ in 0..round * 20_000 {
                std::hint::spin_loop();
            }
            rustix::process::kill_process(victim, rustix::process::Signal::KILL).unwrap();
        });
        let restarted = runtime.restart_container(&task, "main").await;
        kill.await.unwrap();
        while !matches!(events.recv().await.expect("the loss is told"), Event::SandboxLost { .. }) {}
        let state = runtime.state(&task).await.unwrap().unwrap();
        assert_eq!(state.phase, SandboxPhase::Removed);
        let main = state.container("main").unwrap();
        match (main.restarts, &main.exit_reason) {
            (0, None) => assert!(restarted.is_err(), "it was told but not recorded"),
            (1, Some(_)) => {}
            other => panic!("{other:?}"),
        }
        runtime.remove_sandbox(&task).await.unwrap();
        let hierarchies = launch::cgroup::Hierarchies::detect().unwrap();
        let group = options(fixture.dir.path(), None).cgroup.join(&task);
        assert!(!launch::cgroup::Cgroup::open(&hierarchies, &group).unwrap().exists(), "something is left");
    }
    fixture.end().await;
}

/// Its containers ended with it, and start again under another.
#[tokio::test]
async fn a_task_outlives_its_shim() {
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    let mut events = runtime.events(TASK);
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let script = "echo x >> /count; grep -c x /count; exec sleep 1000";
    runtime.start_container(TASK, fixture.plan("main", script)).await.unwrap();
    let record = runtime.start_container(TASK, fixture.plan("other", script)).await.unwrap();
    for name in ["main", "other"] {
        runtime.output(TASK, name, Default::default()).await.unwrap();
    }
    let mut reader = runtime::spool::Reader::new(&runtime.spool(TASK, "main"), Default::default());
    reader.read(10, 1 << 20).unwrap();
    rustix::process::kill_process(shim(record.pid), rustix::process::Signal::KILL).unwrap();
    while !matches!(events.recv().await.expect("the loss is told"), Event::SandboxLost { .. }) {}
    let (main, other) =
        tokio::join!(runtime.restart_container(TASK, "main"), runtime.restart_container(TASK, "other"));
    assert_eq!((main.unwrap().restarts, other.as_ref().unwrap().restarts), (1, 1));
    let state = runtime.state(TASK).await.unwrap().unwrap();
    assert_eq!((state.phase, state.containers.iter().all(|c| c.exit.is_none())), (SandboxPhase::Ready, true));
    // It has run as far as its second line.
    runtime.output(TASK, "main", reader.position()).await.unwrap();
    runtime.stop(TASK, "main", Signal::KILL, Duration::ZERO).await.unwrap();
    assert_eq!(fixture.output("main").await, "1\n2\n");
    // What was removed stays so.
    runtime.remove_sandbox(TASK).await.unwrap();
    let removed = runtime.restart_container(TASK, "main").await.unwrap_err();
    assert!(matches!(removed, RuntimeError::NoSandbox(_)), "{removed:?}");
    fixture.end().await;
}

#[tokio::test]
async fn a_child_killed_for_want_of_memory_is_told_of_the_container() {
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    let mut events = runtime.events(TASK);
    // The task's limit kills; the victim is in one container and not in the other.
    let sandbox = TaskSandbox { memory_mib: Some(32), ..fixture.sandbox() };
    runtime.create_sandbox(sandbox).await.unwrap();
    let greedy = "dd if=/dev/zero of=/dev/null bs=200M count=1; echo child $?; exit 4";
    runtime.start_container(TASK, fixture.plan("innocent", "exec sleep 1000")).await.unwrap();
    runtime.start_container(TASK, fixture.plan("main", greedy)).await.unwrap();
    let exit = exit_of(&mut events).await;
    assert_eq!((exit.code, exit.is_oom), (4, true));
    assert!(fixture.output("main").await.contains("child 137\n"));
    let exit = runtime.stop(TASK, "innocent", Signal::KILL, Duration::ZERO).await.unwrap();
    assert_eq!((exit.code, exit.is_oom), (137, false));
    // Nor is a later run to blame for an earlier one's.
    runtime.restart_container(TASK, "innocent").await.unwrap();
    let exit = runtime.stop(TASK, "innocent", Signal::KILL, Duration::ZERO).await.unwrap();
    assert!(!exit.is_oom);
    fixture.end().await;
}

#[tokio::test]
async fn what_it_leaves_running_ends_with_it() {
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    let mut events = runtime.events(TASK);
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    // A daemon with the pipe open, and many children that nobody waits for.
    let script = "(sleep 1000 &) ; for i in 1 2 3 4 5 6 7 8; do (true &) ; done; echo done; exit 6";
    runtime.start_container(TASK, fixture.plan("main", script)).await.unwrap();
    assert_eq!(exit_of(&mut events).await.code, 6);
    assert_eq!(fixture.output("main").await, "done\n");
    runtime.restart_container(TASK, "main").await.unwrap();
    assert_eq!(exit_of(&mut events).await.code, 6);
    fixture.end().await;
}

/// Zombies that a process is to reap.
fn zombies(parent: Pid) -> usize {
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let zombie = format!(") Z {} ", parent.as_raw_nonzero());
    stats.filter(|stat| stat.contains(&zombie)).count()
}

/// Where a container's first process is not the first of its PID namespace, the kernel ends nothing for it.
#[tokio::test]
async fn nor_does_it_outlive_it_in_a_shared_pid_namespace() {
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    for (n, mode) in [Namespace::Host, Namespace::Task].into_iter().enumerate() {
        let task = format!("{n:032x}");
        let mut events = runtime.events(&task);
        let sandbox = TaskSandbox { task: task.clone(), pid_mode: mode, ..fixture.sandbox() };
        runtime.create_sandbox(sandbox).await.unwrap();
        let stays = runtime.start_container(&task, fixture.plan("stays", "exec sleep 1000")).await.unwrap();
        let script = "(sleep 1000 &) ; (sleep 0 &) ; for i in 1 2 3; do (true &) ; done; exit 6";
        runtime.start_container(&task, fixture.plan("main", script)).await.unwrap();
        assert_eq!(exit_of(&mut events).await.code, 6);
        let hierarchies = launch::cgroup::Hierarchies::detect().unwrap();
        let group = options(fixture.dir.path(), None).cgroup.join(&task).join("main");
        while launch::cgroup::Cgroup::open(&hierarchies, &group).unwrap().exists() {
            tokio::task::yield_now().await;
        }
        let shim = shim(stays.pid);
        while zombies(shim) > 0 {
            tokio::task::yield_now().await;
        }
        runtime.restart_container(&task, "main").await.unwrap();
        assert_eq!(exit_of(&mut events).await.code, 6);
        runtime.remove_sandbox(&task).await.unwrap();
    }
    fixture.end().await;
}

#[tokio::test]
async fn one_that_closes_its_streams_runs_on() {
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    let mut events = runtime.events(TASK);
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let script = "echo last; exec 0<&- 1>&- 2>&-; read x < /gate; exit 8";
    let script = format!("mkfifo /gate; {script}");
    let record = runtime.start_container(TASK, fixture.plan("main", &script)).await.unwrap();
    assert_eq!(fixture.output("main").await, "last\n");
    // A closed pipe is not looked at again: the shim falls asleep.
    let stat = format!("/proc/{}/stat", shim(record.pid).as_raw_nonzero());
    while !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
        tokio::task::yield_now().await;
    }
    std::fs::write(format!("/proc/{}/root/gate", record.pid), "go\n").unwrap();
    assert_eq!(exit_of(&mut events).await.code, 8);
    fixture.end().await;
}

#[tokio::test]
async fn a_terminal_of_its_own() {
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    let mut events = runtime.events(TASK);
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("main", "tty; echo $TERM; echo error >&2; exit 2");
    plan.linux.has_terminal = true;
    runtime.start_container(TASK, plan).await.unwrap();
    assert_eq!(exit_of(&mut events).await.code, 2);
    // As a terminal shows it: one stream, and lines end with both characters.
    assert_eq!(fixture.output("main").await, "/dev/pts/0\r\nxterm\r\nerror\r\n");
    fixture.end().await;
}

#[tokio::test]
async fn a_terminal_whose_output_is_discarded_holds_nobody_up() {
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    let mut events = runtime.events(TASK);
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("main", "seq 1 100000; exit 2");
    plan.linux.has_terminal = true;
    plan.output = runtime::Output::Discard;
    runtime.start_container(TASK, plan).await.unwrap();
    assert_eq!(exit_of(&mut events).await.code, 2);
    fixture.end().await;
}

#[tokio::test]
async fn an_interactive_one_waits_for_input() {
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    let mut events = runtime.events(TASK);
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    runtime.start_container(TASK, fixture.plan("shut", "cat; echo end")).await.unwrap();
    assert_eq!(exit_of(&mut events).await.code, 0);
    let mut plan = fixture.plan("open", "echo ready; cat; echo end");
    plan.linux.is_interactive = true;
    runtime.start_container(TASK, plan).await.unwrap();
    runtime.output(TASK, "open", Default::default()).await.unwrap();
    let state = runtime.state(TASK).await.unwrap().unwrap();
    assert_eq!(state.container("open").unwrap().exit, None);
    runtime.stop(TASK, "open", Signal::KILL, Duration::ZERO).await.unwrap();
    assert_eq!(fixture.output("open").await, "ready\n");
    fixture.end().await;
}
