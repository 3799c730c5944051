//! A task's note and what changes it.

use std::sync::Arc;

use base::Chance;
use core_lifecycle::{Assignment, ContainerObservation, ContainerSpec, Exit, Failure, Observation, Phase};
use runtime::ContainerRecord;
use tokio::task::JoinSet;

use crate::agent::{Latest, Shared};
use crate::note::Note;
use crate::seams::LogSource;
use crate::ship::{self, Driving, Identity, Shipper};

pub(super) struct Life {
    pub shared: Arc<Shared>,
    /// The task's id: the last part of its ARN.
    pub id: String,
    pub note: Note,
    shippers: JoinSet<()>,
    /// Containers whose output is being shipped.
    shipping: Vec<String>,
}

impl Life {
    pub fn new(shared: Arc<Shared>, id: String, note: Note) -> Self {
        Life { shared, id, note, shippers: JoinSet::new(), shipping: Vec::new() }
    }

    pub fn phase(&self) -> Phase {
        self.note.observation.phase
    }

    pub fn assignment(&self) -> Option<Arc<Assignment>> {
        self.note.assignment.clone().map(Arc::new)
    }

    /// A step of a life is noted down, then reported.
    pub fn set_phase(&mut self, phase: Phase) {
        self.note.observation.phase = phase;
        self.save();
        self.report();
    }

    pub fn save(&self) {
        if let Err(error) = self.shared.notes.save(&self.id, &self.note) {
            tracing::error!(task = self.id, %error, "a task's note cannot be written");
        }
    }

    pub fn report(&self) {
        self.shared.report(&self.note.task, self.note.generation, self.note.observation.clone());
    }

    pub fn obey(&mut self, latest: Latest) {
        if (latest.generation, latest.goal) != (self.note.generation, self.note.goal) {
            self.note.generation = latest.generation;
            self.note.goal = latest.goal;
            self.save();
        }
    }

    /// After a restart: what the runtime knows, and output that was not shipped yet.
    pub async fn take_up(&mut self) {
        if self.note.observation.containers.is_empty()
            && let Some(assignment) = &self.note.assignment
        {
            let seen = |spec: &ContainerSpec| ContainerObservation {
                name: spec.name.clone(),
                ..ContainerObservation::default()
            };
            self.note.observation.containers = assignment.containers.iter().map(seen).collect();
        }
        if !self.note.is_torn_down {
            let seen = self.note.observation.containers.iter();
            for digest in seen.filter_map(|container| container.image_digest.as_deref()) {
                self.shared.parts.images.hold(&self.id, digest).await;
            }
        }
        self.refresh().await;
        // Preparing attaches by itself; a running task's network is to be served again.
        if self.phase() == Phase::Running
            && let Some(assignment) = self.assignment()
            && let Err(error) = self.shared.parts.network.attach(&assignment).await
        {
            tracing::warn!(task = self.id, %error, "a running task's network is not served");
        }
        // Preparing reports by itself, once the order is noted down: what was reported is not ordered again.
        if self.phase() != Phase::Preparing {
            self.report();
        }
    }

    /// Takes the runtime's record into the observation, and reports what is new.
    pub async fn refresh(&mut self) {
        let record = match self.shared.parts.runtime.state(&self.id).await {
            Ok(Some(record)) => record,
            Ok(None) => return self.miss(),
            Err(error) => {
                tracing::warn!(task = self.id, %error, "a task's state cannot be read");
                return;
            }
        };
        let before = self.note.observation.clone();
        for container in &record.containers {
            self.take_in(container);
        }
        if self.note.observation != before {
            self.save();
            self.report();
        }
    }

    /// The runtime knows nothing of the task: what had started was removed with the host's tasks.
    fn miss(&mut self) {
        let at = self.shared.parts.clock.now();
        let containers = self.note.observation.containers.iter_mut();
        let mut lost = containers.filter(|seen| seen.started_at.is_some() && seen.exit.is_none()).peekable();
        if lost.peek().is_none() {
            return;
        }
        tracing::warn!(task = self.id, "a task was removed from its host");
        lost.for_each(|seen| seen.exit = Some(Exit { code: 137, at, is_oom: false }));
        self.save();
        self.report();
    }

