//! The end of a task: its containers, then everything that it had.

use std::collections::BTreeSet;
use std::time::Duration;

use core_lifecycle::supervision::{self, Run};
use core_lifecycle::{Exit, NetworkMode, Phase};
use runtime::{RuntimeError, Signal};
use tokio::task::JoinSet;

use super::life::Life;
use crate::failure;

/// AWS: what a container gets between the stop signal and SIGKILL where it says nothing else.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A task is reported as stopped once its output is stored, so that whoever waits for the end
/// reads it whole; but a sink that does not answer holds up the report for this long only.
const LAST_OUTPUT: Duration = Duration::from_secs(5);

/// What is taken apart is tried again this often, pausing longer each time.
const ATTEMPTS: u32 = 6;

impl Life {
    /// Ends what runs, each container with its own signal and timeout, once nothing that depends on
    /// it runs any more.
    pub async fn stop(&mut self) {
        self.refresh().await;
        let mut stops = JoinSet::new();
        let mut told: BTreeSet<String> = BTreeSet::new();
        let mut given_up: BTreeSet<String> = BTreeSet::new();
        loop {
            for name in self.stoppable(&given_up) {
                if told.insert(name.clone()) {
                    self.stop_container(&mut stops, name);
                }
            }
            let Some(Ok((name, stopped))) = stops.join_next().await else { break };
            let stop_signal = self.stop_signal(&name);
            let Some(seen) = self.note.observation.containers.iter_mut().find(|seen| seen.name == name)
            else {
                continue;
            };
            match stopped {
                Ok(exit) => {
                    seen.exit.get_or_insert(exit);
                    seen.health = None;
                }
                Err(error) => {
                    tracing::warn!(task = self.id, container = name, %error, "a container cannot be stopped");
                    seen.failure.get_or_insert_with(|| failure::stop(stop_signal, &error));
                    given_up.insert(name);
                }
            }
            self.has_news = true;
            // Those that wait for their turn may take long; the last is told with the task's end.
            if told.len() > 1 || !stops.is_empty() {
                self.publish();
            }
        }
        self.refresh().await;
        let is_left =
            |seen: &core_lifecycle::ContainerObservation| seen.started_at.is_some() && seen.exit.is_none();
        if self.note.observation.containers.iter().any(is_left) {
            // Whatever kept a container from its stop, removing the sandbox kills it.
            let _ = attempt(|| self.shared.parts.runtime.remove_sandbox(&self.id)).await;
            self.refresh().await;
        }
        self.note.checks.clear();
        self.shared.parts.endpoint.close(&self.id);
        if tokio::time::timeout(LAST_OUTPUT, self.shipped()).await.is_err() {
            tracing::warn!(task = self.id, "output is stored later than the task's end is reported");
        }
        self.give_ports_back().await;
        let now = self.shared.parts.clock.now();
        self.note.observation.stopped_at.get_or_insert(now);
        self.set_phase(Phase::Stopped);
    }

    /// Containers that may be told to end now, but for those on which that was `given_up`.
    fn stoppable(&self, given_up: &BTreeSet<String>) -> Vec<String> {
        let Some(assignment) = self.assignment.clone() else {
            let running = self.note.observation.containers.iter();
            let running = running.filter(|seen| seen.started_at.is_some() && seen.exit.is_none());
            return running.map(|seen| seen.name.clone()).collect();
        };
        let mut members = self.members(&assignment);
        for member in &mut members {
            let seen = self.seen(&member.spec.name);
            let is_alive = seen.is_some_and(|seen| seen.started_at.is_some() && seen.exit.is_none());
            if given_up.contains(&member.spec.name) {
                member.run = Run::Failed;
            } else if let (true, Some(started_at)) = (is_alive, seen.and_then(|seen| seen.started_at)) {
                // Whatever else is said of it, it is to end.
                member.run = Run::Running { started_at };
            }
        }
        supervision::stoppable(&members).into_iter().map(str::to_owned).collect()
    }

    fn stop_container(&self, stops: &mut JoinSet<(String, Result<Exit, RuntimeError>)>, name: String) {
        let timeout = self.spec(&name).map_or(STOP_TIMEOUT, |spec| spec.stop_timeout);
        let signal = self.stop_signal(&name);
        let (runtime, id) = (self.shared.parts.runtime.clone(), self.id.clone());
        stops.spawn(async move {
            let stopped = runtime.stop(&id, &name, signal, timeout).await;
            (name, stopped)
        });
    }

    fn stop_signal(&self, container: &str) -> Signal {
        self.note.stop_signals.get(container).copied().map_or(Signal::TERM, Signal)
    }

    /// Whoever reads that a task has ended may ask for its ports at once.
    async fn give_ports_back(&self) {
        let Some(assignment) = self.assignment.clone() else { return };
        if assignment.network_mode != NetworkMode::Bridge {
            return;
        }
        let detached = attempt(|| self.shared.parts.network.detach(&assignment)).await;
        self.told(detached, "ports of the host cannot be given back");
    }

    /// Takes away what the task had. Nobody waits for it.
    pub async fn tear_down(&mut self) {
        if self.note.is_torn_down {
            return;
        }
        let parts = &self.shared.parts;
        let removed = attempt(|| parts.runtime.remove_sandbox(&self.id)).await;
        let mut is_done = self.told(removed, "a sandbox cannot be removed");
        if let Some(assignment) = self.assignment.clone() {
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
