//! A table as workers use it: compiled once by the control thread, shared by all workers; and what
//! each worker adds of its own (`here`).

mod here;

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Timestamp;
use core_routing::sticky::{Named, Seal};
use core_routing::{Anomaly, HealthReport, Standings};
use core_routing::{Balancer, Listener, Router, RouterError, State, Target, TargetGroup, TargetKey};
use tokio::sync::Notify;

pub use here::{Here, HereGroup};

use crate::tls::{Terminator, Terminators};

/// One balancer's table, compiled.
pub struct Served {
    pub balancer: Arc<Balancer>,
    /// Distinguishes balancers within the plane, also those of one address in two VPCs.
    pub number: u32,
    /// As [`Balancer::listeners`].
    pub listeners: Vec<ServedListener>,
    pub groups: HashMap<Arc<str>, Arc<ServedGroup>>,
    pub seal: Arc<Seal>,
}

/// What was made of a listener.
pub struct ServedListener {
    pub router: Arc<Router>,
    /// HTTPS only.
    pub terminator: Option<Arc<Terminator>>,
}

/// A target group with its targets' live state.
pub struct ServedGroup {
    pub group: Arc<TargetGroup>,
    /// As [`TargetGroup::targets`].
    pub targets: Vec<Arc<TargetState>>,
    /// For groups that bind clients to targets.
    pub named: Option<Named>,
    pub state: Arc<GroupState>,
}

/// What changes of a group between tables. Outlives them.
#[derive(Default)]
pub struct GroupState {
    /// Grows whenever the health of one of its targets changes.
    version: AtomicU64,
    healthy: AtomicU32,
    /// Told whenever the version grows.
    pub turned: Notify,
    /// Requests that wait for a target.
    pub held: AtomicU32,
}

/// What changes of a target between tables. Outlives them.
pub struct TargetState {
    pub key: TargetKey,
    pub registered_at: Timestamp,
    pub group: Arc<GroupState>,
    health: AtomicU8,
    /// Requests under way, of all workers.
    pub in_flight: AtomicU32,
    healthy_at: AtomicI64,
    /// How many workers hold something against it, and how many spare it.
    anomalous: AtomicU32,
    mitigated: AtomicU32,
    /// Microseconds; requests under way are cut from then on. [`i64::MAX`]: it is not draining.
    pub cut_at: AtomicI64,
}

impl TargetState {
    pub fn new(group: &Arc<str>, target: &Target, state: Arc<GroupState>) -> Self {
        let key = TargetKey { group: group.clone(), id: target.id.clone(), port: target.port };
        TargetState {
            key,
            registered_at: target.registered_at,
            group: state,
            health: AtomicU8::new(0),
            in_flight: AtomicU32::new(0),
            healthy_at: AtomicI64::new(0),
            anomalous: AtomicU32::new(0),
            mitigated: AtomicU32::new(0),
            cut_at: AtomicI64::new(i64::MAX),
        }
    }

    /// The verdict of checks, since then. Called by one thread at a time.
    pub fn judge(&self, state: State, since: Timestamp) {
        let number = match state {
            State::Initial => 0,
            State::Healthy => 1,
            State::Unhealthy => 2,
        };
        let before = self.state();
        if before == state {
            return;
        }
        if state == State::Healthy {
            // AWS: there is no slow start where no other target is healthy.
            let is_first = self.group.healthy.fetch_add(1, Ordering::Relaxed) == 0;
            let since = if is_first { Timestamp::EPOCH } else { since };
            self.healthy_at.store(since.as_micros(), Ordering::Relaxed);
        } else if before == State::Healthy {
            self.group.healthy.fetch_sub(1, Ordering::Relaxed);
        }
        self.health.store(number, Ordering::Release);
        self.group.version.fetch_add(1, Ordering::Release);
        self.group.turned.notify_waiters();
    }

    /// What workers hold against it.
    pub fn anomaly(&self) -> Anomaly {
        Anomaly {
            is_anomalous: self.anomalous.load(Ordering::Relaxed) > 0,
            is_mitigated: self.mitigated.load(Ordering::Relaxed) > 0,
        }
    }

    fn is_of(&self, target: &Target) -> bool {
        self.key.port == target.port && self.registered_at == target.registered_at && self.key.id == target.id
    }

    pub fn state(&self) -> State {
        match self.health.load(Ordering::Acquire) {
            1 => State::Healthy,
            2 => State::Unhealthy,
            _ => State::Initial,
        }
    }
}

impl Standings for ServedGroup {
    fn state(&self, at: usize) -> State {
        self.targets[at].state()
    }

    fn in_flight(&self, at: usize) -> u32 {
        self.targets[at].in_flight.load(Ordering::Relaxed)
    }

