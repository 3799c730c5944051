//! From a definition with its overrides to what a host is told: every choice made.

use std::time::Duration;

use core_lifecycle::{
    Assignment, ContainerSpec, Interface, LaunchType, LinuxSettings, Names, Namespace, NetworkMode,
    PortMapping, PullAs, Ulimit,
};

use super::container::protocol_of;
use super::{logs, size};
use crate::state::container::ContainerDefinition;
use crate::state::definition::Spec;
use crate::state::task::TaskId;

/// AWS: between SIGTERM and SIGKILL where the definition names no time.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// AWS: open files of a Fargate container, soft and hard.
const OPEN_FILES: u64 = 65_535;

/// The assignment of the task `at`, which runs `spec` of `family:revision` behind `interface`.
pub fn assign(at: &TaskId, family: &str, revision: u32, spec: &Spec, interface: Interface) -> Assignment {
    Assignment {
        task_arn: at.arn().to_string(),
        task_id: at.id.clone(),
        account: at.account.to_string(),
        region: at.region.to_string(),
        cluster: at.cluster.clone(),
        family: String::from(family),
        revision,
        architecture: String::from(architecture(spec)),
        launch_type: LaunchType::Fargate,
        zone: String::new(),
        container_instance: None,
        network_mode: NetworkMode::Awsvpc,
        pid_mode: Namespace::Container,
        ipc_mode: Namespace::Container,
        volumes: Vec::new(),
        ephemeral_storage_gib: None,
        enable_fault_injection: false,
        enable_execute_command: false,
        cpu_units: spec.cpu.as_deref().and_then(size::cpu_units),
        memory_mib: spec.memory.as_deref().and_then(size::memory_mib),
        interface: Some(interface),
        containers: spec.containers.iter().map(|definition| container(at, definition)).collect(),
        execution_role: spec.execution_role.clone(),
        task_role: spec.task_role.clone(),
    }
}

/// AWS: X86_64 where the definition names none.
pub fn architecture(spec: &Spec) -> &str {
    let platform = spec.runtime_platform.as_ref();
    platform.and_then(|platform| platform.cpu_architecture.as_deref()).unwrap_or("X86_64")
}

fn container(at: &TaskId, c: &ContainerDefinition) -> ContainerSpec {
    let pairs = c.environment.iter().flatten();
    let environment =
        pairs.map(|pair| (pair.name.clone().unwrap_or_default(), pair.value.clone().unwrap_or_default()));
    ContainerSpec {
        name: String::from(c.name()),
        image: c.image.clone().unwrap_or_default(),
        pull_as: PullAs { account: at.account.to_string(), region: at.region.to_string() },
        essential: c.is_essential(),
        entry_point: c.entry_point.clone().filter(|words| !words.is_empty()),
        command: c.command.clone().filter(|words| !words.is_empty()),
        environment: environment.collect(),
        working_directory: c.working_directory.clone().filter(|path| !path.is_empty()),
        user: c.user.clone().filter(|user| !user.is_empty()),
        cpu_units: unsigned(c.cpu.unwrap_or(0)),
        memory_mib: c.memory.map(unsigned),
        memory_reservation_mib: c.memory_reservation.map(unsigned),
        readonly_root: c.readonly_root_filesystem == Some(true),
        stop_timeout: c
            .stop_timeout
            .map_or(STOP_TIMEOUT, |secs| Duration::from_secs(u64::from(unsigned(secs)))),
        ulimits: ulimits(c),
        ports: c.port_mappings.iter().flatten().filter_map(port).collect(),
        logging: c
            .log_configuration
            .as_ref()
            .map(|log| logs::logging(log, at.region.as_str(), c.name(), &at.id))
            .unwrap_or_default(),
        labels: c.docker_labels.clone().unwrap_or_default(),
        depends_on: Vec::new(),
        start_timeout: None,
        health_check: None,
        restart: None,
        mounts: Vec::new(),
        volumes_from: Vec::new(),
        names: Names::default(),
        linux: LinuxSettings::default(),
        secrets: Vec::new(),
        environment_files: Vec::new(),
        repository_credentials: None,
    }
}

fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn ulimits(c: &ContainerDefinition) -> Vec<Ulimit> {
    // AWS: -1 means no limit.
    let bound = |limit: i32| u64::try_from(limit).unwrap_or(u64::MAX);
    let asked = c.ulimits.iter().flatten().map(|limit| Ulimit {
        name: limit.name.clone(),
        soft: bound(limit.soft_limit),
        hard: bound(limit.hard_limit),
        is_explicit: true,
    });
    let mut limits: Vec<Ulimit> = asked.collect();
    if !limits.iter().any(|limit| limit.name == "nofile") {
        let name = String::from("nofile");
        limits.push(Ulimit { name, soft: OPEN_FILES, hard: OPEN_FILES, is_explicit: false });
    }
    limits
}

fn port(mapping: &crate::state::container::PortMapping) -> Option<PortMapping> {
    let container_port = u16::try_from(mapping.container_port?).ok()?;
    let host_port = mapping.host_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    Some(PortMapping {
        container_port,
        host_port: host_port.unwrap_or(container_port),
        protocol: String::from(protocol_of(mapping)),
        range: None,
    })
}
