//! What an actor has under way at its task's containers, beside waiting.
//!
//! Invariant: at most one start, restart or check of a container at a time. Starts and restarts
//! are waited for before the task is stopped, or a container would run unseen; checks are not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use core_lifecycle::HealthCheck;
use core_lifecycle::supervision::CheckResult;
use runtime::{ContainerPlan, ContainerRecord, RuntimeError};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{AbortHandle, JoinSet};

use super::check;
use crate::agent::Shared;

/// AWS: how long a container may take from its start to its first instruction.
const START_LIMIT: Duration = Duration::from_secs(3 * 60);

/// What came of a piece of work.
pub(super) enum Done {
    /// `Err(None)`: it took too long.
    Started(String, Result<ContainerRecord, Option<RuntimeError>>),
    Restarted(String, Result<ContainerRecord, Option<RuntimeError>>),
    /// Of the run after so many restarts; `None` where the container was found to have ended.
    Checked(String, u32, Option<CheckResult>),
}

#[derive(Default)]
pub(super) struct Works {
    scope: JoinSet<Done>,
    /// Each name once.
    starting: Vec<String>,
    restarting: Vec<String>,
    checking: BTreeMap<String, AbortHandle>,
}

impl Works {
    pub fn is_empty(&self) -> bool {
        self.scope.is_empty()
    }

    pub fn is_starting(&self, container: &str) -> bool {
        self.starting.iter().any(|name| name == container)
    }

    pub fn is_restarting(&self, container: &str) -> bool {
        self.restarting.iter().any(|name| name == container)
    }

    pub fn is_checking(&self, container: &str) -> bool {
        self.checking.contains_key(container)
    }

    /// Whether a container is being started, for the first time or again.
    pub fn has_starts(&self) -> bool {
        !self.starting.is_empty() || !self.restarting.is_empty()
    }

    /// Starts a container in the `turn` that its task holds, or in one of its own.
    pub fn start(
        &mut self,
        shared: Arc<Shared>,
        task: String,
        plan: ContainerPlan,
        turn: Option<Arc<OwnedSemaphorePermit>>,
    ) {
        self.starting.push(plan.name.clone());
        self.scope.spawn(async move {
            let name = plan.name.clone();
            let own = if turn.is_none() { shared.starts.acquire().await.ok() } else { None };
            let started = in_time(&shared, shared.parts.runtime.start_container(&task, plan)).await;
            drop((own, turn));
            Done::Started(name, started)
        });
    }

    pub fn restart(&mut self, shared: Arc<Shared>, task: String, container: &str) {
        let name = container.to_owned();
        self.restarting.push(name.clone());
        self.scope.spawn(async move {
            let restarted = in_time(&shared, shared.parts.runtime.restart_container(&task, &name)).await;
            Done::Restarted(name, restarted)
        });
    }

    pub fn check(&mut self, shared: Arc<Shared>, what: Checked) {
        let name = what.container.clone();
        let work = self.scope.spawn(async move {
            let _turn = shared.checks.acquire().await;
            let (runtime, clock) = (&*shared.parts.runtime, &shared.parts.clock);
            let result = check::run(runtime, clock, &what.task, &what.container, &what.check).await;
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
                Done::Started(name, _) => forget(&mut self.starting, name),
                Done::Restarted(name, _) => forget(&mut self.restarting, name),
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

/// With the room that it took: most tasks start nothing for most of their time.
fn forget(names: &mut Vec<String>, name: &str) {
    names.retain(|known| known != name);
    names.shrink_to_fit();
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
    shared: &Shared,
    start: impl Future<Output = Result<ContainerRecord, RuntimeError>>,
) -> Result<ContainerRecord, Option<RuntimeError>> {
    let limit = shared.parts.clock.now() + START_LIMIT;
    match shared.before(Some(limit), start).await {
        Some(started) => started.map_err(Some),
        None => Err(None),
    }
}
