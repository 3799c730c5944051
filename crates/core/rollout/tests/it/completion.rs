use core_rollout::completion::{Criteria, is_done};
use core_rollout::{Stage, TargetState};

use crate::world::World;

/// A deployment of ten tasks: so many are healthy, and this is how one of the tasks before stands.
fn check(criteria: Criteria, healthy: usize, older: Option<(Stage, TargetState)>, expected: bool) {
    let mut world = World::new(10, 50, 200);
    world.act();
    world.deploy("v2", true);
    world.act();
    for task in world.tasks.iter_mut().filter(|task| &*task.revision == "v2").take(healthy) {
        task.stage = Stage::Running;
        task.running_at = Some(world.now);
        task.targets[0].state = TargetState::Healthy;
    }
    let mut left = older;
    world.tasks.retain_mut(|task| {
        if &*task.revision == "v2" {
            return true;
        }
        let Some((stage, state)) = left.take() else { return false };
        task.stage = stage;
        task.targets[0].state = state;
        true
    });
    let found = is_done(&world.goal, criteria, &world.tasks, world.now);
    assert_eq!(found, expected, "{criteria:?} {healthy} {older:?}");
}

#[test]
fn a_deployment_is_done_when_nothing_else_is_left() {
    let criteria = Criteria::default();
    check(criteria, 10, None, true);
    check(criteria, 9, None, false);
    check(criteria, 10, Some((Stage::Running, TargetState::Healthy)), false);
    check(criteria, 10, Some((Stage::Coming, TargetState::Initial)), false);
    // One that still drains has not gone; one that only ends has.
    check(criteria, 10, Some((Stage::Leaving, TargetState::Draining)), false);
    check(criteria, 10, Some((Stage::Leaving, TargetState::Unused)), true);
}

#[test]
fn early_success_needs_its_share() {
    let older = Some((Stage::Running, TargetState::Healthy));
    let deferred = Criteria::early(75, false);
    check(deferred, 8, older, true);
    // 7.5 tasks are 8.
    check(deferred, 7, older, false);
    check(Criteria::early(75, true), 8, older, false);
    check(Criteria::early(75, true), 8, None, true);
    check(Criteria::early(0, false), 0, older, true);
    check(Criteria::early(0, true), 0, older, false);
}

#[test]
fn nothing_desired_is_done_once_nothing_is_left() {
    let mut world = World::new(1, 100, 200);
    world.act();
    world.deploy("v2", true);
    world.goal.desired = 0;
    let is_done_now = |world: &World| is_done(&world.goal, Criteria::default(), &world.tasks, world.now);
    assert!(!is_done_now(&world));
    world.tasks.clear();
    assert!(is_done_now(&world));
}
