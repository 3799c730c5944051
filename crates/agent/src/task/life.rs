//! A task's note and what changes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Chance;
use core_lifecycle::supervision::Checks;
use core_lifecycle::{Assignment, ContainerObservation, ContainerSpec, Exit, Failure, Phase};
use runtime::ContainerRecord;
use tokio::sync::{Mutex, OwnedSemaphorePermit};
use tokio::task::JoinSet;

use super::prepare::Ready;
use super::work::Works;
use crate::agent::{Latest, Shared};
use crate::failure;
use crate::note::Note;
use crate::seams::LogSource;
use crate::ship::{self, Driving, Identity, Shipper};

pub(super) struct Life {
    pub shared: Arc<Shared>,
    /// The task's id: the last part of its ARN.
    pub id: String,
    pub note: Note,
    /// The note's, with the values of secrets among its logging options.
    pub assignment: Option<Arc<Assignment>>,
    /// The ends of runs that are followed by another. To everybody else the container runs on.
    pub ended: BTreeMap<String, Exit>,
    pub works: Works,
    /// What its containers start with; from when the sandbox is made until all have started.
    pub ready: Option<Arc<Ready>>,
    /// Held while its first containers start.
    pub turn: Option<Arc<OwnedSemaphorePermit>>,
    /// The observation has news that were not noted down and reported.
    pub has_news: bool,
    shippers: JoinSet<()>,
    /// Lines of each container that were dropped, as far as the log tells of them.
    dropped: BTreeMap<String, u64>,
    /// Containers whose output is being shipped, and whose turn it is to do so.
    shipping: BTreeMap<String, Arc<Mutex<()>>>,
}

impl Life {
    pub fn new(shared: Arc<Shared>, id: String, note: Note) -> Self {
        Life {
            shared,
            id,
            assignment: note.assignment.clone(),
            note,
            ended: BTreeMap::new(),
            works: Works::default(),
            ready: None,
            turn: None,
            has_news: false,
            shippers: JoinSet::new(),
            dropped: BTreeMap::new(),
            shipping: BTreeMap::new(),
        }
    }

    pub fn phase(&self) -> Phase {
        self.note.observation.phase
    }

    /// What the task definition says of a container.
    pub fn spec(&self, container: &str) -> Option<&ContainerSpec> {
        self.assignment.as_ref()?.containers.iter().find(|spec| spec.name == container)
    }

    /// A step of a life is noted down, then reported.
    pub fn set_phase(&mut self, phase: Phase) {
        self.note.observation.phase = phase;
        self.has_news = false;
        self.save();
        self.report();
    }

    /// Notes down and reports what is new.
    pub fn publish(&mut self) {
        if std::mem::take(&mut self.has_news) {
            self.save();
            self.report();
        }
    }

    pub fn save(&self) {
        if let Err(error) = self.shared.notes.save(&self.id, &self.note) {
            tracing::error!(task = self.id, %error, "a task's note cannot be written");
        }
    }

