//! What is due, over all controllers: a pure state machine.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use base::{Chance, Fault, Timestamp};
use service::Platform;
use store::{Change, Read, Snapshot, Transaction};

use crate::queue::{Queue, Taken};
use crate::{Controller, Plan, World};

/// Every controller with its queue.
pub struct Agenda {
    loops: Vec<Box<dyn Loop>>,
    /// The controller whose turn it is, so that a busy one does not starve the others.
    turn: usize,
    chance: Chance,
}

/// A plan to carry out, with what it was made from.
pub struct Planned {
    pub ticket: Ticket,
    /// Empty where it will be made within the transaction; see [`Planned::committed`].
    pub plan: Plan,
    /// `None` once its commit has been taken out.
    basis: Option<Basis>,
    /// Where a plan is left that was made within its transaction.
    late: Arc<Mutex<Option<Plan>>>,
}

/// What a plan rests on.
enum Basis {
    /// On these reads of this snapshot.
    Reads(Snapshot, Vec<Read>),
    /// On the transaction that will carry it out: it is made there.
    Transaction(Late),
}

type Late = Box<dyn FnOnce(&Snapshot) -> Plan + Send>;

/// A key that is being dealt with. Give it back by [`Agenda::finish`].
#[derive(Debug)]
pub struct Ticket {
    /// The controller's name.
    pub controller: &'static str,
    /// The key as logs show it.
    pub shown: String,
    at: usize,
    key: Box<dyn Any + Send>,
    planned_at: Timestamp,
    wake_at: Option<Timestamp>,
}

/// What became of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// What it had read has moved.
    Moved,
    Failed,
}

/// Why a plan was not carried out.
#[derive(Debug)]
pub enum Refusal {
    Moved,
    /// A peer refused a call.
    Fault(Fault),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Moved => f.write_str("what the plan had read has moved"),
            Refusal::Fault(fault) => fault.fmt(f),
        }
    }
}

impl Planned {
    /// Whether there is anything to commit.
    pub fn writes(&self) -> bool {
        matches!(self.basis, Some(Basis::Transaction(_)))
            || !self.plan.writes.is_empty()
            || !self.plan.calls.is_empty()
    }

    /// Takes out what is to be committed, as a transaction's body.
    pub fn commit(
        &mut self,
        platform: Platform,
    ) -> impl FnOnce(&mut Transaction) -> Result<(), Refusal> + Send + use<> {
        let (basis, late) = (self.basis.take(), Arc::clone(&self.late));
        let mut writes = mem::take(&mut self.plan.writes);
        let mut calls = mem::take(&mut self.plan.calls);
        move |records| {
            match basis {
                Some(Basis::Reads(snapshot, reads)) if !records.agrees(&snapshot, &reads) => {
                    return Err(Refusal::Moved);
                }
                Some(Basis::Transaction(make)) => {
                    let mut plan = make(records);
                    writes = mem::take(&mut plan.writes);
                    calls = mem::take(&mut plan.calls);
                    *late.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan);
                }
                Some(Basis::Reads(..)) | None => {}
            }
            writes.into_iter().for_each(|write| write.run(records));
            calls.into_iter().try_for_each(|call| call.run(records, &platform)).map_err(Refusal::Fault)
        }
    }

    /// After the commit: the key, and what is left of its plan (commands and report).
    pub fn committed(mut self) -> (Ticket, Plan) {
        if let Some(plan) = self.late.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.ticket.wake_at = plan.wake_at;
            self.plan = plan;
        }
        (self.ticket, self.plan)
    }
}

impl Agenda {
    pub fn new(seed: u64) -> Agenda {
        Agenda { loops: Vec::new(), turn: 0, chance: Chance::new(seed) }
    }

    pub fn add<C: Controller>(&mut self, controller: C) {
        self.loops.push(Box::new(Running { controller: Arc::new(controller), queue: Queue::default() }));
    }

    /// Queues what `change` touches.
    pub fn see(&mut self, change: &Change) {
        self.loops.iter_mut().for_each(|it| it.see(change));
    }

    /// Queues what any record touches: at the start, after missed changes, and every so often.
    pub fn see_all(&mut self, snapshot: &Snapshot) {
        snapshot.changes().for_each(|change| self.see(&change));
    }

