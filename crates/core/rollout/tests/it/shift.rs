//! Deployments that shift traffic, as transcripts: commands, and what is decided after each.

use std::time::Duration;

use core_rollout::shift::{Goal, Outcome, Pace, Shift, Stage, Weights};
use core_rollout::{Check, Stage as TaskStage};

use crate::shift_world::{BLUE, RED, World};

#[track_caller]
fn check(transcript: &str) {
    let mut found = String::new();
    let mut world = None;
    for block in transcript.trim().split("\n\n") {
        let commands = block.split_once("\n----").map_or(block, |(commands, _)| commands);
        for command in commands.lines() {
            run(&mut world, command);
        }
        let world = world.as_mut().expect("a transcript begins with `service`");
        world.log.clear();
        world.settle();
        let log = if world.log.is_empty() { String::from("nothing\n") } else { world.log.clone() };
        found.push_str(&format!("{commands}\n----\n{log}\n"));
    }
    assert_eq!(found.trim(), transcript.trim(), "\n{found}");
}

fn run(world: &mut Option<World>, command: &str) {
    let mut words = command.split(' ');
    let verb = words.next().expect("a command has a verb");
    if verb == "service" {
        *world = Some(service(words));
        return;
    }
    let world = world.as_mut().expect("a transcript begins with `service`");
    let word = words.next().unwrap_or_default();
    match verb {
        "tick" => world.now = world.now + duration(word),
        "arrive" => world.arrive(word.parse().unwrap_or(usize::MAX)),
        "leave" => world.leave(),
        "desired" => world.goal.set.desired = word.parse().expect("a number"),
        "answer" => world.answer(word == "continue"),
        "stop" => world.is_stopped = true,
        "trip" => world.is_tripped = true,
        "break" => world.is_broken = true,
        "kill" => {
            let at = world.tasks.iter().position(|task| &*task.revision == word);
            world.tasks.remove(at.expect("there is one to kill"));
        }
        "sicken" => {
            let mut of = world.tasks.iter_mut().filter(|task| &*task.revision == word);
            let task = of.find(|task| task.stage == TaskStage::Running).expect("there is one to sicken");
            task.check = Some(Check::Failing);
        }
        "protect" => {
            let of = world.tasks.iter_mut().filter(|task| &*task.revision == word);
            of.for_each(|task| task.is_protected = !task.is_protected);
        }
        other => panic!("no command `{other}`"),
    }
}

/// `service desired=2 blue=2 canary=10%/5m bake=3m`
fn service<'a>(words: impl Iterator<Item = &'a str>) -> World {
    let mut world = World::new(1, None, Pace::AllAtOnce);
    let (mut blue, mut others) = (None, 0);
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "desired" => world.goal.set.desired = value.parse().expect("a number"),
            "blue" => blue = Some(value.parse::<usize>().expect("a number")),
            "red" => others = value.parse::<usize>().expect("a number"),
            "bake" => world.goal.bake = duration(value),
            "untested" => world.goal.has_test = false,
            "linear" | "canary" => {
                let (percent, bake) = value.split_once("%/").expect("percent and bake");
                let (percent, bake) = (percent.parse().expect("a number"), duration(bake));
                world.goal.pace = match name {
                    "linear" => Pace::Linear { percent, bake },
                    _ => Pace::Canary { percent, bake },
                };
            }
            "pause" => world.pause(stage(value), 60, false),
            "pause-or-continue" => world.pause(stage(value), 60, true),
            other => panic!("no setting `{other}`"),
        }
    }
    world.shift = Shift::begin(blue.map(|_| String::from(BLUE)), true, others > 0, world.now);
    (0..blue.unwrap_or_default()).for_each(|_| world.add(BLUE, true));
    (0..others).for_each(|_| world.add(RED, true));
    world
}

fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().expect("a number");
    Duration::from_secs(if unit == "m" { number * 60 } else { number })
}

fn stage(name: &str) -> Stage {
    serde_json::from_value(serde_json::Value::from(name)).expect("a stage")
}

#[test]
fn blue_green() {
    check(include_str!("shift/blue_green.txt"));
}

#[test]
fn the_first_deployment_has_the_traffic_at_once() {
    check(include_str!("shift/first.txt"));
}

