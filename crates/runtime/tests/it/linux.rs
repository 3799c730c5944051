use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use runtime::{Event, Linux, LinuxOptions, Output, RuntimeError, SandboxPhase, Signal};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};

use crate::fixture::{Fixture, TASK, linux, linux_with, options};
use crate::suite::{self, Ways};

fn ways() -> Ways {
    Ways {
        exits: |fixture, name, code| fixture.plan(name, &format!("exit {code}")),
        stays: |fixture, name| fixture.plan(name, "exec sleep 1000"),
        advance: |_| {},
    }
}

#[tokio::test]
async fn passes_the_suite() {
    if crate::fixture::lacking().is_none() {
        suite::run(|| linux().expect("it can be had"), &ways()).await;
    }
}

#[tokio::test]
async fn passes_the_suite_over_runc() {
    let runc = ["/usr/sbin/runc", "/usr/bin/runc"].into_iter().find(|p| std::path::Path::new(p).exists());
    match runc {
        Some(runc) if crate::fixture::lacking().is_none() => {
            suite::run(|| linux_with(Some(runc)).expect("it can be had"), &ways()).await;
        }
        _ => eprintln!("left out: runc"),
    }
}

/// Waits for a process that is not ours to end.
fn until_ended(pidfd: &OwnedFd) {
    let long = Timespec { tv_sec: 30, tv_nsec: 0 };
    let poll = || rustix::event::poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&long));
    assert_eq!(rustix::io::retry_on_intr(poll), Ok(1), "it has ended");
}

/// The shim of a container's first process.
fn parent(pid: u32) -> Pid {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    Pid::from_raw(parent.trim().parse().unwrap()).unwrap()
}

/// Runs one container to its end; its exit code and output.
async fn run(
    fixture: &Fixture,
    change: impl FnOnce(&mut runtime::ContainerPlan),
    script: &str,
) -> (i32, String) {
    let runtime = &fixture.runtime;
    let mut events = runtime.events(TASK);
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("main", script);
    change(&mut plan);
    runtime.start_container(TASK, plan).await.unwrap();
    loop {
        if let Event::Exited { exit, .. } = events.recv().await.unwrap() {
            return (exit.code, fixture.output("main").await);
        }
    }
}

#[tokio::test]
async fn output_user_directory_and_names() {
    let Some(fixture) = linux() else { return };
    let script =
        "id; echo $PWD $HOME $HOSTNAME; hostname; cat /etc/hosts; echo error >&2; ulimit -n; touch /x";
    let change = |plan: &mut runtime::ContainerPlan| {
        plan.user = Some("web".to_owned());
        plan.working_directory = Some("/srv/new/dir".to_owned());
    };
    let (code, output) = run(&fixture, change, script).await;
    assert_eq!(code, 1, "touching the root is not for this user: {output}");
    assert!(output.contains("uid=33(web) gid=34(web) groups=34(web),50(logs)"), "{output}");
    assert!(output.contains("/srv/new/dir /srv ip-10-0-0-7"), "{output}");
    assert!(output.contains("\nerror\n"), "{output}");
    assert!(output.contains("\n1024\n"), "{output}");
    fixture.end().await;
}

#[tokio::test]
async fn a_readonly_root() {
    let Some(fixture) = linux() else { return };
    let (code, output) = run(&fixture, |plan| plan.readonly_root = true, "touch /x").await;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("Read-only file system"), "{output}");
    fixture.end().await;
}

#[tokio::test]
async fn memory_limits_kill_and_say_so() {
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    let mut events = runtime.events(TASK);
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("main", "exec dd if=/dev/zero of=/dev/null bs=200M count=1");
    plan.memory_mib = Some(16);
    runtime.start_container(TASK, plan).await.unwrap();
    let exit = loop {
        if let Event::Exited { exit, .. } = events.recv().await.unwrap() {
            break exit;
        }
    };
    assert_eq!((exit.code, exit.is_oom), (137, true));
    fixture.end().await;
}

