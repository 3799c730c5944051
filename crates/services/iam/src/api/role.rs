//! Roles.

use aws_iam::{
    CreateRoleRequest, CreateRoleResponse, DeleteRoleRequest, GetRoleRequest, GetRoleResponse,
    ListInstanceProfilesForRoleRequest, ListInstanceProfilesForRoleResponse, ListRolesRequest,
    ListRolesResponse, UpdateAssumeRolePolicyRequest,
};
use base::{Chance, Fault};
use service::{Tx, View};
use wire::Empty;

use crate::api::tags;
use crate::behaviour::document::{self, Purpose};
use crate::behaviour::page::page;
use crate::state::{Role, find_role, role_key, roles_of};
use crate::{convert, faults};

/// AWS: quotas of IAM and STS.
const MOST_ROLES: usize = 1_000;
const LARGEST_TRUST: usize = 2_048;

pub(super) fn create(tx: &mut Tx<'_>, request: CreateRoleRequest) -> Result<CreateRoleResponse, Fault> {
    check_trust(&request.assume_role_policy_document)?;
    let account = tx.caller.account.clone();
    if tx.contains::<Role>(&role_key(&account, &request.role_name)) {
        return Err(faults::role_exists(&request.role_name));
    }
    if tx.scan::<Role>(&roles_of(tx.caller)).count() >= MOST_ROLES {
        return Err(faults::limit(format_args!("Cannot exceed quota for RolesPerAccount: {MOST_ROLES}")));
    }
    let role = Role {
        account,
        name: request.role_name,
        path: request.path.unwrap_or_else(|| String::from("/")),
        id: role_id(&mut tx.chance),
        created_at: tx.now,
        trust: request.assume_role_policy_document,
        description: request.description,
        max_session_secs: request.max_session_duration.unwrap_or(3_600),
        attached: Default::default(),
        inline: Default::default(),
        tags: tags::of(request.tags.unwrap_or_default())?,
    };
    let shape = convert::whole(&role);
    tx.put(role);
    Ok(CreateRoleResponse { role: shape })
}

/// `AROA` and 17 of the 32 letters and digits that AWS uses.
fn role_id(chance: &mut Chance) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let drawn = (0..17).map(|_| char::from(LETTERS[chance.below(32) as usize]));
    std::iter::once("AROA".to_owned()).chain(drawn.map(String::from)).collect()
}

fn check_trust(text: &str) -> Result<(), Fault> {
    document::check(text, Purpose::Trust).map_err(|malformed| faults::malformed(malformed.0))?;
    match document::size(text) > LARGEST_TRUST {
        true => Err(faults::limit(format_args!("Cannot exceed quota for ACLSizePerRole: {LARGEST_TRUST}"))),
        false => Ok(()),
    }
}

pub(super) fn get(view: &View<'_>, request: GetRoleRequest) -> Result<GetRoleResponse, Fault> {
    let role = find_role(view, view.caller, &request.role_name)?;
    Ok(GetRoleResponse { role: convert::whole(&role) })
}

pub(super) fn list(view: &View<'_>, request: ListRolesRequest) -> Result<ListRolesResponse, Fault> {
    let prefix = request.path_prefix.unwrap_or_default();
    let roles = view.scan::<Role>(&roles_of(view.caller)).filter(|role| role.path.starts_with(&prefix));
    let page = page(roles, |role| role.name.to_lowercase(), request.marker.as_deref(), request.max_items);
    Ok(ListRolesResponse {
        roles: page.items.iter().map(|role| convert::listed(role)).collect(),
        is_truncated: Some(page.marker.is_some()),
        marker: page.marker,
    })
}

pub(super) fn delete(tx: &mut Tx<'_>, request: DeleteRoleRequest) -> Result<Empty, Fault> {
    let role = find_role(tx, tx.caller, &request.role_name)?;
    if !role.attached.is_empty() {
        return Err(faults::has_attached());
    }
    if !role.inline.is_empty() {
        return Err(faults::has_inline());
    }
    tx.delete::<Role>(&role_key(&role.account, &role.name));
    Ok(Empty::default())
}

pub(super) fn update_trust(tx: &mut Tx<'_>, request: UpdateAssumeRolePolicyRequest) -> Result<Empty, Fault> {
    let role = find_role(tx, tx.caller, &request.role_name)?;
    check_trust(&request.policy_document)?;
    tx.put(Role { trust: request.policy_document, ..(*role).clone() });
    Ok(Empty::default())
}

/// There are no instance profiles yet, so a role is in none.
pub(super) fn instance_profiles(
    view: &View<'_>,
    request: ListInstanceProfilesForRoleRequest,
) -> Result<ListInstanceProfilesForRoleResponse, Fault> {
    find_role(view, view.caller, &request.role_name)?;
    Ok(ListInstanceProfilesForRoleResponse { is_truncated: Some(false), ..Default::default() })
}
