//! A table as one worker uses it, with what the worker remembers of groups, counts and holds against
//! targets. Goes on from one table to the next.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::Chance;
use core_routing::{Algorithm, Anomaly, Balance, Pool, TargetGroup};

use super::{Held, Served, ServedGroup};
use crate::counts::{Counters, Counts, Subject};
use crate::hash::Quick;

/// A table on one worker.
pub struct Here {
    pub served: Arc<Served>,
    groups: HashMap<Arc<str>, Rc<HereGroup>, Quick>,
    pub counters: Rc<ByZone>,
}

/// `None`: no node's.
type Zone = Option<Arc<str>>;

/// This worker's counters of a balancer or group.
pub struct ByZone {
    counts: Counts,
    balancer: Arc<str>,
    group: Option<Arc<str>>,
    all: RefCell<Vec<(Zone, Arc<Counters>)>>,
}

impl ByZone {
    fn new(counts: &Counts, balancer: &Arc<str>, group: Option<&Arc<str>>) -> Rc<Self> {
        let (counts, balancer, group) = (counts.clone(), balancer.clone(), group.cloned());
        Rc::new(ByZone { counts, balancer, group, all: RefCell::default() })
    }

    /// The counters of a zone.
    pub fn zone(&self, zone: Option<&Arc<str>>) -> Arc<Counters> {
        let mut all = self.all.borrow_mut();
        if let Some((_, counters)) = all.iter().find(|(known, _)| known.as_ref() == zone) {
            return counters.clone();
        }
        let subject =
            Subject { balancer: self.balancer.clone(), group: self.group.clone(), zone: zone.cloned() };
        let counters = self.counts.counters(subject);
        all.push((zone.cloned(), counters.clone()));
        counters
    }
}

/// A group on one worker.
pub struct HereGroup {
    pub served: Arc<ServedGroup>,
    pub balance: Rc<RefCell<Balance>>,
    /// By the balance's newest judgment.
    held: Rc<RefCell<Vec<Held>>>,
    /// By the node's zone, each as of a version.
    pools: RefCell<Vec<(Zone, u64, Rc<Pool>)>>,
    /// The newest that [`Self::pool`] gave, for the common case.
    last: Cell<usize>,
    pub counters: Rc<ByZone>,
}

impl Here {
    /// `before`: the table that this one takes the place of, whose memory of groups goes on.
    pub fn new(served: Arc<Served>, before: Option<&Here>, chance: &Chance, counts: &Counts) -> Self {
        let arn_of = &served.balancer.arn;
        let groups = served.groups.iter().map(|(arn, group)| {
            let known = before.and_then(|before| before.groups.get(arn));
            if let Some(same) = known.filter(|known| Arc::ptr_eq(&known.served, group)) {
                return (arn.clone(), same.clone());
            }
            let (balance, held) = match known {
                Some(known) => {
                    if !is_same_order(&known.served, group) || !judges(&group.group) {
                        known.balance.borrow_mut().forget();
                        known.held.borrow_mut().clear();
                    }
                    (known.balance.clone(), known.held.clone())
                }
                None => (Rc::new(RefCell::new(Balance::new(chance.split(arn)))), Rc::default()),
            };
            let counters = known.map(|known| known.counters.clone());
            let counters = counters.unwrap_or_else(|| ByZone::new(counts, arn_of, Some(arn)));
            let (pools, last) = (RefCell::default(), Cell::new(0));
            let group = HereGroup { served: group.clone(), balance, held, pools, last, counters };
            (arn.clone(), Rc::new(group))
        });
        let groups = groups.collect();
        let counters = before.map(|before| before.counters.clone());
        let counters = counters.unwrap_or_else(|| ByZone::new(counts, arn_of, None));
        Here { served, groups, counters }
    }

    pub fn group(&self, arn: &str) -> Option<&Rc<HereGroup>> {
        self.groups.get(arn)
    }
}

/// Whether what was learned by place still holds.
fn is_same_order(before: &ServedGroup, after: &ServedGroup) -> bool {
    before.targets.len() == after.targets.len()
        && before.targets.iter().zip(&after.targets).all(|(a, b)| Arc::ptr_eq(a, b))
}

/// Whether a worker holds anything against targets.
fn judges(group: &TargetGroup) -> bool {
    group.mitigates_anomalies && group.algorithm == Algorithm::WeightedRandom
}

impl HereGroup {
    /// Makes known what the balance has come to hold against targets.
    pub fn tell_anomalies(&self) {
        let Some(verdicts) = self.balance.borrow_mut().verdicts() else { return };
        let against = |(at, anomaly): (usize, Anomaly)| {
            self.served.targets.get(at).map(|target| Held::against(target, anomaly))
        };
        // The new ones are there before the old ones go, so that what stays is never gone in between.
        let held = verdicts.into_iter().filter_map(against).collect();
        drop(self.held.replace(held));
    }

    /// Whom requests that came to a node of that zone may go to.
    pub fn pool(&self, zone: Option<&Arc<str>>) -> Rc<Pool> {
        let version = self.served.state.version.load(Ordering::Acquire);
        let mut pools = self.pools.borrow_mut();
        if let Some((_, _, pool)) =
            pools.get(self.last.get()).filter(|known| known.0.as_ref() == zone && known.1 == version)
        {
            return pool.clone();
        }
        let at = pools.iter().position(|known| known.0.as_ref() == zone);
        if let Some((at, known)) = at.map(|at| (at, &pools[at])).filter(|(_, known)| known.1 == version) {
            self.last.set(at);
            return known.2.clone();
        }
        let pool = Rc::new(Pool::of(&self.served.group, &*self.served, zone.map(|zone| &**zone)));
        let entry = (zone.cloned(), version, pool.clone());
        match at {
            Some(at) => pools[at] = entry,
            None => pools.push(entry),
        }
        pool
    }
}
