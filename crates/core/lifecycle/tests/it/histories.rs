//! Random histories of one task: containers that start, fail, hang, end and are killed; a host that
//! does what [`supervision::next`] says and may be restarted at any moment; messages between it and
//! its owner that are lost, repeated and overtake each other; a clock that jumps. Whatever happens,
//! the promises in [`Owner::check`] and [`Host::check`] hold.
//!
//! `BOXSHIP_LONG=1` runs many more; `BOXSHIP_SEED=n` one of them, as a failure says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::{Chance, Timestamp};
use core_lifecycle::supervision::{Action, CheckResult, Checks, Member, Run, Standing, next, stoppable};
use core_lifecycle::{
    Condition, Container, ContainerObservation, ContainerSpec, Dependency, Exit, Facts, Failure, Goal,
    HealthCheck, HealthStatus, Observation, Phase, RestartPolicy, StopCode, Task, status_of,
};

const HISTORIES: u64 = 3_000;
const LONG: u64 = 300_000;
const STEPS: usize = 120;

#[test]
fn promises_hold_in_every_history() {
    let one = std::env::var_os("BOXSHIP_SEED").and_then(|seed| seed.to_str()?.parse().ok());
    let count = if std::env::var_os("BOXSHIP_LONG").is_some() { LONG } else { HISTORIES };
    let seeds = one.map_or(0..count, |seed: u64| seed..seed + 1);
    let mut ends = BTreeMap::<String, u64>::new();
    for seed in seeds {
        let run = std::panic::catch_unwind(|| history(seed, None));
        match run {
            Ok(end) => *ends.entry(end).or_default() += 1,
            Err(cause) => {
                eprintln!("BOXSHIP_SEED={seed} fails");
                std::panic::resume_unwind(cause);
            }
        }
    }
    if one.is_none() {
        // Histories that never get anywhere would prove nothing.
        for end in ["EssentialContainerExited", "TaskFailedToStart", "UserInitiated"] {
            assert!(ends.get(end).is_some_and(|n| *n > count / 50), "{ends:?}");
        }
    }
}

/// What a bad host does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vice {
    StartsInAnyOrder,
    StopsInAnyOrder,
    LosesExits,
    RestartsWhatItStops,
    SleepsForEver,
}

#[test]
fn bad_hosts_are_found_out() {
    let vices = [
        Vice::StartsInAnyOrder,
        Vice::StopsInAnyOrder,
        Vice::LosesExits,
        Vice::RestartsWhatItStops,
        Vice::SleepsForEver,
    ];
    for vice in vices {
        let is_found = |seed: &u64| std::panic::catch_unwind(|| history(*seed, Some(vice))).is_err();
        assert!((0..HISTORIES).any(|seed| is_found(&seed)), "{vice:?} goes unseen");
    }
}

/// Lets one task live; answers its stop code.
fn history(seed: u64, vice: Option<Vice>) -> String {
    let chance = Chance::new(seed);
    let specs = specs(&mut chance.split("specs"));
    let mut world = World::new(specs, chance);
    world.vice = vice;
    for _ in 0..STEPS {
        world.step();
    }
    world.finish();
    world.owner.task.stop_cause().map_or_else(String::new, |stop| format!("{:?}", stop.code))
}

