//! When a rolling deployment is done.

use base::Timestamp;

use crate::health::{Verdict, verdict};
use crate::rolling::Goal;
use crate::view::{Stage, TargetState, TaskView};

/// What is enough for a deployment to be successful.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Criteria {
    /// Of the desired count, rounded up: healthy tasks of the current revision.
    pub healthy_percent: u32,
    /// No task of another revision is left.
    pub is_alone: bool,
}

// AWS: without early success criteria the revision must have stabilized, and the previous tasks
// must have been removed.
impl Default for Criteria {
    fn default() -> Criteria {
        Criteria { healthy_percent: 100, is_alone: true }
    }
}

impl Criteria {
    /// AWS: `earlySuccessCriteria`; `is_blocking`: the cleanup of the source revisions is BLOCKING,
    /// else DEFERRED.
    pub fn early(healthy_percent: u32, is_blocking: bool) -> Criteria {
        Criteria { healthy_percent, is_alone: is_blocking }
    }
}

/// Whether the deployment that brings `goal.current` has succeeded. A task that still drains from a
/// balancer has not gone.
pub fn is_done(goal: &Goal, criteria: Criteria, tasks: &[TaskView], now: Timestamp) -> bool {
    let is_current = |task: &&TaskView| task.revision == goal.current;
    let needed = (u64::from(goal.desired) * u64::from(criteria.healthy_percent)).div_ceil(100);
    let current = tasks.iter().filter(is_current);
    let healthy = current.filter(|task| verdict(task, goal.rules, now) == Verdict::Healthy).count();
    if (healthy as u64) < needed {
        return false;
    }
    !criteria.is_alone || !tasks.iter().any(|task| !is_current(&task) && is_here(task))
}

/// Live, or leaving its balancers.
pub(crate) fn is_here(task: &TaskView) -> bool {
    task.stage != Stage::Leaving || task.targets.iter().any(|target| target.state != TargetState::Unused)
}
