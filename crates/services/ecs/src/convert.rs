//! Shapes to records and back. The only place where AWS's status texts are spelled.

pub mod instance;
pub mod service;
pub mod service_settings;

use aws_ecs as aws;
use base::Tags;
use core_lifecycle::{
    Binding, Container, ContainerObservation, Goal, HealthStatus, LaunchType, NetworkMode, StopCode,
    Task as State,
};

use crate::behaviour::{assign, capability};
use crate::state::cluster::Cluster;
use crate::state::definition::{DefinitionStatus, Spec, TaskDefinition};
use crate::state::kept::Kept;
use crate::state::task::{Task, TaskContainer, TaskInterface, TaskObserved, TaskStatus};

pub fn spec_of(request: aws::RegisterTaskDefinitionRequest) -> Spec {
    Spec {
        containers: Kept::keep(request.container_definitions),
        volumes: Kept::keep(request.volumes.unwrap_or_default()),
        task_role: request.task_role_arn.filter(|role| !role.is_empty()),
        execution_role: request.execution_role_arn.filter(|role| !role.is_empty()),
        network_mode: request.network_mode,
        placement_constraints: Kept::keep(request.placement_constraints.unwrap_or_default()),
        requires_compatibilities: request.requires_compatibilities.unwrap_or_default(),
        cpu: request.cpu.filter(|cpu| !cpu.is_empty()),
        memory: request.memory.filter(|memory| !memory.is_empty()),
        pid_mode: request.pid_mode.filter(|mode| !mode.is_empty()),
        ipc_mode: request.ipc_mode.filter(|mode| !mode.is_empty()),
        proxy_configuration: Kept::keep(request.proxy_configuration),
        inference_accelerators: Kept::keep(request.inference_accelerators),
        ephemeral_storage: Kept::keep(request.ephemeral_storage),
        runtime_platform: Kept::keep(request.runtime_platform),
        enable_fault_injection: request.enable_fault_injection,
        trusted_execution: Kept::keep(request.trusted_execution_configuration),
    }
}

pub fn definition(record: &TaskDefinition) -> aws::TaskDefinition {
    let spec = &record.spec;
    let (status, deregistered_at, delete_requested_at) = match record.status {
        DefinitionStatus::Active => ("ACTIVE", None, None),
        DefinitionStatus::Inactive { deregistered_at } => ("INACTIVE", Some(deregistered_at), None),
        DefinitionStatus::Deleting { deregistered_at, requested_at } => {
            ("DELETE_IN_PROGRESS", Some(deregistered_at), Some(requested_at))
        }
    };
    let required = capability::required(spec).into_iter();
    let required = required.map(|name| aws::Attribute { name, ..Default::default() }).collect();
    let needs = &spec.requires_compatibilities;
    aws::TaskDefinition {
        task_definition_arn: Some(record.arn().to_string()),
        container_definitions: Some(spec.containers.give()),
        family: Some(record.family.clone()),
        task_role_arn: spec.task_role.clone(),
        execution_role_arn: spec.execution_role.clone(),
        network_mode: spec.network_mode.clone(),
        revision: i32::try_from(record.revision).ok(),
        volumes: Some(spec.volumes.give()),
        status: Some(String::from(status)),
        requires_attributes: Some(required),
        placement_constraints: Some(spec.placement_constraints.give()),
        compatibilities: Some(capability::compatibilities(spec).into_iter().map(String::from).collect()),
        runtime_platform: spec.runtime_platform.give(),
        requires_compatibilities: (!needs.is_empty()).then(|| needs.clone()),
        cpu: spec.cpu.clone(),
        memory: spec.memory.clone(),
        inference_accelerators: spec.inference_accelerators.give(),
        pid_mode: spec.pid_mode.clone(),
        ipc_mode: spec.ipc_mode.clone(),
        proxy_configuration: spec.proxy_configuration.give(),
        registered_at: Some(record.registered_at),
        deregistered_at,
        delete_requested_at,
        registered_by: Some(record.registered_by.clone()),
        ephemeral_storage: spec.ephemeral_storage.give(),
        enable_fault_injection: spec.enable_fault_injection,
        trusted_execution_configuration: spec.trusted_execution.give(),
    }
}

/// Counts that a cluster shows; they come from its tasks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub running: usize,
    pub pending: usize,
}

