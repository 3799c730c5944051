//! Service revisions: everything that a service's tasks are started from, fixed when a deployment
//! is asked for.

use std::collections::BTreeMap;

use base::Timestamp;
use core_lifecycle::LaunchType;
use serde::{Deserialize, Serialize};
use store::{Entries, Key, Record};

use super::service::{LoadBalancer, NetworkConfiguration, ServiceId};

/// One revision. Never changes, but for what its first tasks find and where they are registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    pub at: ServiceId,
    /// Nineteen digits: the last part of its ARN, and of `ecs-svc/…`.
    pub id: String,
    /// The id of the deployment that brought it.
    pub deployment: String,
    pub family: String,
    pub revision: u32,
    pub launch_type: LaunchType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_version: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub balancers: Vec<LoadBalancer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkConfiguration>,
    pub created_at: Timestamp,
    /// AWS: version consistency. Container → digest, once a task has resolved it; written by the
    /// controller `services`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, String>,
    /// Zones that its tasks can be in, once one has started; written by the controller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// Its tasks are registered in the alternate target groups; written by the controller, where a
    /// deployment that shifts traffic begins.
    #[serde(default)]
    pub is_alternate: bool,
}

impl Revision {
    pub fn key_of(at: &ServiceId, id: &str) -> Key {
        at.under(id)
    }

    pub fn arn(&self) -> base::Arn {
        self.at.arn_of("service-revision", Some(&self.id))
    }

    /// What tasks of it are started by.
    pub fn started_by(&self) -> String {
        format!("ecs-svc/{}", self.id)
    }
}

impl Record for Revision {
    const KIND: &'static str = "ecs/service-revision";
    fn key(&self) -> Key {
        Revision::key_of(&self.at, &self.id)
    }
    fn index(&self, entries: &mut Entries) {
        let ServiceId { account, region, .. } = &self.at;
        let definition = self.revision.to_string();
        entries.add(BY_DEFINITION, &[account.as_str(), region.as_str(), &self.family, &definition]);
        for balancer in &self.balancers {
            let alternate = balancer.advanced_configuration.as_ref();
            let alternate = alternate.and_then(|advanced| advanced.alternate_target_group_arn.as_deref());
            for group in balancer.target_group_arn.as_deref().into_iter().chain(alternate) {
                entries.add(BY_GROUP, &[group]);
            }
        }
    }
}

/// The index of revisions by the target groups that their tasks are registered in.
pub const BY_GROUP: &str = "by-group";

/// The index of revisions by the task definition that their tasks start from.
pub const BY_DEFINITION: &str = "by-definition";
