//! Rolling updates: tasks of older revisions give way to the current one's, within a minimum and a
//! maximum. Scaling out and in is the same decision with one revision.

use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;

use crate::health::{Cause, Rules, Verdict, verdict};
use crate::throttle::Throttle;
use crate::view::{Stage, TaskView};

/// What a service's owner wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goal {
    pub desired: u32,
    /// Of the desired count; rounded up.
    pub minimum_percent: u32,
    /// Of the desired count; rounded down.
    pub maximum_percent: u32,
    /// The revision that every task should be of.
    pub current: Arc<str>,
    pub rules: Rules,
    /// Zones that tasks can be in, in a fixed order; tasks are spread over them.
    pub zones: Vec<Arc<str>>,
    /// AWS: availability zone rebalancing.
    pub is_rebalanced: bool,
    /// The revision that keeps the service up until the current one does: the last that a
    /// deployment completed with. `None` where there is none, and while rolling back.
    // AWS: during a rolling deployment a task that dies or is unhealthy is replaced by one of its own
    // revision, and scaling out reaches the running revision too (announced in November 2025).
    pub kept: Option<Kept>,
    /// The deployment has failed and is not rolled back: none of the current revision starts, and no
    /// healthy task of another one gives way to it.
    pub is_halted: bool,
}

/// An older revision that is kept up while the current one is brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub revision: Arc<str>,
    /// Of its own tasks that never reached RUNNING.
    pub throttle: Throttle,
}

/// What is done now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// One entry for each task that starts.
    pub start: Vec<Start>,
    pub stop: Vec<Stop>,
    /// Time alone changes something then.
    pub wake_at: Option<Timestamp>,
    /// As many healthy tasks of the current revision as are desired, and no other task.
    pub is_steady: bool,
    /// Why nothing moves though something should.
    pub blocked: Option<Blocked>,
}

/// A task that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The current one, or the kept one.
    pub revision: Arc<str>,
    /// The zone that it should be in; `None`: the goal names none.
    pub zone: Option<Arc<str>>,
    /// It evens out the zones; another one stops once it is healthy.
    pub is_rebalancing: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    pub task: Arc<str>,
    pub why: Why,
}

/// Why a task is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is of an older revision.
    Replaced,
    /// There are more than desired.
    ScaledIn,
    Unhealthy(Cause),
    /// Its zone has more tasks than another.
    Rebalanced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// The percentages leave no room to start or to stop any task.
    NoRoom,
    /// Every task that could leave is protected.
    Protected,
    /// Starts are slowed down.
    Throttled { until: Timestamp },
}

/// Decides what may change now.
pub fn step(goal: &Goal, tasks: &[TaskView], throttle: &Throttle, now: Timestamp) -> Step {
    // AWS: the floor rounds up and the ceiling rounds down.
    let desired = goal.desired as usize;
    let floor = (desired * goal.minimum_percent as usize).div_ceil(100);
    let ceiling = desired * goal.maximum_percent as usize / 100;
    let mut step = Step::default();
    let live: Vec<&TaskView> = tasks.iter().filter(|task| task.stage != Stage::Leaving).collect();
    let judged: Vec<(&TaskView, Verdict)> =
        live.iter().map(|task| (*task, verdict(task, goal.rules, now))).collect();
    for (_, verdict) in &judged {
        if let Verdict::Waiting { until: Some(until) } = verdict {
            step.wake_by(*until);
        }
    }
    let is_current = |task: &TaskView| task.revision == goal.current;
    let current = judged.iter().filter(|(task, _)| is_current(task)).count();
    let missing = desired.saturating_sub(current).min(ceiling.max(desired).saturating_sub(live.len()));
    match throttle.until(now) {
        Some(until) if missing > 0 => {
            step.wake_by(until);
            step.blocked = Some(Blocked::Throttled { until });
        }
        Some(_) | None => {
            let start = Start { revision: goal.current.clone(), zone: None, is_rebalancing: false };
            step.start = vec![start; missing];
        }
    }
    let healthy = judged.iter().filter(|(_, verdict)| *verdict == Verdict::Healthy).count();
    let mut spare = healthy.saturating_sub(floor);
    for (task, verdict) in judged.iter().filter(|(task, _)| !is_current(task) && !task.is_protected) {
        match verdict {
            Verdict::Healthy if spare == 0 => continue,
            Verdict::Healthy => spare -= 1,
            Verdict::Waiting { .. } | Verdict::Unhealthy(_) => {}
        }
        step.stop.push(Stop { task: task.id.clone(), why: Why::Replaced });
    }
    let excess = current.saturating_sub(desired);
    let leaves = judged.iter().filter(|(task, _)| is_current(task) && !task.is_protected).take(excess);
    step.stop.extend(leaves.map(|(task, _)| Stop { task: task.id.clone(), why: Why::ScaledIn }));
    let is_done = judged.len() == desired && current == desired && healthy == desired;
    step.is_steady = is_done && step.start.is_empty() && step.stop.is_empty();
    step
}

impl Step {
    fn wake_by(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// How long a task without any check runs before it counts as healthy.
// AWS: 40 s.
pub const SETTLES: Duration = Duration::from_secs(5);
