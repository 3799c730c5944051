//! The agent: takes orders, hands each to its task, keeps what it reports in order.
//!
//! Invariant: one actor per task, so a stuck task holds up no other; orders and reports are
//! states, and the newest replaces the older ones, so every queue is as long as the number of
//! tasks at most.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::Timestamp;
use base::clock::Clock;
use core_lifecycle::Observation;
use link::{Desired, HostId, Observed, Order};
use runtime::Runtime;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::note::{Goal, Note, Notes};
use crate::seams::{Endpoint, Images, LogSink, Network, Secrets};
use crate::task::Task;

/// What an agent is made of.
pub struct Parts {
    pub host: HostId,
    pub clock: Clock,
    /// The agent's own directory, on the same disk as the runtime's.
    pub dir: PathBuf,
    pub runtime: Arc<dyn Runtime>,
    pub network: Arc<dyn Network>,
    pub images: Arc<dyn Images>,
    pub logs: Arc<dyn LogSink>,
    pub endpoint: Arc<dyn Endpoint>,
    pub secrets: Arc<dyn Secrets>,
    /// Where observations go.
    pub up: mpsc::Sender<Observed>,
    /// How many tasks are started at the same time.
    pub parallel_starts: usize,
}

/// A host's agent. Dropped, it ends without waiting; see [`Agent::close`].
pub struct Agent {
    shared: Arc<Shared>,
    scope: Mutex<JoinSet<()>>,
}

pub(crate) struct Shared {
    pub parts: Parts,
    pub notes: Notes,
    pub starts: Arc<Semaphore>,
    /// Turns at checking health: after a restart of the agent all checks are due.
    pub checks: Semaphore,
    /// Actors that are not waiting for anything to happen.
    busy: AtomicUsize,
    /// When actors that wait look again by themselves, by an id of the wait's own.
    wakes: Mutex<BTreeMap<u64, Timestamp>>,
    next_wake: AtomicU64,
    outbox: Outbox,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    /// By ARN.
    known: HashMap<Arc<str>, Handle>,
    /// Generations of tasks that are forgotten: an older order that comes late must not run them.
    forgotten: HashMap<Arc<str>, u64>,
    forgotten_order: VecDeque<Arc<str>>,
}

/// Health checks that run at the same time on a host; each is a process, and most take milliseconds.
const PARALLEL_CHECKS: usize = 64;

/// How often a reset looks whether tasks are gone.
const FORGET_POLL: Duration = Duration::from_millis(5);

/// Late orders come within seconds; this many tasks end within minutes at the most.
const FORGOTTEN: usize = 10_000;

struct Handle {
    orders: watch::Sender<Latest>,
}

/// The newest order, and how often anything was ordered: a repetition asks for the report again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Latest {
    pub generation: u64,
    pub goal: Goal,
    pub times: u64,
}

/// Reports that wait to be sent: the newest of each task.
#[derive(Default)]
struct Outbox {
    waiting: Mutex<BTreeMap<Arc<str>, (u64, Observation)>>,
    /// One is on its way, and no longer among those that wait.
    is_sending: AtomicBool,
    changed: Notify,
}

impl Outbox {
    fn is_empty(&self) -> bool {
        lock(&self.waiting).is_empty() && !self.is_sending.load(Ordering::SeqCst)
    }

    fn take(&self) -> Option<(Arc<str>, (u64, Observation))> {
        let mut waiting = lock(&self.waiting);
        let next = waiting.pop_first();
        // Within the lock, so that nobody sees neither.
        self.is_sending.store(next.is_some(), Ordering::SeqCst);
        next
    }
}

impl Agent {
    /// Takes up every task that was there before, and waits for orders.
    ///
    /// # Errors
    /// The agent's directory cannot be read, or the runtime's.
    pub async fn open(parts: Parts) -> io::Result<Self> {
        let notes = Notes::open(parts.dir.clone())?;
        // Living shims are connected to, dead ones settled, before any actor asks.
        parts.runtime.list().await.map_err(io::Error::other)?;
        let found = notes.load()?;
        let shared = Arc::new(Shared {
            starts: Arc::new(Semaphore::new(parts.parallel_starts.max(1))),
            checks: Semaphore::new(PARALLEL_CHECKS),
            busy: AtomicUsize::new(0),
            wakes: Mutex::default(),
            next_wake: AtomicU64::new(0),
            notes,
            parts,
            outbox: Outbox::default(),
            tasks: Mutex::default(),
        });
        let agent = Agent { shared: shared.clone(), scope: Mutex::default() };
        lock(&agent.scope).spawn(shared.send_reports());
        for (id, note) in found {
            agent.adopt(id, note);
        }
        Ok(agent)
    }

