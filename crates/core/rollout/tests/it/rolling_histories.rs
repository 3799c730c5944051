//! Random histories of a service: tasks that start slowly, fail, become unhealthy and get well,
//! crash and are protected; scaling, other percentages, new deployments in the middle of others,
//! rollbacks, deployments that are given up. Whatever happens, the promises in [`World::check`]
//! hold; and once nothing fails any more, the service comes to rest at its newest revision without
//! a start too many.
//!
//! `BOXSHIP_LONG=1` runs many more; `BOXSHIP_SEED=n` one of them, as a failure says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::Chance;
use core_rollout::rolling::{Blocked, Step, Why};
use core_rollout::{Check, Stage, TargetState};

use crate::world::{Vice, World, number};

const HISTORIES: u64 = 600;
const LONG: u64 = 200_000;
const EVENTS: usize = 80;

#[test]
fn promises_hold_in_every_history() {
    let one = std::env::var_os("BOXSHIP_SEED").and_then(|seed| seed.to_str()?.parse().ok());
    let count = if std::env::var_os("BOXSHIP_LONG").is_some() { LONG } else { HISTORIES };
    let seeds = one.map_or(0..count, |seed: u64| seed..seed + 1);
    let mut seen = BTreeMap::<&str, u64>::new();
    for seed in seeds {
        match std::panic::catch_unwind(|| history(seed, None)) {
            Ok(here) => here.into_iter().for_each(|what| *seen.entry(what).or_default() += 1),
            Err(cause) => {
                eprintln!("BOXSHIP_SEED={seed} fails");
                std::panic::resume_unwind(cause);
            }
        }
    }
    if one.is_none() {
        // Histories in which nothing happens would prove nothing.
        for what in [
            "replaced",
            "scaled in",
            "unhealthy",
            "rebalanced",
            "kept",
            "no room",
            "protected",
            "throttled",
            "steady",
            "halted",
        ] {
            assert!(seen.get(what).is_some_and(|n| *n > count / 50), "{what}: {seen:?}");
        }
    }
}

#[test]
fn bad_deciders_are_found_out() {
    for vice in [
        Vice::StopsOneMore,
        Vice::StartsOneMore,
        Vice::StopsProtected,
        Vice::StartsTheOld,
        Vice::Trickles,
        Vice::NeverWakes,
        Vice::NeverStarts,
        Vice::NeverStops,
        Vice::SaysSteady,
    ] {
        let is_found = |seed: &u64| std::panic::catch_unwind(|| history(*seed, Some(vice))).is_err();
        assert!((0..HISTORIES).any(|seed| is_found(&seed)), "{vice:?} goes unseen");
    }
}

#[test]
fn equal_histories_come_to_equal_ends() {
    for seed in 0..20 {
        assert_eq!(play(seed, None).0.shown(), play(seed, None).0.shown());
    }
}

/// A new revision that is good overcomes older ones of which no task is, whatever was before.
#[test]
fn a_broken_revision_is_overcome() {
    for seed in 0..HISTORIES / 2 {
        let mut world = play(seed, None).0;
        unprotect(&mut world);
        let keeps = seed % 2 == 0;
        world.deploy("good", keeps);
        let is_over = rounds(&mut world, |world, id| {
            if &*world.task(id).revision == "good" {
                up(world, id);
            } else if world.task(id).stage == Stage::Coming && id.len() % 2 == 0 {
                world.end(id);
            } else {
                if world.task(id).stage == Stage::Coming {
                    world.run(id);
                }
                fail(world, id);
            }
        });
        assert!(is_over, "BOXSHIP_SEED={seed}: {} {:?}", world.shown(), world.decide());
    }
}

/// A new revision of which no task is ever healthy does not take the service below its floor, and
/// what dies or sickens of the running one meanwhile comes again.
#[test]
fn the_kept_revision_stays_up() {
    for seed in 0..HISTORIES / 2 {
        let mut world = play(seed, None).0;
        unprotect(&mut world);
        world.deploy("good", false);
        world.goal.kept = None;
        rounds(&mut world, up);
        if !world.decide().is_steady {
            continue;
        }
        world.deploy("bad", true);
        let is_tight = world.floor() == world.ceiling();
        let mut chance = Chance::new(seed);
        for round in 0..60 {
            let is_quiet = round > 30;
            let wake = world.decide().wake_at;
            world.now = wake.unwrap_or(world.now).max(world.now + Duration::from_secs(1));
            each(&mut world, |world, id| match &*world.task(id).revision {
                "good" => up(world, id),
                _ if round % 3 == 0 => world.end(id),
                _ => {
                    world.run(id);
                    fail(world, id);
                }
            });
            if !is_quiet {
                one(&mut world, &mut chance, |world, id| world.end(id));
                one(&mut world, &mut chance, fail);
            }
            leave(&mut world);
            world.act();
        }
        let left = world.live().filter(|task| &*task.revision == "good").count();
        assert!(is_tight || left >= world.floor(), "BOXSHIP_SEED={seed}: {}", world.shown());
    }
}

