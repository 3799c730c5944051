//! A service's tasks as decisions see them.

use std::sync::Arc;

use base::Timestamp;
use core_lifecycle::{Goal, HealthStatus, Observation, Task as State};
use core_rollout::{Check, Stage, Target, TaskView};

use crate::state::member::{Member, TaskTargets};
use crate::state::protection::TaskProtection;
use crate::state::task::{Task, TaskObserved, TaskStatus};

/// Everything that is known of one member.
#[derive(Debug, Clone)]
pub struct Seen {
    pub member: Arc<Member>,
    pub task: Arc<Task>,
    pub status: Arc<TaskStatus>,
    pub observed: Option<Arc<TaskObserved>>,
    pub targets: Option<Arc<TaskTargets>>,
    pub protection: Option<Arc<TaskProtection>>,
}

impl Seen {
    pub fn view(&self, now: Timestamp) -> TaskView {
        let stage = stage(&self.task, &self.status);
        let running_at = self.status.state.milestones().running_at;
        TaskView {
            id: Arc::from(self.task.at.id.as_str()),
            revision: Arc::from(self.member.revision.as_str()),
            stage,
            created_at: self.task.created_at,
            running_at: running_at.filter(|_| stage == Stage::Running),
            check: check(&self.task, self.observed.as_ref().map(|seen| &seen.observation)),
            targets: self.targets.iter().flat_map(|targets| &targets.targets).map(target).collect(),
            is_protected: self.protection.as_ref().is_some_and(|protection| now < protection.expires_at),
            zone: Arc::from(self.task.zone.as_str()),
        }
    }

    /// It was told to stop.
    pub fn is_told_to_stop(&self) -> bool {
        self.task.goal != Goal::Running
    }
}

/// How far a task has come for its service. One that was told to stop counts no more.
pub fn stage(task: &Task, status: &TaskStatus) -> Stage {
    match status.state {
        _ if task.goal != Goal::Running => Stage::Leaving,
        State::Provisioning | State::Pending { .. } | State::Activating { .. } => Stage::Coming,
        State::Running { .. } => Stage::Running,
        State::Deactivating { .. }
        | State::Stopping { .. }
        | State::Deprovisioning { .. }
        | State::Stopped { .. } => Stage::Leaving,
    }
}

/// AWS: a task is as healthy as the worst of its essential containers that are looked at.
fn check(task: &Task, seen: Option<&Observation>) -> Option<Check> {
    let looked_at = task.containers.iter().filter(|c| c.is_essential && c.has_health_check);
    let checks = looked_at.map(|container| {
        let seen = seen.and_then(|seen| seen.containers.iter().find(|c| c.name == container.name));
        match seen.and_then(|seen| seen.health.as_ref()).map_or(HealthStatus::Unknown, |it| it.status) {
            HealthStatus::Unknown => Check::Waiting,
            HealthStatus::Healthy => Check::Passing,
            HealthStatus::Unhealthy => Check::Failing,
        }
    });
    checks.max_by_key(|check| match check {
        Check::Passing => 0,
        Check::Waiting => 1,
        Check::Failing => 2,
    })
}

fn target(target: &crate::state::member::TaskTarget) -> Target {
    Target { group: Arc::from(target.group.as_str()), port: target.port, state: target.state.seen() }
}
