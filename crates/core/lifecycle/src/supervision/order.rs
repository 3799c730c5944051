//! In which order containers start and stop.

use std::time::Duration;

use base::Timestamp;

use super::step::{Member, Run};
use super::{Condition, HealthCheck};
use crate::assignment::ContainerSpec;
use crate::observation::{Failure, HealthStatus};

/// AWS: a dependency without a start timeout is waited for this long.
const LONGEST_WAIT: Duration = Duration::from_secs(3 * 60 * 60);

/// Whether a container may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    /// Not yet. By `wake_at`, if anything, time alone changes that.
    Waits {
        wake_at: Option<Timestamp>,
    },
    Never(Failure),
}

/// Everything that `spec` depends on, `dependsOn` or not.
pub(super) fn dependencies(spec: &ContainerSpec) -> impl Iterator<Item = (&str, Condition)> {
    let named = spec.depends_on.iter().map(|d| (d.container.as_str(), d.condition));
    let linked = spec.names.links.iter().map(|link| (link.container.as_str(), Condition::Start));
    let mounted = spec.volumes_from.iter().map(|from| (from.container.as_str(), Condition::Start));
    named.chain(linked).chain(mounted)
}

pub(super) fn readiness(target: &ContainerSpec, members: &[Member<'_>], now: Timestamp) -> Readiness {
    let mut waits = false;
    let mut wake_at: Option<Timestamp> = None;
    for (name, condition) in dependencies(target) {
        let Some(dependency) = members.iter().find(|member| member.spec.name == name) else {
            return Readiness::Never(failure(name, target, "does not exist."));
        };
        match meets(dependency, condition, now) {
            Met::Yes => {}
            Met::NotYet(by) => {
                waits = true;
                wake_at = wake_at.into_iter().chain(by).min();
            }
            Met::TimedOut => return Readiness::Never(failure(name, target, "has timed out.")),
            Met::Never if condition == Condition::Success => {
                return Readiness::Never(unresolved(
                    name,
                    target,
                    " as dependency did not exit successfully.",
                ));
            }
            Met::Never => return Readiness::Never(unresolved(name, target, "")),
        }
    }
    if waits { Readiness::Waits { wake_at } } else { Readiness::Ready }
}

enum Met {
    Yes,
    NotYet(Option<Timestamp>),
    TimedOut,
    Never,
}

fn meets(dependency: &Member<'_>, condition: Condition, now: Timestamp) -> Met {
    match (&dependency.run, condition) {
        (Run::Waiting | Run::Starting, _) => Met::NotYet(None),
        // A container that could not be started has no exit to speak of.
        (Run::Failed, _) => Met::Never,
        (Run::Restarting | Run::Running { .. } | Run::Ended { .. }, Condition::Start) => Met::Yes,
        (Run::Restarting, _) => Met::NotYet(None),
        (Run::Running { started_at }, Condition::Complete | Condition::Success) => {
            in_time(dependency.spec, *started_at, now)
        }
        (Run::Running { started_at }, Condition::Healthy) => {
            match (&dependency.spec.health_check, dependency.checks) {
                (None, _) => Met::Never,
                (Some(_), Some(checks)) if checks.status == HealthStatus::Healthy => Met::Yes,
                // AWS: an unhealthy container may still recover; only its start timeout ends the wait.
                (Some(HealthCheck { .. }), _) => in_time(dependency.spec, *started_at, now),
            }
        }
        (Run::Ended { .. }, _) if dependency.restarts() => Met::NotYet(None),
        (Run::Ended { .. }, Condition::Complete) => Met::Yes,
        (Run::Ended { exit, .. }, Condition::Success) if exit.code == 0 => Met::Yes,
        (Run::Ended { .. }, Condition::Success | Condition::Healthy) => Met::Never,
    }
}

/// AWS: the start timeout is the dependency's, and counts from its start.
fn in_time(dependency: &ContainerSpec, started_at: Timestamp, now: Timestamp) -> Met {
    let until = started_at + dependency.start_timeout.unwrap_or(LONGEST_WAIT);
    if now < until { Met::NotYet(Some(until)) } else { Met::TimedOut }
}

fn failure(dependency: &str, target: &ContainerSpec, what: &str) -> Failure {
    let name = &target.name;
    cannot_start(format!(
        "dependency graph: container ordering dependency [{dependency}] for target [{name}] {what}"
    ))
}

fn unresolved(dependency: &str, target: &ContainerSpec, why: &str) -> Failure {
    let (name, article) = (&target.name, if why.is_empty() { "the " } else { "" });
    cannot_start(format!(
        "dependency graph: failed to resolve {article}container ordering dependency [{dependency}] for target \
         [{name}]{why}"
    ))
}

/// AWS: the class and the words of the ECS agent.
fn cannot_start(message: String) -> Failure {
    Failure { class: String::from("CannotStartContainerError"), message }
}

/// Containers of a task on its way out that may be told to end now: nothing that depends on them
/// runs any more. Answers them again until they have ended.
pub fn stoppable<'a>(members: &[Member<'a>]) -> Vec<&'a str> {
    let is_alive = |member: &&Member<'_>| match &member.run {
        Run::Running { .. } | Run::Starting | Run::Restarting => true,
        Run::Waiting | Run::Ended { .. } | Run::Failed => false,
    };
    let is_needed = |name: &str| {
        let others = members.iter().filter(|member| member.spec.name != name);
        others.filter(is_alive).any(|member| dependencies(member.spec).any(|(needed, _)| needed == name))
    };
    let running = || members.iter().filter(|member| matches!(member.run, Run::Running { .. }));
    let free: Vec<&str> = running().map(|m| m.spec.name.as_str()).filter(|name| !is_needed(name)).collect();
    let has_alive_starts = members.iter().any(|m| matches!(m.run, Run::Starting | Run::Restarting));
    if free.is_empty() && !has_alive_starts {
        // A circle: registration refuses it, and it shall keep nothing alive.
        return running().map(|m| m.spec.name.as_str()).collect();
    }
    free
}
