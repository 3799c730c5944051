//! What one decision about a service costs, through whole rolling updates.
//!
//! `cargo run --release -p core-rollout --example decide -- [TASKS]` rolls a service of ten tasks, or so many,
//! out again and again, every task healthy as soon as it has run for a while, and prints the time of a step.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Timestamp;
use core_rollout::health::Rules;
use core_rollout::rolling::{Goal, SETTLES, Step, step};
use core_rollout::throttle::Throttle;
use core_rollout::{Stage, TaskView};

/// Rolling updates that are measured.
const UPDATES: u32 = 2_000;
const TICK: Duration = Duration::from_secs(1);

fn main() {
    let tasks: u32 = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(10);
    for (minimum_percent, maximum_percent) in [(100, 200), (50, 100), (100, 150)] {
        let mut times = Vec::new();
        let mut service = Service::new(tasks, minimum_percent, maximum_percent);
        for number in 0..UPDATES * 10 / tasks.max(10) {
            service.roll(number, &mut times);
        }
        times.sort_unstable();
        let of = |share: usize| times[(times.len() * share / 1000).min(times.len() - 1)].as_secs_f64() * 1e6;
        println!(
            "{tasks} tasks at {minimum_percent}/{maximum_percent}: {} decisions, median {:.1} µs, \
             p99 {:.1} µs, p99.9 {:.1} µs, most {:.1} µs",
            times.len(),
            of(500),
            of(990),
            of(999),
            of(1000),
        );
    }
}

struct Service {
    goal: Goal,
    tasks: Vec<TaskView>,
    now: Timestamp,
    started: u64,
}

impl Service {
    fn new(desired: u32, minimum_percent: u32, maximum_percent: u32) -> Service {
        let zones = ["us-east-1a", "us-east-1b", "us-east-1c"].map(Arc::from).to_vec();
        let goal = Goal {
            desired,
            minimum_percent,
            maximum_percent,
            current: Arc::from("0"),
            rules: Rules { grace: Duration::ZERO, settles: SETTLES },
            zones,
            is_rebalanced: true,
            kept: None,
            is_halted: false,
        };
        Service { goal, tasks: Vec::new(), now: Timestamp::EPOCH, started: 0 }
    }

    /// Brings every task to a new revision.
    fn roll(&mut self, number: u32, times: &mut Vec<Duration>) {
        self.goal.current = Arc::from(format!("{number:019}"));
        loop {
            let began = Instant::now();
            let step = step(&self.goal, &self.tasks, &Throttle::default(), self.now);
            times.push(began.elapsed());
            if step.is_steady {
                return;
            }
            self.obey(step);
            self.now = self.now + TICK;
        }
    }

    fn obey(&mut self, step: Step) {
        for task in &mut self.tasks {
            task.stage = task.stage.max(Stage::Running);
            task.running_at.get_or_insert(self.now);
        }
        self.tasks.retain(|task| step.stop.iter().all(|stop| stop.task != task.id));
        for start in step.start {
            self.started += 1;
            self.tasks.push(TaskView {
                id: Arc::from(format!("{:032x}", self.started)),
                revision: start.revision,
                stage: Stage::Coming,
                created_at: self.now,
                running_at: None,
                check: None,
                targets: Vec::new(),
                is_protected: false,
                zone: start.zone.unwrap_or_else(|| Arc::from("us-east-1a")),
            });
        }
    }
}
