//! Random histories of tasks under a real agent over the simulated runtime: orders that come twice
//! and late, agents that die, a clock that jumps, containers that end as their labels direct.
//!
//! `BOXSHIP_LONG=1` runs many more; `BOXSHIP_SEED=n` one of them, as a failure says.

use std::time::Duration;

use base::{Chance, Timestamp};
use core_lifecycle::{Assignment, Condition, Dependency, HealthCheck, Observation, Phase, RestartPolicy};
use link::Order;
use runtime::Runtime;

use crate::fakes::{Host, TASK, assignment};

const HISTORIES: u64 = 60;
const LONG: u64 = 3_000;
const STEPS: u64 = 25;

#[tokio::test]
async fn promises_hold_in_every_history() {
    let one = std::env::var_os("BOXSHIP_SEED").and_then(|seed| seed.to_str()?.parse().ok());
    let count = if std::env::var_os("BOXSHIP_LONG").is_some() { LONG } else { HISTORIES };
    for seed in one.map_or(0..count, |seed: u64| seed..seed + 1) {
        eprintln!("BOXSHIP_SEED={seed}");
        history(seed).await;
    }
}

async fn history(seed: u64) {
    let mut chance = Chance::new(seed);
    let task = task(&mut chance);
    let mut witness = Witness { task: task.clone(), last: Observation::default() };
    let mut host = Host::new().await;
    host.run(task.clone());
    let mut is_stopped = false;
    for _ in 0..STEPS {
        match chance.below(10) {
            0..=4 => host.advance(secs(chance.below(40))),
            5 => host.advance(secs(600)),
            6 => {
                host = host.restart().await;
                if !is_stopped && chance.below(2) == 0 {
                    host.run(task.clone());
                }
            }
            7 => host.order(TASK, 1, Order::Run(std::sync::Arc::new(task.clone()))),
            8 if chance.below(6) == 0 => {
                is_stopped = true;
                host.order(TASK, 1, Order::Stop);
            }
            _ => {}
        }
        if chance.below(3) > 0 {
            host.settle().await;
        }
        witness.look(&mut host);
    }
    host.order(TASK, 1, Order::Stop);
    while witness.last.phase != Phase::Stopped {
        let seen = host.report(TASK, |_| true).await.observation;
        witness.take(seen);
    }
    let record = host.runtime.state(TASK).await.unwrap();
    for seen in &witness.last.containers {
        let kept = record.as_ref().and_then(|record| record.container(&seen.name));
        assert_eq!(seen.exit, kept.and_then(|kept| kept.exit.clone()), "{seen:?}");
        assert_eq!(seen.started_at, kept.map(|kept| kept.started_at), "{seen:?}");
        assert!(seen.health.is_none(), "{seen:?}");
    }
    host.agent.close().await;
}

fn task(chance: &mut Chance) -> Assignment {
    let count = 1 + chance.below(4) as usize;
    let names = ["a", "b", "c", "d"];
    let directions: Vec<String> = (0..count).map(|_| label(chance)).collect();
    let containers: Vec<(&str, bool, &str)> = (0..count)
        .map(|index| (names[index], index == 0 || chance.below(4) == 0, directions[index].as_str()))
        .collect();
    let mut task = assignment(TASK, &containers);
    for index in 0..count {
        let spec = &mut task.containers[index];
        if chance.below(2) == 0 {
            spec.health_check = Some(HealthCheck {
                command: vec!["true".to_owned()],
                interval: secs(5 + chance.below(20)),
                timeout: secs(2),
                retries: 1 + chance.below(3) as u32,
                start_period: secs(chance.below(2) * 30),
            });
        }
        if chance.below(3) == 0 {
            let attempt_period = secs(20 + chance.below(60));
            spec.restart = Some(RestartPolicy { ignored_exit_codes: vec![0], attempt_period });
        }
        if chance.below(3) == 0 {
            spec.start_timeout = Some(secs(2 + chance.below(100)));
        }
        // The first may wait for the others, as essential containers do.
        let others = if index == 0 { 1..count } else { index + 1..count };
        for other in others {
            let condition = match chance.below(12) {
                0 => Condition::Start,
                1 => Condition::Complete,
                2 => Condition::Success,
                3 => Condition::Healthy,
                _ => continue,
            };
            task.containers[index]
                .depends_on
                .push(Dependency { container: names[other].to_owned(), condition });
        }
    }
    task
}

fn label(chance: &mut Chance) -> String {
    let after = chance.below(200);
    match chance.below(6) {
        0 => format!("exit=0 after={after}s"),
        1 => format!("exit=3 after={after}s"),
        2 => format!("unhealthy after={after}s"),
        3 => format!("exit=0 after={after}s unhealthy after={}s", after / 2),
        4 if chance.below(4) == 0 => "explode".to_owned(),
        _ => String::new(),
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Compares every report with the one before.
struct Witness {
    task: Assignment,
    last: Observation,
}

impl Witness {
    fn look(&mut self, host: &mut Host) {
        while let Some(observed) = host.next_report() {
            self.take(observed.observation);
        }
    }

    fn take(&mut self, seen: Observation) {
        self.check(&seen);
        self.last = seen;
    }

    fn check(&self, seen: &Observation) {
        let last = &self.last;
        assert!(seen.phase >= last.phase, "{last:?}\n{seen:?}");
        for (before, now) in last.containers.iter().zip(&seen.containers) {
            assert!(now.restarts >= before.restarts, "{before:?}\n{now:?}");
            if before.exit.is_some() {
                assert_eq!((&before.exit, before.restarts), (&now.exit, now.restarts), "an end is final");
            }
            if last.phase >= Phase::Stopping {
                assert_eq!(before.started_at, now.started_at, "a start after the stop");
            }
        }
        for container in &seen.containers {
            let runs = container.started_at.is_some() && container.exit.is_none();
            assert!(container.health.is_none() || runs, "the health of what does not run: {container:?}");
            assert!(seen.phase < Phase::Stopped || !runs, "it runs in a stopped task: {container:?}");
            self.check_order(seen, &container.name, container.started_at);
        }
        if seen.phase == Phase::Running {
            let essential = self.task.containers.iter().filter(|spec| spec.essential);
            let mut seen = essential.filter_map(|spec| seen.containers.iter().find(|c| c.name == spec.name));
            assert!(seen.all(|c| c.started_at.is_some()), "it runs without what is essential");
        }
    }

    fn check_order(&self, seen: &Observation, name: &str, started_at: Option<Timestamp>) {
        let Some(started_at) = started_at else { return };
        let spec = self.task.containers.iter().find(|spec| spec.name == name).unwrap();
        for Dependency { container, condition } in &spec.depends_on {
            let on = seen.containers.iter().find(|seen| seen.name == *container).unwrap();
            let first_start = on.restarts == 0;
            assert!(on.started_at.is_some(), "{name} has started before {container}");
            assert!(!first_start || on.started_at.unwrap() <= started_at, "{name} {container}");
            match condition {
                Condition::Start | Condition::Healthy => {}
                Condition::Complete => assert!(on.exit.is_some(), "{container} has not completed"),
                Condition::Success => assert_eq!(on.exit.as_ref().map(|exit| exit.code), Some(0)),
            }
        }
    }
}
