//! Services: CreateService, DeleteService; and what creating and updating one share.

use std::sync::Arc;

use aws_ecs as aws;
use base::{Fault, Tags};
use core_lifecycle::LaunchType;
use service::Tx;
use sha2::{Digest as _, Sha256};
use store::{Key, Record};

use super::service_checks::{self, Asked};
use super::{cluster, service_describe, tag, task_definition};
use crate::behaviour::naming::is_name;
use crate::behaviour::service::{MOST_TASKS, defaults};
use crate::behaviour::wake;
use crate::convert::service_settings;
use crate::faults::service::ServiceError;
use crate::faults::{DefinitionError, RunError};
use crate::state::definition::TaskDefinition;
use crate::state::deployment::{Deployment, DeploymentState, SUPERSEDED, UNDER_WAY};
use crate::state::event::Event;
use crate::state::kept::Kept;
use crate::state::member::Member;
use crate::state::revision::Revision;
use crate::state::service::{
    BY_TOKEN, LoadBalancer, NetworkConfiguration, Propagate, Service, ServiceId, ServiceStatus, State,
};

/// What CreateService acts on. A few are looked at by their values.
pub const CREATE: &[&str] = &[
    "cluster",
    "serviceName",
    "taskDefinition",
    "availabilityZoneRebalancing",
    "loadBalancers.targetGroupArn",
    "loadBalancers.containerName",
    "loadBalancers.containerPort",
    "loadBalancers.advancedConfiguration",
    "desiredCount",
    "clientToken",
    "launchType",
    "platformVersion",
    "role",
    "deploymentConfiguration",
    "networkConfiguration",
    "healthCheckGracePeriodSeconds",
    "schedulingStrategy",
    "deploymentController",
    "tags",
    "enableECSManagedTags",
    "propagateTags",
    "enableExecuteCommand",
];

pub fn create(
    tx: &mut Tx<'_>,
    request: aws::CreateServiceRequest,
) -> Result<aws::CreateServiceResponse, Fault> {
    let said = said(&request);
    let cluster = cluster::find(tx, tx.caller, request.cluster.as_deref())?;
    if !is_name(&request.service_name) {
        return Err(ServiceError::Name.into());
    }
    let (account, region) = (cluster.account.clone(), cluster.region.clone());
    let at = ServiceId { account, region, cluster: cluster.name.clone(), name: request.service_name.clone() };
    let token = request.client_token.clone().filter(|token| !token.is_empty());
    if let Some(token) = &token {
        is_fresh(tx, &at, token, &said)?;
    }
    if let Some(known) = known(tx, &at, &said)? {
        return Ok(aws::CreateServiceResponse { service: service_describe::shape(tx, &known, true) });
    }
    let name = request.task_definition.as_deref().filter(|name| !name.is_empty());
    let definition = definition(tx, name.ok_or(ServiceError::NoDefinition)?)?;
    scheduling(request.scheduling_strategy.as_deref())?;
    controller(request.deployment_controller.as_ref())?;
    let settings = service_settings::settings(request.deployment_configuration, defaults())?;
    let is_rebalanced =
        rebalancing(request.availability_zone_rebalancing.as_deref(), None, settings.maximum_percent)?;
    let asked = Asked {
        launch_type: super::run_task::launch_type(request.launch_type.as_deref(), &definition.spec)?,
        platform_version: request.platform_version.filter(|version| !version.is_empty()),
        network: network(request.network_configuration),
        balancers: balancers(request.load_balancers.unwrap_or_default()),
        enable_execute_command: request.enable_execute_command == Some(true),
        strategy: settings.strategy,
        definition,
    };
    if request.role.is_some_and(|role| !role.is_empty()) {
        return Err(service_checks::role(&asked).into());
    }
    service_checks::check(tx, &asked)?;
    let tags = tags(request.tags)?;
    wake::check(&tags, !asked.balancers.is_empty())?;
    let mut service = Service {
        desired: count(request.desired_count)?.ok_or(ServiceError::NoCount)?,
        revision: String::new(),
        newest_deployment: String::new(),
        deployment: settings,
        grace_seconds: grace(request.health_check_grace_period_seconds)?.unwrap_or(0),
        is_rebalanced,
        propagate: propagate(request.propagate_tags.as_deref())?,
        has_managed_tags: request.enable_ecs_managed_tags == Some(true),
        enable_execute_command: asked.enable_execute_command,
        tags,
        created_at: tx.now,
        created_by: task_definition::principal(tx.caller),
        deleted_at: None,
        request: said,
        client_token: token,
        at: at.clone(),
    };
    forget(tx, &at);
    tx.put(ServiceStatus::new(at));
    deploy(tx, &mut service, asked, Vec::new());
    tx.put(service.clone());
    Ok(aws::CreateServiceResponse { service: service_describe::shape(tx, &service, true) })
}

