//! The trait that every runtime implements, what it tells, and how it fails.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use base::Timestamp;
use core_lifecycle::Exit;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::plan::{ContainerPlan, Signal, TaskSandbox};
use crate::spool::Position;

/// A boxed future, so that the trait stays object safe.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Tasks on one host. Every call may be repeated: making what exists and removing what does not
/// succeeds. Tasks and containers outlive the process that made them; [`Runtime::list`] finds
/// them again.
pub trait Runtime: Send + Sync {
    /// A sandbox is about to be made: what takes a while, whatever the sandbox, begins now. Quick,
    /// and never needed.
    fn expect(&self) {}

    /// Makes the sandbox, with no container in it. A sandbox that exists stays as it is.
    fn create_sandbox(&self, sandbox: TaskSandbox) -> Pending<'_, Result<(), RuntimeError>>;

    /// Starts a container; returns once its program runs. A container that was started before,
    /// running or ended, is left alone and its record returned.
    fn start_container<'a>(
        &'a self,
        task: &'a str,
        plan: ContainerPlan,
    ) -> Pending<'a, Result<ContainerRecord, RuntimeError>>;

    /// Sends a signal to a container's first process. One that has ended takes it silently.
    fn signal<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
        signal: Signal,
    ) -> Pending<'a, Result<(), RuntimeError>>;

    /// Sends `signal`, then SIGKILL when `timeout` passes first; returns the exit.
    fn stop<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
        signal: Signal,
        timeout: Duration,
    ) -> Pending<'a, Result<Exit, RuntimeError>>;

    /// Kills what still runs and removes the sandbox: processes, mounts, cgroups. The spools
    /// stay, to be read, until [`Runtime::forget`].
    fn remove_sandbox<'a>(&'a self, task: &'a str) -> Pending<'a, Result<(), RuntimeError>>;

    /// Removes the task's directory, spools included.
    fn forget<'a>(&'a self, task: &'a str) -> Pending<'a, Result<(), RuntimeError>>;

    /// The task as it is now; `None` for one that was never made, or is forgotten.
    fn state<'a>(&'a self, task: &'a str) -> Pending<'a, Result<Option<SandboxRecord>, RuntimeError>>;

    /// Every task that this host knows, with exits that were recorded while nobody listened.
    fn list(&self) -> Pending<'_, Result<Vec<SandboxRecord>, RuntimeError>>;

    /// What happens in a task from now on. One listener per task: a newer one replaces the older.
    /// Read [`Runtime::state`] after subscribing, and nothing is missed.
    fn events(&self, task: &str) -> mpsc::Receiver<Event>;

    /// Resolves once the container's spool holds something after `from`, or never will again.
    fn output<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
        from: Position,
    ) -> Pending<'a, Result<OutputState, RuntimeError>>;

    /// Where the spool of a container lies, for [`crate::spool::Reader`].
    fn spool(&self, task: &str, container: &str) -> std::path::PathBuf;

    /// Ends every task of this host: no process, mount or cgroup is left. Records and spools stay
    /// until [`Runtime::forget`]: exits and lines that nobody has read yet are not lost.
    fn down(&self) -> Pending<'_, Result<(), RuntimeError>>;

    /// Ends what this process does for its tasks, joined; the tasks run on.
    fn close(&self) -> Pending<'_, ()>;
}

/// What happened in a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    Started {
        container: String,
        at: Timestamp,
    },
    Exited {
        container: String,
        exit: Exit,
    },
    /// The task's shim died, and with it whatever still ran. Exits that nobody recorded are in
    /// [`Runtime::state`] as code 137 by now, with the reason.
    SandboxLost {
        reason: String,
    },
}

/// Whether a container's spool has more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputState {
    /// There is something to read after the position.
    More,
    /// Nothing more will come: read what is left and be done.
    Closed,
}

/// What is durably known of a task. Written atomically before it is reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxRecord {
    pub sandbox: TaskSandbox,
    pub phase: SandboxPhase,
    pub containers: Vec<ContainerRecord>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxPhase {
    /// Containers can be started in it.
    Ready,
    /// No process, mount or cgroup of it is left.
    Removed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecord {
    pub name: String,
    pub runtime_id: String,
    /// 0 where there is no process (simulated).
    pub pid: u32,
    pub started_at: Timestamp,
    pub exit: Option<Exit>,
    /// Why the exit is what it is, where the code alone does not say (the shim died).
    pub exit_reason: Option<String>,
    /// Defaults that this host could not grant, clamped: `nofile 65535 lowered to 20000`.
    pub warnings: Vec<String>,
}

impl SandboxRecord {
    pub fn container(&self, name: &str) -> Option<&ContainerRecord> {
        self.containers.iter().find(|c| c.name == name)
    }
}

/// Why a runtime could not do as told.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
pub enum RuntimeError {
    #[error("task {0} has no sandbox")]
    NoSandbox(String),
    #[error("the sandbox has no container {0}")]
    NoContainer(String),
    /// The container's program could not be started: it is missing, not executable …
    #[error("{0}")]
    Start(String),
    /// A limit that was asked for cannot be had on this host.
    #[error("{0}")]
    Limit(String),
    /// The plan contradicts itself or the image (no command, unknown user).
    #[error("{0}")]
    Plan(String),
    /// The shim died or does not answer; what it did is in the record.
    #[error("the task's shim is gone: {0}")]
    ShimLost(String),
    /// The host failed: disk, kernel.
    #[error("{doing}: {cause}")]
    Host { doing: String, cause: String },
}

impl RuntimeError {
    pub(crate) fn host(doing: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        RuntimeError::Host { doing: doing.into(), cause: cause.to_string() }
    }
}