    fn healthy_at(&self, at: usize) -> Timestamp {
        Timestamp::from_micros(self.targets[at].healthy_at.load(Ordering::Relaxed))
    }
}

/// What one worker holds against a target, until it is dropped.
pub struct Held {
    target: Arc<TargetState>,
    anomaly: Anomaly,
}

impl Held {
    fn against(target: &Arc<TargetState>, anomaly: Anomaly) -> Held {
        target.anomalous.fetch_add(u32::from(anomaly.is_anomalous), Ordering::Relaxed);
        target.mitigated.fetch_add(u32::from(anomaly.is_mitigated), Ordering::Relaxed);
        Held { target: target.clone(), anomaly }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.target.anomalous.fetch_sub(u32::from(self.anomaly.is_anomalous), Ordering::Relaxed);
        self.target.mitigated.fetch_sub(u32::from(self.anomaly.is_mitigated), Ordering::Relaxed);
    }
}

/// What outlives tables; kept by the control thread.
pub struct Lasting {
    pub seal: Arc<Seal>,
    groups: HashMap<Arc<str>, Arc<GroupState>>,
    targets: Arc<Targets>,
    /// What others saw of the next table's targets.
    recalled: HashMap<TargetKey, HealthReport>,
}

/// The live state of all targets, for the control thread and the one that checks. Workers hold the
/// states themselves.
#[derive(Default)]
pub struct Targets {
    all: Mutex<HashMap<TargetKey, Arc<TargetState>>>,
}

impl Targets {
    /// A target's health changed.
    pub fn judge(&self, report: &HealthReport) {
        let target = self.lock().get(&report.target).cloned();
        if let Some(target) = target.filter(|target| target.registered_at == report.registered_at) {
            target.judge(report.state, report.at);
        }
    }

    /// How a target stands, by this registration.
    pub fn state(&self, target: &TargetKey, registered_at: Timestamp) -> State {
        let known = self.lock().get(target).filter(|known| known.registered_at == registered_at).cloned();
        known.map_or(State::Initial, |known| known.state())
    }

