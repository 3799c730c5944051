//! A task and its containers, as the metadata endpoint describes them.
//!
//! AWS: "Amazon ECS task metadata endpoint version 4" and "… version 3", for Fargate and for EC2.
//! What only the control plane knows (ARNs of containers, the desired status, the service) is asked
//! of it; what the host saw comes from the host, so that a container never reads less than it did.

pub(crate) mod container;
mod network;
mod storage;
mod task;

use aws_ecs::{DescribeTasksRequest, ListTagsForResourceRequest, op};
use base::{AccountId, Fault, Region};
use serde_json::{Value, json};
use service::Caller;

use crate::Inner;
use crate::known::{Asker, Subject};
use crate::route::Version;

/// A container's own metadata.
pub(crate) async fn container(inner: &Inner, asker: &Asker, version: Version) -> Value {
    let described = described(inner, &asker.subject).await;
    let Some(spec) = asker.subject.spec(&asker.container) else { return Value::Null };
    container::value(&asker.subject, spec, version, described.as_ref())
}

pub(crate) async fn task(inner: &Inner, subject: &Subject, version: Version) -> Value {
    let described = described(inner, subject).await;
    let mut value = task::value(subject, version, described.as_ref());
    if version == Version::V4
        && let Some(metrics) = storage::value(inner, subject).await
    {
        value["EphemeralStorageMetrics"] = metrics;
    }
    value
}

/// The task's metadata with the tags of the task and of its container instance.
pub(crate) async fn task_with_tags(inner: &Inner, subject: &Subject, version: Version) -> Value {
    let mut value = task(inner, subject, version).await;
    let mut errors = Vec::new();
    let instance = subject.task.container_instance.clone();
    let resources = [("ContainerInstanceTags", instance), ("TaskTags", Some(subject.task.task_arn.clone()))];
    for (field, arn) in resources {
        let Some(resource_arn) = arn else { continue };
        let request = ListTagsForResourceRequest { resource_arn: resource_arn.clone() };
        match inner.parts.platform.call::<op::ListTagsForResource>(caller(subject), request).await {
            Ok(answer) => {
                let tags = answer.tags.unwrap_or_default();
                let pairs = tags
                    .into_iter()
                    .map(|tag| (tag.key.unwrap_or_default(), Value::String(tag.value.unwrap_or_default())));
                value[field] = Value::Object(pairs.collect());
            }
            Err(fault) => errors.push(tag_error(field, &resource_arn, &fault)),
        }
    }
    if !errors.is_empty() {
        value["Errors"] = Value::Array(errors);
    }
    value
}

/// AWS: tags that cannot be had are told beside what can.
fn tag_error(field: &str, arn: &str, fault: &Fault) -> Value {
    json!({
        "ErrorField": field,
        "ErrorCode": fault.code,
        "ErrorMessage": fault.message,
        "StatusCode": fault.status.unwrap_or(400),
        "RequestId": "",
        "ResourceARN": arn,
    })
}

/// What the control plane says of the task. `None`: nothing, any more.
async fn described(inner: &Inner, subject: &Subject) -> Option<aws_ecs::Task> {
    let task = &subject.task;
    let request = DescribeTasksRequest {
        cluster: Some(task.cluster.clone()),
        tasks: vec![task.task_arn.clone()],
        include: None,
    };
    match inner.parts.platform.call::<op::DescribeTasks>(caller(subject), request).await {
        Ok(answer) => answer.tasks.unwrap_or_default().pop(),
        Err(fault) => {
            tracing::debug!(task = task.task_id, %fault, "a task could not be described");
            None
        }
    }
}

/// The platform, in the task's account and region.
pub(crate) fn caller(subject: &Subject) -> Caller {
    let (account, region) = home(subject);
    Caller::platform("ecs.amazonaws.com", account, region)
}

pub(crate) fn home(subject: &Subject) -> (AccountId, Region) {
    let account = AccountId::parse(&subject.task.account).unwrap_or_else(AccountId::default_account);
    (account, Region::parse(&subject.task.region).unwrap_or_else(Region::default_region))
}

/// The cluster's ARN, whether the assignment has that or a name.
fn cluster_arn(subject: &Subject) -> String {
    let task = &subject.task;
    match task.cluster.starts_with("arn:") {
        true => task.cluster.clone(),
        false => format!("arn:aws:ecs:{}:{}:cluster/{}", task.region, task.account, task.cluster),
    }
}
