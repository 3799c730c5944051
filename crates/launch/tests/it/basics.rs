//! The program: what it gets and what it gives back.

use crate::rig::{Rig, output};
use oci_spec::runtime::{PosixRlimitBuilder, PosixRlimitType, UserBuilder};

#[test]
fn exit_codes_come_back() {
    for code in [0, 1, 42, 255] {
        let Some(rig) = Rig::new(&format!("exit {code}")) else { return };
        assert_eq!(rig.run().code, Some(code));
    }
}

#[test]
fn a_signal_comes_back() {
    // The first process of a PID namespace is not killed by its own signals: one from outside does it.
    let Some(rig) = Rig::new("echo up; sleep 1000") else { return };
    let (created, outputs) = rig.create().unwrap();
    let started = created.start().unwrap();
    let mut byte = [0; 3];
    rustix::io::read(&outputs[0], &mut byte).unwrap();
    rustix::process::pidfd_send_signal(&started.pidfd, rustix::process::Signal::KILL).unwrap();
    let ended = crate::rig::finish(&started.pidfd, outputs, &started.cgroup);
    assert_eq!((ended.signal, ended.code), (Some(9), None));
}

#[test]
fn environment_arguments_and_directory() {
    let Some(mut rig) = Rig::new("") else { return };
    rig.args(&["/bin/sh", "-c", "echo $GREETING; pwd; echo $1 $2; echo err >&2", "zero", "a b", "c"]);
    let process = rig.spec.process_mut().as_mut().unwrap();
    process.env_mut().as_mut().unwrap().push("GREETING=hello world".to_owned());
    process.set_cwd("/made/here".into());
    let ended = rig.run();
    assert_eq!(ended.stdout, "hello world\n/made/here\na b c\n");
    assert_eq!(ended.stderr, "err\n");
}

#[test]
fn a_program_is_found_in_path() {
    let Some(mut rig) = Rig::new("") else { return };
    rig.args(&["echo", "found"]);
    assert_eq!(rig.run().stdout, "found\n");
}

#[test]
fn user_groups_and_umask() {
    let Some(mut rig) = Rig::new("id -u; id -g; id -G; umask; grep Cap /proc/self/status") else { return };
    let user = UserBuilder::default().uid(1000u32).gid(1001u32).additional_gids(vec![7u32, 8]).build();
    rig.spec.process_mut().as_mut().unwrap().set_user(user.unwrap());
    let ended = rig.run();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines[..4], ["1000", "1001", "1001 7 8", "0022"], "{ended:?}");
    assert!(lines.contains(&"CapEff:\t0000000000000000"), "an ordinary user has none: {lines:?}");
    assert!(lines.contains(&"CapBnd:\t00000000a80425fb"), "{lines:?}");
}

#[test]
fn hostname_and_process_ids_are_its_own() {
    let Some(mut rig) = Rig::new("hostname; echo $$; ls /proc | grep -c '^[0-9]'; hostname other; echo $?")
    else {
        return;
    };
    rig.spec.set_hostname(Some("box".to_owned()));
    let ended = rig.run();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines[..2], ["box", "1"]);
    assert_eq!(lines[3], "1", "no right to change it");
    assert!(lines[2].parse::<u32>().unwrap() <= 3, "only the container's processes show: {lines:?}");
}

#[test]
fn limits_hold() {
    let Some(mut rig) = Rig::new("ulimit -n; ulimit -c") else { return };
    let limit = |typ, soft: u64, hard: u64| {
        PosixRlimitBuilder::default().typ(typ).soft(soft).hard(hard).build().unwrap()
    };
    let limits =
        vec![limit(PosixRlimitType::RlimitNofile, 123, 456), limit(PosixRlimitType::RlimitCore, 0, 0)];
    rig.spec.process_mut().as_mut().unwrap().set_rlimits(Some(limits));
    assert_eq!(rig.run().stdout, "123\n0\n");
}

#[test]
fn standard_devices_work() {
    let script = "echo x > /dev/null; head -c 4 /dev/zero | wc -c; head -c 8 /dev/urandom | wc -c; \
                  cat < /dev/fd/0; test -c /dev/full && test -c /dev/tty && readlink /dev/ptmx; readlink /dev/stdout; \
                  test -c /dev/pts/ptmx && echo pts; touch /dev/shm/x && echo shm";
    let Some(text) = output(script) else { return };
    assert_eq!(text, "4\n8\npts/ptmx\n/proc/self/fd/1\npts\nshm\n");
}

#[test]
fn no_descriptor_is_left_open() {
    // Those of a shell's `ls` are 0, 1, 2 and the directory that it reads.
    let Some(text) = output("ls /proc/self/fd | wc -l; ls /proc/1/fd") else { return };
    assert_eq!(text.lines().next(), Some("4"), "{text}");
}

#[test]
fn signals_are_as_new() {
    let Some(mut rig) = Rig::new("") else { return };
    rig.args(&["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"]);
    assert_eq!(rig.run().stdout, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

#[test]
fn two_containers_at_once_from_many_threads() {
    let threads: Vec<_> = (0..8)
        .map(|number| {
            std::thread::spawn(move || {
                for _ in 0..5 {
                    let Some(text) = output(&format!("echo {number}")) else { return };
                    assert_eq!(text, format!("{number}\n"));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
