//! Tasks without containers: they walk their life cycle under a clock that tests advance.
//!
//! A container runs until it is stopped, unless its label `boxship.simulate` directs it. SIGTERM
//! ends it at once (143), SIGKILL too (137); it writes no output. Tasks outlive a restart, as
//! real ones do: what was due meanwhile happens when they are taken up. A container that is started again
//! follows its directions again. What it is said to use, it uses evenly from its start on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::Timestamp;
use base::clock::Clock;
use core_lifecycle::Exit;
use core_lifecycle::simulate::{Directions, LABEL};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::contract::{
    ContainerRecord, ContainerStats, Event, Events, Exec, Foretold, OutputState, Pending, Runtime,
    RuntimeError, SandboxPhase, SandboxRecord,
};
use crate::linux::{Listeners, lock, remove_tree, task_names};
use crate::plan::{ContainerPlan, ExecPlan, Signal, TaskSandbox};
use crate::record::{self, Keep, TaskDir, read_json, write_json};
use crate::spool::Position;
use crate::stats::{self, Limits};

/// The runtime that runs anywhere, without root.
pub struct Simulated {
    shared: Arc<Shared>,
    scope: Mutex<JoinSet<()>>,
}

struct Shared {
    clock: Clock,
    tasks: PathBuf,
    known: Mutex<BTreeMap<String, Task>>,
    /// Every [`Due`] of every task: when, task and container. Locked within `known`, if both are.
    agenda: Mutex<BTreeSet<(Timestamp, String, String)>>,
    listeners: Listeners,
    /// Something became due earlier than was known, or the clock jumped.
    changed: Notify,
    /// A container has ended: whoever waits for its output looks again.
    ended: Notify,
}

/// What is kept on disk of a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Task {
    record: SandboxRecord,
    /// When containers end by themselves, and how.
    due: BTreeMap<String, Due>,
    /// Each container's directions, as its label gives them.
    #[serde(default)]
    directed: BTreeMap<String, String>,
    /// Each container's own limits.
    #[serde(default)]
    limits: BTreeMap<String, Limits>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Due {
    at: Timestamp,
    code: i32,
}

impl Simulated {
    /// Takes up the tasks in `tasks` (a directory of its own). Must be called in an async runtime.
    ///
    /// # Errors
    /// [`RuntimeError::Host`] where the directory cannot be made or read.
    pub fn open(tasks: PathBuf, clock: Clock) -> Result<Self, RuntimeError> {
        let made = std::fs::create_dir_all(&tasks);
        made.map_err(|e| RuntimeError::host(format!("make {}", tasks.display()), e))?;
        let (mut known, mut agenda) = (BTreeMap::new(), BTreeSet::new());
        for name in task_names(&tasks)? {
            let read = read_json(&TaskDir::new(&tasks, &name).state());
            let read: Option<Task> = read.map_err(|e| RuntimeError::host("read a task's state", e))?;
            if let Some(task) = read {
                agenda.extend(
                    task.due.iter().map(|(container, due)| (due.at, name.clone(), container.clone())),
                );
                known.insert(name, task);
            }
        }
        let shared = Arc::new(Shared {
            clock,
            tasks,
            known: Mutex::new(known),
            agenda: Mutex::new(agenda),
            listeners: Listeners::default(),
            changed: Notify::new(),
            ended: Notify::new(),
        });
        let mut scope = JoinSet::new();
        scope.spawn(shared.clone().run());
        Ok(Simulated { shared, scope: Mutex::new(scope) })
    }

    /// Lets everything happen that is due by now. Call it after the clock has jumped.
    pub fn settle(&self) {
        self.shared.settle();
        self.shared.changed.notify_one();
    }

    /// When the next container ends by itself.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.shared.next_due()
    }
}

