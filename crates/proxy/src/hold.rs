//! Which groups that hold requests have some: told every second, so that whoever makes targets knows
//! when nobody asks for them any more.
//!
//! Invariant: an exchange's path knows nothing of it: what is told is read off counters.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use crate::counts::{Counts, Levels};
use crate::table::ServedGroup;

/// The control thread's view of requests.
pub struct Demand {
    counts: Counts,
    /// What is served, for whoever asks how targets stand.
    pub levels: Levels,
    asked: mpsc::Sender<Arc<str>>,
    /// Requests that each group had when it was looked at last.
    known: HashMap<Arc<str>, u64>,
}

impl Demand {
    pub fn new(counts: Counts, levels: Levels, asked: mpsc::Sender<Arc<str>>) -> Self {
        Demand { counts, levels, asked, known: HashMap::new() }
    }

    /// Tells the groups that had requests since they were looked at last, or have some under way.
    pub fn tell(&mut self) {
        let holding = self.levels.holding();
        self.known.retain(|arn, _| holding.iter().any(|(_, group)| group.group.arn == *arn));
        for (served, group) in holding {
            let arn = &group.group.arn;
            let requests = self.counts.requests(&served.balancer.arn, arn);
            let before = self.known.insert(arn.clone(), requests);
            if before.is_some_and(|before| before != requests) || is_busy(&group) {
                // What finds no room is told again, unless it is over by then.
                let _ = self.asked.try_send(arn.clone());
            }
        }
    }
}

fn is_busy(group: &ServedGroup) -> bool {
    let under_way = |target: &Arc<crate::table::TargetState>| target.in_flight.load(Ordering::Relaxed) > 0;
    group.state.held.load(Ordering::Relaxed) > 0 || group.targets.iter().any(under_way)
}
