//! One week of a hundred services under a simulated clock: deployments good and bad, scaling, tasks
//! that crash, sicken and get well. A small controller decides only when something happens or when
//! a decision has asked to be woken, counts failures, rolls back and completes; every decision is
//! checked against the promises.
//!
//! `BOXSHIP_LONG=1` lets twenty weeks pass; `BOXSHIP_SEED=n` one of them, as a failure says.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use base::{Chance, Timestamp};
use core_rollout::breaker::{Count, Event, Threshold};
use core_rollout::completion::{Criteria, is_done};
use core_rollout::health::Verdict;
use core_rollout::rolling::{Blocked, Why};
use core_rollout::{Stage, TargetState};

use crate::world::World;

const SERVICES: u64 = 100;
const WEEKS: u64 = 1;
const LONG: u64 = 20;
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
const HOUR: u64 = 3600;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Occasion {
    Deploy,
    Scale,
    Runs(Arc<str>),
    Dies(Arc<str>),
    Says(Arc<str>, bool),
    Gone(Arc<str>),
    Wake,
}

/// What tasks of a revision are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Good,
    /// Its tasks never reach RUNNING.
    Broken,
    /// Its tasks run, and are never healthy.
    Sick,
    /// Its tasks crash soon after they were healthy.
    Fragile,
}

#[derive(Debug, Default)]
struct Tally {
    deployed: u64,
    completed: u64,
    rolled_back: u64,
    crashed: u64,
    decisions: u64,
}

struct Service {
    world: World,
    chance: Chance,
    agenda: BinaryHeap<Reverse<(Timestamp, u64, Occasion)>>,
    entries: u64,
    wakes: BTreeSet<Timestamp>,
    kinds: BTreeMap<Arc<str>, Kind>,
    completed: Option<Arc<str>>,
    is_deploying: bool,
    is_over: bool,
    count: Count,
    criteria: Criteria,
    /// Tasks that have been healthy.
    proven: BTreeSet<Arc<str>>,
    tally: Tally,
}

#[test]
fn a_week_of_a_hundred_services() {
    let one = std::env::var_os("BOXSHIP_SEED").and_then(|seed| seed.to_str()?.parse().ok());
    let weeks = if std::env::var_os("BOXSHIP_LONG").is_some() { LONG } else { WEEKS };
    let seeds = one.map_or(0..weeks * SERVICES, |seed: u64| seed..seed + 1);
    let mut sum = Tally::default();
    for seed in seeds {
        match std::panic::catch_unwind(|| week(seed)) {
            Ok(tally) => {
                sum.deployed += tally.deployed;
                sum.completed += tally.completed;
                sum.rolled_back += tally.rolled_back;
                sum.crashed += tally.crashed;
                sum.decisions += tally.decisions;
            }
            Err(cause) => {
                eprintln!("BOXSHIP_SEED={seed} fails");
                std::panic::resume_unwind(cause);
            }
        }
    }
    println!("{sum:?}");
    if one.is_none() {
        // Weeks in which nothing happens would prove nothing.
        assert!(sum.deployed > 1_000 && sum.crashed > 1_000, "{sum:?}");
        assert!(sum.completed > sum.deployed / 4 && sum.rolled_back > sum.deployed / 10, "{sum:?}");
    }
}

/// Lets one service live through it.
fn week(seed: u64) -> Tally {
    let mut service = Service::new(Chance::new(seed));
    let end = service.world.now + WEEK;
    service.decide();
    while let Some(Reverse((at, _, occasion))) = service.agenda.pop() {
        assert!(at >= service.world.now, "time runs backwards");
        service.world.now = at;
        service.is_over = at > end;
        service.happen(occasion);
        service.decide();
    }
    service.check_rest();
    service.tally
}

impl Service {
    fn new(mut chance: Chance) -> Service {
        let pairs = [(100, 200), (50, 100), (100, 150), (0, 100), (50, 200), (75, 125)];
        let (minimum, maximum) = pairs[chance.below(pairs.len() as u64) as usize];
        let mut world = World::new(1 + chance.below(10) as u32, minimum, maximum);
        world.goal.zones =
            ["a", "b", "c"].into_iter().take(chance.below(4) as usize).map(Arc::from).collect();
        world.goal.is_rebalanced = chance.below(2) == 0;
        world.goal.rules.grace = Duration::from_secs(chance.below(3) * 30);
        let early = Criteria::early(100, false);
        let mut service = Service {
            criteria: if chance.below(4) == 0 { early } else { Criteria::default() },
            kinds: BTreeMap::from([(world.goal.current.clone(), Kind::Good)]),
            completed: None,
            is_deploying: true,
            is_over: false,
            count: Count::default(),
            proven: BTreeSet::new(),
            tally: Tally::default(),
            agenda: BinaryHeap::new(),
            entries: 0,
            wakes: BTreeSet::new(),
            world,
            chance,
        };
        service.later(HOUR, 8 * HOUR, Occasion::Deploy);
        service.later(HOUR, 12 * HOUR, Occasion::Scale);
        service
    }

    /// In so many seconds, at least and at most.
    fn later(&mut self, least: u64, most: u64, occasion: Occasion) {
        let wait = least * 1_000 + self.chance.below((most - least) * 1_000 + 1);
        self.at(self.world.now + Duration::from_millis(wait), occasion);
    }

    fn at(&mut self, at: Timestamp, occasion: Occasion) {
        self.entries += 1;
        self.agenda.push(Reverse((at, self.entries, occasion)));
    }

