//! Commands and observations are lost, repeated and reordered, commits are missed, plans are
//! carried out late and in any order, the control plane restarts: everything still comes to be as
//! desired, and no two tasks ever share a slot.

use std::collections::BTreeSet;
use std::time::Duration;

use base::clock::Clock;
use base::{Chance, Timestamp};
use control::{Agenda, Outcome, Planned};
use core_lifecycle::Phase;
use link::{Desired, Observed};
use service::{Platform, PlatformBuilder};
use store::{Event, Key, Memory, Record, Store, Transaction, Watch, WriteError};

use crate::toy::{Counter, Host, Tally, Task, Tasks, kinds};

const TICK: Duration = Duration::from_secs(1);
/// Users change their minds so long.
const RESTLESS: usize = 60;
/// So long may it take to come to rest afterwards, with a third of everything lost.
const PATIENCE: usize = 400;

struct Sim {
    chance: Chance,
    now: Timestamp,
    store: Store,
    platform: Platform,
    watch: Watch,
    agenda: Agenda,
    host: Host,
    down: Vec<Desired>,
    up: Vec<Observed>,
    late: Vec<Planned>,
    moved: usize,
    /// Commits are missed and the control plane restarts. Not while it comes to rest: both end in
    /// a pass over everything, which would hide what is never looked at again.
    is_restless: bool,
}

impl Sim {
    fn new(seed: u64) -> Sim {
        let store = Store::open(Memory::default().open(), kinds()).unwrap();
        let platform = PlatformBuilder::default().build(store.clone(), Clock::default(), seed);
        let mut sim = Sim {
            chance: Chance::new(seed),
            now: Timestamp::from_secs(1_000_000),
            watch: store.watch(),
            store,
            platform,
            agenda: Agenda::new(seed),
            host: Host::default(),
            down: Vec::new(),
            up: Vec::new(),
            late: Vec::new(),
            moved: 0,
            is_restless: true,
        };
        sim.restart();
        sim
    }

    /// The control plane forgets everything but its records.
    fn restart(&mut self) {
        self.agenda = Agenda::new(self.chance.next());
        self.agenda.add(Tasks);
        self.agenda.add(Counter);
        self.agenda.see_all(&self.store.snapshot());
        self.late.clear();
    }

    fn write(&self, run: impl FnOnce(&mut Transaction) + Send + 'static) {
        let written = self.store.blocking_write("toy", |tx| {
            run(tx);
            Ok::<_, std::convert::Infallible>(())
        });
        written.unwrap();
    }

    fn is_chosen(&mut self, percent: u64) -> bool {
        self.chance.below(100) < percent
    }

    fn change_a_mind(&mut self) {
        let name = format!("task-{}", self.chance.below(12));
        self.write(move |tx| {
            let task = match tx.get::<Task>(&Key::of(&[&name])) {
                Some(task) => Task {
                    wants_to_run: !task.wants_to_run,
                    generation: task.generation + 1,
                    ..(*task).clone()
                },
                None => Task::new(&name),
            };
            tx.put(task);
        });
    }

    fn look(&mut self) {
        if self.is_restless && self.is_chosen(5) {
            // As if it had lagged.
            while self.watch.try_next().is_some() {}
            self.agenda.see_all(&self.store.snapshot());
        }
        while let Some(Event::Commit(commit)) = self.watch.try_next() {
            commit.changes.iter().for_each(|change| self.agenda.see(change));
        }
    }

    fn plan(&mut self) {
        loop {
            self.look();
            let Some(planned) = self.agenda.next(self.now, &self.store.snapshot()) else { break };
            self.late.push(planned);
            while !self.late.is_empty() && self.is_chosen(40) {
                self.carry_out_one();
            }
        }
        // Late, but not for ever.
        while self.late.len() > 3 || (!self.late.is_empty() && self.is_chosen(50)) {
            self.carry_out_one();
        }
    }

