//! Limits that hold, counters that count, groups that go away.

use crate::rig::Rig;
use launch::cgroup::{Cgroup, Hierarchies};
use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
};

fn limit(rig: &mut Rig, resources: LinuxResources) {
    rig.spec.linux_mut().as_mut().unwrap().set_resources(Some(resources));
}

fn memory(bytes: i64) -> LinuxResources {
    let memory = LinuxMemoryBuilder::default().limit(bytes).swap(bytes).build().unwrap();
    LinuxResourcesBuilder::default().memory(memory).devices(Vec::new()).build().unwrap()
}

#[test]
fn too_much_memory_is_counted_as_such() {
    let Some(mut rig) = Rig::new("x=$(head -c 64000000 /dev/zero | tr '\\0' x); echo unreached") else {
        return;
    };
    limit(&mut rig, memory(16 << 20));
    let ended = rig.run();
    assert_eq!(ended.stdout, "", "{ended:?}");
    assert!(ended.oom_kills >= 1, "{ended:?}");
    assert_ne!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn a_killed_container_is_not_out_of_memory() {
    let Some(mut rig) = Rig::new("exit 137") else { return };
    limit(&mut rig, memory(64 << 20));
    let ended = rig.run();
    assert_eq!((ended.code, ended.oom_kills), (Some(137), 0));
}

#[test]
fn the_limit_of_a_task_holds_for_its_containers() {
    let Some(mut rig) = Rig::new("x=$(head -c 64000000 /dev/zero | tr '\\0' x); echo unreached") else {
        return;
    };
    let task = Cgroup::create(&rig.hierarchies, &rig.cgroup).unwrap();
    task.limit(&memory(16 << 20)).unwrap();
    rig.cgroup = rig.cgroup.join("container");
    let ended = rig.run();
    task.remove().unwrap();
    assert_eq!(ended.stdout, "", "{ended:?}");
    assert!(ended.oom_kills >= 1, "counted where the victim was: {ended:?}");
}

#[test]
fn processes_are_limited() {
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; echo started";
    let Some(mut rig) = Rig::new(script) else { return };
    let pids = LinuxPidsBuilder::default().limit(6i64).build().unwrap();
    limit(&mut rig, LinuxResourcesBuilder::default().pids(pids).devices(Vec::new()).build().unwrap());
    let ended = rig.run();
    assert!(ended.stderr.contains("can't fork"), "{ended:?}");
}

#[test]
fn processor_limits_are_written() {
    let Some(mut rig) = Rig::new("true") else { return };
    let cpu = LinuxCpuBuilder::default().shares(512u64).quota(50_000i64).period(100_000u64).build().unwrap();
    limit(&mut rig, LinuxResourcesBuilder::default().cpu(cpu).devices(Vec::new()).build().unwrap());
    let (created, outputs) = rig.create().unwrap();
    let read = |controller: &str, file: &str| {
        let dir = rig.hierarchies.v1_mount(controller).or(rig.hierarchies.unified.as_deref()).unwrap();
        std::fs::read_to_string(dir.join(&rig.cgroup).join(file)).unwrap().trim().to_owned()
    };
    if rig.hierarchies.is_unified() {
        assert_eq!([read("cpu", "cpu.weight"), read("cpu", "cpu.max")], ["20", "50000 100000"]);
    } else {
        let found = ["cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us"].map(|file| read("cpu", file));
        assert_eq!(found, ["512", "50000", "100000"]);
    }
    let started = created.start().unwrap();
    crate::rig::finish(&started.pidfd, outputs, &started.cgroup);
}

#[test]
fn counters_count() {
    let Some(mut rig) = Rig::new("i=0; while test $i -lt 20000; do i=$((i+1)); done; echo up; sleep 1000")
    else {
        return;
    };
    limit(&mut rig, memory(64 << 20));
    let (created, outputs) = rig.create().unwrap();
    let started = created.start().unwrap();
    rustix::io::read(&outputs[0], &mut [0; 3]).unwrap();
    let stats = started.cgroup.stats();
    started.cgroup.kill_all().unwrap();
    let ended = crate::rig::finish(&started.pidfd, outputs, &started.cgroup);
    assert_eq!(ended.signal, Some(9));
    assert_eq!(stats.memory_limit_bytes, Some(64 << 20));
    assert!(stats.memory_bytes.is_some_and(|bytes| bytes > 0 && bytes < 64 << 20), "{stats:?}");
    assert!(stats.cpu_nanoseconds.is_some_and(|time| time > 0), "{stats:?}");
    assert!(stats.pids.is_some_and(|count| (1..=2).contains(&count)), "{stats:?}");
}

#[test]
fn nothing_is_left_of_a_container() {
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let Some(rig) = Rig::new("sleep 1000 & exit 0") else { return };
    let root = rig.root().display().to_string();
    rig.run();
    assert!(!rig.group().exists(), "its groups are gone");
    assert!(!mounts().contains(&root), "its mounts are gone");
}

#[test]
fn a_group_with_processes_is_emptied_and_removed() {
    let Some(rig) = Rig::new("true") else { return };
    let group = Cgroup::create(&rig.hierarchies, &rig.cgroup.join("below")).unwrap();
    let mut sleeper = std::process::Command::new("/bin/busybox").args(["sleep", "1000"]).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&sleeper);
    group.add(pid).unwrap();
    assert_eq!(group.processes().unwrap(), [pid]);
    group.kill_all().unwrap();
    sleeper.wait().unwrap();
    rig.group().remove().unwrap();
    assert!(!group.exists() && !rig.group().exists());
}

/// Within a container the root of the hierarchy is a group like any other: it has processes, and then hands
/// no controller down.
#[test]
fn the_root_group_of_a_container_is_cleared_out() {
    let Some(rig) = Rig::new("true") else { return };
    if !rig.hierarchies.is_unified() {
        println!("left out: this machine's controllers are of version 1");
        return;
    }
    let outer = Cgroup::create(&rig.hierarchies, &rig.cgroup).unwrap();
    let mut sleeper = std::process::Command::new("/bin/busybox").args(["sleep", "1000"]).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&sleeper);
    outer.add(pid).unwrap();
    let mount = rig.hierarchies.unified.as_ref().unwrap().join(&rig.cgroup);
    let inner = Hierarchies { v1: Vec::new(), unified: Some(mount) };
    let group = Cgroup::create(&inner, "task/container".as_ref()).unwrap();
    group.limit(&memory(16 << 20)).unwrap();
    assert_eq!(group.stats().memory_limit_bytes, Some(16 << 20));
    assert_eq!(outer.processes().unwrap(), []);
    assert_eq!(Cgroup::open(&inner, "init".as_ref()).unwrap().processes().unwrap(), [pid]);
    outer.kill_all().unwrap();
    sleeper.wait().unwrap();
}

#[test]
fn a_path_outside_of_the_hierarchy_is_refused() {
    let Some(rig) = Rig::new("true") else { return };
    for path in ["", "/", "../x", "a/../../x", "/a/.."] {
        assert!(Cgroup::open(&rig.hierarchies, std::path::Path::new(path)).is_err(), "{path:?}");
    }
}
