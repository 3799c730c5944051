//! A small world around [`rolling::step`]: tasks that start, become healthy, fail and leave because a
//! test says so. Every decision is checked against the promises before it is carried out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use core_rollout::health::{Rules, Verdict, verdict};
use core_rollout::rolling::{self, Blocked, Goal, Kept, Step, Why};
use core_rollout::throttle::Throttle;
use core_rollout::{Stage, Target, TargetState, TaskView};

pub struct World {
    pub now: Timestamp,
    pub goal: Goal,
    pub tasks: Vec<TaskView>,
    pub throttle: Throttle,
    /// Targets that a new task has; else it counts once it has settled.
    pub is_balanced: bool,
    pub born: u32,
    /// Decisions made, starts and stops carried out.
    pub steps: u64,
    pub starts: u64,
    pub stops: u64,
    pub vice: Option<Vice>,
    /// No more are started in one go, whatever is decided.
    pub most_started: usize,
}

/// What a bad decider does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vice {
    StopsOneMore,
    StartsOneMore,
    StopsProtected,
    StartsTheOld,
    Trickles,
    NeverWakes,
    NeverStarts,
    NeverStops,
    SaysSteady,
}

impl World {
    pub fn new(desired: u32, minimum_percent: u32, maximum_percent: u32) -> World {
        World {
            now: Timestamp::from_secs(1_000),
            goal: Goal {
                desired,
                minimum_percent,
                maximum_percent,
                current: Arc::from("v1"),
                rules: Rules { grace: Duration::ZERO, settles: Duration::from_secs(5) },
                zones: Vec::new(),
                is_rebalanced: false,
                kept: None,
                is_halted: false,
            },
            tasks: Vec::new(),
            throttle: Throttle::default(),
            is_balanced: true,
            born: 0,
            steps: 0,
            starts: 0,
            stops: 0,
            vice: None,
            most_started: usize::MAX,
        }
    }

    /// A new deployment; what a completed one left is kept up.
    pub fn deploy(&mut self, revision: &str, keeps: bool) {
        if keeps {
            let (revision, throttle) = (self.goal.current.clone(), Throttle::default());
            self.goal.kept = Some(Kept { revision, throttle });
        }
        self.goal.current = Arc::from(revision);
        if self.goal.kept.as_ref().is_some_and(|kept| kept.revision == self.goal.current) {
            self.goal.kept = None;
        }
        self.goal.is_halted = false;
        self.throttle = Throttle::default();
    }

    pub fn floor(&self) -> usize {
        (self.goal.desired as usize * self.goal.minimum_percent as usize).div_ceil(100)
    }

    pub fn ceiling(&self) -> usize {
        self.goal.desired as usize * self.goal.maximum_percent as usize / 100
    }

    pub fn verdict(&self, task: &TaskView) -> Verdict {
        verdict(task, self.goal.rules, self.now)
    }

    pub fn live(&self) -> impl Iterator<Item = &TaskView> {
        self.tasks.iter().filter(|task| task.stage != Stage::Leaving)
    }

    pub fn healthy(&self) -> usize {
        self.live().filter(|task| self.verdict(task) == Verdict::Healthy).count()
    }

    pub fn decide(&self) -> Step {
        let mut step = rolling::step(&self.goal, &self.tasks, &self.throttle, self.now);
        // Costly, hence not always.
        if self.steps.is_multiple_of(4) {
            let mut other = self.tasks.clone();
            other.reverse();
            let again = rolling::step(&self.goal, &other, &self.throttle, self.now);
            assert_eq!(step, again, "equal tasks, in another order");
        }
        if let Some(vice) = self.vice {
            self.spoil(&mut step, vice);
        }
        step
    }

    fn spoil(&self, step: &mut Step, vice: Vice) {
        let stop = |task: &TaskView| rolling::Stop { task: task.id.clone(), why: Why::Replaced };
        match vice {
            Vice::StopsOneMore => {
                let mut healthy = self.live().filter(|task| self.verdict(task) == Verdict::Healthy);
                step.stop.extend(healthy.next().filter(|_| step.stop.is_empty()).map(stop));
            }
            Vice::StopsProtected => {
                let mut old = self.live().filter(|task| task.revision != self.goal.current);
                step.stop.extend(old.find(|task| task.is_protected).map(stop));
            }
            Vice::StartsOneMore => step.start.extend(step.start.first().cloned()),
            Vice::StartsTheOld => {
                step.start.iter_mut().for_each(|start| start.revision = Arc::from("v0"));
            }
            // What has just been started is stopped again.
            Vice::Trickles => {
                let mut coming = self.live().filter(|task| task.stage == Stage::Coming);
                step.stop.extend(coming.next().filter(|_| step.stop.is_empty()).map(stop));
            }
            Vice::NeverWakes => step.wake_at = None,
            Vice::NeverStarts => step.start.clear(),
            Vice::NeverStops => step.stop.clear(),
            Vice::SaysSteady => step.is_steady = step.blocked.is_none() && step.start.is_empty(),
        }
    }

