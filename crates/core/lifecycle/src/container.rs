//! A container's status: derived from its task's state and what its host saw of it, never stored.

use base::Timestamp;

use crate::observation::{ContainerObservation, Failure};
use crate::task::Task;

/// What a container is now.
///
/// ```text
///  Pending ──started──▶ Running ──exited──▶ Stopped
///     └──failed, or the task ended first──────▲
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Container {
    Pending,
    Running {
        started_at: Timestamp,
    },
    Stopped {
        /// None: it never ran.
        exit_code: Option<i32>,
        /// What went wrong, where more than an exit code is known.
        reason: Option<String>,
    },
}

/// AWS: the text at a container that the OOM killer took.
pub const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";

impl Container {
    /// The state of the container that `seen` describes, in a task in state `task`.
    pub fn of(seen: Option<&ContainerObservation>, task: &Task) -> Container {
        if let Some(seen) = seen {
            if let Some(exit) = &seen.exit {
                let reason = if exit.is_oom {
                    Some(String::from(OUT_OF_MEMORY))
                } else {
                    seen.failure.as_ref().map(Failure::text)
                };
                return Container::Stopped { exit_code: Some(exit.code), reason };
            }
            if let Some(failure) = &seen.failure {
                return Container::Stopped { exit_code: None, reason: Some(failure.text()) };
            }
        }
        // Its task has no process left: whatever the last report said, it does not run.
        if task.has_ended() {
            return Container::Stopped { exit_code: None, reason: None };
        }
        match seen.and_then(|seen| seen.started_at) {
            Some(started_at) => Container::Running { started_at },
            None => Container::Pending,
        }
    }
}
