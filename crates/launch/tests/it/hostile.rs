//! Images and specifications that want out. Each test names the weakness of another runtime that it is about.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::rig::Rig;
use launch::{LaunchError, WritableExe, defaults};
use oci_spec::runtime::MountBuilder;

fn mount_at(rig: &mut Rig, destination: &str) {
    let mount =
        MountBuilder::default().destination(destination).typ("tmpfs").source("tmpfs").build().unwrap();
    rig.spec.mounts_mut().as_mut().unwrap().push(mount);
}

/// CVE-2021-30465: a mount point that is a link to a place on the host.
#[test]
fn mounts_through_links_stay_in_the_root() {
    let Some(mut rig) = Rig::new("cut -d' ' -f5 /proc/self/mountinfo") else { return };
    let outside = rig.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let root = rig.root();
    symlink(&outside, root.join("absolute")).unwrap();
    symlink("../../../../../../../../tmp", root.join("relative")).unwrap();
    mount_at(&mut rig, "/absolute/below");
    mount_at(&mut rig, "/relative/below");
    mount_at(&mut rig, "/data/../../../up");
    let ended = rig.run();
    let inside = format!("{}/below", outside.display());
    for mount in [inside.as_str(), "/tmp/below", "/up"] {
        assert!(ended.stdout.lines().any(|line| line == mount), "{mount}: {ended:?}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "the host's directory is as it was");
    assert!(!Path::new("/tmp/below").exists() && !Path::new("/up").exists());
}

/// Images ship `/etc/resolv.conf` as a link to nothing; what it names is made, inside.
#[test]
fn a_link_to_nothing_is_filled_in() {
    let Some(mut rig) = Rig::new("cat /etc/resolv.conf; cat /run/systemd/stub.conf; cat /abs; echo x > /abs")
    else {
        return;
    };
    symlink("../run/systemd/stub.conf", rig.root().join("etc/resolv.conf")).unwrap();
    symlink("/var/lib/some/file", rig.root().join("abs")).unwrap();
    symlink("around", rig.root().join("around")).unwrap();
    let source = rig.dir.path().join("resolv.conf");
    fs::write(&source, "nameserver 1.2.3.4\n").unwrap();
    for (destination, is_readonly) in [("/etc/resolv.conf", false), ("/abs", true)] {
        let bind = defaults::bind(&source, Path::new(destination), is_readonly);
        rig.spec.mounts_mut().as_mut().unwrap().push(bind);
    }
    let ended = rig.run();
    assert_eq!(ended.stdout, "nameserver 1.2.3.4\n".repeat(3), "{ended:?}");
    assert!(ended.stderr.contains("Read-only file system"), "{ended:?}");
    mount_at(&mut rig, "/around/x");
    let error = rig.try_run().unwrap_err().to_string();
    assert_eq!(error, "mount /around/x: too many levels of symbolic links");
}

/// CVE-2019-19921, CVE-2025-52881: a `/proc` that leads elsewhere, so that masks and writes go elsewhere.
#[test]
fn a_procfs_behind_a_link_is_refused() {
    for name in ["proc", "sys"] {
        let Some(rig) = Rig::new("true") else { return };
        fs::remove_dir(rig.root().join(name)).unwrap();
        symlink("tmp", rig.root().join(name)).unwrap();
        let error = rig.try_run().unwrap_err().to_string();
        assert_eq!(error, format!("mount /{name}: too many levels of symbolic links"));
    }
}

/// CVE-2024-21626: a working directory reached through a descriptor that the runtime left open.
#[test]
fn a_working_directory_through_a_descriptor_is_refused() {
    // One of ours that does not close on exec, as a careless caller would have it.
    let host = fs::File::open("/").unwrap();
    let _leaked = rustix::io::dup(&host).unwrap();
    for number in 0..24 {
        for path in [format!("/proc/self/fd/{number}"), format!("/proc/1/fd/{number}/../..")] {
            let Some(mut rig) = Rig::new("pwd") else { return };
            rig.spec.process_mut().as_mut().unwrap().set_cwd(path.clone().into());
            let error = rig.try_run().unwrap_err().to_string();
            assert!(error.starts_with("change to working directory"), "{path}: {error}");
        }
    }
}

#[test]
fn a_leaked_descriptor_does_not_reach_the_container() {
    let host = fs::File::open("/").unwrap();
    let _leaked = rustix::io::dup(&host).unwrap();
    let Some(mut rig) = Rig::new("") else { return };
    rig.args(&["/bin/ls", "/proc/self/fd"]);
    let ended = rig.run();
    assert_eq!(ended.stdout, "0\n1\n2\n3\n", "the last is the directory that is being read");
}

/// The same through the program's path, which is looked up while descriptors are still open.
#[test]
fn a_program_through_a_descriptor_is_not_found() {
    let binaries = fs::File::open("/bin").unwrap();
    let _leaked = rustix::io::dup(&binaries).unwrap();
    for number in 4..24 {
        let Some(mut rig) = Rig::new("") else { return };
        rig.args(&[&format!("/proc/self/fd/{number}/true")]);
        assert!(matches!(rig.try_run(), Err(LaunchError::Exec(_))));
    }
}

/// CVE-2019-5736: an entry point that is the runtime's own executable.
#[test]
fn a_writable_executable_is_refused() {
    let Some(rig) = Rig::new("") else { return };
    let error = launch::create(launch::Launch {
        spec: &rig.spec,
        bundle: rig.dir.path(),
        hierarchies: &rig.hierarchies,
        cgroup: &rig.cgroup,
        filter: None,
        stdio: launch::Stdio::null().unwrap(),
        writable_exe: WritableExe::Refuse,
        listener: None,
    });
    assert!(matches!(error, Err(LaunchError::WritableExecutable { .. })), "{error:?}");
}

#[test]
fn a_readonly_executable_cannot_be_opened_for_writing() {
    use std::os::fd::AsRawFd;
    if !rustix::process::geteuid().is_root() {
        println!("left out: mounting needs root");
        return;
    }
    // One that does not run: of one that does the kernel says "text busy" first, and no longer when it ends.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    fs::write(&path, "program").unwrap();
    let mounted = launch::exe::read_only_of(&path).unwrap();
    let opened = fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", mounted.as_raw_fd()));
    assert_eq!(opened.unwrap_err().raw_os_error(), Some(libc::EROFS));

    let executable = launch::exe::read_only().unwrap();
    let child = std::process::Command::new(format!("/proc/self/fd/{}", executable.as_raw_fd()))
        .args(["--exact", "hostile::says_whether_it_is_protected", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8(child.stdout).unwrap();
    assert!(said.contains("protected: true"), "{said}");
    assert!(!launch::exe::is_read_only(), "we ourselves are not");
}

/// The other half of the test above.
#[test]
fn says_whether_it_is_protected() {
    println!("protected: {}", launch::exe::is_read_only());
}

/// CVE-2025-31133: a mask's source taken from the image.
#[test]
fn a_false_null_device_masks_nothing() {
    let Some(mut rig) = Rig::new("cat /etc/secret; stat -c %t:%T /etc/secret") else { return };
    fs::write(rig.root().join("etc/secret"), "secret").unwrap();
    rig.spec.linux_mut().as_mut().unwrap().set_masked_paths(Some(vec!["/etc/secret".to_owned()]));
    assert_eq!(rig.run().stdout, "1:3\n", "masked with the host's device");
    rig.spec.mounts_mut().as_mut().unwrap().retain(|mount| !mount.destination().starts_with("/dev"));
    symlink("/etc/passwd", rig.root().join("dev/null")).unwrap();
    let error = rig.try_run().unwrap_err().to_string();
    assert_eq!(error, "make device /dev/null: file exists");
}

/// A masked path that is a link would mask what it leads to, and leave itself.
#[test]
fn a_masked_link_is_refused() {
    let Some(mut rig) = Rig::new("true") else { return };
    symlink("passwd", rig.root().join("etc/link")).unwrap();
    rig.spec.linux_mut().as_mut().unwrap().set_masked_paths(Some(vec!["/etc/link".to_owned()]));
    let error = rig.try_run().unwrap_err().to_string();
    assert_eq!(error, "mask /etc/link: too many levels of symbolic links");
}

/// CVE-2022-0492: `release_agent` of a group of version 1.
#[test]
fn a_release_agent_cannot_be_set() {
    let script = "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do echo /bin/sh > $d/release_agent && echo SET; \
                  echo 1 > $d/notify_on_release && echo SET; done 2>/dev/null; \
                  mount -o remount,rw /sys/fs/cgroup 2>/dev/null && echo REMOUNTED; echo done";
    let Some(rig) = Rig::new(script) else { return };
    assert_eq!(rig.run().stdout, "done\n");
}

/// Nobody in a shared PID namespace gets at a process that is still ours.
#[test]
fn the_waiting_process_cannot_be_inspected() {
    let Some(rig) = Rig::new("true") else { return };
    let (created, outputs) = rig.create().unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", created.pid.as_raw_pid())).unwrap();
    assert!(status.contains("CapInh:\t0000000000000000"), "{status}");
    // Not dumpable: its entries belong to root, whoever it has become, and need CAP_SYS_PTRACE.
    let limits = fs::read_to_string(format!("/proc/{}/limits", created.pid.as_raw_pid())).unwrap();
    assert!(!limits.is_empty());
    let started = created.start().unwrap();
    crate::rig::finish(&started.pidfd, outputs, &started.cgroup);
}