    /// What workers hold against a target.
    pub fn anomaly(&self, target: &TargetKey) -> Anomaly {
        self.lock().get(target).map(|target| target.anomaly()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TargetKey, Arc<TargetState>>> {
        // A map is whole between any two of its operations.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lasting {
    pub fn new(seal: Seal, targets: Arc<Targets>) -> Self {
        Lasting { seal: Arc::new(seal), groups: HashMap::new(), targets, recalled: HashMap::new() }
    }

    /// What others saw of the targets of the table that comes next.
    pub fn recall(&mut self, reports: Vec<HealthReport>) {
        self.recalled = reports.into_iter().map(|report| (report.target.clone(), report)).collect();
    }

    /// Compiles a table.
    pub fn compile(
        &mut self,
        balancer: &Arc<Balancer>,
        number: u32,
        before: Option<&Served>,
        terminators: &Terminators,
    ) -> Result<Served, RouterError> {
        let compiled = balancer.listeners.iter().map(|listener| {
            let terminator = (listener.protocol == core_routing::Protocol::Https)
                .then(|| terminators.listener(listener, balancer.attributes.http2));
            // Rules mostly stay as they are, too.
            let known = before.and_then(|before| before.listener(listener.port));
            let router = match known.filter(|(known, _)| *known == listener) {
                Some((_, served)) => served.router.clone(),
                None => Arc::new(Router::compile(listener)?),
            };
            Ok(ServedListener { router, terminator })
        });
        let listeners = compiled.collect::<Result<_, RouterError>>()?;
        let groups = balancer.groups.iter().map(|(arn, group)| {
            let known = before.and_then(|before| before.groups.get(arn));
            // Large groups mostly stay as they are.
            let same = known.filter(|known| *known.group == **group);
            (arn.clone(), same.cloned().unwrap_or_else(|| Arc::new(self.group(arn, group, known))))
        });
        let groups = groups.collect();
        self.recalled = HashMap::new();
        Ok(Served { balancer: balancer.clone(), number, listeners, groups, seal: self.seal.clone() })
    }

    fn group(
        &mut self,
        arn: &Arc<str>,
        group: &Arc<TargetGroup>,
        before: Option<&Arc<ServedGroup>>,
    ) -> ServedGroup {
        let state = self.groups.entry(arn.clone()).or_default().clone();
        let mut all = self.targets.lock();
        let recalled = &self.recalled;
        let place = |(at, target): (usize, &Target)| {
            let known = before.and_then(|before| before.targets.get(at));
            let same = known.filter(|known| known.is_of(target)).cloned();
            let state = same.unwrap_or_else(|| registered(&mut all, arn, target, &state, recalled));
            let cut_at = target.draining_until.map_or(i64::MAX, Timestamp::as_micros);
            state.cut_at.store(cut_at, Ordering::Relaxed);
            state
        };
        let targets = group.targets.iter().enumerate().map(place).collect();
        drop(all);
        let named = group.stickiness.is_some().then(|| Named::of(&self.seal, group));
        ServedGroup { group: group.clone(), targets, named, state }
    }

    /// Forgets what a table had and the one after it has not. Requests under way to a target that left
    /// a group have the group's deregistration delay; those to a group that no rule names any more
    /// end in their own time. `is_elsewhere`: the group is another balancer's by now, and so are its
    /// targets.
    pub fn forget(&mut self, before: &Served, after: Option<&Served>, is_elsewhere: impl Fn(&str) -> bool) {
        for (arn, group) in &before.groups {
            let now = after.and_then(|after| after.groups.get(arn));
            if now.is_some_and(|now| Arc::ptr_eq(now, group)) || is_elsewhere(arn) {
                continue;
            }
            let stays: HashSet<*const TargetState> =
                now.iter().flat_map(|now| &now.targets).map(Arc::as_ptr).collect();
            for target in group.targets.iter().filter(|target| !stays.contains(&Arc::as_ptr(target))) {
                self.gone(target, now.map(|now| now.group.deregistration_delay_for));
            }
            if now.is_none() {
                self.groups.remove(arn);
            }
        }
    }

    fn gone(&self, target: &Arc<TargetState>, delay: Option<Duration>) {
        target.judge(State::Initial, target.registered_at);
        if let Some(delay) = delay {
            let cut_at = base::clock::wall() + delay;
            target.cut_at.fetch_min(cut_at.as_micros(), Ordering::Relaxed);
        }
        let mut all = self.targets.lock();
        // It may be there anew by now.
        if all.get(&target.key).is_some_and(|known| Arc::ptr_eq(known, target)) {
            all.remove(&target.key);
        }
    }
}

/// The state of a target: the known one, unless it was registered anew.
fn registered(
    all: &mut HashMap<TargetKey, Arc<TargetState>>,
    group: &Arc<str>,
    target: &Target,
    state: &Arc<GroupState>,
    recalled: &HashMap<TargetKey, HealthReport>,
) -> Arc<TargetState> {
    let key = TargetKey { group: group.clone(), id: target.id.clone(), port: target.port };
    let seen = recalled.get(&key).filter(|seen| seen.registered_at == target.registered_at);
    let fresh = || {
        let fresh = Arc::new(TargetState::new(group, target, state.clone()));
        if let Some(seen) = seen {
            fresh.judge(seen.state, seen.at);
        }
        fresh
    };
    let known = all.entry(key).or_insert_with(fresh);
    if !known.is_of(target) {
        *known = fresh();
    }
    known.clone()
}

impl Served {
    /// The listener on that port.
    pub fn listener(&self, port: u16) -> Option<(&Listener, &ServedListener)> {
        let mut all = self.balancer.listeners.iter().zip(&self.listeners);
        all.find(|(listener, _)| listener.port == port)
    }

    /// The zone of the node with that address.
    pub fn zone(&self, node: Option<Ipv4Addr>) -> Option<&Arc<str>> {
        let nodes = &self.balancer.place.nodes;
        nodes.iter().find(|known| Some(known.address) == node).map(|known| &known.zone)
    }

    /// Where connections to that target leave from.
    pub fn leaves_from(&self, node: Option<Ipv4Addr>, target: &Target) -> Ipv4Addr {
        let nodes = &self.balancer.place.nodes;
        let near = || nodes.iter().find(|known| Some(&known.zone) == target.zone.as_ref());
        node.or_else(|| near().or(nodes.first()).map(|node| node.address)).unwrap_or(Ipv4Addr::UNSPECIFIED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_hold_against_a_target_is_over_when_the_last_lets_go() {
        let target = Target {
            id: "t".into(),
            port: 80,
            address: Ipv4Addr::LOCALHOST,
            zone: None,
            registered_at: Timestamp::EPOCH,
            draining_until: None,
        };
        let state = Arc::new(TargetState::new(&"group".into(), &target, Arc::default()));
        let both = Anomaly { is_anomalous: true, is_mitigated: true };
        let one = Held::against(&state, both);
        let other = Held::against(&state, Anomaly { is_mitigated: true, ..Anomaly::default() });
        assert_eq!(state.anomaly(), both);
        drop(one);
        assert_eq!(state.anomaly(), Anomaly { is_anomalous: false, is_mitigated: true });
        drop(other);
        assert_eq!(state.anomaly(), Anomaly::default());
    }
}
