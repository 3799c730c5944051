use std::time::Duration;

use base::Timestamp;
use core_lifecycle::simulate::LABEL;
use runtime::spool::Position;
use runtime::{ExecPlan, Foretold, OutputState, Runtime, RuntimeError, Signal, Simulated, TaskSandbox};

use crate::fixture::{TASK, simulated};
use crate::suite::{self, Ways};

#[tokio::test]
async fn passes_the_suite() {
    let ways = Ways {
        exits: |fixture, name, code| {
            let mut plan = fixture.plan(name, "");
            plan.labels.insert(LABEL.to_owned(), format!("exit={code} after=10s"));
            plan
        },
        stays: |fixture, name| fixture.plan(name, ""),
        advance: |fixture| {
            fixture.clock.advance(Duration::from_secs(10));
        },
    };
    // The clock alone moves: `settle` is called by whoever moves it.
    let make = || {
        let fixture = simulated();
        fixture.clock.advance(Duration::ZERO);
        fixture
    };
    let ways = Ways { advance: ways.advance, ..ways };
    suite::run(make, &ways).await;
}

#[tokio::test]
async fn an_exit_is_dated_when_it_was_due() {
    let fixture = simulated();
    fixture.runtime.close().await;
    let runtime = Simulated::open(fixture.dir.path().join("tasks"), fixture.clock.clone()).unwrap();
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("main", "");
    plan.labels.insert(LABEL.to_owned(), "exit=3 after=1h".to_owned());
    let started = runtime.start_container(TASK, plan).await.unwrap().started_at;
    fixture.clock.advance(Duration::from_secs(7200));
    runtime.settle();
    let state = runtime.state(TASK).await.unwrap().unwrap();
    let exit = state.containers[0].exit.clone().expect("it is due");
    assert_eq!((exit.code, exit.at), (3, started + Duration::from_secs(3600)));
    runtime.close().await;
}

#[tokio::test]
async fn tasks_outlive_a_restart_and_end_when_due() {
    let fixture = simulated();
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("main", "");
    plan.labels.insert(LABEL.to_owned(), "exit=4 after=1h".to_owned());
    fixture.runtime.start_container(TASK, plan).await.unwrap();
    fixture.runtime.close().await;
    let clock = fixture.clock.clone();
    clock.advance(Duration::from_secs(3600));
    let runtime = Simulated::open(fixture.dir.path().join("tasks"), clock).unwrap();
    runtime.settle();
    let state = runtime.list().await.unwrap();
    assert_eq!(state[0].containers[0].exit.as_ref().map(|e| e.code), Some(4));
    runtime.close().await;
}

#[tokio::test]
async fn a_wrong_direction_is_refused() {
    let fixture = simulated();
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("main", "");
    plan.labels.insert(LABEL.to_owned(), "explode".to_owned());
    assert!(fixture.runtime.start_container(TASK, plan).await.is_err());
    fixture.end().await;
}

#[tokio::test]
async fn a_wait_for_output_ends_with_its_container() {
    let fixture = simulated();
    fixture.runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    fixture.runtime.start_container(TASK, fixture.plan("main", "")).await.unwrap();
    let waiting = fixture.runtime.output(TASK, "main", Position::END);
    let stopping = fixture.runtime.stop(TASK, "main", Signal::TERM, Duration::ZERO);
    let (output, exit) = tokio::join!(waiting, stopping);
    assert_eq!((output.unwrap(), exit.unwrap().code), (OutputState::Closed, 143));
    fixture.end().await;
}

