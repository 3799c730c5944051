//! Which tasks stop.

use std::collections::BTreeMap;

use base::Timestamp;

use super::census::{Census, Health, Member, Side};
use super::starts::{Starts, cover};
use super::{Bounds, Goal, Stop, Why, zones};
use crate::view::Stage;

/// Which members leave, and why; by their places in the census.
pub(super) struct Stops<'a, 'b> {
    census: &'b Census<'a>,
    why: Vec<Option<Why>>,
    /// Something should have left, but is protected.
    pub is_held: bool,
}

impl<'a, 'b> Stops<'a, 'b> {
    pub fn none(census: &'b Census<'a>) -> Self {
        Stops { census, why: vec![None; census.members.len()], is_held: false }
    }

    pub fn into_list(self) -> Vec<Stop> {
        let all = self.census.members.iter().zip(self.why);
        all.filter_map(|(member, why)| Some(Stop { task: member.task.id.clone(), why: why? })).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.why.iter().all(Option::is_none)
    }

    pub fn stays(&self, place: usize) -> bool {
        self.why[place].is_none()
    }

    /// Tasks of older revisions that are not healthy yet, but for those that keep the floor.
    pub fn superseded(&mut self, goal: &Goal, bounds: Bounds) {
        let members = &self.census.members;
        let healthy = self.census.count(|member| !member.is_current() && member.is_healthy());
        let mut spared = cover(goal, bounds, self.census).saturating_sub(healthy);
        let mut waiting: Vec<usize> = self.places(|member| !member.is_current() && member.is_waiting());
        // Those that have come furthest are spared.
        waiting.sort_by_key(|place| (members[*place].task.stage != Stage::Running, *place));
        for place in waiting {
            if members[place].side == Side::Kept && spared > 0 {
                spared -= 1;
            } else {
                self.stop(place, Why::Replaced);
            }
        }
    }

    /// Unhealthy tasks, where healthy ones have taken their places or need the room.
    // AWS: where the maximum leaves room a replacement starts first, and an unhealthy task stops once
    // that is healthy; else unhealthy tasks are stopped one by one, within the minimum. Protection is
    // against scaling in and deployments only.
    // https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_services.html
    pub fn unhealthy(&mut self, goal: &Goal, bounds: Bounds, starts: Starts, missing: usize) {
        let mut unhealthy = self.places(|member| matches!(member.health, Health::Unhealthy(_)));
        unhealthy.sort_by_key(|place| (self.census.members[*place].side, *place));
        let healthy = self.census.count(Member::is_healthy);
        let wanted = if goal.is_halted { bounds.floor } else { bounds.desired };
        let replaced = unhealthy.len().saturating_sub(wanted.saturating_sub(healthy));
        // A balancer whose targets are all unhealthy sends to them nevertheless: for making room they
        // count towards the floor. One by one they give way below it.
        let spare = (healthy + unhealthy.len()).saturating_sub(bounds.floor);
        let is_waited_for = starts.sum() > 0 || !self.places(|member| member.is_waiting()).is_empty();
        let spare = if spare == 0 && !is_waited_for { 1 } else { spare };
        // After scaling in there may be more to give way than the ones that are missing.
        let over = self.why.len().saturating_sub(bounds.ceiling);
        let needed = if missing > 0 { missing + over } else { 0 };
        let count = replaced.max(needed.min(spare));
        for place in unhealthy.into_iter().take(count) {
            if let Health::Unhealthy(cause) = self.census.members[place].health {
                self.why[place] = Some(Why::Unhealthy(cause));
            }
        }
    }

