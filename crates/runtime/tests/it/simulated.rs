use std::time::Duration;

use core_lifecycle::simulate::LABEL;
use runtime::spool::Position;
use runtime::{OutputState, Runtime, Signal, Simulated};

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