/// What tells one request from another, its token apart. Structures print all of their members.
fn said(request: &aws::CreateServiceRequest) -> String {
    let request = aws::CreateServiceRequest { client_token: None, ..request.clone() };
    hex::encode(&Sha256::digest(format!("{request:?}"))[..16])
}

/// A token that has made another service is refused.
fn is_fresh(tx: &Tx<'_>, at: &ServiceId, token: &str, said: &str) -> Result<(), Fault> {
    // AWS: shorter than RunTask's.
    if token.len() > 36 || !token.bytes().all(|b| (33..=126).contains(&b)) {
        return Err(RunError::Token(36).into());
    }
    let key = Key::of(&[at.account.as_str(), at.region.as_str(), token]);
    let mut made = tx.by::<Service>(BY_TOKEN, &key).filter(|service| service.deleted_at.is_none());
    if made.any(|service| service.request != said) {
        return Err(ServiceError::NotIdempotent.into());
    }
    Ok(())
}

/// The service that an equal request has made already. A name is free again once its service is
/// INACTIVE.
fn known(tx: &Tx<'_>, at: &ServiceId, said: &str) -> Result<Option<Arc<Service>>, ServiceError> {
    let Some(service) = tx.get::<Service>(&at.key()) else { return Ok(None) };
    let state = tx.get::<ServiceStatus>(&at.key()).map(|status| status.state);
    match state {
        None | Some(State::Inactive { .. }) => Ok(None),
        Some(State::Draining) => Err(ServiceError::Draining),
        Some(State::Active) if service.deleted_at.is_some() => Err(ServiceError::Draining),
        // AWS: creating a service again as it was answers with the one that is there.
        Some(State::Active) if service.request == said => Ok(Some(service)),
        Some(State::Active) => Err(ServiceError::NotIdempotent),
    }
}

/// Drops what an inactive service of the same name has left.
fn forget(tx: &mut Tx<'_>, at: &ServiceId) {
    fn drop_all<R: Record>(tx: &mut Tx<'_>, under: &Key) {
        let keys: Vec<Key> = tx.scan::<R>(under).map(|record| record.key()).collect();
        for key in keys {
            tx.delete::<R>(&key);
        }
    }
    let key = at.key();
    drop_all::<Revision>(tx, &key);
    drop_all::<Deployment>(tx, &key);
    drop_all::<Event>(tx, &key);
    drop_all::<Member>(tx, &key);
}

/// A definition that services may be made of.
pub fn definition(tx: &Tx<'_>, name: &str) -> Result<Arc<TaskDefinition>, DefinitionError> {
    let definition = task_definition::find(tx, tx.caller, name).ok_or(DefinitionError::Missing)?;
    if definition.is_active() { Ok(definition) } else { Err(DefinitionError::Inactive) }
}

fn scheduling(asked: Option<&str>) -> Result<(), ServiceError> {
    match asked {
        None | Some("" | "REPLICA") => Ok(()),
        Some("DAEMON") => Err(ServiceError::NotYet(String::from("schedulingStrategy 'DAEMON'"))),
        Some(other) => Err(unknown("schedulingStrategy", other)),
    }
}

pub fn controller(asked: Option<&aws::DeploymentController>) -> Result<(), ServiceError> {
    match asked.map(|asked| asked.r#type.as_str()) {
        None | Some("" | "ECS") => Ok(()),
        Some(other @ ("CODE_DEPLOY" | "EXTERNAL")) => {
            Err(ServiceError::NotYet(format!("deploymentController '{other}'")))
        }
        Some(other) => Err(unknown("deploymentController.type", other)),
    }
}

pub fn unknown(name: &'static str, value: &str) -> ServiceError {
    ServiceError::Unknown { name, value: String::from(value) }
}

/// AWS: a new service is rebalanced where it says nothing and can be.
pub fn rebalancing(
    asked: Option<&str>,
    before: Option<bool>,
    maximum_percent: u32,
) -> Result<bool, ServiceError> {
    let is_possible = maximum_percent > 100;
    match asked.filter(|asked| !asked.is_empty()) {
        None => match before {
            Some(true) if !is_possible => Err(ServiceError::Rebalancing),
            Some(before) => Ok(before),
            None => Ok(is_possible),
        },
        Some("ENABLED") if is_possible => Ok(true),
        Some("ENABLED") => Err(ServiceError::Rebalancing),
        Some("DISABLED") => Ok(false),
        Some(other) => Err(unknown("availabilityZoneRebalancing", other)),
    }
}

pub fn count(asked: Option<i32>) -> Result<Option<u32>, ServiceError> {
    let Some(asked) = asked else { return Ok(None) };
    let count = u32::try_from(asked).ok().filter(|count| *count <= MOST_TASKS);
    count.map(Some).ok_or(ServiceError::Count(MOST_TASKS))
}

pub fn grace(asked: Option<i32>) -> Result<Option<u32>, ServiceError> {
    asked.map(u32::try_from).transpose().map_err(|_| ServiceError::Grace)
}

