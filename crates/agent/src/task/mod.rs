//! One task's actor.
//!
//! ```text
//! Preparing ──all started──▶ Running ──essential exit, order, loss──▶ Stopping ──▶ Stopped
//!     └────────failure, essential exit, order──────────────────────────▲          └─ Forget ▶ gone
//! ```
//!
//! A task prepares until its last container has started, which may depend on what others come to:
//! meanwhile those that run are supervised as in a running task. What is to be done about them is
//! [`core_lifecycle::supervision`]'s to say; this module carries it out, one piece of work per
//! container at a time.
//!
//! After a restart the actor goes on in the phase that its note has: every step asks the runtime
//! first and repeats nothing that has been done.

mod check;
mod life;
mod plan;
mod prepare;
mod stop;
mod supervise;
mod values;
mod work;

use std::sync::Arc;

use base::Timestamp;
use core_lifecycle::Phase;
use core_lifecycle::supervision::Standing;
use runtime::Events;
use tokio::sync::watch;

use crate::agent::{Latest, Shared};
use crate::note::{Goal, Note};

use life::Life;
use work::Done;

pub(crate) struct Task {
    life: Life,
    orders: watch::Receiver<Latest>,
    events: Events,
}

impl Task {
    pub fn new(shared: Arc<Shared>, id: String, note: Note, orders: watch::Receiver<Latest>) -> Self {
        let events = shared.parts.runtime.events(&id);
        Task { life: Life::new(shared, id, note), orders, events }
    }

    /// Lives until the task is to be forgotten; returns the generation of that order.
    pub async fn run(&mut self) -> Option<u64> {
        // What is soon over has room of its own only meanwhile: most tasks do nothing but wait.
        Box::pin(self.life.take_up()).await;
        loop {
            self.obey();
            match self.life.phase() {
                Phase::Preparing if self.life.ready.is_none() => Box::pin(self.prepare()).await,
                Phase::Preparing | Phase::Running => self.supervise().await,
                Phase::Stopping => Box::pin(self.life.stop()).await,
                Phase::Stopped => {
                    Box::pin(self.life.tear_down()).await;
                    if Box::pin(self.rest()).await? {
                        return Some(self.life.note.generation);
                    }
                }
            }
        }
    }

    /// Takes in the newest order; `true` if the task is to end.
    fn obey(&mut self) -> bool {
        let latest = *self.orders.borrow_and_update();
        self.life.obey(latest);
        latest.goal > Goal::Run
    }

    /// Gathers what the containers need and makes the sandbox in which they start.
    async fn prepare(&mut self) {
        if self.life.note.goal > Goal::Run {
            return self.life.begin_stop(None);
        }
        let Task { life, orders, .. } = self;
        let gathered = tokio::select! {
            biased;
            () = until_stop(orders) => None,
            gathered = life.gather() => Some(gathered),
        };
        let made = match gathered {
            None => Ok(()),
            Some(Ok(ready)) => life.make_sandbox(ready).await,
            Some(Err(failure)) => Err(failure),
        };
        let is_ending = self.obey();
        match made {
            Ok(()) if is_ending => self.life.begin_stop(None),
            Ok(()) => {}
            Err(failure) => self.life.begin_stop(Some(failure)),
        }
    }

    /// Does what is to be done about the containers, then waits for something to happen. Until an
    /// essential container ends, or the task is told to.
    async fn supervise(&mut self) {
        if self.life.note.goal > Goal::Run {
            Box::pin(self.life.settle()).await;
            return self.life.begin_stop(None);
        }
        let (standing, wake_at) = self.life.act();
        match standing {
            Standing::Over => {
                Box::pin(self.life.settle()).await;
                let failure = self.life.fatal();
                return self.life.begin_stop(failure);
            }
            Standing::Running if self.life.phase() == Phase::Preparing => {
                self.life.note_start();
                self.life.release();
                self.life.set_phase(Phase::Running);
            }
            Standing::Starting | Standing::Running => {}
        }
        if !self.life.works.has_starts() {
            self.life.turn = None;
            // One that is being started has news soon, and both are told at once.
            self.life.publish();
        }
        match self.happening(wake_at).await {
            // The agent ends, and this actor with it.
            Happened::Ordered(false) => std::future::pending::<()>().await,
            Happened::Ordered(true) => {
                if !self.obey() {
                    self.life.report();
                }
            }
            Happened::Event(is_open) => {
                if !is_open {
                    self.events = self.life.shared.parts.runtime.events(&self.life.id);
                }
                while self.events.try_recv().is_some() {}
                Box::pin(self.life.refresh()).await;
            }
            Happened::Done(done) => self.life.done(done),
            Happened::Nothing => {}
        }
    }

    /// Waits for the next thing to happen, at most until `wake_at`.
    async fn happening(&mut self, wake_at: Option<Timestamp>) -> Happened {
        let Task { life, orders, events } = self;
        let shared = life.shared.clone();
        let is_waiting = life.works.is_empty();
        // By reference: each layer that it is handed through would keep room for it otherwise.
        let wait = std::pin::pin!(async {
            tokio::select! {
                changed = orders.changed() => Happened::Ordered(changed.is_ok()),
                event = events.recv() => Happened::Event(event.is_some()),
                done = life.works.next() => Happened::Done(done),
            }
        });
        let happened = match is_waiting {
            true => shared.idle_until(wake_at, wait).await,
            false => shared.before(wake_at, wait).await,
        };
        happened.unwrap_or(Happened::Nothing)
    }

    /// Waits for the last order; `None` when the agent ends.
    async fn rest(&mut self) -> Option<bool> {
        if self.life.note.goal == Goal::Forget {
            self.life.forget().await;
            return Some(true);
        }
        self.life.shared.idle(self.orders.changed()).await.ok()?;
        self.obey();
        self.life.report();
        Some(false)
    }
}

/// What ended an actor's wait.
enum Happened {
    /// `false`: the agent is gone.
    Ordered(bool),
    /// `false`: another listener has taken over.
    Event(bool),
    Done(Done),
    /// It is time to look again.
    Nothing,
}

async fn until_stop(orders: &mut watch::Receiver<Latest>) {
    if orders.wait_for(|latest| latest.goal > Goal::Run).await.is_err() {
        std::future::pending::<()>().await;
    }
}
