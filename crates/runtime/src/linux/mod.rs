//! Real containers: one shim process per task, found again after a restart of the server.
//!
//! Invariant: a task's record is the shim's while the shim lives, and this module's once it is
//! dead; whether it lives is what connecting to its socket says.

pub(crate) mod connection;
mod sandbox;
mod spare;

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use core_lifecycle::Exit;
use launch::cgroup::{Cgroup, CgroupError, Hierarchies};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::contract::{
    ContainerRecord, ContainerStats, Event, Events, Exec, OutputState, Pending, Runtime, RuntimeError,
    SandboxPhase, SandboxRecord,
};
use crate::plan::{ContainerPlan, ExecPlan, Signal, TaskSandbox};
use crate::record::{self, TaskDir};
use crate::shim::Config;
use crate::spool::Position;
use crate::storage::disk;

use sandbox::Sandbox;
use spare::Spares;

/// How the runtime is set up.
#[derive(Debug, Clone)]
pub struct LinuxOptions {
    /// Absolute; one directory per task is made in it.
    pub tasks: PathBuf,
    /// The control group above all tasks, relative to the mounts: `boxship-<hash>`.
    pub cgroup: PathBuf,
    /// Starts a shim, with one argument added: `["/proc/self/exe", "shim"]`. That very
    /// path means this process's own executable, out of the reach of containers.
    pub shim: Vec<OsString>,
    /// An OCI runtime to use in place of our launcher.
    pub oci_runtime: Option<PathBuf>,
    pub limits: Limits,
}

/// What happens when a limit cannot be had on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    /// The start fails and says why.
    Enforced,
    /// It starts all the same, with a warning.
    Advisory,
}

/// The runtime of hosts with containers.
pub struct Linux {
    shared: Arc<Shared>,
}

struct Shared {
    options: LinuxOptions,
    /// Our executable on a read-only mount of its own, for shims; closed on exec.
    _own: Option<OwnedFd>,
    /// `None`: whoever starts a container hears why.
    hierarchies: Option<Arc<Hierarchies>>,
    sandboxes: Mutex<HashMap<String, Arc<Sandbox>>>,
    listeners: Listeners,
    spares: Spares,
    revivals: tokio::sync::Mutex<()>,
    scope: Mutex<JoinSet<()>>,
}

/// Who listens to which task.
#[derive(Default)]
pub(crate) struct Listeners(Mutex<HashMap<String, mpsc::Sender<Box<Event>>>>);

/// How often it is tried to remove the control group of all tasks; each takes up to a second.
const REMOVALS: u32 = 20;

/// More events than a task of ten containers can cause.
const EVENTS: usize = 256;

impl Listeners {
    pub fn subscribe(&self, task: &str) -> Events {
        let (sender, receiver) = mpsc::channel(EVENTS);
        lock(&self.0).insert(task.to_owned(), sender);
        Events(receiver)
    }

    pub fn tell(&self, task: &str, event: Event) {
        let mut all = lock(&self.0);
        if let Some(sender) = all.get(task)
            && let Err(error) = sender.try_send(Box::new(event))
        {
            // The channel closes, so that its reader notices and looks at the state.
            if matches!(error, mpsc::error::TrySendError::Full(_)) {
                tracing::warn!(task, "an event was dropped: its listener does not listen");
            }
            all.remove(task);
        }
    }

    pub fn remove(&self, task: &str) {
        lock(&self.0).remove(task);
    }
}

/// A poisoned lock holds data that is as good as ever: no code here panics half-way.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Linux {
    /// Makes the directory of tasks. Takes up nothing yet: see [`Runtime::list`].
    ///
    /// # Errors
    /// [`RuntimeError::Host`] where the directory cannot be made.
    pub fn open(mut options: LinuxOptions) -> Result<Self, RuntimeError> {
        let made = std::fs::create_dir_all(&options.tasks);
        made.map_err(|e| RuntimeError::host(format!("make {}", options.tasks.display()), e))?;
        let own = own_executable(&mut options.shim);
        let shared = Shared {
            options,
            _own: own,
            hierarchies: Hierarchies::detect().ok().map(Arc::new),
            sandboxes: Mutex::default(),
            listeners: Listeners::default(),
            spares: Spares::default(),
            revivals: tokio::sync::Mutex::default(),
            scope: Mutex::default(),
        };
        Ok(Linux { shared: Arc::new(shared) })
    }
}

/// Shims executed from a read-only mount need not execute themselves again to get there. Where
/// that cannot be made, they say why themselves.
fn own_executable(shim: &mut [OsString]) -> Option<OwnedFd> {
    let program = shim.first_mut().filter(|program| *program == "/proc/self/exe")?;
    let own = launch::exe::read_only().ok()?;
    *program = format!("/proc/self/fd/{}", own.as_raw_fd()).into();
    Some(own)
}

impl Shared {
    fn dir(&self, task: &str) -> Result<TaskDir, RuntimeError> {
        if record::is_name(task) {
            Ok(TaskDir::new(&self.options.tasks, task))
        } else {
            Err(RuntimeError::Plan(format!("{task:?} is not a task's id")))
        }
    }

