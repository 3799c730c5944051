//! Docker's confinement as data: what a container gets when its task says nothing else.
//!
//! Owns: capabilities, paths, devices, mounts, namespaces, and [`spec`], which puts them together.
//! Values are Docker's (`oci/defaults.go`, `oci/caps/defaults.go` of Docker 26.1.5), with a cgroup namespace,
//! which Docker gives on version 2 only.

use std::collections::HashSet;
use std::path::Path;

use oci_spec::runtime::{
    Capability, LinuxBuilder, LinuxCapabilities, LinuxCapabilitiesBuilder, LinuxDeviceCgroup,
    LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType,
    LinuxResourcesBuilder, Mount, MountBuilder, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};

/// What root in a container may do: the fourteen capabilities of Docker, `0xa80425fb`.
pub const CAPABILITIES: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// Files and directories of the kernel that the container sees empty.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// Files and directories of the kernel that the container cannot write.
pub const READONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Character devices that every container has in `/dev`, mode 0666: name, major, minor.
pub const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Symbolic links that every container has: path and target.
pub const LINKS: [(&str, &str); 5] = [
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// The same set for bounding, permitted and effective; nothing inheritable or ambient (CVE-2022-29162).
pub fn capabilities(caps: &HashSet<Capability>) -> LinuxCapabilities {
    LinuxCapabilitiesBuilder::default()
        .bounding(caps.clone())
        .effective(caps.clone())
        .permitted(caps.clone())
        .inheritable(HashSet::new())
        .ambient(HashSet::new())
        .build()
        .expect("every field has a default")
}

/// [`CAPABILITIES`] as a set.
pub fn default_capabilities() -> HashSet<Capability> {
    CAPABILITIES.into_iter().collect()
}

/// The mounts of a container. `shm_bytes` is the size of `/dev/shm`; Docker gives 64 MiB.
pub fn mounts(shm_bytes: u64) -> Vec<Mount> {
    let shm_size = format!("size={shm_bytes}");
    vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", &shm_size]),
    ]
}

/// One mount of the kernel's own file systems.
fn mount(destination: &str, kind: &str, options: &[&str]) -> Mount {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    let source = if kind == "tmpfs" && destination == "/dev/shm" { "shm" } else { kind };
    MountBuilder::default()
        .destination(destination)
        .typ(kind)
        .source(source)
        .options(options)
        .build()
        .expect("a mount without mappings is valid")
}

/// A bind mount of a file or directory of the host, as a task's `resolv.conf`, `hosts` or volume.
pub fn bind(source: &Path, destination: &Path, is_readonly: bool) -> Mount {
    let access = if is_readonly { "ro" } else { "rw" };
    MountBuilder::default()
        .destination(destination)
        .typ("bind")
        .source(source)
        .options(vec!["rbind".to_owned(), "rprivate".to_owned(), access.to_owned()])
        .build()
        .expect("a mount without mappings is valid")
}

/// Device rules of Docker: nothing but the devices of [`DEVICES`], the console and terminals; any node may
/// be made, none of the others opened.
pub fn device_rules() -> Vec<LinuxDeviceCgroup> {
    let rule = |allow, kind, major: Option<i64>, minor: Option<i64>, access: &str| {
        let built = LinuxDeviceCgroupBuilder::default().allow(allow).typ(kind).access(access);
        let built = if let Some(major) = major { built.major(major) } else { built };
        let built = if let Some(minor) = minor { built.minor(minor) } else { built };
        built.build().expect("every field has a default")
    };
    let character = LinuxDeviceType::C;
    let mut rules = vec![
        rule(false, LinuxDeviceType::A, None, None, "rwm"),
        rule(true, character, None, None, "m"),
        rule(true, LinuxDeviceType::B, None, None, "m"),
        rule(true, character, Some(5), Some(1), "rwm"),
        rule(true, character, Some(5), Some(2), "rwm"),
        rule(true, character, Some(136), None, "rwm"),
    ];
    for (_, major, minor) in DEVICES {
        rules.push(rule(true, character, Some(major.into()), Some(minor.into()), "rwm"));
    }
    rules
}

/// Fresh namespaces of every kind but user and time. `network` is a namespace to join, by path.
pub fn namespaces(network: Option<&Path>) -> Vec<LinuxNamespace> {
    let fresh = |kind| LinuxNamespaceBuilder::default().typ(kind);
    let kinds = [
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Cgroup,
    ];
    let net = fresh(LinuxNamespaceType::Network);
    let net = if let Some(path) = network { net.path(path) } else { net };
    let all = kinds.into_iter().map(fresh).chain([net]);
    all.map(|namespace| namespace.build().expect("every field has a default")).collect()
}

/// A specification with Docker's confinement: root file system `root`, program `args`, seccomp profile
/// included. The caller fills in environment, user, limits, hostname and further mounts.
pub fn spec(root: &Path, args: Vec<String>, network: Option<&Path>) -> Spec {
    const SHM_BYTES: u64 = 64 << 20;
    let caps = default_capabilities();
    let complete = "every field has a default";
    let process = ProcessBuilder::default()
        .terminal(false)
        .user(UserBuilder::default().uid(0u32).gid(0u32).build().expect(complete))
        .args(args)
        .env(vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()])
        .cwd("/")
        .capabilities(capabilities(&caps))
        .rlimits(Vec::new())
        .no_new_privileges(false)
        .build()
        .expect(complete);
    let linux = LinuxBuilder::default()
        .namespaces(namespaces(network))
        .masked_paths(MASKED_PATHS.map(str::to_owned).to_vec())
        .readonly_paths(READONLY_PATHS.map(str::to_owned).to_vec())
        .resources(LinuxResourcesBuilder::default().devices(device_rules()).build().expect(complete))
        .seccomp(crate::seccomp::default_profile(&caps))
        .build()
        .expect(complete);
    SpecBuilder::default()
        .version("1.0.2")
        .root(RootBuilder::default().path(root).readonly(false).build().expect(complete))
        .process(process)
        .mounts(mounts(SHM_BYTES))
        .hostname("localhost")
        .linux(linux)
        .build()
        .expect(complete)
}
