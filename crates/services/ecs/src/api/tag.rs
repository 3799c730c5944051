//! Tags of clusters, task definitions, tasks, services and container instances: TagResource,
//! UntagResource, ListTagsForResource.

use aws_ecs as aws;
use base::{Arn, Fault, Tags};
use service::{Caller, Tx, View};
use store::Snapshot;

use super::wake;
use crate::behaviour::naming::family_and_revision;
use crate::convert;
use crate::faults::{ClusterError, TagError};
use crate::state::cluster::Cluster;
use crate::state::definition::TaskDefinition;
use crate::state::instance::{ContainerInstance, InstanceId};
use crate::state::service::{Service, ServiceId};
use crate::state::task::{Task, TaskId};

/// AWS: tags of one resource.
const MOST: usize = 50;

/// A request's tags, refused if a key is there twice or is not a customer's to set.
pub fn checked(given: Option<Vec<aws::Tag>>) -> Result<Tags, TagError> {
    let mut tags = Tags::new();
    for tag in given.into_iter().flatten() {
        let key = tag.key.filter(|key| !key.is_empty()).ok_or(TagError::NoKey)?;
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(TagError::Reserved);
        }
        if tags.insert(key.clone(), tag.value.unwrap_or_default()).is_some() {
            return Err(TagError::Duplicate(key));
        }
    }
    if tags.len() > MOST { Err(TagError::TooMany) } else { Ok(tags) }
}

pub fn add(tx: &mut Tx<'_>, request: aws::TagResourceRequest) -> Result<aws::TagResourceResponse, Fault> {
    let new = checked(Some(request.tags))?;
    let mut resource = find(tx, tx.caller, &request.resource_arn)?;
    let tags = resource.tags();
    tags.extend(new);
    if tags.keys().filter(|key| !key.starts_with("aws:")).count() > MOST {
        return Err(TagError::TooMany.into());
    }
    if let Resource::Service(service) = &resource {
        wake::check(tx, service)?;
    }
    resource.put(tx);
    Ok(aws::TagResourceResponse::default())
}

pub fn remove(
    tx: &mut Tx<'_>,
    request: aws::UntagResourceRequest,
) -> Result<aws::UntagResourceResponse, Fault> {
    let mut resource = find(tx, tx.caller, &request.resource_arn)?;
    if request.tag_keys.iter().any(|key| key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(TagError::Reserved.into());
    }
    resource.tags().retain(|key, _| !request.tag_keys.contains(key));
    resource.put(tx);
    Ok(aws::UntagResourceResponse::default())
}

pub fn list(
    view: &View<'_>,
    request: aws::ListTagsForResourceRequest,
) -> Result<aws::ListTagsForResourceResponse, Fault> {
    let mut resource = find(view, view.caller, &request.resource_arn)?;
    Ok(aws::ListTagsForResourceResponse { tags: Some(convert::tags(resource.tags())) })
}

enum Resource {
    Cluster(Cluster),
    Definition(Box<TaskDefinition>),
    Task(Box<Task>),
    Instance(Box<ContainerInstance>),
    Service(Box<Service>),
}

impl Resource {
    fn tags(&mut self) -> &mut Tags {
        match self {
            Resource::Cluster(cluster) => &mut cluster.tags,
            Resource::Definition(definition) => &mut definition.tags,
            Resource::Task(task) => &mut task.tags,
            Resource::Instance(instance) => &mut instance.tags,
            Resource::Service(service) => &mut service.tags,
        }
    }

    fn put(self, tx: &mut Tx<'_>) {
        match self {
            Resource::Cluster(cluster) => tx.put(cluster),
            Resource::Definition(definition) => tx.put(*definition),
            Resource::Task(task) => tx.put(*task),
            Resource::Instance(instance) => tx.put(*instance),
            Resource::Service(service) => tx.put(*service),
        }
    }
}

fn find(records: &Snapshot, caller: &Caller, text: &str) -> Result<Resource, Fault> {
    let malformed = || TagError::Arn(String::from(text));
    let arn = Arn::parse(text).map_err(|_| malformed())?;
    let (kind, rest) = arn.resource().split_once('/').ok_or_else(malformed)?;
    if arn.service() != "ecs" {
        return Err(malformed().into());
    }
    // AWS: tags came with the long form of ARNs.
    if matches!(kind, "service" | "task" | "container-instance") && !rest.contains('/') {
        return Err(TagError::Short.into());
    }
    let (account, region) = (&caller.account, &caller.region);
    let is_ours = arn.account() == account.as_str() && arn.region() == region.as_str();
    match kind {
        "cluster" => {
            let found = records.get::<Cluster>(&Cluster::key_of(account, region, rest));
            let found =
                found.filter(|cluster| is_ours && cluster.is_active()).ok_or(ClusterError::Missing)?;
            Ok(Resource::Cluster((*found).clone()))
        }
        "task-definition" => {
            let Some((family, Some(revision))) = family_and_revision(rest) else {
                return Err(malformed().into());
            };
            let found =
                records.get::<TaskDefinition>(&TaskDefinition::key_of(account, region, family, revision));
            let found = found.filter(|_| is_ours).ok_or(TagError::Missing)?;
            Ok(Resource::Definition(Box::new((*found).clone())))
        }
        "task" => {
            let id = TaskId::of_arn(text).ok_or_else(malformed)?;
            let found = records.get::<Task>(&id.key()).filter(|_| is_ours).ok_or(TagError::Missing)?;
            Ok(Resource::Task(Box::new((*found).clone())))
        }
        "container-instance" => {
            let id = InstanceId::of_arn(text).ok_or_else(malformed)?;
            let found = records.get::<ContainerInstance>(&id.key());
            let found = found.filter(|found| is_ours && found.is_registered()).ok_or(TagError::Missing)?;
            Ok(Resource::Instance(Box::new((*found).clone())))
        }
        "service" => {
            let (id, last) = ServiceId::of_arn("service", text).ok_or_else(malformed)?;
            let found = records.get::<Service>(&id.key()).filter(|_| is_ours && last.is_empty());
            let found = found.filter(|service| service.deleted_at.is_none()).ok_or(TagError::Missing)?;
            Ok(Resource::Service(Box::new((*found).clone())))
        }
        _ => Err(malformed().into()),
    }
}