    /// Takes in what the runtime has recorded of a container, and ships its output.
    pub fn take_in(&mut self, record: &ContainerRecord) {
        let observation = &mut self.note.observation;
        let first = observation.started_at.map_or(record.started_at, |at| at.min(record.started_at));
        observation.started_at = Some(first);
        if let Some(seen) = observation.containers.iter_mut().find(|c| c.name == record.name) {
            if seen.started_at.is_none() {
                for warning in &record.warnings {
                    tracing::info!(task = self.id, container = record.name, warning, "a default was lowered");
                }
            }
            seen.runtime_id = Some(record.runtime_id.clone());
            seen.started_at = Some(record.started_at);
            // A container's failure says why it did not start; why it ended is for the log.
            if let (None, Some(reason)) = (&seen.exit, &record.exit_reason) {
                tracing::warn!(task = self.id, container = record.name, reason, "an exit code is a guess");
            }
            seen.exit = record.exit.clone();
        }
        self.ship(&record.name, &record.runtime_id);
    }

    fn ship(&mut self, container: &str, runtime_id: &str) {
        let Some(assignment) = &self.note.assignment else { return };
        let Some(spec) = assignment.containers.iter().find(|spec| spec.name == container) else { return };
        let is_shipping = self.shipping.iter().any(|known| known == container);
        if is_shipping || !ship::is_kept(&spec.logging) {
            return;
        }
        self.shipping.push(container.to_owned());
        let digest = self.seen(container).and_then(|seen| seen.image_digest.clone());
        let shipper = Shipper {
            runtime: self.shared.parts.runtime.clone(),
            notes: self.shared.notes.clone(),
            clock: self.shared.parts.clock.clone(),
            task: self.id.clone(),
            driving: self.driving(assignment, spec, runtime_id, digest.as_deref()),
        };
        self.shippers.spawn(shipper.run());
    }

    /// Where the output of a container goes.
    pub fn driving(
        &self,
        assignment: &Assignment,
        spec: &ContainerSpec,
        runtime_id: &str,
        digest: Option<&str>,
    ) -> Driving {
        Driving {
            sink: self.shared.parts.logs.clone(),
            source: source(assignment, &spec.name, runtime_id),
            logging: spec.logging.clone(),
            identity: Identity::new(assignment, spec, runtime_id, digest),
        }
    }

    /// Waits until all output is stored.
    pub async fn shipped(&mut self) {
        while self.shippers.join_next().await.is_some() {}
    }

    /// Whether the task is to end by itself: an essential container has, or all of them.
    pub fn is_over(&self) -> bool {
        let Some(assignment) = &self.note.assignment else { return true };
        let mut has_ended = assignment.containers.iter().map(|spec| {
            let seen = self.seen(&spec.name);
            let ended = seen.is_some_and(|seen| seen.exit.is_some() || seen.failure.is_some());
            (spec.essential, ended)
        });
        let states: Vec<(bool, bool)> = has_ended.by_ref().collect();
        states.iter().any(|(is_essential, ended)| *is_essential && *ended)
            || states.iter().all(|(_, ended)| *ended)
    }

    pub fn seen(&self, container: &str) -> Option<&ContainerObservation> {
        self.note.observation.containers.iter().find(|seen| seen.name == container)
    }

    /// From here on the task only ends.
    pub fn begin_stop(&mut self, failure: Option<Failure>) {
        let now = self.shared.parts.clock.now();
        let first_exit = self.first_exit();
        let observation: &mut Observation = &mut self.note.observation;
        if failure.is_some() {
            observation.failure = failure;
        }
        observation.execution_stopped_at.get_or_insert(first_exit.unwrap_or(now));
        self.set_phase(Phase::Stopping);
    }

    /// When the first essential container ended.
    fn first_exit(&self) -> Option<base::Timestamp> {
        let assignment = self.note.assignment.as_ref()?;
        let essential = assignment.containers.iter().filter(|spec| spec.essential);
        let exits = essential.filter_map(|spec| self.seen(&spec.name)?.exit.as_ref().map(|exit| exit.at));
        exits.min()
    }
}

fn source(assignment: &Assignment, container: &str, runtime_id: &str) -> LogSource {
    LogSource {
        account: assignment.account.clone(),
        task_arn: assignment.task_arn.clone(),
        container: container.to_owned(),
        runtime_id: runtime_id.to_owned(),
        execution_role: assignment.execution_role.clone(),
    }
}

/// AWS: the task's id, a hyphen, ten digits. Derived, so that a repeated start names it the same.
pub(super) fn runtime_id(task: &str, container: &str) -> String {
    let mut chance = Chance::new(0).split(&format!("{task}/{container}"));
    format!("{task}-{:010}", chance.below(10_000_000_000))
}