    fn cgroup_of(&self, task: &str) -> PathBuf {
        self.options.cgroup.join(task)
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut scope = lock(&self.scope);
        while scope.try_join_next().is_some() {}
        scope.spawn(work);
    }

    /// The task, taken up from its directory if need be. `None` where there is none.
    async fn find(self: &Arc<Self>, task: &str) -> Result<Option<Arc<Sandbox>>, RuntimeError> {
        if let Some(known) = lock(&self.sandboxes).get(task).cloned() {
            return Ok(Some(known));
        }
        let dir = self.dir(task)?;
        if !dir.sandbox().exists() {
            return Ok(None);
        }
        let found = Sandbox::take_up(self, dir, task).await?;
        Ok(found.map(|sandbox| lock(&self.sandboxes).entry(task.to_owned()).or_insert(sandbox).clone()))
    }

    /// Off the path of whoever starts a task.
    fn spawn_spares(self: &Arc<Self>) {
        let shared = self.clone();
        let disks = disk::directory(&self.options.tasks);
        self.spawn(async move {
            // Whoever needs it and finds none meets the reason again.
            let _ = tokio::task::spawn_blocking(move || disk::expect(&disks)).await;
            shared.spares.fill(&shared.options);
        });
    }

    async fn get(self: &Arc<Self>, task: &str) -> Result<Arc<Sandbox>, RuntimeError> {
        self.find(task).await?.ok_or_else(|| RuntimeError::NoSandbox(task.to_owned()))
    }

    async fn create(self: &Arc<Self>, sandbox: TaskSandbox) -> Result<(), RuntimeError> {
        if self.find(&sandbox.task).await?.is_some() {
            return Ok(());
        }
        let task = sandbox.task.clone();
        let config = Config {
            cgroup: self.cgroup_of(&task),
            oci_runtime: self.options.oci_runtime.clone(),
            is_advisory: self.options.limits == Limits::Advisory,
            sandbox,
        };
        let made = Sandbox::make(self, self.dir(&task)?, config).await?;
        lock(&self.sandboxes).insert(task, made);
        self.spawn_spares();
        Ok(())
    }

    /// The task with a shim again, once, however many of its containers are to be started again.
    async fn revive(self: &Arc<Self>, lost: &Arc<Sandbox>, task: &str) -> Result<Arc<Sandbox>, RuntimeError> {
        let _one_at_a_time = self.revivals.lock().await;
        let known = self.get(task).await?;
        if !Arc::ptr_eq(&known, lost) {
            return Ok(known);
        }
        let revived = Sandbox::revive(self, self.dir(task)?, task).await?;
        lock(&self.sandboxes).insert(task.to_owned(), revived.clone());
        Ok(revived)
    }

    async fn forget(self: &Arc<Self>, task: &str) -> Result<(), RuntimeError> {
        if let Some(sandbox) = self.find(task).await? {
            sandbox.remove().await?;
        }
        lock(&self.sandboxes).remove(task);
        self.listeners.remove(task);
        let dir = self.dir(task)?;
        remove_tree(dir.path).await
    }

    /// Ends a task; how it went and what it said stay, for whoever has not heard of it yet.
    async fn end(self: &Arc<Self>, task: &str) -> Result<(), RuntimeError> {
        match self.find(task).await? {
            Some(sandbox) => sandbox.remove().await,
            None => self.forget(task).await,
        }
    }

    async fn list(self: &Arc<Self>) -> Result<Vec<SandboxRecord>, RuntimeError> {
        let mut records = Vec::new();
        for task in task_names(&self.options.tasks)? {
            match self.find(&task).await {
                Ok(Some(sandbox)) => records.push(sandbox.record()),
                Ok(None) => {}
                Err(error) => tracing::warn!(task, %error, "a task's directory cannot be taken up"),
            }
        }
        self.spawn_spares();
        Ok(records)
    }

    async fn down(self: &Arc<Self>) -> Result<(), RuntimeError> {
        let mut first_failure = Ok(());
        for task in task_names(&self.options.tasks)? {
            // One that cannot be ended keeps no other.
            let ended = self.end(&task).await;
            first_failure = first_failure.and(ended);
        }
        first_failure?;
        // A fill that is under way would leave another behind.
        let mut scope = std::mem::take(&mut *lock(&self.scope));
        scope.shutdown().await;
        self.spares.dismiss().await;
        let _ = std::fs::remove_file(Spares::log(&self.options));
        let group = self.options.cgroup.clone();
        blocking("remove the control group", move || {
            let hierarchies = Hierarchies::detect().map_err(std::io::Error::other)?;
            let cgroup = Cgroup::open(&hierarchies, &group).map_err(std::io::Error::other)?;
            // A shim that has answered has yet to go, and its mounts with it: on a busy machine that takes
            // longer than once.
            let mut removed = cgroup.remove();
            for _ in 1..REMOVALS {
                if matches!(removed, Err(CgroupError::Busy { .. })) {
                    removed = cgroup.remove();
                }
            }
            removed.map_err(std::io::Error::other)
        })
        .await
    }
}

