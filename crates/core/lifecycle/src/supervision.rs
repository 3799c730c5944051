//! What a host does to keep a task's containers as their owner wants them: in which order they
//! start, whether they are healthy, whether one that ended starts again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What another container must have come to before this one starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    pub container: String,
    pub condition: Condition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    Start,
    /// It ended, however.
    Complete,
    /// It ended with code 0.
    Success,
    Healthy,
}

/// How a host finds out whether a container is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// `CMD`, program, arguments; or `CMD-SHELL`, line; or a line by itself.
    pub command: Vec<String>,
    pub interval: Duration,
    pub timeout: Duration,
    pub retries: u32,
    /// Failures in the first of its life do not count.
    pub start_period: Duration,
}

/// Whether a container that ended starts again, in the same task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    pub ignored_exit_codes: Vec<i32>,
    /// It must have run this long, or it stays ended.
    pub attempt_period: Duration,
}
