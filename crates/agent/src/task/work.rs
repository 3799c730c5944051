//! What an actor has under way at its task's containers, beside waiting.
//!
//! Invariant: at most one start, restart or check of a container at a time. Starts and restarts
//! are waited for before the task is stopped, or a container would run unseen; checks are not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::clock::Clock;
use core_lifecycle::HealthCheck;
use core_lifecycle::supervision::CheckResult;
use runtime::{ContainerPlan, ContainerRecord, Runtime, RuntimeError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};

use super::check;

/// AWS: how long a container may take from its start to its first instruction.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(3 * 60);

/// What came of a piece of work.
pub(super) enum Done {
    /// `Err(None)`: it took too long.
    Started(String, Result<ContainerRecord, Option<RuntimeError>>),
    Restarted(String, Result<ContainerRecord, Option<RuntimeError>>),
    /// Of the run after so many restarts; `None` where the container was found to have ended.
    Checked(String, u32, Option<CheckResult>),
}

/// Turns at starting tasks. A task's first containers start in the turn of its sandbox.
#[derive(Clone)]
pub(super) enum Turn {
    Held(#[expect(dead_code, reason = "holding it is its use")] Arc<OwnedSemaphorePermit>),
    Awaited(Arc<Semaphore>),
}

#[derive(Default)]
pub(super) struct Works {
    scope: JoinSet<Done>,
    starting: BTreeSet<String>,
    restarting: BTreeSet<String>,
    checking: BTreeMap<String, AbortHandle>,
}

impl Works {
    pub fn is_empty(&self) -> bool {
        self.scope.is_empty()
    }

    pub fn is_starting(&self, container: &str) -> bool {
        self.starting.contains(container)
    }

    pub fn is_restarting(&self, container: &str) -> bool {
        self.restarting.contains(container)
    }

    pub fn is_checking(&self, container: &str) -> bool {
        self.checking.contains_key(container)
    }

    /// Whether a container is being started, for the first time or again.
    pub fn has_starts(&self) -> bool {
        !self.starting.is_empty() || !self.restarting.is_empty()
    }

    pub fn start(&mut self, runtime: Arc<dyn Runtime>, task: String, plan: ContainerPlan, turn: Turn) {
        self.starting.insert(plan.name.clone());
        self.scope.spawn(async move {
            let name = plan.name.clone();
            let _permit = match &turn {
                Turn::Held(_) => None,
                Turn::Awaited(starts) => starts.clone().acquire_owned().await.ok(),
            };
            Done::Started(name, in_time(runtime.start_container(&task, plan)).await)
        });
    }

    pub fn restart(&mut self, runtime: Arc<dyn Runtime>, task: String, container: &str) {
        let name = container.to_owned();
        self.restarting.insert(name.clone());
        self.scope.spawn(async move {
            let restarted = in_time(runtime.restart_container(&task, &name)).await;
            Done::Restarted(name, restarted)
        });
    }

    pub fn check(&mut self, runtime: Arc<dyn Runtime>, clock: Clock, what: Checked) {
        let name = what.container.clone();
        let work = self.scope.spawn(async move {
            let result = check::run(&*runtime, &clock, &what.task, &what.container, &what.check).await;
            Done::Checked(what.container, what.run, result)
        });
        self.checking.insert(name, work);
    }

    /// The next piece that is done. Pending while there is none. May be dropped.
    pub async fn next(&mut self) -> Done {
        loop {
            let Some(joined) = self.scope.join_next().await else {
                return std::future::pending().await;
            };
            // One that was called off, or the actor's own end.
            let Ok(done) = joined else { continue };
            match &done {
                Done::Started(name, _) => drop(self.starting.remove(name)),
                Done::Restarted(name, _) => drop(self.restarting.remove(name)),
                Done::Checked(name, _, _) => drop(self.checking.remove(name)),
            }
            return done;
        }
    }

    /// Calls off every check.
    pub fn end_checks(&mut self) {
        std::mem::take(&mut self.checking).into_values().for_each(|work| work.abort());
    }
}

/// A check that is due.
pub(super) struct Checked {
    pub task: String,
    pub container: String,
    pub check: HealthCheck,
    /// How often the container was restarted before.
    pub run: u32,
}

async fn in_time(
    start: impl Future<Output = Result<ContainerRecord, RuntimeError>>,
) -> Result<ContainerRecord, Option<RuntimeError>> {
    match tokio::time::timeout(START_LIMIT, start).await {
        Ok(started) => started.map_err(Some),
        Err(_) => Err(None),
    }
}
