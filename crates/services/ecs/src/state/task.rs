//! Tasks: one record per writer. A caller writes what is wanted, the controller what is, the host
//! what it saw; the assignment is fixed when the task is accepted.

use std::net::Ipv4Addr;
use std::sync::Arc;

use base::{AccountId, Arn, Region, Tags, Timestamp};
use core_lifecycle::{Assignment, Goal, LaunchType, NetworkMode, Observation};
use link::HostId;
use serde::{Deserialize, Serialize};
use store::{Entries, Key, Record};

use super::overrides::TaskOverride;
use crate::behaviour::room::Needs;

/// Where a task is found: the key of all four of its records.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId {
    pub account: AccountId,
    pub region: Region,
    pub cluster: String,
    /// 32 hexadecimal digits.
    pub id: String,
}

impl TaskId {
    pub fn key(&self) -> Key {
        Key::of(&[self.account.as_str(), self.region.as_str(), &self.cluster, &self.id])
    }

    pub fn arn(&self) -> Arn {
        let resource = format_args!("task/{}/{}", self.cluster, self.id);
        Arn::new("ecs", self.region.as_str(), &self.account, resource)
    }

    /// The task that a long ARN names; none for anything else.
    pub fn of_arn(text: &str) -> Option<TaskId> {
        let arn = Arn::parse(text).ok()?;
        let mut parts = arn.resource().split('/');
        let (Some("task"), Some(cluster), Some(id), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        Some(TaskId {
            account: AccountId::parse(arn.account())?,
            region: Region::parse(arn.region())?,
            cluster: String::from(cluster),
            id: String::from(id),
        })
    }
}

/// What was accepted, and what its owner wants of it now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub at: TaskId,
    pub family: String,
    pub revision: u32,
    pub group: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    #[serde(default)]
    pub overrides: TaskOverride,
    /// As the API writes them: `256`, `512`.
    pub cpu: String,
    pub memory: String,
    pub architecture: String,
    pub zone: String,
    #[serde(default)]
    pub launch_type: LaunchType,
    /// ARN of the container instance that carries it, where its launch type has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_instance: Option<String>,
    /// What it takes of that instance.
    #[serde(default)]
    pub needs: Needs,
    #[serde(default)]
    pub network_mode: NetworkMode,
    /// In network mode `awsvpc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<TaskInterface>,
    /// Room on disk, where it is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_gib: Option<u32>,
    #[serde(default)]
    pub enable_execute_command: bool,
    pub containers: Vec<TaskContainer>,
    pub created_at: Timestamp,
    pub host: HostId,
    pub goal: Goal,
    /// Name of the service that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// The network interface that was made for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInterface {
    /// A UUID.
    pub attachment: String,
    pub subnet: String,
    pub eni: String,
    pub mac: String,
    pub private_dns_name: String,
    pub address: Ipv4Addr,
}

/// A container as it was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskContainer {
    /// A UUID: the last part of its ARN.
    pub id: String,
    pub name: String,
    pub image: String,
    pub is_essential: bool,
    pub cpu: i32,
    pub memory: Option<i32>,
    pub memory_reservation: Option<i32>,
    /// Whether its health is looked at, and counts for the task's.
    #[serde(default)]
    pub has_health_check: bool,
    /// Devices of its instance that it has to itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<String>,
}

/// How a task stands. Written by the controller `tasks` alone, but for its first version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskStatus {
    pub at: TaskId,
    pub state: core_lifecycle::Task,
    /// Grows with every change, as the API's `version`.
    pub version: u64,
    /// The task's, so that who watches statuses knows whom they concern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// What its host saw of a task last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskObserved {
    pub at: TaskId,
    pub generation: u64,
    pub sequence: u64,
    pub received_at: Timestamp,
    pub observation: Observation,
    /// The task's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// What the host was told to run. Never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskAssignment {
    pub at: TaskId,
    pub assignment: Arc<Assignment>,
}

impl Record for Task {
    const KIND: &'static str = "ecs/task";
    fn key(&self) -> Key {
        self.at.key()
    }
    fn index(&self, entries: &mut Entries) {
        if let Some(instance) = self.container_instance.as_deref() {
            let at = &self.at;
            let id = instance.rsplit('/').next().unwrap_or_default();
            entries.add(BY_INSTANCE, &[at.account.as_str(), at.region.as_str(), &at.cluster, id]);
        }
    }
}

impl Record for TaskStatus {
    const KIND: &'static str = "ecs/task-status";
    fn key(&self) -> Key {
        self.at.key()
    }
    fn index(&self, entries: &mut Entries) {
        let at = &self.at;
        entries.add(
            BY_STAGE,
            &[at.account.as_str(), at.region.as_str(), &at.cluster, Stage::of(&self.state).name()],
        );
        if self.state.stopped_at().is_none() {
            entries.add(LIVE, &[at.account.as_str(), at.region.as_str(), &at.cluster]);
        }
    }
}

impl Record for TaskObserved {
    const KIND: &'static str = "ecs/task-observed";
    fn key(&self) -> Key {
        self.at.key()
    }
}

impl Record for TaskAssignment {
    const KIND: &'static str = "ecs/task-assignment";
    fn key(&self) -> Key {
        self.at.key()
    }
}

/// The index of tasks by the container instance that carries them.
pub const BY_INSTANCE: &str = "by-instance";

/// The index of statuses of tasks that have not stopped, by cluster: stopped ones stay for an hour
/// and may be many.
pub const LIVE: &str = "live";

/// The index of task statuses by cluster and stage.
pub const BY_STAGE: &str = "by-stage";

/// The three stages that clusters count and lists filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not running yet.
    Coming,
    Running,
    /// On its way out, or out.
    Going,
}

impl Stage {
    pub fn of(state: &core_lifecycle::Task) -> Stage {
        use core_lifecycle::Task as State;
        match state {
            State::Provisioning | State::Pending { .. } | State::Activating { .. } => Stage::Coming,
            State::Running { .. } => Stage::Running,
            State::Deactivating { .. }
            | State::Stopping { .. }
            | State::Deprovisioning { .. }
            | State::Stopped { .. } => Stage::Going,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Stage::Coming => "coming",
            Stage::Running => "running",
            Stage::Going => "going",
        }
    }
}

impl Task {
    pub fn essential(&self) -> Vec<String> {
        self.containers.iter().filter(|c| c.is_essential).map(|c| c.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task that was accepted before launch types and instances were written down is one of Fargate.
    #[test]
    fn a_record_of_the_first_release_opens() {
        let record = serde_json::json!({
            "at": { "account": "000000000000", "region": "us-east-1", "cluster": "main", "id": "0" },
            "family": "app", "revision": 1, "group": "family:app", "overrides": {},
            "cpu": "256", "memory": "512", "architecture": "X86_64", "zone": "us-east-1a",
            "interface": {
                "attachment": "a", "subnet": "s", "eni": "e", "mac": "m", "private_dns_name": "n",
                "address": "172.31.0.4"
            },
            "containers": [{
                "id": "c", "name": "web", "image": "web", "is_essential": true, "cpu": 0,
                "memory": null, "memory_reservation": null
            }],
            "created_at": Timestamp::EPOCH, "host": "local", "goal": "Running",
        });
        let task: Task = serde_json::from_value(record).expect("it opens");
        assert_eq!((task.launch_type, task.network_mode), (LaunchType::Fargate, NetworkMode::Awsvpc));
        assert!(task.interface.is_some() && task.container_instance.is_none());
        assert_eq!(task.needs, Needs::default());
    }
}
