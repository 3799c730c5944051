//! ListTasks: the tasks of a cluster by every filter. Those that may stand together must all hold.

use std::sync::Arc;

use aws_ecs as aws;
use base::Fault;
use service::View;
use store::{Key, Record};

use super::{cluster, instance, service_describe};
use crate::convert;
use crate::faults::service::ServiceError;
use crate::faults::{InstanceError, TaskError};
use crate::page::Page;
use crate::state::task::{Task, TaskStatus};

/// What ListTasks acts on.
pub const ACTS: &[&str] = &[
    "cluster",
    "containerInstance",
    "family",
    "nextToken",
    "maxResults",
    "startedBy",
    "serviceName",
    "desiredStatus",
    "launchType",
];

pub fn list(view: &View<'_>, request: aws::ListTasksRequest) -> Result<aws::ListTasksResponse, Fault> {
    let cluster = cluster::find(view, view.caller, request.cluster.as_deref())?;
    let named = |text: Option<String>| text.filter(|text| !text.is_empty());
    alone(&request)?;
    let service = match named(request.service_name) {
        None => None,
        Some(text) => {
            let found = service_describe::find(view, &cluster, &text)?.ok_or(ServiceError::Missing)?;
            Some(found.at.name.clone())
        }
    };
    let carrier = match named(request.container_instance) {
        None => None,
        Some(text) => Some(instance::find(view, &cluster, &text)?.ok_or(InstanceError::Missing)?),
    };
    let carrier_arn = carrier.as_ref().map(|instance| instance.at.arn().to_string());
    let (family, started_by) = (named(request.family), named(request.started_by));
    // AWS: PENDING may be asked for and finds nothing: no task is wanted pending.
    let desired = named(request.desired_status).unwrap_or_else(|| String::from("RUNNING"));
    let launch_type = named(request.launch_type);
    let is_wanted = |record: &Arc<Task>| {
        let status = view.get::<TaskStatus>(&record.at.key());
        family.as_ref().is_none_or(|family| *family == record.family)
            && (service.is_none() || service == record.service)
            && (started_by.is_none() || started_by == record.started_by)
            && (carrier_arn.is_none() || carrier_arn == record.container_instance)
            && launch_type
                .as_deref()
                .is_none_or(|wanted| wanted == convert::launch_type_text(record.launch_type))
            && status.is_some_and(|status| convert::desired_status(record, &status.state) == desired)
    };
    let prefix = cluster.key();
    let page = Page::of(&prefix, request.max_results, request.next_token.as_deref())?;
    let after = page.after.clone().unwrap_or_else(Key::all);
    let place = |record: Arc<Task>| (record.key(), record.at.arn().to_string());
    let (arns, next_token) = match &carrier {
        Some(instance) => {
            let all = instance::tasks(view, instance).filter(|record| record.key() > after);
            page.take(all.filter(is_wanted).map(place))
        }
        None => page.take(view.scan_after::<Task>(&prefix, &after).filter(is_wanted).map(place)),
    };
    Ok(aws::ListTasksResponse { task_arns: Some(arns), next_token })
}

/// AWS: filters that stand alone, but for a status.
fn alone(request: &aws::ListTasksRequest) -> Result<(), TaskError> {
    let is_said = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let narrow = [&request.family, &request.container_instance];
    let is_narrowed = narrow.into_iter().any(is_said);
    if is_said(&request.started_by)
        && (is_narrowed || is_said(&request.launch_type) || is_said(&request.service_name))
    {
        return Err(TaskError::NotAlone("startedBy"));
    }
    if is_said(&request.service_name) && is_narrowed {
        return Err(TaskError::NotAlone("serviceName"));
    }
    Ok(())
}
