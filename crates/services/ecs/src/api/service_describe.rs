//! Services as they stand: DescribeServices, ListServices; and which service a request means.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_ecs as aws;
use base::{Arn, Fault};
use core_lifecycle::LaunchType;
use service::View;
use store::{Key, Record, Snapshot};

use super::cluster;
use crate::convert::service::{self as convert, Seen};
use crate::faults::service::ServiceError;
use crate::page::Page;
use crate::state::cluster::Cluster;
use crate::state::deployment::Deployment;
use crate::state::event::Event;
use crate::state::revision::Revision;
use crate::state::service::{Service, ServiceId, ServiceStatus};

/// AWS: services of one request.
const MOST: usize = 10;
/// AWS: names of one page where nothing is said.
const PAGE: i32 = 10;

/// Where the service is that a request means, by name or ARN; none if it cannot be in `cluster`.
pub fn id_of(cluster: &Cluster, text: &str) -> Result<Option<ServiceId>, ServiceError> {
    let id = |name: &str| ServiceId {
        account: cluster.account.clone(),
        region: cluster.region.clone(),
        cluster: cluster.name.clone(),
        name: String::from(name),
    };
    let Ok(arn) = Arn::parse(text) else { return Ok(Some(id(text))) };
    let is_ours = arn.service() == "ecs"
        && arn.account() == cluster.account.as_str()
        && arn.region() == cluster.region.as_str();
    let mut parts = arn.resource().split('/');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        // AWS: ARNs of old have no cluster.
        (Some("service"), Some(name), None, None) => Ok(is_ours.then(|| id(name))),
        (Some("service"), Some(named), Some(name), None) => {
            if named != cluster.name {
                let (named, asked) = (String::from(named), cluster.name.clone());
                return Err(ServiceError::OtherCluster { named, asked });
            }
            Ok(is_ours.then(|| id(name)))
        }
        _ => Ok(None),
    }
}

pub fn find(records: &Snapshot, cluster: &Cluster, text: &str) -> Result<Option<Arc<Service>>, ServiceError> {
    let id = id_of(cluster, text)?;
    Ok(id.and_then(|id| records.get::<Service>(&id.key())))
}

/// A service as it stands.
pub fn shape(records: &Snapshot, service: &Service, with_tags: bool) -> Option<aws::Service> {
    let at = &service.at;
    let status = records.get::<ServiceStatus>(&at.key())?;
    let newest = records.get::<Deployment>(&Deployment::key_of(at, &service.newest_deployment))?;
    let with_deployment = |id: &str| {
        let revision = records.get::<Revision>(&Revision::key_of(at, id))?;
        let deployment = records.get::<Deployment>(&Deployment::key_of(at, &revision.deployment))?;
        Some((revision, deployment))
    };
    let with_tasks =
        status.counts.iter().filter(|(_, counts)| counts.pending + counts.running > 0).map(|(id, _)| id);
    // AWS: what a deployment takes away stands beside it until its last task has drained, so that
    // whoever waits for a stable service waits for the deployment's end.
    let leaving =
        if newest.state.is_over() || newest.baking_since.is_some() { &[][..] } else { &newest.sources };
    let others: BTreeSet<_> = with_tasks.chain(leaving).filter(|id| **id != service.revision).collect();
    let mut revisions: Vec<_> = others.into_iter().filter_map(|id| with_deployment(id)).collect();
    revisions.sort_by_key(|(revision, _)| std::cmp::Reverse(revision.created_at));
    revisions.insert(0, with_deployment(&service.revision)?);
    let mut events: Vec<_> = records.scan::<Event>(&at.key()).collect();
    events.reverse();
    let seen = Seen { service: Arc::new(service.clone()), status, revisions, newest, events };
    Some(convert::service(&seen, with_tags))
}

pub fn describe(
    view: &View<'_>,
    request: aws::DescribeServicesRequest,
) -> Result<aws::DescribeServicesResponse, Fault> {
    let cluster = cluster::find(view, view.caller, request.cluster.as_deref())?;
    if request.services.is_empty() {
        return Err(ServiceError::NoServices.into());
    }
    if request.services.len() > MOST {
        return Err(ServiceError::TooMany { list: "services", most: MOST }.into());
    }
    let with_tags = request.include.iter().flatten().any(|what| what == "TAGS");
    let (mut services, mut failures) = (Vec::with_capacity(request.services.len()), Vec::new());
    for named in &request.services {
        let id = id_of(&cluster, named)?;
        let found = id.as_ref().and_then(|id| view.get::<Service>(&id.key()));
        match found.and_then(|service| shape(view, &service, with_tags)) {
            Some(shape) => services.push(shape),
            None => failures.push(aws::Failure {
                arn: Some(id.map_or_else(|| named.clone(), |id| id.arn().to_string())),
                reason: Some(String::from("MISSING")),
                detail: None,
            }),
        }
    }
    Ok(aws::DescribeServicesResponse { services: Some(services), failures: Some(failures) })
}

pub fn list(view: &View<'_>, request: aws::ListServicesRequest) -> Result<aws::ListServicesResponse, Fault> {
    let cluster = cluster::find(view, view.caller, request.cluster.as_deref())?;
    let said = |text: Option<String>| text.filter(|text| !text.is_empty());
    let launch_type = match said(request.launch_type).as_deref() {
        None => None,
        Some("EC2") => Some(LaunchType::Ec2),
        Some("FARGATE") => Some(LaunchType::Fargate),
        Some("EXTERNAL") => Some(LaunchType::External),
        Some(other) => return Err(super::service::unknown("launchType", other).into()),
    };
    // Every service is one of replicas, whose resources are the customer's.
    let is_any = match said(request.scheduling_strategy).as_deref() {
        None | Some("REPLICA") => true,
        Some("DAEMON") => false,
        Some(other) => return Err(super::service::unknown("schedulingStrategy", other).into()),
    } && match said(request.resource_management_type).as_deref() {
        None | Some("CUSTOMER") => true,
        Some("ECS") => false,
        Some(other) => return Err(super::service::unknown("resourceManagementType", other).into()),
    };
    let is_wanted = |service: &Arc<Service>| {
        let of = |id: &str| view.get::<Revision>(&Revision::key_of(&service.at, id));
        // AWS: a service that is draining is not listed any more.
        is_any
            && service.deleted_at.is_none()
            && launch_type.is_none_or(|wanted| {
                of(&service.revision).is_some_and(|revision| revision.launch_type == wanted)
            })
    };
    let prefix = cluster.key();
    let page = Page::of(&prefix, Some(request.max_results.unwrap_or(PAGE)), request.next_token.as_deref())?;
    let after = page.after.clone().unwrap_or_else(Key::all);
    let found = view.scan_after::<Service>(&prefix, &after).filter(is_wanted);
    let (arns, next_token) = page.take(found.map(|service| (service.key(), service.at.arn().to_string())));
    Ok(aws::ListServicesResponse { service_arns: Some(arns), next_token })
}
