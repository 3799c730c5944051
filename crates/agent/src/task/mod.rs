//! One task's actor.
//!
//! ```text
//! Preparing ──all started──▶ Running ──essential exit, order, loss──▶ Stopping ──▶ Stopped
//!     └────────failure, order──────────────────────────────────────────▲          └─ Forget ▶ gone
//! ```
//!
//! After a restart the actor goes on in the phase that its note has: every step asks the runtime
//! first and repeats nothing that has been done.

mod life;
mod prepare;
mod stop;

use std::sync::Arc;

use core_lifecycle::Phase;
use runtime::Event;
use tokio::sync::{mpsc, watch};

use crate::agent::{Latest, Shared};
use crate::note::{Goal, Note};

use life::Life;

pub(crate) struct Task {
    life: Life,
    orders: watch::Receiver<Latest>,
    events: mpsc::Receiver<Event>,
}

impl Task {
    pub fn new(shared: Arc<Shared>, id: String, note: Note, orders: watch::Receiver<Latest>) -> Self {
        let events = shared.parts.runtime.events(&id);
        Task { life: Life::new(shared, id, note), orders, events }
    }

    /// Lives until the task is to be forgotten; returns the generation of that order.
    pub async fn run(mut self) -> Option<u64> {
        self.life.take_up().await;
        loop {
            self.obey();
            match self.life.phase() {
                Phase::Preparing => self.prepare().await,
                Phase::Running => self.watch().await,
                Phase::Stopping => self.life.stop().await,
                Phase::Stopped => {
                    self.life.tear_down().await;
                    if self.rest().await? {
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
        let launched = match gathered {
            None => Ok(()),
            Some(Ok(gathered)) => life.launch(gathered, || orders.borrow().goal == Goal::Run).await,
            Some(Err(failure)) => Err(failure),
        };
        let is_ending = self.obey();
        match launched {
            Ok(()) if is_ending => self.life.begin_stop(None),
            Ok(()) => self.life.set_phase(Phase::Running),
            Err(failure) => self.life.begin_stop(Some(failure)),
        }
    }

    /// Until an essential container ends, or the task is told to.
    async fn watch(&mut self) {
        self.life.refresh().await;
        if self.life.note.goal > Goal::Run || self.life.is_over() {
            return self.life.begin_stop(None);
        }
        let Task { life, orders, events } = self;
        let happened = life.shared.idle(async {
            tokio::select! {
                changed = orders.changed() => Happened::Ordered(changed.is_ok()),
                event = events.recv() => Happened::Event(event.is_some()),
            }
        });
        match happened.await {
            // The agent ends, and this actor with it.
            Happened::Ordered(false) => std::future::pending::<()>().await,
            Happened::Ordered(true) => {
                if !self.obey() {
                    self.life.report();
                }
            }
            Happened::Event(true) => {}
            Happened::Event(false) => self.events = self.life.shared.parts.runtime.events(&self.life.id),
        }
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
}

async fn until_stop(orders: &mut watch::Receiver<Latest>) {
    if orders.wait_for(|latest| latest.goal > Goal::Run).await.is_err() {
        std::future::pending::<()>().await;
    }
}
