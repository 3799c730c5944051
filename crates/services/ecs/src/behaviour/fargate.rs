//! What Fargate refuses of a definition, with AWS's texts where they are known.
//!
//! AWS: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html>.
//! What an `awsvpc` definition cannot have anyway (links, host names, DNS settings) is
//! `container::check`'s.

use super::check::is_ecr_image;
use super::size;
use crate::state::container::{ContainerDefinition, LinuxParameters};
use crate::state::definition::Spec;
use crate::state::volume::Volume;

/// Why Fargate does not take a definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FargateFlaw {
    #[error("Fargate only supports network mode ‘awsvpc’.")]
    NetworkMode,
    #[error("Fargate requires that 'cpu' be defined at the task level.")]
    NoCpu,
    #[error("Fargate requires that 'memory' be defined at the task level.")]
    NoMemory,
    #[error("Invalid 'cpu' setting for task.")]
    Cpu,
    #[error("Invalid 'memory' setting for task.")]
    Memory,
    #[error(
        "No Fargate configuration exists for given values: {0} CPU, {1} memory. \
         See the Amazon ECS documentation for the valid values."
    )]
    Size(u32, u32),
    #[error("Fargate compatible task definitions do not support {0}")]
    Member(&'static str),
    #[error(
        "Tasks using the Fargate launch type do not support pidMode '{0}'. The supported value for pidMode is 'task'."
    )]
    PidMode(String),
    #[error("Tasks using the Fargate launch type do not support ipcMode.")]
    IpcMode,
    #[error("Tasks using the Fargate launch type do not support {0} resource requirements.")]
    Resource(String),
    #[error("Fargate requires that the 'privileged' setting be 'false'.")]
    Privileged,
    #[error("{0} is not allowed on Fargate.")]
    Capability(String),
    #[error("{0} is not a valid log driver. Must be one of [awslogs, splunk, awsfirelens]")]
    LogDriver(String),
    #[error(
        "Fargate requires log configuration options to include awslogs-stream-prefix to support log driver awslogs."
    )]
    StreamPrefix,
    #[error("Fargate requires task definition to have execution role ARN to support {0}.")]
    ExecutionRole(&'static str),
    #[error(
        "Tasks using the Fargate launch type must have a container {0} timeout of less than 120 seconds."
    )]
    Timeout(&'static str),
    #[error(
        "Tasks using the Fargate launch type do not support ulimit {0}. The supported ulimit is 'nofile'."
    )]
    Ulimit(String),
    #[error("EphemeralStorage size should be at {0}")]
    Storage(&'static str),
}

/// AWS: most seconds that a container may take to start or to stop.
const MOST_SECONDS: i32 = 120;
/// AWS: room on disk that may be asked for, in GiB.
const STORAGE: std::ops::RangeInclusive<i32> = 21..=200;

/// What Fargate asks beyond the rules for every definition.
pub fn check(spec: &Spec) -> Result<(), FargateFlaw> {
    size(spec)?;
    task(spec)?;
    for volume in &spec.volumes {
        check_volume(volume)?;
    }
    for c in &spec.containers {
        container(c, spec)?;
    }
    Ok(())
}

/// Mode and size: looked at before anything else, as AWS does.
pub fn size(spec: &Spec) -> Result<(), FargateFlaw> {
    if !spec.is_awsvpc() {
        return Err(FargateFlaw::NetworkMode);
    }
    let cpu = size::cpu_units(spec.cpu.as_ref().ok_or(FargateFlaw::NoCpu)?).ok_or(FargateFlaw::Cpu)?;
    let memory =
        size::memory_mib(spec.memory.as_ref().ok_or(FargateFlaw::NoMemory)?).ok_or(FargateFlaw::Memory)?;
    if size::is_fargate_pair(cpu, memory) { Ok(()) } else { Err(FargateFlaw::Size(cpu, memory)) }
}

