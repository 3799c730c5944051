//! The agenda, driven by the store's commits and the platform's clock.

use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use service::Platform;
use store::{Event, Place, Watch, WriteError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::{Agenda, Controller, Outcome, Planned, Refusal, Ticket};

/// Plans that may wait for their commits together.
const IN_FLIGHT: usize = 64;
const REQUESTS: usize = 16;
/// Between passes over everything; longer where a pass takes longer.
const PASS_EVERY: Duration = Duration::from_secs(30);
/// So many records a pass looks at before it rests: with very many of them it must neither take much of
/// a processor nor stand in the way of what has a reason.
const SLICE: usize = 2_000;
const SLICE_EVERY: Duration = Duration::from_millis(200);

/// Where commands leave. Must not wait: a command that finds no room is lost, and derived again.
pub trait Outbox: Send + Sync {
    fn send(&self, command: link::Desired);
}

impl<F: Fn(link::Desired) + Send + Sync> Outbox for F {
    fn send(&self, command: link::Desired) {
        self(command);
    }
}

/// Collects controllers before they are started.
pub struct Controllers {
    platform: Platform,
    outbox: Arc<dyn Outbox>,
    agenda: Agenda,
    pass_every: Duration,
}

impl Controllers {
    pub fn new(platform: Platform, outbox: Arc<dyn Outbox>) -> Controllers {
        let agenda = Agenda::new(platform.chance().next());
        Controllers { platform, outbox, agenda, pass_every: PASS_EVERY }
    }

    #[must_use]
    pub fn with<C: Controller>(mut self, controller: C) -> Self {
        self.agenda.add(controller);
        self
    }

    /// How often everything is looked at without a reason: how soon a lost command is derived again.
    #[must_use]
    pub fn with_pass_every(mut self, period: Duration) -> Self {
        self.pass_every = period;
        self
    }

    /// Starts with a pass over everything. Must be called within a tokio runtime.
    pub fn start(self) -> Engine {
        let (sender, requests) = mpsc::channel(REQUESTS);
        let driver = Driver {
            watch: self.platform.store().watch(),
            next_pass: Timestamp::EPOCH,
            pass_began_at: Timestamp::EPOCH,
            passing: None,
            seen: 0,
            in_flight: JoinSet::new(),
            settling: Vec::new(),
            is_ending: None,
            parts: self,
            requests,
        };
        tokio::spawn(driver.run());
        Engine { requests: sender }
    }
}

/// A running set of controllers. Cheap to clone; ends by [`Engine::stop`], with the store, or when
/// its last clone is dropped.
#[derive(Debug, Clone)]
pub struct Engine {
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
enum Request {
    Settle(oneshot::Sender<Option<Timestamp>>),
    Pass,
    Stop(oneshot::Sender<()>),
}

impl Engine {
    /// Waits until every durable commit has been looked at and nothing is queued, under way or due
    /// by the clock, which may have jumped. Answers when the next thing is due that no change
    /// brings about: a simulated clock is advanced to there, and so on. `None` if nothing is, or
    /// the engine has ended.
    pub async fn settle(&self) -> Option<Timestamp> {
        let (sender, answer) = oneshot::channel();
        self.requests.send(Request::Settle(sender)).await.ok()?;
        answer.await.ok().flatten()
    }

    /// Looks at everything again: a host has come back.
    pub async fn pass(&self) {
        // An ended engine has nothing to look at.
        let _ = self.requests.send(Request::Pass).await;
    }

    /// Starts nothing more; returns when what was under way has been committed.
    pub async fn stop(&self) {
        let (sender, answer) = oneshot::channel();
        if self.requests.send(Request::Stop(sender)).await.is_ok() {
            // An error says that it has ended already.
            let _ = answer.await;
        }
    }
}

struct Driver {
    parts: Controllers,
    watch: Watch,
    requests: mpsc::Receiver<Request>,
    /// Or its next slice.
    next_pass: Timestamp,
    pass_began_at: Timestamp,
    /// How far the pass over everything that is under way has come.
    passing: Option<Place>,
    /// The newest revision whose changes have been looked at.
    seen: u64,
    in_flight: JoinSet<Carried>,
    settling: Vec<oneshot::Sender<Option<Timestamp>>>,
    is_ending: Option<Vec<oneshot::Sender<()>>>,
}

/// A plan after its commit was tried.
struct Carried {
    ticket: Ticket,
    commands: Vec<link::Desired>,
    result: Result<(), WriteError<Refusal>>,
}

impl Driver {
    async fn run(mut self) {
        self.pass();
        let now = self.parts.platform.clock().now();
        (self.pass_began_at, self.next_pass) = (now, now + self.parts.pass_every);
        while self.is_ending.is_none() {
            // A closed watch says so for ever.
            while self.is_ending.is_none()
                && let Some(event) = self.watch.try_next()
            {
                self.take(event);
            }
            self.start_due();
            self.answer_settled();
            let pause = self.pause();
            tokio::select! {
                event = self.watch.next() => self.take(event),
                Some(carried) = self.in_flight.join_next() => self.finish(carried),
                request = self.requests.recv() => self.obey(request),
                () = tokio::time::sleep(pause) => {}
            }
        }
        while let Some(carried) = self.in_flight.join_next().await {
            self.finish(carried);
        }
        for stopped in self.is_ending.into_iter().flatten() {
            // Whoever asked may have stopped waiting.
            let _ = stopped.send(());
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Commit(commit) => {
                commit.changes.iter().for_each(|change| self.parts.agenda.see(change));
                self.seen = self.seen.max(commit.revision);
            }
            Event::Lagged => self.pass(),
            Event::Closed => self.end(None),
        }
    }

    fn pass(&mut self) {
        let snapshot = self.parts.platform.store().snapshot();
        self.parts.agenda.see_all(&snapshot);
        self.seen = self.seen.max(snapshot.revision());
    }

    /// The next slice of a pass; all of it where somebody waits for its end.
    fn go_on_passing(&mut self, now: Timestamp) {
        let (snapshot, every) = (self.parts.platform.store().snapshot(), self.parts.pass_every);
        if self.passing.is_none() {
            self.pass_began_at = now;
        }
        loop {
            let (changes, rest) = snapshot.changes_from(self.passing.take().unwrap_or_default(), SLICE);
            changes.iter().for_each(|change| self.parts.agenda.see(change));
            self.passing = rest;
            if self.passing.is_none() {
                self.next_pass = (self.pass_began_at + every).max(now + every.min(SLICE_EVERY));
                return;
            }
            if self.settling.is_empty() {
                self.next_pass = now + SLICE_EVERY;
                return;
            }
        }
    }

    fn start_due(&mut self) {
        let now = self.parts.platform.clock().now();
        if now >= self.next_pass || (self.passing.is_some() && !self.settling.is_empty()) {
            self.go_on_passing(now);
        }
        while self.in_flight.len() < IN_FLIGHT {
            let snapshot = self.parts.platform.store().snapshot();
            let Some(planned) = self.parts.agenda.next(now, &snapshot) else { break };
            self.carry_out(planned);
        }
    }

    fn carry_out(&mut self, mut planned: Planned) {
        if !planned.plan.report.is_empty() {
            let Ticket { controller, shown, .. } = &planned.ticket;
            tracing::debug!(controller, key = %shown, report = %planned.plan.report, "planned");
        }
        if !planned.writes() {
            self.done(planned.ticket, planned.plan.commands);
            return;
        }
        let platform = self.parts.platform.clone();
        self.in_flight.spawn(async move {
            let work = planned.commit(platform.clone());
            let result = platform.store().write(planned.ticket.controller, work).await;
            let (ticket, plan) = planned.committed();
            Carried { ticket, commands: plan.commands, result }
        });
    }

    fn finish(&mut self, carried: Result<Carried, tokio::task::JoinError>) {
        let Carried { ticket, commands, result } =
            carried.expect("a commit's task neither panics nor is ended");
        let now = self.parts.platform.clock().now();
        match result {
            Ok(()) => self.done(ticket, commands),
            Err(WriteError::Rejected(Refusal::Moved)) => {
                self.parts.agenda.finish(ticket, Outcome::Moved, now);
            }
            Err(error) => {
                let Ticket { controller, shown, .. } = &ticket;
                tracing::warn!(controller, key = %shown, error = %error, "plan was refused");
                self.parts.agenda.finish(ticket, Outcome::Failed, now);
            }
        }
    }

    fn done(&mut self, ticket: Ticket, commands: Vec<link::Desired>) {
        commands.into_iter().for_each(|command| self.parts.outbox.send(command));
        let now = self.parts.platform.clock().now();
        self.parts.agenda.finish(ticket, Outcome::Done, now);
    }

    fn answer_settled(&mut self) {
        if self.settling.is_empty() {
            return;
        }
        let now = self.parts.platform.clock().now();
        let is_seen = self.seen >= self.parts.platform.store().snapshot().revision();
        if is_seen && self.in_flight.is_empty() && self.parts.agenda.is_quiet(now) && now < self.next_pass {
            let next = self.parts.agenda.next_wake();
            for settled in self.settling.drain(..) {
                // Whoever asked may have stopped waiting.
                let _ = settled.send(next);
            }
        }
    }

    /// How long nothing is due. The clock may jump meanwhile: whoever moves it asks to settle.
    fn pause(&self) -> Duration {
        let next = self.parts.agenda.next_wake().map_or(self.next_pass, |at| at.min(self.next_pass));
        if self.in_flight.len() >= IN_FLIGHT {
            // Nothing can be started before a commit comes back.
            return self.parts.pass_every;
        }
        next.since(self.parts.platform.clock().now())
    }

    fn obey(&mut self, request: Option<Request>) {
        match request {
            Some(Request::Settle(settled)) => self.settling.push(settled),
            Some(Request::Pass) => self.pass(),
            Some(Request::Stop(stopped)) => self.end(Some(stopped)),
            None => self.end(None),
        }
    }

    fn end(&mut self, stopped: Option<oneshot::Sender<()>>) {
        self.is_ending.get_or_insert_default().extend(stopped);
    }
}
