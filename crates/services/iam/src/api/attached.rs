//! A role's managed policies.

use aws_iam::{
    AttachRolePolicyRequest, AttachedPolicy, DetachRolePolicyRequest, ListAttachedRolePoliciesRequest,
    ListAttachedRolePoliciesResponse,
};
use base::{Arn, Fault};
use service::{Tx, View};
use wire::Empty;

use crate::behaviour::managed::{Standing, path_and_name, standing};
use crate::behaviour::page::page;
use crate::faults;
use crate::state::{Role, find_role};

/// AWS: quotas of IAM and STS.
const MOST: usize = 10;

pub(super) fn attach(tx: &mut Tx<'_>, request: AttachRolePolicyRequest) -> Result<Empty, Fault> {
    let role = find_role(tx, tx.caller, &request.role_name)?;
    let arn = Arn::parse(&request.policy_arn).map_err(|_| faults::bad_arn(&request.policy_arn))?;
    match standing(&arn) {
        Standing::Attachable => {}
        Standing::ServiceLinked => return Err(faults::not_attachable()),
        Standing::Unknown => return Err(faults::no_policy(arn.as_str())),
    }
    let mut role = Role::clone(&role);
    role.attached.insert(request.policy_arn);
    if role.attached.len() > MOST {
        return Err(faults::limit(format_args!("Cannot exceed quota for PoliciesPerRole: {MOST}")));
    }
    tx.put(role);
    Ok(Empty::default())
}

pub(super) fn detach(tx: &mut Tx<'_>, request: DetachRolePolicyRequest) -> Result<Empty, Fault> {
    let mut role = Role::clone(&*find_role(tx, tx.caller, &request.role_name)?);
    if !role.attached.remove(&request.policy_arn) {
        return Err(faults::not_attached(&request.policy_arn));
    }
    tx.put(role);
    Ok(Empty::default())
}

pub(super) fn list(
    view: &View<'_>,
    request: ListAttachedRolePoliciesRequest,
) -> Result<ListAttachedRolePoliciesResponse, Fault> {
    let role = find_role(view, view.caller, &request.role_name)?;
    let prefix = request.path_prefix.unwrap_or_default();
    let arns = role.attached.iter().filter(|arn| path_and_name(arn).0.starts_with(&prefix));
    let page = page(arns, |arn| arn.to_string(), request.marker.as_deref(), request.max_items);
    let policy = |arn: &String| AttachedPolicy {
        policy_name: Some(path_and_name(arn).1.to_owned()),
        policy_arn: Some(arn.clone()),
    };
    Ok(ListAttachedRolePoliciesResponse {
        attached_policies: Some(page.items.into_iter().map(policy).collect()),
        is_truncated: Some(page.marker.is_some()),
        marker: page.marker,
    })
}