    /// Takes one order. Quick: what it asks for happens elsewhere.
    ///
    /// # Errors
    /// The order could not be noted down; it is to be repeated.
    pub fn order(&self, desired: Desired) -> io::Result<()> {
        if desired.host != self.shared.parts.host {
            tracing::warn!(host = %desired.host.0, "an order for another host is ignored");
            return Ok(());
        }
        let goal = match desired.order {
            Order::Run(_) => Goal::Run,
            Order::Stop => Goal::Stop,
            Order::Forget => Goal::Forget,
        };
        let mut tasks = lock(&self.shared.tasks);
        if let Some(handle) = tasks.known.get(&desired.task) {
            handle.take(desired.generation, goal);
            return Ok(());
        }
        if tasks.forgotten.get(&desired.task).is_some_and(|seen| desired.generation <= *seen) {
            return Ok(());
        }
        if goal == Goal::Forget {
            tasks.forget(desired.task, desired.generation);
            return Ok(());
        }
        drop(tasks);
        let (id, note) = first_note(desired, goal, self.shared.parts.clock.now());
        if goal == Goal::Stop {
            // Kept, so that a Run that was overtaken does not start the task.
            self.shared.notes.save(&id, &note)?;
        }
        self.adopt(id, note);
        Ok(())
    }

    /// Takes orders from a channel until it closes.
    pub async fn follow(&self, mut orders: mpsc::Receiver<Desired>) {
        while let Some(desired) = orders.recv().await {
            let task = desired.task.clone();
            if let Err(error) = self.order(desired) {
                tracing::error!(%task, %error, "an order could not be noted down");
            }
        }
    }

    fn adopt(&self, id: String, note: Note) {
        let task: Arc<str> = note.task.as_str().into();
        let latest = Latest { generation: note.generation, goal: note.goal, times: 0 };
        let (sender, orders) = watch::channel(latest);
        lock(&self.shared.tasks).known.insert(task.clone(), Handle { orders: sender });
        let shared = self.shared.clone();
        // Held by pointer: an async block would keep room for it more than once.
        let mut actor = Box::new(Task::new(self.shared.clone(), id, note, orders));
        let mut scope = lock(&self.scope);
        while scope.try_join_next().is_some() {}
        shared.busy.fetch_add(1, Ordering::SeqCst);
        scope.spawn(async move {
            if let Some(generation) = actor.run().await {
                lock(&shared.tasks).forget(task, generation);
            }
            shared.busy.fetch_sub(1, Ordering::SeqCst);
        });
    }

    /// Whether every task waits for something to happen and every report has been sent. What is in
    /// the channels around the agent is its owner's to look at.
    pub fn is_idle(&self) -> bool {
        // One that is due has only not been woken yet.
        let is_due = self.next_due().is_some_and(|due| due <= self.shared.parts.clock.now());
        !is_due && self.shared.busy.load(Ordering::SeqCst) == 0 && self.shared.outbox.is_empty()
    }

    /// When the next task does something by itself: a health check, the end of a start timeout.
    pub fn next_due(&self) -> Option<Timestamp> {
        lock(&self.shared.wakes).values().min().copied()
    }

    /// Ends every task and forgets it; returns once nothing of any is left. For a reset.
    pub async fn forget_all(&self) {
        loop {
            let waiting = {
                let tasks = lock(&self.shared.tasks);
                tasks.known.values().for_each(|handle| handle.take(u64::MAX, Goal::Forget));
                tasks.known.len()
            };
            if waiting == 0 {
                return;
            }
            tokio::time::sleep(FORGET_POLL).await;
        }
    }

    /// Ends the agent, joined. Tasks run on, and the next agent on the same directory takes them
    /// up.
    pub async fn close(&self) {
        let mut scope = std::mem::take(&mut *lock(&self.scope));
        scope.shutdown().await;
    }
}

/// The note of a task that was unknown until now.
fn first_note(desired: Desired, goal: Goal, now: base::Timestamp) -> (String, Note) {
    let id = desired.task.rsplit('/').next().unwrap_or_default().to_owned();
    let assignment = match desired.order {
        Order::Run(assignment) => Some(assignment),
        Order::Stop | Order::Forget => None,
    };
    let mut observation = Observation::default();
    if goal != Goal::Run {
        observation.phase = core_lifecycle::Phase::Stopped;
        observation.stopped_at = Some(now);
    }
    let note = Note {
        task: desired.task.to_string(),
        generation: desired.generation,
        goal,
        assignment,
        observation,
        stop_signals: BTreeMap::new(),
        checks: BTreeMap::new(),
        is_torn_down: goal != Goal::Run,
    };
    (id, note)
}

