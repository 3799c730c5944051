//! The engine: commits, clocks, peers' calls and endings.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sts::op::GetCallerIdentity;
use base::clock::{Clock, wall};
use base::{AccountId, Fault, Region, Timestamp};
use control::{Call, Controller, Controllers, Engine, Plan, World, Write};
use link::Desired;
use service::{Acts, Caller, Operation, Platform, PlatformBuilder, Service, Tx};
use store::{BackendError, Change, Key, Memory, Record, Store};

use crate::toy::{Counter, Tally, Task, Tasks, kinds};

/// Plans as told.
struct Scripted<F>(F);

impl<F: Fn(&Task, &World) -> Plan + Send + Sync + 'static> Controller for Scripted<F> {
    type Key = Key;

    fn name(&self) -> &'static str {
        "toy/scripted"
    }

    fn touched(&self, change: &Change) -> Vec<Key> {
        Vec::from_iter(change.is::<Task>().then(|| change.key.clone()))
    }

    fn plan(&self, key: &Key, world: &World) -> Plan {
        world.get::<Task>(key).map(|task| (self.0)(&task, world)).unwrap_or_default()
    }
}

struct Bench {
    memory: Memory,
    platform: Platform,
    commands: Arc<Mutex<Vec<Desired>>>,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(PlatformBuilder::default())
    }

    fn with(builder: PlatformBuilder) -> Bench {
        let memory = Memory::default();
        let store = Store::open(memory.open(), kinds()).unwrap();
        Bench { memory, platform: builder.build(store, Clock::default(), 1), commands: Arc::default() }
    }

    fn controllers(&self) -> Controllers {
        let commands = Arc::clone(&self.commands);
        Controllers::new(
            self.platform.clone(),
            Arc::new(move |command| commands.lock().unwrap().push(command)),
        )
    }

    async fn put(&self, task: Task) {
        let put = self.platform.store().write("put", |tx| {
            tx.put(task);
            Ok::<_, ()>(())
        });
        put.await.unwrap();
    }

    fn tasks(&self) -> Vec<Task> {
        let all = self.platform.store().snapshot().scan::<Task>(&Key::all());
        all.map(|task| (*task).clone()).collect()
    }

    fn jump(&self, by: Duration) {
        self.platform.clock().advance(by);
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn settled_means_that_every_commit_has_been_dealt_with() {
    let bench = Bench::new();
    bench.put(Task::new("before")).await;
    let engine = bench.controllers().with(Tasks).with(Counter).start();
    for n in 0..100 {
        bench.put(Task::new(&format!("{n:02}"))).await;
    }
    engine.settle().await.expect("the orders will be repeated");
    let mut slots: Vec<_> = bench.tasks().iter().map(|task| task.slot.unwrap()).collect();
    slots.sort_unstable();
    assert_eq!(slots, (0..101).collect::<Vec<_>>());
    let tally = Tally { running: 0 };
    assert_eq!(bench.platform.store().snapshot().get::<Tally>(&tally.key()).as_deref(), Some(&tally));
    engine.stop().await;
    bench.put(Task::new("after")).await;
    assert_eq!(engine.settle().await, None);
    assert_eq!(bench.tasks().iter().filter(|task| task.slot.is_none()).count(), 1);
}

#[tokio::test]
async fn a_wake_up_comes_when_the_clock_jumps_there() {
    let bench = Bench::new();
    let due = wall() + HOUR;
    let engine = bench
        .controllers()
        .with(Scripted(move |task: &Task, world: &World| {
            let mut plan = Plan::default();
            if world.now < due {
                plan.wake_by(due);
            } else if task.wants_to_run {
                plan.writes.push(Write::put(Task { wants_to_run: false, ..task.clone() }));
            }
            plan
        }))
        .start();
    bench.put(Task::new("a")).await;
    assert_eq!(engine.settle().await, Some(due));
    bench.jump(HOUR / 2);
    assert_eq!(engine.settle().await, Some(due));
    assert!(bench.tasks()[0].wants_to_run);
    bench.jump(HOUR);
    assert_eq!(engine.settle().await, None);
    assert!(!bench.tasks()[0].wants_to_run);
}

#[tokio::test]
async fn a_pass_over_everything_repeats_a_lost_command() {
    let bench = Bench::new();
    let command = |task: &Task, _: &World| {
        let host = link::HostId("host".into());
        let order = link::Order::Stop;
        let command = Desired { host, task: task.name.as_str().into(), generation: task.generation, order };
        Plan { commands: vec![command], ..Plan::default() }
    };
    let engine = bench.controllers().with(Scripted(command)).with_pass_every(HOUR).start();
    let sent = || bench.commands.lock().unwrap().len();
    bench.put(Task::new("a")).await;
    engine.settle().await;
    assert_eq!(sent(), 1);
    engine.settle().await;
    assert_eq!(sent(), 1);
    engine.pass().await;
    engine.settle().await;
    assert_eq!(sent(), 2);
    bench.jump(HOUR);
    engine.settle().await;
    assert_eq!(sent(), 3);
}

/// Far more than a pass looks at without a rest: whoever waits for quiet waits for all of it.
#[tokio::test]
async fn a_long_pass_comes_to_every_record_once() {
    const TASKS: usize = 9_000;
    let bench = Bench::new();
    let planned = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&planned);
    let plan = move |_: &Task, _: &World| {
        counting.fetch_add(1, Ordering::SeqCst);
        Plan::default()
    };
    let put = bench.platform.store().write("put", |tx| {
        (0..TASKS).for_each(|number| tx.put(Task::new(&format!("task-{number}"))));
        Ok::<_, ()>(())
    });
    put.await.unwrap();
    let engine = bench.controllers().with(Scripted(plan)).with_pass_every(HOUR).start();
    engine.settle().await;
    assert_eq!(planned.load(Ordering::SeqCst), TASKS, "a start looks at everything at once");
    bench.jump(HOUR);
    engine.settle().await;
    assert_eq!(planned.load(Ordering::SeqCst), 2 * TASKS);
    engine.settle().await;
    assert_eq!(planned.load(Ordering::SeqCst), 2 * TASKS, "the next pass is an hour away");
}

