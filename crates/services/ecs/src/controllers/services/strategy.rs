//! Which tasks start and stop: by the strategy of the deployment under way, or rolling where none is.

use std::sync::Arc;
use std::time::Duration;

use control::World;
use core_rollout::completion::{self, Criteria};
use core_rollout::health::Rules;
use core_rollout::rolling::{self, Goal, Kept, SETTLES, Stop, Why};
use core_rollout::throttle::Throttle;
use core_rollout::{Stage, TaskView};

use super::draft::Draft;
use super::scene::Scene;
use super::{Moves, deployments};
use crate::balancing::Balancing;
use crate::behaviour::wake;
use crate::controllers::shift;
use crate::state::deployment::DeploymentState;
use crate::state::service::{ServiceStatus, Strategy};

/// How health is judged.
pub fn rules(scene: &Scene) -> Rules {
    Rules { grace: Duration::from_secs(u64::from(scene.service.grace_seconds)), settles: SETTLES }
}

pub fn moves(scene: &Scene, draft: &mut Draft, balancing: &Balancing, world: &World) -> Moves {
    if scene.service.deleted_at.is_some() {
        return all_stop(scene);
    }
    let under_way = draft.deployment.as_ref().filter(|deployment| !deployment.state.is_over());
    match under_way.map_or(Strategy::Rolling, |deployment| deployment.settings.strategy) {
        Strategy::Rolling => {
            shift::stay(draft, balancing, world);
            rolling(scene, draft, world)
        }
        Strategy::BlueGreen | Strategy::Linear { .. } | Strategy::Canary { .. } => {
            shift::moves(scene, draft, balancing, world)
        }
    }
}

/// Of a service that was deleted. AWS: protection does not keep its tasks.
fn all_stop(scene: &Scene) -> Moves {
    let live = scene.views.iter().filter(|view| view.stage != Stage::Leaving);
    let stop = live.map(|view| Stop { task: view.id.clone(), why: Why::ScaledIn });
    Moves { stop: stop.collect(), ..Moves::default() }
}

pub fn rolling(scene: &Scene, draft: &mut Draft, world: &World) -> Moves {
    let goal = goal(scene, draft);
    let throttle = throttle(&draft.status, &goal.current);
    let step = rolling::step(&goal, &scene.views, &throttle, world.now);
    if is_done(&goal, draft, &scene.views, world) {
        deployments::is_done(draft, world.now);
    }
    Moves {
        start: step.start,
        stop: step.stop,
        wake_at: step.wake_at,
        is_steady: step.is_steady,
        blocked: step.blocked,
    }
}

/// What a rolling update, or a service at rest, goes to.
pub fn goal(scene: &Scene, draft: &Draft) -> Goal {
    let (service, status) = (&draft.service, &draft.status);
    let revision = &service.revision;
    let under_way = draft.deployment.as_ref().filter(|deployment| !deployment.state.is_over());
    let is_rolling_back = under_way.is_some_and(|it| it.state == DeploymentState::RollbackInProgress);
    let kept = status.completed.as_ref().filter(|completed| *completed != revision && !is_rolling_back);
    Goal {
        desired: wake::effective(service.desired, scene.is_asleep),
        minimum_percent: service.deployment.minimum_percent,
        maximum_percent: service.deployment.maximum_percent,
        current: Arc::from(revision.as_str()),
        rules: rules(scene),
        zones: draft.current.zones.iter().map(|zone| Arc::from(zone.as_str())).collect(),
        is_rebalanced: service.is_rebalanced,
        kept: kept.map(|kept| Kept { revision: Arc::from(kept.as_str()), throttle: throttle(status, kept) }),
        is_halted: status.halted.as_ref() == Some(revision),
    }
}

pub fn throttle(status: &ServiceStatus, revision: &str) -> Throttle {
    status.throttles.get(revision).copied().unwrap_or_default()
}

/// Whether the rolling deployment under way has brought what it should.
fn is_done(goal: &Goal, draft: &Draft, tasks: &[TaskView], world: &World) -> bool {
    let Some(deployment) = draft.deployment.as_ref().filter(|it| !it.state.is_over()) else { return false };
    let early = deployment.settings.early.filter(|_| deployment.state != DeploymentState::RollbackInProgress);
    let criteria = early.map_or_else(Criteria::default, |early| {
        Criteria::early(early.healthy_percent.unwrap_or(100), early.is_blocking)
    });
    completion::is_done(goal, criteria, tasks, world.now)
}
