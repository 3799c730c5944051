//! What AWS refuses when a task definition is registered, or run on Fargate.
//!
//! Deliberately ignores what Boxship does not act on yet: that is `support`'s, at RunTask.

use std::collections::BTreeSet;

use super::container::{self, ContainerFlaw};
use super::fargate::{self, FargateFlaw};
use super::naming::is_name;
use super::size;
use crate::state::container::ContainerDefinition;
use crate::state::definition::Spec;
use crate::state::volume::DockerVolumeConfiguration;

/// Why a task definition cannot be registered or run. Texts as AWS's, where they are known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("Family contains invalid characters.")]
    Family,
    #[error("Container list cannot be empty.")]
    NoContainers,
    #[error("Too many containers: {0}. A task definition can have at most 10 container definitions.")]
    TooManyContainers(usize),
    #[error("Task definition doesn't have any essential container.")]
    NoEssential,
    #[error("Container names must be unique within a task definition: '{0}' is used twice.")]
    DuplicateContainer(String),
    #[error(transparent)]
    Container(#[from] ContainerFlaw),
    #[error("Container dependencies should not have a cycle.")]
    DependencyCycle,
    #[error("Container links should not have a cycle.")]
    LinkCycle,
    #[error("Volume name contains invalid characters: '{0}'.")]
    VolumeName(String),
    #[error("Duplicate volume name: '{0}'.")]
    DuplicateVolume(String),
    #[error("Docker volume configuration of volume '{volume}': {problem}")]
    DockerVolume { volume: String, problem: &'static str },
    #[error("Only one volume configuration may be specified for volume '{0}'.")]
    VolumeKinds(String),
    #[error("Invalid 'cpu' setting for task.")]
    TaskCpu,
    #[error("Invalid 'memory' setting for task.")]
    TaskMemory,
    #[error("The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.")]
    CpuSum,
    #[error(
        "The sum of all container 'memoryReservation' values cannot be greater than the value of the task 'memory'."
    )]
    MemorySum,
    #[error(transparent)]
    Fargate(#[from] FargateFlaw),
    #[error("Tasks using the EC2 launch type do not support EphemeralStorage.")]
    EphemeralStorage,
    #[error("Fault injection is not supported when networkMode={0}: it takes awsvpc or host.")]
    FaultInjection(String),
    #[error(
        "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."
    )]
    SecretsRole,
    #[error("Placement constraints must be of type memberOf and have an expression.")]
    PlacementConstraint,
    #[error("Role is not valid")]
    Role,
    #[error("Actual length: '{0}'. Max allowed length is '65536' bytes.")]
    Length(usize),
}

/// AWS: at most so many container definitions in a task definition.
const MAX_CONTAINERS: usize = 10;

/// AWS: bytes of a whole definition.
const MAX_LENGTH: usize = 65_536;

/// Checks a definition whose defaults have been filled in.
pub fn register(family: &str, spec: &Spec) -> Result<(), Flaw> {
    if !is_name(family) {
        return Err(Flaw::Family);
    }
    let length = serde_json::to_string(spec).map_or(usize::MAX, |text| text.len());
    if length > MAX_LENGTH {
        return Err(Flaw::Length(length));
    }
    roles(spec)?;
    if spec.needs_fargate() {
        fargate::size(spec)?;
    }
    volumes(spec)?;
    containers(spec)?;
    sizes(spec)?;
    for constraint in &spec.placement_constraints {
        if constraint.r#type.as_deref() != Some("memberOf") || constraint.expression.is_none() {
            return Err(Flaw::PlacementConstraint);
        }
    }
    modes(spec)?;
    if spec.needs_fargate() { Ok(fargate::check(spec)?) } else { Ok(()) }
}

/// What depends on the network mode or on the launch types that the definition asks for.
fn modes(spec: &Spec) -> Result<(), Flaw> {
    let asks_for_others = !spec.requires_compatibilities.is_empty() && !spec.needs_fargate();
    if spec.ephemeral_storage.is_some() && asks_for_others {
        return Err(Flaw::EphemeralStorage);
    }
    let mode = spec.network_mode.as_deref().unwrap_or("bridge");
    if spec.enable_fault_injection == Some(true) && !matches!(mode, "awsvpc" | "host") {
        return Err(Flaw::FaultInjection(String::from(mode)));
    }
    let secret = |c: &ContainerDefinition| c.secrets.as_ref().is_some_and(|secrets| !secrets.is_empty());
    if spec.execution_role.is_none() && spec.containers.iter().any(secret) {
        return Err(Flaw::SecretsRole);
    }
    Ok(())
}

fn roles(spec: &Spec) -> Result<(), Flaw> {
    let mut roles = spec.task_role.iter().chain(&spec.execution_role);
    if roles.all(|role| is_role(role)) { Ok(()) } else { Err(Flaw::Role) }
}

/// A role's ARN: `arn:aws:iam::123456789012:role/path/name`.
pub fn is_role(text: &str) -> bool {
    let Ok(arn) = base::Arn::parse(text) else { return false };
    let is_account = base::AccountId::parse(arn.account()).is_some();
    let name = arn.resource().strip_prefix("role/").and_then(|path| path.rsplit('/').next());
    arn.service() == "iam" && is_account && name.is_some_and(|name| !name.is_empty())
}

