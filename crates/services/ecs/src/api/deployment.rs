//! Service deployments: ListServiceDeployments, DescribeServiceDeployments, StopServiceDeployment,
//! ContinueServiceDeployment. What is asked of one is written down; the loop over services acts.

use std::cmp::Reverse;
use std::sync::Arc;

use aws_ecs as aws;
use base::Fault;
use core_rollout::shift::HookState;
use service::{Caller, Tx, View};
use store::{Record, Snapshot};

use super::service::unknown;
use super::{cluster, service_describe};
use crate::convert::service as convert;
use crate::faults::service::{ServiceDeploymentError, ServiceError};
use crate::page::Page;
use crate::state::deployment::{Deployment, StopType};
use crate::state::service::{Service, ServiceId, ServiceStatus, Strategy};

/// AWS: deployments of one request, and of one page where nothing is said.
const MOST: usize = 20;

const STATES: [&str; 9] = [
    "PENDING",
    "SUCCESSFUL",
    "STOPPED",
    "STOP_REQUESTED",
    "IN_PROGRESS",
    "ROLLBACK_REQUESTED",
    "ROLLBACK_IN_PROGRESS",
    "ROLLBACK_SUCCESSFUL",
    "ROLLBACK_FAILED",
];

pub fn list(
    view: &View<'_>,
    request: aws::ListServiceDeploymentsRequest,
) -> Result<aws::ListServiceDeploymentsResponse, Fault> {
    // AWS: a service's own ARN says in which cluster it is.
    let of_arn = ServiceId::of_arn("service", &request.service).map(|(id, _)| id.cluster);
    let named = request.cluster.filter(|cluster| !cluster.is_empty()).or(of_arn);
    let cluster = cluster::find(view, view.caller, named.as_deref())?;
    let service = service_describe::find(view, &cluster, &request.service)?.ok_or(ServiceError::Missing)?;
    let states = request.status.unwrap_or_default();
    if let Some(other) = states.iter().find(|state| !STATES.contains(&state.as_str())) {
        return Err(unknown("status", other).into());
    }
    let created = request.created_at.unwrap_or_default();
    let is_wanted = |deployment: &Arc<Deployment>| {
        let state = convert::deployment_state(deployment);
        (states.is_empty() || states.iter().any(|wanted| wanted == state))
            && created.before.is_none_or(|before| deployment.created_at < before)
            && created.after.is_none_or(|after| deployment.created_at > after)
    };
    let prefix = service.at.key();
    let most = request.max_results.or_else(|| i32::try_from(MOST).ok());
    let page = Page::of(&prefix, most, request.next_token.as_deref())?;
    // Newest first; their ids are drawn, so that keys say nothing of their order.
    let mut all: Vec<_> = view.scan::<Deployment>(&prefix).collect();
    all.sort_by_key(|deployment| Reverse((deployment.created_at, deployment.key())));
    let seen = page.after.as_ref().and_then(|after| all.iter().position(|it| it.key() == *after));
    let rest = all.into_iter().skip(seen.map_or(0, |seen| seen + 1)).filter(is_wanted);
    let (briefs, next_token) = page.take(rest.map(|it| (it.key(), convert::brief(&it))));
    Ok(aws::ListServiceDeploymentsResponse { service_deployments: Some(briefs), next_token })
}

pub fn describe(
    view: &View<'_>,
    request: aws::DescribeServiceDeploymentsRequest,
) -> Result<aws::DescribeServiceDeploymentsResponse, Fault> {
    let arns = request.service_deployment_arns;
    if arns.is_empty() {
        return Err(ServiceDeploymentError::Empty("serviceDeploymentArns").into());
    }
    if arns.len() > MOST {
        return Err(ServiceError::TooMany { list: "serviceDeploymentArns", most: MOST }.into());
    }
    let (mut found, mut failures) = (Vec::with_capacity(arns.len()), Vec::new());
    for arn in arns {
        match find(view, view.caller, &arn)?.and_then(|record| shape(view, &record)) {
            Some(shape) => found.push(shape),
            None => failures.push(missing(arn)),
        }
    }
    Ok(aws::DescribeServiceDeploymentsResponse { service_deployments: Some(found), failures: Some(failures) })
}