pub fn propagate(asked: Option<&str>) -> Result<Propagate, ServiceError> {
    match asked {
        None | Some("" | "NONE") => Ok(Propagate::Nothing),
        Some("TASK_DEFINITION") => Ok(Propagate::TaskDefinition),
        Some("SERVICE") => Ok(Propagate::Service),
        Some(other) => Err(unknown("propagateTags", other)),
    }
}

fn tags(asked: Option<Vec<aws::Tag>>) -> Result<Tags, Fault> {
    Ok(tag::checked(asked)?)
}

/// The network of a request. AWS: without a word tasks have no public address.
pub fn network(asked: Option<aws::NetworkConfiguration>) -> Option<NetworkConfiguration> {
    let mut network: NetworkConfiguration = Kept::keep(asked?);
    if let Some(awsvpc) = &mut network.awsvpc_configuration {
        awsvpc.security_groups = awsvpc.security_groups.take().filter(|groups| !groups.is_empty());
        let said = awsvpc.assign_public_ip.take().filter(|said| !said.is_empty());
        awsvpc.assign_public_ip = Some(said.unwrap_or_else(|| String::from("DISABLED")));
    }
    Some(network)
}

/// The balancers of a request. Some clients send an empty text for a rule that is not there.
pub fn balancers(asked: Vec<aws::LoadBalancer>) -> Vec<LoadBalancer> {
    let mut balancers: Vec<LoadBalancer> = Kept::keep(asked);
    for advanced in balancers.iter_mut().filter_map(|it| it.advanced_configuration.as_mut()) {
        let rule = advanced.test_listener_rule.take();
        advanced.test_listener_rule = rule.filter(|rule| !rule.is_empty());
    }
    balancers
}

/// Makes the revision that `asked` describes the one that `service` should be of, and the
/// deployment that brings it. Another that is under way is over.
pub fn deploy(tx: &mut Tx<'_>, service: &mut Service, asked: Asked, sources: Vec<String>) {
    let (at, now) = (&service.at, tx.now);
    let under_way: Vec<_> = tx.by::<Deployment>(UNDER_WAY, &at.key()).collect();
    for deployment in under_way {
        tx.put(Deployment {
            state: DeploymentState::Stopped,
            reason: Some(String::from(SUPERSEDED)),
            updated_at: now,
            finished_at: Some(now),
            ..(*deployment).clone()
        });
    }
    // AWS: nineteen digits of a revision, twenty-one letters and digits of a deployment.
    let id = (1_000_000_000_000_000_000 + tx.chance.below(8_000_000_000_000_000_000)).to_string();
    let deployment = word(tx, 21);
    let Asked { definition, launch_type, platform_version, network, balancers, .. } = asked;
    tx.put(Revision {
        at: at.clone(),
        id: id.clone(),
        deployment: deployment.clone(),
        family: definition.family.clone(),
        revision: definition.revision,
        launch_type,
        platform_version,
        balancers,
        network,
        created_at: now,
        digests: Default::default(),
        zones: Vec::new(),
        is_alternate: false,
    });
    let settings = service.deployment.clone();
    let begun = Deployment::new(at.clone(), deployment.clone(), id.clone(), settings, now);
    tx.put(Deployment { sources, ..begun });
    service.revision = id;
    service.newest_deployment = deployment;
}

fn word(tx: &mut Tx<'_>, letters: usize) -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut letter = || {
        let nth = usize::try_from(tx.chance.below(62)).unwrap_or(0);
        char::from(LETTERS[nth])
    };
    (0..letters).map(|_| letter()).collect()
}

/// What a service asks for now, to be changed.
pub fn asked_now(revision: &Revision, service: &Service, definition: Arc<TaskDefinition>) -> Asked {
    let launch_type: LaunchType = revision.launch_type;
    let balancers: Vec<LoadBalancer> = revision.balancers.clone();
    let network: Option<NetworkConfiguration> = revision.network.clone();
    Asked {
        definition,
        launch_type,
        platform_version: revision.platform_version.clone(),
        network,
        balancers,
        enable_execute_command: service.enable_execute_command,
        strategy: service.deployment.strategy,
    }
}

pub fn delete(
    tx: &mut Tx<'_>,
    request: aws::DeleteServiceRequest,
) -> Result<aws::DeleteServiceResponse, Fault> {
    let cluster = cluster::find(tx, tx.caller, request.cluster.as_deref())?;
    let service = service_describe::find(tx, &cluster, &request.service)?.ok_or(ServiceError::Missing)?;
    // AWS: deleting a service that is draining or inactive changes nothing.
    if service.deleted_at.is_some() {
        return Ok(aws::DeleteServiceResponse { service: service_describe::shape(tx, &service, true) });
    }
    if service.desired > 0 && request.force != Some(true) {
        return Err(ServiceError::Scaled.into());
    }
    let gone = Service { desired: 0, deleted_at: Some(tx.now), ..(*service).clone() };
    tx.put(gone.clone());
    Ok(aws::DeleteServiceResponse { service: service_describe::shape(tx, &gone, true) })
}
