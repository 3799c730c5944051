//! What became of a service's tasks: ends, first successes, what is told of them, and stops.

use std::collections::BTreeMap;

use base::Timestamp;
use control::{World, Write};
use core_lifecycle::{Goal, StopCode};
use core_rollout::Stage;
use core_rollout::health::{Cause, Verdict, verdict};
use core_rollout::rolling::{Stop, Why};

use super::draft::Draft;
use super::scene::Scene;
use super::{MOST_STOPPED, strategy};
use crate::behaviour::events::{self, reason};
use crate::behaviour::members::Seen;
use crate::state::member::Standing;
use crate::state::task::Task;

/// Takes ends into account, and what tasks have reached for the first time.
pub fn account(scene: &Scene, draft: &mut Draft, now: Timestamp) {
    scene.orphans.iter().for_each(|orphan| draft.forget(orphan));
    for seen in &scene.members {
        if !seen.member.is_accounted && seen.status.state.stop_cause().is_some() {
            end(seen, draft, now);
        }
        if seen.status.state.milestones().running_at.is_some() && !seen.member.has_run {
            draft.member(seen).has_run = true;
            if draft.status.throttles.remove(&seen.member.revision).is_some() {
                draft.status.complaint = None;
            }
        }
        find_digests(seen, draft);
        if seen.status.state.stopped_at().is_some() {
            draft.forget(&seen.member);
        }
    }
    tell_of_targets(scene, draft);
}

/// Why a task ended, once.
fn end(seen: &Seen, draft: &mut Draft, now: Timestamp) {
    draft.member(seen).is_accounted = true;
    let has_failed = match seen.status.state.stop_cause().map(|stop| stop.code) {
        Some(StopCode::TaskFailedToStart | StopCode::EssentialContainerExited) => true,
        Some(
            StopCode::UserInitiated
            | StopCode::ServiceSchedulerInitiated
            | StopCode::SpotInterruption
            | StopCode::TerminationNotice,
        )
        | None => false,
    };
    if !has_failed {
        return;
    }
    // AWS: only tasks that never reached RUNNING come ever more slowly.
    if seen.status.state.milestones().running_at.is_none() {
        let throttle = draft.status.throttles.entry(seen.member.revision.clone()).or_default();
        *throttle = throttle.after_failure(now);
    }
    if seen.member.healthy_at.is_none() {
        count_failure(seen, draft);
    }
}

fn count_failure(seen: &Seen, draft: &mut Draft) {
    let Some(deployment) = draft.deployment.as_mut() else { return };
    if deployment.target == seen.member.revision && !deployment.state.is_over() {
        deployment.failed = deployment.failed.saturating_add(1);
        deployment.counted = deployment.counted.saturating_add(1);
    }
}

/// AWS: version consistency. What the first task of a revision has found is what later ones run.
fn find_digests(seen: &Seen, draft: &mut Draft) {
    if seen.member.revision != draft.current.id || draft.current.digests.len() == seen.task.containers.len() {
        return;
    }
    for container in seen.observed.iter().flat_map(|observed| &observed.observation.containers) {
        if let Some(digest) = &container.image_digest
            && !draft.current.digests.contains_key(&container.name)
        {
            draft.current.digests.insert(container.name.clone(), digest.clone());
        }
    }
}

/// What balancers were told of tasks, as few sentences as there are groups.
fn tell_of_targets(scene: &Scene, draft: &mut Draft) {
    let name = scene.service.at.name.clone();
    let (mut registered, mut refused) = (BTreeMap::<String, usize>::new(), Vec::new());
    let (mut left, mut draining) = (BTreeMap::<String, usize>::new(), BTreeMap::<String, usize>::new());
    for seen in &scene.members {
        let Some(targets) = seen.targets.as_ref().filter(|targets| !targets.targets.is_empty()) else {
            continue;
        };
        if !seen.member.is_told_registered {
            draft.member(seen).is_told_registered = true;
            for target in &targets.targets {
                match (&target.reason, target.state) {
                    (Some(error), Standing::Gone) => refused.push((target.group.clone(), error.clone())),
                    _ => *registered.entry(target.group.clone()).or_default() += 1,
                }
            }
        }
        if targets.is_leaving && !seen.member.is_told_leaving {
            draft.member(seen).is_told_leaving = true;
            *draining.entry(seen.member.revision.clone()).or_default() += 1;
            for target in &targets.targets {
                *left.entry(target.group.clone()).or_default() += 1;
            }
        }
    }
    refused.sort_unstable();
    refused.dedup();
    registered.iter().for_each(|(group, count)| draft.tell(events::registered(&name, *count, group)));
    refused.iter().for_each(|(group, error)| draft.tell(events::not_registered(&name, group, error)));
    draining.iter().for_each(|(revision, count)| draft.tell(events::draining(&name, revision, *count)));
    left.iter().for_each(|(group, count)| draft.tell(events::deregistered(&name, *count, group)));
}

