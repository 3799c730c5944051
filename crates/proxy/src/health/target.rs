//! One target's checks: a task that sleeps, probes, and says when the target turned.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base::{Chance, Timestamp, clock};
use core_routing::logs::HealthLine;
use core_routing::{Anomaly, Balancer, Outcome, State, Step, Target, TargetGroup, TargetKey, Watch, step};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::probe::{kind, probe};
use super::{Shared, report};
use crate::log::LogKind;

/// More targets than these at once: their second probes are spread over half an interval, and none of
/// them is probed early.
const CROWD: usize = 100;

/// The newest of what tables say, shared by all whom it concerns.
pub(super) struct Newest<T>(Rc<RefCell<Arc<T>>>);

impl<T> Newest<T> {
    pub fn new(of: &Arc<T>) -> Self {
        Newest(Rc::new(RefCell::new(of.clone())))
    }

    /// Answers what it was.
    pub fn replace(&self, with: Arc<T>) -> Arc<T> {
        self.0.replace(with)
    }

    fn get(&self) -> Arc<T> {
        self.0.borrow().clone()
    }
}

/// A target that is checked: one registration of it.
pub(super) struct Subject {
    balancer: Newest<Balancer>,
    group: Newest<TargetGroup>,
    key: TargetKey,
    registered_at: Timestamp,
    address: Ipv4Addr,
    zone: Option<Arc<str>>,
}

/// What is probed, and how, by the newest table.
pub(super) struct Setup {
    pub balancer: Arc<Balancer>,
    pub group: Arc<TargetGroup>,
    pub key: TargetKey,
    pub registered_at: Timestamp,
    /// The node that probes; `None`: the balancer has none.
    pub from: Option<Ipv4Addr>,
    pub to: SocketAddrV4,
}

impl Subject {
    pub fn new(
        balancer: &Newest<Balancer>,
        group: &Newest<TargetGroup>,
        key: TargetKey,
        target: &Target,
    ) -> Subject {
        Subject {
            balancer: Newest(balancer.0.clone()),
            group: Newest(group.0.clone()),
            key,
            registered_at: target.registered_at,
            address: target.address,
            zone: target.zone.clone(),
        }
    }

    fn setup(&self) -> Setup {
        let (balancer, group) = (self.balancer.get(), self.group.get());
        let nodes = &balancer.place.nodes;
        // From the target's own zone, as its requests come from there.
        let near = nodes.iter().find(|node| self.zone.as_ref() == Some(&node.zone));
        let from = near.or(nodes.first()).map(|node| node.address);
        let to = SocketAddrV4::new(self.address, group.check.port.unwrap_or(self.key.port));
        Setup { balancer, group, key: self.key.clone(), registered_at: self.registered_at, from, to }
    }
}

/// A target's task. Dropping it ends the checks.
pub(super) struct Beat {
    subject: Rc<Subject>,
    changed: Rc<Notify>,
    task: AbortHandle,
}

impl Beat {
    pub fn start(
        shared: &Rc<Shared>,
        subject: Subject,
        first_at: Timestamp,
        crowd: usize,
        mut chance: Chance,
    ) -> Beat {
        let interval = subject.group.get().check.interval;
        let spread = if crowd > CROWD { chance.below(interval.as_micros() as u64 / 2) } else { 0 };
        let subject = Rc::new(subject);
        let changed = Rc::new(Notify::new());
        let task = Task {
            shared: shared.clone(),
            subject: subject.clone(),
            changed: changed.clone(),
            is_eager: crowd <= CROWD,
            early_by: Duration::from_micros(spread),
        };
        let task = tokio::task::spawn_local(task.run(first_at)).abort_handle();
        Beat { subject, changed, task }
    }

    /// The check itself changed: it is due at once.
    pub fn hasten(&self) {
        self.changed.notify_one();
    }

    /// Whether it checks this registration.
    pub fn is_of(&self, target: &Target) -> bool {
        let known = &*self.subject;
        known.registered_at == target.registered_at
            && known.address == target.address
            && known.zone == target.zone
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task {
    shared: Rc<Shared>,
    subject: Rc<Subject>,
    changed: Rc<Notify>,
    /// It is probed often while it is new: not where many others are, too.
    is_eager: bool,
    /// How much the second probe comes early, so that a crowd drifts apart.
    early_by: Duration,
}

impl Task {
    async fn run(mut self, first_at: Timestamp) {
        let mut watch = self.begin();
        let mut told = Anomaly::default();
        let mut due_at = first_at;
        loop {
            self.sleep_until(due_at).await;
            let Ok(permit) = self.shared.permits.acquire().await else { return };
            let (setup, began_at) = (self.subject.setup(), clock::wall());
            // Boxed: a task that sleeps holds no room for a handshake.
            let outcome = Box::pin(probe(&self.shared, &setup)).await;
            drop(permit);
            let now = clock::wall();
            let next = step(&watch, outcome, &setup.group.check, began_at, now);
            if next.is_void {
                due_at = next.wake_at;
                continue;
            }
            self.write_down(&setup, outcome, &next, began_at, now);
            let anomaly = match setup.group.mitigates_anomalies {
                true => (self.shared.config.anomaly)(&setup.key),
                false => Anomaly::default(),
            };
            if next.is_change || anomaly != told {
                told = anomaly;
                let report = report(&setup, &next.watch, anomaly, now);
                (self.shared.config.turned)(&report);
                // Closed: nobody keeps records any more, and traffic still needs the checks.
                let _ = self.shared.config.reports.send(report).await;
            }
            due_at = next.wake_at - std::mem::take(&mut self.early_by);
            watch = next.watch;
        }
    }

    fn begin(&self) -> Watch {
        let (subject, now) = (&self.subject, clock::wall());
        match (self.shared.config.known)(&subject.key, subject.registered_at) {
            State::Initial if self.is_eager => Watch::eager(now),
            State::Initial => Watch::new(now),
            known @ (State::Healthy | State::Unhealthy) => Watch::resumed(known, None, now),
        }
    }

    /// Until then, or until the check itself changed: then it is due at once.
    async fn sleep_until(&self, due_at: Timestamp) {
        let wait = due_at.since(clock::wall());
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.changed.notified() => {}
        }
    }

    fn write_down(&self, setup: &Setup, outcome: Outcome, step: &Step, began_at: Timestamp, now: Timestamp) {
        let Some(destination) = &setup.balancer.attributes.health_log else { return };
        let code = match outcome {
            Outcome::Answered(code) => Some(code),
            Outcome::TimedOut | Outcome::Broken | Outcome::Impossible => None,
        };
        let line = HealthLine {
            kind: kind(&setup.group),
            at: now,
            target: setup.to,
            group: &setup.group.id,
            took: now.since(began_at),
            code,
            failure: step.failure.as_ref(),
        };
        let book = &self.shared.config.book;
        book.write(LogKind::HealthCheck, &setup.balancer, destination, |text| line.write(text));
        book.flush();
    }
}