pub fn cluster(record: &Cluster, counts: Counts) -> aws::Cluster {
    let number = |count: usize| i32::try_from(count).ok();
    aws::Cluster {
        cluster_arn: Some(record.arn().to_string()),
        cluster_name: Some(record.name.clone()),
        status: Some(String::from(if record.is_active() { "ACTIVE" } else { "INACTIVE" })),
        registered_container_instances_count: Some(0),
        running_tasks_count: number(counts.running),
        pending_tasks_count: number(counts.pending),
        active_services_count: Some(0),
        statistics: Some(Vec::new()),
        tags: Some(Vec::new()),
        settings: Some(Vec::new()),
        capacity_providers: Some(record.capacity_providers.clone()),
        default_capacity_provider_strategy: Some(Vec::new()),
        ..Default::default()
    }
}

pub fn tags(tags: &Tags) -> Vec<aws::Tag> {
    tags.iter().map(|(key, value)| aws::Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect()
}

pub fn task(record: &Task, status: &TaskStatus, seen: Option<&TaskObserved>, with_tags: bool) -> aws::Task {
    let state = &status.state;
    let milestones = state.milestones();
    let at = &record.at;
    let definition = format_args!("task-definition/{}:{}", record.family, record.revision);
    let (stop_code, stopped_reason) = stop_of(record, state);
    let arn = at.arn().to_string();
    let is_fargate = record.launch_type == LaunchType::Fargate;
    // Records of tasks that were started before this was written down have none.
    let storage = record.storage_gib.or(is_fargate.then_some(assign::FARGATE_STORAGE_GIB));
    let storage = storage.and_then(|gib| i32::try_from(gib).ok());
    aws::Task {
        attachments: Some(record.interface.iter().map(|it| attachment(it, state)).collect()),
        attributes: Some(vec![architecture(record)]),
        availability_zone: Some(record.zone.clone()),
        cluster_arn: Some(Cluster::arn_of(&at.account, &at.region, &at.cluster).to_string()),
        connectivity: milestones.connected_at.map(|_| String::from("CONNECTED")),
        connectivity_at: milestones.connected_at,
        container_instance_arn: record.container_instance.clone(),
        containers: Some(record.containers.iter().map(|c| container(record, c, state, seen)).collect()),
        cpu: Some(record.cpu.clone()),
        created_at: Some(record.created_at),
        desired_status: Some(String::from(desired_status(record, state))),
        enable_execute_command: Some(record.enable_execute_command),
        execution_stopped_at: milestones.execution_stopped_at,
        group: Some(record.group.clone()),
        health_status: Some(String::from(health_text(health(record, state, seen)))),
        last_status: Some(String::from(last_status(state))),
        launch_type: Some(String::from(launch_type_text(record.launch_type))),
        memory: Some(record.memory.clone()),
        overrides: Some(overrides(record)),
        platform_version: is_fargate.then(|| String::from(PLATFORM_VERSION)),
        platform_family: is_fargate.then(|| String::from("Linux")),
        pull_started_at: milestones.pull_started_at,
        pull_stopped_at: milestones.pull_stopped_at,
        started_at: milestones.started_at,
        started_by: record.started_by.clone(),
        stop_code: stop_code.map(|code| String::from(stop_code_text(code))),
        stopped_at: state.stopped_at(),
        stopped_reason,
        stopping_at: state.stop_cause().map(|stop| stop.stopping_at),
        tags: Some(if with_tags { tags(&record.tags) } else { Vec::new() }),
        task_arn: Some(arn),
        task_definition_arn: Some(
            base::Arn::new("ecs", at.region.as_str(), &at.account, definition).to_string(),
        ),
        version: i64::try_from(status.version).ok(),
        ephemeral_storage: storage.map(|size_in_gi_b| aws::EphemeralStorage { size_in_gi_b }),
        fargate_ephemeral_storage: storage
            .filter(|_| is_fargate)
            .map(|gib| aws::TaskEphemeralStorage { size_in_gi_b: Some(gib), kms_key_id: None }),
        ..Default::default()
    }
}

/// AWS: what LATEST means for Linux.
pub const PLATFORM_VERSION: &str = "1.4.0";

/// AWS: a task that ends by itself is wanted stopped, too.
pub fn desired_status(record: &Task, state: &State) -> &'static str {
    match record.goal {
        Goal::Stopped { .. } => "STOPPED",
        Goal::Running if state.stop_cause().is_some() => "STOPPED",
        Goal::Running => "RUNNING",
    }
}

