//! A role's tags.

use aws_iam::{ListRoleTagsRequest, ListRoleTagsResponse, Tag, TagRoleRequest, UntagRoleRequest};
use base::{Fault, Tags};
use service::{Tx, View};
use wire::Empty;

use crate::behaviour::page::page;
use crate::state::{Role, find_role};
use crate::{convert, faults};

const MOST: usize = 50;

/// The tags of a request, each key once.
pub(super) fn of(list: Vec<Tag>) -> Result<Tags, Fault> {
    let count = list.len();
    let tags: Tags = list.into_iter().map(|tag| (tag.key, tag.value)).collect();
    let mut folded: Vec<String> = tags.keys().map(|key| key.to_lowercase()).collect();
    folded.sort_unstable();
    folded.dedup();
    match folded.len() == count {
        true => Ok(tags),
        false => Err(faults::repeated_tag()),
    }
}

pub(super) fn tag(tx: &mut Tx<'_>, request: TagRoleRequest) -> Result<Empty, Fault> {
    let mut role = Role::clone(&*find_role(tx, tx.caller, &request.role_name)?);
    for (key, value) in of(request.tags)? {
        // AWS: a key that differs only in case is the same key.
        role.tags.retain(|known, _| !known.eq_ignore_ascii_case(&key));
        role.tags.insert(key, value);
    }
    if role.tags.len() > MOST {
        return Err(faults::limit("The number of tags has reached the maximum limit."));
    }
    tx.put(role);
    Ok(Empty::default())
}

pub(super) fn untag(tx: &mut Tx<'_>, request: UntagRoleRequest) -> Result<Empty, Fault> {
    let mut role = Role::clone(&*find_role(tx, tx.caller, &request.role_name)?);
    role.tags.retain(|known, _| !request.tag_keys.iter().any(|key| known.eq_ignore_ascii_case(key)));
    tx.put(role);
    Ok(Empty::default())
}

pub(super) fn list(view: &View<'_>, request: ListRoleTagsRequest) -> Result<ListRoleTagsResponse, Fault> {
    let role = find_role(view, view.caller, &request.role_name)?;
    let page = page(
        convert::tags(&role.tags).into_iter(),
        |tag| tag.key.clone(),
        request.marker.as_deref(),
        request.max_items,
    );
    Ok(ListRoleTagsResponse {
        tags: page.items,
        is_truncated: Some(page.marker.is_some()),
        marker: page.marker,
    })
}
