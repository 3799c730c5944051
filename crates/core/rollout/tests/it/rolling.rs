//! Transcripts: `tests/scenarios/*.txt`. A block is commands, `----`, and what is decided until
//! nothing is left to do. `UPDATE=1 cargo test` rewrites the expectations.
//!
//! ```text
//! service desired=4 min=50 max=100 [zones=a,b,c] [rebalanced] [unchecked] [grace=30]
//! deploy v2 [keep] | rollback v1 | desired 8 | percents 50 100 | halt | zones a,b
//! run a b | up a b (runs and is healthy) | healthy a | unhealthy a | die a | gone a
//! protect a | release a | +30s
//! ```

use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use core_rollout::TargetState;
use core_rollout::rolling::{Blocked, Step};

use crate::world::World;

/// Steps until nothing is left to do.
const MOST_STEPS: usize = 20;

fn command(world: &mut Option<World>, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let (verb, rest) = (words[0], &words[1..]);
    if verb == "service" {
        *world = Some(service(rest));
        return;
    }
    let world = world.as_mut().expect("a service comes first");
    if let Some(seconds) = verb.strip_prefix('+') {
        let seconds = seconds.trim_end_matches('s').parse().expect("a number");
        world.now = world.now + Duration::from_secs(seconds);
        return;
    }
    match verb {
        "deploy" => world.deploy(rest[0], rest.get(1) == Some(&"keep")),
        "rollback" => {
            world.deploy(rest[0], false);
            world.goal.kept = None;
        }
        "desired" => world.goal.desired = rest[0].parse().expect("a number"),
        "percents" => {
            world.goal.minimum_percent = rest[0].parse().expect("a number");
            world.goal.maximum_percent = rest[1].parse().expect("a number");
        }
        "zones" => world.goal.zones = rest[0].split(',').map(Arc::from).collect(),
        "halt" => world.goal.is_halted = true,
        "run" => rest.iter().for_each(|id| world.run(id)),
        "up" => rest.iter().for_each(|id| {
            world.run(id);
            world.say(id, TargetState::Healthy);
        }),
        "healthy" => rest.iter().for_each(|id| world.say(id, TargetState::Healthy)),
        "unhealthy" => rest.iter().for_each(|id| world.say(id, TargetState::Unhealthy)),
        "die" | "gone" => rest.iter().for_each(|id| world.end(id)),
        "protect" => rest.iter().for_each(|id| world.task(id).is_protected = true),
        "release" => rest.iter().for_each(|id| world.task(id).is_protected = false),
        other => panic!("no command {other}"),
    }
}

fn service(words: &[&str]) -> World {
    let mut world = World::new(1, 100, 200);
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "desired" => world.goal.desired = value.parse().expect("a number"),
            "min" => world.goal.minimum_percent = value.parse().expect("a number"),
            "max" => world.goal.maximum_percent = value.parse().expect("a number"),
            "zones" => world.goal.zones = value.split(',').map(Arc::from).collect(),
            "grace" => world.goal.rules.grace = Duration::from_secs(value.parse().expect("a number")),
            "rebalanced" => world.goal.is_rebalanced = true,
            "unchecked" => world.is_balanced = false,
            other => panic!("no setting {other}"),
        }
    }
    world
}

/// All decisions until nothing is left to do.
fn decide(world: &mut World) -> String {
    let mut text = String::new();
    for _ in 0..MOST_STEPS {
        let first = world.born;
        let before = world.live().count();
        let step = world.act();
        let after = world.live().count();
        let starts = world.tasks.iter().skip(world.tasks.len() - (world.born - first) as usize);
        let names: Vec<String> = starts
            .map(|task| match world.goal.zones.is_empty() {
                true => format!("{}:{}", task.id, task.revision),
                false => format!("{}:{}@{}", task.id, task.revision, task.zone),
            })
            .collect();
        if !names.is_empty() {
            let what = if step.start[0].is_rebalancing { "rebalance" } else { "start" };
            let _ = writeln!(text, "{what} {}", names.join(" "));
        }
        for stop in &step.stop {
            let _ = writeln!(text, "stop {} {:?}", stop.task, stop.why);
        }
        if before != after {
            let _ = writeln!(text, "{before} -> {after}");
        }
        if step.start.is_empty() && step.stop.is_empty() {
            text.push_str(&rest(world, &step));
            return text;
        }
    }
    panic!("no end: {text}");
}

fn rest(world: &World, step: &Step) -> String {
    let mut text = String::new();
    let wait = |at: base::Timestamp| at.since(world.now).as_secs();
    match step.blocked {
        Some(Blocked::Throttled { until }) => {
            let _ = writeln!(text, "throttled +{}s", wait(until));
        }
        Some(blocked) => {
            let _ = writeln!(text, "blocked {blocked:?}");
        }
        None => {}
    }
    if let Some(at) = step.wake_at {
        let _ = writeln!(text, "wake +{}s", wait(at));
    }
    if step.is_steady {
        text.push_str("steady\n");
    }
    text
}

#[test]
fn transcripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut count = 0;
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut found = String::new();
        let run = std::panic::catch_unwind(AssertUnwindSafe(|| replay(&text, &mut found)));
        if let Err(cause) = run {
            println!("{found}");
            std::panic::resume_unwind(cause);
        }
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, format!("{}\n", found.trim_end())).unwrap();
        } else {
            assert_eq!(found.trim_end(), text.trim_end(), "{}", path.display());
        }
        count += 1;
    }
    assert!(count > 0);
}

/// The transcript, as it is now; also as far as it comes.
fn replay(text: &str, found: &mut String) {
    let mut world = None;
    for block in text.trim().split("\n\n") {
        let commands = block.split("\n----").next().unwrap_or_default();
        let _ = writeln!(found, "{commands}\n----");
        for line in commands.lines().filter(|line| !line.starts_with('#')) {
            command(&mut world, line);
        }
        let decided = decide(world.as_mut().expect("a service comes first"));
        let _ = writeln!(found, "{decided}");
    }
}