    /// Plans the next key that is due, from `snapshot`. `None` if none is.
    pub fn next(&mut self, now: Timestamp, snapshot: &Snapshot) -> Option<Planned> {
        let count = self.loops.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            if let Some(mut planned) = self.loops[at].next(now, snapshot, &mut self.chance) {
                planned.ticket.at = at;
                self.turn = at + 1;
                return Some(planned);
            }
        }
        None
    }

    /// Returns a key whose plan was carried out, or was not.
    pub fn finish(&mut self, ticket: Ticket, outcome: Outcome, now: Timestamp) {
        let at = ticket.at;
        self.loops[at].finish(ticket, outcome, now, &mut self.chance);
    }

    /// When something is due that no change brings about.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.loops.iter().filter_map(|it| it.next_wake()).min()
    }

    /// Whether nothing is queued, under way or due.
    pub fn is_quiet(&self, now: Timestamp) -> bool {
        self.loops.iter().all(|it| it.is_quiet(now))
    }
}

/// A controller with the type of its keys forgotten.
trait Loop: Send {
    fn see(&mut self, change: &Change);
    fn next(&mut self, now: Timestamp, snapshot: &Snapshot, chance: &mut Chance) -> Option<Planned>;
    fn finish(&mut self, ticket: Ticket, outcome: Outcome, now: Timestamp, chance: &mut Chance);
    fn next_wake(&self) -> Option<Timestamp>;
    fn is_quiet(&self, now: Timestamp) -> bool;
}

struct Running<C: Controller> {
    controller: Arc<C>,
    queue: Queue<C::Key>,
}

impl<C: Controller> Running<C> {
    fn plan(&self, taken: &Taken<C::Key>, world: World) -> Option<Planned> {
        let mut ticket = Ticket {
            controller: self.controller.name(),
            shown: format!("{:?}", taken.key),
            at: 0,
            key: Box::new(taken.key.clone()),
            planned_at: world.now,
            wake_at: None,
        };
        if taken.is_impatient {
            let (controller, key, now) = (Arc::clone(&self.controller), taken.key.clone(), world.now);
            let chance = world.chance("late");
            let make: Late =
                Box::new(move |snapshot| controller.plan(&key, &World::new(snapshot.clone(), now, chance)));
            let basis = Some(Basis::Transaction(make));
            return Some(Planned { ticket, plan: Plan::default(), basis, late: Arc::default() });
        }
        // Planning changes nothing, so a panic leaves nothing half done.
        let plan = catch_unwind(AssertUnwindSafe(|| self.controller.plan(&taken.key, &world))).ok()?;
        ticket.wake_at = plan.wake_at;
        let (snapshot, reads) = world.into_reads();
        Some(Planned { ticket, plan, basis: Some(Basis::Reads(snapshot, reads)), late: Arc::default() })
    }
}

impl<C: Controller> Loop for Running<C> {
    fn see(&mut self, change: &Change) {
        self.controller.touched(change).into_iter().for_each(|key| self.queue.touch(key));
    }

    fn next(&mut self, now: Timestamp, snapshot: &Snapshot, chance: &mut Chance) -> Option<Planned> {
        while let Some(taken) = self.queue.take(now) {
            let world = World::new(snapshot.clone(), now, Chance::new(chance.next()));
            match self.plan(&taken, world) {
                Some(planned) => return Some(planned),
                None => {
                    tracing::error!(controller = self.controller.name(), key = ?taken.key, "planning panicked");
                    self.queue.failed(taken.key, now, chance);
                }
            }
        }
        None
    }

    fn finish(&mut self, ticket: Ticket, outcome: Outcome, now: Timestamp, chance: &mut Chance) {
        let key = *ticket.key.downcast::<C::Key>().expect("a ticket goes back to its own controller");
        match outcome {
            Outcome::Done => self.queue.done(key, ticket.planned_at, ticket.wake_at),
            Outcome::Moved => self.queue.moved(key),
            Outcome::Failed => self.queue.failed(key, now, chance),
        }
    }

    fn next_wake(&self) -> Option<Timestamp> {
        self.queue.next_wake()
    }

    fn is_quiet(&self, now: Timestamp) -> bool {
        self.queue.is_quiet(now)
    }
}