    /// Healthy tasks of older revisions, as far as the floor allows; until when they wait for tasks
    /// that started a moment ago, so that those which start together replace others together.
    pub fn replaced(&mut self, goal: &Goal, bounds: Bounds, now: Timestamp) -> Option<Timestamp> {
        let least = if goal.is_halted { bounds.desired } else { bounds.floor };
        let mut spare = self.census.count(Member::is_healthy).saturating_sub(least);
        let is_older = |member: &Member| !member.is_current() && member.is_healthy();
        if spare == 0 || self.census.count(is_older) == 0 {
            return None;
        }
        let until = self.census.wave_until.filter(|until| now < *until);
        if until.is_some() {
            return until;
        }
        for side in [Side::Former, Side::Kept] {
            let places = self.places(|member| member.side == side && member.is_healthy());
            spare -= self.take_fullest(places, spare, |_| true, Why::Replaced);
        }
        None
    }

    /// Tasks of the current revision beyond the desired count.
    pub fn scaled_in(&mut self, goal: &Goal, bounds: Bounds) {
        let members = &self.census.members;
        let good = self.places(|member| member.is_current() && member.is_good());
        let excess = good.len().saturating_sub(bounds.desired);
        if excess == 0 {
            return;
        }
        let extra = zones::evening_out(goal, self.census);
        if extra.is_some_and(|place| members[place].is_waiting()) && excess == 1 {
            return;
        }
        // AWS: tasks that do not run go first, then zones are kept even.
        let mut left = excess;
        for stage in [Stage::Coming, Stage::Running] {
            let mut waiting = self.places(|m| m.is_current() && m.is_waiting() && m.task.stage == stage);
            waiting.reverse();
            for place in waiting {
                if left > 0 && self.stop(place, Why::ScaledIn) {
                    left -= 1;
                }
            }
        }
        let leaving = (0..members.len()).filter(|place| !self.stays(*place) && members[*place].is_healthy());
        let healthy = self.census.count(Member::is_healthy) - leaving.count();
        let left = left.min(healthy.saturating_sub(bounds.floor));
        let why = if extra.is_some() && excess == 1 { Why::Rebalanced } else { Why::ScaledIn };
        let healthy = self.places(|member| member.is_current() && member.is_healthy());
        self.take_fullest(healthy, left, |member| member.is_current(), why);
    }

    /// Takes up to `count` of `places`, each from the zone that has the most tasks which `counts`;
    /// within it, and between equal zones, old revisions' oldest, the current one's newest.
    fn take_fullest(
        &mut self,
        places: Vec<usize>,
        count: usize,
        counts: impl Fn(&Member) -> bool,
        why: Why,
    ) -> usize {
        let members = &self.census.members;
        let mut sizes = BTreeMap::<&str, usize>::new();
        for (_, member) in members.iter().enumerate().filter(|(place, m)| self.stays(*place) && counts(m)) {
            *sizes.entry(&member.task.zone).or_default() += 1;
        }
        // In each zone the last one goes first.
        let mut zones = BTreeMap::<&str, Vec<usize>>::new();
        let is_newest_first = why != Why::Replaced;
        let rank = |place: usize| if is_newest_first { place } else { members.len() - place };
        for place in places {
            if members[place].task.is_protected {
                self.is_held |= count > 0;
            } else {
                zones.entry(&members[place].task.zone).or_default().push(place);
            }
        }
        zones.values_mut().for_each(|places| places.sort_by_key(|place| rank(*place)));
        let mut taken = 0;
        while taken < count {
            let fullest = zones
                .iter()
                .filter_map(|(zone, places)| Some((sizes[zone], rank(*places.last()?), *zone)))
                .max();
            let Some((_, _, zone)) = fullest else { break };
            let place = zones.get_mut(zone).and_then(Vec::pop);
            self.why[place.expect("a zone with a last place has one")] = Some(why);
            *sizes.get_mut(zone).expect("a task counts in its own zone") -= 1;
            taken += 1;
        }
        taken
    }

    fn places(&self, is_meant: impl Fn(&Member) -> bool) -> Vec<usize> {
        let members = &self.census.members;
        (0..members.len()).filter(|place| self.stays(*place) && is_meant(&members[*place])).collect()
    }

    fn stop(&mut self, place: usize, why: Why) -> bool {
        if self.census.members[place].task.is_protected {
            self.is_held = true;
            return false;
        }
        self.why[place] = Some(why);
        true
    }
}
