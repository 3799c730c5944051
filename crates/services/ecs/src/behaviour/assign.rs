//! From a definition with its overrides to what a host is told: every choice made.

use std::collections::BTreeMap;
use std::time::Duration;

use core_lifecycle::{
    Assignment, Condition, ContainerSpec, Dependency, HealthCheck, Interface, LaunchType, Mount, Namespace,
    NetworkMode, PullAs, RestartPolicy, SecretReference, Ulimit, Volume, VolumeSource, VolumesFrom,
};

use super::{linux, logs, names, ports, size};
use crate::state::container::{self as state, ContainerDefinition};
use crate::state::definition::Spec;
use crate::state::task::TaskId;
use crate::state::volume::Volume as VolumeDefinition;

/// AWS: between SIGTERM and SIGKILL where the definition names no time.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// AWS: a container that ends sooner after its start is not started again.
const ATTEMPT_PERIOD: i32 = 300;
/// AWS: open files of a Fargate container, soft and hard.
const OPEN_FILES: u64 = 65_535;
/// AWS: room on disk of a Fargate task that asks for none, in GiB.
pub const FARGATE_STORAGE_GIB: u32 = 20;

/// What RunTask chose for one task, beside its definition.
#[derive(Debug, Clone)]
pub struct Choice {
    pub launch_type: LaunchType,
    /// `X86_64` or `ARM64`.
    pub architecture: String,
    /// `us-east-1a`.
    pub zone: String,
    /// ARN of the container instance, where the launch type has one.
    pub container_instance: Option<String>,
    /// In network mode `awsvpc`.
    pub interface: Option<Interface>,
    pub enable_execute_command: bool,
    /// Devices of the instance for each container that asks for some, by its name.
    pub gpus: BTreeMap<String, Vec<String>>,
    /// What a container without `mode` in its log options does.
    pub default_log_mode: logs::Mode,
}

/// The assignment of the task `at`, which runs `spec` of `family:revision` as `choice` says.
pub fn assign(at: &TaskId, family: &str, revision: u32, spec: &Spec, choice: Choice) -> Assignment {
    let containers = spec.containers.iter().map(|c| container(at, c, spec, &choice)).collect();
    Assignment {
        task_arn: at.arn().to_string(),
        task_id: at.id.clone(),
        account: at.account.to_string(),
        region: at.region.to_string(),
        cluster: at.cluster.clone(),
        family: String::from(family),
        revision,
        architecture: choice.architecture,
        launch_type: choice.launch_type,
        zone: choice.zone,
        container_instance: choice.container_instance,
        network_mode: network_mode(spec),
        pid_mode: namespace(spec.pid_mode.as_deref()),
        ipc_mode: namespace(spec.ipc_mode.as_deref()),
        volumes: spec.volumes.iter().map(volume).collect(),
        ephemeral_storage_gib: storage_gib(spec, choice.launch_type),
        enable_fault_injection: spec.enable_fault_injection == Some(true),
        enable_execute_command: choice.enable_execute_command,
        cpu_units: spec.cpu.as_deref().and_then(size::cpu_units),
        memory_mib: spec.memory.as_deref().and_then(size::memory_mib),
        interface: choice.interface,
        containers,
        execution_role: spec.execution_role.clone(),
        task_role: spec.task_role.clone(),
    }
}

/// An image reference that names its content; one that does is left as it is.
pub fn pinned(image: &str, digest: &str) -> String {
    if image.contains('@') { String::from(image) } else { format!("{image}@{digest}") }
}

/// The architecture of a task: AWS: its instance's where the definition names none, and X86_64 on
/// Fargate.
pub fn architecture(spec: &Spec, instance: Option<&str>) -> String {
    let platform = spec.runtime_platform.as_ref();
    let named = platform.and_then(|platform| platform.cpu_architecture.as_deref());
    named.or(instance).unwrap_or("X86_64").to_ascii_uppercase()
}

/// AWS: bridge where the definition names none.
pub fn network_mode(spec: &Spec) -> NetworkMode {
    match spec.network_mode.as_deref() {
        Some("awsvpc") => NetworkMode::Awsvpc,
        Some("host") => NetworkMode::Host,
        Some("none") => NetworkMode::None,
        Some(_) | None => NetworkMode::Bridge,
    }
}

/// Room on disk of a task; none where the launch type bounds it only if asked.
pub fn storage_gib(spec: &Spec, launch_type: LaunchType) -> Option<u32> {
    let asked = spec.ephemeral_storage.as_ref().map(|storage| unsigned(storage.size_in_gi_b));
    match launch_type {
        LaunchType::Fargate => Some(asked.unwrap_or(FARGATE_STORAGE_GIB)),
        LaunchType::Ec2 | LaunchType::External => asked,
    }
}

