//! Tasks: StopTask, DescribeTasks.

use aws_ecs as aws;
use base::{Arn, Fault};
use core_lifecycle::{Goal, StopCode};
use service::{Tx, View};
use store::Snapshot;

use super::cluster;
use crate::behaviour::naming;
use crate::convert;
use crate::faults::TaskError;
use crate::state::cluster::Cluster;
use crate::state::task::{Task, TaskId, TaskObserved, TaskStatus};

/// AWS: the reason of a stop that gives none.
const STOPPED_BY_USER: &str = "Task stopped by user";

/// A task as the API shows it.
pub fn shape(records: &Snapshot, record: &Task, with_tags: bool) -> Option<aws::Task> {
    let key = record.at.key();
    let status = records.get::<TaskStatus>(&key)?;
    let seen = records.get::<TaskObserved>(&key);
    Some(convert::task(record, &status, seen.as_deref(), with_tags))
}

pub fn stop(tx: &mut Tx<'_>, request: aws::StopTaskRequest) -> Result<aws::StopTaskResponse, Fault> {
    let cluster = cluster::find(tx, tx.caller, request.cluster.as_deref())?;
    let reason = request.reason.filter(|reason| !reason.is_empty());
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > 1024) {
        return Err(TaskError::Reason.into());
    }
    let id = id_of(&cluster, &request.task)?.ok_or(TaskError::Missing)?;
    let key = id.key();
    let record = tx.get::<Task>(&key).ok_or(TaskError::Missing)?;
    let mut record = (*record).clone();
    let is_ending = tx.get::<TaskStatus>(&key).is_some_and(|status| status.state.stop_cause().is_some());
    // AWS: stopping a task that is stopping or stopped changes nothing, its cause least of all.
    if !is_ending && record.goal == Goal::Running {
        let reason = reason.unwrap_or_else(|| String::from(STOPPED_BY_USER));
        record.goal = Goal::Stopped { code: StopCode::UserInitiated, reason };
        tx.put(record.clone());
    }
    let task = shape(tx, &record, false);
    Ok(aws::StopTaskResponse { task })
}

/// The task of `cluster` that a request means, by id or ARN; none if it cannot be in it.
pub fn id_of(cluster: &Cluster, text: &str) -> Result<Option<TaskId>, TaskError> {
    if Arn::parse(text).is_ok() {
        let Some(id) = TaskId::of_arn(text) else { return Ok(None) };
        if id.cluster != cluster.name {
            return Err(TaskError::OtherCluster { named: id.cluster, asked: cluster.name.clone() });
        }
        let is_ours = id.account == cluster.account && id.region == cluster.region;
        return Ok(is_ours.then_some(id));
    }
    if !naming::is_task_id(text) {
        return Err(TaskError::Id);
    }
    let (account, region) = (cluster.account.clone(), cluster.region.clone());
    Ok(Some(TaskId { account, region, cluster: cluster.name.clone(), id: String::from(text) }))
}

pub fn describe(
    view: &View<'_>,
    request: aws::DescribeTasksRequest,
) -> Result<aws::DescribeTasksResponse, Fault> {
    let cluster = cluster::find(view, view.caller, request.cluster.as_deref())?;
    if request.tasks.is_empty() {
        return Err(TaskError::NoTasks.into());
    }
    if request.tasks.len() > 100 {
        return Err(TaskError::TooMany.into());
    }
    let with_tags = request.include.iter().flatten().any(|what| what == "TAGS");
    let (mut tasks, mut failures) = (Vec::with_capacity(request.tasks.len()), Vec::new());
    for named in &request.tasks {
        let id = id_of(&cluster, named)?;
        let found = id.as_ref().and_then(|id| view.get::<Task>(&id.key()));
        match found.and_then(|record| shape(view, &record, with_tags)) {
            Some(shape) => tasks.push(shape),
            None => failures.push(aws::Failure {
                arn: Some(id.map_or_else(|| named.clone(), |id| id.arn().to_string())),
                reason: Some(String::from("MISSING")),
                detail: None,
            }),
        }
    }
    Ok(aws::DescribeTasksResponse { tasks: Some(tasks), failures: Some(failures) })
}
