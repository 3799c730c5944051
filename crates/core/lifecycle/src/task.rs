//! The task's state machine: what a task is now, given what its owner wants and its host saw.
//!
//! Invariant: states only move forward; a state holds exactly the facts that are true in it.
//! Invariant: `Stop` is decided once. The first cause wins; later ones never rewrite it.
//!
//! Deliberately ignores which load balancers a task is registered with, services and health.

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::observation::{ContainerObservation, Failure, Observation, Phase};

/// What the owner of a task wants. Written by callers only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Goal {
    #[default]
    Running,
    Stopped {
        code: StopCode,
        reason: String,
    },
}

/// Why a task ends, as AWS classes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StopCode {
    TaskFailedToStart,
    EssentialContainerExited,
    UserInitiated,
    ServiceSchedulerInitiated,
    SpotInterruption,
    TerminationNotice,
}

/// Why and since when a task is on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    pub code: StopCode,
    pub reason: String,
    pub stopping_at: Timestamp,
}

/// How far a task had come: the milestones that its host reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Milestones {
    pub connected_at: Option<Timestamp>,
    pub pull_started_at: Option<Timestamp>,
    pub pull_stopped_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub execution_stopped_at: Option<Timestamp>,
    /// When the task became RUNNING; of this, its host knows nothing.
    #[serde(default)]
    pub running_at: Option<Timestamp>,
}

/// A task's status.
///
/// ```text
///  Provisioning ──seen──▶ Pending ──started──▶ Activating ──active──▶ Running
///       │                    │                     │                    │
///       │ stop               │ stop, failure,      │ stop, exit         │ stop, exit
///       │                    │ exit                ▼                    ▼
///       └─────────┬──────────┘                Deactivating ◀────────────┘
///                 ▼                                │ drained
///             Stopping ◀───────────────────────────┘
///                 │ ended (no process is left)
///                 ▼
///          Deprovisioning ──released──▶ Stopped
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Its interface and host are chosen; the host has not answered yet.
    Provisioning,
    /// The host prepares it: network, images, sandbox.
    Pending {
        milestones: Milestones,
    },
    /// Its containers run; what must know of it (balancers, discovery) is being told.
    Activating {
        milestones: Milestones,
    },
    Running {
        milestones: Milestones,
    },
    /// What knows of it is being told to let go, before its containers end.
    Deactivating {
        milestones: Milestones,
        stop: Stop,
    },
    /// Its containers are being ended.
    Stopping {
        milestones: Milestones,
        stop: Stop,
    },
    /// No process is left; its interface is being given back.
    Deprovisioning {
        milestones: Milestones,
        stop: Stop,
    },
    Stopped {
        milestones: Milestones,
        stop: Stop,
        stopped_at: Timestamp,
    },
}

/// What happened to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The host has taken the order.
    Seen(Milestones),
    /// Every container that must run has started.
    Started(Milestones),
    /// Everything that must know of the task knows.
    Active,
    /// It must end.
    Stop { milestones: Milestones, code: StopCode, reason: String },
    /// Everything that knew of the task has let go.
    Drained,
    /// No process of it is left.
    Ended(Milestones),
    /// Its interface has been given back.
    Released,
}

impl Task {
    /// The state that follows. An event that means nothing in a state leaves it as it is: events
    /// are derived from what is seen, and may come twice or late.
    #[must_use]
    pub fn next(self, event: Event, now: Timestamp) -> Task {
        match event {
            Event::Seen(milestones) => self.seen(milestones),
            Event::Started(milestones) => self.started(milestones),
            Event::Active => match self {
                Task::Activating { milestones } => {
                    Task::Running { milestones: Milestones { running_at: Some(now), ..milestones } }
                }
                Task::Provisioning
                | Task::Pending { .. }
                | Task::Running { .. }
                | Task::Deactivating { .. }
                | Task::Stopping { .. }
                | Task::Deprovisioning { .. }
                | Task::Stopped { .. } => self,
            },
            Event::Stop { milestones, code, reason } => {
                self.stop(milestones, Stop { code, reason, stopping_at: now })
            }
            Event::Drained => match self {
                Task::Deactivating { milestones, stop } => Task::Stopping { milestones, stop },
                Task::Provisioning
                | Task::Pending { .. }
                | Task::Activating { .. }
                | Task::Running { .. }
                | Task::Stopping { .. }
                | Task::Deprovisioning { .. }
                | Task::Stopped { .. } => self,
            },
            Event::Ended(milestones) => self.ended(milestones),
            Event::Released => match self {
                Task::Deprovisioning { milestones, stop } => {
                    Task::Stopped { milestones, stop, stopped_at: now }
                }
                Task::Provisioning
                | Task::Pending { .. }
                | Task::Activating { .. }
                | Task::Running { .. }
                | Task::Deactivating { .. }
                | Task::Stopping { .. }
                | Task::Stopped { .. } => self,
            },
        }
    }