fn namespace(mode: Option<&str>) -> Namespace {
    match mode {
        Some("task") => Namespace::Task,
        Some("host") => Namespace::Host,
        Some("none") => Namespace::None,
        Some(_) | None => Namespace::Container,
    }
}

fn volume(v: &VolumeDefinition) -> Volume {
    let path = v.host.as_ref().and_then(|host| host.source_path.clone()).filter(|path| !path.is_empty());
    let source = match (&v.docker_volume_configuration, path) {
        (Some(docker), _) if docker.scope.as_deref() == Some("shared") => VolumeSource::Shared {
            is_provisioned: docker.autoprovision == Some(true),
            options: docker.driver_opts.clone().unwrap_or_default(),
            labels: docker.labels.clone().unwrap_or_default(),
        },
        // AWS: the scope of a Docker volume is the task's where none is named.
        (Some(_), _) | (None, None) => VolumeSource::Task,
        (None, Some(path)) => VolumeSource::Host(path),
    };
    Volume { name: v.name.clone().unwrap_or_default(), source }
}

fn container(at: &TaskId, c: &ContainerDefinition, spec: &Spec, choice: &Choice) -> ContainerSpec {
    let pairs = c.environment.iter().flatten();
    let environment =
        pairs.map(|pair| (pair.name.clone().unwrap_or_default(), pair.value.clone().unwrap_or_default()));
    let logging = c.log_configuration.as_ref().map(|log| {
        logs::logging(
            log,
            &logs::Origin { region: at.region.as_str(), container: c.name(), task: &at.id },
            choice.default_log_mode,
        )
    });
    let gpus = choice.gpus.get(c.name()).cloned().unwrap_or_default();
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
        stop_timeout: c.stop_timeout.map_or(STOP_TIMEOUT, seconds),
        ulimits: ulimits(c, choice.launch_type),
        ports: ports::ports(c, spec),
        logging: logging.unwrap_or_default(),
        labels: c.docker_labels.clone().unwrap_or_default(),
        depends_on: c.depends_on.iter().flatten().map(dependency).collect(),
        start_timeout: c.start_timeout.map(seconds),
        health_check: health_check(c),
        restart: c.restart_policy.as_ref().filter(|policy| policy.enabled).map(restart),
        mounts: c.mount_points.iter().flatten().map(mount).collect(),
        volumes_from: c.volumes_from.iter().flatten().map(volumes_from).collect(),
        names: names::names(c),
        linux: linux::settings(c, gpus),
        secrets: c.secrets.iter().flatten().map(secret).collect(),
        environment_files: c.environment_files.iter().flatten().map(|file| file.value.clone()).collect(),
        repository_credentials: c.repository_credentials.as_ref().map(|it| it.credentials_parameter.clone()),
    }
}

fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn seconds(number: i32) -> Duration {
    Duration::from_secs(u64::from(unsigned(number)))
}

/// A value that a provider has.
pub fn secret(secret: &state::Secret) -> SecretReference {
    SecretReference { name: secret.name.clone(), value_from: secret.value_from.clone() }
}

fn dependency(dependency: &state::ContainerDependency) -> Dependency {
    let condition = match dependency.condition.as_str() {
        "COMPLETE" => Condition::Complete,
        "SUCCESS" => Condition::Success,
        "HEALTHY" => Condition::Healthy,
        _ => Condition::Start,
    };
    Dependency { container: dependency.container_name.clone(), condition }
}

/// How the health of `c` is looked at. AWS: `["NONE"]` switches off what the image says.
pub fn health_check(c: &ContainerDefinition) -> Option<HealthCheck> {
    let check = c.health_check.as_ref()?;
    if check.command.first().map(String::as_str) == Some("NONE") {
        return None;
    }
    Some(HealthCheck {
        command: check.command.clone(),
        interval: seconds(check.interval.unwrap_or(30)),
        timeout: seconds(check.timeout.unwrap_or(5)),
        retries: unsigned(check.retries.unwrap_or(3)),
        start_period: seconds(check.start_period.unwrap_or(0)),
    })
}

fn restart(policy: &state::ContainerRestartPolicy) -> RestartPolicy {
    RestartPolicy {
        ignored_exit_codes: policy.ignored_exit_codes.clone().unwrap_or_default(),
        attempt_period: seconds(policy.restart_attempt_period.unwrap_or(ATTEMPT_PERIOD)),
    }
}

fn mount(point: &state::MountPoint) -> Mount {
    Mount {
        volume: point.source_volume.clone().unwrap_or_default(),
        path: point.container_path.clone().unwrap_or_default(),
        is_read_only: point.read_only == Some(true),
    }
}