/// A peer that writes a task, and refuses once it has.
fn peer(is_refusing: Arc<AtomicBool>) -> PlatformBuilder {
    let handler = move |tx: &mut Tx<'_>, _| {
        tx.put(Task { wants_to_run: false, ..Task::new("of-the-peer") });
        match is_refusing.load(Ordering::SeqCst) {
            true => Err(Fault::caller("Busy", "not now")),
            false => {
                Ok(aws_sts::GetCallerIdentityResponse { user_id: Some("me".into()), ..Default::default() })
            }
        }
    };
    PlatformBuilder::default().with(Service {
        api: &aws_sts::API,
        operations: vec![Operation::write::<GetCallerIdentity>(Acts::All, handler)],
        kinds: |kinds| kinds,
        refuse: |what| Fault::caller("Unknown", what),
        observe: None,
    })
}

fn caller() -> Caller {
    Caller::platform("toy", AccountId::default_account(), Region::default_region())
}

#[tokio::test]
async fn writes_and_calls_happen_together_or_not_at_all_and_are_tried_again() {
    let is_refusing = Arc::new(AtomicBool::new(true));
    let bench = Bench::with(peer(Arc::clone(&is_refusing)));
    let plans = Arc::new(AtomicUsize::new(0));
    let made = Arc::clone(&plans);
    let plan = move |task: &Task, _: &World| {
        let mut plan = Plan::default();
        if task.slot.is_none() && task.wants_to_run {
            made.fetch_add(1, Ordering::SeqCst);
            plan.writes.push(Write::put(Task { slot: Some(7), ..task.clone() }));
            let task = task.clone();
            plan.calls.push(Call::then::<GetCallerIdentity>(
                caller(),
                Default::default(),
                move |tx, answer| {
                    let name = answer.user_id.unwrap_or_default();
                    tx.put(Task { slot: Some(8), wants_to_run: false, ..Task::new(&name) });
                    tx.put(Task { slot: Some(9), ..task });
                    Ok(())
                },
            ));
        }
        plan
    };
    let engine = bench.controllers().with(Scripted(plan)).start();
    bench.put(Task::new("a")).await;
    let again = settle(&engine).await;
    assert!(again > bench.platform.clock().now() - Duration::from_secs(1));
    let refused = plans.load(Ordering::SeqCst);
    assert_eq!(bench.tasks(), [Task::new("a")]);
    is_refusing.store(false, Ordering::SeqCst);
    bench.jump(Duration::from_secs(1));
    assert_eq!(engine.settle().await, None);
    assert!(refused > 0 && plans.load(Ordering::SeqCst) > refused);
    let slots: Vec<_> = bench.tasks().into_iter().map(|task| (task.name, task.slot)).collect();
    let expected = [("a", Some(9)), ("me", Some(8)), ("of-the-peer", None)];
    assert_eq!(slots, expected.map(|(name, slot)| (name.to_owned(), slot)));
}

