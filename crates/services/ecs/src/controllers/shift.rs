//! Deployments that shift traffic: blue/green, linear, canary.
//!
//! [`moves`] is asked by the loop over services for as long as such a deployment is under way. It
//! decides what starts and stops, changes `draft.deployment` (its `shift` and state), and adds the
//! calls that move weights to `draft.plan.calls`.
//!
//! Invariant: weights change in the transaction that says so, and the rest of a rule stays as it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_elbv2::{self as elb, op};
use base::{Fault, Timestamp};
use control::{Call, World};
use core_rollout::Stage as TaskStage;
use core_rollout::health::{Verdict, verdict};
use core_rollout::shift::{
    Back, Goal, Heard, HookState, Outcome, Pace, Pause, Shift, Stage, Step, Throttles, Weights, Why, step,
};
use core_routing::Forwarding;
use service::{Caller, Tx};
use store::{Key, Record};

use super::services::draft::Draft;
use super::services::scene::Scene;
use super::services::{Moves, deployments, strategy};
use crate::balancing::Balancing;
use crate::behaviour::events;
use crate::behaviour::traffic::{self, Wanted, told};
use crate::state::deployment::{Deployment, DeploymentState, Rollback};
use crate::state::revision::Revision;
use crate::state::service::{DeploymentSettings, Strategy};

/// Rules are looked at so often while a deployment is under way: nothing tells of their changes.
const WATCHES: Duration = Duration::from_secs(10);
/// AWS: of a hook that does not say.
const TIMEOUT_MINUTES: u32 = 1440;

pub fn moves(scene: &Scene, draft: &mut Draft, balancing: &Balancing, world: &World) -> Moves {
    let Some(mut deployment) = draft.deployment.clone() else { return Moves::default() };
    let is_new = deployment.shift.is_none();
    let before = match deployment.shift.take() {
        Some(shift) => shift,
        None => begin(scene, draft, &deployment, world),
    };
    let missing = missing(balancing, &draft.current, world);
    let goal = goal(scene, draft, &deployment.settings);
    let heard = Heard {
        is_stopped: deployment.asked.stop.is_some(),
        answers: Some(&deployment.asked.hooks),
        is_tripped: deployments::is_tripped(&deployment, draft.service.desired),
        is_broken: missing.is_some(),
    };
    let throttle = |revision: &str| strategy::throttle(&draft.status, revision);
    let throttles = Throttles {
        target: throttle(&deployment.target),
        source: before.source.as_deref().map(throttle).unwrap_or_default(),
    };
    let mut chance = world.chance("pauses");
    let step = step(&goal, &before, &heard, &scene.views, throttles, world.now, &mut chance);
    tell(draft, &deployment.target, &before, &step.shift);
    if let (None, Some(back)) = (before.back, step.shift.back) {
        if let Some(what) = missing.filter(|_| back.why == Why::Broken) {
            draft.tell(told::gone(&deployment.at.name, &what));
        }
        turn(draft, &mut deployment, &step.shift, back);
    }
    let has_moved = is_new || before.weights != step.shift.weights;
    weigh(draft, &deployment, &step.shift, has_moved, balancing, world);
    deployment.shift = Some(step.shift.clone());
    draft.deployment = Some(deployment);
    match step.outcome {
        Some(outcome) => finish(scene, draft, outcome, world),
        None => going(draft, step, world.now),
    }
}

/// Where the tasks of a rolling deployment go: to the groups that have the traffic. What it has
/// overtaken may have left traffic on both sides.
pub fn stay(draft: &mut Draft, balancing: &Balancing, world: &World) {
    let Some(deployment) = draft.deployment.clone() else { return };
    // That is settled where it begins.
    if deployment.started_at != Some(world.now) || !traffic::has_two_groups(&draft.current.balancers) {
        return;
    }
    let overtaken = overtaken(&deployment, world);
    // One that was as good as done: its source is on its way out.
    let done = overtaken.as_ref().filter(|(_, shift)| shift.back.is_none() && shift.stage == Stage::CleanUp);
    if let Some((done, _)) = done {
        draft.status.completed = Some(done.target.clone());
    }
    // The revision that is kept up until the new one is there.
    let kept = draft.status.completed.as_deref().filter(|completed| *completed != deployment.target);
    let kept = kept.and_then(|id| world.get::<Revision>(&Revision::key_of(&deployment.at, id)));
    let side = kept.map(|kept| kept.is_alternate);
    let Some((_, shift)) = overtaken else {
        draft.current.is_alternate = side.unwrap_or(draft.current.is_alternate);
        return;
    };
    draft.current.is_alternate = side.unwrap_or(shift.is_swapped);
    let all = Weights { production: 100.0, test: 100.0 };
    let after = Shift { weights: all, is_swapped: draft.current.is_alternate, ..shift };
    weigh(draft, &deployment, &after, true, balancing, world);
}

