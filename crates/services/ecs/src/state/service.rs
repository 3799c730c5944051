//! Services: what their owners want, and how they stand.

use std::collections::BTreeMap;

use base::{AccountId, Arn, Region, Tags, Timestamp};
use core_rollout::throttle::Throttle;
use serde::{Deserialize, Serialize};
use store::{Entries, Key, Record};

use super::kept::kept;

kept! {
    AdvancedConfiguration {
        alternate_target_group_arn: Option<String>,
        production_listener_rule: Option<String>,
        test_listener_rule: Option<String>,
        role_arn: Option<String>,
    }
    LoadBalancer {
        target_group_arn: Option<String>,
        load_balancer_name: Option<String>,
        container_name: Option<String>,
        container_port: Option<i32>,
        advanced_configuration: Option<AdvancedConfiguration>,
    }
    AwsVpcConfiguration {
        subnets: Vec<String>,
        security_groups: Option<Vec<String>>,
        assign_public_ip: Option<String>,
    }
    NetworkConfiguration {
        awsvpc_configuration: Option<AwsVpcConfiguration>,
    }
    /// Kept where they are switched off; nothing looks at them.
    DeploymentAlarms {
        alarm_names: Vec<String>,
        rollback: bool,
        enable: bool,
    }
}

/// Where a service is found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceId {
    pub account: AccountId,
    pub region: Region,
    pub cluster: String,
    pub name: String,
}

impl ServiceId {
    pub fn key(&self) -> Key {
        Key::of(&[self.account.as_str(), self.region.as_str(), &self.cluster, &self.name])
    }

    /// The key of something that lies under the service.
    pub fn under(&self, last: &str) -> Key {
        Key::of(&[self.account.as_str(), self.region.as_str(), &self.cluster, &self.name, last])
    }

    pub fn arn(&self) -> Arn {
        self.arn_of("service", None)
    }

    /// `service-revision/CLUSTER/NAME/LAST`, `service-deployment/…`.
    pub fn arn_of(&self, kind: &str, last: Option<&str>) -> Arn {
        let ServiceId { account, region, cluster, name } = self;
        match last {
            None => Arn::new("ecs", region.as_str(), account, format_args!("{kind}/{cluster}/{name}")),
            Some(last) => {
                Arn::new("ecs", region.as_str(), account, format_args!("{kind}/{cluster}/{name}/{last}"))
            }
        }
    }

    /// The service and the last part that an ARN of `kind` names; the last part is empty for a
    /// service's own.
    pub fn of_arn(kind: &str, text: &str) -> Option<(ServiceId, String)> {
        let arn = Arn::parse(text).ok()?;
        let mut parts = arn.resource().split('/');
        let (kind_of, cluster, name) = (parts.next()?, parts.next()?, parts.next()?);
        let last = parts.next().unwrap_or_default();
        if kind_of != kind || parts.next().is_some() || arn.service() != "ecs" {
            return None;
        }
        let id = ServiceId {
            account: AccountId::parse(arn.account())?,
            region: Region::parse(arn.region())?,
            cluster: String::from(cluster),
            name: String::from(name),
        };
        Some((id, String::from(last)))
    }
}

/// What the owner of a service wants. Written by callers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub at: ServiceId,
    pub desired: u32,
    /// The revision that its tasks should be of: the target of its newest deployment. Callers move
    /// it forward; the controller moves it back where a deployment is rolled back.
    pub revision: String,
    /// The id of its newest deployment.
    pub newest_deployment: String,
    pub deployment: DeploymentSettings,
    pub grace_seconds: u32,
    #[serde(default)]
    pub is_rebalanced: bool,
    pub propagate: Propagate,
    #[serde(default)]
    pub has_managed_tags: bool,
    #[serde(default)]
    pub enable_execute_command: bool,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    pub created_at: Timestamp,
    pub created_by: String,
    /// DeleteService was accepted: no task is wanted, and none of it comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    /// A digest of the request that made it: the same again answers with the service, another one
    /// of the same name is a conflict.
    #[serde(default)]
    pub request: String,
}