fn task(spec: &Spec) -> Result<(), FargateFlaw> {
    if !spec.placement_constraints.is_empty() {
        return Err(FargateFlaw::Member("constraints"));
    }
    if let Some(mode) = spec.pid_mode.as_ref().filter(|mode| *mode != "task") {
        return Err(FargateFlaw::PidMode(mode.clone()));
    }
    if spec.ipc_mode.is_some() {
        return Err(FargateFlaw::IpcMode);
    }
    if spec.inference_accelerators.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(FargateFlaw::Member("inferenceAccelerators"));
    }
    match spec.ephemeral_storage.as_ref().map(|storage| storage.size_in_gi_b) {
        Some(gib) if gib < *STORAGE.start() => Err(FargateFlaw::Storage("least 21")),
        Some(gib) if gib > *STORAGE.end() => Err(FargateFlaw::Storage("most 200")),
        Some(_) | None => Ok(()),
    }
}

fn check_volume(volume: &Volume) -> Result<(), FargateFlaw> {
    if volume.host.as_ref().is_some_and(|host| host.source_path.is_some()) {
        return Err(FargateFlaw::Member("sourcePath"));
    }
    if volume.docker_volume_configuration.is_some() {
        return Err(FargateFlaw::Member("dockerVolumeConfiguration"));
    }
    Ok(())
}

fn container(c: &ContainerDefinition, spec: &Spec) -> Result<(), FargateFlaw> {
    if c.privileged == Some(true) {
        return Err(FargateFlaw::Privileged);
    }
    if c.docker_security_options.as_ref().is_some_and(|options| !options.is_empty()) {
        return Err(FargateFlaw::Member("dockerSecurityOptions"));
    }
    if let Some(need) = c.resource_requirements.iter().flatten().next() {
        return Err(FargateFlaw::Resource(need.r#type.clone()));
    }
    if let Some(linux) = &c.linux_parameters {
        parameters(linux)?;
    }
    if let Some(limit) = c.ulimits.iter().flatten().find(|limit| limit.name != "nofile") {
        return Err(FargateFlaw::Ulimit(limit.name.clone()));
    }
    if c.stop_timeout.is_some_and(|secs| secs > MOST_SECONDS) {
        return Err(FargateFlaw::Timeout("stop"));
    }
    if c.start_timeout.is_some_and(|secs| secs > MOST_SECONDS) {
        return Err(FargateFlaw::Timeout("start"));
    }
    logs(c)?;
    if spec.execution_role.is_none() { role_needed(c) } else { Ok(()) }
}

fn parameters(linux: &LinuxParameters) -> Result<(), FargateFlaw> {
    let members = [
        ("devices", linux.devices.as_ref().is_some_and(|devices| !devices.is_empty())),
        ("tmpfs", linux.tmpfs.as_ref().is_some_and(|tmpfs| !tmpfs.is_empty())),
        ("sharedMemorySize", linux.shared_memory_size.is_some()),
        ("maxSwap", linux.max_swap.is_some()),
        ("swappiness", linux.swappiness.is_some()),
    ];
    if let Some((name, _)) = members.into_iter().find(|(_, is_set)| *is_set) {
        return Err(FargateFlaw::Member(name));
    }
    // AWS: SYS_PTRACE is the one capability that Fargate adds.
    let mut added = linux.capabilities.iter().flat_map(|caps| caps.add.iter().flatten());
    match added.find(|name| *name != "SYS_PTRACE") {
        Some(name) => Err(FargateFlaw::Capability(name.clone())),
        None => Ok(()),
    }
}

fn logs(c: &ContainerDefinition) -> Result<(), FargateFlaw> {
    let Some(log) = &c.log_configuration else { return Ok(()) };
    match log.log_driver.as_str() {
        "awslogs" => {
            let options = log.options.as_ref();
            let prefix = options.and_then(|options| options.get("awslogs-stream-prefix"));
            if prefix.is_some_and(|prefix| !prefix.is_empty()) {
                Ok(())
            } else {
                Err(FargateFlaw::StreamPrefix)
            }
        }
        "splunk" | "awsfirelens" => Ok(()),
        other => Err(FargateFlaw::LogDriver(String::from(other))),
    }
}

fn role_needed(c: &ContainerDefinition) -> Result<(), FargateFlaw> {
    if c.log_configuration.as_ref().is_some_and(|log| log.log_driver == "awslogs") {
        return Err(FargateFlaw::ExecutionRole("log driver awslogs"));
    }
    if is_ecr_image(c.image.as_deref().unwrap_or_default()) {
        return Err(FargateFlaw::ExecutionRole("ECR images"));
    }
    Ok(())
}