    fn happen(&mut self, occasion: Occasion) {
        match occasion {
            Occasion::Deploy if !self.is_over => self.deploy(),
            Occasion::Scale if !self.is_over => {
                self.world.goal.desired = 1 + self.chance.below(12) as u32;
                self.later(HOUR, 24 * HOUR, Occasion::Scale);
            }
            Occasion::Runs(id) if self.is_live(&id) => self.runs(id),
            Occasion::Dies(id) if self.is_live(&id) => {
                self.tally.crashed += 1;
                self.failed(&id);
                self.world.end(&id);
            }
            Occasion::Says(id, is_healthy) if self.is_live(&id) => {
                let state = if is_healthy { TargetState::Healthy } else { TargetState::Unhealthy };
                self.world.say(&id, state);
            }
            Occasion::Gone(id) => self.world.end(&id),
            _ => {}
        }
    }

    fn is_live(&self, id: &str) -> bool {
        self.world.live().any(|task| *task.id == *id)
    }

    fn deploy(&mut self) {
        self.tally.deployed += 1;
        let revision: Arc<str> = Arc::from(format!("v{}", self.tally.deployed + 1));
        let kind = match self.chance.below(8) {
            0 => Kind::Broken,
            1 => Kind::Sick,
            2 => Kind::Fragile,
            _ => Kind::Good,
        };
        self.kinds.insert(revision.clone(), kind);
        let keeps = !self.is_deploying;
        self.begin(&revision, keeps);
        // Now and then the next one comes in the middle of it.
        let soon = self.chance.below(5) == 0;
        let (least, most) = if soon { (1, 120) } else { (2 * HOUR, 10 * HOUR) };
        self.later(least, most, Occasion::Deploy);
    }

    fn begin(&mut self, revision: &str, keeps: bool) {
        self.world.deploy(revision, keeps);
        self.is_deploying = true;
        self.count = Count::default();
    }

    fn runs(&mut self, id: Arc<str>) {
        self.world.run(&id);
        let revision = self.world.task(&id).revision.clone();
        let is_good = self.kinds[&revision] != Kind::Sick;
        self.later(1, 40, Occasion::Says(id.clone(), is_good));
        if self.kinds[&revision] == Kind::Fragile && !self.is_over {
            self.later(60, 4 * HOUR, Occasion::Dies(id));
        } else if self.chance.below(3) == 0 && !self.is_over {
            self.later(HOUR, 48 * HOUR, Occasion::Dies(id));
        } else if self.chance.below(3) == 0 && !self.is_over {
            self.later(HOUR, 48 * HOUR, Occasion::Says(id.clone(), false));
            self.later(48 * HOUR, 48 * HOUR, Occasion::Says(id, is_good));
        }
    }

    /// A task of the deployment's revision is of no use any more.
    fn failed(&mut self, id: &str) {
        let revision = self.world.task(id).revision.clone();
        if self.is_deploying && revision == self.world.goal.current {
            self.count = self.count.after(Event::Failed, true);
        }
    }

    fn decide(&mut self) {
        loop {
            self.prove();
            self.conclude();
            let first = self.world.tasks.len();
            let step = self.world.act();
            self.tally.decisions += 1;
            for stop in &step.stop {
                if matches!(stop.why, Why::Unhealthy(_)) {
                    self.failed(&stop.task);
                }
                self.later(1, 300, Occasion::Gone(stop.task.clone()));
            }
            let started: Vec<_> = self.world.tasks[first..].iter().map(|task| task.id.clone()).collect();
            for id in started {
                match self.kinds[&self.world.task(&id).revision.clone()] {
                    Kind::Broken => self.later(1, 30, Occasion::Dies(id)),
                    Kind::Good | Kind::Sick | Kind::Fragile => self.later(1, 60, Occasion::Runs(id)),
                }
            }
            if step.start.is_empty() && step.stop.is_empty() {
                if let Some(at) = step.wake_at.filter(|at| self.wakes.insert(*at)) {
                    self.at(at, Occasion::Wake);
                }
                return;
            }
        }
    }

    fn prove(&mut self) {
        let world = &self.world;
        let is_new = |id: &Arc<str>| !self.proven.contains(id);
        let healthy = world.live().filter(|task| world.verdict(task) == Verdict::Healthy);
        let new: Vec<_> = healthy.filter(|task| is_new(&task.id)).cloned().collect();
        for task in new {
            if self.is_deploying && task.revision == self.world.goal.current {
                self.count = self.count.after(Event::Healthy, true);
            }
            self.proven.insert(task.id);
        }
    }

    /// The deployment is complete, or given up.
    fn conclude(&mut self) {
        let World { goal, tasks, now, .. } = &self.world;
        if self.is_deploying && is_done(goal, self.criteria, tasks, *now) {
            self.tally.completed += 1;
            self.is_deploying = false;
            self.completed = Some(goal.current.clone());
            self.world.goal.kept = None;
        } else if self.is_deploying && self.count.is_tripped(Threshold::default(), goal.desired) {
            self.tally.rolled_back += 1;
            match self.completed.clone() {
                Some(revision) if revision != self.world.goal.current => {
                    self.begin(&revision, false);
                    self.world.goal.kept = None;
                }
                // Rolling back has failed, or there is nothing to go back to.
                _ => self.count = Count::default(),
            }
        }
    }

    /// Nothing was to happen any more.
    fn check_rest(&self) {
        let step = self.world.decide();
        let is_tight = self.world.floor() == self.world.ceiling();
        let is_stuck = is_tight && step.blocked == Some(Blocked::NoRoom);
        assert!(step.is_steady || is_stuck, "no rest: {} {step:?}", self.world.shown());
        assert!(is_stuck || !self.is_deploying, "never completed: {}", self.world.shown());
        assert!(self.world.tasks.iter().all(|task| task.stage == Stage::Running));
        let kind = self.kinds[&self.world.goal.current];
        assert!(is_stuck || matches!(kind, Kind::Good | Kind::Fragile), "{kind:?}");
    }
}
