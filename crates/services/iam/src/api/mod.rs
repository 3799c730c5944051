//! One file per resource; this one says which handler answers what, and on which members it acts.

mod attached;
mod inline;
mod role;
mod tags;

use aws_iam::op;
use service::{Acts, Operation};

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::write::<op::CreateRole>(
            Acts::On(&[
                "Path",
                "RoleName",
                "AssumeRolePolicyDocument",
                "Description",
                "MaxSessionDuration",
                "Tags",
            ]),
            role::create,
        ),
        Operation::read::<op::GetRole>(Acts::All, role::get),
        Operation::read::<op::ListRoles>(Acts::All, role::list),
        Operation::write::<op::DeleteRole>(Acts::All, role::delete),
        Operation::write::<op::UpdateAssumeRolePolicy>(Acts::All, role::update_trust),
        Operation::read::<op::ListInstanceProfilesForRole>(Acts::All, role::instance_profiles),
        Operation::write::<op::AttachRolePolicy>(Acts::All, attached::attach),
        Operation::write::<op::DetachRolePolicy>(Acts::All, attached::detach),
        Operation::read::<op::ListAttachedRolePolicies>(Acts::All, attached::list),
        Operation::write::<op::PutRolePolicy>(Acts::All, inline::put),
        Operation::read::<op::GetRolePolicy>(Acts::All, inline::get),
        Operation::read::<op::ListRolePolicies>(Acts::All, inline::list),
        Operation::write::<op::DeleteRolePolicy>(Acts::All, inline::delete),
        Operation::write::<op::TagRole>(Acts::All, tags::tag),
        Operation::write::<op::UntagRole>(Acts::All, tags::untag),
        Operation::read::<op::ListRoleTags>(Acts::All, tags::list),
    ]
}
