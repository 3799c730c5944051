//! A service's live tasks, judged and put in order.

use std::sync::Arc;

use base::Timestamp;

use super::{Goal, WAVE};
use crate::completion::is_here;
use crate::health::{Cause, Verdict, verdict};
use crate::view::{Stage, TaskView};

/// Which revision a task is of. In the order in which they give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// Superseded before it was ever completed, or before that.
    Former,
    Kept,
    Current,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Waiting,
    Healthy,
    Unhealthy(Cause),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'a> {
    pub task: &'a TaskView,
    pub side: Side,
    pub health: Health,
}

/// Tasks that are not leaving, by their creation and then their ids: what the caller's order was
/// does not matter.
pub(super) struct Census<'a> {
    pub members: Vec<Member<'a>>,
    /// A task that was told to stop is still in its balancers.
    pub is_draining: bool,
    /// Time alone changes a verdict then.
    pub wake_at: Option<Timestamp>,
    /// Until then siblings of healthy tasks of the current revision may still become healthy, too.
    pub wave_until: Option<Timestamp>,
}

impl<'a> Census<'a> {
    pub fn take(goal: &Goal, tasks: &'a [TaskView], now: Timestamp) -> Census<'a> {
        let members = Vec::with_capacity(tasks.len());
        let mut census = Census { members, is_draining: false, wake_at: None, wave_until: None };
        for task in tasks {
            if task.stage == Stage::Leaving {
                census.is_draining |= is_here(task);
                continue;
            }
            let health = match verdict(task, goal.rules, now) {
                Verdict::Waiting { until } => {
                    census.wake_at = earlier(census.wake_at, until);
                    Health::Waiting
                }
                Verdict::Healthy => Health::Healthy,
                Verdict::Unhealthy(cause) => Health::Unhealthy(cause),
            };
            census.members.push(Member { task, side: side(goal, &task.revision), health });
        }
        census.wave_until = wave_until(&census.members);
        let order = |member: &Member<'a>| (member.task.created_at, &member.task.id);
        census.members.sort_by(|one, other| order(one).cmp(&order(other)));
        census
    }

    pub fn count(&self, is_counted: impl Fn(&Member<'a>) -> bool) -> usize {
        self.members.iter().filter(|member| is_counted(member)).count()
    }
}

impl Member<'_> {
    pub fn is_current(&self) -> bool {
        self.side == Side::Current
    }

    pub fn is_healthy(&self) -> bool {
        self.health == Health::Healthy
    }

    pub fn is_waiting(&self) -> bool {
        self.health == Health::Waiting
    }

    /// Nothing speaks against it.
    pub fn is_good(&self) -> bool {
        self.is_healthy() || self.is_waiting()
    }
}

/// A task that keeps failing and coming back must not hold back the others: hence the wait ends with
/// that of the healthy one.
fn wave_until(members: &[Member]) -> Option<Timestamp> {
    let newest = |health: Health| {
        let current = members.iter().filter(|member| member.is_current() && member.health == health);
        current.map(|member| member.task.created_at).max()
    };
    Some(newest(Health::Healthy)?.min(newest(Health::Waiting)?) + WAVE)
}

fn side(goal: &Goal, revision: &Arc<str>) -> Side {
    if *revision == goal.current {
        return Side::Current;
    }
    let is_kept = goal.kept.as_ref().is_some_and(|kept| kept.revision == *revision);
    if is_kept { Side::Kept } else { Side::Former }
}

pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