impl Handle {
    fn take(&self, generation: u64, goal: Goal) {
        self.orders.send_if_modified(|latest| {
            if generation < latest.generation {
                return false;
            }
            // Within a generation a task only ever goes towards its end.
            let goal = if generation == latest.generation { goal.max(latest.goal) } else { goal };
            *latest = Latest { generation, goal, times: latest.times + 1 };
            true
        });
    }
}

impl Tasks {
    fn forget(&mut self, task: Arc<str>, generation: u64) {
        self.known.remove(&task);
        if self.forgotten.insert(task.clone(), generation).is_none() {
            self.forgotten_order.push_back(task);
        }
        if self.forgotten_order.len() > FORGOTTEN
            && let Some(oldest) = self.forgotten_order.pop_front()
        {
            self.forgotten.remove(&oldest);
        }
    }
}

impl Shared {
    /// Lays a report out to be sent; it replaces one of the same task that still waits.
    pub fn report(&self, task: &str, generation: u64, observation: Observation) {
        lock(&self.outbox.waiting).insert(task.into(), (generation, observation));
        self.outbox.changed.notify_one();
    }

    /// Waits for what an actor waits for; it is idle meanwhile.
    pub async fn idle<T>(&self, wait: impl Future<Output = T>) -> T {
        let resting = Resting::new(&self.busy);
        let happened = wait.await;
        drop(resting);
        happened
    }

    /// Waits for what an actor waits for, at most until `wake_at`; `None` when that came first. It is
    /// idle meanwhile.
    pub async fn idle_until<T>(
        &self,
        wake_at: Option<Timestamp>,
        wait: impl Future<Output = T>,
    ) -> Option<T> {
        // Taken back only once the actor counts as busy again.
        let _wake = wake_at.map(|at| Wake::new(self, at));
        let resting = Resting::new(&self.busy);
        let happened = self.before(wake_at, wait).await;
        drop(resting);
        happened
    }

    /// Waits at most until an instant of the agent's clock; `None` when that came first.
    pub async fn before<T>(&self, at: Option<Timestamp>, wait: impl Future<Output = T>) -> Option<T> {
        let Some(at) = at else { return Some(wait.await) };
        let clock = &self.parts.clock;
        let mut wait = std::pin::pin!(wait);
        loop {
            let jump = clock.jump();
            let left = at.since(clock.now());
            if left.is_zero() {
                return None;
            }
            tokio::select! {
                biased;
                happened = &mut wait => return Some(happened),
                () = jump => {}
                // A timer's tick is a millisecond: never wake before the instant.
                () = tokio::time::sleep(left + Duration::from_millis(1)) => {}
            }
        }
    }

    async fn send_reports(self: Arc<Self>) {
        // Starts at the clock, so that numbers grow across restarts without being kept.
        let mut sequence = 0;
        loop {
            let next = self.outbox.take();
            let Some((task, (generation, observation))) = next else {
                self.outbox.changed.notified().await;
                continue;
            };
            let now = self.parts.clock.now().as_micros().unsigned_abs();
            sequence = now.max(sequence + 1);
            let host = self.parts.host.clone();
            let observed = Observed { host, task, generation, sequence, observation };
            if self.parts.up.send(observed).await.is_err() {
                return;
            }
        }
    }
}

/// Lets it be seen when its actor looks again.
struct Wake<'a> {
    shared: &'a Shared,
    id: u64,
}

impl<'a> Wake<'a> {
    fn new(shared: &'a Shared, at: Timestamp) -> Self {
        let id = shared.next_wake.fetch_add(1, Ordering::SeqCst);
        lock(&shared.wakes).insert(id, at);
        Wake { shared, id }
    }
}

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        lock(&self.shared.wakes).remove(&self.id);
    }
}

/// Counts its actor as idle while it lives.
struct Resting<'a>(&'a AtomicUsize);

impl<'a> Resting<'a> {
    fn new(busy: &'a AtomicUsize) -> Self {
        busy.fetch_sub(1, Ordering::SeqCst);
        Resting(busy)
    }
}

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A poisoned lock holds data that is as good as ever: no code here panics half-way.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
