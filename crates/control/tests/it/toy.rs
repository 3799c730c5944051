//! Toy tasks on a fake host, and the controllers that keep them as desired.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use control::{Controller, Plan, World, Write};
use core_lifecycle::{Assignment, Observation, Phase};
use link::{Desired, HostId, Observed, Order};
use serde::{Deserialize, Serialize};
use store::{Change, Key, Kinds, Record};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub name: String,
    /// Desired; its generation grows with it.
    pub wants_to_run: bool,
    pub generation: u64,
    /// Status: the lowest number that no other task has.
    pub slot: Option<u32>,
    /// Observed.
    pub phase: Option<Phase>,
    pub seen_generation: u64,
    pub seen_sequence: u64,
}

impl Task {
    pub fn new(name: &str) -> Task {
        Task {
            name: name.to_owned(),
            wants_to_run: true,
            generation: 1,
            slot: None,
            phase: None,
            seen_generation: 0,
            seen_sequence: 0,
        }
    }

    pub fn is_as_desired(&self) -> bool {
        let wanted = if self.wants_to_run { Phase::Running } else { Phase::Stopped };
        self.seen_generation == self.generation && self.phase == Some(wanted)
    }
}

impl Record for Task {
    const KIND: &'static str = "toy/task";

    fn key(&self) -> Key {
        Key::of(&[&self.name])
    }
}

/// How many tasks run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    pub running: usize,
}

impl Record for Tally {
    const KIND: &'static str = "toy/tally";

    fn key(&self) -> Key {
        Key::of(&["tally"])
    }
}

pub fn kinds() -> Kinds {
    Kinds::default().with::<Task>().with::<Tally>()
}

/// Gives each task a slot of its own and repeats its order until the host has obeyed.
pub struct Tasks;

pub const REPEAT: Duration = Duration::from_secs(5);

impl Controller for Tasks {
    type Key = Key;

    fn name(&self) -> &'static str {
        "toy/tasks"
    }

    fn touched(&self, change: &Change) -> Vec<Key> {
        change.is::<Task>().then(|| change.key.clone()).into_iter().collect()
    }

    fn plan(&self, key: &Key, world: &World) -> Plan {
        let mut plan = Plan::default();
        let Some(task) = world.get::<Task>(key) else { return plan };
        if task.slot.is_none() {
            let taken: Vec<_> = world.scan::<Task>(&Key::all()).filter_map(|task| task.slot).collect();
            let slot = (0..).find(|slot| !taken.contains(slot));
            plan.writes.push(Write::put(Task { slot, ..(*task).clone() }));
        }
        if !task.is_as_desired() {
            plan.report.add("the host has not done it yet");
            plan.commands.push(order(&task));
            plan.wake_by(world.now + REPEAT);
        }
        plan
    }
}

/// Counts.
pub struct Counter;

impl Controller for Counter {
    type Key = ();

    fn name(&self) -> &'static str {
        "toy/counter"
    }

    fn touched(&self, change: &Change) -> Vec<()> {
        Vec::from_iter(change.is::<Task>().then_some(()))
    }

    fn plan(&self, (): &(), world: &World) -> Plan {
        let mut plan = Plan::default();
        let is_running = |task: &std::sync::Arc<Task>| task.phase == Some(Phase::Running);
        let tally = Tally { running: world.scan::<Task>(&Key::all()).filter(is_running).count() };
        if world.get::<Tally>(&tally.key()).as_deref() != Some(&tally) {
            plan.writes.push(Write::put(tally));
        }
        plan
    }
}

fn order(task: &Task) -> Desired {
    let order =
        if task.wants_to_run { Order::Run(std::sync::Arc::new(assignment(task))) } else { Order::Stop };
    Desired {
        host: HostId("host".into()),
        task: task.name.as_str().into(),
        generation: task.generation,
        order,
    }
}

fn assignment(task: &Task) -> Assignment {
    let interface = core_lifecycle::Interface {
        eni: String::new(),
        vpc: String::new(),
        vpc_cidr: String::new(),
        subnet: String::new(),
        subnet_cidr: String::new(),
        security_groups: Vec::new(),
        address: Ipv4Addr::LOCALHOST,
        mac: String::new(),
        public: false,
        on_host: false,
        private_dns_name: String::new(),
    };
    Assignment {
        task_arn: task.name.clone(),
        task_id: task.name.clone(),
        revision: 1,
        interface: Some(interface),
        ..Assignment::default()
    }
}

/// Obeys the newest generation of each task that it has seen; takes a while to start one.
#[derive(Default)]
pub struct Host {
    pub tasks: BTreeMap<String, Held>,
}

pub struct Held {
    pub phase: Phase,
    generation: u64,
    sequence: u64,
}

impl Host {
    pub fn obey(&mut self, command: &Desired) {
        let held = self.tasks.entry(command.task.to_string()).or_insert(Held {
            phase: Phase::Stopped,
            generation: 0,
            sequence: 0,
        });
        // Older orders have been overtaken; the same again changes nothing.
        if command.generation <= held.generation {
            return;
        }
        held.generation = command.generation;
        held.sequence += 1;
        held.phase = match command.order {
            Order::Run(_) => Phase::Preparing,
            Order::Stop | Order::Forget => Phase::Stopped,
        };
    }

    pub fn work(&mut self) {
        for held in self.tasks.values_mut().filter(|held| held.phase == Phase::Preparing) {
            held.phase = Phase::Running;
            held.sequence += 1;
        }
    }

    pub fn report(&self) -> Vec<Observed> {
        let observed = |(task, held): (&String, &Held)| Observed {
            host: HostId("host".into()),
            task: task.as_str().into(),
            generation: held.generation,
            sequence: held.sequence,
            observation: Observation { phase: held.phase, ..Observation::default() },
        };
        self.tasks.iter().map(observed).collect()
    }
}
