//! Tags of load balancers, target groups, listeners and rules: AddTags, RemoveTags, DescribeTags.

use std::sync::Arc;

use aws_elbv2 as aws;
use base::{Fault, Tags};
use service::{Caller, Tx, View};
use store::Snapshot;

use super::find;
use crate::convert;
use crate::faults;
use crate::state::{Balancer, Group, Listener, Rule};

/// AWS: tags of one resource, and resources of one request.
const MOST: usize = 50;
const MOST_RESOURCES: usize = 20;

/// A request's tags, refused if a key is there twice or is not a customer's to set.
pub fn checked(given: Option<Vec<aws::Tag>>) -> Result<Tags, Fault> {
    let mut tags = Tags::new();
    for tag in given.into_iter().flatten() {
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(faults::invalid(format_args!(
                "The tag key '{}' cannot begin with 'aws:', which is reserved",
                tag.key
            )));
        }
        if tags.insert(tag.key.clone(), tag.value.unwrap_or_default()).is_some() {
            return Err(Fault::caller(
                "DuplicateTagKeys",
                format_args!("Tag key '{}' was specified more than once", tag.key),
            ));
        }
    }
    check_count(&tags)?;
    Ok(tags)
}

fn check_count(tags: &Tags) -> Result<(), Fault> {
    if tags.len() > MOST {
        return Err(faults::too_many("TooManyTags", "tags per resource", MOST));
    }
    Ok(())
}

enum Resource {
    Balancer(Arc<Balancer>),
    Group(Arc<Group>),
    Listener(Arc<Listener>),
    Rule(Arc<Rule>),
}

impl Resource {
    fn find(records: &Snapshot, caller: &Caller, arn: &str) -> Result<Resource, Fault> {
        let kind = arn.splitn(6, ':').nth(5).and_then(|resource| resource.split('/').next());
        match kind {
            Some("loadbalancer") => find::balancer(records, caller, arn).map(Resource::Balancer),
            Some("targetgroup") => find::group(records, caller, arn).map(Resource::Group),
            Some("listener") => find::listener(records, caller, arn).map(Resource::Listener),
            Some("listener-rule") => find::rule(records, caller, arn).map(Resource::Rule),
            Some("truststore") => Err(faults::refuse("ResourceArns: trust stores")),
            _ => Err(faults::invalid(format_args!("'{arn}' is not a valid Elastic Load Balancing ARN"))),
        }
    }

    fn all(records: &Snapshot, caller: &Caller, arns: &[String]) -> Result<Vec<Resource>, Fault> {
        if arns.is_empty() {
            return Err(faults::invalid("At least one resource ARN must be specified"));
        }
        if arns.len() > MOST_RESOURCES {
            return Err(faults::invalid(format_args!(
                "At most '{MOST_RESOURCES}' resource ARNs can be specified"
            )));
        }
        arns.iter().map(|arn| Resource::find(records, caller, arn)).collect()
    }

    fn tags(&self) -> &Tags {
        match self {
            Resource::Balancer(balancer) => &balancer.tags,
            Resource::Group(group) => &group.tags,
            Resource::Listener(listener) => &listener.tags,
            Resource::Rule(rule) => &rule.tags,
        }
    }

    fn put(self, tx: &mut Tx<'_>, tags: Tags) {
        match self {
            Resource::Balancer(balancer) => tx.put(Balancer { tags, ..(*balancer).clone() }),
            Resource::Group(group) => tx.put(Group { tags, ..(*group).clone() }),
            Resource::Listener(listener) => tx.put(Listener { tags, ..(*listener).clone() }),
            Resource::Rule(rule) => tx.put(Rule { tags, ..(*rule).clone() }),
        }
    }
}

pub fn add(tx: &mut Tx<'_>, request: aws::AddTagsInput) -> Result<aws::AddTagsOutput, Fault> {
    let new = checked(Some(request.tags))?;
    for resource in Resource::all(tx, tx.caller, &request.resource_arns)? {
        let mut tags = resource.tags().clone();
        tags.extend(new.clone());
        check_count(&tags)?;
        resource.put(tx, tags);
    }
    Ok(aws::AddTagsOutput::default())
}

pub fn remove(tx: &mut Tx<'_>, request: aws::RemoveTagsInput) -> Result<aws::RemoveTagsOutput, Fault> {
    for resource in Resource::all(tx, tx.caller, &request.resource_arns)? {
        let mut tags = resource.tags().clone();
        tags.retain(|key, _| !request.tag_keys.contains(key));
        resource.put(tx, tags);
    }
    Ok(aws::RemoveTagsOutput::default())
}

pub fn describe(view: &View<'_>, request: aws::DescribeTagsInput) -> Result<aws::DescribeTagsOutput, Fault> {
    let resources = Resource::all(view, view.caller, &request.resource_arns)?;
    let shape = |(arn, resource): (String, Resource)| aws::TagDescription {
        resource_arn: Some(arn),
        tags: Some(convert::tags(resource.tags())),
    };
    let tag_descriptions = request.resource_arns.into_iter().zip(resources).map(shape).collect();
    Ok(aws::DescribeTagsOutput { tag_descriptions: Some(tag_descriptions) })
}
