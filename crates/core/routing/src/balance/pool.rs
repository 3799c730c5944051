//! Who may be chosen.

use base::Timestamp;

use crate::health::State;
use crate::table::{MinimumHealthy, TargetGroup};

/// The live state of a group's targets, by their places in [`TargetGroup::targets`].
pub trait Standings {
    fn state(&self, at: usize) -> State;
    /// Requests under way, of all workers.
    fn in_flight(&self, at: usize) -> u32;
    /// Since when it is healthy. For slow start: a target that was among the first of its group
    /// counts as healthy from the beginning of time, as AWS has it.
    fn healthy_at(&self, at: usize) -> Timestamp;
}

/// The targets that a node may send to. Made anew when the table or a target's health changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pool {
    members: Box<[u32]>,
    fails_open: bool,
    holds: bool,
}

impl Pool {
    /// `zone` is the node's; `None`: where a request came to no node, targets of all zones serve.
    ///
    /// AWS ("Target group health"): where fewer are healthy than the thresholds ask for, and where
    /// none is, traffic goes to all. With cross-zone off, a zone's targets are counted by themselves.
    pub fn of(group: &TargetGroup, standings: &impl Standings, zone: Option<&str>) -> Pool {
        let near = || places(group, zone);
        let healthy: Box<[u32]> =
            near().filter(|at| standings.state(*at as usize) == State::Healthy).collect();
        let MinimumHealthy { routing_count, routing_percent, .. } = group.healthy;
        let fails_open = !is_enough(healthy.len(), near().count(), routing_count, routing_percent);
        // In any zone. Where all of them are unhealthy, requests fail open as ever.
        let has_verdict = || places(group, None).any(|at| standings.state(at as usize) != State::Initial);
        let holds = !group.held_for.is_zero() && !has_verdict();
        Pool { members: if fails_open { near().collect() } else { healthy }, fails_open, holds }
    }

    /// Places of targets.
    pub fn members(&self) -> &[u32] {
        &self.members
    }

    /// Whether health is disregarded.
    pub fn fails_open(&self) -> bool {
        self.fails_open
    }

    /// Whether requests wait for a target that serves them.
    pub fn holds(&self) -> bool {
        self.holds
    }

    /// Whether a client that is bound to that target may be sent there.
    pub fn has(&self, at: usize) -> bool {
        self.members.binary_search(&(at as u32)).is_ok()
    }
}

/// Those that a node of that zone may send to, whatever their health.
fn places(group: &TargetGroup, zone: Option<&str>) -> impl Iterator<Item = u32> {
    let is_near = move |of: Option<&str>| match (zone, of) {
        (Some(node), Some(target)) => group.cross_zone || node == target,
        _ => true,
    };
    let open = group.targets.iter().enumerate().filter(|(_, target)| target.draining_until.is_none());
    open.filter(move |(_, target)| is_near(target.zone.as_deref())).map(|(at, _)| at as u32)
}

fn is_enough(healthy: usize, of: usize, count: Option<u32>, percent: Option<u32>) -> bool {
    let (healthy, of) = (healthy as u64, of as u64);
    let (least, percent) = (u64::from(count.unwrap_or(1).max(1)), u64::from(percent.unwrap_or(0)));
    healthy >= least && healthy * 100 >= percent * of
}

/// AWS: how a group stands in one zone ("Target group health").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stands {
    /// It has what it needs for the zone's address to be among the balancer's.
    pub dns: bool,
    /// It has what it needs for traffic to go to healthy targets alone.
    pub routing: bool,
}

impl Stands {
    /// `zone` as for [`Pool::of`].
    pub fn of(group: &TargetGroup, standings: &impl Standings, zone: Option<&str>) -> Stands {
        let of = places(group, zone).count();
        let is_healthy = |at: &u32| standings.state(*at as usize) == State::Healthy;
        let healthy = places(group, zone).filter(is_healthy).count();
        let limits = &group.healthy;
        Stands {
            dns: is_enough(healthy, of, limits.dns_count, limits.dns_percent),
            routing: is_enough(healthy, of, limits.routing_count, limits.routing_percent),
        }
    }
}
