//! Tasks as members of their services: what balancers know of them, and what they have told.

use base::Timestamp;
use core_rollout::TargetState;
use serde::{Deserialize, Serialize};
use store::{Entries, Key, Record};

use super::service::ServiceId;
use super::task::TaskId;

/// A task that a service has started. Gone once its end has been taken into account. Written by the
/// controller `services`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub service: ServiceId,
    pub task: TaskId,
    pub revision: String,
    /// When it first counted as healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_at: Option<Timestamp>,
    /// It has reached RUNNING, and the throttle knows.
    #[serde(default)]
    pub has_run: bool,
    /// Why it ends has been taken into account.
    #[serde(default)]
    pub is_accounted: bool,
    /// What was told about it is told once: that it is unhealthy, where it is registered, that it
    /// leaves there.
    #[serde(default)]
    pub is_told_unhealthy: bool,
    #[serde(default)]
    pub is_told_registered: bool,
    #[serde(default)]
    pub is_told_leaving: bool,
}

impl Record for Member {
    const KIND: &'static str = "ecs/service-member";
    fn key(&self) -> Key {
        self.service.under(&self.task.id)
    }
}

/// Where a task is registered. Written by the controllers `tasks` (which targets) and `targets` (how
/// they stand).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTargets {
    pub at: TaskId,
    pub service: String,
    pub targets: Vec<TaskTarget>,
    /// They have been told to let go.
    #[serde(default)]
    pub is_leaving: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTarget {
    /// ARN of the target group.
    pub group: String,
    /// An address or an instance's id.
    pub id: String,
    pub port: u16,
    pub state: Standing,
    /// AWS's reason, where it is unhealthy: `Health checks failed with these codes: [503]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a target stands, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    Initial,
    Healthy,
    Unhealthy,
    Draining,
    Unused,
    /// Not registered any more.
    Gone,
}

impl Standing {
    pub fn seen(self) -> TargetState {
        match self {
            Standing::Initial => TargetState::Initial,
            Standing::Healthy => TargetState::Healthy,
            Standing::Unhealthy => TargetState::Unhealthy,
            Standing::Draining => TargetState::Draining,
            Standing::Unused | Standing::Gone => TargetState::Unused,
        }
    }
}

impl Record for TaskTargets {
    const KIND: &'static str = "ecs/task-targets";
    fn key(&self) -> Key {
        self.at.key()
    }
    fn index(&self, entries: &mut Entries) {
        for target in &self.targets {
            entries.add(BY_TARGET, &[&target.group, &target.id, &target.port.to_string()]);
        }
    }
}

/// The index of tasks' registrations by target group, target and port.
pub const BY_TARGET: &str = "by-target";