    /// The promises, of one decision.
    pub fn check(&self, step: &Step) {
        let live = self.live().count();
        let (starts, goal) = (step.start.len(), &self.goal);
        assert!(starts == 0 || live + starts <= self.ceiling(), "over the ceiling: {}", self.shown());
        let mut stopped = BTreeSet::new();
        for stop in &step.stop {
            assert!(stopped.insert(stop.task.clone()), "{} stops twice", stop.task);
            let task = self.live().find(|task| task.id == stop.task).expect("it is live");
            let is_unhealthy = matches!(self.verdict(task), Verdict::Unhealthy(_));
            assert!(!task.is_protected || is_unhealthy, "{} is protected", task.id);
            assert_eq!(matches!(stop.why, Why::Unhealthy(_)), is_unhealthy, "{stop:?}");
        }
        let is_healthy = |task: &&TaskView| self.verdict(task) == Verdict::Healthy;
        let leaving = self.live().filter(is_healthy).filter(|task| stopped.contains(&task.id)).count();
        let left = self.healthy() - leaving;
        assert!(leaving == 0 || left >= self.floor(), "under the floor: {}", self.shown());
        for start in &step.start {
            let is_kept = goal.kept.as_ref().is_some_and(|kept| kept.revision == start.revision);
            assert!(is_kept || (start.revision == goal.current && !goal.is_halted), "{start:?}");
            assert_eq!(start.zone.is_none(), goal.zones.is_empty());
        }
        assert!(step.wake_at.is_none_or(|at| at > self.now), "it would wake at once, for ever");
        let is_idle = step.start.is_empty() && step.stop.is_empty();
        let is_complete = self.live().all(|task| task.revision == goal.current)
            && live == self.healthy()
            && live == goal.desired as usize;
        assert!(!step.is_steady || (is_idle && is_complete && step.blocked.is_none()), "{step:?}");
        // Whoever waits can say what for.
        let is_waiting = self.live().any(|task| matches!(self.verdict(task), Verdict::Waiting { .. }));
        let is_explained = step.is_steady || step.blocked.is_some() || is_waiting || goal.is_halted;
        assert!(!is_idle || is_explained || is_complete, "stuck: {} {step:?}", self.shown());
        for task in self.live() {
            if let Verdict::Waiting { until: Some(until) } = self.verdict(task) {
                assert!(step.wake_at.is_some_and(|at| at <= until), "{} is forgotten", task.id);
            }
        }
        if let Some(Blocked::Throttled { until }) = step.blocked {
            assert!(step.wake_at.is_some_and(|at| at <= until), "the throttle is forgotten");
        }
    }

    /// Decides, checks and carries out.
    pub fn act(&mut self) -> Step {
        let step = self.decide();
        self.check(&step);
        self.steps += 1;
        for stop in &step.stop {
            self.stops += 1;
            let task = self.task(&stop.task);
            task.stage = Stage::Leaving;
            for target in &mut task.targets {
                target.state = TargetState::Draining;
            }
        }
        for start in step.start.iter().take(self.most_started) {
            self.starts += 1;
            let zone = start.zone.clone().unwrap_or_else(|| Arc::from("a"));
            self.add(&start.revision.clone(), zone);
        }
        step
    }

    fn add(&mut self, revision: &Arc<str>, zone: Arc<str>) {
        let target = Target { group: Arc::from("web"), port: 80, state: TargetState::Initial };
        self.tasks.push(TaskView {
            id: name(self.born),
            revision: revision.clone(),
            stage: Stage::Coming,
            created_at: self.now,
            running_at: None,
            check: None,
            targets: if self.is_balanced { vec![target] } else { Vec::new() },
            is_protected: false,
            zone,
        });
        self.born += 1;
    }

    pub fn task(&mut self, id: &str) -> &mut TaskView {
        let found = self.tasks.iter_mut().find(|task| &*task.id == id);
        found.unwrap_or_else(|| panic!("no task {id}"))
    }

    pub fn run(&mut self, id: &str) {
        let now = self.now;
        let task = self.task(id);
        task.stage = Stage::Running;
        task.running_at = Some(now);
        let revision = self.task(id).revision.clone();
        match &mut self.goal.kept {
            Some(kept) if kept.revision == revision => kept.throttle = kept.throttle.after_success(),
            _ => self.throttle = self.throttle.after_success(),
        }
    }

    pub fn say(&mut self, id: &str, state: TargetState) {
        self.task(id).targets.iter_mut().for_each(|target| target.state = state);
    }

    /// It has ended, by itself or because it was told to.
    pub fn end(&mut self, id: &str) {
        let place = self.tasks.iter().position(|task| &*task.id == id).expect("it is there");
        let task = self.tasks.remove(place);
        if task.running_at.is_none() && task.stage == Stage::Coming {
            let now = self.now;
            match &mut self.goal.kept {
                Some(kept) if kept.revision == task.revision => {
                    kept.throttle = kept.throttle.after_failure(now);
                }
                _ if task.revision == self.goal.current => {
                    self.throttle = self.throttle.after_failure(now);
                }
                _ => {}
            }
        }
    }

    /// For messages of failures.
    pub fn shown(&self) -> String {
        let Goal { desired, minimum_percent, maximum_percent, current, .. } = &self.goal;
        let tasks: Vec<String> = self
            .tasks
            .iter()
            .map(|task| {
                let verdict = self.verdict(task);
                format!("{} {} {:?} {verdict:?} in {}", task.id, task.revision, task.stage, task.zone)
            })
            .collect();
        format!("{desired} of {current} at {minimum_percent}/{maximum_percent}: {tasks:#?}")
    }
}

/// `a` … `z`, `a1`, `b1` …
pub fn name(number: u32) -> Arc<str> {
    let letter = char::from(b'a' + u8::try_from(number % 26).expect("less than 26"));
    let round = number / 26;
    Arc::from(if round == 0 { letter.to_string() } else { format!("{letter}{round}") })
}

pub fn number(name: &str) -> u32 {
    let letter = u32::from(name.as_bytes()[0] - b'a');
    letter + 26 * name[1..].parse::<u32>().unwrap_or(0)
}
