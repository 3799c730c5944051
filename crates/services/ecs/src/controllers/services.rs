//! Brings every service to where its owner wants it: as many tasks as are desired, of the revision
//! that is wanted, by way of its deployments; and tells in events what it does.
//!
//! [`scene`] is what one plan reads, [`draft`] what it changes, [`strategy`] decides which tasks start
//! and stop (or leaves that to `controllers/shift.rs`), [`members`] takes note of what became of
//! tasks, [`deployments`] of what became of deployments, [`ending`] lets go of what is over. Tasks
//! start in `api::member`, within the plan's transaction.
//!
//! Invariant: a plan of a service that stands still reads only records of that service and its tasks,
//! and writes none.

pub mod deployments;
pub mod draft;
mod ending;
mod members;
pub mod scene;
pub mod strategy;

use base::Timestamp;
use control::{Call, Controller, Plan, World};
use core_lifecycle::ContainerObservation;
use core_rollout::rolling::{Blocked, Start, Stop};
use service::Caller;
use store::Change;

use self::draft::Draft;
use self::scene::Scene;
use crate::api::member;
use crate::balancing::Balancing;
use crate::behaviour::events;
use crate::state::deployment::Deployment;
use crate::state::member::{Member, TaskTargets};
use crate::state::protection::TaskProtection;
use crate::state::rest::Rest;
use crate::state::service::{Service, ServiceId, ServiceStatus, State};
use crate::state::sleep::Sleep;
use crate::state::task::{Stage, Task, TaskId, TaskObserved, TaskStatus};

/// Tasks that start in one transaction.
const MOST_STARTED: usize = 50;
/// Tasks that are told to stop in one transaction.
const MOST_STOPPED: usize = 200;

/// The loop over services.
#[derive(Debug)]
pub struct Services {
    balancing: Balancing,
}

impl Services {
    pub fn of(balancing: Balancing) -> Services {
        Services { balancing }
    }
}

/// What a strategy decides for a service now.
#[derive(Debug, Default)]
pub struct Moves {
    pub start: Vec<Start>,
    pub stop: Vec<Stop>,
    pub wake_at: Option<Timestamp>,
    /// As many healthy tasks as are desired, and no other.
    pub is_steady: bool,
    pub blocked: Option<Blocked>,
}

impl Controller for Services {
    type Key = ServiceId;

    fn name(&self) -> &'static str {
        "ecs/services"
    }

    fn touched(&self, change: &Change) -> Vec<ServiceId> {
        touched(change).into_iter().collect()
    }

    fn plan(&self, key: &ServiceId, world: &World) -> Plan {
        // What ends now is nobody's failure, and comes back with the server.
        if world.get::<Rest>(&Rest::only()).is_some() {
            return Plan::default();
        }
        let Some(scene) = Scene::read(key, world) else { return Plan::default() };
        let mut draft = Draft::of(&scene, world);
        match scene.status.state {
            State::Inactive { since } => ending::retire(&scene, &mut draft, since, world),
            State::Active | State::Draining => {
                members::account(&scene, &mut draft, world.now);
                deployments::follow(&scene, &mut draft, world);
                // What a deployment has just become may change what every task is measured by.
                let moves = strategy::moves(&scene, &mut draft, &self.balancing, world);
                members::judge(&scene, &mut draft, world.now);
                carry_out(&scene, &mut draft, moves, world);
                draft.status.counts = scene.counts(&draft.stopped);
                deployments::settle(&scene, &mut draft, world);
                ending::drained(&scene, &mut draft, world.now);
            }
        }
        draft.finish()
    }
}

/// The service that a change concerns. Most of what is seen of tasks is none of its business.
fn touched(change: &Change) -> Option<ServiceId> {
    if let Some(service) = change.after::<Service>() {
        return Some(service.at.clone());
    }
    if let Some(status) = change.after::<ServiceStatus>() {
        let before = change.before::<ServiceStatus>()?;
        return (before.retry != status.retry).then(|| status.at.clone());
    }
    if let Some(deployment) = change.after::<Deployment>() {
        let before = change.before::<Deployment>();
        return before.is_none_or(|before| before.asked != deployment.asked).then(|| deployment.at.clone());
    }
    if let Some(member) = change.after::<Member>() {
        return change.before::<Member>().is_none().then(|| member.service.clone());
    }
    if let Some(sleep) = change.after::<Sleep>().or_else(|| change.before::<Sleep>()) {
        return Some(sleep.at.clone());
    }
    of_task(change)
}

