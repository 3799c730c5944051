//! What a container may do to the kernel and see of it.

use std::net::IpAddr;

use core_lifecycle::{Device, LinuxSettings, Tmpfs};

use crate::state::container::{self as state, ContainerDefinition, LinuxParameters};
use crate::state::definition::Spec;

/// AWS: capabilities that may be added or dropped, beside `ALL`.
const CAPABILITIES: [&str; 37] = [
    "AUDIT_CONTROL",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "SYSLOG",
    "WAKE_ALARM",
];

/// AWS: options that a tmpfs may be mounted with; some take a value behind `=`.
const TMPFS_OPTIONS: [&str; 39] = [
    "defaults",
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "remount",
    "mand",
    "nomand",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "bind",
    "rbind",
    "unbindable",
    "runbindable",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "mode",
    "uid",
    "gid",
    "nr_inodes",
    "nr_blocks",
    "mpol",
];

/// Docker's: settings of the IPC namespace that a container may have for itself.
const IPC_CONTROLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// What is wrong with a container's settings of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinuxFlaw {
    #[error("Invalid capability '{0}'.")]
    Capability(String),
    #[error("Invalid linuxParameters for container '{container}': {problem}")]
    Parameter { container: String, problem: &'static str },
    #[error("Invalid tmpfs mount option '{0}'.")]
    TmpfsOption(String),
    #[error("Invalid systemControls for container '{container}': {problem}")]
    Control { container: String, problem: &'static str },
    #[error("The GPU resource requirement of container '{0}' must be a positive number.")]
    Gpu(String),
    #[error("Invalid IP address '{address}' in extraHosts of container '{container}'.")]
    Address { container: String, address: String },
}

/// Checks what container `c` of `spec` asks of the kernel, and the hosts that it names.
pub fn check(c: &ContainerDefinition, spec: &Spec) -> Result<(), LinuxFlaw> {
    let container = || String::from(c.name());
    if let Some(linux) = &c.linux_parameters {
        parameters(linux, c.name())?;
    }
    controls(c, spec).map_err(|problem| LinuxFlaw::Control { container: container(), problem })?;
    for need in c.resource_requirements.iter().flatten().filter(|need| need.r#type == "GPU") {
        let count = need.value.as_deref().and_then(|value| value.parse::<u32>().ok());
        if count.is_none_or(|count| count == 0) {
            return Err(LinuxFlaw::Gpu(container()));
        }
    }
    for host in c.extra_hosts.iter().flatten() {
        if host.ip_address.parse::<IpAddr>().is_err() || host.hostname.is_empty() {
            let address = host.ip_address.clone();
            return Err(LinuxFlaw::Address { container: container(), address });
        }
    }
    Ok(())
}

fn parameters(linux: &LinuxParameters, container: &str) -> Result<(), LinuxFlaw> {
    let problem = |problem| Err(LinuxFlaw::Parameter { container: String::from(container), problem });
    let capabilities = linux.capabilities.iter().flat_map(|it| it.add.iter().chain(&it.drop).flatten());
    for name in capabilities {
        if name != "ALL" && !CAPABILITIES.contains(&name.as_str()) {
            return Err(LinuxFlaw::Capability(name.clone()));
        }
    }
    if linux.swappiness.is_some_and(|number| !(0..=100).contains(&number)) {
        return problem("swappiness must be between 0 and 100.");
    }
    if linux.max_swap.is_some_and(|mib| mib < 0) {
        return problem("maxSwap must not be negative.");
    }
    if linux.shared_memory_size.is_some_and(|mib| mib < 0) {
        return problem("sharedMemorySize must not be negative.");
    }
    if linux.devices.iter().flatten().any(|device| device.host_path.is_empty()) {
        return problem("the hostPath of a device must not be empty.");
    }
    for tmpfs in linux.tmpfs.iter().flatten() {
        if tmpfs.size <= 0 || tmpfs.container_path.is_empty() {
            return problem("a tmpfs must have a containerPath and a size above 0.");
        }
        let mut options = tmpfs.mount_options.iter().flatten();
        let is_known =
            |option: &String| TMPFS_OPTIONS.contains(&option.split('=').next().unwrap_or_default());
        if let Some(option) = options.find(|option| !is_known(option)) {
            return Err(LinuxFlaw::TmpfsOption(option.clone()));
        }
    }
    Ok(())
}

/// Only what a container has to itself may be set: never the host's.
fn controls(c: &ContainerDefinition, spec: &Spec) -> Result<(), &'static str> {
    let has_host_network = spec.network_mode.as_deref() == Some("host");
    let has_host_ipc = spec.ipc_mode.as_deref() == Some("host");
    for control in c.system_controls.iter().flatten() {
        let (Some(name), Some(_)) = (&control.namespace, &control.value) else {
            return Err("namespace and value must be specified.");
        };
        let is_ipc = IPC_CONTROLS.contains(&name.as_str()) || name.starts_with("fs.mqueue.");
        match name.split_once('.') {
            Some(("net", _)) if has_host_network => {
                return Err("network settings are not supported when networkMode=host.");
            }
            Some(("net", _)) => {}
            Some(_) if is_ipc && has_host_ipc => {
                return Err("settings of the IPC namespace are not supported when ipcMode=host.");
            }
            Some(_) if is_ipc => {}
            Some(_) | None => {
                return Err("only net.*, fs.mqueue.* and the kernel's IPC settings are supported.");
            }
        }
    }
    Ok(())
}

/// The settings of `c`, which has the devices `gpus` to itself.
pub fn settings(c: &ContainerDefinition, gpus: Vec<String>) -> LinuxSettings {
    let linux = c.linux_parameters.clone().unwrap_or_default();
    let capabilities = linux.capabilities.unwrap_or_default();
    let controls = c.system_controls.iter().flatten();
    let controls = controls.filter_map(|it| Some((it.namespace.clone()?, it.value.clone()?)));
    LinuxSettings {
        capabilities_add: capabilities.add.unwrap_or_default(),
        capabilities_drop: capabilities.drop.unwrap_or_default(),
        devices: linux.devices.iter().flatten().map(device).collect(),
        has_init: linux.init_process_enabled == Some(true),
        shared_memory_mib: linux.shared_memory_size.map(unsigned).filter(|mib| *mib > 0),
        tmpfs: linux.tmpfs.iter().flatten().map(tmpfs).collect(),
        max_swap_mib: linux.max_swap.map(unsigned),
        swappiness: linux.swappiness.map(unsigned),
        is_privileged: c.privileged == Some(true),
        security_options: c.docker_security_options.clone().unwrap_or_default(),
        system_controls: controls.collect(),
        has_terminal: c.pseudo_terminal == Some(true),
        is_interactive: c.interactive == Some(true),
        gpus,
    }
}

fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// AWS: a device has the host's path and every permission where nothing else is said.
fn device(device: &state::Device) -> Device {
    let asked = device.permissions.as_ref().filter(|list| !list.is_empty());
    let letter = |name: &String| match name.as_str() {
        "read" => "r",
        "write" => "w",
        _ => "m",
    };
    Device {
        host_path: device.host_path.clone(),
        container_path: device.container_path.clone().unwrap_or_else(|| device.host_path.clone()),
        permissions: asked.map_or_else(|| String::from("rwm"), |list| list.iter().map(letter).collect()),
    }
}

fn tmpfs(tmpfs: &state::Tmpfs) -> Tmpfs {
    Tmpfs {
        path: tmpfs.container_path.clone(),
        size_mib: unsigned(tmpfs.size),
        options: tmpfs.mount_options.clone().unwrap_or_default(),
    }
}