async fn settle(engine: &Engine) -> Timestamp {
    engine.settle().await.expect("something is due later")
}

#[tokio::test]
async fn a_peers_refusal_may_be_an_answer() {
    let bench = Bench::with(peer(Arc::new(AtomicBool::new(true))));
    let plan = |task: &Task, _: &World| {
        let mut plan = Plan::default();
        if task.slot.is_none() {
            let task = task.clone();
            plan.calls.push(Call::answered::<GetCallerIdentity>(
                caller(),
                Default::default(),
                move |tx, answer| {
                    let slot = Some(if answer.is_err() { 1 } else { 0 });
                    tx.put(Task { slot, ..task });
                    Ok(())
                },
            ));
        }
        plan
    };
    let engine = bench.controllers().with(Scripted(plan)).start();
    bench.put(Task::new("a")).await;
    assert_eq!(engine.settle().await, None);
    assert_eq!(bench.tasks(), [Task { slot: Some(1), ..Task::new("a") }]);
}

#[tokio::test]
async fn a_broken_plan_stops_nobody_else() {
    let bench = Bench::new();
    let plan = |task: &Task, _: &World| {
        assert_ne!(task.name, "broken");
        Plan::default()
    };
    let engine = bench.controllers().with(Scripted(plan)).with(Tasks).start();
    bench.put(Task::new("broken")).await;
    bench.put(Task::new("fine")).await;
    engine.settle().await.expect("the broken one is tried again later");
    assert!(bench.tasks().iter().all(|task| task.slot.is_some()));
}

#[tokio::test]
async fn a_closed_store_ends_the_engine() {
    let bench = Bench::new();
    let engine = bench.controllers().with(Tasks).start();
    engine.settle().await;
    bench.memory.fail_next_commit(BackendError::Full);
    let put = bench.platform.store().write("put", |tx| {
        tx.put(Task::new("a"));
        Ok::<_, ()>(())
    });
    put.await.unwrap_err();
    bench.platform.store().closed().await;
    assert_eq!(engine.settle().await, None);
    engine.stop().await;
}

#[tokio::test]
async fn a_world_that_never_rests_is_planned_within_the_transaction() {
    let bench = Bench::new();
    let store = bench.platform.store().clone();
    let mut agenda = control::Agenda::new(1);
    agenda.add(Counter);
    agenda.see_all(&store.snapshot());
    let mut moved = 0;
    let mut running = 0;
    let now = wall();
    loop {
        running += 1;
        let phase = Some(core_lifecycle::Phase::Running);
        let task = |n: usize| Task { phase, ..Task::new(&n.to_string()) };
        bench.put(task(2 * running)).await;
        agenda.see_all(&store.snapshot());
        let mut planned = agenda.next(now, &store.snapshot()).expect("everything was touched");
        bench.put(task(2 * running + 1)).await;
        let outcome = store.write("plan", planned.commit(bench.platform.clone())).await;
        let (ticket, _) = planned.committed();
        if outcome.is_ok() {
            break;
        }
        agenda.finish(ticket, control::Outcome::Moved, now);
        moved += 1;
        assert!(moved < 10, "it is never carried out");
    }
    let tally = Tally { running: 2 * running };
    assert_eq!(store.snapshot().get::<Tally>(&tally.key()).as_deref(), Some(&tally));
}
