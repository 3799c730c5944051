//! What a container may do to the kernel and sees of it.

use std::collections::BTreeMap;

use core_lifecycle::{Device, LinuxSettings, Namespace, Tmpfs};
use runtime::{ContainerPlan, Event, Network, Place, RuntimeError, TaskSandbox};

use crate::fixture::{Fixture, TASK, linux, linux_with};

/// Runs one container to its end: its exit code and output.
pub async fn run(
    fixture: &Fixture,
    name: &str,
    script: &str,
    change: impl FnOnce(&mut ContainerPlan),
) -> (i32, String) {
    let mut events = fixture.runtime.events(TASK);
    let mut plan = fixture.plan(name, script);
    change(&mut plan);
    fixture.runtime.start_container(TASK, plan).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    loop {
        if let Event::Exited { container, exit } = events.recv().await.unwrap()
            && container == name
        {
            return (exit.code, fixture.output(name).await);
        }
    }
}

fn with(settings: LinuxSettings) -> impl FnOnce(&mut ContainerPlan) {
    move |plan| plan.linux = settings
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

const CAPS: &str = "grep CapEff /proc/self/status";

async fn check_settings(fixture: Fixture) {
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let settings = LinuxSettings {
        capabilities_add: names(&["SYS_PTRACE"]),
        capabilities_drop: names(&["ALL"]),
        ..LinuxSettings::default()
    };
    let (_, output) = run(&fixture, "caps", CAPS, with(settings)).await;
    assert_eq!(output, "CapEff:\t0000000000080000\n");
    let settings = LinuxSettings {
        security_options: names(&["no-new-privileges", "seccomp=unconfined"]),
        ..LinuxSettings::default()
    };
    let script = "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status";
    let (_, output) = run(&fixture, "options", script, with(settings)).await;
    assert_eq!(output, "NoNewPrivs:\t1\nSeccomp:\t0\n");
    let settings = LinuxSettings {
        shared_memory_mib: Some(7),
        tmpfs: vec![Tmpfs { path: "/scratch".into(), size_mib: 3, options: names(&["mode=700", "exec"]) }],
        system_controls: BTreeMap::from([
            ("net.core.somaxconn".to_owned(), "321".to_owned()),
            ("kernel.msgmax".to_owned(), "4321".to_owned()),
        ]),
        ..LinuxSettings::default()
    };
    let script = "df -k /dev/shm /scratch; ls -ld /scratch; cat /proc/sys/net/core/somaxconn \
                  /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_unprivileged_port_start; mount | grep scratch";
    let (_, output) = run(&fixture, "mounts", script, with(settings)).await;
    for expected in ["7168", "3072", "drwx------", "\n321\n4321\n0\n", "nosuid,nodev"] {
        assert!(output.contains(expected), "{expected}: {output}");
    }
    assert!(!output.contains("noexec"), "{output}");
    check_devices(&fixture).await;
    fixture.end().await;
}

async fn check_devices(fixture: &Fixture) {
    // One that containers do not have anyway, and that opens.
    let device = ["/dev/fuse", "/dev/tty1"].into_iter().find(|path| std::path::Path::new(path).exists());
    let Some(device) = device else {
        eprintln!("left out: this machine has no device to give away");
        return;
    };
    let number = rustix::fs::stat(device).unwrap().st_rdev;
    let settings = LinuxSettings {
        devices: vec![Device {
            host_path: device.to_owned(),
            container_path: "/dev/mine".into(),
            permissions: "r".into(),
        }],
        ..LinuxSettings::default()
    };
    let script = "ls -l /dev/mine | tr -d ' '; (exec 3< /dev/mine) && echo read; \
                  (exec 3> /dev/mine) || echo refused";
    let (_, output) = run(fixture, "devices", script, with(settings)).await;
    let number = format!("{},{}", rustix::fs::major(number), rustix::fs::minor(number));
    assert!(output.contains(&number), "{number}: {output}");
    assert!(output.contains("\nread\n") && output.contains("\nrefused\n"), "{output}");
    let settings = LinuxSettings { gpus: vec![device.to_owned()], ..LinuxSettings::default() };
    let script = format!("test -c {device} && (exec 3< {device}) && echo opened");
    let (_, output) = run(fixture, "gpu", &script, with(settings)).await;
    assert_eq!(output, "opened\n");
    let settings = LinuxSettings { is_privileged: true, ..LinuxSettings::default() };
    let script = "grep -E 'Seccomp:' /proc/self/status; (exec 3< DEVICE) && echo opened; \
                  mkdir /x && mount -t tmpfs x /x && echo mounted; test -w /proc/sys/kernel/hostname && echo shown";
    let (_, output) = run(fixture, "privileged", &script.replace("DEVICE", device), with(settings)).await;
    assert_eq!(output, "Seccomp:\t0\nopened\nmounted\nshown\n");
}

#[tokio::test]
async fn what_a_container_is_given() {
    let Some(fixture) = linux() else { return };
    check_settings(fixture).await;
}

#[tokio::test]
async fn what_a_container_is_given_over_runc() {
    let Some(fixture) = over_runc() else { return };
    check_settings(fixture).await;
}

#[tokio::test]
async fn what_is_refused_is_named() {
    let Some(fixture) = linux() else { return };
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let check = async |settings: LinuxSettings, expected: &str| {
        let mut plan = fixture.plan("main", "true");
        plan.linux = settings;
        let error = fixture.runtime.start_container(TASK, plan).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        error
    };
    let option = |option: &str| LinuxSettings { security_options: names(&[option]), ..Default::default() };
    let error = check(option("label:type:x"), "label:type:x").await;
    assert!(matches!(error, RuntimeError::Unsupported(_)), "{error:?}");
    let device =
        Device { host_path: "/dev/nope".into(), container_path: String::new(), permissions: String::new() };
    let settings = LinuxSettings { devices: vec![device], ..Default::default() };
    check(settings, "error gathering device information while adding custom device \"/dev/nope\"").await;
    let settings = LinuxSettings {
        system_controls: BTreeMap::from([("vm.swappiness".into(), "1".into())]),
        ..Default::default()
    };
    check(settings, "vm.swappiness").await;
    let tmpfs = Tmpfs { path: "/proc/sys".into(), size_mib: 1, options: Vec::new() };
    check(LinuxSettings { tmpfs: vec![tmpfs], ..Default::default() }, "inside /proc").await;
    // Nothing is left of any.
    let (code, _) = run(&fixture, "main", "true", |_| {}).await;
    assert_eq!(code, 0);
    fixture.end().await;
}

#[tokio::test]
async fn an_init_process_reaps_and_passes_signals_on() {
    let Some(fixture) = linux() else { return };
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let settings = LinuxSettings { has_init: true, ..LinuxSettings::default() };
    let script = "echo $$; cat /proc/1/comm; (true & echo $! > /orphan); orphan=$(cat /orphan); \
                  while test -d /proc/$orphan; do sleep 0.01; done; exit 5";
    let (code, output) = run(&fixture, "main", script, with(settings.clone())).await;
    assert_eq!((code, output.lines().nth(1)), (5, Some("init")), "{output}");
    // Without a handler a first process would be deaf to it.
    let mut plan = fixture.plan("deaf", "exec sleep 1000");
    plan.linux = settings;
    fixture.runtime.start_container(TASK, plan).await.unwrap();
    let long = std::time::Duration::from_secs(60);
    let exit = fixture.runtime.stop(TASK, "deaf", runtime::Signal::TERM, long).await.unwrap();
    assert_eq!(exit.code, 143);
    fixture.end().await;
}

fn over_runc() -> Option<Fixture> {
    let runc = ["/usr/sbin/runc", "/usr/bin/runc"].into_iter().find(|p| std::path::Path::new(p).exists());
    if runc.is_none() {
        eprintln!("left out: runc");
    }
    runc.and_then(|runc| linux_with(Some(runc)))
}

/// An image has no program for it, and neither may the host have one.
#[tokio::test]
async fn an_init_process_over_runc_is_the_hosts_or_refused() {
    let Some(fixture) = over_runc() else { return };
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("main", "test $$ != 1");
    plan.linux.has_init = true;
    match fixture.runtime.start_container(TASK, plan).await {
        Ok(_) => assert_eq!(fixture.output("main").await, ""),
        Err(RuntimeError::Unsupported(text)) => assert!(text.contains("initProcessEnabled"), "{text}"),
        Err(error) => panic!("{error}"),
    }
    fixture.end().await;
}

#[tokio::test]
async fn namespaces_of_the_task() {
    let Some(fixture) = linux() else { return };
    check_namespaces_of_the_task(fixture).await;
}

#[tokio::test]
async fn namespaces_of_the_task_over_runc() {
    let Some(fixture) = over_runc() else { return };
    check_namespaces_of_the_task(fixture).await;
}

async fn check_namespaces_of_the_task(fixture: Fixture) {
    let sandbox = TaskSandbox { pid_mode: Namespace::Task, ipc_mode: Namespace::Task, ..fixture.sandbox() };
    fixture.runtime.create_sandbox(sandbox).await.unwrap();
    let marker = "trap 'echo heard; exit 4' TERM; echo here > /dev/shm/here; echo ready; \
                  while true; do sleep 1000 & wait; done";
    let started = fixture.runtime.start_container(TASK, fixture.plan("first", marker)).await.unwrap();
    fixture.runtime.output(TASK, "first", Default::default()).await.unwrap();
    let script =
        "cat /dev/shm/here; cat /proc/1/comm; for p in /proc/[0-9]*; do cat $p/comm; done | sort | uniq";
    let (_, output) = run(&fixture, "second", script, |_| {}).await;
    assert!(output.starts_with("here\npause\n") && output.contains("\nsleep\n"), "{output}");
    let link = |kind: &str| std::fs::read_link(format!("/proc/{}/ns/{kind}", started.pid)).unwrap();
    assert_ne!(link("pid"), std::fs::read_link("/proc/self/ns/pid").unwrap());
    let long = std::time::Duration::from_secs(60);
    let exit = fixture.runtime.stop(TASK, "first", runtime::Signal::TERM, long).await.unwrap();
    assert_eq!(exit.code, 4);
    // What it left running ends with it, and is reaped.
    let script = "while cat /proc/[0-9]*/comm 2> /dev/null | grep -q sleep; do true; done; echo gone";
    let (_, output) = run(&fixture, "third", script, |_| {}).await;
    assert_eq!(output, "gone\n");
    fixture.end().await;
}

#[tokio::test]
async fn namespaces_of_the_host() {
    let Some(fixture) = linux() else { return };
    let place = Place { network: Network::Host, ..Place::default() };
    let sandbox =
        TaskSandbox { place, pid_mode: Namespace::Host, ipc_mode: Namespace::Host, ..fixture.sandbox() };
    fixture.runtime.create_sandbox(sandbox).await.unwrap();
    let script = "ls -l /proc/self/ns | cat; hostname; cat /etc/hosts";
    let (_, output) = run(&fixture, "main", script, |_| {}).await;
    for kind in ["pid", "ipc", "net"] {
        let own = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string();
        assert!(output.contains(&own), "{own}: {output}");
    }
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert!(output.contains(&hostname), "{output}");
    assert!(output.ends_with(&std::fs::read_to_string("/etc/hosts").unwrap_or_default()), "{output}");
    let mut plan = fixture.plan("sysctl", "true");
    plan.linux.system_controls = BTreeMap::from([("net.core.somaxconn".to_owned(), "1".to_owned())]);
    let error = fixture.runtime.start_container(TASK, plan).await.unwrap_err();
    assert!(error.to_string().contains("host's network namespace"), "{error}");
    fixture.end().await;
}

#[tokio::test]
async fn a_place_of_its_own() {
    let Some(fixture) = linux() else { return };
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let script = "hostname; cat /etc/hostname /etc/hosts; readlink /proc/self/ns/net";
    let (_, own) = run(&fixture, "own", script, |plan| {
        let hosts = "10.1.2.3 db\n".to_owned();
        plan.place = Some(Place { hostname: "me".to_owned(), hosts, ..Place::default() });
    })
    .await;
    assert!(own.starts_with("me\nme\n10.1.2.3 db\nnet:"), "{own}");
    let (_, other) = run(&fixture, "other", script, |_| {}).await;
    assert!(other.starts_with("ip-10-0-0-7\nip-10-0-0-7\nnet:"), "{other}");
    let host = std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    assert!(!own.contains(&host) && !other.contains(&host));
    fixture.end().await;
}

/// A task without a limit weighs as much as its containers.
#[tokio::test]
async fn shares_of_the_processor() {
    let Some(fixture) = linux() else { return };
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    for (name, units) in [("one", 256), ("two", 512)] {
        let mut plan = fixture.plan(name, "exec sleep 1000");
        plan.cpu_units = units;
        fixture.runtime.start_container(TASK, plan).await.unwrap();
    }
    let group = crate::fixture::options(fixture.dir.path(), None).cgroup.join(TASK);
    let read = |mount: &std::path::Path, file: &str| {
        let text = std::fs::read_to_string(mount.join(&group).join(file)).unwrap();
        text.trim().parse::<u64>().unwrap()
    };
    let hierarchies = launch::cgroup::Hierarchies::detect().unwrap();
    match (hierarchies.v1_mount("cpu"), &hierarchies.unified) {
        (Some(cpu), _) => {
            assert_eq!(read(cpu, "cpu.shares"), 768);
            assert_eq!(read(hierarchies.v1_mount("pids").unwrap(), "pids.max"), 16_384);
        }
        (None, Some(unified)) => {
            assert_eq!(read(unified, "cpu.weight"), 30);
            assert_eq!(read(unified, "pids.max"), 16_384);
        }
        _ => panic!("nothing limits"),
    }
    fixture.end().await;
}

#[tokio::test]
async fn ipc_none_has_no_shared_memory() {
    let Some(fixture) = linux() else { return };
    let sandbox = TaskSandbox { ipc_mode: Namespace::None, ..fixture.sandbox() };
    fixture.runtime.create_sandbox(sandbox).await.unwrap();
    let (_, output) = run(&fixture, "main", "test -d /dev/shm || echo none", |_| {}).await;
    assert_eq!(output, "none\n");
    fixture.end().await;
}

#[tokio::test]
async fn swap_beyond_memory_is_limited_where_it_is_counted() {
    let Some(fixture) = linux() else { return };
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let script = "cat /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes /sys/fs/cgroup/memory/memory.swappiness \
                  || cat /sys/fs/cgroup/memory.swap.max";
    let mut plan = fixture.plan("main", script);
    plan.memory_mib = Some(64);
    plan.linux = LinuxSettings { max_swap_mib: Some(32), swappiness: Some(7), ..LinuxSettings::default() };
    let record = fixture.runtime.start_container(TASK, plan).await.unwrap();
    let output = fixture.output("main").await;
    if record.warnings.iter().any(|text| text.contains("maxSwap")) {
        eprintln!("left out: this kernel does not count swap");
    } else {
        let (v1, v2) = (format!("{}\n7\n", 96 << 20), format!("{}\n", 32 << 20));
        assert!(output == v1 || output.ends_with(&v2), "{output}");
    }
    fixture.end().await;
}

#[tokio::test]
async fn a_container_with_an_init_is_entered_and_starts_again() {
    use tokio::io::AsyncReadExt;
    let Some(fixture) = linux() else { return };
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("main", "echo up; exec sleep 1000");
    plan.linux = LinuxSettings { has_init: true, is_privileged: true, ..LinuxSettings::default() };
    fixture.runtime.start_container(TASK, plan).await.unwrap();
    for round in 0..2 {
        let command =
            ["/bin/sh", "-c", "cat /proc/1/comm; ps | grep -c 'sleep 1000'"].map(str::to_owned).to_vec();
        let plan = runtime::ExecPlan { command, ..runtime::ExecPlan::default() };
        let mut entered = fixture.runtime.exec(TASK, "main", plan).await.unwrap();
        let mut output = String::new();
        entered.output.read_to_string(&mut output).await.unwrap();
        assert!(output.starts_with("init\n"), "{output}");
        let exit =
            fixture.runtime.stop(TASK, "main", runtime::Signal::TERM, std::time::Duration::from_secs(60));
        assert_eq!(exit.await.unwrap().code, 143);
        if round == 0 {
            fixture.runtime.restart_container(TASK, "main").await.unwrap();
        }
    }
    fixture.end().await;
}

/// Where a process's memory holds these bytes.
fn remembers(pid: u32, text: &str) -> Option<String> {
    use std::os::unix::fs::FileExt;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let holds = |line: &&str| {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        let length = memory.read_at(&mut bytes, from).unwrap_or(0);
        bytes[..length].windows(text.len()).any(|window| window == text.as_bytes())
    };
    maps.lines().filter(|line| line.contains(" rw")).find(holds).map(str::to_owned)
}

/// A first process that is the shim's copy must not give away what the shim knew of others.
#[tokio::test]
async fn an_init_process_knows_nothing_of_others() {
    const SECRET: &str = "a-secret-of-the-other-container";
    let Some(fixture) = linux() else { return };
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut other = fixture.plan("other", "echo up; exec sleep 1000");
    other.environment.insert("SECRET".to_owned(), SECRET.to_owned());
    let other = fixture.runtime.start_container(TASK, other).await.unwrap();
    // The shim keeps in mind how to enter it.
    let command = ["/bin/true".to_owned()].to_vec();
    let entered =
        fixture.runtime.exec(TASK, "other", runtime::ExecPlan { command, ..Default::default() }).await;
    assert_eq!(entered.unwrap().control.wait().await.unwrap(), 0);
    let mut plan = fixture.plan("main", "echo up; exec sleep 1000");
    plan.linux.has_init = true;
    let main = fixture.runtime.start_container(TASK, plan).await.unwrap();
    for name in ["other", "main"] {
        fixture.runtime.output(TASK, name, Default::default()).await.unwrap();
    }
    assert!(remembers(other.pid, SECRET).is_some(), "this test looks where it should");
    assert_eq!(remembers(main.pid, SECRET), None);
    fixture.end().await;
}