fn last_status(state: &State) -> &'static str {
    match state {
        State::Provisioning => "PROVISIONING",
        State::Pending { .. } => "PENDING",
        State::Activating { .. } => "ACTIVATING",
        State::Running { .. } => "RUNNING",
        State::Deactivating { .. } => "DEACTIVATING",
        State::Stopping { .. } => "STOPPING",
        State::Deprovisioning { .. } => "DEPROVISIONING",
        State::Stopped { .. } => "STOPPED",
    }
}

fn stop_code_text(code: StopCode) -> &'static str {
    match code {
        StopCode::TaskFailedToStart => "TaskFailedToStart",
        StopCode::EssentialContainerExited => "EssentialContainerExited",
        StopCode::UserInitiated => "UserInitiated",
        StopCode::ServiceSchedulerInitiated => "ServiceSchedulerInitiated",
        StopCode::SpotInterruption => "SpotInterruption",
        StopCode::TerminationNotice => "TerminationNotice",
    }
}

/// The decided cause of an end, or else what its owner said: StopTask's own answer shows it.
fn stop_of(record: &Task, state: &State) -> (Option<StopCode>, Option<String>) {
    match (state.stop_cause(), &record.goal) {
        (Some(stop), _) => (Some(stop.code), Some(stop.reason.clone())),
        (None, Goal::Stopped { code, reason }) => (Some(*code), Some(reason.clone())),
        (None, Goal::Running) => (None, None),
    }
}

fn attachment(interface: &TaskInterface, state: &State) -> aws::Attachment {
    let status = match state {
        State::Provisioning => "PRECREATED",
        State::Pending { .. }
        | State::Activating { .. }
        | State::Running { .. }
        | State::Deactivating { .. }
        | State::Stopping { .. } => "ATTACHED",
        State::Deprovisioning { .. } => "DETACHING",
        State::Stopped { .. } => "DELETED",
    };
    let address = interface.address.to_string();
    let details = [
        ("subnetId", interface.subnet.as_str()),
        ("networkInterfaceId", &interface.eni),
        ("macAddress", &interface.mac),
        ("privateDnsName", &interface.private_dns_name),
        ("privateIPv4Address", &address),
    ];
    let details = details.map(|(name, value)| aws::KeyValuePair {
        name: Some(String::from(name)),
        value: Some(String::from(value)),
    });
    aws::Attachment {
        id: Some(interface.attachment.clone()),
        r#type: Some(String::from("ElasticNetworkInterface")),
        status: Some(String::from(status)),
        details: Some(details.to_vec()),
    }
}

fn architecture(record: &Task) -> aws::Attribute {
    aws::Attribute {
        name: String::from("ecs.cpu-architecture"),
        value: Some(record.architecture.to_ascii_lowercase()),
        ..Default::default()
    }
}

/// AWS: every container is named in the overrides, changed or not.
fn overrides(record: &Task) -> aws::TaskOverride {
    let mut shape = record.overrides.give();
    let given = shape.container_overrides.take().unwrap_or_default();
    let all = record.containers.iter().map(|container| {
        let found = given.iter().find(|change| change.name.as_deref() == Some(&container.name));
        found.cloned().unwrap_or_else(|| aws::ContainerOverride {
            name: Some(container.name.clone()),
            ..Default::default()
        })
    });
    shape.container_overrides = Some(all.collect());
    shape.inference_accelerator_overrides.get_or_insert_default();
    shape
}