    pub fn report(&self) {
        if let Some(assignment) = &self.assignment {
            self.shared.parts.endpoint.observe(assignment, &self.note.observation);
        }
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
        if let Err(failure) = self.resolve_logging().await {
            tracing::error!(task = self.id, error = failure.text(), "a log driver lacks its secrets");
        }
        self.refresh().await;
        // Preparing attaches by itself; the network of what runs is to be served again.
        let has_ended = |seen: &ContainerObservation| seen.started_at.is_none() || seen.exit.is_some();
        let is_live = match self.phase() {
            Phase::Preparing | Phase::Stopped => false,
            Phase::Running => true,
            Phase::Stopping => !self.note.observation.containers.iter().all(has_ended),
        };
        if is_live && let Some(assignment) = self.assignment.clone() {
            match self.shared.parts.network.attach(&assignment).await {
                Ok(attached) => {
                    // Nothing starts any more that would be told something.
                    let _ = self.shared.parts.endpoint.open(&assignment, &attached);
                    self.bind(&attached);
                }
                Err(error) => {
                    tracing::warn!(task = self.id, %error, "a running task's network is not served");
                }
            }
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
        for container in &record.containers {
            self.take_in(container);
        }
        self.publish();
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
        for seen in lost {
            let exit = self.ended.remove(&seen.name);
            seen.exit = Some(exit.unwrap_or(Exit { code: 137, at, is_oom: false }));
            seen.health = None;
        }
        self.has_news = true;
        self.publish();
    }

    /// Takes in what the runtime has recorded of a container, and ships its output.
    pub fn take_in(&mut self, record: &ContainerRecord) {
        self.note_dropped(record);
        let Some(spec) = self.spec(&record.name) else { return };
        let (check, policy) = (spec.health_check.clone(), spec.restart.clone());
        let is_ending = self.phase() >= Phase::Stopping;
        let found = self.note.observation.containers.iter_mut().find(|c| c.name == record.name);
        let Some(seen) = found else { return };
        let before = seen.clone();
        let is_first = seen.started_at.is_none();
        let is_new = is_first || seen.restarts != record.restarts;
        if !is_new && record.exit.is_none() && (seen.exit.is_some() || self.ended.contains_key(&record.name))
        {
            // An older state, which was on its way when its end was heard of.
            return;
        }
        if is_first {
            for warning in &record.warnings {
                tracing::info!(task = self.id, container = record.name, warning, "a default was lowered");
            }
        }
        seen.runtime_id = Some(record.runtime_id.clone());
        seen.started_at = Some(record.started_at);
        seen.restarts = record.restarts;
        self.ended.remove(&record.name);
        if let (Some(check), None) = (&check, &record.exit) {
            let begin = || Checks::begin(check, record.started_at);
            let checks = self.note.checks.entry(record.name.clone()).or_insert_with(begin);
            if is_new {
                *checks = begin();
            }
            seen.health = Some(checks.health());
        } else {
            self.note.checks.remove(&record.name);
            seen.health = None;
        }
        let restarts = |exit: &Exit| policy.is_some_and(|policy| policy.restarts(record.started_at, exit));
        match &record.exit {
            Some(exit)
                if !is_ending && record.exit_reason.is_none() && seen.failure.is_none() && restarts(exit) =>
            {
                self.ended.insert(record.name.clone(), exit.clone());
                seen.exit = None;
            }
            exit => seen.exit = exit.clone(),
        }
        if let (None, Some(reason)) = (&before.exit, &record.exit_reason) {
            tracing::warn!(task = self.id, container = record.name, reason, "an exit code is a guess");
            seen.failure.get_or_insert_with(|| failure::lost(reason));
        }
        self.has_news |= *seen != before;
        self.ship(&record.name, &record.runtime_id, is_new && !is_first);
    }

    /// Says that lines were lost: in the non-blocking mode nothing else does. The runtime tells of few of
    /// them, however many they are.
    fn note_dropped(&mut self, record: &ContainerRecord) {
        let lines = record.dropped_lines;
        if lines == 0 {
            return;
        }
        let known = self.dropped.entry(record.name.clone()).or_default();
        if lines > *known {
            *known = lines;
            let container = &record.name;
            tracing::warn!(
                task = self.id,
                container,
                lines,
                "lines of output were dropped: its buffer was full"
            );
        }
    }

    /// Ships a container's output; `is_again`: of a run that follows another, whose shipper may have
    /// seen the end.
    fn ship(&mut self, container: &str, runtime_id: &str, is_again: bool) {
        let Some(assignment) = &self.assignment else { return };
        let Some(spec) = assignment.containers.iter().find(|spec| spec.name == container) else { return };
        let turn = self.shipping.get(container).cloned();
        if (turn.is_some() && !is_again) || !ship::is_kept(&spec.logging) {
            return;
        }
        let turn = turn.unwrap_or_default();
        let digest = self.seen(container).and_then(|seen| seen.image_digest.clone());
        let shipper = Shipper {
            runtime: self.shared.parts.runtime.clone(),
            notes: self.shared.notes.clone(),
            clock: self.shared.parts.clock.clone(),
            task: self.id.clone(),
            driving: self.driving(assignment, spec, runtime_id, digest.as_deref()),
        };
        self.shipping.insert(container.to_owned(), turn.clone());
        self.shippers.spawn(async move {
            let _turn = turn.lock().await;
            shipper.run().await;
        });
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

    pub fn seen_mut(&mut self, container: &str) -> Option<&mut ContainerObservation> {
        self.note.observation.containers.iter_mut().find(|seen| seen.name == container)
    }

    pub fn seen(&self, container: &str) -> Option<&ContainerObservation> {
        self.note.observation.containers.iter().find(|seen| seen.name == container)
    }

    /// From here on the task only ends: no end is followed by another start any more.
    pub fn begin_stop(&mut self, failure: Option<Failure>) {
        let now = self.shared.parts.clock.now();
        self.release();
        for (name, exit) in std::mem::take(&mut self.ended) {
            if let Some(seen) = self.seen_mut(&name) {
                seen.exit.get_or_insert(exit);
            }
        }
        if failure.is_none() && self.note.observation.failure.is_none() {
            self.note_start();
        }
        let first_exit = self.first_exit();
        let observation = &mut self.note.observation;
        if failure.is_some() {
            observation.failure = failure;
        }
        observation.execution_stopped_at.get_or_insert(first_exit.unwrap_or(now));
        self.set_phase(Phase::Stopping);
    }

    /// Gives up what only starts need: its turn, which others wait for, and values that were fetched.
    pub fn release(&mut self) {
        self.turn = None;
        self.ready = None;
    }

    /// AWS: a task has started once all its containers have.
    pub fn note_start(&mut self) {
        let observation = &mut self.note.observation;
        let starts: Vec<_> = observation.containers.iter().filter_map(|seen| seen.started_at).collect();
        let could_not = observation.containers.iter().filter(|seen| seen.failure.is_some()).count();
        if starts.len() + could_not >= observation.containers.len() {
            observation.started_at = observation.started_at.or(starts.into_iter().max());
        }
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
