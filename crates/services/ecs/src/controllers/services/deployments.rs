//! What becomes of deployments.
//!
//! ```text
//!  Pending ──▶ InProgress ──done──▶ Successful
//!                  │ ──── failed, no way back ─▶ Stopped
//!                  │ failed, or stopped by a caller
//!                  ▼
//!         RollbackInProgress ──done──▶ RollbackSuccessful
//!
//!  RollbackFailed: there was nothing to go back to.      A newer deployment: Stopped, from any of them.
//! ```
//!
//! Strategies that shift traffic take their own way between InProgress and the end (`shift`).

use std::time::Duration;

use base::Timestamp;
use control::{World, Write};
use core_rollout::shift::Why;

use super::draft::Draft;
use super::ending;
use super::scene::Scene;
use crate::behaviour::events;
use crate::behaviour::traffic;
use crate::state::deployment::{Deployment, DeploymentState, Rollback, SUPERSEDED, StopType};
use crate::state::revision::Revision;
use crate::state::service::Strategy;

const STEADY_EVERY: Duration = Duration::from_secs(6 * 3600);
const TRIPPED_FOR_GOOD: &str =
    "Service deployment stopped because the circuit breaker threshold was exceeded.";
const STOPPED: &str = "Service deployment stopped by a user.";
const DELETED: &str = "Service deployment stopped because its service was deleted.";
const NO_WAY_BACK: &str = " There is no completed deployment to roll back to.";

/// Begins, stops and turns deployments, before it is decided what their tasks do.
pub fn follow(scene: &Scene, draft: &mut Draft, world: &World) {
    for overtaken in &scene.superseded {
        let mut overtaken = (**overtaken).clone();
        end(&mut overtaken, DeploymentState::Stopped, world.now);
        overtaken.reason = Some(String::from(SUPERSEDED));
        draft.plan.writes.push(Write::put(overtaken));
    }
    let is_deleted = draft.service.deleted_at.is_some();
    let Some(deployment) = draft.deployment.as_mut() else { return };
    if is_deleted {
        end(deployment, DeploymentState::Stopped, world.now);
        deployment.reason = Some(String::from(DELETED));
        return;
    }
    if deployment.state == DeploymentState::Pending {
        deployment.state = DeploymentState::InProgress;
        deployment.started_at = Some(world.now);
    }
    if deployment.settings.strategy != Strategy::Rolling
        || deployment.state == DeploymentState::RollbackInProgress
    {
        return;
    }
    if let Some(stop) = deployment.asked.stop {
        match stop {
            StopType::Abort => halt(draft, STOPPED, world.now),
            StopType::Rollback => roll_back(draft, Why::Stopped, world),
        }
    } else if is_tripped(deployment, draft.service.desired) {
        let rolls_back = deployment.settings.breaker.is_some_and(|breaker| breaker.rolls_back);
        let target = deployment.target.clone();
        deployment.breaker_tripped_at = Some(world.now);
        let message = events::failed(&scene.service.at.name, &target, "tasks failed to start");
        draft.tell(message);
        if rolls_back {
            roll_back(draft, Why::Failures, world)
        } else {
            halt(draft, TRIPPED_FOR_GOOD, world.now)
        }
    }
}

pub fn is_tripped(deployment: &Deployment, desired: u32) -> bool {
    let breaker = deployment.settings.breaker.filter(|breaker| breaker.is_enabled);
    breaker.is_some_and(|it| deployment.counted >= it.threshold.unwrap_or_default().failures(desired))
}

/// The deployment is over, and its service stays as it is.
fn halt(draft: &mut Draft, reason: &str, now: Timestamp) {
    let Some(deployment) = draft.deployment.as_mut() else { return };
    end(deployment, DeploymentState::Stopped, now);
    deployment.reason = Some(String::from(reason));
    draft.status.halted = Some(draft.service.revision.clone());
}

