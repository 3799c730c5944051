//! Target groups.

use std::collections::BTreeMap;

use base::{Tags, Timestamp};
use core_routing::{GroupKind, Protocol, Version};
use serde::{Deserialize, Serialize};
use store::{Key, Record};

use super::id::GroupId;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub at: GroupId,
    pub kind: GroupKind,
    pub protocol: Protocol,
    pub version: Version,
    pub port: u16,
    pub vpc: String,
    pub check: Check,
    /// What was set, by AWS's keys; the others have their defaults.
    pub attributes: BTreeMap<String, String>,
    pub tags: Tags,
    pub created_at: Timestamp,
}

/// How targets are checked, as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub protocol: Protocol,
    /// `None`: `traffic-port`.
    pub port: Option<u16>,
    pub path: String,
    pub interval_seconds: u32,
    pub timeout_seconds: u32,
    pub healthy_after: u32,
    pub unhealthy_after: u32,
    /// `200`, `200,202` or `200-299`; codes of gRPC where the version is that.
    pub matcher: String,
}

impl Record for Group {
    const KIND: &'static str = "elb/group";

    fn key(&self) -> Key {
        self.at.key()
    }
}
