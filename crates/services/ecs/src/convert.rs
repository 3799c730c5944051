//! Shapes to records and back. The only place where AWS's status texts are spelled.

use aws_ecs as aws;
use base::Tags;
use core_lifecycle::{Container, Goal, StopCode, Task as State};

use crate::behaviour::{assign, capability};
use crate::state::cluster::Cluster;
use crate::state::definition::{DefinitionStatus, Spec, TaskDefinition};
use crate::state::kept::Kept;
use crate::state::task::{Task, TaskContainer, TaskObserved, TaskStatus};

/// AWS: ephemeral storage of a Fargate task that asks for none.
const STORAGE_GIB: i32 = 20;

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
    aws::Task {
        attachments: Some(vec![attachment(record, state)]),
        attributes: Some(vec![architecture(record)]),
        availability_zone: Some(record.zone.clone()),
        cluster_arn: Some(Cluster::arn_of(&at.account, &at.region, &at.cluster).to_string()),
        connectivity: milestones.connected_at.map(|_| String::from("CONNECTED")),
        connectivity_at: milestones.connected_at,
        containers: Some(record.containers.iter().map(|c| container(record, c, state, seen)).collect()),
        cpu: Some(record.cpu.clone()),
        created_at: Some(record.created_at),
        desired_status: Some(String::from(desired_status(record, state))),
        enable_execute_command: Some(false),
        execution_stopped_at: milestones.execution_stopped_at,
        group: Some(record.group.clone()),
        health_status: Some(String::from("UNKNOWN")),
        last_status: Some(String::from(last_status(state))),
        launch_type: Some(String::from("FARGATE")),
        memory: Some(record.memory.clone()),
        overrides: Some(overrides(record)),
        platform_version: Some(String::from(PLATFORM_VERSION)),
        platform_family: Some(String::from("Linux")),
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
        ephemeral_storage: Some(aws::EphemeralStorage { size_in_gi_b: STORAGE_GIB }),
        fargate_ephemeral_storage: Some(aws::TaskEphemeralStorage {
            size_in_gi_b: Some(STORAGE_GIB),
            kms_key_id: None,
        }),
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

fn attachment(record: &Task, state: &State) -> aws::Attachment {
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
    let interface = &record.interface;
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
    let seen = seen.and_then(|seen| seen.observation.containers.iter().find(|found| found.name == c.name));
    let (last_status, exit_code, reason) = match Container::of(seen, state) {
        Container::Pending => ("PENDING", None, None),
        Container::Running { .. } => ("RUNNING", None, None),
        Container::Stopped { exit_code, reason } => ("STOPPED", exit_code, reason),
    };
    let resource = format_args!("container/{}/{}/{}", at.cluster, at.id, c.id);
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
        network_bindings: Some(Vec::new()),
        network_interfaces: Some(vec![aws::NetworkInterface {
            attachment_id: Some(record.interface.attachment.clone()),
            private_ipv4_address: Some(record.interface.address.to_string()),
            ipv6_address: None,
        }]),
        health_status: Some(String::from("UNKNOWN")),
        cpu: Some(c.cpu.to_string()),
        memory: c.memory.map(|mib| mib.to_string()),
        memory_reservation: c.memory_reservation.map(|mib| mib.to_string()),
        ..Default::default()
    }
}

/// The architecture of a definition's tasks, for their records.
pub fn architecture_of(spec: &Spec) -> String {
    String::from(assign::architecture(spec))
}