    fn seen(self, milestones: Milestones) -> Task {
        match self {
            Task::Provisioning | Task::Pending { .. } => Task::Pending { milestones },
            Task::Activating { .. }
            | Task::Running { .. }
            | Task::Deactivating { .. }
            | Task::Stopping { .. }
            | Task::Deprovisioning { .. }
            | Task::Stopped { .. } => self,
        }
    }

    fn started(self, milestones: Milestones) -> Task {
        match self {
            Task::Provisioning | Task::Pending { .. } => Task::Activating { milestones },
            Task::Activating { .. }
            | Task::Running { .. }
            | Task::Deactivating { .. }
            | Task::Stopping { .. }
            | Task::Deprovisioning { .. }
            | Task::Stopped { .. } => self,
        }
    }

    fn stop(self, milestones: Milestones, stop: Stop) -> Task {
        match self {
            Task::Provisioning | Task::Pending { .. } => Task::Stopping { milestones, stop },
            Task::Activating { .. } | Task::Running { .. } => Task::Deactivating { milestones, stop },
            Task::Deactivating { .. }
            | Task::Stopping { .. }
            | Task::Deprovisioning { .. }
            | Task::Stopped { .. } => self,
        }
    }

    fn ended(self, milestones: Milestones) -> Task {
        match self {
            Task::Stopping { stop, .. } => Task::Deprovisioning { milestones, stop },
            Task::Provisioning
            | Task::Pending { .. }
            | Task::Activating { .. }
            | Task::Running { .. }
            | Task::Deactivating { .. }
            | Task::Deprovisioning { .. }
            | Task::Stopped { .. } => self,
        }
    }

    /// The milestones so far; none before the host has answered.
    pub fn milestones(&self) -> Milestones {
        match self {
            Task::Provisioning => Milestones::default(),
            Task::Pending { milestones }
            | Task::Activating { milestones }
            | Task::Running { milestones }
            | Task::Deactivating { milestones, .. }
            | Task::Stopping { milestones, .. }
            | Task::Deprovisioning { milestones, .. }
            | Task::Stopped { milestones, .. } => *milestones,
        }
    }

    /// Why it ends, once that is decided.
    pub fn stop_cause(&self) -> Option<&Stop> {
        match self {
            Task::Provisioning | Task::Pending { .. } | Task::Activating { .. } | Task::Running { .. } => {
                None
            }
            Task::Deactivating { stop, .. }
            | Task::Stopping { stop, .. }
            | Task::Deprovisioning { stop, .. }
            | Task::Stopped { stop, .. } => Some(stop),
        }
    }

    pub fn stopped_at(&self) -> Option<Timestamp> {
        match self {
            Task::Stopped { stopped_at, .. } => Some(*stopped_at),
            Task::Provisioning
            | Task::Pending { .. }
            | Task::Activating { .. }
            | Task::Running { .. }
            | Task::Deactivating { .. }
            | Task::Stopping { .. }
            | Task::Deprovisioning { .. } => None,
        }
    }

    /// Whether no process of it can exist any more.
    pub fn has_ended(&self) -> bool {
        matches!(self, Task::Deprovisioning { .. } | Task::Stopped { .. })
    }
}

/// Everything that decides a task's next state.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub goal: &'a Goal,
    /// The newest report of its host, and when that came.
    pub seen: Option<(&'a Observation, Timestamp)>,
    /// Names of the containers whose end ends the task.
    pub essential: &'a [String],
    /// Everything that must know of it before it counts as running knows: load balancers.
    pub is_registered: bool,
    /// Everything that knew of it has let go, and what was sent to it is answered.
    pub is_drained: bool,
    /// Its interface is gone.
    pub is_released: bool,
}

