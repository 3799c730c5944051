//! Task protection: GetTaskProtection, UpdateTaskProtection.
//!
//! AWS: only tasks of services are protected; any other is a failure in the answer.

use std::sync::Arc;
use std::time::Duration;

use aws_ecs as aws;
use base::{Fault, Timestamp};
use core_lifecycle::Goal;
use service::{Tx, View};
use store::{Record, Snapshot};

use super::{cluster, task};
use crate::faults::{ProtectionError, TaskError};
use crate::state::cluster::Cluster;
use crate::state::protection::TaskProtection;
use crate::state::task::{Task, TaskStatus};

/// AWS: for so long where the request does not say.
const MINUTES: i32 = 120;
/// AWS: two days.
const MOST_MINUTES: i32 = 2880;
/// AWS: tasks of one request.
const MOST_UPDATED: usize = 10;
const MOST_SHOWN: usize = 100;

pub fn update(
    tx: &mut Tx<'_>,
    request: aws::UpdateTaskProtectionRequest,
) -> Result<aws::UpdateTaskProtectionResponse, Fault> {
    let cluster = cluster::find(tx, tx.caller, Some(&request.cluster))?;
    if request.tasks.is_empty() {
        return Err(TaskError::NoTasks.into());
    }
    if request.tasks.len() > MOST_UPDATED {
        return Err(ProtectionError::TooMany(MOST_UPDATED).into());
    }
    let minutes = request.expires_in_minutes.unwrap_or(MINUTES);
    let minutes = u64::try_from(minutes).ok().filter(|_| (1..=MOST_MINUTES).contains(&minutes));
    let lasts = Duration::from_secs(minutes.ok_or(ProtectionError::Minutes)? * 60);
    let (mut done, mut failures) = (Vec::new(), Vec::new());
    for named in &request.tasks {
        match valid(tx, &cluster, named)? {
            Err(failure) => failures.push(failure),
            Ok(record) if request.protection_enabled => {
                let expires_at = tx.now + lasts;
                tx.put(TaskProtection { at: record.at.clone(), expires_at });
                done.push(shape(&record, Some(expires_at)));
            }
            Ok(record) => {
                tx.delete::<TaskProtection>(&record.key());
                done.push(shape(&record, None));
            }
        }
    }
    Ok(aws::UpdateTaskProtectionResponse { protected_tasks: Some(done), failures: Some(failures) })
}

pub fn get(
    view: &View<'_>,
    request: aws::GetTaskProtectionRequest,
) -> Result<aws::GetTaskProtectionResponse, Fault> {
    let cluster = cluster::find(view, view.caller, Some(&request.cluster))?;
    let named = request.tasks.unwrap_or_default();
    if named.len() > MOST_SHOWN {
        return Err(ProtectionError::TooMany(MOST_SHOWN).into());
    }
    let (mut shown, mut failures) = (Vec::new(), Vec::new());
    let until = |record: &Task| expiry(view, record, view.now);
    if named.is_empty() {
        // AWS: without names, the tasks of the cluster's services.
        let all = view.scan::<Task>(&cluster.key()).filter(|record| refusal(view, record).is_none());
        shown.extend(all.take(MOST_SHOWN).map(|record| shape(&record, until(&record))));
    }
    for name in &named {
        match valid(view, &cluster, name)? {
            Ok(record) => shown.push(shape(&record, until(&record))),
            Err(failure) => failures.push(failure),
        }
    }
    Ok(aws::GetTaskProtectionResponse { protected_tasks: Some(shown), failures: Some(failures) })
}

/// Until when a task is protected, if it is.
pub fn expiry(records: &Snapshot, record: &Task, now: Timestamp) -> Option<Timestamp> {
    let protection = records.get::<TaskProtection>(&record.key())?;
    (now < protection.expires_at).then_some(protection.expires_at)
}

/// The task that a request means, if it can be protected; or the failure that says why not.
fn valid(
    records: &Snapshot,
    cluster: &Cluster,
    named: &str,
) -> Result<Result<Arc<Task>, aws::Failure>, TaskError> {
    let id = task::id_of(cluster, named)?;
    let failure = |reason: &str, detail: Option<&str>| aws::Failure {
        arn: Some(id.as_ref().map_or_else(|| String::from(named), |id| id.arn().to_string())),
        reason: Some(String::from(reason)),
        detail: detail.map(String::from),
    };
    let found = id.as_ref().and_then(|id| records.get::<Task>(&id.key()));
    let Some(record) = found else { return Ok(Err(failure("MISSING", None))) };
    Ok(match refusal(records, &record) {
        Some(detail) => Err(failure("TASK_NOT_VALID", Some(detail))),
        None => Ok(record),
    })
}

/// Why a task cannot be protected.
fn refusal(records: &Snapshot, record: &Task) -> Option<&'static str> {
    if !record.group.starts_with("service:") {
        return Some("The task is not part of a service: only tasks of services can be protected.");
    }
    let status = records.get::<TaskStatus>(&record.key());
    let is_ending = status.is_none_or(|status| status.state.stop_cause().is_some());
    (is_ending || record.goal != Goal::Running).then_some("The task is stopping or has stopped.")
}

fn shape(record: &Task, expires_at: Option<Timestamp>) -> aws::ProtectedTask {
    aws::ProtectedTask {
        task_arn: Some(record.at.arn().to_string()),
        protection_enabled: Some(expires_at.is_some()),
        expiration_date: expires_at,
    }
}