fn volumes(spec: &Spec) -> Result<(), Flaw> {
    let mut seen = BTreeSet::new();
    for volume in &spec.volumes {
        let name = volume.name.clone().unwrap_or_default();
        if !is_name(&name) {
            return Err(Flaw::VolumeName(name));
        }
        let kinds = [
            volume.host.as_ref().is_some_and(|host| host.source_path.is_some()),
            volume.docker_volume_configuration.is_some(),
            volume.efs_volume_configuration.is_some(),
            volume.s3files_volume_configuration.is_some(),
            volume.fsx_windows_file_server_volume_configuration.is_some(),
            volume.configured_at_launch == Some(true),
        ];
        if kinds.iter().filter(|is_set| **is_set).count() > 1 {
            return Err(Flaw::VolumeKinds(name));
        }
        if let Some(problem) = volume.docker_volume_configuration.as_ref().and_then(docker_problem) {
            return Err(Flaw::DockerVolume { volume: name, problem });
        }
        if !seen.insert(name.clone()) {
            return Err(Flaw::DuplicateVolume(name));
        }
    }
    Ok(())
}

fn docker_problem(docker: &DockerVolumeConfiguration) -> Option<&'static str> {
    let is_shared = docker.scope.as_deref() == Some("shared");
    // AWS: only a volume that outlives the task may be there before it.
    (docker.autoprovision.is_some() && !is_shared).then_some("autoprovision needs scope 'shared'.")
}

fn containers(spec: &Spec) -> Result<(), Flaw> {
    match spec.containers.len() {
        0 => return Err(Flaw::NoContainers),
        1..=MAX_CONTAINERS => {}
        count => return Err(Flaw::TooManyContainers(count)),
    }
    let mut names = BTreeSet::new();
    for container in &spec.containers {
        container::check(container, spec)?;
        let name = container.name();
        if !names.insert(name) {
            return Err(Flaw::DuplicateContainer(String::from(name)));
        }
    }
    if !spec.containers.iter().any(ContainerDefinition::is_essential) {
        return Err(Flaw::NoEssential);
    }
    container::references(spec)
}

fn sizes(spec: &Spec) -> Result<(), Flaw> {
    let cpu = match &spec.cpu {
        None => None,
        Some(text) => Some(size::cpu_units(text).ok_or(Flaw::TaskCpu)?),
    };
    // AWS: other than for Fargate, whose pairs are checked with the memory, 0.125 to 192 vCPU.
    if !spec.needs_fargate() && cpu.is_some_and(|cpu| !size::EC2_CPU.contains(&cpu)) {
        return Err(Flaw::TaskCpu);
    }
    let memory = match &spec.memory {
        None => None,
        Some(text) => Some(size::memory_mib(text).ok_or(Flaw::TaskMemory)?),
    };
    let sum = |of: fn(&ContainerDefinition) -> i32| -> i64 {
        spec.containers.iter().map(|container| i64::from(of(container))).sum()
    };
    if cpu.is_some_and(|cpu| sum(|c| c.cpu.unwrap_or(0)) > i64::from(cpu)) {
        return Err(Flaw::CpuSum);
    }
    if memory.is_some_and(|memory| sum(|c| c.memory_reservation.unwrap_or(0)) > i64::from(memory)) {
        return Err(Flaw::MemorySum);
    }
    Ok(())
}

/// What of a definition reaches the host beyond what any container may; none if it is harmless.
pub fn host_access(spec: &Spec) -> Option<&'static str> {
    let is_host = |mode: &Option<String>| mode.as_deref() == Some("host");
    let has_path = |volume: &crate::state::volume::Volume| {
        volume.host.as_ref().is_some_and(|host| host.source_path.is_some())
            || volume.docker_volume_configuration.as_ref().is_some_and(|docker| docker.driver_opts.is_some())
    };
    let linux = || spec.containers.iter().filter_map(|c| c.linux_parameters.as_ref());
    let adds =
        || linux().filter_map(|it| it.capabilities.as_ref()?.add.as_ref()).any(|list| !list.is_empty());
    let has_devices = || linux().any(|it| it.devices.as_ref().is_some_and(|list| !list.is_empty()));
    let is_unconfined =
        |c: &ContainerDefinition| c.docker_security_options.as_ref().is_some_and(|list| !list.is_empty());
    let found = [
        ("privileged containers", spec.containers.iter().any(|c| c.privileged == Some(true))),
        ("host paths", spec.volumes.iter().any(has_path)),
        ("networkMode host", is_host(&spec.network_mode)),
        ("pidMode host", is_host(&spec.pid_mode)),
        ("ipcMode host", is_host(&spec.ipc_mode)),
        ("devices of the host", has_devices()),
        ("added capabilities", adds()),
        ("dockerSecurityOptions", spec.containers.iter().any(is_unconfined)),
    ];
    found.into_iter().find(|(_, is_set)| *is_set).map(|(what, _)| what)
}

/// Whether an image lies in a private ECR repository by its name's form.
pub fn is_ecr_image(image: &str) -> bool {
    let host = image.split('/').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    let mut parts = host.split('.');
    let is_account = parts.next().is_some_and(|account| base::AccountId::parse(account).is_some());
    is_account && parts.next() == Some("dkr") && parts.next() == Some("ecr")
}
