//! UpdateService: what changes a service as it is, and what starts a deployment.

use ::service::{Origin, Tx};
use aws_ecs as aws;
use base::Fault;

use super::service::{self, asked_now};
use super::service_checks::Asked;
use super::{cluster, run_task, service_checks, service_describe, task_definition};
use crate::behaviour::check;
use crate::convert::service_settings;
use crate::faults::service::ServiceError;
use crate::faults::{DefinitionError, RunError};
use crate::state::revision::Revision;
use crate::state::service::{Service, ServiceStatus};

/// What UpdateService acts on. A few are looked at by their values.
pub const ACTS: &[&str] = &[
    "cluster",
    "service",
    "desiredCount",
    "taskDefinition",
    "deploymentConfiguration",
    "availabilityZoneRebalancing",
    "networkConfiguration",
    "platformVersion",
    "forceNewDeployment",
    "healthCheckGracePeriodSeconds",
    "deploymentController",
    "enableExecuteCommand",
    "enableECSManagedTags",
    "loadBalancers.targetGroupArn",
    "loadBalancers.containerName",
    "loadBalancers.containerPort",
    "loadBalancers.advancedConfiguration",
    "propagateTags",
];

pub fn update(
    tx: &mut Tx<'_>,
    request: aws::UpdateServiceRequest,
) -> Result<aws::UpdateServiceResponse, Fault> {
    let cluster = cluster::find(tx, tx.caller, request.cluster.as_deref())?;
    let found = service_describe::find(tx, &cluster, &request.service)?.ok_or(ServiceError::Missing)?;
    if found.deleted_at.is_some() {
        return Err(ServiceError::NotActive.into());
    }
    service::controller(request.deployment_controller.as_ref())?;
    let mut service = (*found).clone();
    let revision = tx.get::<Revision>(&Revision::key_of(&service.at, &service.revision));
    let revision = revision.ok_or(ServiceError::Missing)?;
    change(&mut service, &request)?;
    let definition = match request.task_definition.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => service::definition(tx, name)?,
        None => {
            let name = format!("{}:{}", revision.family, revision.revision);
            let found = task_definition::find(tx, tx.caller, &name);
            found.ok_or(DefinitionError::Missing)?
        }
    };
    // Whatever is told here may start tasks.
    if let Origin::Task { .. } = tx.caller.origin
        && let Some(what) = check::host_access(&definition.spec)
    {
        return Err(RunError::FromTask(what).into());
    }
    let mut asked = asked_now(&revision, &service, definition);
    let before = (asked.definition.family.clone(), asked.definition.revision);
    let is_other_definition = before != (revision.family.clone(), revision.revision);
    let is_forced = request.force_new_deployment == Some(true);
    let is_deployed = is_forced | is_other_definition | replace(&mut asked, &request);
    if is_deployed || service.deployment.strategy != found.deployment.strategy {
        if is_other_definition {
            let name = crate::convert::launch_type_text(asked.launch_type);
            run_task::launch_type(Some(name), &asked.definition.spec)?;
        }
        service_checks::check(tx, &asked)?;
    } else if service.enable_execute_command {
        service_checks::exec(&asked)?;
    }
    if is_deployed {
        let sources = sources(tx, &service);
        service::deploy(tx, &mut service, asked, sources);
    }
    tx.put(service.clone());
    Ok(aws::UpdateServiceResponse { service: service_describe::shape(tx, &service, true) })
}

/// What starts a deployment beside the definition; says whether any of it is new. AWS: an empty list
/// of balancers takes them away.
fn replace(asked: &mut Asked, request: &aws::UpdateServiceRequest) -> bool {
    let mut is_new = false;
    if let Some(version) = request.platform_version.clone().filter(|version| !version.is_empty()) {
        is_new |= asked.platform_version.as_deref().unwrap_or("LATEST") != version;
        asked.platform_version = Some(version);
    }
    if request.network_configuration.is_some() {
        let network = service::network(request.network_configuration.clone());
        is_new |= asked.network != network;
        asked.network = network;
    }
    if let Some(balancers) = request.load_balancers.clone() {
        let balancers = service::balancers(balancers);
        is_new |= asked.balancers != balancers;
        asked.balancers = balancers;
    }
    is_new
}

/// What a service is told that needs no deployment.
fn change(service: &mut Service, request: &aws::UpdateServiceRequest) -> Result<(), Fault> {
    if let Some(count) = service::count(request.desired_count)? {
        service.desired = count;
    }
    if let Some(grace) = service::grace(request.health_check_grace_period_seconds)? {
        service.grace_seconds = grace;
    }
    service.deployment =
        service_settings::settings(request.deployment_configuration.clone(), service.deployment.clone())?;
    service.is_rebalanced = service::rebalancing(
        request.availability_zone_rebalancing.as_deref(),
        Some(service.is_rebalanced),
        service.deployment.maximum_percent,
    )?;
    if request.propagate_tags.is_some() {
        service.propagate = service::propagate(request.propagate_tags.as_deref())?;
    }
    if let Some(has) = request.enable_ecs_managed_tags {
        service.has_managed_tags = has;
    }
    if let Some(is_enabled) = request.enable_execute_command {
        service.enable_execute_command = is_enabled;
    }
    Ok(())
}

/// The revisions that have tasks, newest first; the one that was wanted even where it has none.
fn sources(tx: &Tx<'_>, service: &Service) -> Vec<String> {
    let at = &service.at;
    let status = tx.get::<ServiceStatus>(&at.key());
    let counts = status.iter().flat_map(|status| &status.counts);
    let with_tasks = counts.filter(|(_, counts)| counts.pending + counts.running > 0).map(|(id, _)| id);
    let mut ids: Vec<&String> = with_tasks.filter(|id| **id != service.revision).collect();
    ids.push(&service.revision);
    let mut revisions: Vec<_> =
        ids.into_iter().filter_map(|id| tx.get::<Revision>(&Revision::key_of(at, id))).collect();
    revisions.sort_by_key(|revision| std::cmp::Reverse(revision.created_at));
    revisions.into_iter().map(|revision| revision.id.clone()).collect()
}
