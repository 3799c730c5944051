//! What of a specification only this host can tell: where volumes lie, which numbers devices have, which
//! namespaces the task's containers share, what this kernel counts.
//!
//! Invariant: completing what is complete changes nothing: a container starts again from what its directory
//! holds.

use std::os::fd::AsFd;
use std::path::Path;

use core_lifecycle::{Device, Namespace};
use launch::cgroup::Hierarchies;
use launch::defaults;
use oci_spec::runtime::{LinuxMemory, LinuxNamespaceBuilder, LinuxNamespaceType, Mount, Spec};
use rustix::fs::{Mode, OFlags};

use super::Config;
use super::devices::Devices;
use super::ground::Ground;
use crate::contract::RuntimeError;
use crate::protocol::Start;
use crate::record::TaskDir;
use crate::{spec, storage};

/// What completing takes.
pub(super) struct Given<'a> {
    pub task: &'a TaskDir,
    pub config: &'a Config,
    pub ground: &'a Ground,
    /// The container's mounted root file system.
    pub root: &'a Path,
    pub start: &'a Start,
}

/// Completes `spec`. Returns warnings.
pub(super) fn complete(spec: &mut Spec, given: &Given<'_>) -> Result<Vec<String>, RuntimeError> {
    mount_volumes(spec, given)?;
    show_devices(spec, given.start)?;
    share_namespaces(spec, given);
    weigh(spec, given)?;
    open_ports(spec);
    if given.config.oci_runtime.is_some() && given.start.linux.has_init {
        bring_init(spec)?;
    }
    let mut warnings = count_swap(spec, given);
    warnings.extend(given.ground.warning.clone());
    Ok(warnings)
}

fn mount_volumes(spec: &mut Spec, given: &Given<'_>) -> Result<(), RuntimeError> {
    let Given { task, root, start, .. } = given;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(*root, flags, Mode::empty())
        .map_err(|e| RuntimeError::host("open the root file system", e))?;
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    if given.config.sandbox.storage_gib.is_some() {
        bound_names(&mut mounts, task)?;
    }
    let mut taken: Vec<_> =
        start.linux.tmpfs.iter().flat_map(|tmpfs| spec::mount_target(&tmpfs.path)).collect();
    for mount in &start.mounts {
        let target = spec::mount_target(&mount.target)?;
        let source = storage::provide(task, &mount.source, root.as_fd(), &target)?;
        spec::insert_mount(&mut mounts, defaults::bind(&source, &target, mount.is_read_only));
        taken.push(target);
    }
    for (n, path) in start.volumes.iter().enumerate() {
        let target = spec::mount_target(path)?;
        if taken.contains(&target) {
            continue;
        }
        let place = storage::anonymous(task, &start.name, n);
        let source = storage::provide_volume(place, root.as_fd(), &target)?;
        spec::insert_mount(&mut mounts, defaults::bind(&source, &target, false));
        taken.push(target);
    }
    spec.set_mounts(Some(mounts));
    Ok(())
}

/// A container writes to its `/etc/hosts` and the like as it does to its root file system: not past the task's
/// quota.
fn bound_names(mounts: &mut [Mount], task: &TaskDir) -> Result<(), RuntimeError> {
    for mount in mounts.iter_mut().filter(|mount| spec::is_name_file(mount.destination())) {
        let Some(source) = mount.source().clone() else { continue };
        let kept =
            storage::keep_file(task, &source).map_err(|e| RuntimeError::host("keep a task's names", e))?;
        mount.set_source(Some(kept));
    }
    Ok(())
}

fn show_devices(spec: &mut Spec, start: &Start) -> Result<(), RuntimeError> {
    let settings = &start.linux;
    let mut devices = Devices::default();
    if settings.is_privileged {
        devices.add_host();
    }
    for device in &settings.devices {
        devices.add(device)?;
    }
    for gpu in &settings.gpus {
        let permissions = "rwm".to_owned();
        devices.add(&Device { host_path: gpu.clone(), container_path: gpu.clone(), permissions })?;
    }
    let Some(linux) = spec.linux_mut().as_mut().filter(|_| !devices.nodes.is_empty()) else { return Ok(()) };
    let mut nodes = linux.devices().clone().unwrap_or_default();
    nodes.retain(|known| !devices.nodes.iter().any(|node| node.path() == known.path()));
    nodes.extend(devices.nodes);
    linux.set_devices(Some(nodes));
    if let Some(resources) = linux.resources_mut() {
        let mut rules = resources.devices().clone().unwrap_or_default();
        rules.retain(|known| !devices.rules.contains(known));
        rules.extend(devices.rules);
        resources.set_devices(Some(rules));
    }
    Ok(())
}

