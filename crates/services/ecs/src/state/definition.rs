//! Task definitions: one record per revision, and one per family that counts them.

use base::{AccountId, Arn, Region, Tags, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Entries, Key, Record};

use super::container::{ContainerDefinition, KeyValuePair};
use super::kept::kept;
use super::volume::Volume;

/// One revision. Everything but its status and tags is fixed when it is registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskDefinition {
    pub account: AccountId,
    pub region: Region,
    pub family: String,
    pub revision: u32,
    pub spec: Spec,
    pub status: DefinitionStatus,
    pub registered_at: Timestamp,
    /// The ARN of whoever registered it.
    pub registered_by: String,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// ```text
///  Active ──deregister──▶ Inactive ──delete──▶ Deleting ──no task needs it──▶ (gone)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DefinitionStatus {
    Active,
    Inactive { deregistered_at: Timestamp },
    Deleting { deregistered_at: Timestamp, requested_at: Timestamp },
}

/// What the customer registered, with AWS's defaults filled in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Spec {
    pub containers: Vec<ContainerDefinition>,
    pub volumes: Vec<Volume>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub placement_constraints: Vec<TaskDefinitionPlacementConstraint>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requires_compatibilities: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipc_mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_configuration: Option<ProxyConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference_accelerators: Option<Vec<InferenceAccelerator>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<EphemeralStorage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_platform: Option<RuntimePlatform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_fault_injection: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trusted_execution: Option<TrustedExecutionConfiguration>,
}

kept! {
    TaskDefinitionPlacementConstraint {
        r#type: Option<String>,
        expression: Option<String>,
    }

    ProxyConfiguration {
        r#type: Option<String>,
        container_name: String,
        properties: Option<Vec<KeyValuePair>>,
    }

    InferenceAccelerator {
        device_name: String,
        device_type: String,
    }

    EphemeralStorage {
        size_in_gi_b: i32,
    }

    RuntimePlatform {
        cpu_architecture: Option<String>,
        operating_system_family: Option<String>,
    }

    TrustedExecutionConfiguration {
        isolation_mode: String,
        attestation_policy: Option<String>,
    }


}

/// How many revisions of a family there have been. Never goes back, so no number is used twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    pub account: AccountId,
    pub region: Region,
    pub name: String,
    pub last_revision: u32,
}

impl Spec {
    pub fn needs_fargate(&self) -> bool {
        self.requires_compatibilities.iter().any(|c| c == "FARGATE")
    }

    pub fn is_awsvpc(&self) -> bool {
        self.network_mode.as_deref() == Some("awsvpc")
    }
}

impl TaskDefinition {
    pub fn arn(&self) -> Arn {
        let resource = format_args!("task-definition/{}:{}", self.family, self.revision);
        Arn::new("ecs", self.region.as_str(), &self.account, resource)
    }

    /// All revisions of a family lie under one key, in their order.
    pub fn family_key(account: &AccountId, region: &Region, family: &str) -> Key {
        Key::of(&[account.as_str(), region.as_str(), family])
    }

    pub fn key_of(account: &AccountId, region: &Region, family: &str, revision: u32) -> Key {
        TaskDefinition::family_key(account, region, family).child(&format!("{revision:010}"))
    }

    pub fn is_active(&self) -> bool {
        matches!(self.status, DefinitionStatus::Active)
    }
}

impl Record for TaskDefinition {
    const KIND: &'static str = "ecs/task-definition";
    fn key(&self) -> Key {
        TaskDefinition::key_of(&self.account, &self.region, &self.family, self.revision)
    }
    fn index(&self, _entries: &mut Entries) {}
}

impl Record for Family {
    const KIND: &'static str = "ecs/family";
    fn key(&self) -> Key {
        TaskDefinition::family_key(&self.account, &self.region, &self.name)
    }
}
