//! What is to be done about a task's containers now.

use base::Timestamp;

use super::Checks;
use super::order::{Readiness, readiness};
use crate::assignment::ContainerSpec;
use crate::observation::{Exit, Failure};

/// What has become of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// It has not been started.
    Waiting,
    /// Its start is under way.
    Starting,
    Running {
        started_at: Timestamp,
    },
    /// Its process has ended; whether for good is its policy's to say.
    Ended {
        started_at: Timestamp,
        exit: Exit,
    },
    /// It ended, and its next start is under way.
    Restarting,
    /// It cannot run: it could not be started, or not again.
    Failed,
}

/// A container as its host sees it.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    pub spec: &'a ContainerSpec,
    pub run: Run,
    /// Of the run that goes on, where the container has a check.
    pub checks: Option<&'a Checks>,
    /// A check is under way.
    pub is_checking: bool,
}

impl Member<'_> {
    /// Whether the end of its run is followed by another.
    pub(super) fn restarts(&self) -> bool {
        match (&self.run, &self.spec.restart) {
            (Run::Ended { started_at, exit }, Some(policy)) => policy.restarts(*started_at, exit),
            _ => false,
        }
    }

    /// Whether it never runs again.
    fn is_done(&self) -> bool {
        match &self.run {
            Run::Ended { .. } => !self.restarts(),
            Run::Failed => true,
            Run::Waiting | Run::Starting | Run::Running { .. } | Run::Restarting => false,
        }
    }
}

/// What a host is to do. Containers by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<'a> {
    Start(&'a str),
    Restart(&'a str),
    /// Find out whether it is well.
    Check(&'a str),
    /// Never start it, and say why.
    Fail(&'a str, Failure),
}

/// How the task as a whole stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Containers are still to be started.
    Starting,
    /// Every container has started, if only to end.
    Running,
    /// It is to be ended: an essential container has, or all have.
    Over,
}

/// What follows from how things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<'a> {
    /// Independent of each other. None once the task is over.
    pub actions: Vec<Action<'a>>,
    pub standing: Standing,
    /// When to look again, should nothing happen before.
    pub wake_at: Option<Timestamp>,
}

/// What to do now for a task that is to run. The same again until `members` shows that it is done
/// or under way.
pub fn next<'a>(members: &[Member<'a>], now: Timestamp) -> Step<'a> {
    let standing = standing(members);
    if standing == Standing::Over {
        return Step { actions: Vec::new(), standing, wake_at: None };
    }
    let mut actions = Vec::new();
    let mut wakes = Vec::new();
    for member in members {
        let name = member.spec.name.as_str();
        match &member.run {
            Run::Waiting => match readiness(member.spec, members, now) {
                Readiness::Ready => actions.push(Action::Start(name)),
                Readiness::Never(failure) => actions.push(Action::Fail(name, failure)),
                Readiness::Waits { wake_at } => wakes.extend(wake_at),
            },
            Run::Ended { .. } if member.restarts() => actions.push(Action::Restart(name)),
            Run::Running { .. } if !member.is_checking => match member.checks {
                Some(checks) if checks.due_at <= now => actions.push(Action::Check(name)),
                Some(checks) if checks.due_at < Timestamp::NEVER => wakes.push(checks.due_at),
                Some(_) | None => {}
            },
            Run::Starting | Run::Running { .. } | Run::Ended { .. } | Run::Restarting | Run::Failed => {}
        }
    }
    Step { actions, standing, wake_at: wakes.into_iter().min() }
}

fn standing(members: &[Member<'_>]) -> Standing {
    let is_essential_done = members.iter().any(|member| member.spec.essential && member.is_done());
    if is_essential_done || members.iter().all(Member::is_done) {
        Standing::Over
    } else if members.iter().any(|member| matches!(member.run, Run::Waiting | Run::Starting)) {
        Standing::Starting
    } else {
        Standing::Running
    }
}
