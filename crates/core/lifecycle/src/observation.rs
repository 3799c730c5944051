//! What a host saw of a task: a state that replaces the one before it, never an event.

use base::Timestamp;
use serde::{Deserialize, Serialize};

/// The whole of what a host knows about one task.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Observation {
    pub phase: Phase,
    pub pull_started_at: Option<Timestamp>,
    pub pull_stopped_at: Option<Timestamp>,
    /// When every container had started, or could not.
    pub started_at: Option<Timestamp>,
    /// The first essential container ended, or the task failed to start.
    pub execution_stopped_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
    pub containers: Vec<ContainerObservation>,
    /// Why the task as a whole could not run, where it could not.
    pub failure: Option<Failure>,
}

/// How far the task has come on its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Phase {
    /// The order has arrived; network, images and sandbox are being made.
    #[default]
    Preparing,
    /// Every container that must run has started.
    Running,
    /// Containers are being ended.
    Stopping,
    /// No process of it is left.
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ContainerObservation {
    pub name: String,
    /// The runtime's id of the container: 32 hex digits, a hyphen, 10 digits.
    pub runtime_id: Option<String>,
    pub image_digest: Option<String>,
    pub started_at: Option<Timestamp>,
    pub exit: Option<Exit>,
    /// Why it could not be pulled, created or started; beside an exit, what explains that.
    pub failure: Option<Failure>,
    /// Of a container with a health check, once it runs.
    #[serde(default)]
    pub health: Option<Health>,
    /// Ports of the host that lead to it.
    #[serde(default)]
    pub bindings: Vec<Binding>,
    /// How often its restart policy started it again; `started_at` and `exit` are of the last run.
    #[serde(default)]
    pub restarts: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub status: HealthStatus,
    pub since: Timestamp,
    /// The last check's exit code and the first bytes that it printed.
    pub exit_code: Option<i32>,
    pub output: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum HealthStatus {
    #[default]
    Unknown,
    Healthy,
    Unhealthy,
}

/// A port of the host that leads to a container's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub bind_ip: String,
    pub container_port: u16,
    pub host_port: u16,
    pub protocol: String,
    /// Last ports, where this stands for a range.
    #[serde(default)]
    pub last: Option<(u16, u16)>,
}

/// How a container's first process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// As a shell reports it: 137 for SIGKILL.
    pub code: i32,
    pub at: Timestamp,
    /// The cgroup's OOM killer took it.
    pub is_oom: bool,
}

/// A failure with AWS's class (`CannotPullContainerError`, `ResourceInitializationError`,
/// `CannotStartContainerError`, `ContainerRuntimeError` …) and its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub class: String,
    pub message: String,
}

impl Failure {
    /// `class: message`, as AWS writes it.
    pub fn text(&self) -> String {
        format!("{}: {}", self.class, self.message)
    }
}
