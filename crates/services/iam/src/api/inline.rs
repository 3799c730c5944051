//! A role's inline policies.

use aws_iam::{
    DeleteRolePolicyRequest, GetRolePolicyRequest, GetRolePolicyResponse, ListRolePoliciesRequest,
    ListRolePoliciesResponse, PutRolePolicyRequest,
};
use base::Fault;
use service::{Tx, View};
use wire::Empty;

use crate::behaviour::document::{self, Purpose};
use crate::behaviour::page::page;
use crate::state::{Role, find_role};
use crate::{convert, faults};

/// AWS: all of a role's inline policies together, white space not counted.
const LARGEST: usize = 10_240;

pub(super) fn put(tx: &mut Tx<'_>, request: PutRolePolicyRequest) -> Result<Empty, Fault> {
    let mut role = Role::clone(&*find_role(tx, tx.caller, &request.role_name)?);
    document::check(&request.policy_document, Purpose::Permissions)
        .map_err(|malformed| faults::malformed(malformed.0))?;
    role.inline.insert(request.policy_name, request.policy_document);
    let size: usize = role.inline.values().map(|text| document::size(text)).sum();
    if size > LARGEST {
        return Err(faults::limit(format_args!(
            "Maximum policy size of {LARGEST} bytes exceeded for role {}",
            role.name
        )));
    }
    tx.put(role);
    Ok(Empty::default())
}

pub(super) fn get(view: &View<'_>, request: GetRolePolicyRequest) -> Result<GetRolePolicyResponse, Fault> {
    let role = find_role(view, view.caller, &request.role_name)?;
    let document = role.inline.get(&request.policy_name);
    let document = document.ok_or_else(|| faults::no_inline_policy(&request.policy_name))?;
    Ok(GetRolePolicyResponse {
        role_name: role.name.clone(),
        policy_document: convert::url_encoded(document),
        policy_name: request.policy_name,
    })
}

pub(super) fn list(
    view: &View<'_>,
    request: ListRolePoliciesRequest,
) -> Result<ListRolePoliciesResponse, Fault> {
    let role = find_role(view, view.caller, &request.role_name)?;
    let names = role.inline.keys().cloned();
    let page = page(names, String::clone, request.marker.as_deref(), request.max_items);
    Ok(ListRolePoliciesResponse {
        policy_names: page.items,
        is_truncated: Some(page.marker.is_some()),
        marker: page.marker,
    })
}

pub(super) fn delete(tx: &mut Tx<'_>, request: DeleteRolePolicyRequest) -> Result<Empty, Fault> {
    let mut role = Role::clone(&*find_role(tx, tx.caller, &request.role_name)?);
    if role.inline.remove(&request.policy_name).is_none() {
        return Err(faults::no_inline_policy(&request.policy_name));
    }
    tx.put(role);
    Ok(Empty::default())
}