#[tokio::test]
async fn the_stop_signal_and_then_kill() {
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let polite = "trap 'echo bye; exit 5' TERM; echo ready; while true; do sleep 1000 & wait; done";
    runtime.start_container(TASK, fixture.plan("polite", polite)).await.unwrap();
    // Deaf: the first process of a PID namespace gets no signal that it does not handle.
    runtime.start_container(TASK, fixture.plan("deaf", "exec sleep 1000")).await.unwrap();
    runtime.output(TASK, "polite", Default::default()).await.unwrap();
    let exit = runtime.stop(TASK, "polite", Signal::TERM, Duration::from_secs(60)).await.unwrap();
    assert_eq!(exit.code, 5);
    assert_eq!(fixture.output("polite").await, "ready\nbye\n");
    let exit = runtime.stop(TASK, "deaf", Signal::TERM, Duration::from_millis(50)).await.unwrap();
    assert_eq!(exit.code, 137);
    fixture.end().await;
}

#[tokio::test]
async fn a_program_that_is_not_there() {
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("main", "");
    plan.entry_point = Some(vec!["nope".to_owned()]);
    let failed = runtime.start_container(TASK, plan).await.unwrap_err();
    assert!(matches!(failed, RuntimeError::Start(_)), "{failed:?}");
    assert!(failed.to_string().contains("executable file not found in $PATH"), "{failed}");
    // Nothing is left of it: the name is free.
    runtime.start_container(TASK, fixture.plan("main", "true")).await.unwrap();
    fixture.end().await;
}

#[tokio::test]
async fn a_restart_finds_what_runs_and_what_has_ended() {
    let Some(mut fixture) = linux() else { return };
    let dir = fixture.dir.path().to_path_buf();
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    fixture.runtime.start_container(TASK, fixture.plan("web", "exec sleep 1000")).await.unwrap();
    // Ends once it gets a signal, while nobody listens.
    let job = "trap 'echo after; exit 9' USR1; echo before; while true; do sleep 1000 & wait; done";
    fixture.runtime.start_container(TASK, fixture.plan("job", job)).await.unwrap();
    fixture.runtime.output(TASK, "job", Default::default()).await.unwrap();
    let pid = fixture.runtime.state(TASK).await.unwrap().unwrap().container("job").unwrap().pid;
    let pid = Pid::from_raw(pid as i32).unwrap();
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap();
    fixture.runtime.close().await;
    fixture.runtime = Box::new(Linux::open(options(&dir, None)).unwrap());
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    until_ended(&pidfd);
    let mut events = fixture.runtime.events(TASK);
    let records = fixture.runtime.list().await.unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].container("web").unwrap().exit, None);
    // Either it was recorded meanwhile or its event is yet to come.
    let code = match &records[0].container("job").unwrap().exit {
        Some(exit) => exit.code,
        None => match events.recv().await.unwrap() {
            Event::Exited { exit, .. } => exit.code,
            other => panic!("{other:?}"),
        },
    };
    assert_eq!(code, 9);
    assert_eq!(fixture.output("job").await, "before\nafter\n");
    fixture.end().await;
}

#[tokio::test]
async fn a_dead_shim_leaves_no_container() {
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    let mut events = runtime.events(TASK);
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let record = runtime.start_container(TASK, fixture.plan("main", "exec sleep 1000")).await.unwrap();
    let pid = Pid::from_raw(record.pid as i32).unwrap();
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap();
    rustix::process::kill_process(parent(record.pid), rustix::process::Signal::KILL).unwrap();
    while !matches!(events.recv().await.expect("the loss is told"), Event::SandboxLost { .. }) {}
    until_ended(&pidfd);
    let state = runtime.state(TASK).await.unwrap().unwrap();
    assert_eq!(state.phase, SandboxPhase::Removed);
    let main = state.container("main").unwrap();
    assert_eq!(main.exit.as_ref().unwrap().code, 137);
    assert!(main.exit_reason.is_some());
    fixture.end().await;
}

