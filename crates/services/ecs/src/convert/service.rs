//! Services, their deployments and revisions as the API shows them.

use std::sync::Arc;

use aws_ecs as aws;
use base::Arn;
use core_lifecycle::LaunchType;
use core_rollout::shift::{HookRun, HookState};

use super::service_settings::{self, stage_text};
use crate::convert;
use crate::state::cluster::Cluster;
use crate::state::definition::TaskDefinition;
use crate::state::deployment::{Deployment, DeploymentState, StopType};
use crate::state::event::Event;
use crate::state::kept::Kept;
use crate::state::revision::Revision;
use crate::state::service::{Counts, Propagate, Service, ServiceId, ServiceStatus, State};

/// A service with what its answer is made of.
pub struct Seen {
    pub service: Arc<Service>,
    pub status: Arc<ServiceStatus>,
    /// The revision that is wanted first, then others that have tasks or are being taken away, newest
    /// first; each with the deployment that brought it.
    pub revisions: Vec<(Arc<Revision>, Arc<Deployment>)>,
    /// The newest deployment, which may be going back to an older revision.
    pub newest: Arc<Deployment>,
    /// Newest first.
    pub events: Vec<Arc<Event>>,
}

/// AWS: the role in which ECS acts for services.
fn linked_role(at: &ServiceId) -> String {
    let role = "role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS";
    Arn::new("iam", "", &at.account, format_args!("{role}")).to_string()
}

fn number(value: u32) -> Option<i32> {
    i32::try_from(value).ok()
}

fn cluster_arn(at: &ServiceId) -> String {
    Cluster::arn_of(&at.account, &at.region, &at.cluster).to_string()
}

fn definition_arn(revision: &Revision) -> String {
    let at = &revision.at;
    let resource = format_args!("task-definition/{}:{}", revision.family, revision.revision);
    Arn::new("ecs", at.region.as_str(), &at.account, resource).to_string()
}

/// AWS: platforms are Fargate's; none said means the newest.
fn platform(revision: &Revision) -> (Option<String>, Option<String>) {
    let is_fargate = revision.launch_type == LaunchType::Fargate;
    let version = revision.platform_version.clone().unwrap_or_else(|| String::from("LATEST"));
    (is_fargate.then_some(version), is_fargate.then(|| String::from("Linux")))
}

pub fn status_text(service: &Service, status: &ServiceStatus) -> &'static str {
    match status.state {
        State::Inactive { .. } => "INACTIVE",
        State::Draining => "DRAINING",
        State::Active if service.deleted_at.is_some() => "DRAINING",
        State::Active => "ACTIVE",
    }
}

