//! Programs with a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use crate::rig::Rig;
use launch::{Exec, Stdio, WritableExe, exec};
use oci_spec::runtime::{BoxBuilder, LinuxDeviceCgroupBuilder, LinuxResourcesBuilder, Process, UserBuilder};
use rustix::process::{WaitId, WaitIdOptions};

fn with_terminal(process: &mut Process) {
    process.set_terminal(Some(true));
    process.set_console_size(Some(BoxBuilder::default().height(30u64).width(100u64).build().unwrap()));
}

/// Types a line and reads until the program is gone.
fn talk(console: OwnedFd, line: &str) -> String {
    let mut console = File::from(console);
    console.write_all(line.as_bytes()).unwrap();
    let mut said = Vec::new();
    // A terminal without a program on it ends with an error.
    let _ = console.read_to_end(&mut said);
    String::from_utf8(said).unwrap().replace('\r', "")
}

fn reap(process: &OwnedFd) {
    rustix::process::waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED).unwrap();
}

#[test]
fn the_first_process_has_one() {
    let script = "tty; stty size; test -c /dev/console && echo console; stat -c %u /dev/pts/0; \
                  echo to > /dev/tty; read line; echo got $line";
    let Some(mut rig) = Rig::new(script) else { return };
    with_terminal(rig.spec.process_mut().as_mut().unwrap());
    let user = UserBuilder::default().uid(1000u32).gid(1000u32).build().unwrap();
    rig.spec.process_mut().as_mut().unwrap().set_user(user);
    let (created, _outputs) = rig.create().unwrap();
    let mut started = created.start().unwrap();
    let said = talk(started.console.take().unwrap(), "hello\n");
    reap(&started.pidfd);
    let lines: Vec<&str> = said.lines().filter(|line| *line != "hello").collect();
    assert_eq!(lines, ["/dev/pts/0", "30 100", "console", "1000", "to", "got hello"]);
}

/// What podman's specifications say: no device at all. The default ones are there nevertheless.
#[test]
fn terminals_and_default_devices_need_no_rule() {
    let script = "tty; echo x > /dev/null && echo null; mknod /mem c 1 1 && cat /mem || echo refused";
    let Some(mut rig) = Rig::new(script) else { return };
    with_terminal(rig.spec.process_mut().as_mut().unwrap());
    let nothing = LinuxDeviceCgroupBuilder::default().allow(false).access("rwm").build().unwrap();
    let resources = LinuxResourcesBuilder::default().devices(vec![nothing]).build().unwrap();
    rig.spec.linux_mut().as_mut().unwrap().set_resources(Some(resources));
    let (created, _outputs) = rig.create().unwrap();
    let mut started = created.start().unwrap();
    let said = talk(started.console.take().unwrap(), "");
    reap(&started.pidfd);
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("cat:")).collect();
    assert_eq!(lines, ["/dev/pts/0", "null", "refused"]);
}

#[test]
fn one_that_enters_has_its_own() {
    let Some(rig) = Rig::new("echo up; exec sleep 1000") else { return };
    let (created, outputs) = rig.create().unwrap();
    let started = created.start().unwrap();
    assert!(started.console.is_none());
    rustix::io::read(&outputs[0], &mut [0; 3]).unwrap();
    let mut process = rig.spec.process().clone().unwrap();
    process.set_args(Some(["/bin/sh", "-c", "tty; read line; echo got $line"].map(str::to_owned).to_vec()));
    with_terminal(&mut process);
    let entered = exec(Exec {
        target: started.pid,
        cgroup: &started.cgroup,
        process: &process,
        seccomp: None,
        filter: None,
        stdio: Stdio::null().unwrap(),
        writable_exe: WritableExe::Allow,
    });
    let mut entered = entered.unwrap().start().unwrap();
    let said = talk(entered.console.take().unwrap(), "hi\n");
    reap(&entered.pidfd);
    assert!(said.starts_with("/dev/pts/0\n") || said.starts_with("hi\n/dev/pts/0\n"), "{said}");
    assert!(said.ends_with("got hi\n"), "{said}");
    started.cgroup.kill_all().unwrap();
    crate::rig::finish(&started.pidfd, outputs, &started.cgroup);
}

/// CVE-2025-52565: `/dev/console` in the image is a link.
#[test]
fn a_console_that_is_a_link_is_refused() {
    let Some(mut rig) = Rig::new("true") else { return };
    with_terminal(rig.spec.process_mut().as_mut().unwrap());
    rig.spec.mounts_mut().as_mut().unwrap().retain(|mount| mount.destination().as_os_str() != "/dev");
    std::os::unix::fs::symlink("/etc/passwd", rig.root().join("dev/console")).unwrap();
    let error = rig.try_run().unwrap_err().to_string();
    assert_eq!(error.trim(), "open a terminal : too many levels of symbolic links");
}
