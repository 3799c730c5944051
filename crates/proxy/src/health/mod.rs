//! Health checks of targets.
//!
//! Owns one thread that probes every target of the groups that listeners use, and says when one
//! turned. What an outcome means is [`core_routing::step`]'s.
//!
//! Invariants: a target has one probe under way at most; outcomes about an earlier registration are
//! dropped; at most [`AT_ONCE`] probes are under way, and what waits is late, never failed.
//!
//! Deliberately ignores draining targets, and groups that no listener uses.

mod probe;
mod target;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use base::{Chance, Timestamp, clock};
use core_routing::{Anomaly, Balancer, HealthReport, State, Target, TargetGroup, TargetKey, first_probe_at};
use tokio::sync::{Semaphore, mpsc};

use crate::log::Book;
use crate::sockets::Sockets;
use crate::tls::Reencryption;
use target::{Beat, Newest, Setup, Subject};

/// Probes under way at the same time: each holds a socket.
const AT_ONCE: usize = 2_048;
/// Tables that wait to be taken in.
const WAITING: usize = 64;

/// How the target stands whose registration that is.
pub type Known = dyn Fn(&TargetKey, Timestamp) -> State + Send + Sync;

/// What a checker works with.
pub struct Config {
    pub sockets: Arc<dyn Sockets>,
    /// Where changes of health go for records.
    pub reports: mpsc::Sender<HealthReport>,
    /// Called on the checker's thread before the report is sent: for what serves requests. It must
    /// be quick.
    pub turned: Arc<dyn Fn(&HealthReport) + Send + Sync>,
    /// What is held against a target: asked when it is probed, so that changes are told at the pace
    /// of checks.
    pub anomaly: Arc<dyn Fn(&TargetKey) -> Anomaly + Send + Sync>,
    /// How a target stands that is to be checked from now on, by this registration.
    pub known: Arc<Known>,
    /// Lines of health check logs.
    pub book: Book,
    /// Spreads probes.
    pub seed: u64,
}

/// The thread that checks. Dropping it ends the thread; probes under way are dropped.
pub struct Checker {
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Apply(Arc<Balancer>),
    Remove(Arc<str>),
}

impl Checker {
    /// # Errors
    /// A thread or a runtime cannot be made.
    pub fn start(config: Config) -> std::io::Result<Checker> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (orders, received) = mpsc::channel(WAITING);
        let thread = std::thread::Builder::new().name("proxy-health".into()).spawn(move || {
            crate::control::go_behind();
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, run(config, received));
        })?;
        Ok(Checker { orders: Some(orders), thread: Some(thread) })
    }

    /// Checks what this table says from now on. Targets that were checked before go on where they
    /// stood.
    pub async fn apply(&self, balancer: Arc<Balancer>) {
        self.order(Order::Apply(balancer)).await;
    }

    /// Checks no target of that balancer any more.
    pub async fn remove(&self, arn: &str) {
        self.order(Order::Remove(arn.into())).await;
    }

    async fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // An error says that the thread is gone, and with it all need for checks.
            let _ = orders.send(order).await;
        }
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the tasks of all targets share.
struct Shared {
    config: Config,
    reencryption: Reencryption,
    permits: Semaphore,
}

/// A balancer whose targets are checked.
struct Checked {
    balancer: Newest<Balancer>,
    groups: HashMap<Arc<str>, Group>,
}

/// A group of it. What of a group has not changed is not looked at.
struct Group {
    group: Newest<TargetGroup>,
    beats: HashMap<Place, Beat>,
}

/// A target within its group.
type Place = (Arc<str>, u16);

async fn run(config: Config, mut orders: mpsc::Receiver<Order>) {
    let mut chance = Chance::new(config.seed).split("health");
    let permits = Semaphore::new(AT_ONCE);
    let shared = Rc::new(Shared { config, reencryption: Reencryption::new(true), permits });
    let mut all: HashMap<Arc<str>, Checked> = HashMap::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Apply(balancer) => apply(&shared, &mut all, &balancer, &mut chance),
            Order::Remove(arn) => drop(all.remove(&arn)),
        }
    }
}

fn apply(
    shared: &Rc<Shared>,
    all: &mut HashMap<Arc<str>, Checked>,
    balancer: &Arc<Balancer>,
    chance: &mut Chance,
) {
    let now = clock::wall();
    let new = || Checked { balancer: Newest::new(balancer), groups: HashMap::new() };
    let Checked { balancer: newest, groups } = all.entry(balancer.arn.clone()).or_insert_with(new);
    newest.replace(balancer.clone());
    groups.retain(|arn, _| balancer.groups.contains_key(arn));
    let mut fresh = Vec::new();
    for (arn, group) in &balancer.groups {
        match groups.get_mut(arn) {
            Some(known) => known.follow(group, &mut fresh),
            None => {
                let new = Group { group: Newest::new(group), beats: HashMap::new() };
                groups.insert(arn.clone(), new);
                fresh.extend(open(group).map(|target| (group, target)));
            }
        }
    }
    let crowd = fresh.len();
    for (of, target) in fresh {
        let Some(group) = groups.get_mut(&of.arn) else { continue };
        let first_at = first_probe_at(crowd, now, chance);
        let key = TargetKey { group: of.arn.clone(), id: target.id.clone(), port: target.port };
        let subject = Subject::new(newest, &group.group, key, target);
        let beat = Beat::start(shared, subject, first_at, crowd, chance.split(&target.id));
        group.beats.insert((target.id.clone(), target.port), beat);
    }
}

impl Group {
    /// Takes in what the group is now; its targets that are not checked yet are added to `fresh`.
    fn follow<'a>(
        &mut self,
        group: &'a Arc<TargetGroup>,
        fresh: &mut Vec<(&'a Arc<TargetGroup>, &'a Target)>,
    ) {
        let before = self.group.replace(group.clone());
        if *before == **group {
            return;
        }
        if before.check != group.check {
            self.beats.values().for_each(Beat::hasten);
        }
        let wanted: HashMap<Place, &Target> =
            open(group).map(|target| ((target.id.clone(), target.port), target)).collect();
        // A target that left, or was registered anew, is done with.
        self.beats.retain(|place, beat| wanted.get(place).is_some_and(|target| beat.is_of(target)));
        let new = wanted.into_iter().filter(|(place, _)| !self.beats.contains_key(place));
        fresh.extend(new.map(|(_, target)| (group, target)));
    }
}

fn open(group: &TargetGroup) -> impl Iterator<Item = &Target> {
    group.targets.iter().filter(|target| target.draining_until.is_none())
}

fn report(setup: &Setup, watch: &core_routing::Watch, anomaly: Anomaly, at: Timestamp) -> HealthReport {
    HealthReport {
        target: setup.key.clone(),
        registered_at: setup.registered_at,
        state: watch.state,
        reason: watch.reason.clone(),
        anomaly,
        at,
    }
}

#[cfg(test)]
mod tests;