#[tokio::test]
async fn a_restarted_container_follows_its_directions_again() {
    let fixture = simulated();
    fixture.runtime.close().await;
    let runtime = Simulated::open(fixture.dir.path().join("tasks"), fixture.clock.clone()).unwrap();
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("main", "");
    plan.labels.insert(LABEL.to_owned(), "exit=3 after=1h".to_owned());
    let first = runtime.start_container(TASK, plan).await.unwrap();
    let early = runtime.restart_container(TASK, "main").await.unwrap_err();
    assert!(matches!(early, RuntimeError::StillRunning(_)), "{early:?}");
    for restarts in 1..=2 {
        fixture.clock.advance(Duration::from_secs(3600));
        runtime.settle();
        let exit = runtime.state(TASK).await.unwrap().unwrap().containers[0].exit.clone();
        assert_eq!(exit.map(|exit| exit.code), Some(3));
        let again = runtime.restart_container(TASK, "main").await.unwrap();
        assert_eq!((again.restarts, again.exit.clone()), (restarts, None));
        assert!(again.started_at >= first.started_at + Duration::from_secs(3600));
    }
    runtime.close().await;
}

#[tokio::test]
async fn figures_are_percents_of_limits() {
    let fixture = simulated();
    let runtime = &fixture.runtime;
    let sandbox = TaskSandbox { cpu_units: Some(512), memory_mib: Some(1000), ..fixture.sandbox() };
    runtime.create_sandbox(sandbox).await.unwrap();
    let mut plan = fixture.plan("main", "");
    plan.labels.insert(LABEL.to_owned(), "cpu=80 memory=60".to_owned());
    runtime.start_container(TASK, plan).await.unwrap();
    let mut own = fixture.plan("own", "");
    (own.cpu_units, own.memory_mib) = (256, Some(100));
    own.labels.insert(LABEL.to_owned(), "memory=50".to_owned());
    runtime.start_container(TASK, own).await.unwrap();
    let before = runtime.stats(TASK).await.unwrap();
    fixture.clock.advance(Duration::from_secs(1000));
    let after = runtime.stats(TASK).await.unwrap();
    let elapsed = after[0].read_at.since(before[0].read_at).as_nanos() as u64;
    // Half a processor, to 80 percent; times are in microseconds.
    assert!((after[0].cpu_ns - before[0].cpu_ns).abs_diff(elapsed * 4 / 10) <= 1000);
    assert_eq!((after[0].memory_bytes, after[0].memory_limit_bytes), (600 << 20, 1000 << 20));
    assert_eq!((after[1].cpu_ns, after[1].memory_bytes), (0, 50 << 20));
    assert_eq!(after[0].host_cpu_ns - before[0].host_cpu_ns, elapsed * u64::from(after[0].cores));
    let exec = runtime.exec(TASK, "main", ExecPlan::default()).await.err();
    assert!(matches!(exec, Some(RuntimeError::Unsupported(_))), "{exec:?}");
    fixture.end().await;
}

#[tokio::test]
async fn health_is_foretold() {
    let fixture = simulated();
    let runtime = &fixture.runtime;
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let mut plan = fixture.plan("main", "");
    plan.labels.insert(LABEL.to_owned(), "unhealthy after=30m".to_owned());
    let started = runtime.start_container(TASK, plan).await.unwrap().started_at;
    runtime.start_container(TASK, fixture.plan("other", "")).await.unwrap();
    assert_eq!(runtime.health(TASK, "none"), None);
    let other = Foretold { is_healthy: true, until: Timestamp::NEVER };
    assert_eq!(runtime.health(TASK, "other"), Some(other), "well, where nothing is said");
    let until = started + Duration::from_secs(1800);
    assert_eq!(runtime.health(TASK, "main"), Some(Foretold { is_healthy: true, until }));
    fixture.clock.advance(Duration::from_secs(1800));
    let ill = Foretold { is_healthy: false, until: Timestamp::NEVER };
    assert_eq!(runtime.health(TASK, "main"), Some(ill));
    // A new run begins well.
    runtime.signal(TASK, "main", Signal::KILL).await.unwrap();
    let started = runtime.restart_container(TASK, "main").await.unwrap().started_at;
    let until = started + Duration::from_secs(1800);
    assert_eq!(runtime.health(TASK, "main"), Some(Foretold { is_healthy: true, until }));
    fixture.end().await;
}
