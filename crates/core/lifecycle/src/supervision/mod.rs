//! What a host does to keep a task's containers as their owner wants them: in which order they
//! start and stop, whether they are healthy, whether one that ended starts again.
//!
//! Owns: [`next`], which says what to do now and when to look again; [`stoppable`], which says what
//! may be told to end; [`Checks`], what health checks have shown. The host carries it out and says
//! what came of it.
//!
//! One container, while its task is to run:
//!
//! ```text
//!             dependencies met             program runs                program ended
//!  Waiting ───────────────────▶ Starting ──────────────▶ Running ───────────────────▶ Ended
//!     │ dependency cannot            │ cannot start        ▲                             │
//!     │ be met any more              ▼                     │ runs again                  │ policy allows
//!     └─────────────────────────▶ Failed ◀──────────── Restarting ◀──────────────────────┘
//!                                        cannot start again
//! ```
//!
//! Its health, while it runs and has a check (every restart begins anew):
//!
//! ```text
//!            success                      `retries` failures in a row
//!  Unknown ─────────▶ Healthy ◀────────── success ──────────┐
//!     │                  │                                  │
//!     │ `retries` failures in a row, none of them in the    │
//!     │ start period before the first success               │
//!     └──────────────────┴─────────────────────────▶ Unhealthy
//! ```
//!
//! Invariants: a container starts once all that it depends on allows, and never after the task is
//! over; an end that is followed by a restart is no end for anybody else; stops run in the reverse
//! order of starts.
//!
//! AWS: links and `volumesFrom` are dependencies of condition START. A task that belongs to no
//! service lives on with unhealthy containers: health is reported, nothing more.
//!
//! Ignores: circles, which registration refuses; a circle neither starts nor keeps a task from its
//! end.

mod health;
mod order;
mod step;

use std::time::Duration;

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::observation::Exit;

pub use health::{CheckResult, Checks};
pub use order::stoppable;
pub use step::{Action, Member, Run, Standing, Step, next};

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

impl RestartPolicy {
    /// Whether a run that began at `started_at` and ended with `exit` is followed by another.
    pub fn restarts(&self, started_at: Timestamp, exit: &Exit) -> bool {
        !self.ignored_exit_codes.contains(&exit.code) && exit.at.since(started_at) >= self.attempt_period
    }
}

impl HealthCheck {
    /// What to run in the container; `None` where there is nothing to run.
    ///
    /// AWS: a list that begins with neither `CMD` nor `CMD-SHELL` is a line for the shell.
    pub fn program(&self) -> Option<Vec<String>> {
        let (first, rest) = self.command.split_first()?;
        let shell = |line: String| Some(vec![String::from("/bin/sh"), String::from("-c"), line]);
        match first.as_str() {
            "NONE" => None,
            "CMD" => (!rest.is_empty()).then(|| rest.to_vec()),
            "CMD-SHELL" => shell(rest.join(" ")),
            _ => shell(self.command.join(" ")),
        }
    }
}