/// The names of the directories in `tasks`.
pub(crate) fn task_names(tasks: &Path) -> Result<Vec<String>, RuntimeError> {
    let host = |error| RuntimeError::host(format!("read {}", tasks.display()), error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(tasks).map_err(host)? {
        let entry = entry.map_err(host)?;
        if let Ok(name) = entry.file_name().into_string()
            && record::is_name(&name)
            && entry.path().is_dir()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    doing: &str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, RuntimeError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| RuntimeError::host(doing, error)),
        Err(error) => Err(RuntimeError::host(doing, error)),
    }
}

pub(crate) async fn remove_tree(path: PathBuf) -> Result<(), RuntimeError> {
    blocking("remove a task's directory", move || record::remove_tree(&path)).await
}

impl Runtime for Linux {
    fn restart_container<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
    ) -> Pending<'a, Result<ContainerRecord, RuntimeError>> {
        Box::pin(async move {
            let mut sandbox = self.shared.get(task).await?;
            if sandbox.is_lost().await {
                sandbox = self.shared.revive(&sandbox, task).await?;
            }
            sandbox.restart(container).await
        })
    }

    fn exec<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
        plan: ExecPlan,
    ) -> Pending<'a, Result<Exec, RuntimeError>> {
        Box::pin(async move { self.shared.get(task).await?.exec(container, plan).await })
    }

    fn stats<'a>(&'a self, task: &'a str) -> Pending<'a, Result<Vec<ContainerStats>, RuntimeError>> {
        Box::pin(async move {
            let record = self.shared.get(task).await?.record();
            let cgroup = self.shared.cgroup_of(task);
            let hierarchies = self.shared.hierarchies.clone();
            let hierarchies =
                hierarchies.ok_or_else(|| RuntimeError::host("count", "there are no cgroups"))?;
            blocking("count what a task uses", move || Ok(crate::stats::read(&hierarchies, &cgroup, &record)))
                .await
        })
    }

    fn expect(&self) {
        let Some(hierarchies) = self.shared.hierarchies.clone() else { return };
        self.shared.spawn(async move {
            // It ends soon, and nobody waits for it.
            let _ = tokio::task::spawn_blocking(move || hierarchies.hasten()).await;
        });
    }

    fn create_sandbox(&self, sandbox: TaskSandbox) -> Pending<'_, Result<(), RuntimeError>> {
        Box::pin(self.shared.create(sandbox))
    }

    fn start_container<'a>(
        &'a self,
        task: &'a str,
        plan: ContainerPlan,
    ) -> Pending<'a, Result<ContainerRecord, RuntimeError>> {
        Box::pin(async move { self.shared.get(task).await?.start(plan).await })
    }

    fn signal<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
        signal: Signal,
    ) -> Pending<'a, Result<(), RuntimeError>> {
        Box::pin(async move { self.shared.get(task).await?.signal(container, signal).await })
    }

    fn stop<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
        signal: Signal,
        timeout: Duration,
    ) -> Pending<'a, Result<Exit, RuntimeError>> {
        Box::pin(async move { self.shared.get(task).await?.stop(container, signal, timeout).await })
    }

    fn remove_sandbox<'a>(&'a self, task: &'a str) -> Pending<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            match self.shared.find(task).await? {
                Some(sandbox) => sandbox.remove().await,
                None => Ok(()),
            }
        })
    }

    fn forget<'a>(&'a self, task: &'a str) -> Pending<'a, Result<(), RuntimeError>> {
        Box::pin(self.shared.forget(task))
    }

    fn state<'a>(&'a self, task: &'a str) -> Pending<'a, Result<Option<SandboxRecord>, RuntimeError>> {
        Box::pin(async move { Ok(self.shared.find(task).await?.map(|sandbox| sandbox.record())) })
    }

    fn list(&self) -> Pending<'_, Result<Vec<SandboxRecord>, RuntimeError>> {
        Box::pin(self.shared.list())
    }

    fn events(&self, task: &str) -> Events {
        self.shared.listeners.subscribe(task)
    }

    fn output<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
        from: Position,
    ) -> Pending<'a, Result<OutputState, RuntimeError>> {
        Box::pin(async move { self.shared.get(task).await?.output(container, from).await })
    }

    fn spool(&self, task: &str, container: &str) -> PathBuf {
        TaskDir::new(&self.shared.options.tasks, task).spool(container)
    }

    fn down(&self) -> Pending<'_, Result<(), RuntimeError>> {
        Box::pin(self.shared.down())
    }

    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            let mut scope = std::mem::take(&mut *lock(&self.shared.scope));
            scope.shutdown().await;
            self.shared.spares.clear();
            lock(&self.shared.sandboxes).clear();
        })
    }
}

/// What a record says once its shim is dead: containers that had no exit were killed with it.
pub(crate) fn settle(record: &mut SandboxRecord, at: base::Timestamp) {
    for container in record.containers.iter_mut().filter(|c| c.exit.is_none()) {
        container.exit = Some(Exit { code: 137, at, is_oom: false });
        container.exit_reason = Some("the process that supervised the container died".to_owned());
    }
    record.phase = SandboxPhase::Removed;
}
