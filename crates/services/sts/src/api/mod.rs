//! Handlers, one file per operation.

mod access_key;
mod assume_role;
mod identity;
mod session_token;

use aws_sts::op;
use service::{Acts, Operation};

use crate::Config;
use crate::seal::Seal;

pub(crate) fn operations(config: &Config) -> Vec<Operation> {
    let issue = |config: &Config| (Seal::new(config.secret.clone()), config.wall);
    let (assume, session) = (issue(config), issue(config));
    vec![
        Operation::write::<op::AssumeRole>(
            Acts::On(&["RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId", "SourceIdentity"]),
            move |tx, request| assume_role::assume(tx, request, &assume.0, (assume.1)()),
        ),
        Operation::read::<op::GetAccessKeyInfo>(Acts::All, access_key::info),
        Operation::data::<op::GetCallerIdentity, _, _>(Acts::All, identity::get),
        Operation::write::<op::GetSessionToken>(Acts::On(&["DurationSeconds"]), move |tx, request| {
            session_token::get(tx, request, &session.0, (session.1)())
        }),
    ]
}
