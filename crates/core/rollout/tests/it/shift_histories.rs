//! Random histories of deployments that shift traffic: what holds at every step, and how they end.

use std::time::Duration;

use core_rollout::rolling::Why;
use core_rollout::shift::{Outcome, Pace, Stage, Step, Weights};
use core_rollout::{Check, Stage as TaskStage};
use proptest::prelude::*;

use crate::shift_world::{BLUE, GREEN, World};

#[derive(Debug, Clone)]
enum Act {
    Arrive(usize),
    Leave,
    Tick(u64),
    Kill(usize),
    Sicken(usize),
    Desired(u32),
    Answer(bool),
    Stop,
    Trip,
    Break,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (0usize..6).prop_map(Act::Arrive),
        3 => Just(Act::Leave),
        8 => prop_oneof![Just(1u64), Just(60), Just(300), Just(4000)].prop_map(Act::Tick),
        2 => (0usize..12).prop_map(Act::Kill),
        2 => (0usize..12).prop_map(Act::Sicken),
        1 => (0u32..6).prop_map(Act::Desired),
        3 => prop_oneof![5 => Just(true), 1 => Just(false)].prop_map(Act::Answer),
        1 => prop_oneof![Just(Act::Stop), Just(Act::Trip), Just(Act::Break)],
    ];
    proptest::collection::vec(act, 0..60)
}

fn pace() -> impl Strategy<Value = Pace> {
    let percent = (30u32..=1000).prop_map(|tenths| f64::from(tenths) / 10.0);
    let bake = (0u64..600).prop_map(Duration::from_secs);
    (0..3, percent, bake).prop_map(|(which, percent, bake)| match which {
        0 => Pace::AllAtOnce,
        1 => Pace::Linear { percent, bake },
        _ => Pace::Canary { percent, bake },
    })
}

fn pauses() -> impl Strategy<Value = Vec<(Stage, bool)>> {
    let stage = prop_oneof![
        Just(Stage::ReconcileService),
        Just(Stage::PreScaleUp),
        Just(Stage::PostScaleUp),
        Just(Stage::PostTestTrafficShift),
        Just(Stage::PreProductionTrafficShift),
        Just(Stage::PostProductionTrafficShift),
    ];
    proptest::collection::vec((stage, any::<bool>()), 0..4)
}

fn act(world: &mut World, act: &Act) {
    let count = world.tasks.len().max(1);
    match *act {
        Act::Arrive(most) => world.arrive(most),
        Act::Leave => world.leave(),
        Act::Tick(secs) => world.now = world.now + Duration::from_secs(secs),
        Act::Kill(at) if !world.tasks.is_empty() => drop(world.tasks.remove(at % count)),
        Act::Kill(_) => {}
        Act::Sicken(at) => {
            if let Some(task) =
                world.tasks.get_mut(at % count).filter(|task| task.stage == TaskStage::Running)
            {
                task.check = Some(Check::Failing);
            }
        }
        Act::Desired(desired) => world.goal.set.desired = desired,
        Act::Answer(continues) => world.answer(continues),
        Act::Stop => world.is_stopped = true,
        Act::Trip => world.is_tripped = true,
        Act::Break => world.is_broken = true,
    }
}

/// What every decision keeps to.
fn holds(world: &World, step: &Step) {
    let (before, after) = (world.shift.weights, step.shift.weights);
    let desired = world.goal.set.desired as usize;
    if step.shift.back.is_none() {
        assert!(
            after.production >= before.production && after.test >= before.test,
            "forward: {before:?} {after:?}"
        );
    } else if after != before {
        assert_eq!(after, Weights::default(), "back is all the way back");
    }
    if after.production > before.production || after.test > before.test {
        assert!(world.healthy(GREEN) >= desired, "traffic goes to a whole set");
    }
    if after.production < before.production {
        let is_whole = world.healthy(BLUE) >= desired;
        assert!(
            is_whole || (world.healthy(BLUE) > 0 && world.healthy(GREEN) == 0),
            "traffic has where to go"
        );
    }
    let has_left = step.shift.stage == Stage::CleanUp && after.production >= 100.0 && before == after;
    if step.shift.back.is_some() || !has_left {
        for stop in step.stop.iter().filter(|stop| stop.task.starts_with(BLUE)) {
            assert!(stop.why != Why::Replaced, "blue is kept until no traffic is left for it");
        }
    }
    if step.shift.back.is_some() && after != Weights::default() {
        assert!(
            step.stop.iter().all(|stop| !stop.task.starts_with(GREEN)),
            "green is kept while it has traffic"
        );
    }
}

fn settle(world: &mut World) {
    for _ in 0..200 {
        if world.outcome.is_some() {
            return;
        }
        let step = world.decide();
        holds(world, &step);
        let is_idle = step.start.is_empty() && step.stop.is_empty() && step.shift == world.shift;
        world.carry_out(&step);
        if is_idle && step.outcome.is_none() {
            return;
        }
    }
    panic!("it does not settle: {:?}", world.shift);
}

fn run(start: (u32, Option<usize>, Pace), pauses: &[(Stage, bool)], history: &[Act]) -> World {
    let (desired, old, pace) = start;
    let mut world = World::new(desired, old, pace);
    world.goal.bake = Duration::from_secs(300);
    for (stage, continues) in pauses {
        world.pause(*stage, 60, *continues);
    }
    settle(&mut world);
    for one in history {
        act(&mut world, one);
        settle(&mut world);
    }
    world
}

proptest! {
    #[test]
    fn histories(
        desired in 0u32..5,
        old in proptest::option::of(0usize..5),
        pace in pace(),
        pauses in pauses(),
        history in acts(),
    ) {
        let mut world = run((desired, old, pace), &pauses, &history);
        let again = run((desired, old, pace), &pauses, &history);
        prop_assert_eq!(&world.log, &again.log, "equal histories, equal decisions");
        // Nothing goes wrong any more: it ends, with all traffic on one side and no task on the other.
        for _ in 0..300 {
            if world.outcome.is_some() {
                break;
            }
            world.answer(true);
            world.arrive(usize::MAX);
            world.leave();
            world.now = world.now + Duration::from_secs(600);
            settle(&mut world);
        }
        let weights = world.shift.weights;
        match world.outcome {
            Some(Outcome::Done) => {
                prop_assert_eq!(weights.production, 100.0);
                prop_assert_eq!(world.live(BLUE), 0);
            }
            Some(Outcome::RolledBack) => {
                prop_assert_eq!(weights, Weights::default());
                prop_assert_eq!(world.live(GREEN), 0);
            }
            Some(Outcome::Failed) => prop_assert!(old.is_none() || world.is_broken),
            None => prop_assert!(false, "it does not end: {:?}\n{}", world.shift, world.log),
        }
    }
}