pub fn missing(arn: String) -> aws::Failure {
    aws::Failure { arn: Some(arn), reason: Some(String::from("MISSING")), detail: None }
}

fn shape(records: &Snapshot, record: &Deployment) -> Option<aws::ServiceDeployment> {
    let key = record.at.key();
    let service = records.get::<Service>(&key)?;
    let status = records.get::<ServiceStatus>(&key)?;
    Some(convert::deployment(record, &service, &status))
}

/// The deployment that an ARN names, if it is there.
fn find(
    records: &Snapshot,
    caller: &Caller,
    text: &str,
) -> Result<Option<Arc<Deployment>>, ServiceDeploymentError> {
    let named = ServiceId::of_arn("service-deployment", text).filter(|(_, last)| !last.is_empty());
    let (at, id) = named.ok_or_else(|| ServiceDeploymentError::Arn(String::from(text)))?;
    if at.account != caller.account || at.region != caller.region {
        return Ok(None);
    }
    Ok(records.get::<Deployment>(&Deployment::key_of(&at, &id)))
}

pub fn stop(
    tx: &mut Tx<'_>,
    request: aws::StopServiceDeploymentRequest,
) -> Result<aws::StopServiceDeploymentResponse, Fault> {
    let arn = request.service_deployment_arn;
    let found = find(tx, tx.caller, &arn)?.ok_or(ServiceDeploymentError::Missing)?;
    let how = match request.stop_type.as_deref() {
        None | Some("" | "ROLLBACK") => StopType::Rollback,
        Some("ABORT") => StopType::Abort,
        Some(other) => return Err(unknown("stopType", other).into()),
    };
    if found.state.is_over() {
        return Err(ServiceDeploymentError::Over(arn).into());
    }
    if !convert::can_be_stopped(&found) {
        return Err(ServiceDeploymentError::Stopping(arn).into());
    }
    // Where it is, its traffic may be split.
    if how == StopType::Abort && found.settings.strategy != Strategy::Rolling {
        return Err(ServiceDeploymentError::Abort.into());
    }
    if how == StopType::Rollback && found.sources.is_empty() {
        return Err(ServiceDeploymentError::NoSource.into());
    }
    let mut deployment = (*found).clone();
    deployment.asked.stop = Some(how);
    deployment.updated_at = tx.now;
    tx.put(deployment);
    Ok(aws::StopServiceDeploymentResponse { service_deployment_arn: Some(arn) })
}

pub fn resume(
    tx: &mut Tx<'_>,
    request: aws::ContinueServiceDeploymentRequest,
) -> Result<aws::ContinueServiceDeploymentResponse, Fault> {
    let arn = request.service_deployment_arn;
    let found = find(tx, tx.caller, &arn)?.ok_or(ServiceDeploymentError::Missing)?;
    let goes_on = match request.action.as_deref() {
        None | Some("" | "CONTINUE") => true,
        Some("ROLLBACK") => false,
        Some(other) => return Err(unknown("action", other).into()),
    };
    let hook = request.hook_id;
    let runs = found.shift.iter().flat_map(|shift| &shift.hooks);
    let run = runs.into_iter().find(|run| run.id == hook);
    let run = run.ok_or_else(|| ServiceDeploymentError::Hook(hook.clone()))?;
    let is_answered = found.asked.hooks.contains_key(&hook);
    if run.state != HookState::Awaiting || is_answered || !convert::can_be_stopped(&found) {
        return Err(ServiceDeploymentError::NotAwaiting(hook).into());
    }
    let mut deployment = (*found).clone();
    deployment.asked.hooks.insert(hook, goes_on);
    deployment.updated_at = tx.now;
    tx.put(deployment);
    Ok(aws::ContinueServiceDeploymentResponse { service_deployment_arn: Some(arn) })
}
