//! Attributes that customers give to container instances: PutAttributes, DeleteAttributes,
//! ListAttributes.

use aws_ecs as aws;
use base::Fault;
use service::{Tx, View};
use store::{Record, Snapshot};

use super::{cluster, instance};
use crate::behaviour::attribute::{self, MOST};
use crate::faults::{self, InstanceError};
use crate::page::Page;
use crate::state::cluster::Cluster;
use crate::state::instance::ContainerInstance;

pub fn put(tx: &mut Tx<'_>, request: aws::PutAttributesRequest) -> Result<aws::PutAttributesResponse, Fault> {
    let cluster = cluster::find(tx, tx.caller, request.cluster.as_deref())?;
    let mut done = Vec::with_capacity(request.attributes.len());
    for given in few(request.attributes)? {
        let mut target = target(tx, &cluster, &given)?;
        attribute::check(&given.name, given.value.as_deref()).map_err(InstanceError::from)?;
        own(&given.name)?;
        target.attributes.insert(given.name.clone(), given.value.clone());
        if target.attributes.keys().filter(|name| !attribute::is_reserved(name)).count() > MOST {
            return Err(InstanceError::TooManyAttributes.into());
        }
        done.push(shape(&target, given.name, given.value));
        tx.put(target);
    }
    Ok(aws::PutAttributesResponse { attributes: Some(done) })
}

pub fn delete(
    tx: &mut Tx<'_>,
    request: aws::DeleteAttributesRequest,
) -> Result<aws::DeleteAttributesResponse, Fault> {
    let cluster = cluster::find(tx, tx.caller, request.cluster.as_deref())?;
    let mut done = Vec::with_capacity(request.attributes.len());
    for given in few(request.attributes)? {
        let mut target = target(tx, &cluster, &given)?;
        own(&given.name)?;
        // AWS: a value names only the attribute that has it.
        let is_meant = |has: &Option<String>| given.value.is_none() || given.value == *has;
        if target.attributes.get(&given.name).is_some_and(is_meant) {
            let value = target.attributes.remove(&given.name).flatten();
            done.push(shape(&target, given.name, value));
            tx.put(target);
        }
    }
    Ok(aws::DeleteAttributesResponse { attributes: Some(done) })
}

/// AWS: a request has at most ten attributes.
fn few(given: Vec<aws::Attribute>) -> Result<Vec<aws::Attribute>, Fault> {
    if given.is_empty() || given.len() > MOST {
        return Err(faults::invalid("attributes must have between 1 and 10 items."));
    }
    Ok(given)
}

fn own(name: &str) -> Result<(), Fault> {
    if attribute::is_reserved(name) {
        return Err(InstanceError::ReservedAttribute(String::from(name)).into());
    }
    Ok(())
}

/// The instance that an attribute is meant for.
fn target(
    records: &Snapshot,
    cluster: &Cluster,
    given: &aws::Attribute,
) -> Result<ContainerInstance, InstanceError> {
    let id = given.target_id.as_deref().unwrap_or_default();
    // AWS: an ARN says what it names; an id needs the type beside it.
    let is_typed = given.target_type.as_deref() == Some("container-instance");
    if !is_typed && !id.starts_with("arn:") {
        return Err(InstanceError::TargetType);
    }
    let found = instance::find(records, cluster, id)?.filter(|found| found.is_registered());
    Ok((*found.ok_or(InstanceError::Target)?).clone())
}

fn shape(target: &ContainerInstance, name: String, value: Option<String>) -> aws::Attribute {
    let target_id = Some(target.at.arn().to_string());
    aws::Attribute { name, value, target_id, target_type: Some(String::from("container-instance")) }
}

pub fn list(
    view: &View<'_>,
    request: aws::ListAttributesRequest,
) -> Result<aws::ListAttributesResponse, Fault> {
    let cluster = cluster::find(view, view.caller, request.cluster.as_deref())?;
    if request.target_type != "container-instance" {
        return Err(InstanceError::TargetType.into());
    }
    let prefix = cluster.key();
    let page = Page::of(&prefix, request.max_results, request.next_token.as_deref())?;
    let instances = view.scan::<ContainerInstance>(&prefix).filter(|found| found.is_registered());
    let all = instances.flat_map(|found| {
        let place = found.key();
        let one = |(name, value): (&String, &Option<String>)| {
            (place.child(name), shape(&found, name.clone(), value.clone()))
        };
        found.attributes.iter().map(one).collect::<Vec<_>>()
    });
    let is_wanted = |shape: &aws::Attribute| {
        request.attribute_name.as_ref().is_none_or(|name| *name == shape.name)
            && (request.attribute_value.is_none() || request.attribute_value == shape.value)
    };
    let after = page.after.clone();
    let rest = all.filter(|(key, shape)| after.as_ref().is_none_or(|after| key > after) && is_wanted(shape));
    let (attributes, next_token) = page.take(rest);
    Ok(aws::ListAttributesResponse { attributes: Some(attributes), next_token })
}