    fn carry_out_one(&mut self) {
        let at = self.chance.below(self.late.len() as u64) as usize;
        let mut planned = self.late.swap_remove(at);
        let outcome = if planned.writes() {
            match self.store.blocking_write("plan", planned.commit(self.platform.clone())) {
                Ok(()) => Outcome::Done,
                Err(WriteError::Rejected(control::Refusal::Moved)) => Outcome::Moved,
                Err(error) => panic!("{error}"),
            }
        } else {
            Outcome::Done
        };
        let (ticket, mut plan) = planned.committed();
        match outcome {
            Outcome::Done => self.down.append(&mut plan.commands),
            Outcome::Moved | Outcome::Failed => self.moved += 1,
        }
        self.agenda.finish(ticket, outcome, self.now);
    }

    fn deliver(&mut self) {
        for command in in_transit(&mut self.chance, &mut self.down) {
            self.host.obey(&command);
        }
        self.host.work();
        self.up.extend(self.host.report());
        for observed in in_transit(&mut self.chance, &mut self.up) {
            self.write(move |tx| observe(tx, &observed));
        }
    }

    fn tick(&mut self) {
        self.plan();
        self.deliver();
        self.now = self.now + TICK;
        if self.is_restless && self.is_chosen(2) {
            self.restart();
        }
    }

    fn is_at_rest(&self) -> bool {
        let snapshot = self.store.snapshot();
        let tally = snapshot.get::<Tally>(&Tally { running: 0 }.key()).map(|tally| tally.running);
        let running = self.host.tasks.values().filter(|held| held.phase == Phase::Running).count();
        let mut tasks = snapshot.scan::<Task>(&Key::all());
        tasks.all(|task| task.is_as_desired() && task.slot.is_some()) && tally == Some(running)
    }

    fn check_slots(&self) {
        let slots: Vec<_> = self.store.snapshot().scan::<Task>(&Key::all()).filter_map(|t| t.slot).collect();
        let distinct: BTreeSet<_> = slots.iter().collect();
        assert_eq!(distinct.len(), slots.len(), "shared: {slots:?}");
    }
}

/// What arrives now of what is on its way: a third is lost, some comes twice, in any order, and
/// some stays on its way.
fn in_transit<T: Clone>(chance: &mut Chance, on_its_way: &mut Vec<T>) -> Vec<T> {
    let mut arrived = Vec::new();
    for _ in 0..on_its_way.len() {
        let at = chance.below(on_its_way.len() as u64) as usize;
        match chance.below(100) {
            0..33 => drop(on_its_way.swap_remove(at)),
            33..43 => arrived.push(on_its_way[at].clone()),
            43..60 => {}
            _ => arrived.push(on_its_way.swap_remove(at)),
        }
    }
    arrived
}

fn observe(tx: &mut Transaction, observed: &Observed) {
    let Some(task) = tx.get::<Task>(&Key::of(&[&observed.task])) else { return };
    let newest = (task.seen_generation, task.seen_sequence);
    if (observed.generation, observed.sequence) > newest {
        tx.put(Task {
            phase: Some(observed.observation.phase),
            seen_generation: observed.generation,
            seen_sequence: observed.sequence,
            ..(*task).clone()
        });
    }
}

/// Returns how many plans had to be made again.
fn check(seed: u64) -> usize {
    let mut sim = Sim::new(seed);
    for _ in 0..RESTLESS {
        if sim.is_chosen(60) {
            sim.change_a_mind();
        }
        sim.tick();
        sim.check_slots();
    }
    sim.is_restless = false;
    let mut ticks = 0;
    while !sim.is_at_rest() {
        sim.tick();
        ticks += 1;
        assert!(ticks < PATIENCE, "seed {seed} does not come to rest");
    }
    sim.check_slots();
    sim.moved
}

#[test]
fn whatever_is_lost_repeated_or_reordered_all_comes_to_rest_as_desired() {
    let moved: usize = (0..60).map(check).sum();
    assert!(moved > 0, "no plan ever met a moved world: the test has lost its point");
}
