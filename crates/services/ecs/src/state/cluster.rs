//! Clusters.

use base::{AccountId, Arn, Region, Tags, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Key, Record};

use super::kept::kept;

kept! {
    ClusterSetting {
        name: Option<String>,
        value: Option<String>,
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    pub account: AccountId,
    pub region: Region,
    pub name: String,
    /// AWS: a deleted cluster stays visible as INACTIVE for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    pub settings: Vec<ClusterSetting>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capacity_providers: Vec<String>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec_logging: Option<ExecLogging>,
}

/// Where what is said in sessions of ExecuteCommand is written, if anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecLogging {
    Nowhere,
    /// AWS: beside the container's own log.
    WithContainer,
}

impl Cluster {
    pub fn is_active(&self) -> bool {
        self.deleted_at.is_none()
    }

    pub fn key_of(account: &AccountId, region: &Region, name: &str) -> Key {
        Key::of(&[account.as_str(), region.as_str(), name])
    }

    pub fn arn(&self) -> Arn {
        Cluster::arn_of(&self.account, &self.region, &self.name)
    }

    pub fn arn_of(account: &AccountId, region: &Region, name: &str) -> Arn {
        Arn::new("ecs", region.as_str(), account, format_args!("cluster/{name}"))
    }
}

impl Record for Cluster {
    const KIND: &'static str = "ecs/cluster";
    fn key(&self) -> Key {
        Cluster::key_of(&self.account, &self.region, &self.name)
    }
}
