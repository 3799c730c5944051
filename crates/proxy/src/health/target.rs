//! One target's checks: a task that sleeps, probes, and says when the target turned.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base::{Chance, Timestamp, clock};
use core_routing::logs::HealthLine;
use core_routing::{Anomaly, Balancer, Outcome, State, Step, TargetGroup, TargetKey, Watch, step};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::probe::{kind, probe};
use super::{Shared, report};
use crate::log::LogKind;

/// More targets than these at once: their second probes are spread over half an interval, and none of
/// them is probed early.
const CROWD: usize = 100;

/// What is to be checked, and how.
pub(super) struct Setup {
    pub balancer: Arc<Balancer>,
    pub group: Arc<TargetGroup>,
    pub key: TargetKey,
    pub registered_at: Timestamp,
    /// The node that probes; `None`: the balancer has none.
    pub from: Option<Ipv4Addr>,
    pub to: SocketAddrV4,
}

/// A target's task. Dropping it ends the checks.
pub(super) struct Beat {
    pub registered_at: Timestamp,
    setup: Rc<RefCell<Rc<Setup>>>,
    changed: Rc<Notify>,
    task: AbortHandle,
}

impl Beat {
    pub fn start(
        shared: &Rc<Shared>,
        setup: Setup,
        first_at: Timestamp,
        crowd: usize,
        mut chance: Chance,
    ) -> Beat {
        let registered_at = setup.registered_at;
        let interval = setup.group.check.interval;
        let spread = if crowd > CROWD { chance.below(interval.as_micros() as u64 / 2) } else { 0 };
        let setup = Rc::new(RefCell::new(Rc::new(setup)));
        let changed = Rc::new(Notify::new());
        let task = Task {
            shared: shared.clone(),
            setup: setup.clone(),
            changed: changed.clone(),
            is_eager: crowd <= CROWD,
            early_by: Duration::from_micros(spread),
        };
        let task = tokio::task::spawn_local(task.run(first_at)).abort_handle();
        Beat { registered_at, setup, changed, task }
    }

    /// The same target under a newer table.
    pub fn change(&self, setup: Setup) {
        let is_same = {
            let known = self.setup.borrow();
            known.group.check == setup.group.check && known.to == setup.to
        };
        *self.setup.borrow_mut() = Rc::new(setup);
        if !is_same {
            self.changed.notify_one();
        }
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task {
    shared: Rc<Shared>,
    setup: Rc<RefCell<Rc<Setup>>>,
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
            let setup = self.setup.borrow().clone();
            let Ok(permit) = self.shared.permits.acquire().await else { return };
            let began_at = clock::wall();
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
        let (setup, now) = (self.setup.borrow().clone(), clock::wall());
        match (self.shared.config.known)(&setup.key, setup.registered_at) {
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
