//! Rolling updates: tasks of older revisions give way to the current one's, within a minimum and a
//! maximum. Scaling out and in is the same decision with one revision.

mod census;
mod starts;
mod stops;
mod zones;

use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;

use self::census::{Census, Member, earlier};
use self::starts::Starts;
use self::stops::Stops;
use self::zones::{rebalance, spread};
use crate::health::{Cause, Rules};
use crate::throttle::Throttle;
use crate::view::TaskView;

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
    /// The deployment has failed and is not rolled back: none of the current revision starts, and
    /// healthy tasks of others give way only above the desired count.
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
    /// As many healthy tasks of the current revision as are desired, and no other task; none drains
    /// from a balancer any more.
    pub is_steady: bool,
    /// Why nothing moves though something should.
    pub blocked: Option<Blocked>,
}

/// A task that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The current one, or the kept one.
    pub revision: Arc<str>,
    /// The zone that it has to be in: one that is placed elsewhere is not what was decided, and zones
    /// would be evened out again and again. `None`: the goal names none.
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

/// How many tasks there may be.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    desired: usize,
    /// Healthy ones: never fewer by our own choice.
    floor: usize,
    /// Live ones: never more by our own choice.
    ceiling: usize,
}

impl Bounds {
    // AWS: the floor rounds up and the ceiling rounds down; tasks that stop are not counted.
    // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
    fn of(goal: &Goal) -> Bounds {
        let share = |percent: u32| u64::from(goal.desired) * u64::from(percent);
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let desired = goal.desired as usize;
        // AWS refuses a minimum above and a maximum below 100 %: they could never be met.
        Bounds {
            desired,
            floor: count(share(goal.minimum_percent).div_ceil(100)).min(desired),
            ceiling: count(share(goal.maximum_percent) / 100).max(desired),
        }
    }
}

/// Decides what may change now. What it stops makes room for what the next step starts: hence the
/// waves in which a service is replaced.
pub fn step(goal: &Goal, tasks: &[TaskView], throttle: &Throttle, now: Timestamp) -> Step {
    let bounds = Bounds::of(goal);
    let census = Census::take(goal, tasks, now);
    let wanted = Starts::wanted(goal, bounds, &census);
    let (open, throttled) = wanted.let_through(goal, throttle, now);
    let starts = open.within(bounds, &census);
    let missing = open.sum() - starts.sum();

    let mut stops = Stops::none(&census);
    stops.superseded(goal, bounds);
    stops.unhealthy(goal, bounds, starts, missing);
    let wave = stops.replaced(goal, bounds, now);
    stops.scaled_in(goal, bounds);

    let mut start = spread(goal, &census, &stops, &goal.current, starts.current);
    if let Some(kept) = &goal.kept {
        start.extend(spread(goal, &census, &stops, &kept.revision, starts.kept));
    }
    if start.is_empty() && stops.is_empty() && throttle.until(now).is_none() {
        start.extend(rebalance(goal, bounds, &census));
    }
    let is_even = start.is_empty() && stops.is_empty();
    let is_complete = census.members.len() == bounds.desired
        && census.members.iter().all(|member| member.is_current() && member.is_healthy());
    let is_waited_for = census.members.iter().any(Member::is_waiting);
    let is_left = census.members.iter().any(|member| !member.is_current());
    let blocked = match throttled {
        Some(until) => Some(Blocked::Throttled { until }),
        None if !is_even || is_waited_for || is_complete => None,
        None if stops.is_held => Some(Blocked::Protected),
        None if !goal.is_halted && (is_left || missing > 0) => Some(Blocked::NoRoom),
        None => None,
    };
    Step {
        is_steady: is_even && is_complete && !census.is_draining,
        wake_at: earlier(earlier(census.wake_at, throttled), wave),
        blocked,
        start,
        stop: stops.into_list(),
    }
}

/// Tasks that start together replace older ones together, unless one of them takes longer than this
/// to become healthy.
const WAVE: Duration = Duration::from_secs(10);

/// How long a task without any check runs before it counts as healthy.
// AWS: 40 s.
pub const SETTLES: Duration = Duration::from_secs(5);
