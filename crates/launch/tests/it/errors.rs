//! Errors: typed, in Docker's words, and nothing left behind.

use crate::rig::Rig;
use launch::LaunchError;
use std::os::unix::fs::{PermissionsExt, symlink};

/// What the program `args` gives, in a root with a few things that are no programs.
fn failure(args: &[&str]) -> Option<(String, i32)> {
    let mut rig = Rig::new("")?;
    let root = rig.root();
    std::fs::write(root.join("plain"), "text").unwrap();
    std::fs::write(root.join("garbage"), [0x7f, b'E', b'L', b'F', 9, 9, 9]).unwrap();
    std::fs::write(root.join("script"), "#!/no/such/shell\n").unwrap();
    for name in ["garbage", "script"] {
        std::fs::set_permissions(root.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    symlink("loop", root.join("loop")).unwrap();
    rig.args(args);
    let error = rig.try_run().expect_err("this is no program");
    assert!(!rig.group().exists() || rig.group().processes().unwrap().is_empty());
    match error {
        LaunchError::Exec(error) => Some((error.to_string(), error.exit_code())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn programs_that_cannot_be_executed() {
    let cases = [
        ("/nope", "exec: \"/nope\": stat /nope: no such file or directory", 127),
        ("nope", "exec: \"nope\": executable file not found in $PATH", 127),
        ("/plain", "exec: \"/plain\": permission denied", 126),
        ("/etc", "exec: \"/etc\": is a directory", 126),
        ("/garbage", "exec /garbage: exec format error", 126),
        ("/script", "exec /script: no such file or directory", 126),
        ("/loop", "exec /loop: too many levels of symbolic links", 126),
    ];
    for (program, text, code) in cases {
        let Some(found) = failure(&[program]) else { return };
        assert_eq!(found, (text.to_owned(), code));
    }
}

fn refused(change: impl FnOnce(&mut Rig)) -> Option<String> {
    let mut rig = Rig::new("true")?;
    change(&mut rig);
    let error = rig.try_run().expect_err("it must be refused");
    assert!(!rig.group().exists(), "nothing is left: {error}");
    Some(error.to_string())
}

#[test]
fn what_is_not_done_is_refused_by_name() {
    let process = |rig: &mut Rig, change: fn(&mut oci_spec::runtime::Process)| {
        change(rig.spec.process_mut().as_mut().unwrap());
    };
    type Change = fn(&mut oci_spec::runtime::Process);
    let cases: [(&str, Change); 3] = [
        ("process.apparmorProfile", |process| {
            process.set_apparmor_profile(Some("x".into()));
        }),
        ("process.selinuxLabel", |process| {
            process.set_selinux_label(Some("x".into()));
        }),
        ("process.cwd", |process| {
            process.set_cwd("relative".into());
        }),
    ];
    for (field, change) in cases {
        let Some(text) = refused(|rig| process(rig, change)) else { return };
        assert!(text.starts_with(field), "{text}");
    }
}

#[test]
fn mounts_that_are_wrong_are_named() {
    let mount = |kind: &str, source: &str, options: &[&str]| {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        oci_spec::runtime::MountBuilder::default()
            .destination("/data")
            .typ(kind)
            .source(source)
            .options(options)
            .build()
            .unwrap()
    };
    let cases = [
        (mount("bind", "/no/such/source", &["rbind"]), "mounts[7].source"),
        (mount("bind", "/tmp", &["rbind", "size=1k"]), "mounts[7].options[size]"),
        (mount("tmpfs", "tmpfs", &["tmpcopyup"]), "mounts[7].options[tmpcopyup]"),
        (mount("tmpfs", "tmpfs", &["nonsense=1"]), "mount /data: invalid argument"),
        (mount("nosuchfs", "x", &[]), "mount /data: no such device"),
    ];
    for (mount, text) in cases {
        let change = |rig: &mut Rig| rig.spec.mounts_mut().as_mut().unwrap().push(mount);
        let Some(found) = refused(change) else { return };
        assert!(found.starts_with(text), "{found}");
    }
}

#[test]
fn a_foreign_sysctl_is_refused() {
    let change = |rig: &mut Rig| {
        let values = [("kernel.panic".to_owned(), "1".to_owned())];
        rig.spec.linux_mut().as_mut().unwrap().set_sysctl(Some(values.into_iter().collect()));
    };
    let Some(text) = refused(change) else { return };
    assert!(text.starts_with("linux.sysctl[kernel.panic] is invalid"), "{text}");
}

#[test]
fn a_limit_that_cannot_be_raised_is_named() {
    use oci_spec::runtime::{PosixRlimitBuilder, PosixRlimitType};
    let typ = PosixRlimitType::RlimitNofile;
    let limit = PosixRlimitBuilder::default().typ(typ).soft(1u64).hard(u64::MAX).build().unwrap();
    let change = |rig: &mut Rig| {
        rig.spec.process_mut().as_mut().unwrap().set_rlimits(Some(vec![limit]));
    };
    // More open files than the kernel ever allows, whoever asks.
    let Some(text) = refused(change) else { return };
    assert!(
        text.starts_with("set limit RLIMIT_NOFILE to 1:18446744073709551615: operation not permitted"),
        "{text}"
    );
}

#[test]
fn a_created_container_dies_with_its_launcher() {
    let Some(rig) = Rig::new("echo never") else { return };
    let (created, outputs) = rig.create().unwrap();
    let pidfd = created.pidfd.try_clone().unwrap();
    let group = created.cgroup.clone();
    drop(created);
    let ended = crate::rig::finish(&pidfd, outputs, &group);
    assert_eq!((ended.stdout.as_str(), ended.code), ("", Some(1)));
}