/// Goes on until the service has come to rest; whether it has.
fn rounds(world: &mut World, change: impl Fn(&mut World, &str)) -> bool {
    for _ in 0..200 {
        let wake = world.decide().wake_at;
        world.now = wake.unwrap_or(world.now).max(world.now + Duration::from_secs(1));
        each(world, &change);
        leave(world);
        if world.act().is_steady {
            return true;
        }
    }
    false
}

fn unprotect(world: &mut World) {
    world.tasks.iter_mut().for_each(|task| task.is_protected = false);
}

/// Lets one service live; answers what was seen on the way.
fn history(seed: u64, vice: Option<Vice>) -> Vec<&'static str> {
    let (mut world, mut seen) = play(seed, vice);
    calm(&mut world, &mut seen);
    seen.sort_unstable();
    seen.dedup();
    seen
}

fn play(seed: u64, vice: Option<Vice>) -> (World, Vec<&'static str>) {
    let mut chance = Chance::new(seed);
    let mut world = world(&mut chance);
    world.vice = vice;
    let mut seen = Vec::new();
    let mut revisions = 1;
    note(&mut world, &mut seen);
    for _ in 0..EVENTS {
        let wait = if chance.below(30) == 0 { 900_000 } else { chance.below(9_000) };
        world.now = world.now + Duration::from_millis(wait);
        event(&mut world, &mut chance, &mut revisions, &mut seen);
        note(&mut world, &mut seen);
    }
    (world, seen)
}

fn world(chance: &mut Chance) -> World {
    let desired = if chance.below(20) == 0 { 60 } else { chance.below(9) };
    let (minimum, maximum) = percents(chance);
    let mut world = World::new(desired as u32, minimum, maximum);
    let zones = ["a", "b", "c"].into_iter().take(chance.below(4) as usize);
    world.goal.zones = zones.map(Arc::from).collect();
    world.goal.is_rebalanced = chance.below(2) == 0;
    world.goal.rules.grace = Duration::from_secs(chance.below(3) * 20);
    world.is_balanced = chance.below(3) > 0;
    if chance.below(5) == 0 {
        world.most_started = 3;
    }
    world
}

fn percents(chance: &mut Chance) -> (u32, u32) {
    let pairs = [(100, 200), (50, 100), (100, 150), (0, 100), (100, 100), (50, 200), (75, 125), (33, 134)];
    pairs[chance.below(pairs.len() as u64) as usize]
}

/// Something happens to some task, or somebody wants something.
fn event(world: &mut World, chance: &mut Chance, revisions: &mut u32, seen: &mut Vec<&'static str>) {
    match chance.below(40) {
        0 => world.goal.desired = chance.below(12) as u32,
        1 => world.goal.desired = world.goal.desired.saturating_sub(1 + chance.below(2) as u32),
        2 | 3 => {
            *revisions += 1;
            let is_complete = world.decide().is_steady;
            world.deploy(&format!("v{revisions}"), is_complete);
        }
        4 => {
            let back = world.goal.kept.take();
            let older: Option<Arc<str>> = world.live().next().map(|task| task.revision.clone());
            if let Some(revision) = back.map(|kept| kept.revision).or(older) {
                world.deploy(&revision, false);
            }
        }
        5 if chance.below(4) == 0 => {
            (world.goal.minimum_percent, world.goal.maximum_percent) = percents(chance)
        }
        6 if chance.below(3) == 0 => {
            world.goal.is_halted = true;
            seen.push("halted");
        }
        // Many at once, as checks of a balancer are.
        7..=12 => each(world, up),
        13 if chance.below(4) == 0 => each(world, fail),
        14 if chance.below(4) == 0 => {
            let ids: Vec<Arc<str>> = world.live().map(|task| task.id.clone()).collect();
            ids.iter().for_each(|id| world.end(id));
        }
        // A task of nobody's zone: the subnets were others.
        15 if chance.below(4) == 0 => world.goal.zones = vec![Arc::from("b"), Arc::from("c")],
        16..=24 => one(world, chance, up),
        25..=27 => one(world, chance, fail),
        28..=31 => one(world, chance, |world, id| world.end(id)),
        32 | 33 => one(world, chance, |world, id| world.task(id).is_protected ^= true),
        34 => one(world, chance, |world, id| world.run(id)),
        _ => leave(world),
    }
}

