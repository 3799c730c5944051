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
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use base::{Chance, Timestamp, clock};
use core_routing::{Anomaly, Balancer, HealthReport, State, Target, TargetGroup, TargetKey, first_probe_at};
use tokio::sync::{Semaphore, mpsc};

use crate::log::Book;
use crate::sockets::Sockets;
use crate::tls::Reencryption;
use target::{Beat, Setup};

/// Probes under way at the same time: each holds a socket.
const AT_ONCE: usize = 2_048;
/// Tables that wait to be taken in.
const WAITING: usize = 64;

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
    pub known: Arc<dyn Fn(&TargetKey, Timestamp) -> State + Send + Sync>,
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

/// One target of one balancer.
type Place = (Arc<str>, TargetKey);

async fn run(config: Config, mut orders: mpsc::Receiver<Order>) {
    let mut chance = Chance::new(config.seed).split("health");
    let permits = Semaphore::new(AT_ONCE);
    let shared = Rc::new(Shared { config, reencryption: Reencryption::new(true), permits });
    let mut beats: HashMap<Place, Beat> = HashMap::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Apply(balancer) => apply(&shared, &mut beats, &balancer, &mut chance),
            Order::Remove(arn) => beats.retain(|(of, _), _| *of != arn),
        }
    }
}

fn apply(
    shared: &Rc<Shared>,
    beats: &mut HashMap<Place, Beat>,
    balancer: &Arc<Balancer>,
    chance: &mut Chance,
) {
    let now = clock::wall();
    let mut wanted = HashMap::new();
    for (group, target) in checked(balancer) {
        let key = TargetKey { group: group.arn.clone(), id: target.id.clone(), port: target.port };
        wanted.insert((balancer.arn.clone(), key.clone()), setup(balancer, group, target, key));
    }
    // A target that left, or was registered anew, is done with.
    beats.retain(|place, beat| {
        let is_other = place.0 != balancer.arn;
        is_other || wanted.get(place).is_some_and(|setup| setup.registered_at == beat.registered_at)
    });
    let fresh = wanted.keys().filter(|place| !beats.contains_key(place)).count();
    for (place, setup) in wanted {
        if let Some(beat) = beats.get(&place) {
            beat.change(setup);
            continue;
        }
        let first_at = first_probe_at(fresh, now, chance);
        let beat = Beat::start(shared, setup, first_at, fresh, chance.split(&place.1.id));
        beats.insert(place, beat);
    }
}

fn checked(balancer: &Balancer) -> impl Iterator<Item = (&Arc<TargetGroup>, &Target)> {
    balancer.groups.values().flat_map(|group| {
        let open = group.targets.iter().filter(|target| target.draining_until.is_none());
        open.map(move |target| (group, target))
    })
}

fn setup(balancer: &Arc<Balancer>, group: &Arc<TargetGroup>, target: &Target, key: TargetKey) -> Setup {
    let nodes = &balancer.place.nodes;
    // From the target's own zone, as its requests come from there.
    let near = nodes.iter().find(|node| target.zone.as_ref() == Some(&node.zone));
    let port = group.check.port.unwrap_or(target.port);
    Setup {
        balancer: balancer.clone(),
        group: group.clone(),
        key,
        registered_at: target.registered_at,
        from: near.or(nodes.first()).map(|node| node.address),
        to: SocketAddrV4::new(target.address, port),
    }
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
