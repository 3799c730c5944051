//! Who may be chosen.

use base::Timestamp;

use crate::health::State;
use crate::table::TargetGroup;

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
}

impl Pool {
    /// `zone` is the node's; `None`: where a request came to no node, targets of all zones serve.
    ///
    /// AWS ("Target group health"): where fewer are healthy than the thresholds ask for, and where
    /// none is, traffic goes to all. With cross-zone off, a zone's targets are counted by themselves.
    pub fn of(group: &TargetGroup, standings: &impl Standings, zone: Option<&str>) -> Pool {
        let is_near = |of: Option<&str>| match (zone, of) {
            (Some(node), Some(target)) => group.cross_zone || node == target,
            _ => true,
        };
        let places = || {
            let targets = group.targets.iter().enumerate();
            let open = targets.filter(|(_, target)| target.draining_until.is_none());
            open.filter(|(_, target)| is_near(target.zone.as_deref())).map(|(at, _)| at as u32)
        };
        let healthy: Box<[u32]> =
            places().filter(|at| standings.state(*at as usize) == State::Healthy).collect();
        let total = places().count() as u64;
        let count = healthy.len() as u64;
        let least = u64::from(group.healthy.routing_count.unwrap_or(1).max(1));
        let percent = u64::from(group.healthy.routing_percent.unwrap_or(0));
        let fails_open = count < least || count * 100 < percent * total;
        Pool { members: if fails_open { places().collect() } else { healthy }, fails_open }
    }

    /// Places of targets.
    pub fn members(&self) -> &[u32] {
        &self.members
    }

    /// Whether health is disregarded.
    pub fn fails_open(&self) -> bool {
        self.fails_open
    }

    /// Whether a client that is bound to that target may be sent there.
    pub fn has(&self, at: usize) -> bool {
        self.members.binary_search(&(at as u32)).is_ok()
    }
}
