//! The end of a task: its containers, then everything that it had.

use std::time::Duration;

use core_lifecycle::Phase;
use runtime::Signal;
use tokio::task::JoinSet;

use super::life::Life;

/// AWS: what a container gets between the stop signal and SIGKILL where it says nothing else.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A task is reported as stopped once its output is stored, so that whoever waits for the end
/// reads it whole; but a sink that does not answer holds up the report for this long only.
const LAST_OUTPUT: Duration = Duration::from_secs(5);

/// What is taken apart is tried again this often, pausing longer each time.
const ATTEMPTS: u32 = 6;

impl Life {
    /// Ends what runs, each container with its own signal and timeout, all at the same time.
    pub async fn stop(&mut self) {
        self.refresh().await;
        let mut stops = JoinSet::new();
        for seen in &self.note.observation.containers {
            if seen.started_at.is_none() || seen.exit.is_some() {
                continue;
            }
            let specs = self.note.assignment.iter().flat_map(|assignment| &assignment.containers);
            let timeout = specs.filter(|spec| spec.name == seen.name).map(|spec| spec.stop_timeout).next();
            let timeout = timeout.unwrap_or(STOP_TIMEOUT);
            let signal = self.note.stop_signals.get(&seen.name).copied().map_or(Signal::TERM, Signal);
            let (runtime, id, name) = (self.shared.parts.runtime.clone(), self.id.clone(), seen.name.clone());
            stops.spawn(async move {
                if let Err(error) = runtime.stop(&id, &name, signal, timeout).await {
                    tracing::warn!(task = id, container = name, %error, "a container cannot be stopped");
                }
            });
        }
        while stops.join_next().await.is_some() {}
        self.refresh().await;
        let is_left =
            |seen: &core_lifecycle::ContainerObservation| seen.started_at.is_some() && seen.exit.is_none();
        if self.note.observation.containers.iter().any(is_left) {
            // Whatever kept a container from its stop, removing the sandbox kills it.
            let _ = attempt(|| self.shared.parts.runtime.remove_sandbox(&self.id)).await;
            self.refresh().await;
        }
        if tokio::time::timeout(LAST_OUTPUT, self.shipped()).await.is_err() {
            tracing::warn!(task = self.id, "output is stored later than the task's end is reported");
        }
        let now = self.shared.parts.clock.now();
        self.note.observation.stopped_at.get_or_insert(now);
        self.set_phase(Phase::Stopped);
    }

    /// Takes away what the task had. Nobody waits for it.
    pub async fn tear_down(&mut self) {
        if self.note.is_torn_down {
            return;
        }
        let parts = &self.shared.parts;
        let removed = attempt(|| parts.runtime.remove_sandbox(&self.id)).await;
        let mut is_done = self.told(removed, "a sandbox cannot be removed");
        if let Some(assignment) = self.assignment() {
            let detached = attempt(|| parts.network.detach(&assignment)).await;
            is_done &= self.told(detached, "a network interface cannot be removed");
        }
        parts.images.release(&self.id).await;
        self.shipped().await;
        self.note.is_torn_down = is_done;
        self.save();
    }

    fn told<E: std::fmt::Display>(&self, result: Result<(), E>, problem: &'static str) -> bool {
        if let Err(error) = &result {
            tracing::error!(task = self.id, %error, problem, "a task is not torn down");
        }
        result.is_ok()
    }

    /// Removes the last traces.
    pub async fn forget(&mut self) {
        let forgotten = attempt(|| self.shared.parts.runtime.forget(&self.id)).await;
        self.told(forgotten, "its directory cannot be removed");
        if let Err(error) = self.shared.notes.remove(&self.id) {
            tracing::error!(task = self.id, %error, "a task's note cannot be removed");
        }
    }
}

async fn attempt<'a, E>(mut work: impl FnMut() -> runtime::Pending<'a, Result<(), E>>) -> Result<(), E> {
    let mut pause = Duration::from_millis(50);
    let mut result = work().await;
    for _ in 1..ATTEMPTS {
        if result.is_ok() {
            break;
        }
        tokio::time::sleep(pause).await;
        pause *= 3;
        result = work().await;
    }
    result
}
