use std::path::Path;

use oci_spec::runtime::{LinuxNamespaceType, Spec};
use runtime::{ContainerPlan, spec};

use crate::fixture::{Fixture, simulated};

fn translated(change: impl FnOnce(&Fixture, &mut ContainerPlan)) -> Result<Spec, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let fixture = simulated();
    let mut plan = fixture.plan("main", "true");
    change(&fixture, &mut plan);
    let mut sandbox = fixture.sandbox();
    sandbox.place.network = runtime::Network::Join("/run/netns/x".into());
    let layout = spec::Layout {
        root: Path::new("/root"),
        files: Path::new("/task"),
        shm: Path::new("/task/shm"),
        cgroup: Path::new("boxship/t/main"),
    };
    spec::translate(&sandbox, &plan, &layout).map_err(|e| e.to_string())
}

fn args(change: impl FnOnce(&mut ContainerPlan)) -> Vec<String> {
    let spec = translated(|_, plan| change(plan)).unwrap();
    spec.process().as_ref().unwrap().args().clone().unwrap()
}

fn list(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn entry_point_and_command_as_docker_has_them() {
    let check = |entry: Option<&[&str]>, command: Option<&[&str]>, expected: &[&str]| {
        let got = args(|plan| {
            plan.image.entry_point = list(&["image-entry"]);
            plan.image.command = list(&["image-command"]);
            plan.entry_point = entry.map(list);
            plan.command = command.map(list);
        });
        assert_eq!(got, list(expected));
    };
    check(None, None, &["image-entry", "image-command"]);
    check(None, Some(&["own"]), &["image-entry", "own"]);
    check(Some(&["entry"]), None, &["entry"]);
    check(Some(&["entry"]), Some(&["own"]), &["entry", "own"]);
    check(Some(&[]), Some(&[]), &["image-entry", "image-command"]);
}

#[test]
fn nothing_to_run_is_refused() {
    let refused = translated(|_, plan| {
        plan.entry_point = None;
        plan.command = None;
    });
    assert_eq!(refused.unwrap_err(), "no command specified");
}

#[test]
fn environment_in_layers() {
    let spec = translated(|_, plan| {
        plan.image.environment = list(&["A=image", "B=image", "PATH=/x"]);
        plan.environment.insert("B".to_owned(), "own=1".to_owned());
    });
    let env = spec.unwrap().process().as_ref().unwrap().env().clone().unwrap();
    assert_eq!(env, list(&["PATH=/x", "HOSTNAME=ip-10-0-0-7", "A=image", "B=own=1"]));
}

#[test]
fn limits_namespaces_and_confinement() {
    let spec = translated(|_, plan| {
        plan.memory_mib = Some(64);
        plan.memory_reservation_mib = Some(32);
        plan.cpu_units = 256;
        plan.readonly_root = true;
    });
    let spec = spec.unwrap();
    assert_eq!(spec.root().as_ref().unwrap().readonly(), Some(true));
    let linux = spec.linux().as_ref().unwrap();
    let resources = linux.resources().as_ref().unwrap();
    assert_eq!(resources.memory().unwrap().limit(), Some(64 << 20));
    assert_eq!(resources.memory().unwrap().reservation(), Some(32 << 20));
    // Memory and swap together, as Docker has it: no limit that swap lifts.
    assert_eq!(resources.memory().unwrap().swap(), Some(128 << 20));
    assert_eq!(resources.memory().unwrap().swappiness(), None);
    assert_eq!(resources.cpu().as_ref().unwrap().shares(), Some(256));
    assert!(resources.devices().as_ref().is_some_and(|rules| !rules.is_empty()));
    assert!(linux.seccomp().is_some());
    assert_eq!(linux.cgroups_path().as_deref(), Some(Path::new("/boxship/t/main")));
    let namespaces = linux.namespaces().as_ref().unwrap();
    let net = namespaces.iter().find(|n| n.typ() == LinuxNamespaceType::Network).unwrap();
    assert_eq!(net.path().as_deref(), Some(Path::new("/run/netns/x")));
    let mounts = spec.mounts().as_ref().unwrap();
    for file in ["/etc/resolv.conf", "/etc/hosts", "/etc/hostname"] {
        let mount = mounts.iter().find(|m| m.destination() == Path::new(file)).expect(file);
        assert!(mount.options().iter().flatten().any(|option| option == "ro"), "{file}");
    }
}
