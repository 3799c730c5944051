//! The life cycle of an OCI runtime over its state directory.

use std::fs;

use crate::rig::Rig;
use launch::WritableExe;
use launch::runtime_cli::{CliError, Create, Exec, Runtime};
use oci_spec::runtime::ContainerState;
use rustix::process::{Pid, PidfdFlags};

/// A bundle and a state directory; the container's id is that of its group.
fn bundle(script: &str) -> Option<(Rig, String)> {
    let mut rig = Rig::new(script)?;
    let id = rig.cgroup.display().to_string();
    rig.spec.linux_mut().as_mut().unwrap().set_cgroups_path(Some(rig.cgroup.clone()));
    rig.spec.save(rig.dir.path().join("config.json")).unwrap();
    Some((rig, id))
}

/// The container is no child of the runtime's caller as a rule; here it is, and must be reaped.
fn wait(pid: i32) {
    let pid = Pid::from_raw(pid).unwrap();
    rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
}

#[test]
fn created_running_stopped_deleted() {
    let Some((rig, id)) = bundle("echo ran > /data/out; exec sleep 1000") else { return };
    let state = rig
        .dir
        .path()
        .join("a state directory whose path is longer than a socket's name may be")
        .join("x".repeat(80));
    let runtime = Runtime { root: &state };
    let pid_file = rig.dir.path().join("pid");
    let create = Create {
        bundle: rig.dir.path(),
        pid_file: Some(&pid_file),
        writable_exe: WritableExe::Allow,
        console_socket: None,
    };
    runtime.create(&id, &create).unwrap();
    let status = || *runtime.state(&id).unwrap().status();
    assert_eq!(status(), ContainerState::Created);
    assert!(matches!(runtime.create(&id, &create), Err(CliError::Exists { .. })));
    let pid: i32 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    assert_eq!(*runtime.state(&id).unwrap().pid(), Some(pid));
    assert!(!rig.root().join("data/out").exists(), "the program has not run");
    runtime.start(&id).unwrap();
    assert_eq!(status(), ContainerState::Running);
    assert!(matches!(runtime.start(&id), Err(CliError::Status { .. })));
    assert!(matches!(runtime.delete(&id, false), Err(CliError::Status { .. })));
    assert!(matches!(runtime.kill(&id, "NOSUCH"), Err(CliError::Signal(_))));
    runtime.kill(&id, "SIGKILL").unwrap();
    wait(pid);
    assert_eq!(status(), ContainerState::Stopped);
    assert!(matches!(runtime.kill(&id, "TERM"), Err(CliError::Status { .. })));
    runtime.delete(&id, false).unwrap();
    assert!(matches!(runtime.state(&id), Err(CliError::Missing { .. })));
    assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
    assert!(!rig.group().exists());
}

#[test]
fn one_that_was_never_started_can_be_deleted() {
    let Some((rig, id)) = bundle("true") else { return };
    let state = rig.dir.path().join("state");
    let runtime = Runtime { root: &state };
    let create = Create {
        bundle: rig.dir.path(),
        pid_file: None,
        writable_exe: WritableExe::Allow,
        console_socket: None,
    };
    runtime.create(&id, &create).unwrap();
    let pid = runtime.state(&id).unwrap().pid().unwrap();
    let process = rustix::process::pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
    runtime.delete(&id, false).unwrap();
    let mut polled = [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut polled, None).unwrap();
    wait(pid);
    assert!(!rig.group().exists());
    runtime.delete(&id, true).unwrap();
}

#[test]
fn a_failed_create_leaves_nothing() {
    let Some((mut rig, id)) = bundle("true") else { return };
    rig.args(&["/nope"]);
    rig.spec.save(rig.dir.path().join("config.json")).unwrap();
    let state = rig.dir.path().join("state");
    let runtime = Runtime { root: &state };
    let create = Create {
        bundle: rig.dir.path(),
        pid_file: None,
        writable_exe: WritableExe::Allow,
        console_socket: None,
    };
    let error = runtime.create(&id, &create).unwrap_err().to_string();
    assert_eq!(error, "exec: \"/nope\": stat /nope: no such file or directory");
    assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
    assert!(!rig.group().exists());
    for id in ["..", "a/b", ""] {
        assert!(matches!(runtime.create(id, &create), Err(CliError::Id { .. })), "{id:?}");
    }
}

#[test]
fn a_running_one_is_entered() {
    let Some((rig, id)) = bundle("exec sleep 1000") else { return };
    let state = rig.dir.path().join("state");
    let runtime = Runtime { root: &state };
    let create = Create {
        bundle: rig.dir.path(),
        pid_file: None,
        writable_exe: WritableExe::Allow,
        console_socket: None,
    };
    runtime.create(&id, &create).unwrap();
    let pid = runtime.state(&id).unwrap().pid().unwrap();
    let description = rig.dir.path().join("process.json");
    let describe = |script: &str| {
        let mut process = rig.spec.process().clone().unwrap();
        process.set_args(Some(["/bin/sh", "-c", script].map(str::to_owned).to_vec()));
        fs::write(&description, serde_json::to_vec(&process).unwrap()).unwrap();
    };
    let pid_file = rig.dir.path().join("pid");
    let exec = Exec {
        process: &description,
        pid_file: Some(&pid_file),
        console_socket: None,
        has_terminal: false,
        is_detached: false,
        writable_exe: WritableExe::Allow,
    };
    describe("cat /proc/1/cmdline | tr '\\0' ' ' > /data/seen; exit 7");
    assert!(matches!(runtime.exec(&id, &exec), Err(CliError::Status { .. })), "it only waits");
    runtime.start(&id).unwrap();
    assert_eq!(runtime.exec(&id, &exec).unwrap(), 7);
    assert_eq!(fs::read_to_string(rig.root().join("data/seen")).unwrap(), "sleep 1000 ");
    describe("exec sleep 1000");
    assert_eq!(runtime.exec(&id, &Exec { is_detached: true, ..exec }).unwrap(), 0);
    let entered: i32 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    runtime.kill(&id, "KILL").unwrap();
    wait(entered);
    wait(pid);
    runtime.delete(&id, false).unwrap();
    assert!(!rig.group().exists());
}
