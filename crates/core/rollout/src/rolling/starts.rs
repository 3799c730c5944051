//! How many tasks start.

use base::Timestamp;

use super::census::{Census, Member, Side, earlier};
use super::{Bounds, Goal};
use crate::throttle::Throttle;

/// Tasks that should start, or that do, of the current revision and of the kept one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Starts {
    pub current: usize,
    pub kept: usize,
}

impl Starts {
    pub fn sum(self) -> usize {
        self.current + self.kept
    }

    /// What is missing, whatever the room.
    pub fn wanted(goal: &Goal, bounds: Bounds, census: &Census) -> Starts {
        let good = census.count(|member| member.is_current() && member.is_good());
        // An unhealthy task needs a replacement before it leaves, hence counts for nothing.
        let current = if goal.is_halted { 0 } else { bounds.desired.saturating_sub(good) };
        let others = census.count(|member| match member.side {
            Side::Current => false,
            Side::Kept => member.is_good(),
            Side::Former => member.is_healthy(),
        });
        Starts { current, kept: cover(goal, bounds, census).saturating_sub(others) }
    }

    /// What the throttles let through, and until when they hold back the rest.
    pub fn let_through(
        self,
        goal: &Goal,
        throttle: &Throttle,
        now: Timestamp,
    ) -> (Starts, Option<Timestamp>) {
        let mut open = self;
        let mut until = None;
        if let Some(at) = throttle.until(now).filter(|_| self.current > 0) {
            open.current = 0;
            until = Some(at);
        }
        let kept = goal.kept.as_ref().filter(|_| self.kept > 0);
        if let Some(at) = kept.and_then(|kept| kept.throttle.until(now)) {
            open.kept = 0;
            until = earlier(until, Some(at));
        }
        (open, until)
    }

    /// What there is room for. Neither starves the other: tasks of the current revision that are not
    /// healthy yet have what lies between floor and ceiling, the kept revision has the floor.
    pub fn within(self, bounds: Bounds, census: &Census) -> Starts {
        let room = bounds.ceiling.saturating_sub(census.members.len());
        let unproven = census.count(|member| member.is_current() && !member.is_healthy());
        let own = (bounds.ceiling - bounds.floor.min(bounds.ceiling)).saturating_sub(unproven);
        let current = self.current.min(room).min(own.max(room.saturating_sub(self.kept)));
        Starts { current, kept: self.kept.min(room - current) }
    }
}

/// How many good tasks of older revisions keep the service at its floor.
pub(super) fn cover(goal: &Goal, bounds: Bounds, census: &Census) -> usize {
    // With no room between floor and ceiling the current revision could never begin, were older
    // tasks replaced by their own kind.
    if goal.kept.is_none() || (bounds.ceiling <= bounds.floor && !goal.is_halted) {
        return 0;
    }
    let proven = census.count(|member| member.is_current() && member.is_healthy());
    // Where the current one has taken over, none comes back.
    if proven > 0 && census.members.iter().all(Member::is_current) {
        return 0;
    }
    bounds.floor.saturating_sub(proven)
}
