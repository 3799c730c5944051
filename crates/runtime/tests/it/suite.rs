//! What every runtime does.

use std::time::Duration;

use runtime::{ContainerPlan, Event, Events, RuntimeError, SandboxPhase, Signal};

use crate::fixture::{Fixture, TASK};

/// How a runtime is told to run a container that exits, and one that stays.
pub struct Ways {
    pub exits: fn(&Fixture, &str, i32) -> ContainerPlan,
    pub stays: fn(&Fixture, &str) -> ContainerPlan,
    /// Lets the simulated clock reach what is due.
    pub advance: fn(&Fixture),
}

pub async fn run(make: impl Fn() -> Fixture, ways: &Ways) {
    exit_code(make(), ways).await;
    stop(make(), ways).await;
    two_containers(make(), ways).await;
    repetitions(make(), ways).await;
    restarts(make(), ways).await;
    unknown_names(make()).await;
}

async fn exit_of(events: &mut Events, name: &str) -> i32 {
    loop {
        match events.recv().await.expect("events go on") {
            Event::Exited { container, exit } if container == name => return exit.code,
            Event::SandboxLost { reason } => panic!("{reason}"),
            _ => {}
        }
    }
}

async fn exit_code(fixture: Fixture, ways: &Ways) {
    let runtime = &fixture.runtime;
    let mut events = runtime.events(TASK);
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let record = runtime.start_container(TASK, (ways.exits)(&fixture, "main", 7)).await.unwrap();
    assert_eq!(record.name, "main");
    (ways.advance)(&fixture);
    assert_eq!(exit_of(&mut events, "main").await, 7);
    let state = runtime.state(TASK).await.unwrap().expect("it is known");
    let exit = state.containers[0].exit.clone().expect("recorded before it is told");
    assert_eq!((exit.code, exit.is_oom), (7, false));
    assert!(exit.at >= record.started_at);
    fixture.end().await;
}

async fn stop(fixture: Fixture, ways: &Ways) {
    let runtime = &fixture.runtime;
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    runtime.start_container(TASK, (ways.stays)(&fixture, "main")).await.unwrap();
    let exit = runtime.stop(TASK, "main", Signal::KILL, Duration::from_secs(60)).await.unwrap();
    assert_eq!(exit.code, 137);
    // What has ended takes signals and stops silently.
    runtime.signal(TASK, "main", Signal::TERM).await.unwrap();
    let again = runtime.stop(TASK, "main", Signal::TERM, Duration::ZERO).await.unwrap();
    assert_eq!(again, exit);
    fixture.end().await;
}

async fn two_containers(fixture: Fixture, ways: &Ways) {
    let runtime = &fixture.runtime;
    let mut events = runtime.events(TASK);
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    runtime.start_container(TASK, (ways.stays)(&fixture, "web")).await.unwrap();
    runtime.start_container(TASK, (ways.exits)(&fixture, "job", 3)).await.unwrap();
    (ways.advance)(&fixture);
    assert_eq!(exit_of(&mut events, "job").await, 3);
    let state = runtime.state(TASK).await.unwrap().expect("it is known");
    let names: Vec<&str> = state.containers.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["web", "job"]);
    assert_eq!(state.container("web").unwrap().exit, None, "the other runs on");
    runtime.remove_sandbox(TASK).await.unwrap();
    let state = runtime.state(TASK).await.unwrap().expect("it is known until it is forgotten");
    assert_eq!(state.phase, SandboxPhase::Removed);
    assert_eq!(state.container("web").unwrap().exit.as_ref().map(|e| e.code), Some(137));
    runtime.forget(TASK).await.unwrap();
    assert!(runtime.state(TASK).await.unwrap().is_none());
    assert!(runtime.list().await.unwrap().is_empty());
    fixture.end().await;
}

async fn restarts(fixture: Fixture, ways: &Ways) {
    let runtime = &fixture.runtime;
    let mut events = runtime.events(TASK);
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let first = runtime.start_container(TASK, (ways.exits)(&fixture, "main", 3)).await.unwrap();
    (ways.advance)(&fixture);
    assert_eq!(exit_of(&mut events, "main").await, 3);
    let again = runtime.restart_container(TASK, "main").await.unwrap();
    assert_eq!((again.restarts, again.exit.clone(), &again.runtime_id), (1, None, &first.runtime_id));
    assert!(again.started_at > first.started_at);
    (ways.advance)(&fixture);
    assert_eq!(exit_of(&mut events, "main").await, 3);
    runtime.start_container(TASK, (ways.stays)(&fixture, "stays")).await.unwrap();
    let failed = runtime.restart_container(TASK, "stays").await;
    assert!(matches!(failed, Err(RuntimeError::StillRunning(_))), "{failed:?}");
    let failed = runtime.restart_container(TASK, "other").await;
    assert!(matches!(failed, Err(RuntimeError::NoContainer(_))), "{failed:?}");
    let figures = runtime.stats(TASK).await.unwrap();
    assert_eq!(figures.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["stays"]);
    runtime.remove_sandbox(TASK).await.unwrap();
    let failed = runtime.restart_container(TASK, "main").await;
    assert!(matches!(failed, Err(RuntimeError::NoSandbox(_))), "{failed:?}");
    fixture.end().await;
}

async fn repetitions(fixture: Fixture, ways: &Ways) {
    let runtime = &fixture.runtime;
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let first = runtime.start_container(TASK, (ways.stays)(&fixture, "main")).await.unwrap();
    let again = runtime.start_container(TASK, (ways.stays)(&fixture, "main")).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(runtime.list().await.unwrap().len(), 1);
    for _ in 0..2 {
        runtime.remove_sandbox(TASK).await.unwrap();
    }
    for _ in 0..2 {
        runtime.forget(TASK).await.unwrap();
    }
    fixture.end().await;
}

async fn unknown_names(fixture: Fixture) {
    let runtime = &fixture.runtime;
    let lost = runtime.signal(TASK, "main", Signal::TERM).await;
    assert!(matches!(lost, Err(RuntimeError::NoSandbox(_))), "{lost:?}");
    runtime.create_sandbox(fixture.sandbox()).await.unwrap();
    let lost = runtime.signal(TASK, "main", Signal::TERM).await;
    assert!(matches!(lost, Err(RuntimeError::NoContainer(_))), "{lost:?}");
    let mut bad = fixture.sandbox();
    bad.task = "../escape".to_owned();
    assert!(runtime.create_sandbox(bad).await.is_err());
    fixture.end().await;
}