/// `deploymentConfiguration`, as the API has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentSettings {
    pub minimum_percent: u32,
    pub maximum_percent: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    pub strategy: Strategy,
    #[serde(default)]
    pub bake_minutes: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// Early success: the share of healthy tasks at which a deployment counts as done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early: Option<EarlySuccess>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarms: Option<DeploymentAlarms>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlySuccess {
    /// `None`: the API's default.
    pub healthy_percent: Option<u32>,
    /// `sourceServiceRevisionCleanup`: whether tasks of the old revision must be gone first.
    pub is_blocking: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    pub is_enabled: bool,
    pub rolls_back: bool,
    /// A task that becomes healthy sets the count of failures back.
    pub resets: bool,
    /// `None`: AWS's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<core_rollout::breaker::Threshold>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Strategy {
    Rolling,
    BlueGreen,
    Linear { step_percent: f64, bake_minutes: u32 },
    Canary { percent: f64, bake_minutes: u32 },
}

/// A PAUSE hook: a stage at whose end somebody must say that it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    pub stages: Vec<core_rollout::shift::Stage>,
    /// Minutes until nobody's answer is taken for one.
    pub timeout_minutes: Option<u32>,
    /// What no answer means: going on, or (else) rolling back.
    pub continues: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagate {
    Nothing,
    TaskDefinition,
    Service,
}

/// How a service stands. Written by the controller `services` alone, but for its first version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    pub at: ServiceId,
    pub state: State,
    /// Tasks of each revision that has any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, Counts>,
    /// Of revisions whose tasks fail to start.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub throttles: BTreeMap<String, Throttle>,
    /// The revision that a deployment has completed with last: what a failed one goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<String>,
    /// When it was told to be steady last; nothing has moved since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady_told_at: Option<Timestamp>,
    /// How many events there were: the next one's number.
    #[serde(default)]
    pub events: u64,
    /// The last sentence about a start that could not be, and when it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complaint: Option<(String, Timestamp)>,
    /// When a start that could not be is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The revision whose deployment has failed or was stopped, and was not rolled back: no task of
    /// it is started any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted: Option<String>,
}

/// A start that could not be: no instance had room, no subnet an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Of another revision, tasks start at once.
    pub revision: String,
    /// How often in a row.
    pub failed: u32,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Active,
    Draining,
    Inactive { since: Timestamp },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    pub pending: u32,
    pub running: u32,
}

impl ServiceStatus {
    /// Of a service that was just accepted.
    pub fn new(at: ServiceId) -> ServiceStatus {
        ServiceStatus {
            at,
            state: State::Active,
            counts: BTreeMap::new(),
            throttles: BTreeMap::new(),
            completed: None,
            steady_told_at: None,
            events: 0,
            complaint: None,
            retry: None,
            halted: None,
        }
    }
}

impl Record for Service {
    const KIND: &'static str = "ecs/service";
    fn key(&self) -> Key {
        self.at.key()
    }
    fn index(&self, entries: &mut Entries) {
        if let Some(token) = self.client_token.as_deref() {
            entries.add(BY_TOKEN, &[self.at.account.as_str(), self.at.region.as_str(), token]);
        }
        if self.deleted_at.is_none() && self.tags.contains_key(crate::behaviour::wake::TAG) {
            entries.add(SLEEPERS, &[self.at.account.as_str(), self.at.region.as_str()]);
        }
    }
}

impl Record for ServiceStatus {
    const KIND: &'static str = "ecs/service-status";
    fn key(&self) -> Key {
        self.at.key()
    }
    fn index(&self, entries: &mut Entries) {
        if self.retry.is_some() {
            let at = &self.at;
            entries.add(WAITING, &[at.account.as_str(), at.region.as_str(), &at.cluster]);
        }
    }
}

/// The index of statuses of services that wait for room, by cluster.
pub const WAITING: &str = "waiting";

/// The index of services that may sleep.
pub const SLEEPERS: &str = "sleepers";

/// The index of services by the client token that made them.
pub const BY_TOKEN: &str = "by-token";