impl Shared {
    /// Waits for the next due instant, at wall speed.
    async fn run(self: Arc<Self>) {
        loop {
            self.settle();
            let wait = self.next_due().map(|due| due.since(self.clock.now()));
            let changed = self.changed.notified();
            match wait {
                // A timer's tick is a millisecond: never wake before the instant.
                Some(wait) => drop(tokio::time::timeout(wait + Duration::from_millis(1), changed).await),
                None => changed.await,
            }
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        lock(&self.agenda).first().map(|(at, _, _)| *at)
    }

    fn settle(&self) {
        let now = self.clock.now();
        let mut known = lock(&self.known);
        loop {
            let Some((at, id, name)) = self.take_due(now) else { return };
            let Some(task) = known.get_mut(&id) else { continue };
            if let Some(Due { code, .. }) = task.due.get(&name).copied() {
                self.end(&id, task, &name, Exit { code, at, is_oom: false });
            }
        }
    }

    fn take_due(&self, now: Timestamp) -> Option<(Timestamp, String, String)> {
        let mut agenda = lock(&self.agenda);
        agenda.first().is_some_and(|(at, _, _)| *at <= now).then(|| agenda.pop_first())?
    }

    /// Records an exit, then tells it.
    fn end(&self, id: &str, task: &mut Task, name: &str, exit: Exit) {
        self.undo(id, task, name);
        let container = task.record.containers.iter_mut().find(|c| c.name == name);
        let Some(container) = container.filter(|c| c.exit.is_none()) else { return };
        container.exit = Some(exit.clone());
        if let Err(error) = self.save(id, task, Keep::Power) {
            tracing::warn!(task = id, %error, "a simulated exit is not on disk");
        }
        self.listeners.tell(id, Event::Exited { container: name.to_owned(), exit });
        self.ended.notify_waiters();
    }

    /// Lays down when and how a container ends by itself.
    fn direct(&self, id: &str, task: &mut Task, name: &str, due: Due) {
        lock(&self.agenda).insert((due.at, id.to_owned(), name.to_owned()));
        task.due.insert(name.to_owned(), due);
        self.changed.notify_one();
    }

    fn undo(&self, id: &str, task: &mut Task, name: &str) {
        if let Some(due) = task.due.remove(name) {
            lock(&self.agenda).remove(&(due.at, id.to_owned(), name.to_owned()));
        }
    }

    fn save(&self, id: &str, task: &Task, keep: Keep) -> Result<(), RuntimeError> {
        let dir = TaskDir::new(&self.tasks, id);
        let saved = std::fs::create_dir_all(&dir.path).and_then(|()| write_json(&dir.state(), task, keep));
        saved.map_err(|e| RuntimeError::host("write a task's state", e))
    }

    fn create(&self, sandbox: TaskSandbox) -> Result<(), RuntimeError> {
        let id = sandbox.task.clone();
        if !record::is_name(&id) {
            return Err(RuntimeError::Plan(format!("{id:?} is not a task's id")));
        }
        let mut known = lock(&self.known);
        if known.contains_key(&id) {
            return Ok(());
        }
        let record = SandboxRecord { sandbox, phase: SandboxPhase::Ready, containers: Vec::new() };
        let task = Task { record, due: BTreeMap::new(), directed: BTreeMap::new(), limits: BTreeMap::new() };
        self.save(&id, &task, Keep::Kill)?;
        known.insert(id, task);
        Ok(())
    }

    fn start(&self, id: &str, plan: ContainerPlan) -> Result<ContainerRecord, RuntimeError> {
        let mut known = lock(&self.known);
        let task = known.get_mut(id).ok_or_else(|| RuntimeError::NoSandbox(id.to_owned()))?;
        if let Some(container) = task.record.container(&plan.name) {
            return Ok(container.clone());
        }
        let label = plan.labels.get(LABEL).map(String::as_str).unwrap_or_default();
        let directions = Directions::parse(label).map_err(|e| RuntimeError::Plan(e.to_string()))?;
        let limits = Limits { cpu_units: plan.cpu_units, memory_mib: plan.memory_mib };
        if limits != Limits::default() {
            task.limits.insert(plan.name.clone(), limits);
        }
        if !label.is_empty() {
            task.directed.insert(plan.name.clone(), label.to_owned());
        }
        let now = self.clock.now();
        let container = ContainerRecord {
            name: plan.name.clone(),
            runtime_id: plan.runtime_id,
            pid: 0,
            started_at: now,
            exit: None,
            restarts: 0,
            exit_reason: None,
            warnings: Vec::new(),
            dropped_lines: 0,
        };
        // There are many tasks, and most have one container.
        task.record.containers.reserve_exact(1);
        task.record.containers.push(container.clone());
        if let Some(exit) = directions.exit {
            self.direct(id, task, &plan.name, Due { at: now + exit.after, code: exit.code });
        }
        self.save(id, task, Keep::Kill)?;
        self.listeners.tell(id, Event::Started { container: plan.name, at: now });
        Ok(container)
    }

    fn restart(&self, id: &str, name: &str) -> Result<ContainerRecord, RuntimeError> {
        let mut known = lock(&self.known);
        let task = known.get_mut(id).ok_or_else(|| RuntimeError::NoSandbox(id.to_owned()))?;
        if task.record.phase == SandboxPhase::Removed {
            return Err(RuntimeError::NoSandbox(id.to_owned()));
        }
        let container = task.record.containers.iter_mut().find(|c| c.name == name);
        let container = container.ok_or_else(|| RuntimeError::NoContainer(name.to_owned()))?;
        if container.exit.is_none() {
            return Err(RuntimeError::StillRunning(name.to_owned()));
        }
        let now = self.clock.now();
        container.exit = None;
        container.exit_reason = None;
        container.started_at = now;
        container.restarts += 1;
        let container = container.clone();
        if let Some(exit) = directions(task, name).exit {
            self.direct(id, task, name, Due { at: now + exit.after, code: exit.code });
        }
        self.save(id, task, Keep::Kill)?;
        self.listeners.tell(id, Event::Started { container: name.to_owned(), at: now });
        Ok(container)
    }

    fn stats(&self, id: &str) -> Result<Vec<ContainerStats>, RuntimeError> {
        let known = lock(&self.known);
        let task = known.get(id).ok_or_else(|| RuntimeError::NoSandbox(id.to_owned()))?;
        let running = task.record.containers.iter().filter(|container| container.exit.is_none());
        let now = self.clock.now();
        let figures = running.map(|container| {
            let own = task.limits.get(&container.name).copied().unwrap_or_default();
            let limits = own.within(&task.record.sandbox);
            stats::simulated(container, &directions(task, &container.name), limits, now)
        });
        Ok(figures.collect())
    }

    /// Well until its directions say otherwise.
    fn health(&self, id: &str, name: &str) -> Option<Foretold> {
        let known = lock(&self.known);
        let task = known.get(id)?;
        let started_at = task.record.container(name)?.started_at;
        let unhealthy_after = directions(task, name).unhealthy_after;
        let turns_at = unhealthy_after.map_or(Timestamp::NEVER, |after| started_at + after);
        let is_healthy = self.clock.now() < turns_at;
        Some(Foretold { is_healthy, until: if is_healthy { turns_at } else { Timestamp::NEVER } })
    }

    /// Ends the container if the signal would; returns its exit, if it has ended.
    fn signal(&self, id: &str, name: &str, signal: Signal) -> Result<Option<Exit>, RuntimeError> {
        let mut known = lock(&self.known);
        let task = known.get_mut(id).ok_or_else(|| RuntimeError::NoSandbox(id.to_owned()))?;
        let no_container = || RuntimeError::NoContainer(name.to_owned());
        task.record.container(name).ok_or_else(no_container)?;
        if !HARMLESS.contains(&signal.0) {
            let exit = Exit { code: 128 + signal.0, at: self.clock.now(), is_oom: false };
            self.end(id, task, name, exit);
        }
        Ok(task.record.container(name).and_then(|c| c.exit.clone()))
    }

    fn remove(&self, id: &str) -> Result<(), RuntimeError> {
        let mut known = lock(&self.known);
        let Some(task) = known.get_mut(id) else { return Ok(()) };
        let running: Vec<_> = task.record.containers.iter().filter(|c| c.exit.is_none()).collect();
        let names: Vec<String> = running.into_iter().map(|c| c.name.clone()).collect();
        for name in names {
            self.end(id, task, &name, Exit { code: 137, at: self.clock.now(), is_oom: false });
        }
        task.record.phase = SandboxPhase::Removed;
        self.ended.notify_waiters();
        self.save(id, task, Keep::Kill)
    }

    async fn forget(&self, id: &str) -> Result<(), RuntimeError> {
        self.remove(id)?;
        lock(&self.known).remove(id);
        self.listeners.remove(id);
        if record::is_name(id) { remove_tree(self.tasks.join(id)).await } else { Ok(()) }
    }
}

/// What a container was told to do when it started.
fn directions(task: &Task, name: &str) -> Directions {
    let label = task.directed.get(name).map(String::as_str).unwrap_or_default();
    // It was parsed then: it is none that cannot be.
    Directions::parse(label).unwrap_or_default()
}

/// CHLD, CONT, STOP and its kin, URG, WINCH: by default they end no process.
const HARMLESS: [i32; 8] = [17, 18, 19, 20, 21, 22, 23, 28];

/// Whether no output can come any more. Until then there is none either.
fn ended(record: &SandboxRecord, container: &str) -> bool {
    record.phase == SandboxPhase::Removed || record.container(container).is_none_or(|c| c.exit.is_some())
}

impl Runtime for Simulated {
    fn restart_container<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
    ) -> Pending<'a, Result<ContainerRecord, RuntimeError>> {
        Box::pin(async move { self.shared.restart(task, container) })
    }

    fn exec<'a>(
        &'a self,
        _task: &'a str,
        _container: &'a str,
        _plan: ExecPlan,
    ) -> Pending<'a, Result<Exec, RuntimeError>> {
        Box::pin(async { Err(RuntimeError::Unsupported("a simulated container runs no program".to_owned())) })
    }

    fn health(&self, task: &str, container: &str) -> Option<Foretold> {
        self.shared.health(task, container)
    }

    fn stats<'a>(&'a self, task: &'a str) -> Pending<'a, Result<Vec<ContainerStats>, RuntimeError>> {
        Box::pin(async move { self.shared.stats(task) })
    }

    fn create_sandbox(&self, sandbox: TaskSandbox) -> Pending<'_, Result<(), RuntimeError>> {
        Box::pin(async move { self.shared.create(sandbox) })
    }

    fn start_container<'a>(
        &'a self,
        task: &'a str,
        plan: ContainerPlan,
    ) -> Pending<'a, Result<ContainerRecord, RuntimeError>> {
        Box::pin(async move { self.shared.start(task, plan) })
    }

    fn signal<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
        signal: Signal,
    ) -> Pending<'a, Result<(), RuntimeError>> {
        Box::pin(async move { self.shared.signal(task, container, signal).map(drop) })
    }

    fn stop<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
        signal: Signal,
        _timeout: Duration,
    ) -> Pending<'a, Result<Exit, RuntimeError>> {
        Box::pin(async move {
            if let Some(exit) = self.shared.signal(task, container, signal)? {
                return Ok(exit);
            }
            let killed = self.shared.signal(task, container, Signal::KILL)?;
            killed.ok_or_else(|| RuntimeError::NoContainer(container.to_owned()))
        })
    }

    fn remove_sandbox<'a>(&'a self, task: &'a str) -> Pending<'a, Result<(), RuntimeError>> {
        Box::pin(async move { self.shared.remove(task) })
    }

    fn forget<'a>(&'a self, task: &'a str) -> Pending<'a, Result<(), RuntimeError>> {
        Box::pin(self.shared.forget(task))
    }

    fn state<'a>(&'a self, task: &'a str) -> Pending<'a, Result<Option<SandboxRecord>, RuntimeError>> {
        Box::pin(async move { Ok(lock(&self.shared.known).get(task).map(|known| known.record.clone())) })
    }

    fn list(&self) -> Pending<'_, Result<Vec<SandboxRecord>, RuntimeError>> {
        Box::pin(
            async move { Ok(lock(&self.shared.known).values().map(|task| task.record.clone()).collect()) },
        )
    }

    fn events(&self, task: &str) -> Events {
        self.shared.listeners.subscribe(task)
    }

    fn output<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
        _from: Position,
    ) -> Pending<'a, Result<OutputState, RuntimeError>> {
        Box::pin(async move {
            loop {
                let mut ends = std::pin::pin!(self.shared.ended.notified());
                // Before looking, so that an end in between is not missed.
                ends.as_mut().enable();
                match lock(&self.shared.known).get(task) {
                    None => return Err(RuntimeError::NoSandbox(task.to_owned())),
                    Some(known) if ended(&known.record, container) => return Ok(OutputState::Closed),
                    Some(_) => {}
                }
                ends.await;
            }
        })
    }

    fn spool(&self, task: &str, container: &str) -> PathBuf {
        TaskDir::new(&self.shared.tasks, task).spool(container)
    }

    fn down(&self) -> Pending<'_, Result<(), RuntimeError>> {
        Box::pin(async move {
            for name in task_names(&self.shared.tasks)? {
                self.shared.forget(&name).await?;
            }
            Ok(())
        })
    }

    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            let mut scope = std::mem::take(&mut *lock(&self.scope));
            scope.shutdown().await;
        })
    }
}
