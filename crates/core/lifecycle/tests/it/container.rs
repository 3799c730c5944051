use base::Timestamp;
use core_lifecycle::{
    Container, ContainerObservation, Exit, Failure, Milestones, OUT_OF_MEMORY, Stop, StopCode, Task,
};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn running() -> Task {
    Task::Running { milestones: Milestones::default() }
}

fn stopped() -> Task {
    let stop = Stop { code: StopCode::UserInitiated, reason: String::new(), stopping_at: at(1) };
    Task::Stopped { milestones: Milestones::default(), stop, stopped_at: at(2) }
}

#[track_caller]
fn check(seen: Option<ContainerObservation>, task: Task, expected: Container) {
    assert_eq!(Container::of(seen.as_ref(), &task), expected);
}

#[test]
fn container_states() {
    let started = ContainerObservation { started_at: Some(at(5)), ..Default::default() };
    check(None, Task::Provisioning, Container::Pending);
    check(Some(ContainerObservation::default()), running(), Container::Pending);
    check(Some(started.clone()), running(), Container::Running { started_at: at(5) });
    // A host that was lost: nothing of an ended task runs.
    check(Some(started.clone()), stopped(), Container::Stopped { exit_code: None, reason: None });
    check(None, stopped(), Container::Stopped { exit_code: None, reason: None });

    let exit = |code, is_oom| Some(Exit { code, at: at(9), is_oom });
    let exited = ContainerObservation { exit: exit(3, false), ..started.clone() };
    check(Some(exited), running(), Container::Stopped { exit_code: Some(3), reason: None });
    let oom = ContainerObservation { exit: exit(137, true), ..started };
    let reason = Some(String::from(OUT_OF_MEMORY));
    check(Some(oom), running(), Container::Stopped { exit_code: Some(137), reason });

    let failure = Failure { class: "CannotPullContainerError".into(), message: "no such image".into() };
    let failed = ContainerObservation { failure: Some(failure), ..Default::default() };
    let reason = Some(String::from("CannotPullContainerError: no such image"));
    check(Some(failed), running(), Container::Stopped { exit_code: None, reason });
}
