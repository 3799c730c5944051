//! What a container sees of the machine, and the kernel settings that go with that.

use std::collections::HashMap;

use core_lifecycle::{LinuxSettings, Namespace};
use launch::defaults;
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};

use crate::contract::RuntimeError;
use crate::plan::{Network, Place, TaskSandbox};

/// Its namespaces. Those that the task's containers share have no path yet.
pub(super) fn of(sandbox: &TaskSandbox, network: &Network) -> Vec<LinuxNamespace> {
    let path = match network {
        Network::Join(path) => Some(path.as_path()),
        Network::Empty | Network::Host => None,
    };
    let mut namespaces = defaults::namespaces(path);
    let is_hosts = |kind| match kind {
        LinuxNamespaceType::Network => *network == Network::Host,
        LinuxNamespaceType::Pid => sandbox.pid_mode == Namespace::Host,
        LinuxNamespaceType::Ipc => sandbox.ipc_mode == Namespace::Host,
        _ => false,
    };
    namespaces.retain(|namespace| !is_hosts(namespace.typ()));
    namespaces
}

/// Kernel settings, of namespaces that are not the host's.
pub(super) fn sysctls(
    sandbox: &TaskSandbox,
    place: &Place,
    settings: &LinuxSettings,
) -> Result<HashMap<String, String>, RuntimeError> {
    let refused = |name: &str, whose| {
        let text =
            format!("sysctl {name:?} is not allowed: the container is in the host's {whose} namespace");
        Err(RuntimeError::Plan(text))
    };
    for name in settings.system_controls.keys() {
        match name.split(['.', '/']).next() {
            Some("net") if place.network == Network::Host => return refused(name, "network"),
            Some("kernel" | "fs") if sandbox.ipc_mode == Namespace::Host => return refused(name, "IPC"),
            Some("net" | "kernel" | "fs") => {}
            _ => return Err(RuntimeError::Plan(format!("sysctl {name:?} is not separate for containers"))),
        }
    }
    Ok(settings.system_controls.clone().into_iter().collect())
}