/// CVE-2019-5736: whoever gets hold of a shim's `/proc/<pid>/exe` cannot write our file.
#[tokio::test]
async fn a_shims_program_is_out_of_reach() {
    // Executed as the server does, and as itself: both ways end on a read-only mount.
    let own = |options: &mut LinuxOptions| {
        let opened = launch::exe::read_only_of(std::path::Path::new(&options.shim[0])).unwrap();
        options.shim[0] = format!("/proc/self/fd/{}", opened.as_raw_fd()).into();
        Some(opened)
    };
    let ways: [fn(&mut LinuxOptions) -> Option<OwnedFd>; 2] = [own, |_| None];
    for change in ways {
        let Some(mut fixture) = linux() else { return };
        let mut options = options(fixture.dir.path(), None);
        let _open = change(&mut options);
        fixture.runtime = Box::new(Linux::open(options).unwrap());
        let runtime = &fixture.runtime;
        runtime.create_sandbox(fixture.sandbox()).await.unwrap();
        let record = runtime.start_container(TASK, fixture.plan("main", "exec sleep 1000")).await.unwrap();
        let shim = parent(record.pid);
        let mount = rustix::fs::statvfs(format!("/proc/{}/exe", shim.as_raw_pid())).unwrap();
        assert!(mount.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY), "{:?}", mount.f_flag);
        fixture.end().await;
    }
}

#[tokio::test]
async fn a_chatty_container_waits_for_its_reader_and_loses_nothing() {
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("main", "exec seq 1 400000");
    plan.output = Output::Blocking { limit_bytes: 1 << 20 };
    runtime.start_container(TASK, plan).await.unwrap();
    let dir = runtime.spool(TASK, "main");
    let mut reader = runtime::spool::Reader::new(&dir, Default::default());
    let mut expected = 1_u32;
    let mut is_closed = false;
    loop {
        let entries = reader.read(10_000, 1 << 20).unwrap();
        for entry in &entries {
            assert_eq!(entry.text, expected.to_string().as_bytes());
            expected += 1;
        }
        let on_disk: u64 =
            std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert!(on_disk < 3 << 20, "{on_disk} bytes wait");
        reader.release(reader.position()).unwrap();
        if entries.is_empty() {
            if is_closed {
                break;
            }
            let state = runtime.output(TASK, "main", reader.position()).await.unwrap();
            is_closed = state == runtime::OutputState::Closed;
        }
    }
    assert_eq!(expected, 400_001);
    fixture.end().await;
}

#[tokio::test]
async fn a_container_that_must_not_wait_loses_lines_instead() {
    let Some(fixture) = linux() else { return };
    let runtime = &fixture.runtime;
    let mut events = runtime.events(TASK);
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("main", "exec seq 1 400000");
    plan.output = Output::Dropping { limit_bytes: 1 << 20 };
    runtime.start_container(TASK, plan).await.unwrap();
    // It ends although nobody reads.
    let mut told = 0;
    loop {
        match events.recv().await.expect("it ends") {
            Event::Dropped { container, lines } => {
                assert!(container == "main" && lines > told, "{container} {lines} {told}");
                told = lines;
            }
            Event::Exited { .. } => break,
            _ => {}
        }
    }
    let output = fixture.output("main").await;
    assert!(output.starts_with("1\n2\n3\n"));
    let lines = output.lines().count();
    assert!((10_000..400_000).contains(&lines), "{lines}");
    let record = runtime.state(TASK).await.unwrap().unwrap();
    let dropped = record.container("main").unwrap().dropped_lines;
    assert_eq!(dropped, told);
    assert_eq!(dropped + lines as u64, 400_000, "each line is kept or counted");
    runtime.restart_container(TASK, "main").await.unwrap();
    while !matches!(events.recv().await.expect("it ends again"), Event::Exited { .. }) {}
    let record = runtime.state(TASK).await.unwrap().unwrap();
    let main = record.container("main").unwrap();
    let kept = fixture.output("main").await.lines().count() as u64;
    assert_eq!((main.restarts, main.dropped_lines + kept), (1, 800_000), "of both runs");
    fixture.end().await;
}

