//! The trait that every runtime implements, what it tells, and how it fails.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use base::Timestamp;
use core_lifecycle::Exit;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::plan::{ContainerPlan, ExecPlan, Signal, TaskSandbox, TerminalSize};
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

    /// Starts a container that has ended again, with the plan and the files that it had. Its record
    /// counts the restart, has a new start and no exit.
    ///
    /// Its spool goes on where it was: whoever was told [`OutputState::Closed`] asks again.
    ///
    /// # Errors
    /// [`RuntimeError::NoContainer`] when it was never started, [`RuntimeError::StillRunning`], and what
    /// [`Runtime::start_container`] may say. A container that cannot be started again keeps its exit.
    fn restart_container<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
    ) -> Pending<'a, Result<ContainerRecord, RuntimeError>>;

    /// Runs a process in a running container, confined as the container is, with its environment and in
    /// its working directory. It ends with this process, with the container, or when it likes. Returns once
    /// the program runs.
    ///
    /// # Errors
    /// [`RuntimeError::NoContainer`], [`RuntimeError::NotRunning`], [`RuntimeError::Program`],
    /// [`RuntimeError::Plan`] for a user whom the image does not know, [`RuntimeError::Unsupported`] where
    /// nothing runs (simulated).
    fn exec<'a>(
        &'a self,
        task: &'a str,
        container: &'a str,
        plan: ExecPlan,
    ) -> Pending<'a, Result<Exec, RuntimeError>>;

    /// How a container's health check goes, where that is known without running it (simulated).
    /// `None`: it is to be run, by [`Runtime::exec`].
    fn health(&self, _task: &str, _container: &str) -> Option<Foretold> {
        None
    }

    /// What the containers that run use now, by the kernel's count.
    fn stats<'a>(&'a self, task: &'a str) -> Pending<'a, Result<Vec<ContainerStats>, RuntimeError>>;

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
    fn events(&self, task: &str) -> Events;

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

/// How health checks go, now and for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foretold {
    pub is_healthy: bool,
    /// Until then, or until the container is started again; [`Timestamp::NEVER`] for ever.
    pub until: Timestamp,
}

/// A process in a container, and the way to it. Dropping it leaves the process running until its
/// streams close; [`ExecControl::signal`] ends it. Its streams may have more to give after
/// [`ExecControl::wait`] returned: read them to their end, or until you have enough, since a process that
/// it left behind may hold them open.
pub struct Exec {
    /// Where [`crate::ExecPlan::has_input`] asked for it. Closing it is the end of its input.
    pub input: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Standard output, or everything that its terminal shows.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// `None` with a terminal.
    pub errors: Option<Box<dyn AsyncRead + Send + Unpin>>,
    pub control: Box<dyn ExecControl>,
}

/// What can be done to a process in a container.
pub trait ExecControl: Send + Sync {
    /// Without a terminal nothing happens.
    fn resize(&self, size: TerminalSize);
    /// One that has ended takes it silently. SIGKILL and SIGHUP go to its whole process group, the
    /// latter as when a terminal is gone.
    fn signal(&self, signal: Signal);
    /// Its exit code, as a shell reports it. May be asked again.
    fn wait(&self) -> Pending<'_, Result<i32, RuntimeError>>;
}

/// What a container uses: counters since its start, and states.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ContainerStats {
    pub name: String,
    pub read_at: Timestamp,
    /// Of all processors, in nanoseconds.
    pub cpu_ns: u64,
    pub cpu_user_ns: u64,
    pub cpu_system_ns: u64,
    /// By processor, where the kernel tells.
    pub cpu_per_core_ns: Vec<u64>,
    /// Of the whole machine, and how many processors it has.
    pub host_cpu_ns: u64,
    pub cores: u32,
    pub throttled_periods: u64,
    pub periods: u64,
    pub throttled_ns: u64,
    /// Bytes, page cache included.
    pub memory_bytes: u64,
    /// Page cache that may go at once: what Docker subtracts.
    pub memory_inactive_file_bytes: u64,
    pub memory_max_bytes: u64,
    /// The limit in force, the task's included.
    pub memory_limit_bytes: u64,
    /// The kernel's own breakdown (`memory.stat`).
    pub memory_detail: BTreeMap<String, u64>,
    pub pids: u64,
    pub pids_limit: Option<u64>,
    /// Lines of its output that were dropped: see [`ContainerRecord::dropped_lines`].
    #[serde(default)]
    pub dropped_lines: u64,
    /// Read and written, of block devices.
    pub disk_read_bytes: u64,
    pub disk_written_bytes: u64,
    /// By interface, of the container's network namespace; empty for the host's.
    pub networks: BTreeMap<String, InterfaceStats>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InterfaceStats {
    pub received_bytes: u64,
    pub received_packets: u64,
    pub received_errors: u64,
    pub received_dropped: u64,
    pub sent_bytes: u64,
    pub sent_packets: u64,
    pub sent_errors: u64,
    pub sent_dropped: u64,
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
    /// Lines of a container's output have been dropped; `lines` in all. Told of the first, whenever they
    /// have doubled, and before the exit.
    Dropped {
        container: String,
        lines: u64,
    },
    /// The task's shim died, and with it whatever still ran. Exits that nobody recorded are in
    /// [`Runtime::state`] as code 137 by now, with the reason.
    SandboxLost {
        reason: String,
    },
}

/// A task's events as they come. Small while nothing happens: a host may have very many of them.
#[derive(Debug)]
pub struct Events(pub(crate) mpsc::Receiver<Box<Event>>);

impl Events {
    /// Waits for the next; `None` once another listener has taken over. Safe to cancel.
    pub async fn recv(&mut self) -> Option<Event> {
        self.0.recv().await.map(|event| *event)
    }

    /// The next, if it has happened already.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.0.try_recv().ok().map(|event| *event)
    }
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
    /// How often it was started again.
    #[serde(default)]
    pub restarts: u32,
    /// Why the exit is what it is, where the code alone does not say (the shim died).
    pub exit_reason: Option<String>,
    /// Defaults that this host could not grant, clamped: `nofile 65535 lowered to 20000`.
    pub warnings: Vec<String>,
    /// Lines of its output, of all its runs, that were dropped because its buffer was full.
    #[serde(default)]
    pub dropped_lines: u64,
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
    /// What [`Runtime::exec`] was to run cannot be executed: `text` is runc's, `exec: "nope": executable
    /// file not found in $PATH`; `code` a shell's, 127 for what is not there and 126 for what is no program.
    #[error("unable to start container process: {text}")]
    Program { code: i32, text: String },
    /// The container has ended.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// The container has not ended.
    #[error("container {0} still runs")]
    StillRunning(String),
    /// A limit that was asked for cannot be had on this host.
    #[error("{0}")]
    Limit(String),
    /// The plan contradicts itself or the image (no command, unknown user).
    #[error("{0}")]
    Plan(String),
    /// The shim died or does not answer; what it did is in the record.
    #[error("the task's shim is gone: {0}")]
    ShimLost(String),
    /// This runtime does not do it (the simulated one runs no program).
    #[error("{0}")]
    Unsupported(String),
    /// The host failed: disk, kernel.
    #[error("{doing}: {cause}")]
    Host { doing: String, cause: String },
}

impl RuntimeError {
    pub(crate) fn host(doing: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        RuntimeError::Host { doing: doing.into(), cause: cause.to_string() }
    }
}