#[test]
fn canary() {
    check(include_str!("shift/canary.txt"));
}

#[test]
fn linear() {
    check(include_str!("shift/linear.txt"));
}

#[test]
fn pauses_wait_for_an_answer_or_their_time() {
    check(include_str!("shift/pauses.txt"));
    check(include_str!("shift/pause_timeout.txt"));
    check(include_str!("shift/pause_continue.txt"));
}

#[test]
fn going_back() {
    check(include_str!("shift/back_early.txt"));
    check(include_str!("shift/back_late.txt"));
    check(include_str!("shift/back_nowhere.txt"));
    check(include_str!("shift/back_broken.txt"));
}

#[test]
fn both_sets_are_kept_while_both_are_there() {
    check(include_str!("shift/kept.txt"));
}

#[test]
fn a_superseded_revision_leaves_first() {
    check(include_str!("shift/superseded.txt"));
}

/// With no task to bring there is nothing to wait for but that balancers take the weights up; and
/// stopped halfway, the source has the traffic again.
#[test]
fn a_service_without_tasks() {
    let second = Duration::from_secs(1);
    let bake = Duration::ZERO;
    let paces = [Pace::AllAtOnce, Pace::Linear { percent: 25.0, bake }, Pace::Canary { percent: 10.0, bake }];
    for pace in paces {
        for (old, stops, expected) in [
            (None, false, Outcome::Done),
            (Some(0), false, Outcome::Done),
            (Some(0), true, Outcome::RolledBack),
        ] {
            let mut world = World::new(0, old, pace);
            for _ in 0..8 {
                world.settle();
                world.is_stopped = stops;
                world.now = world.now + second;
            }
            assert_eq!(world.outcome, Some(expected), "{pace:?} {old:?}: {}", world.log);
            assert!(world.tasks.is_empty());
        }
    }
}

#[test]
fn steps_of_traffic() {
    let check = |pace: Pace, expected: &[f64]| {
        let mut at = 0.0;
        let mut found = Vec::new();
        while at < 100.0 {
            at = pace.next(at);
            found.push(at);
        }
        assert_eq!(found, expected, "{pace:?}");
    };
    let bake = Duration::ZERO;
    check(Pace::AllAtOnce, &[100.0]);
    check(Pace::Canary { percent: 0.1, bake }, &[0.1, 100.0]);
    check(Pace::Canary { percent: 100.0, bake }, &[100.0]);
    check(Pace::Linear { percent: 33.3, bake }, &[33.3, 66.6, 99.9, 100.0]);
    check(Pace::Linear { percent: 25.0, bake }, &[25.0, 50.0, 75.0, 100.0]);
    check(Pace::Linear { percent: 60.0, bake }, &[60.0, 100.0]);
}

#[test]
fn what_follows_a_deployment_begins_where_its_traffic_is() {
    let check = |source: Option<&str>, production: f64, stage: Stage, expected: (Option<&str>, bool)| {
        let now = base::Timestamp::from_millis(0);
        let mut shift = Shift::begin(source.map(String::from), true, false, now);
        shift.stage = stage;
        shift.weights = Weights { production, test: 100.0 };
        let (source, is_swapped) = shift.heir("green");
        assert_eq!((source.as_deref(), is_swapped), expected);
    };
    check(Some("blue"), 0.0, Stage::ScaleUp, (Some("blue"), false));
    check(Some("blue"), 10.0, Stage::ProductionTrafficShift, (Some("blue"), false));
    check(Some("blue"), 100.0, Stage::BakeTime, (Some("green"), true));
    check(None, 100.0, Stage::ScaleUp, (None, true));
    check(None, 100.0, Stage::CleanUp, (Some("green"), true));
}

#[test]
fn what_is_kept_of_a_deployment_reads_back() {
    let mut world = World::new(1, Some(1), Pace::AllAtOnce);
    world.pause(Stage::PreScaleUp, 60, true);
    world.settle();
    world.is_stopped = true;
    world.settle();
    let text = serde_json::to_string(&world.shift).expect("a record is written");
    let read: Shift = serde_json::from_str(&text).expect("a record is read");
    assert_eq!(read, world.shift);
    let Goal { set, .. } = &world.goal;
    assert_eq!(set.desired, 1);
}
