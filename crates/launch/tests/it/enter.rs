//! A process more in a running container.

use std::fs::File;

use crate::rig::{Rig, finish};
use launch::{Exec, LaunchError, Started, Stdio, WritableExe, exec};
use oci_spec::runtime::Process;
use std::os::fd::OwnedFd;

/// A container that waits to be killed.
fn sleeping() -> Option<(Rig, Started, [OwnedFd; 2])> {
    let mut rig = Rig::new("echo up; exec sleep 1000")?;
    rig.spec.set_hostname(Some("box".to_owned()));
    let (created, outputs) = rig.create().unwrap();
    let started = created.start().unwrap();
    rustix::io::read(&outputs[0], &mut [0; 3]).unwrap();
    Some((rig, started, outputs))
}

fn enter(rig: &Rig, started: &Started, process: &Process) -> Result<crate::rig::Ended, LaunchError> {
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let ((stdout, stdout_end), (stderr, stderr_end)) = (pipe(), pipe());
    let stdin = File::open("/dev/null").unwrap().into();
    let entered = exec(Exec {
        target: started.pid,
        cgroup: &started.cgroup,
        process,
        seccomp: rig.spec.linux().as_ref().unwrap().seccomp().as_ref(),
        filter: None,
        stdio: Stdio { stdin, stdout: stdout_end, stderr: stderr_end },
        writable_exe: WritableExe::Allow,
    })?
    .start()?;
    Ok(finish(&entered.pidfd, [stdout, stderr], &entered.cgroup))
}

#[test]
fn it_is_inside_and_confined() {
    let Some((rig, started, outputs)) = sleeping() else { return };
    let script = "hostname; pwd; cat /proc/1/cmdline | tr '\\0' ' '; echo; grep CapEff /proc/self/status; \
                  grep Seccomp: /proc/self/status; ls /proc/self/fd | wc -l; unshare -U true; exit 7";
    let mut process = rig.spec.process().clone().unwrap();
    process.set_args(Some(["/bin/sh", "-c", script].map(str::to_owned).to_vec()));
    let ended = enter(&rig, &started, &process).unwrap();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let expected = ["box", "/", "sleep 1000 ", "CapEff:\t00000000a80425fb", "Seccomp:\t2", "4"];
    assert_eq!(lines, expected, "{ended:?}");
    assert_eq!(ended.code, Some(7));
    assert!(ended.stderr.contains("Operation not permitted"), "{ended:?}");
    started.cgroup.kill_all().unwrap();
    finish(&started.pidfd, outputs, &started.cgroup);
}

#[test]
fn it_is_in_the_containers_group_and_ours_is_not_left() {
    let Some((rig, started, outputs)) = sleeping() else { return };
    let mut process = rig.spec.process().clone().unwrap();
    process.set_args(Some(vec!["/bin/cat".to_owned(), "/sys/fs/cgroup/pids/cgroup.procs".to_owned()]));
    if rig.hierarchies.is_unified() {
        process.set_args(Some(vec!["/bin/cat".to_owned(), "/sys/fs/cgroup/cgroup.procs".to_owned()]));
    }
    let before = std::fs::read_link("/proc/thread-self/ns/pid_for_children").unwrap();
    let ended = enter(&rig, &started, &process).unwrap();
    assert_eq!(std::fs::read_link("/proc/thread-self/ns/pid_for_children").unwrap(), before);
    assert!(ended.stdout.lines().count() >= 2, "the first and itself: {ended:?}");
    started.cgroup.kill_all().unwrap();
    finish(&started.pidfd, outputs, &started.cgroup);
}

#[test]
fn a_missing_program_is_named() {
    let Some((rig, started, outputs)) = sleeping() else { return };
    let mut process = rig.spec.process().clone().unwrap();
    process.set_args(Some(vec!["/nope".to_owned()]));
    let error = enter(&rig, &started, &process).unwrap_err().to_string();
    assert_eq!(error, "exec: \"/nope\": stat /nope: no such file or directory");
    started.cgroup.kill_all().unwrap();
    finish(&started.pidfd, outputs, &started.cgroup);
}
