//! Records → shapes.

use std::fmt::Write;

use aws_iam as shape;
use base::Tags;

use crate::state::Role;

/// A role as the lists have it. AWS: they leave out tags and last use.
pub(crate) fn listed(role: &Role) -> shape::Role {
    shape::Role {
        path: role.path.clone(),
        role_name: role.name.clone(),
        role_id: role.id.clone(),
        arn: role.arn().to_string(),
        create_date: role.created_at,
        assume_role_policy_document: Some(url_encoded(&role.trust)),
        description: role.description.clone(),
        max_session_duration: Some(role.max_session_secs),
        ..shape::Role::default()
    }
}

/// A role with everything.
pub(crate) fn whole(role: &Role) -> shape::Role {
    shape::Role {
        tags: (!role.tags.is_empty()).then(|| tags(&role.tags)),
        role_last_used: Some(shape::RoleLastUsed::default()),
        ..listed(role)
    }
}

pub(crate) fn tags(tags: &Tags) -> Vec<shape::Tag> {
    tags.iter().map(|(key, value)| shape::Tag { key: key.clone(), value: value.clone() }).collect()
}

/// AWS: documents are answered URL-encoded, as RFC 3986 says.
pub(crate) fn url_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}
