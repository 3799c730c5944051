//! Records and default resources as the API shows them.

mod instance;
mod interface;
mod security_group;
mod vpc;

use aws_ec2 as api;
use base::{Arn, Tags};

use crate::state::default::Home;

pub use instance::{instance, instance_status, reservation};
pub use interface::{attachment, group_names, network_interface, status};
pub use security_group::{revoked, rule, security_group};
pub use vpc::{internet_gateway, route_table, subnet, vpc};

/// Tags as lists show them: in the order of their keys.
pub fn tags(tags: &Tags) -> Vec<api::Tag> {
    let one =
        |(key, value): (&String, &String)| api::Tag { key: Some(key.clone()), value: Some(value.clone()) };
    tags.iter().map(one).collect()
}

/// AWS: a resource without tags shows none at all, not an empty list, where it is one of the older.
fn some_tags(of: &Tags) -> Option<Vec<api::Tag>> {
    (!of.is_empty()).then(|| tags(of))
}

pub fn text(text: impl ToString) -> Option<String> {
    Some(text.to_string())
}

fn arn(home: &Home, kind: &str, id: &str) -> Option<String> {
    text(Arn::new("ec2", home.region.as_str(), &home.account, format_args!("{kind}/{id}")))
}
