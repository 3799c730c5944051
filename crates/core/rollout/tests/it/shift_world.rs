//! A service in the middle of a deployment, for transcripts and random histories.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use base::{Chance, Timestamp};
use core_rollout::health::{Rules, Verdict, verdict};
use core_rollout::shift::{
    Goal, Heard, HookState, Outcome, Pace, Pause, Shift, Stage, Step, Throttles, step,
};
use core_rollout::{Check, Stage as TaskStage, TaskView, rolling};

pub const BLUE: &str = "blue";
pub const GREEN: &str = "green";
pub const RED: &str = "red";

pub struct World {
    pub goal: Goal,
    pub shift: Shift,
    pub tasks: Vec<TaskView>,
    pub now: Timestamp,
    pub outcome: Option<Outcome>,
    pub answers: BTreeMap<String, bool>,
    pub is_stopped: bool,
    pub is_tripped: bool,
    pub is_broken: bool,
    pub wake_at: Option<Timestamp>,
    pub log: String,
    chance: Chance,
    made: usize,
}

impl World {
    /// `old` healthy blue tasks; none: a first deployment.
    pub fn new(desired: u32, old: Option<usize>, pace: Pace) -> World {
        let now = Timestamp::from_millis(1_000_000);
        let set = rolling::Goal {
            desired,
            minimum_percent: 100,
            maximum_percent: 200,
            current: Arc::from(GREEN),
            rules: Rules { grace: Duration::ZERO, settles: Duration::from_secs(5) },
            zones: Vec::new(),
            is_rebalanced: false,
            kept: None,
            is_halted: false,
        };
        let goal = Goal { set, pace, bake: Duration::ZERO, pauses: Vec::new(), has_test: true };
        let mut world = World {
            goal,
            shift: Shift::begin(old.map(|_| String::from(BLUE)), true, false, now),
            tasks: Vec::new(),
            now,
            outcome: None,
            answers: BTreeMap::new(),
            is_stopped: false,
            is_tripped: false,
            is_broken: false,
            wake_at: None,
            log: String::new(),
            chance: Chance::new(7),
            made: 0,
        };
        for _ in 0..old.unwrap_or_default() {
            world.add(BLUE, true);
        }
        world
    }

    pub fn add(&mut self, revision: &str, is_healthy: bool) {
        self.made += 1;
        self.tasks.push(TaskView {
            id: Arc::from(format!("{revision}-{}", self.made)),
            revision: Arc::from(revision),
            stage: if is_healthy { TaskStage::Running } else { TaskStage::Coming },
            created_at: self.now,
            running_at: is_healthy.then_some(self.now),
            check: Some(if is_healthy { Check::Passing } else { Check::Waiting }),
            targets: Vec::new(),
            is_protected: false,
            zone: Arc::from("a"),
        });
    }

    /// Whatever is on its way arrives, up to `most` tasks of any revision.
    pub fn arrive(&mut self, most: usize) {
        let now = self.now;
        let coming = self.tasks.iter_mut().filter(|task| task.stage == TaskStage::Coming);
        for task in coming.take(most) {
            task.stage = TaskStage::Running;
            task.running_at = Some(now);
            task.check = Some(Check::Passing);
        }
    }

    /// Tasks that were told to stop are gone.
    pub fn leave(&mut self) {
        self.tasks.retain(|task| task.stage != TaskStage::Leaving);
    }

    pub fn healthy(&self, revision: &str) -> usize {
        let of = self.tasks.iter().filter(|task| &*task.revision == revision);
        of.filter(|task| verdict(task, self.goal.set.rules, self.now) == Verdict::Healthy).count()
    }

    pub fn live(&self, revision: &str) -> usize {
        let of = self.tasks.iter().filter(|task| &*task.revision == revision);
        of.filter(|task| task.stage != TaskStage::Leaving).count()
    }

    /// One decision, not carried out.
    pub fn decide(&mut self) -> Step {
        let heard = Heard {
            is_stopped: self.is_stopped,
            answers: Some(&self.answers),
            is_tripped: self.is_tripped,
            is_broken: self.is_broken,
        };
        let throttles = Throttles::default();
        step(&self.goal, &self.shift, &heard, &self.tasks, throttles, self.now, &mut self.chance)
    }

    /// Carries a decision out, and says what it was.
    pub fn carry_out(&mut self, step: &Step) {
        let before = self.shift.clone();
        self.shift = step.shift.clone();
        self.outcome = step.outcome;
        self.wake_at = step.wake_at;
        self.tell(&before, step);
        for stop in &step.stop {
            let task = self.tasks.iter_mut().find(|task| task.id == stop.task).expect("what stops is there");
            task.stage = TaskStage::Leaving;
        }
        for start in &step.start {
            self.add(&start.revision, false);
        }
    }

    /// Decides until nothing changes any more.
    pub fn settle(&mut self) {
        for _ in 0..50 {
            if self.outcome.is_some() {
                return;
            }
            let step = self.decide();
            let is_idle = step.start.is_empty() && step.stop.is_empty() && step.outcome.is_none();
            let is_same = step.shift == self.shift;
            self.carry_out(&step);
            if is_idle && is_same {
                if let Some(at) = self.wake_at {
                    let text = format!("wake +{}s", at.since(self.now).as_secs());
                    self.say(&text);
                }
                return;
            }
        }
        panic!("it does not settle: {:?}", self.shift);
    }

    fn tell(&mut self, before: &Shift, step: &Step) {
        let shift = step.shift.clone();
        if let (None, Some(back)) = (&before.back, &shift.back) {
            self.say(&format!("back: {:?}", back.why));
        }
        if before.stage != shift.stage || before.since != shift.since {
            self.say(&format!("stage {:?}", shift.stage));
        }
        if before.weights != shift.weights {
            self.say(&format!("weights production={} test={}", shift.weights.production, shift.weights.test));
        }
        for hook in &shift.hooks[before.hooks.len()..] {
            self.say(&format!("pause at {:?}", hook.stage));
        }
        for (old, new) in before.hooks.iter().zip(&shift.hooks) {
            if old.state != new.state {
                self.say(&format!("pause {:?}", new.state));
            }
        }
        for revision in [BLUE, GREEN, RED] {
            let starts = step.start.iter().filter(|start| &*start.revision == revision).count();
            let of = |id: &str| id.starts_with(revision);
            let stops = step.stop.iter().filter(|stop| of(&stop.task)).count();
            for (verb, count) in [("start", starts), ("stop", stops)] {
                if count > 0 {
                    self.say(&format!("{verb} {count} {revision}"));
                }
            }
        }
        if let Some(outcome) = step.outcome {
            self.say(&format!("{outcome:?}"));
        }
    }

    fn say(&mut self, text: &str) {
        writeln!(self.log, "{text}").expect("a string takes it");
    }

    pub fn answer(&mut self, continues: bool) {
        let awaiting = self.shift.hooks.iter().filter(|hook| hook.state == HookState::Awaiting);
        self.answers.extend(awaiting.map(|hook| (hook.id.clone(), continues)));
    }

    pub fn pause(&mut self, stage: Stage, minutes: u64, continues: bool) {
        let timeout = Duration::from_secs(minutes * 60);
        self.goal.pauses.push(Pause { stages: vec![stage], timeout, continues });
    }
}