fn one(world: &mut World, chance: &mut Chance, change: impl Fn(&mut World, &str)) {
    let ids: Vec<Arc<str>> = world.live().map(|task| task.id.clone()).collect();
    if let Some(id) = ids.get(chance.below(ids.len() as u64) as usize) {
        change(world, id);
    }
}

fn each(world: &mut World, change: impl Fn(&mut World, &str)) {
    let ids: Vec<Arc<str>> = world.live().map(|task| task.id.clone()).collect();
    ids.iter().for_each(|id| change(world, id));
}

/// It runs, and whoever looks finds it well.
fn up(world: &mut World, id: &str) {
    if world.task(id).stage == Stage::Coming {
        world.run(id);
    }
    world.task(id).check = world.task(id).check.map(|_| Check::Passing);
    world.say(id, TargetState::Healthy);
}

fn fail(world: &mut World, id: &str) {
    if world.task(id).stage == Stage::Coming {
        return;
    }
    world.say(id, TargetState::Unhealthy);
    if world.task(id).targets.is_empty() {
        world.task(id).check = Some(Check::Failing);
    }
}

/// Those that were told to stop have stopped.
fn leave(world: &mut World) {
    world.tasks.retain(|task| task.stage != Stage::Leaving);
}

/// Decides until nothing is left to do, and remembers what was done.
fn note(world: &mut World, seen: &mut Vec<&'static str>) {
    let first = world.born;
    for _ in 0..8 + 120 / world.most_started {
        let step = world.act();
        look(world, &step, seen);
        assert!(!step.stop.iter().any(|stop| number(&stop.task) >= first), "thrash: {}", world.shown());
        if step.start.is_empty() && step.stop.is_empty() {
            return;
        }
    }
    panic!("no end: {}", world.shown());
}

fn look(world: &World, step: &Step, seen: &mut Vec<&'static str>) {
    seen.extend(step.stop.iter().map(|stop| match stop.why {
        Why::Replaced => "replaced",
        Why::ScaledIn => "scaled in",
        Why::Unhealthy(_) => "unhealthy",
        Why::Rebalanced => "rebalanced",
    }));
    seen.extend(step.blocked.map(|blocked| match blocked {
        Blocked::NoRoom => "no room",
        Blocked::Protected => "protected",
        Blocked::Throttled { .. } => "throttled",
    }));
    if step.start.iter().any(|start| start.revision != world.goal.current) {
        seen.push("kept");
    }
    if step.is_steady {
        seen.push("steady");
    }
}

/// From here on nothing fails and nobody wants anything: the service comes to rest.
fn calm(world: &mut World, seen: &mut Vec<&'static str>) {
    if world.goal.is_halted {
        world.deploy("last", false);
    }
    unprotect(world);
    let first = world.born;
    for _ in 0..200 {
        let wake = world.decide().wake_at;
        world.now = wake.unwrap_or(world.now).max(world.now + Duration::from_secs(1));
        each(world, up);
        leave(world);
        let before = world.born;
        let step = world.act();
        look(world, &step, seen);
        for stop in &step.stop {
            // The current revision starts only what stays, but for evening out zones.
            let current = world.goal.current.clone();
            let is_own = world.task(&stop.task).revision == current;
            let is_new = number(&stop.task) >= first;
            assert!(!is_own || !is_new || stop.why == Why::Rebalanced, "thrash: {}", world.shown());
        }
        assert!(before == world.born || !step.is_steady);
        let is_tight = world.floor() == world.ceiling();
        if step.is_steady || (is_tight && step.blocked == Some(Blocked::NoRoom)) {
            return;
        }
    }
    panic!("no rest: {} {:?}", world.shown(), world.decide());
}