#[tokio::test]
async fn a_waiting_shim_ends_with_its_server() {
    let Some(fixture) = linux() else { return };
    assert!(fixture.runtime.list().await.unwrap().is_empty());
    let hierarchies = launch::cgroup::Hierarchies::detect().unwrap();
    let group = options(fixture.dir.path(), None).cgroup.join("shims");
    let cgroup = launch::cgroup::Cgroup::open(&hierarchies, &group).unwrap();
    let waiting = || cgroup.processes().map_or(0, |found| found.len());
    while waiting() == 0 {
        tokio::task::yield_now().await;
    }
    fixture.runtime.close().await;
    while waiting() != 0 {
        tokio::task::yield_now().await;
    }
}

/// One that went on would make its control group again.
#[tokio::test]
async fn down_waits_for_a_shim_that_is_only_just_starting() {
    let Some(fixture) = linux() else { return };
    let argument = options(fixture.dir.path(), None).cgroup.join("shims");
    let is_running = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.into_iter().any(|line| String::from_utf8_lossy(&line).contains(argument.to_str().unwrap()))
    };
    for _ in 0..5 {
        assert!(fixture.runtime.list().await.unwrap().is_empty());
        while !is_running() {
            tokio::task::yield_now().await;
        }
        fixture.runtime.down().await.unwrap();
        assert!(!is_running());
    }
}

#[tokio::test]
async fn down_leaves_nothing() {
    let Some(fixture) = linux() else { return };
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    fixture.runtime.start_container(TASK, fixture.plan("main", "exec sleep 1000")).await.unwrap();
    let group = options(fixture.dir.path(), None).cgroup;
    let hierarchies = launch::cgroup::Hierarchies::detect().unwrap();
    let cgroup = launch::cgroup::Cgroup::open(&hierarchies, &group).unwrap();
    assert!(cgroup.directories().iter().all(|dir| dir.exists()));
    fixture.runtime.down().await.unwrap();
    assert!(cgroup.directories().iter().all(|dir| !dir.exists()));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(fixture.dir.path().to_str().unwrap()));
    fixture.runtime.forget(TASK).await.unwrap();
    assert_eq!(std::fs::read_dir(fixture.dir.path().join("tasks")).unwrap().count(), 0);
}

/// What nobody has read before a `down` is read after it.
#[tokio::test]
async fn down_keeps_exits_and_output() {
    let Some(mut fixture) = linux() else { return };
    let dir = fixture.dir.path().to_path_buf();
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    fixture.runtime.start_container(TASK, fixture.plan("job", "echo last words; exit 7")).await.unwrap();
    fixture.runtime.start_container(TASK, fixture.plan("web", "echo hello; exec sleep 1000")).await.unwrap();
    assert_eq!(fixture.output("job").await, "last words\n");
    fixture.runtime.output(TASK, "web", Default::default()).await.unwrap();
    fixture.runtime.down().await.unwrap();
    fixture.runtime.close().await;
    fixture.runtime = Box::new(Linux::open(options(&dir, None)).unwrap());
    let record = fixture.runtime.state(TASK).await.unwrap().unwrap();
    let code = |name: &str| record.container(name).unwrap().exit.as_ref().map(|exit| exit.code);
    assert_eq!((code("job"), code("web")), (Some(7), Some(137)));
    assert_eq!(fixture.output("job").await, "last words\n");
    assert_eq!(fixture.output("web").await, "hello\n");
}
