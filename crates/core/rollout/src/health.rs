//! Whether a task counts as healthy.

use std::time::Duration;

use base::Timestamp;

use crate::view::{Check, Stage, TargetState, TaskView};

/// What a task counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is said yet; time alone changes that at `until`, where it does.
    Waiting {
        until: Option<Timestamp>,
    },
    Healthy,
    /// To be replaced.
    Unhealthy(Cause),
}

/// Who says that a task is unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its containers' own checks.
    Container,
    /// The balancer, of the target with this index.
    Target(usize),
}

/// How health is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// AWS: for so long after its start what checks say against a task is ignored.
    pub grace: Duration,
    /// A task without any check is healthy once it has run for so long.
    pub settles: Duration,
}

/// Judges one task.
pub fn verdict(task: &TaskView, rules: Rules, now: Timestamp) -> Verdict {
    let Some(running_at) = task.running_at.filter(|_| task.stage == Stage::Running) else {
        return Verdict::Waiting { until: None };
    };
    if let Some(cause) = against(task) {
        let until = running_at + rules.grace;
        return if now < until { Verdict::Waiting { until: Some(until) } } else { Verdict::Unhealthy(cause) };
    }
    if task.check.is_none() && task.targets.is_empty() {
        let until = running_at + rules.settles;
        return if now < until { Verdict::Waiting { until: Some(until) } } else { Verdict::Healthy };
    }
    let passes = task.check.is_none_or(|check| check == Check::Passing)
        && task
            .targets
            .iter()
            .all(|target| matches!(target.state, TargetState::Healthy | TargetState::Unused));
    if passes { Verdict::Healthy } else { Verdict::Waiting { until: None } }
}

fn against(task: &TaskView) -> Option<Cause> {
    if task.check == Some(Check::Failing) {
        return Some(Cause::Container);
    }
    let target = task.targets.iter().position(|target| target.state == TargetState::Unhealthy);
    target.map(Cause::Target)
}