fn share_namespaces(spec: &mut Spec, given: &Given<'_>) {
    let sandbox = &given.config.sandbox;
    let (Some(holder), Some(linux)) = (&given.ground.holder, spec.linux_mut()) else { return };
    let Some(namespaces) = linux.namespaces_mut() else { return };
    for namespace in namespaces {
        let kind = match namespace.typ() {
            LinuxNamespaceType::Pid if sandbox.pid_mode == Namespace::Task => "pid",
            LinuxNamespaceType::Ipc if sandbox.ipc_mode == Namespace::Task => "ipc",
            _ => continue,
        };
        let shared = LinuxNamespaceBuilder::default().typ(namespace.typ()).path(holder.namespace(kind));
        *namespace = shared.build().expect("every field has a default");
    }
}

fn weigh(spec: &Spec, given: &Given<'_>) -> Result<(), RuntimeError> {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let cpu = resources.and_then(|resources| resources.cpu().as_ref());
    match cpu.and_then(|cpu| cpu.shares()) {
        Some(shares) => given.ground.weigh(given.config, &given.start.name, shares),
        None => Ok(()),
    }
}

/// As Docker has it in network namespaces that are not the host's: users other than root open any port and
/// ping.
fn open_ports(spec: &mut Spec) {
    const OPEN: [(&str, &str); 2] =
        [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];
    let Some(linux) = spec.linux_mut() else { return };
    let namespaces = linux.namespaces().iter().flatten();
    if !namespaces.into_iter().any(|namespace| namespace.typ() == LinuxNamespaceType::Network) {
        return;
    }
    let mut sysctls = linux.sysctl().clone().unwrap_or_default();
    for (name, value) in OPEN {
        if Path::new("/proc/sys").join(name.replace('.', "/")).exists() {
            sysctls.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    linux.set_sysctl(Some(sysctls));
}

/// Our launcher is the first process itself; another runtime needs a program for it, and an image has none.
fn bring_init(spec: &mut Spec) -> Result<(), RuntimeError> {
    const HOSTS: [&str; 4] = [
        "/usr/bin/docker-init",
        "/usr/libexec/docker/docker-init",
        "/usr/bin/tini-static",
        "/usr/bin/catatonit",
    ];
    const OWN: &str = "/dev/boxship-init";
    let found = HOSTS.iter().map(Path::new).find(|path| path.exists());
    let found = found.ok_or_else(|| {
        let text = "initProcessEnabled with another OCI runtime needs docker-init, tini-static or catatonit";
        RuntimeError::Unsupported(text.to_owned())
    })?;
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    spec::insert_mount(&mut mounts, defaults::bind(found, Path::new(OWN), true));
    spec.set_mounts(Some(mounts));
    if let Some(process) = spec.process_mut() {
        let args = process.args().clone().unwrap_or_default();
        if args.first().map(String::as_str) != Some(OWN) {
            let own = [OWN, "--"].map(str::to_owned);
            process.set_args(Some(own.into_iter().chain(args).collect()));
        }
    }
    Ok(())
}

/// Takes away what this kernel does not count, as Docker does, and says so where it was asked for.
fn count_swap(spec: &mut Spec, given: &Given<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let resources = spec.linux_mut().as_mut().and_then(|linux| linux.resources_mut().as_mut());
    let memory = resources.and_then(|resources| resources.memory_mut().as_mut());
    let asks = |memory: &&mut LinuxMemory| memory.swap().is_some() || memory.swappiness().is_some();
    let (Some(memory), Ok(hierarchies)) = (memory.filter(asks), Hierarchies::detect()) else {
        return warnings;
    };
    let is_v2 = hierarchies.is_unified();
    let counts = match (is_v2, hierarchies.v1_mount("memory"), &hierarchies.unified) {
        (true, _, Some(unified)) => unified.join(&given.config.cgroup).join("memory.swap.max").exists(),
        (false, Some(memory), _) => memory.join("memory.memsw.limit_in_bytes").exists(),
        _ => false,
    };
    if memory.swap().is_some() && !counts {
        if given.start.linux.max_swap_mib.is_some() {
            warnings.push("maxSwap ignored: this kernel does not count swap".to_owned());
        }
        memory.set_swap(None);
    }
    if memory.swappiness().is_some() && is_v2 {
        warnings.push("swappiness ignored: control groups of version 2 have none".to_owned());
        memory.set_swappiness(None);
    }
    warnings
}