/// Goes back to the revision that was completed last.
fn roll_back(draft: &mut Draft, why: Why, world: &World) {
    let reason = traffic::reason(why);
    let Some(deployment) = draft.deployment.as_mut() else { return };
    let known = draft.status.completed.as_ref().filter(|completed| **completed != deployment.target);
    let back = known.and_then(|id| world.get::<Revision>(&Revision::key_of(&deployment.at, id)));
    deployment.rollback = Some(Rollback {
        reason: String::from(reason),
        started_at: world.now,
        revision: back.as_ref().map(|back| back.id.clone()),
    });
    let Some(back) = back else {
        end(deployment, DeploymentState::RollbackFailed, world.now);
        deployment.reason = Some(format!("{reason}{NO_WAY_BACK}"));
        draft.status.halted = Some(draft.service.revision.clone());
        return;
    };
    deployment.state = DeploymentState::RollbackInProgress;
    deployment.reason = Some(String::from(reason));
    draft.status.throttles.remove(&back.id);
    let message = events::rolling_back(&draft.service.at.name, &back.id);
    draft.turn_to(back);
    draft.tell(message);
}

/// The rolling deployment under way has brought what it should: what is left is to say so, after
/// bake time.
pub fn is_done(draft: &mut Draft, now: Timestamp) {
    let Some(deployment) = draft.deployment.as_mut().filter(|deployment| !deployment.state.is_over()) else {
        return;
    };
    let bake = Duration::from_secs(u64::from(deployment.settings.bake_minutes) * 60);
    if !bake.is_zero() && deployment.state != DeploymentState::RollbackInProgress {
        let until = *deployment.baking_since.get_or_insert(now) + bake;
        if now < until {
            draft.plan.wake_by(until);
            return;
        }
    }
    let state = match deployment.state {
        DeploymentState::RollbackInProgress => DeploymentState::RollbackSuccessful,
        DeploymentState::Pending
        | DeploymentState::InProgress
        | DeploymentState::StopRequested
        | DeploymentState::Stopped
        | DeploymentState::RollbackRequested
        | DeploymentState::RollbackSuccessful
        | DeploymentState::RollbackFailed
        | DeploymentState::Successful => DeploymentState::Successful,
    };
    end(deployment, state, now);
    complete(draft);
}

/// The service's revision is the one to go back to from now on.
pub fn complete(draft: &mut Draft) {
    let revision = draft.service.revision.clone();
    draft.tell(events::completed(&draft.service.at.name, &revision));
    draft.status.completed = Some(revision);
    draft.status.halted = None;
    draft.status.complaint = None;
}

/// Says what a deployment ends as.
pub fn end(deployment: &mut Deployment, state: DeploymentState, now: Timestamp) {
    deployment.state = state;
    deployment.finished_at = Some(now);
    deployment.updated_at = now;
}

/// Says that a service is steady, once nothing is under way any more; and forgets what is old.
pub fn settle(scene: &Scene, draft: &mut Draft, world: &World) {
    let is_under_way = draft.deployment.as_ref().is_some_and(|deployment| !deployment.state.is_over());
    let before = scene.deployment.as_ref().map(|deployment| deployment.state);
    if draft.deployment.as_ref().map(|deployment| deployment.state) != before {
        ending::prune(scene, draft, world);
    }
    let is_steady = draft.is_steady && !is_under_way && scene.service.deleted_at.is_none();
    if !is_steady {
        draft.status.steady_told_at = None;
        return;
    }
    let told_at = draft.status.steady_told_at;
    // AWS: a service that stays steady says so again every six hours.
    if told_at.is_none_or(|at| world.now >= at + STEADY_EVERY) {
        draft.status.complaint = None;
        draft.tell(events::steady(&scene.service.at.name));
        draft.status.steady_told_at = Some(world.now);
    }
    draft.plan.wake_by(draft.status.steady_told_at.unwrap_or(world.now) + STEADY_EVERY);
}