/// Takes note of tasks that are healthy for the first time, and tells of those that are not.
pub fn judge(scene: &Scene, draft: &mut Draft, now: Timestamp) {
    let rules = strategy::rules(scene);
    for (seen, view) in
        scene.members.iter().zip(&scene.views).filter(|(_, view)| view.stage == Stage::Running)
    {
        match verdict(view, rules, now) {
            Verdict::Healthy if seen.member.healthy_at.is_none() => {
                draft.member(seen).healthy_at = Some(now);
                first_healthy(seen, draft);
            }
            Verdict::Unhealthy(cause) if !seen.member.is_told_unhealthy => {
                draft.member(seen).is_told_unhealthy = true;
                let message = unhealthy(&scene.service.at.name, seen, cause);
                draft.tell(message);
            }
            Verdict::Healthy | Verdict::Unhealthy(_) | Verdict::Waiting { .. } => {}
        }
    }
}

fn first_healthy(seen: &Seen, draft: &mut Draft) {
    let Some(deployment) = draft.deployment.as_mut() else { return };
    let resets = deployment.settings.breaker.is_some_and(|breaker| breaker.resets);
    if resets && deployment.target == seen.member.revision {
        deployment.counted = 0;
    }
}

fn unhealthy(name: &str, seen: &Seen, cause: Cause) -> String {
    let target = match cause {
        Cause::Container => None,
        Cause::Target(nth) => seen.targets.as_ref().and_then(|targets| targets.targets.get(nth)),
    };
    match target {
        None => events::unhealthy_containers(name, &seen.task.at.id),
        Some(target) => events::unhealthy_target(name, target.port, &target.group, target.reason.as_deref()),
    }
}

/// Tells tasks to stop, and why.
pub fn stop(scene: &Scene, draft: &mut Draft, stops: Vec<Stop>, world: &World) {
    let (mut ids, mut balanced) = (Vec::new(), BTreeMap::<String, Vec<String>>::new());
    for stop in stops.into_iter().take(MOST_STOPPED) {
        let Some(nth) = scene.views.iter().position(|view| view.id == stop.task) else { continue };
        let seen = &scene.members[nth];
        if seen.is_told_to_stop() {
            continue;
        }
        if let Why::Unhealthy(_) = stop.why
            && !seen.member.is_accounted
        {
            draft.member(seen).is_accounted = true;
            count_failure(seen, draft);
        }
        let goal = Goal::Stopped {
            code: StopCode::ServiceSchedulerInitiated,
            reason: why(seen, stop.why, &draft.service.revision),
        };
        // It is written whole: nobody else may have written it meanwhile.
        let Some(task) = world.get::<Task>(&seen.task.at.key()) else { continue };
        draft.plan.writes.push(Write::put(Task { goal, ..(*task).clone() }));
        let id = seen.task.at.id.clone();
        match stop.why {
            Why::Rebalanced => balanced.entry(seen.task.zone.clone()).or_default().push(id),
            Why::Replaced | Why::ScaledIn | Why::Unhealthy(_) => ids.push(id),
        }
        draft.stopped.insert(stop.task);
    }
    if !ids.is_empty() {
        draft.tell(events::stopped(&scene.service.at.name, &ids));
    }
    for (zone, ids) in &balanced {
        draft.tell(events::stopped_to_balance(&scene.service.at.name, zone, ids));
    }
}

fn why(seen: &Seen, why: Why, revision: &str) -> String {
    match why {
        Why::Replaced | Why::ScaledIn | Why::Rebalanced => reason::scaling(revision),
        Why::Unhealthy(Cause::Container) => reason::containers(),
        Why::Unhealthy(Cause::Target(nth)) => {
            let target = seen.targets.as_ref().and_then(|targets| targets.targets.get(nth));
            target.map_or_else(reason::containers, |target| reason::target(&target.group))
        }
    }
}