/// The deployment that this one has overtaken, if it shifted traffic, and how far it had come.
fn overtaken(deployment: &Deployment, world: &World) -> Option<(Arc<Deployment>, Shift)> {
    let mut others: Vec<_> = world.scan::<Deployment>(&deployment.at.key()).collect();
    // One that had not begun has changed nothing.
    others.retain(|other| other.id != deployment.id && other.started_at.is_some());
    let before = others.into_iter().max_by_key(|other| other.created_at)?;
    let shift = before.shift.clone().filter(|_| before.state == DeploymentState::Stopped)?;
    Some((before, shift))
}

fn going(draft: &mut Draft, step: Step, now: Timestamp) -> Moves {
    if !draft.current.balancers.is_empty() {
        draft.plan.wake_by(now + WATCHES);
    }
    let Step { start, stop, wake_at, blocked, .. } = step;
    Moves { start, stop, wake_at, is_steady: false, blocked }
}

/// The first state: whose traffic is shifted, and which groups the target's tasks go to.
fn begin(scene: &Scene, draft: &mut Draft, deployment: &Deployment, world: &World) -> Shift {
    let source = source(scene, draft, deployment, world);
    let of = |id: &str| world.get::<Revision>(&Revision::key_of(&deployment.at, id));
    let source = source.filter(|id| of(id).is_some());
    let is_alternate = source.as_deref().and_then(of).is_some_and(|revision| revision.is_alternate);
    let is_swapped = source.is_some() && !is_alternate && traffic::has_two_groups(&draft.current.balancers);
    draft.current.is_alternate = is_swapped;
    let is_other = |revision: &str| revision != deployment.target && source.as_deref() != Some(revision);
    let mut live = scene.views.iter().filter(|view| view.stage != TaskStage::Leaving);
    let has_others = live.any(|view| is_other(&view.revision));
    Shift::begin(source, is_swapped, has_others, world.now)
}

/// The revision that has the traffic: where the deployment before was overtaken, the one that it had
/// brought most of the traffic to; else the one with the most healthy tasks, or the last that was
/// completed.
fn source(scene: &Scene, draft: &Draft, deployment: &Deployment, world: &World) -> Option<String> {
    if let Some((overtaken, shift)) = overtaken(deployment, world) {
        return shift.heir(&overtaken.target).0;
    }
    let completed = draft.status.completed.as_deref().filter(|completed| *completed != deployment.target);
    let mut healthy = BTreeMap::<&str, usize>::new();
    for view in scene.views.iter().filter(|view| *view.revision != *deployment.target) {
        if verdict(view, strategy::rules(scene), world.now) == Verdict::Healthy {
            *healthy.entry(&*view.revision).or_default() += 1;
        }
    }
    let most = healthy.into_iter().max_by_key(|(revision, count)| (*count, completed == Some(*revision)));
    most.map(|(revision, _)| revision).or(completed).map(String::from)
}

fn goal(scene: &Scene, draft: &Draft, settings: &DeploymentSettings) -> Goal {
    let minutes = |minutes: u32| Duration::from_secs(u64::from(minutes) * 60);
    let pace = match settings.strategy {
        Strategy::Rolling | Strategy::BlueGreen => Pace::AllAtOnce,
        Strategy::Linear { step_percent, bake_minutes } => {
            Pace::Linear { percent: step_percent, bake: minutes(bake_minutes) }
        }
        Strategy::Canary { percent, bake_minutes } => Pace::Canary { percent, bake: minutes(bake_minutes) },
    };
    let pauses = settings.hooks.iter().map(|hook| Pause {
        stages: hook.stages.clone(),
        timeout: minutes(hook.timeout_minutes.unwrap_or(TIMEOUT_MINUTES)),
        continues: hook.continues,
    });
    Goal {
        set: strategy::goal(scene, draft),
        pace,
        bake: minutes(settings.bake_minutes),
        pauses: pauses.collect(),
        has_test: traffic::has_test(&draft.current.balancers),
    }
}

/// A listener, rule or group that traffic would move by, and that is not there.
fn missing(balancing: &Balancing, revision: &Revision, world: &World) -> Option<String> {
    let records = world.peek();
    let wanted = traffic::wanted(&revision.balancers, Weights::default(), true);
    wanted.into_iter().find_map(|Wanted { rule, target, source, .. }| {
        if (balancing.forwarding)(records, &rule).is_none() {
            return Some(format!("rule {rule}"));
        }
        let group = [target, source].into_iter().find(|group| !(balancing.has_group)(records, group))?;
        Some(format!("target-group {group}"))
    })
}

fn tell(draft: &mut Draft, target: &str, before: &Shift, after: &Shift) {
    let name = draft.service.at.name.clone();
    let (old, new) = (before.weights, after.weights);
    if old.test != new.test {
        draft.tell(told::shifted(&name, target, "test", new.test));
    }
    if old.production != new.production {
        draft.tell(told::shifted(&name, target, "production", new.production));
    }
    for hook in after.hooks.iter().skip(before.hooks.len()).filter(|hook| hook.state == HookState::Awaiting) {
        draft.tell(told::paused(&name, target, hook.stage, &hook.id));
    }
}