fn volumes_from(from: &state::VolumeFrom) -> VolumesFrom {
    VolumesFrom {
        container: from.source_container.clone().unwrap_or_default(),
        is_read_only: from.read_only == Some(true),
    }
}

fn ulimits(c: &ContainerDefinition, launch_type: LaunchType) -> Vec<Ulimit> {
    // AWS: -1 means no limit.
    let bound = |limit: i32| u64::try_from(limit).unwrap_or(u64::MAX);
    let asked = c.ulimits.iter().flatten().map(|limit| Ulimit {
        name: limit.name.clone(),
        soft: bound(limit.soft_limit),
        hard: bound(limit.hard_limit),
        is_explicit: true,
    });
    let mut limits: Vec<Ulimit> = asked.collect();
    if launch_type == LaunchType::Fargate && !limits.iter().any(|limit| limit.name == "nofile") {
        let name = String::from("nofile");
        limits.push(Ulimit { name, soft: OPEN_FILES, hard: OPEN_FILES, is_explicit: false });
    }
    limits
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region};
    use serde_json::{Value, json};

    use super::*;
    use crate::behaviour::support;

    /// A value for every member of a container definition, unlike its default.
    fn values() -> Value {
        json!({
            "image": "other",
            "repository_credentials": { "credentials_parameter": "x" },
            "cpu": 7,
            "memory": 77,
            "memory_reservation": 66,
            "links": ["side"],
            "port_mappings": [{ "container_port": 80 }],
            "essential": false,
            "restart_policy": { "enabled": true },
            "entry_point": ["e"],
            "command": ["c"],
            "environment": [{ "name": "A", "value": "B" }],
            "environment_files": [{ "value": "arn", "type": "s3" }],
            "mount_points": [{ "source_volume": "v", "container_path": "/v" }],
            "volumes_from": [{ "source_container": "side" }],
            "linux_parameters": { "init_process_enabled": true },
            "secrets": [{ "name": "A", "value_from": "b" }],
            "depends_on": [{ "container_name": "side", "condition": "HEALTHY" }],
            "start_timeout": 3,
            "stop_timeout": 3,
            "hostname": "h",
            "user": "u",
            "working_directory": "/w",
            "disable_networking": true,
            "privileged": true,
            "readonly_root_filesystem": true,
            "dns_servers": ["10.0.0.2"],
            "dns_search_domains": ["example.com"],
            "extra_hosts": [{ "hostname": "h", "ip_address": "10.0.0.3" }],
            "docker_security_options": ["no-new-privileges"],
            "interactive": true,
            "pseudo_terminal": true,
            "docker_labels": { "a": "b" },
            "ulimits": [{ "name": "core", "soft_limit": 1, "hard_limit": 1 }],
            "log_configuration": { "log_driver": "json-file" },
            "health_check": { "command": ["CMD", "x"] },
            "system_controls": [{ "namespace": "net.a", "value": "1" }],
            "resource_requirements": [{ "value": "1", "type": "GPU" }],
            "firelens_configuration": { "type": "fluentbit" },
            "credential_specs": ["x"],
        })
    }

    fn told(spec: &Spec) -> Assignment {
        let at = TaskId {
            account: AccountId::default_account(),
            region: Region::default_region(),
            cluster: String::from("main"),
            id: String::from("0"),
        };
        let gpus =
            |c: &ContainerDefinition| (super::super::room::gpus(c) > 0).then(|| vec![String::from("g")]);
        let choice = Choice {
            launch_type: LaunchType::Ec2,
            architecture: String::from("X86_64"),
            zone: String::new(),
            container_instance: None,
            interface: None,
            enable_execute_command: false,
            gpus: spec.containers.iter().filter_map(|c| Some((String::from(c.name()), gpus(c)?))).collect(),
            default_log_mode: logs::Mode::default(),
        };
        assign(&at, "app", 1, spec, choice)
    }

    /// What is accepted is acted upon: every member reaches the host, or is refused when it is to run.
    #[test]
    fn no_member_is_lost() {
        let spec = |container: Value| Spec {
            containers: vec![serde_json::from_value(container).expect("a container definition")],
            ..Spec::default()
        };
        let plain = spec(json!({ "name": "web", "image": "i" }));
        let base = told(&plain);
        let values = values();
        let members = values.as_object().expect("an object");
        for (member, value) in members {
            let mut container = json!({ "name": "web", "image": "i" });
            container[member] = value.clone();
            let changed = spec(container);
            assert_ne!(changed, plain, "{member} is no member");
            assert!(support::missing(&changed).is_some() || told(&changed) != base, "{member} is lost");
        }
        // All of them but the name and `version_consistency`, which matters to services alone: a new
        // one breaks `support::member` first.
        assert_eq!(members.len(), 40);
    }
}