pub fn service(seen: &Seen, with_tags: bool) -> aws::Service {
    let Seen { service, status, revisions, newest, events } = seen;
    let at = &service.at;
    let sum = |count: fn(&Counts) -> u32| number(status.counts.values().map(count).sum());
    let current = revisions.first().map(|(revision, _)| revision);
    let (platform_version, platform_family) = current.map(|it| platform(it)).unwrap_or_default();
    let network = current.and_then(|revision| revision.network.give());
    let balancers = current.map(|revision| revision.balancers.give()).unwrap_or_default();
    let is_linked = network.is_some() || !balancers.is_empty();
    let text = |text: &str| Some(String::from(text));
    aws::Service {
        service_arn: Some(at.arn().to_string()),
        service_name: Some(at.name.clone()),
        cluster_arn: Some(cluster_arn(at)),
        load_balancers: Some(balancers),
        service_registries: Some(Vec::new()),
        status: text(status_text(service, status)),
        desired_count: number(service.desired),
        running_count: sum(|counts| counts.running),
        pending_count: sum(|counts| counts.pending),
        launch_type: current.map(|it| String::from(convert::launch_type_text(it.launch_type))),
        platform_version,
        platform_family,
        task_definition: current.map(|revision| definition_arn(revision)),
        deployment_configuration: Some(service_settings::shape(&service.deployment)),
        deployments: Some(deployments(seen)),
        role_arn: is_linked.then(|| linked_role(at)),
        events: Some(events.iter().map(|event| self::event(event)).collect()),
        created_at: Some(service.created_at),
        current_service_deployment: Some(newest.arn().to_string()),
        current_service_revisions: Some(
            revisions.iter().map(|(revision, _)| current_revision(seen, revision)).collect(),
        ),
        placement_constraints: Some(Vec::new()),
        placement_strategy: Some(Vec::new()),
        network_configuration: network,
        health_check_grace_period_seconds: number(service.grace_seconds),
        scheduling_strategy: text("REPLICA"),
        deployment_controller: Some(aws::DeploymentController { r#type: String::from("ECS") }),
        tags: Some(if with_tags { convert::tags(&service.tags) } else { Vec::new() }),
        created_by: Some(service.created_by.clone()),
        enable_ecs_managed_tags: Some(service.has_managed_tags),
        propagate_tags: text(match service.propagate {
            Propagate::Nothing => "NONE",
            Propagate::TaskDefinition => "TASK_DEFINITION",
            Propagate::Service => "SERVICE",
        }),
        enable_execute_command: Some(service.enable_execute_command),
        availability_zone_rebalancing: text(if service.is_rebalanced { "ENABLED" } else { "DISABLED" }),
        resource_management_type: text("CUSTOMER"),
        ..Default::default()
    }
}

fn event(event: &Event) -> aws::ServiceEvent {
    aws::ServiceEvent {
        id: Some(event.id.clone()),
        created_at: Some(event.created_at),
        message: Some(event.message.clone()),
    }
}

fn counts(status: &ServiceStatus, revision: &str) -> Counts {
    status.counts.get(revision).copied().unwrap_or_default()
}

/// How many tasks of a revision are asked for: all of the desired ones of the one that is wanted,
/// of another as many as it has left.
fn requested(seen: &Seen, revision: &Revision) -> u32 {
    let Counts { pending, running } = counts(&seen.status, &revision.id);
    if revision.id == seen.service.revision {
        seen.service.desired
    } else {
        (pending + running).min(seen.service.desired)
    }
}

fn current_revision(seen: &Seen, revision: &Revision) -> aws::ServiceCurrentRevisionSummary {
    let Counts { pending, running } = counts(&seen.status, &revision.id);
    aws::ServiceCurrentRevisionSummary {
        arn: Some(revision.arn().to_string()),
        requested_task_count: number(requested(seen, revision)),
        running_task_count: number(running),
        pending_task_count: number(pending),
    }
}

fn deployments(seen: &Seen) -> Vec<aws::Deployment> {
    let show = |(nth, (revision, deployment)): (usize, &(Arc<Revision>, Arc<Deployment>))| {
        let Counts { pending, running } = counts(&seen.status, &revision.id);
        let (platform_version, platform_family) = platform(revision);
        let (state, reason) = rollout(&seen.newest, revision, deployment);
        aws::Deployment {
            id: Some(revision.started_by()),
            status: Some(String::from(if nth == 0 { "PRIMARY" } else { "ACTIVE" })),
            task_definition: Some(definition_arn(revision)),
            desired_count: number(requested(seen, revision)),
            pending_count: number(pending),
            running_count: number(running),
            failed_tasks: number(deployment.failed),
            created_at: Some(deployment.created_at),
            updated_at: Some(deployment.updated_at),
            launch_type: Some(String::from(convert::launch_type_text(revision.launch_type))),
            platform_version,
            platform_family,
            network_configuration: revision.network.give(),
            rollout_state: Some(String::from(state)),
            rollout_state_reason: Some(reason),
            ..Default::default()
        }
    };
    match seen.status.state {
        // AWS: nothing is left of them.
        State::Inactive { .. } => Vec::new(),
        State::Active | State::Draining => seen.revisions.iter().enumerate().map(show).collect(),
    }
}

/// AWS: what deployments say of themselves.
fn rollout(newest: &Deployment, revision: &Revision, own: &Deployment) -> (&'static str, String) {
    let id = revision.started_by();
    let back = newest.rollback.as_ref().filter(|back| back.revision.as_deref() == Some(&revision.id));
    // A revision that is gone back to stands as the deployment that goes back does.
    if back.is_some() && newest.target != revision.id {
        return match newest.state {
            DeploymentState::RollbackSuccessful => ("COMPLETED", format!("ECS deployment {id} completed.")),
            DeploymentState::RollbackFailed => ("FAILED", format!("ECS deployment {id} failed.")),
            DeploymentState::Pending
            | DeploymentState::InProgress
            | DeploymentState::StopRequested
            | DeploymentState::Stopped
            | DeploymentState::RollbackRequested
            | DeploymentState::RollbackInProgress
            | DeploymentState::Successful => {
                let by = if newest.breaker_tripped_at.is_some() { "circuit breaker" } else { "rollback" };
                ("IN_PROGRESS", format!("ECS deployment {by}: rolling back to deploymentId {id}."))
            }
        };
    }
    match own.state {
        DeploymentState::Pending | DeploymentState::InProgress => {
            ("IN_PROGRESS", format!("ECS deployment {id} in progress."))
        }
        DeploymentState::Successful => ("COMPLETED", format!("ECS deployment {id} completed.")),
        DeploymentState::StopRequested
        | DeploymentState::Stopped
        | DeploymentState::RollbackRequested
        | DeploymentState::RollbackInProgress
        | DeploymentState::RollbackSuccessful
        | DeploymentState::RollbackFailed => {
            let reason = if own.breaker_tripped_at.is_some() {
                Some(String::from("ECS deployment circuit breaker: tasks failed to start."))
            } else {
                own.reason.clone()
            };
            ("FAILED", reason.unwrap_or_else(|| format!("ECS deployment {id} failed.")))
        }
    }
}

/// Whether nobody has asked for its end yet, and none has come.
pub fn can_be_stopped(deployment: &Deployment) -> bool {
    let is_moving = matches!(deployment.state, DeploymentState::Pending | DeploymentState::InProgress);
    is_moving && deployment.asked.stop.is_none()
}

pub fn deployment_state(deployment: &Deployment) -> &'static str {
    match deployment.state {
        // What was asked shows at once.
        DeploymentState::Pending | DeploymentState::InProgress if deployment.asked.stop.is_some() => {
            match deployment.asked.stop {
                Some(StopType::Rollback) => "ROLLBACK_REQUESTED",
                Some(StopType::Abort) | None => "STOP_REQUESTED",
            }
        }
        DeploymentState::Pending => "PENDING",
        DeploymentState::InProgress => "IN_PROGRESS",
        DeploymentState::StopRequested => "STOP_REQUESTED",
        DeploymentState::Stopped => "STOPPED",
        DeploymentState::RollbackRequested => "ROLLBACK_REQUESTED",
        DeploymentState::RollbackInProgress => "ROLLBACK_IN_PROGRESS",
        DeploymentState::RollbackSuccessful => "ROLLBACK_SUCCESSFUL",
        DeploymentState::RollbackFailed => "ROLLBACK_FAILED",
        DeploymentState::Successful => "SUCCESSFUL",
    }
}

pub fn brief(deployment: &Deployment) -> aws::ServiceDeploymentBrief {
    let at = &deployment.at;
    aws::ServiceDeploymentBrief {
        service_deployment_arn: Some(deployment.arn().to_string()),
        service_arn: Some(at.arn().to_string()),
        cluster_arn: Some(cluster_arn(at)),
        started_at: deployment.started_at,
        created_at: Some(deployment.created_at),
        finished_at: deployment.finished_at,
        target_service_revision_arn: Some(revision_arn(at, &deployment.target)),
        status: Some(String::from(deployment_state(deployment))),
        status_reason: deployment.reason.clone(),
    }
}

fn revision_arn(at: &ServiceId, id: &str) -> String {
    at.arn_of("service-revision", Some(id)).to_string()
}

/// A deployment; `standing` is how its service stands while it has tasks.
pub fn deployment(record: &Deployment, service: &Service, status: &ServiceStatus) -> aws::ServiceDeployment {
    let at = &record.at;
    let weights = record.shift.as_ref().map(|shift| shift.weights);
    let summary = |id: &str, is_target: bool| {
        let Counts { pending, running } = counts(status, id);
        let requested =
            if id == service.revision { service.desired } else { (pending + running).min(service.desired) };
        let has_rest = record.shift.as_ref().is_some_and(|shift| shift.source.as_deref() == Some(id));
        let share = |weight: f64| match (is_target, has_rest) {
            (true, _) => weight,
            (false, true) => 100.0 - weight,
            (false, false) => 0.0,
        };
        aws::ServiceRevisionSummary {
            arn: Some(revision_arn(at, id)),
            requested_task_count: number(requested),
            running_task_count: number(running),
            pending_task_count: number(pending),
            requested_test_traffic_weight: weights.map(|weights| share(weights.test)),
            requested_production_traffic_weight: weights.map(|weights| share(weights.production)),
        }
    };
    let shift = record.shift.as_ref();
    aws::ServiceDeployment {
        service_deployment_arn: Some(record.arn().to_string()),
        service_arn: Some(at.arn().to_string()),
        cluster_arn: Some(cluster_arn(at)),
        created_at: Some(record.created_at),
        started_at: record.started_at,
        finished_at: record.finished_at.filter(|_| record.state != DeploymentState::Stopped),
        stopped_at: record.finished_at.filter(|_| record.state == DeploymentState::Stopped),
        updated_at: Some(record.updated_at),
        source_service_revisions: Some(record.sources.iter().map(|id| summary(id, false)).collect()),
        target_service_revision: Some(summary(&record.target, true)),
        status: Some(String::from(deployment_state(record))),
        status_reason: record.reason.clone(),
        lifecycle_stage: shift.map(|shift| String::from(stage_text(shift.stage))),
        lifecycle_hook_details: shift
            .filter(|shift| !shift.hooks.is_empty())
            .map(|shift| shift.hooks.iter().map(hook).collect()),
        deployment_configuration: Some(service_settings::shape(&record.settings)),
        rollback: record.rollback.as_ref().map(|back| aws::Rollback {
            reason: Some(back.reason.clone()),
            started_at: Some(back.started_at),
            service_revision_arn: back.revision.as_deref().map(|id| revision_arn(at, id)),
        }),
        deployment_circuit_breaker: Some(circuit_breaker(record, service.desired)),
        alarms: Some(aws::ServiceDeploymentAlarms {
            status: Some(String::from("DISABLED")),
            ..Default::default()
        }),
    }
}

fn circuit_breaker(record: &Deployment, desired: u32) -> aws::ServiceDeploymentCircuitBreaker {
    let breaker = record.settings.breaker.filter(|breaker| breaker.is_enabled);
    let status = match breaker {
        None => "DISABLED",
        Some(_) if record.breaker_tripped_at.is_some() => "TRIGGERED",
        Some(_) if record.state.is_over() => "MONITORING_COMPLETE",
        Some(_) => "MONITORING",
    };
    let threshold = breaker.and_then(|breaker| breaker.threshold).unwrap_or_default();
    aws::ServiceDeploymentCircuitBreaker {
        status: Some(String::from(status)),
        failure_count: number(record.counted),
        threshold: number(threshold.failures(desired)),
    }
}

fn hook(run: &HookRun) -> aws::DeploymentLifecycleHookDetail {
    aws::DeploymentLifecycleHookDetail {
        hook_id: Some(run.id.clone()),
        target_type: Some(String::from("PAUSE")),
        target_arn: None,
        status: Some(String::from(match run.state {
            HookState::Awaiting => "AWAITING_ACTION",
            HookState::Succeeded => "SUCCEEDED",
            HookState::Failed => "FAILED",
            HookState::TimedOut => "TIMED_OUT",
        })),
        expires_at: run.expires_at,
        timeout_action: Some(String::from(if run.continues { "CONTINUE" } else { "ROLLBACK" })),
    }
}

pub fn revision(record: &Revision, definition: Option<&TaskDefinition>) -> aws::ServiceRevision {
    let at = &record.at;
    let (platform_version, platform_family) = platform(record);
    let containers = definition.map(|definition| definition.spec.containers.as_slice()).unwrap_or_default();
    let images = containers.iter().map(|container| aws::ContainerImage {
        container_name: Some(String::from(container.name())),
        image_digest: record.digests.get(container.name()).cloned(),
        image: container.image.clone(),
    });
    let resolved = record.balancers.iter().map(|balancer| aws::ServiceRevisionLoadBalancer {
        target_group_arn: balancer.target_group_arn.clone(),
        production_listener_rule: balancer
            .advanced_configuration
            .as_ref()
            .and_then(|advanced| advanced.production_listener_rule.clone()),
    });
    let resolved: Vec<_> = resolved.collect();
    aws::ServiceRevision {
        service_revision_arn: Some(record.arn().to_string()),
        service_arn: Some(at.arn().to_string()),
        cluster_arn: Some(cluster_arn(at)),
        task_definition: Some(definition_arn(record)),
        launch_type: Some(String::from(convert::launch_type_text(record.launch_type))),
        platform_version: platform_version.map(|version| {
            if version == "LATEST" { String::from(convert::PLATFORM_VERSION) } else { version }
        }),
        platform_family,
        load_balancers: Some(record.balancers.give()),
        network_configuration: record.network.give(),
        container_images: Some(images.collect()),
        guard_duty_enabled: Some(false),
        created_at: Some(record.created_at),
        resolved_configuration: (!resolved.is_empty())
            .then(|| aws::ResolvedConfiguration { load_balancers: Some(resolved), ..Default::default() }),
        ..Default::default()
    }
}