/// The deployment goes back from now on.
fn turn(draft: &mut Draft, deployment: &mut Deployment, shift: &Shift, back: Back) {
    let name = deployment.at.name.clone();
    if back.why == Why::Failures {
        deployment.breaker_tripped_at = Some(back.since);
        draft.tell(events::failed(&name, &deployment.target, "tasks failed to start"));
    }
    let reason = String::from(traffic::reason(back.why));
    deployment.state = DeploymentState::RollbackInProgress;
    deployment.reason = Some(reason.clone());
    deployment.rollback = Some(Rollback { reason, started_at: back.since, revision: shift.source.clone() });
    if let Some(source) = &shift.source {
        draft.status.throttles.remove(source);
        draft.tell(events::rolling_back(&name, source));
    }
}

fn finish(scene: &Scene, draft: &mut Draft, outcome: Outcome, world: &World) -> Moves {
    let Some(mut deployment) = draft.deployment.take() else { return Moves::default() };
    let state = match outcome {
        Outcome::Done => DeploymentState::Successful,
        Outcome::RolledBack => DeploymentState::RollbackSuccessful,
        Outcome::Failed => DeploymentState::RollbackFailed,
    };
    deployments::end(&mut deployment, state, world.now);
    let source = deployment.shift.as_ref().and_then(|shift| shift.source.clone());
    let source = source.and_then(|id| world.get::<Revision>(&Revision::key_of(&deployment.at, &id)));
    let target = deployment.target.clone();
    draft.deployment = Some(deployment);
    match (outcome, source) {
        (Outcome::Done, _) => deployments::complete(draft),
        (Outcome::RolledBack, Some(source)) => {
            draft.turn_to(source);
            deployments::complete(draft);
        }
        (Outcome::Failed, Some(source)) => draft.turn_to(source),
        (Outcome::RolledBack | Outcome::Failed, None) => draft.status.halted = Some(target),
    }
    strategy::rolling(scene, draft, world)
}

/// Has every rule say what the weights are.
fn weigh(
    draft: &mut Draft,
    deployment: &Deployment,
    shift: &Shift,
    has_moved: bool,
    balancing: &Balancing,
    world: &World,
) {
    let balancing = *balancing;
    for wanted in traffic::wanted(&draft.current.balancers, shift.weights, shift.is_swapped) {
        let Some(now) = (balancing.forwarding)(world.peek(), &wanted.rule) else { continue };
        if wanted.change(&now).is_none() {
            continue;
        }
        if !has_moved {
            draft.tell(told::set_again(&deployment.at.name, &wanted.rule));
        }
        let at = &deployment.at;
        let caller = Caller::platform("ecs.amazonaws.com", at.account.clone(), at.region.clone());
        let caller = match &wanted.role {
            Some(role) => caller.with_role(role, "ecs-service-deployment"),
            None => caller,
        };
        let key = deployment.key();
        let work = move |tx: &mut Tx<'_>| set(tx, balancing, &key, &wanted);
        draft.plan.calls.push(Call::inside("ShiftTraffic", caller, work));
    }
}

/// Sets one rule's weights. A refusal turns the deployment back: it is no fault of the plan.
fn set(tx: &mut Tx<'_>, balancing: Balancing, deployment: &Key, wanted: &Wanted) -> Result<(), Fault> {
    let Some(now) = (balancing.forwarding)(tx, &wanted.rule) else { return Ok(()) };
    let Some(groups) = wanted.change(&now) else { return Ok(()) };
    let Err(refusal) = modify(tx, &now, groups) else { return Ok(()) };
    let Some(found) = tx.get::<Deployment>(deployment) else { return Ok(()) };
    let mut changed = Deployment::clone(&found);
    let Some(shift) = changed.shift.as_mut().filter(|shift| shift.back.is_none()) else { return Ok(()) };
    shift.turn_back(Why::Broken, tx.now);
    let revision = shift.source.clone();
    let reason = format!("{} ({})", traffic::reason(Why::Broken), refusal.message);
    changed.state = DeploymentState::RollbackInProgress;
    changed.reason = Some(reason.clone());
    changed.rollback = Some(Rollback { reason, started_at: tx.now, revision });
    tx.put(changed);
    Ok(())
}

fn modify(tx: &mut Tx<'_>, now: &Forwarding, groups: Vec<(Arc<str>, u32)>) -> Result<(), Fault> {
    let action = traffic::action(now, groups);
    match &now.rule {
        Some(rule) => {
            let rule_arn = String::from(&**rule);
            let request =
                elb::ModifyRuleInput { rule_arn, actions: Some(vec![action]), ..Default::default() };
            tx.call::<op::ModifyRule>(request).map(drop)
        }
        None => {
            let listener_arn = String::from(&*now.listener);
            let default_actions = Some(vec![action]);
            let request = elb::ModifyListenerInput { listener_arn, default_actions, ..Default::default() };
            tx.call::<op::ModifyListener>(request).map(drop)
        }
    }
}
