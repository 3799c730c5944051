//! The first process that is ours, and namespaces that containers share.

use std::collections::HashMap;

use crate::rig::{self, Rig};
use launch::{INIT, hold};
use oci_spec::runtime::{LinuxNamespaceBuilder, LinuxNamespaceType};

fn with_init(script: &str) -> Option<Rig> {
    let mut rig = Rig::new(script)?;
    rig.spec.set_annotations(Some(HashMap::from([(INIT.to_owned(), "true".to_owned())])));
    Some(rig)
}

#[test]
fn the_program_is_not_the_first_process() {
    let script = "echo $$; cat /proc/1/comm; ls /proc/1/fd | wc -l; grep -c 'CapEff:.*a80425fb' \
                  /proc/1/status; grep Seccomp: /proc/1/status; exit 7";
    let Some(rig) = with_init(script) else { return };
    let ended = rig.run();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_ne!(lines[0], "1", "{ended:?}");
    assert_eq!(lines[1..], ["init", "0", "1", "Seccomp:\t2"], "{ended:?}");
    assert_eq!(ended.code, Some(7));
}

#[test]
fn orphans_are_reaped() {
    // The subshell's child outlives it; as a zombie it would stay to be seen.
    let script = "(sleep 0.05 & echo $! > /data/orphan); orphan=$(cat /data/orphan); \
                  while [ -d /proc/$orphan ]; do sleep 0.01; done; echo gone";
    let Some(rig) = with_init(script) else { return };
    assert_eq!(rig.run().stdout, "gone\n");
}

#[test]
fn signals_reach_the_program() {
    let script = "trap 'echo term; exit 3' TERM; trap 'echo winch' WINCH; echo up; \
                  while true; do sleep 1000 & wait; done";
    let Some(rig) = with_init(script) else { return };
    let (created, outputs) = rig.create().unwrap();
    let started = created.start().unwrap();
    rustix::io::read(&outputs[0], &mut [0; 3]).unwrap();
    rustix::process::pidfd_send_signal(&started.pidfd, rustix::process::Signal::WINCH).unwrap();
    rustix::io::read(&outputs[0], &mut [0; 6]).unwrap();
    rustix::process::pidfd_send_signal(&started.pidfd, rustix::process::Signal::TERM).unwrap();
    let ended = rig::finish(&started.pidfd, outputs, &started.cgroup);
    assert_eq!((ended.stdout.as_str(), ended.code), ("term\n", Some(3)), "{ended:?}");
}

#[test]
fn a_program_that_a_signal_ends_says_so() {
    let Some(rig) = with_init("kill -9 $$") else { return };
    assert_eq!(rig.run().code, Some(137));
}

#[test]
fn a_program_that_cannot_be_executed_is_told_of() {
    let Some(mut rig) = with_init("true") else { return };
    std::fs::write(rig.root().join("data/garbage"), "\x7fgarbage").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(rig.root().join("data/garbage"), mode).unwrap();
    rig.args(&["/data/garbage"]);
    assert!(rig.try_run().unwrap_err().to_string().contains("exec format error"));
}

#[test]
fn containers_share_what_is_held() {
    let Some(mut rig) = Rig::new("echo $$; readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc") else {
        return;
    };
    let holder = hold().unwrap();
    let mut namespaces = rig.spec.linux().as_ref().unwrap().namespaces().clone().unwrap();
    for namespace in &mut namespaces {
        let kind = match namespace.typ() {
            LinuxNamespaceType::Pid => "pid",
            LinuxNamespaceType::Ipc => "ipc",
            _ => continue,
        };
        let joined = LinuxNamespaceBuilder::default().typ(namespace.typ()).path(holder.namespace(kind));
        *namespace = joined.build().unwrap();
    }
    rig.spec.linux_mut().as_mut().unwrap().set_namespaces(Some(namespaces));
    let of = |kind: &str| std::fs::read_link(holder.namespace(kind)).unwrap().display().to_string();
    let expected = [of("pid"), of("ipc")];
    let ended = rig.run();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_ne!(lines[0], "1");
    assert_eq!(lines[1..], expected, "{ended:?}");
    // Whatever is left in the namespace ends with its holder.
    rig.args(&["/bin/sleep", "1000"]);
    let (created, outputs) = rig.create().unwrap();
    let started = created.start().unwrap();
    drop(holder);
    assert_eq!(rig::finish(&started.pidfd, outputs, &started.cgroup).signal, Some(9));
}

#[test]
fn a_holder_ends_with_its_maker() {
    let Some(_rig) = Rig::new("true") else { return };
    // The kernel's signal comes with the end of the thread that made it.
    let maker = std::thread::spawn(|| std::mem::ManuallyDrop::new(hold().unwrap()).pid());
    let pid = maker.join().unwrap();
    let status = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
    assert_eq!(status.unwrap().1.terminating_signal(), Some(9));
}

#[test]
fn a_terminals_keys_reach_the_program() {
    use std::io::{Read, Write};
    // It ends once it was heard: what is written to a terminal just before its last program closes it
    // can be lost to a reader that looks in that moment (the kernel's `n_tty_read`).
    let script = "trap 'echo interrupted; read line; exit 9' INT; tty; while true; do sleep 0.01; done";
    let Some(mut rig) = with_init(script) else { return };
    rig.spec.process_mut().as_mut().unwrap().set_terminal(Some(true));
    let (created, _outputs) = rig.create().unwrap();
    let mut started = created.start().unwrap();
    let mut console = std::fs::File::from(started.console.take().unwrap());
    let mut said = String::new();
    let mut until = |console: &mut std::fs::File, end: &str| {
        let mut more = [0; 256];
        while !said.contains(end) {
            let length = console.read(&mut more).unwrap();
            said.push_str(&String::from_utf8_lossy(&more[..length]));
        }
    };
    until(&mut console, "/dev/pts/0");
    console.write_all(b"\x03").unwrap();
    until(&mut console, "interrupted");
    console.write_all(b"\n").unwrap();
    // A terminal without a program on it ends with an error.
    assert!(console.read_to_end(&mut Vec::new()).is_err());
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::os::fd::AsFd;
    let status = waitid(WaitId::PidFd(started.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(9));
    started.cgroup.remove().unwrap();
}
