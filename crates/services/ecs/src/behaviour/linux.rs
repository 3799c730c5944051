//! What a container may do to the kernel and see of it.

use core_lifecycle::{Device, LinuxSettings, Tmpfs};

use crate::state::container::{self as state, ContainerDefinition};

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