fn specs(chance: &mut Chance) -> Vec<ContainerSpec> {
    let count = 1 + chance.below(5) as usize;
    let essential = chance.below(count as u64) as usize;
    let mut specs: Vec<ContainerSpec> = Vec::new();
    for index in 0..count {
        let mut spec = ContainerSpec { name: format!("c{index}"), ..ContainerSpec::default() };
        spec.essential = index == essential || chance.below(4) == 0;
        if chance.below(2) == 0 {
            spec.health_check = Some(HealthCheck {
                command: Vec::new(),
                interval: secs(5 + chance.below(30)),
                timeout: secs(2),
                retries: 1 + chance.below(3) as u32,
                start_period: secs(chance.below(3) * 20),
            });
        }
        if chance.below(3) == 0 {
            let attempt_period = secs(chance.below(90));
            spec.restart = Some(RestartPolicy { ignored_exit_codes: vec![7], attempt_period });
        }
        if chance.below(3) == 0 {
            spec.start_timeout = Some(secs(1 + chance.below(120)));
        }
        for other in &specs {
            if chance.below(3) > 0 {
                continue;
            }
            let condition = match chance.below(4) {
                0 if !other.essential => Condition::Complete,
                1 if !other.essential => Condition::Success,
                2 if other.health_check.is_some() => Condition::Healthy,
                _ => Condition::Start,
            };
            spec.depends_on.push(Dependency { container: other.name.clone(), condition });
        }
        specs.push(spec);
    }
    // Where a dependency stands in the definition does not matter.
    if chance.below(2) == 0 {
        specs.reverse();
    }
    specs
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What the runtime has on its disk of a container: it survives every restart.
#[derive(Debug, Clone)]
struct Process {
    started_at: Timestamp,
    exit: Option<Exit>,
    restarts: u32,
    is_healthy: bool,
}

/// The host: its note survives a restart, what it has under way does not.
struct Host {
    note: Observation,
    checks: BTreeMap<String, Checks>,
    is_ordered_to_stop: bool,
    is_started: bool,
    ended: BTreeMap<String, Exit>,
    starting: BTreeSet<String>,
    restarting: BTreeSet<String>,
    checking: BTreeSet<String>,
    told: BTreeSet<String>,
}

struct Owner {
    task: Task,
    goal: Goal,
    seen: Option<(Observation, Timestamp)>,
    sequence: u64,
}

struct World {
    now: Timestamp,
    chance: Chance,
    vice: Option<Vice>,
    specs: Vec<ContainerSpec>,
    /// The runtime.
    processes: BTreeMap<String, Process>,
    host: Host,
    owner: Owner,
    /// Reports under way, with their sequence numbers.
    up: Vec<(u64, Observation)>,
    /// Orders under way: to stop or to run.
    down: Vec<bool>,
    sequence: u64,
}

impl World {
    fn new(specs: Vec<ContainerSpec>, chance: Chance) -> World {
        World {
            now: Timestamp::from_secs(1_000),
            chance,
            vice: None,
            host: Host {
                note: observation(&specs),
                checks: BTreeMap::new(),
                is_ordered_to_stop: false,
                is_started: false,
                ended: BTreeMap::new(),
                starting: BTreeSet::new(),
                restarting: BTreeSet::new(),
                checking: BTreeSet::new(),
                told: BTreeSet::new(),
            },
            owner: Owner { task: Task::Provisioning, goal: Goal::Running, seen: None, sequence: 0 },
            specs,
            processes: BTreeMap::new(),
            up: Vec::new(),
            down: vec![false],
            sequence: 0,
        }
    }

    /// Something happens.
    fn step(&mut self) {
        let wait = if self.chance.below(20) == 0 { 600 } else { self.chance.below(12) };
        self.now = self.now + secs(wait) + Duration::from_millis(self.chance.below(1_000));
        match self.chance.below(24) {
            0..=7 => self.host_acts(),
            8..=11 => self.work_is_done(),
            12..=14 => self.something_ends(),
            15 => self.health_changes(),
            16..=18 => self.deliver(),
            19 => self.restart_host(),
            20 => self.owner_repeats(),
            21 if self.chance.below(6) == 0 => {
                let goal = Goal::Stopped { code: StopCode::UserInitiated, reason: String::from("enough") };
                self.owner.goal = goal;
            }
            _ => self.owner_plans(),
        }
    }

    /// From here on nothing is lost any more: everything comes to its end.
    fn finish(&mut self) {
        if self.owner.task.stop_cause().is_none() {
            let goal = Goal::Stopped { code: StopCode::UserInitiated, reason: String::from("the end") };
            self.owner.goal = goal;
        }
        for _ in 0..400 {
            self.now = self.now + secs(1);
            self.owner_plans();
            self.owner_repeats();
            while !self.up.is_empty() || !self.down.is_empty() {
                self.deliver();
            }
            self.host_acts();
            self.work_is_done();
        }
        assert!(self.processes.values().all(|process| process.exit.is_some()), "something runs for ever");
        assert_eq!(self.host.note.phase, Phase::Stopped);
        assert!(self.owner.task.stopped_at().is_some(), "{:?} {:?}", self.owner.task, self.host.note);
        for seen in &self.host.note.containers {
            let kept = self.processes.get(&seen.name).and_then(|process| process.exit.clone());
            assert_eq!(seen.exit, kept, "the exit of {} is lost", seen.name);
        }
    }

    fn host_acts(&mut self) {
        if !self.host.is_started || self.host.note.phase == Phase::Stopped {
            return;
        }
        self.take_in();
        if self.host.note.phase == Phase::Stopping {
            return self.host_stops();
        }
        if self.host.is_ordered_to_stop {
            if self.host.is_settled() {
                self.begin_stop(None);
            }
            return;
        }
        if self.vice == Some(Vice::StartsInAnyOrder) {
            let specs = self.specs.clone();
            let all = self.members(&specs).into_iter().filter(|member| member.run == Run::Waiting);
            let names: Vec<String> = all.map(|member| member.spec.name.clone()).collect();
            names.into_iter().for_each(|name| self.act(&specs, ("start", name, None)));
        }
        loop {
            let specs = self.specs.clone();
            let members = self.members(&specs);
            let step = next(&members, self.now);
            let standing = step.standing;
            let actions: Vec<Deed> = step.actions.into_iter().map(deed).collect();
            assert!(step.wake_at.is_none_or(|at| at > self.now), "it would wake at once, for ever");
            if standing == Standing::Over {
                if !self.host.is_settled() {
                    return;
                }
                let essential = specs.iter().filter(|spec| spec.essential);
                let mut seen = essential.filter_map(|spec| self.seen(&spec.name));
                let failure = seen.find(|seen| seen.started_at.is_none() && seen.failure.is_some());
                let failure = failure.and_then(|seen| seen.failure.clone());
                return self.begin_stop(failure);
            }
            if actions.is_empty() {
                if standing == Standing::Running && self.host.note.phase == Phase::Preparing {
                    self.host.note.phase = Phase::Running;
                }
                break;
            }
            for action in actions {
                self.act(&specs, action);
            }
        }
        self.report();
    }

    fn act(&mut self, specs: &[ContainerSpec], (what, name, failure): Deed) {
        let name = name.as_str();
        match what {
            "start" => {
                self.check_start(specs, name);
                assert!(self.host.starting.insert(String::from(name)), "{name} is started twice");
            }
            "restart" => {
                let exit = self.host.ended.get(name).expect("it has ended");
                assert_ne!(exit.code, 7, "an ignored code");
                assert!(self.host.restarting.insert(String::from(name)));
            }
            "check" => {
                assert!(self.host.checking.insert(String::from(name)), "two checks at once");
            }
            _ => self.seen_mut(name).failure = failure,
        }
    }

    /// The order of starts.
    fn check_start(&self, specs: &[ContainerSpec], name: &str) {
        let spec = specs.iter().find(|spec| spec.name == name).expect("it is specified");
        assert!(!self.processes.contains_key(name) || self.host.note.phase == Phase::Preparing);
        for Dependency { container, condition } in &spec.depends_on {
            let process = self.processes.get(container).expect("what it depends on has been started");
            let exit = process.exit.as_ref();
            match condition {
                Condition::Start => {}
                Condition::Complete => assert!(exit.is_some()),
                Condition::Success => assert_eq!(exit.map(|exit| exit.code), Some(0)),
                Condition::Healthy => {
                    let status = self.host.checks.get(container).map(|checks| checks.status);
                    assert_eq!(status, Some(HealthStatus::Healthy));
                }
            }
        }
    }

    fn begin_stop(&mut self, failure: Option<Failure>) {
        for (name, exit) in std::mem::take(&mut self.host.ended) {
            if self.vice == Some(Vice::RestartsWhatItStops) {
                self.host.restarting.insert(name.clone());
            }
            self.seen_mut(&name).exit.get_or_insert(exit);
        }
        self.host.note.failure = failure;
        self.host.note.phase = Phase::Stopping;
        self.host.checking.clear();
        self.report();
    }

    fn host_stops(&mut self) {
        let specs = self.specs.clone();
        let names: Vec<String> = match self.vice {
            Some(Vice::SleepsForEver) => Vec::new(),
            Some(Vice::StopsInAnyOrder) => specs.iter().map(|spec| spec.name.clone()).collect(),
            _ => stoppable(&self.members(&specs)).into_iter().map(String::from).collect(),
        };
        for name in names {
            let needed = specs.iter().filter(|spec| spec.depends_on.iter().any(|d| d.container == name));
            for dependent in needed {
                let process = self.processes.get(&dependent.name);
                assert!(process.is_none_or(|p| p.exit.is_some()), "{name} ends before {}", dependent.name);
            }
            self.host.told.insert(name);
        }
        let is_left = self.processes.values().any(|process| process.exit.is_none());
        if !is_left {
            self.host.checks.clear();
            self.host.note.phase = Phase::Stopped;
            self.host.note.stopped_at = Some(self.now);
        }
        self.report();
    }

    /// A start, a restart, a check or a stop that was under way is done.
    fn work_is_done(&mut self) {
        for name in std::mem::take(&mut self.host.starting) {
            if self.chance.below(12) == 0 && !self.processes.contains_key(&name) {
                let class = String::from("CannotStartContainerError");
                let failure = Failure { class, message: String::from("no such program") };
                self.seen_mut(&name).failure = Some(failure);
                continue;
            }
            let (started_at, is_healthy) = (self.now, self.chance.below(3) > 0);
            let new = Process { started_at, exit: None, restarts: 0, is_healthy };
            self.processes.entry(name).or_insert(new);
        }
        for name in std::mem::take(&mut self.host.restarting) {
            let is_healthy = self.chance.below(2) == 0;
            let process = self.processes.get_mut(&name).expect("it ran");
            if process.exit.take().is_some() {
                assert!(self.host.note.phase < Phase::Stopping, "a restart after the stop");
                *process =
                    Process { started_at: self.now, exit: None, restarts: process.restarts + 1, is_healthy };
            }
        }
        for name in std::mem::take(&mut self.host.checking) {
            self.checked(&name);
        }
        for name in std::mem::take(&mut self.host.told) {
            let code = if self.chance.below(2) == 0 { 0 } else { 137 };
            self.end(&name, code);
        }
        if self.host.is_started && self.host.note.phase != Phase::Stopped {
            self.take_in();
        }
    }

    fn checked(&mut self, name: &str) {
        let spec = self.specs.iter().find(|spec| spec.name == name).expect("it is specified");
        let check = spec.health_check.clone().expect("it was checked");
        let process = &self.processes[name];
        let Some(checks) = self.host.checks.get(name).cloned() else { return };
        let result = CheckResult {
            began_at: self.now,
            ended_at: self.now,
            exit_code: process.is_healthy.then_some(0),
            output: String::new(),
            holds_until: None,
        };
        let after = checks.clone().take(&check, process.started_at, result);
        assert!(after.due_at > self.now);
        if after.status == HealthStatus::Unhealthy && checks.status != after.status {
            assert!(after.failures >= check.retries);
        }
        self.host.checks.insert(String::from(name), after.clone());
        self.seen_mut(name).health = Some(after.health());
    }

    fn end(&mut self, name: &str, code: i32) {
        let at = self.now;
        if let Some(process) = self.processes.get_mut(name) {
            process.exit.get_or_insert(Exit { code, at, is_oom: false });
        }
    }

    fn something_ends(&mut self) {
        let names: Vec<String> = self.processes.keys().cloned().collect();
        if names.is_empty() {
            return;
        }
        let name = &names[self.chance.below(names.len() as u64) as usize];
        let code = [0, 0, 1, 7, 137][self.chance.below(5) as usize];
        self.end(name, code);
    }

    fn health_changes(&mut self) {
        let chance = &mut self.chance;
        self.processes.values_mut().for_each(|process| process.is_healthy = chance.below(3) > 0);
    }

    /// The agent is killed and comes back: it knows its note and what the runtime tells.
    fn restart_host(&mut self) {
        // A start that was under way may have happened, or not.
        if self.chance.below(2) == 0 {
            self.host.checking.clear();
            self.work_is_done();
        }
        self.host.starting.clear();
        self.host.restarting.clear();
        self.host.checking.clear();
        self.host.ended.clear();
        self.host.told.clear();
        if self.host.is_started && self.host.note.phase != Phase::Stopped {
            self.take_in();
            self.report();
        }
    }

    /// The host takes in what the runtime knows.
    fn take_in(&mut self) {
        let is_ending = self.host.note.phase >= Phase::Stopping;
        for spec in &self.specs {
            let Some(process) = self.processes.get(&spec.name) else { continue };
            let containers = &mut self.host.note.containers;
            let seen = containers.iter_mut().find(|seen| seen.name == spec.name).expect("all are there");
            let is_new = seen.started_at != Some(process.started_at);
            seen.started_at = Some(process.started_at);
            seen.restarts = process.restarts;
            self.host.ended.remove(&spec.name);
            match (&spec.health_check, &process.exit) {
                (Some(check), None) => {
                    let begin = || Checks::begin(check, process.started_at);
                    let checks = self.host.checks.entry(spec.name.clone()).or_insert_with(begin);
                    if is_new {
                        *checks = begin();
                    }
                    seen.health = Some(checks.health());
                }
                _ => {
                    self.host.checks.remove(&spec.name);
                    seen.health = None;
                }
            }
            let policy = spec.restart.as_ref();
            let restarts = |exit: &Exit| policy.is_some_and(|p| p.restarts(process.started_at, exit));
            match &process.exit {
                Some(exit) if !is_ending && restarts(exit) => {
                    self.host.ended.insert(spec.name.clone(), exit.clone());
                    seen.exit = None;
                }
                Some(_) if self.vice == Some(Vice::LosesExits) => seen.exit = None,
                exit => seen.exit = exit.clone(),
            }
        }
        self.host.check();
    }

    fn members<'a>(&'a self, specs: &'a [ContainerSpec]) -> Vec<Member<'a>> {
        let run = |name: &str| {
            if self.host.starting.contains(name) {
                return Run::Starting;
            }
            if self.host.restarting.contains(name) {
                return Run::Restarting;
            }
            let seen = self.seen(name).expect("all are there");
            let exit = self.host.ended.get(name).or(seen.exit.as_ref());
            match (seen.started_at, exit, &seen.failure) {
                (_, _, Some(_)) => Run::Failed,
                (Some(started_at), Some(exit), None) => Run::Ended { started_at, exit: exit.clone() },
                (Some(started_at), None, None) => Run::Running { started_at },
                (None, _, None) => Run::Waiting,
            }
        };
        let member = |spec: &'a ContainerSpec| Member {
            spec,
            run: run(&spec.name),
            checks: self.host.checks.get(&spec.name),
            is_checking: self.host.checking.contains(&spec.name),
        };
        specs.iter().map(member).collect()
    }

    fn seen(&self, name: &str) -> Option<&ContainerObservation> {
        self.host.note.containers.iter().find(|seen| seen.name == name)
    }

    fn seen_mut(&mut self, name: &str) -> &mut ContainerObservation {
        let containers = &mut self.host.note.containers;
        containers.iter_mut().find(|seen| seen.name == name).expect("all are there")
    }

    fn report(&mut self) {
        self.sequence += 1;
        self.up.push((self.sequence, self.host.note.clone()));
    }

    /// A message arrives, or is lost, or will come again.
    fn deliver(&mut self) {
        if !self.up.is_empty() {
            let index = self.chance.below(self.up.len() as u64) as usize;
            let (sequence, seen) = match self.chance.below(4) {
                0 => self.up[index].clone(),
                _ => self.up.swap_remove(index),
            };
            if self.chance.below(5) > 0 && sequence > self.owner.sequence {
                self.owner.sequence = sequence;
                self.owner.seen = Some((seen, self.now));
                self.owner_plans();
            }
        }
        if !self.down.is_empty() {
            let index = self.chance.below(self.down.len() as u64) as usize;
            let is_stop = self.down.swap_remove(index);
            if self.chance.below(5) == 0 {
                return;
            }
            if is_stop && !self.host.is_started {
                // A stop that overtook its run: the task never runs.
                self.host.note.phase = Phase::Stopped;
                self.host.note.stopped_at = Some(self.now);
            }
            self.host.is_started = true;
            self.host.is_ordered_to_stop |= is_stop;
            self.report();
        }
    }

    fn owner_plans(&mut self) {
        let essential: Vec<String> =
            self.specs.iter().filter(|spec| spec.essential).map(|spec| spec.name.clone()).collect();
        self.owner.plan(&essential, self.now);
    }

    /// Until it sees the effect, the owner says it again; so does the host of its state.
    fn owner_repeats(&mut self) {
        match self.owner.task {
            Task::Provisioning => self.down.push(false),
            Task::Stopping { .. } => self.down.push(true),
            _ => {}
        }
        if self.host.is_started {
            self.report();
        }
    }
}

