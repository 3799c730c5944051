//! The percentages' corners, and services that are large.

use std::sync::Arc;

use core_rollout::TargetState;
use core_rollout::rolling::Blocked;

use crate::world::World;

fn all_up(world: &mut World) {
    let now = world.now;
    for task in world.tasks.iter_mut().filter(|task| task.stage != core_rollout::Stage::Leaving) {
        task.stage = core_rollout::Stage::Running;
        task.running_at.get_or_insert(now);
        task.targets.iter_mut().for_each(|target| target.state = TargetState::Healthy);
    }
}

/// The numbers of live tasks through which a rolling update of a whole service goes.
fn waves(desired: u32, minimum: u32, maximum: u32) -> Vec<usize> {
    let mut world = World::new(desired, minimum, maximum);
    world.act();
    all_up(&mut world);
    world.deploy("v2", true);
    let mut waves = vec![world.live().count()];
    for _ in 0..10_000 {
        let step = world.act();
        let live = world.live().count();
        if waves.last() != Some(&live) {
            waves.push(live);
        }
        if step.start.is_empty() && step.stop.is_empty() {
            if step.is_steady || step.blocked.is_some() {
                return waves;
            }
            all_up(&mut world);
            world.tasks.retain(|task| task.stage != core_rollout::Stage::Leaving);
        }
    }
    panic!("no end");
}

#[test]
fn whole_services_go_in_waves() {
    assert_eq!(waves(4, 50, 100), [4, 2, 4, 2, 4]);
    assert_eq!(waves(4, 100, 150), [4, 6, 4, 6, 4]);
    assert_eq!(waves(9, 100, 200), [9, 18, 9]);
    assert_eq!(waves(1, 100, 200), [1, 2, 1]);
    assert_eq!(waves(5, 0, 100), [5, 0, 5]);
    assert_eq!(waves(4, 25, 100), [4, 1, 4, 3, 4]);
    assert_eq!(waves(4, 100, 125), [4, 5, 4, 5, 4, 5, 4, 5, 4]);
    assert_eq!(waves(3, 100, 133), [3], "three and 133 % are three");
    assert_eq!(waves(3, 67, 100), [3], "67 % of three are three");
    assert_eq!(waves(4, 100, 100), [4]);
    assert_eq!(waves(0, 100, 200), [0]);
    assert_eq!(waves(10_000, 100, 200), [10_000, 20_000, 10_000]);
    assert_eq!(waves(10_000, 90, 100), [10_000, 9_000].into_iter().cycle().take(21).collect::<Vec<_>>());
}

#[test]
fn what_cannot_move_says_so() {
    for (desired, minimum, maximum) in [(4, 100, 100), (1, 50, 150), (3, 67, 133), (1, 1, 199)] {
        let mut world = World::new(desired, minimum, maximum);
        world.act();
        all_up(&mut world);
        assert!(world.act().is_steady);
        world.deploy("v2", true);
        let step = world.act();
        assert_eq!(step.blocked, Some(Blocked::NoRoom), "{desired} at {minimum}/{maximum}");
        assert!(!step.is_steady && step.start.is_empty() && step.stop.is_empty());
    }
}

#[test]
fn ten_thousand_tasks_are_spread_and_taken_evenly() {
    let mut world = World::new(10_000, 100, 200);
    world.goal.zones = ["a", "b", "c"].map(Arc::from).to_vec();
    world.act();
    all_up(&mut world);
    let sizes =
        |world: &World| ["a", "b", "c"].map(|zone| world.live().filter(|task| &*task.zone == zone).count());
    assert_eq!(sizes(&world), [3_334, 3_333, 3_333]);
    world.goal.desired = 5_000;
    world.act();
    assert_eq!(sizes(&world).iter().sum::<usize>(), 5_000);
    assert!(sizes(&world).iter().all(|size| (1_666..=1_667).contains(size)), "{:?}", sizes(&world));
    world.goal.desired = 0;
    world.act();
    assert_eq!(sizes(&world), [0, 0, 0]);
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let mut world = World::new(u32::MAX, 100, 200);
    world.goal.is_halted = true;
    assert!(world.act().start.is_empty());
}