fn of_task(change: &Change) -> Option<ServiceId> {
    if let Some(before) = change.before::<Task>() {
        let has_moved = change.after::<Task>().is_none_or(|after| after.goal != before.goal);
        return has_moved.then(|| of(&before.at, before.service.as_ref())).flatten();
    }
    if let Some(before) = change.before::<TaskStatus>() {
        let is_same = |after: &TaskStatus| {
            Stage::of(&before.state) == Stage::of(&after.state)
                && before.state.stopped_at() == after.state.stopped_at()
        };
        let has_moved = !change.after::<TaskStatus>().is_some_and(|after| is_same(&after));
        return has_moved.then(|| of(&before.at, before.service.as_ref())).flatten();
    }
    if let Some(after) = change.after::<TaskObserved>() {
        let told = |seen: &TaskObserved| seen.observation.containers.iter().map(told).collect::<Vec<_>>();
        let before = change.before::<TaskObserved>().map(|before| told(&before)).unwrap_or_default();
        return (told(&after) != before).then(|| of(&after.at, after.service.as_ref())).flatten();
    }
    if let Some(targets) = change.after::<TaskTargets>() {
        return of(&targets.at, Some(&targets.service));
    }
    let protection = change.after::<TaskProtection>().or_else(|| change.before::<TaskProtection>())?;
    of(&protection.at, protection.service.as_ref())
}

/// What a service wants to know of a container.
fn told(seen: &ContainerObservation) -> (Option<core_lifecycle::HealthStatus>, Option<String>) {
    (seen.health.as_ref().map(|health| health.status), seen.image_digest.clone())
}

fn of(task: &TaskId, service: Option<&String>) -> Option<ServiceId> {
    let TaskId { account, region, cluster, .. } = task.clone();
    Some(ServiceId { account, region, cluster, name: service?.clone() })
}

fn carry_out(scene: &Scene, draft: &mut Draft, moves: Moves, world: &World) {
    if let Some(at) = moves.wake_at {
        draft.plan.wake_by(at);
    }
    let is_moving = !moves.start.is_empty() || !moves.stop.is_empty();
    members::stop(scene, draft, moves.stop, world);
    start(scene, draft, moves.start, world.now);
    draft.is_steady = moves.is_steady;
    match moves.blocked {
        Some(Blocked::Throttled { until }) => {
            draft.plan.wake_by(until);
            draft.complain(events::cannot_start(&scene.service.at.name));
        }
        Some(Blocked::NoRoom) if !is_moving => draft.complain(events::no_room(&scene.service.at.name)),
        Some(Blocked::Protected) if !is_moving => {
            draft.complain(events::protected(&scene.service.at.name, &scene.service.revision));
        }
        Some(Blocked::NoRoom | Blocked::Protected) | None => {}
    }
}

/// Tasks start in the plan's transaction, where ids and addresses are.
fn start(scene: &Scene, draft: &mut Draft, mut starts: Vec<Start>, now: Timestamp) {
    let retry = scene.status.retry.as_ref().filter(|retry| now < retry.at);
    starts.retain(|start| retry.is_none_or(|retry| retry.revision != *start.revision));
    if let Some(retry) = retry {
        draft.plan.wake_by(retry.at);
    }
    // The commit touches the service again, which starts the rest.
    starts.truncate(MOST_STARTED);
    if starts.is_empty() {
        return;
    }
    if starts.iter().any(|start| start.is_rebalancing) {
        draft.tell(events::unbalanced(&scene.service.at.name, &scene.zones()));
    }
    let at = scene.service.at.clone();
    let caller = Caller::platform("ecs.amazonaws.com", at.account.clone(), at.region.clone());
    draft.plan.calls.push(Call::inside("StartMembers", caller, move |tx| member::start(tx, &at, &starts)));
}