impl Host {
    /// Whether nothing is being started: only then may a task's end begin.
    fn is_settled(&self) -> bool {
        self.starting.is_empty() && self.restarting.is_empty()
    }

    fn check(&self) {
        for seen in &self.note.containers {
            let runs = seen.started_at.is_some() && seen.exit.is_none();
            assert!(seen.health.is_none() || runs, "the health of what does not run");
        }
    }
}

impl Owner {
    fn plan(&mut self, essential: &[String], now: Timestamp) {
        for _ in 0..16 {
            let facts = Facts {
                goal: &self.goal,
                seen: self.seen.as_ref().map(|(seen, at)| (seen, *at)),
                essential,
                is_registered: true,
                is_drained: true,
                is_released: true,
            };
            let Some(event) = status_of(&self.task, &facts) else { return };
            let before = self.task.clone();
            self.task = before.clone().next(event, now);
            self.check(&before, essential);
        }
        panic!("the owner never rests: {:?}", self.task);
    }

    fn check(&self, before: &Task, essential: &[String]) {
        assert!(rank(&self.task) >= rank(before), "{before:?} -> {:?}", self.task);
        if let Some(cause) = before.stop_cause() {
            assert_eq!(Some(cause), self.task.stop_cause(), "the cause is decided once");
        }
        let seen = self.seen.as_ref().map(|(seen, _)| seen);
        let containers = || seen.into_iter().flat_map(|seen| &seen.containers);
        if matches!(self.task, Task::Running { .. }) {
            let gone = containers().find(|c| essential.contains(&c.name) && c.exit.is_some());
            assert_eq!(gone, None, "a task runs without an essential container");
        }
        if self.task.has_ended() {
            for seen in containers() {
                let state = Container::of(Some(seen), &self.task);
                assert!(matches!(state, Container::Stopped { .. }), "{state:?}");
                if let (Some(exit), Container::Stopped { exit_code, .. }) = (&seen.exit, state) {
                    assert_eq!(exit_code, Some(exit.code));
                }
            }
        }
    }
}

/// An action that borrows nothing.
type Deed = (&'static str, String, Option<Failure>);

fn deed(action: Action<'_>) -> Deed {
    match action {
        Action::Start(name) => ("start", String::from(name), None),
        Action::Restart(name) => ("restart", String::from(name), None),
        Action::Check(name) => ("check", String::from(name), None),
        Action::Fail(name, failure) => ("fail", String::from(name), Some(failure)),
    }
}

fn observation(specs: &[ContainerSpec]) -> Observation {
    let seen = |spec: &ContainerSpec| ContainerObservation { name: spec.name.clone(), ..Default::default() };
    Observation { containers: specs.iter().map(seen).collect(), ..Observation::default() }
}

fn rank(task: &Task) -> u8 {
    match task {
        Task::Provisioning => 0,
        Task::Pending { .. } => 1,
        Task::Activating { .. } => 2,
        Task::Running { .. } => 3,
        Task::Deactivating { .. } => 4,
        Task::Stopping { .. } => 5,
        Task::Deprovisioning { .. } => 6,
        Task::Stopped { .. } => 7,
    }
}