/// The event that `facts` imply for a task in `state`; none when it is where it should be.
///
/// One event at a time, so that every status on the way is seen by whoever watches.
pub fn status_of(state: &Task, facts: &Facts<'_>) -> Option<Event> {
    let so_far = match facts.seen {
        Some((observation, at)) => milestones(state, observation, at),
        None => state.milestones(),
    };
    match state {
        Task::Provisioning | Task::Pending { .. } | Task::Activating { .. } | Task::Running { .. } => {
            if let Some((code, reason)) = cause(facts) {
                return Some(Event::Stop { milestones: so_far, code, reason });
            }
            let (observation, _) = facts.seen?;
            match state {
                Task::Provisioning => Some(Event::Seen(so_far)),
                Task::Pending { .. } if observation.phase >= Phase::Running => Some(Event::Started(so_far)),
                // A later milestone of the same state (the pull has begun) is worth recording.
                Task::Pending { milestones } => (*milestones != so_far).then_some(Event::Seen(so_far)),
                Task::Activating { .. } => facts.is_registered.then_some(Event::Active),
                Task::Running { .. }
                | Task::Deactivating { .. }
                | Task::Stopping { .. }
                | Task::Deprovisioning { .. }
                | Task::Stopped { .. } => None,
            }
        }
        Task::Deactivating { .. } => {
            (facts.is_drained || has_ended_by_itself(facts)).then_some(Event::Drained)
        }
        Task::Stopping { .. } => {
            let (observation, _) = facts.seen?;
            (observation.phase == Phase::Stopped).then_some(Event::Ended(so_far))
        }
        Task::Deprovisioning { .. } => facts.is_released.then_some(Event::Released),
        Task::Stopped { .. } => None,
    }
}

/// Nobody waits for answers of a task whose containers have ended.
fn has_ended_by_itself(facts: &Facts<'_>) -> bool {
    facts.seen.is_some_and(|(observation, _)| {
        let mut essential = observation.containers.iter().filter(|c| facts.essential.contains(&c.name));
        observation.phase >= Phase::Stopping || essential.any(|c| c.exit.is_some())
    })
}

/// Why the task must end, if it must. Once its owner wants it stopped, whatever its host reports
/// next is the consequence; what was reported before that has already been decided.
fn cause(facts: &Facts<'_>) -> Option<(StopCode, String)> {
    if let Goal::Stopped { code, reason } = facts.goal {
        return Some((*code, reason.clone()));
    }
    let (observation, _) = facts.seen?;
    let mut essential = observation.containers.iter().filter(|c| facts.essential.contains(&c.name));
    // A task goes on without a container that it does not need.
    let of_essential = essential.clone().find_map(kept_from_start);
    if let Some(failure) = observation.failure.as_ref().or(of_essential) {
        let is_told_at_container = observation.containers.iter().any(|c| c.failure.as_ref() == Some(failure));
        return Some((StopCode::TaskFailedToStart, task_text(failure, is_told_at_container)));
    }
    let has_exited = essential.any(|c| c.exit.is_some());
    let is_over = observation.phase >= Phase::Stopping;
    (has_exited || is_over).then(|| (StopCode::EssentialContainerExited, String::from(ESSENTIAL_EXITED)))
}

/// What kept a container from its start. A failure of one that has run (it could not be started
/// again, its supervisor died) explains its exit.
fn kept_from_start(container: &ContainerObservation) -> Option<&Failure> {
    container.failure.as_ref().filter(|_| container.started_at.is_none() && container.exit.is_none())
}

const ESSENTIAL_EXITED: &str = "Essential container in task exited";

/// AWS: a failed pull or initialization is told at the task; any other failure only at its
/// container, and the task says that it failed to start.
fn task_text(failure: &Failure, is_told_at_container: bool) -> String {
    match failure.class.as_str() {
        "CannotPullContainerError" | "ResourceInitializationError" => failure.text(),
        _ if is_told_at_container => String::from("Task failed to start"),
        _ => failure.text(),
    }
}

fn milestones(state: &Task, observation: &Observation, at: Timestamp) -> Milestones {
    let before = state.milestones();
    // A report comes later than what it tells of: the task was connected when its pull began.
    let connected_at = before.connected_at.unwrap_or(at);
    let connected_at = observation.pull_started_at.map_or(connected_at, |pull| pull.min(connected_at));
    Milestones {
        connected_at: Some(connected_at),
        pull_started_at: observation.pull_started_at.or(before.pull_started_at),
        pull_stopped_at: observation.pull_stopped_at.or(before.pull_stopped_at),
        started_at: observation.started_at.or(before.started_at),
        execution_stopped_at: observation.execution_stopped_at.or(before.execution_stopped_at),
        running_at: before.running_at,
    }
}