fn container(record: &Task, c: &TaskContainer, state: &State, seen: Option<&TaskObserved>) -> aws::Container {
    let at = &record.at;
    let seen = seen_of(c, seen);
    let found = Container::of(seen, state);
    let (last_status, exit_code, reason) = match &found {
        Container::Pending => ("PENDING", None, None),
        Container::Running { .. } => ("RUNNING", None, None),
        Container::Stopped { exit_code, reason } => ("STOPPED", *exit_code, reason.clone()),
    };
    let resource = format_args!("container/{}/{}/{}", at.cluster, at.id, c.id);
    let interface = record.interface.iter().map(|interface| aws::NetworkInterface {
        attachment_id: Some(interface.attachment.clone()),
        private_ipv4_address: Some(interface.address.to_string()),
        ipv6_address: None,
    });
    // AWS: where the task has an address of its own, no port of the host leads to it.
    let bindings = seen.filter(|_| record.network_mode != NetworkMode::Awsvpc);
    let bindings = bindings.iter().flat_map(|seen| &seen.bindings).map(binding);
    aws::Container {
        container_arn: Some(base::Arn::new("ecs", at.region.as_str(), &at.account, resource).to_string()),
        task_arn: Some(at.arn().to_string()),
        name: Some(c.name.clone()),
        image: Some(c.image.clone()),
        image_digest: seen.and_then(|seen| seen.image_digest.clone()),
        runtime_id: seen.and_then(|seen| seen.runtime_id.clone()),
        last_status: Some(String::from(last_status)),
        exit_code,
        reason,
        network_bindings: Some(bindings.collect()),
        network_interfaces: Some(interface.collect()),
        health_status: Some(String::from(health_text(health_of(c, seen)))),
        managed_agents: record.enable_execute_command.then(|| vec![execute_command_agent(&found)]),
        cpu: Some(c.cpu.to_string()),
        memory: c.memory.map(|mib| mib.to_string()),
        memory_reservation: c.memory_reservation.map(|mib| mib.to_string()),
        gpu_ids: (!c.gpus.is_empty()).then(|| c.gpus.clone()),
        ..Default::default()
    }
}

fn seen_of<'a>(c: &TaskContainer, seen: Option<&'a TaskObserved>) -> Option<&'a ContainerObservation> {
    seen?.observation.containers.iter().find(|found| found.name == c.name)
}

fn binding(binding: &Binding) -> aws::NetworkBinding {
    let protocol = Some(binding.protocol.clone());
    let bind_ip = Some(binding.bind_ip.clone());
    match binding.last {
        None => aws::NetworkBinding {
            bind_ip,
            protocol,
            container_port: Some(i32::from(binding.container_port)),
            host_port: Some(i32::from(binding.host_port)),
            ..Default::default()
        },
        Some((container, host)) => aws::NetworkBinding {
            bind_ip,
            protocol,
            container_port_range: Some(format!("{}-{container}", binding.container_port)),
            host_port_range: Some(format!("{}-{host}", binding.host_port)),
            ..Default::default()
        },
    }
}

/// AWS: the agent that ExecuteCommand speaks to stands and falls with its container.
fn execute_command_agent(container: &Container) -> aws::ManagedAgent {
    let (status, last_started_at) = match container {
        Container::Pending => ("PENDING", None),
        Container::Running { started_at } => ("RUNNING", Some(*started_at)),
        Container::Stopped { .. } => ("STOPPED", None),
    };
    aws::ManagedAgent {
        name: Some(String::from("ExecuteCommandAgent")),
        last_status: Some(String::from(status)),
        last_started_at,
        reason: None,
    }
}

fn health_of(c: &TaskContainer, seen: Option<&ContainerObservation>) -> HealthStatus {
    let health = seen.filter(|_| c.has_health_check).and_then(|seen| seen.health.as_ref());
    health.map(|health| health.status).unwrap_or_default()
}

/// AWS: the essential containers that are looked at decide. One that is unwell makes the task so;
/// it is well when all of them are.
fn health(record: &Task, state: &State, seen: Option<&TaskObserved>) -> HealthStatus {
    if state.has_ended() {
        return HealthStatus::Unknown;
    }
    let looked_at = record.containers.iter().filter(|c| c.is_essential && c.has_health_check);
    let all: Vec<HealthStatus> = looked_at.map(|c| health_of(c, seen_of(c, seen))).collect();
    if all.contains(&HealthStatus::Unhealthy) {
        HealthStatus::Unhealthy
    } else if !all.is_empty() && all.iter().all(|health| *health == HealthStatus::Healthy) {
        HealthStatus::Healthy
    } else {
        HealthStatus::Unknown
    }
}

fn health_text(health: HealthStatus) -> &'static str {
    match health {
        HealthStatus::Unknown => "UNKNOWN",
        HealthStatus::Healthy => "HEALTHY",
        HealthStatus::Unhealthy => "UNHEALTHY",
    }
}

pub fn launch_type_text(launch_type: LaunchType) -> &'static str {
    match launch_type {
        LaunchType::Fargate => "FARGATE",
        LaunchType::Ec2 => "EC2",
        LaunchType::External => "EXTERNAL",
    }
}
