//! Tags of log groups, by name (the older operations) and by ARN.

use std::sync::Arc;

use aws_logs::{
    ListTagsForResourceRequest, ListTagsForResourceResponse, ListTagsLogGroupRequest,
    ListTagsLogGroupResponse, TagLogGroupRequest, TagResourceRequest, UntagLogGroupRequest,
    UntagResourceRequest,
};
use base::{Arn, Fault, Tags};
use service::{Caller, Tx, View};
use store::Snapshot;
use wire::Empty;

use crate::faults;
use crate::state::{Group, find_group};

const MOST: usize = 50;

pub(super) fn tag_group(tx: &mut Tx<'_>, request: TagLogGroupRequest) -> Result<Empty, Fault> {
    let group = find_group(tx, tx.caller, Some(&request.log_group_name), None)?;
    add(tx, &group, request.tags)
}

pub(super) fn untag_group(tx: &mut Tx<'_>, request: UntagLogGroupRequest) -> Result<Empty, Fault> {
    let group = find_group(tx, tx.caller, Some(&request.log_group_name), None)?;
    remove(tx, &group, &request.tags)
}

pub(super) fn list_of_group(
    view: &View<'_>,
    request: ListTagsLogGroupRequest,
) -> Result<ListTagsLogGroupResponse, Fault> {
    let group = find_group(view, view.caller, Some(&request.log_group_name), None)?;
    Ok(ListTagsLogGroupResponse { tags: Some(group.tags.clone()) })
}

pub(super) fn tag(tx: &mut Tx<'_>, request: TagResourceRequest) -> Result<Empty, Fault> {
    let group = by_arn(tx, tx.caller, &request.resource_arn)?;
    add(tx, &group, request.tags)
}

pub(super) fn untag(tx: &mut Tx<'_>, request: UntagResourceRequest) -> Result<Empty, Fault> {
    let group = by_arn(tx, tx.caller, &request.resource_arn)?;
    remove(tx, &group, &request.tag_keys)
}

pub(super) fn list(
    view: &View<'_>,
    request: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, Fault> {
    let group = by_arn(view, view.caller, &request.resource_arn)?;
    Ok(ListTagsForResourceResponse { tags: Some(group.tags.clone()) })
}

/// Only groups can be tagged here; destinations do not exist yet.
fn by_arn(records: &Snapshot, caller: &Caller, arn: &str) -> Result<Arc<Group>, Fault> {
    if Arn::parse(arn).is_err() {
        return Err(faults::invalid(format_args!("'{arn}' is not a valid ARN.")));
    }
    find_group(records, caller, None, Some(arn)).map_err(|_| faults::no_resource())
}

fn add(tx: &mut Tx<'_>, group: &Group, tags: Tags) -> Result<Empty, Fault> {
    let mut group = group.clone();
    group.tags.extend(tags);
    if group.tags.len() > MOST {
        return Err(faults::too_many_tags(group.arn().as_str()));
    }
    tx.put(group);
    Ok(Empty::default())
}

fn remove(tx: &mut Tx<'_>, group: &Group, keys: &[String]) -> Result<Empty, Fault> {
    let mut group = group.clone();
    keys.iter().for_each(|key| drop(group.tags.remove(key)));
    tx.put(group);
    Ok(Empty::default())
}
