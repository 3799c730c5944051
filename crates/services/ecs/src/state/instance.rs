//! Container instances: what registered itself as a place for tasks of launch type EC2.
//!
//! Invariant: orders go to an instance's host alone; one without a host was registered by somebody
//! else's program and carries no task of ours.

use std::collections::BTreeMap;

use base::{AccountId, Arn, Region, Tags, Timestamp};
use link::HostId;
use serde::{Deserialize, Serialize};
use store::{Entries, Key, Record};

use super::kept::kept;

kept! {
    VersionInfo {
        agent_version: Option<String>,
        agent_hash: Option<String>,
        docker_version: Option<String>,
    }
}

/// Where a container instance is found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceId {
    pub account: AccountId,
    pub region: Region,
    pub cluster: String,
    /// 32 hexadecimal digits.
    pub id: String,
}

/// One registered instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerInstance {
    pub at: InstanceId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ec2_instance_id: Option<String>,
    /// The host behind it, if it is one of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// Its agent takes orders.
    #[serde(default)]
    pub is_connected: bool,
    pub status: InstanceStatus,
    #[serde(default)]
    pub version_info: VersionInfo,
    pub registered: Resources,
    /// By name; many have no value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Option<String>>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    pub registered_at: Timestamp,
    /// Grows with every change, as the API's `version`.
    pub version: u64,
}

/// ```text
///  Active ◀──UpdateContainerInstancesState──▶ Draining
///     └──────────── deregister ──▶ Inactive ◀────┘ ──after an hour──▶ (gone)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceStatus {
    Active,
    /// Keeps its tasks, takes no new ones.
    Draining,
    Inactive {
        deregistered_at: Timestamp,
    },
}

/// What an instance has for tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Units: 1024 are one vCPU.
    pub cpu: i64,
    /// MiB.
    pub memory: i64,
    /// Ports that are no task's to take.
    pub reserved_tcp: Vec<u16>,
    pub reserved_udp: Vec<u16>,
    /// Ids of devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<String>,
}

/// The index of instances by the host behind them.
pub const BY_HOST: &str = "by-host";

impl InstanceId {
    pub fn key(&self) -> Key {
        Key::of(&[self.account.as_str(), self.region.as_str(), &self.cluster, &self.id])
    }

    pub fn arn(&self) -> Arn {
        let resource = format_args!("container-instance/{}/{}", self.cluster, self.id);
        Arn::new("ecs", self.region.as_str(), &self.account, resource)
    }

    /// The instance that a long ARN names; none for anything else.
    pub fn of_arn(text: &str) -> Option<InstanceId> {
        let arn = Arn::parse(text).ok()?;
        let mut parts = arn.resource().split('/');
        let (Some("container-instance"), Some(cluster), Some(id), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        Some(InstanceId {
            account: AccountId::parse(arn.account())?,
            region: Region::parse(arn.region())?,
            cluster: String::from(cluster),
            id: String::from(id),
        })
    }
}

impl ContainerInstance {
    pub fn is_registered(&self) -> bool {
        match self.status {
            InstanceStatus::Active | InstanceStatus::Draining => true,
            InstanceStatus::Inactive { .. } => false,
        }
    }
}

impl Record for ContainerInstance {
    const KIND: &'static str = "ecs/container-instance";
    fn key(&self) -> Key {
        self.at.key()
    }
    fn index(&self, entries: &mut Entries) {
        if let Some(host) = self.host.as_ref().filter(|_| self.is_registered()) {
            entries.add(BY_HOST, &[&host.0]);
        }
    }
}
