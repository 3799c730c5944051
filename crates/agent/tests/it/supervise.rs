//! Order, health and restarts, over the simulated clock.

use std::time::Duration;

use core_lifecycle::{
    Assignment, Condition, Dependency, HealthCheck, HealthStatus, Observation, Phase, RestartPolicy,
};
use link::Order;

use crate::fakes::{Host, TASK, assignment, log};

fn depend(task: &mut Assignment, container: usize, on: &str, condition: Condition) {
    task.containers[container].depends_on.push(Dependency { container: on.to_owned(), condition });
}

fn health_check(interval: u64) -> Option<HealthCheck> {
    Some(HealthCheck {
        command: vec!["CMD-SHELL".to_owned(), "exit 0".to_owned()],
        interval: secs(interval),
        timeout: secs(5),
        retries: 2,
        start_period: Duration::ZERO,
    })
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn is_running(seen: &Observation, container: usize) -> bool {
    seen.containers[container].started_at.is_some() && seen.containers[container].exit.is_none()
}

fn status(seen: &Observation, container: usize) -> Option<HealthStatus> {
    seen.containers[container].health.as_ref().map(|health| health.status)
}

impl Host {
    async fn until(&mut self, is_so: impl Fn(&Observation) -> bool) -> Observation {
        self.report(TASK, |observed| is_so(&observed.observation)).await.observation
    }
}

#[tokio::test]
async fn a_container_waits_for_anothers_success() {
    let mut host = Host::new().await;
    let mut task = assignment(TASK, &[("web", true, ""), ("init", false, "exit=0 after=20s")]);
    depend(&mut task, 0, "init", Condition::Success);
    host.run(task);
    let seen = host.until(|seen| is_running(seen, 1)).await;
    assert_eq!(seen.phase, Phase::Preparing, "a container is still to be started");
    assert!(seen.containers[0].started_at.is_none());
    host.advance(secs(20));
    let seen = host.phase(TASK, Phase::Running).await;
    let ended = seen.containers[1].exit.as_ref().unwrap().at;
    assert!(seen.containers[0].started_at.unwrap() >= ended);
    assert_eq!(seen.started_at, seen.containers[0].started_at, "a task has started once all have");
    host.agent.close().await;
}

#[tokio::test]
async fn what_depends_on_a_failure_never_starts() {
    let mut host = Host::new().await;
    let mut task =
        assignment(TASK, &[("init", false, "exit=3 after=1s"), ("web", true, ""), ("side", false, "")]);
    depend(&mut task, 1, "init", Condition::Success);
    depend(&mut task, 2, "web", Condition::Start);
    host.run(task);
    host.until(|seen| is_running(seen, 0)).await;
    host.advance(secs(1));
    let seen = host.phase(TASK, Phase::Stopped).await;
    let failure = seen.failure.expect("it failed to start");
    assert_eq!(
        failure.text(),
        "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency [init] \
         for target [web] as dependency did not exit successfully."
    );
    assert_eq!(seen.containers[1].failure, Some(failure));
    assert_eq!(seen.containers[0].exit.as_ref().map(|exit| exit.code), Some(3));
    assert!(seen.containers[1..].iter().all(|c| c.started_at.is_none() && c.exit.is_none()));
    assert_eq!(seen.started_at, None);
    host.agent.close().await;
}

#[tokio::test]
async fn health_is_reported_and_waited_for() {
    let mut host = Host::new().await;
    let mut task = assignment(TASK, &[("db", true, "unhealthy after=45s"), ("web", true, "")]);
    task.containers[0].health_check = health_check(10);
    depend(&mut task, 1, "db", Condition::Healthy);
    host.run(task);
    let seen = host.until(|seen| is_running(seen, 0)).await;
    assert_eq!(status(&seen, 0), Some(HealthStatus::Unknown));
    assert!(!is_running(&seen, 1));
    host.advance(secs(10));
    let seen = host.phase(TASK, Phase::Running).await;
    let health = seen.containers[0].health.clone().unwrap();
    assert_eq!((health.status, health.exit_code), (HealthStatus::Healthy, Some(0)));
    // Checks are not looked at before they can fail; two that do in a row are enough.
    host.advance(secs(40));
    host.settle().await;
    host.advance(secs(10));
    let seen = host.until(|seen| status(seen, 0) == Some(HealthStatus::Unhealthy)).await;
    assert_eq!(seen.phase, Phase::Running, "health is reported, and no more");
    assert_eq!(seen.containers[0].health.as_ref().unwrap().exit_code, Some(1));
    host.order(TASK, 1, Order::Stop);
    let seen = host.phase(TASK, Phase::Stopped).await;
    assert_eq!(status(&seen, 0), None, "what has ended is not well or unwell");
    host.agent.close().await;
}

#[tokio::test]
async fn a_start_timeout_ends_the_wait() {
    let mut host = Host::new().await;
    let mut task = assignment(TASK, &[("db", true, "unhealthy"), ("web", true, "")]);
    task.containers[0].health_check = health_check(10);
    task.containers[0].start_timeout = Some(secs(35));
    depend(&mut task, 1, "db", Condition::Healthy);
    host.run(task);
    let started = host.until(|seen| is_running(seen, 0)).await.containers[0].started_at.unwrap();
    for _ in 0..2 {
        host.advance(secs(10));
        host.settle().await;
    }
    let seen = host.until(|seen| status(seen, 0) == Some(HealthStatus::Unhealthy)).await;
    assert_eq!((seen.phase, seen.failure), (Phase::Preparing, None), "it may recover");
    host.advance(secs(14));
    host.settle().await;
    host.advance(secs(1));
    let seen = host.phase(TASK, Phase::Stopped).await;
    let text = seen.failure.expect("it failed to start").text();
    assert!(text.ends_with("dependency [db] for target [web] has timed out."), "{text}");
    assert!(seen.execution_stopped_at.unwrap() >= started + secs(35));
    host.agent.close().await;
}

#[tokio::test]
async fn a_restart_is_no_exit() {
    let mut host = Host::new().await;
    let mut task = assignment(TASK, &[("web", true, "exit=3 after=60s"), ("side", false, "")]);
    task.containers[0].restart =
        Some(RestartPolicy { ignored_exit_codes: vec![0], attempt_period: secs(60) });
    host.run(task);
    let first = host.phase(TASK, Phase::Running).await.containers[0].clone();
    for restarts in 1..=3 {
        host.advance(secs(60));
        let seen = host.until(|seen| seen.containers[0].restarts == restarts).await;
        assert_eq!((seen.phase, seen.containers[0].exit.clone()), (Phase::Running, None));
        assert!(seen.containers[0].started_at > first.started_at);
        assert_eq!(seen.containers[0].runtime_id, first.runtime_id);
    }
    host.order(TASK, 1, Order::Stop);
    let seen = host.phase(TASK, Phase::Stopped).await;
    assert_eq!(
        seen.containers[0].exit.as_ref().map(|exit| exit.code),
        Some(143),
        "no restart after the stop"
    );
    assert_eq!(seen.containers[0].restarts, 3);
    host.agent.close().await;
}

#[tokio::test]
async fn what_every_run_says_is_shipped_once() {
    let mut host = Host::new().await;
    let mut task = assignment(TASK, &[("web", true, "exit=3 after=60s")]);
    task.containers[0].restart = Some(RestartPolicy { ignored_exit_codes: vec![], attempt_period: secs(60) });
    task.containers[0].logging = log();
    host.run(task);
    let id = host.phase(TASK, Phase::Running).await.containers[0].runtime_id.clone().unwrap();
    for restarts in 1..=3 {
        host.runtime.say(TASK, "web", &format!("run {restarts}"));
        if restarts == 2 {
            // Its shipper has been heard before it ends.
            host.logs.until(|streams| streams[&id].lines.len() == 2).await;
        }
        host.advance(secs(60));
        host.until(|seen| seen.containers[0].restarts == restarts).await;
    }
    host.order(TASK, 1, Order::Stop);
    host.phase(TASK, Phase::Stopped).await;
    assert_eq!(host.logs.streams.lock().unwrap()[&id].lines, ["run 1", "run 2", "run 3"]);
    host.agent.close().await;
}

#[tokio::test]
async fn one_that_ran_too_short_stays_ended() {
    let mut host = Host::new().await;
    let mut task = assignment(TASK, &[("web", true, "exit=3 after=59s")]);
    task.containers[0].restart = Some(RestartPolicy { ignored_exit_codes: vec![], attempt_period: secs(60) });
    host.run(task);
    host.phase(TASK, Phase::Running).await;
    host.advance(secs(59));
    let seen = host.phase(TASK, Phase::Stopped).await;
    assert_eq!(seen.containers[0].exit.as_ref().map(|exit| exit.code), Some(3));
    assert_eq!((seen.containers[0].restarts, seen.failure), (0, None));
    host.agent.close().await;
}

#[tokio::test]
async fn an_end_while_the_agent_was_away_is_followed_by_a_restart() {
    let mut host = Host::new().await;
    let mut task = assignment(TASK, &[("web", true, "exit=3 after=1h")]);
    task.containers[0].restart = Some(RestartPolicy { ignored_exit_codes: vec![], attempt_period: secs(60) });
    task.containers[0].health_check = health_check(10);
    host.run(task);
    host.phase(TASK, Phase::Running).await;
    host.advance(secs(10));
    let before = host.until(|seen| status(seen, 0) == Some(HealthStatus::Healthy)).await;
    let mut host = host.restart().await;
    let resumed = host.phase(TASK, Phase::Running).await;
    assert_eq!(resumed.containers[0].health, before.containers[0].health, "its health is remembered");
    host.clock.advance(secs(3600));
    let mut host = host.restart().await;
    let seen = host.until(|seen| seen.containers[0].restarts == 1).await;
    assert_eq!((seen.phase, seen.containers[0].exit.clone()), (Phase::Running, None));
    assert_eq!(status(&seen, 0), Some(HealthStatus::Unknown), "a new run, a new health");
    host.agent.close().await;
}

#[tokio::test]
async fn a_wait_goes_on_after_a_restart() {
    let mut host = Host::new().await;
    let mut task = assignment(TASK, &[("web", true, ""), ("init", false, "exit=0 after=1h")]);
    depend(&mut task, 0, "init", Condition::Complete);
    host.run(task);
    host.until(|seen| is_running(seen, 1)).await;
    let mut host = host.restart().await;
    host.until(|seen| is_running(seen, 1)).await;
    host.advance(secs(3600));
    let seen = host.phase(TASK, Phase::Running).await;
    assert!(is_running(&seen, 0));
    // Its image and that of the container that waited; the latter again after the restart.
    assert_eq!(host.images.pulls.lock().unwrap().len(), 3);
    host.agent.close().await;
}

#[tokio::test]
async fn stops_run_backwards() {
    let mut host = Host::new().await;
    let mut task = assignment(TASK, &[("db", true, ""), ("web", true, ""), ("proxy", false, "")]);
    depend(&mut task, 1, "db", Condition::Start);
    depend(&mut task, 2, "web", Condition::Start);
    host.run(task);
    let seen = host.phase(TASK, Phase::Running).await;
    let starts: Vec<_> = seen.containers.iter().map(|c| c.started_at.unwrap()).collect();
    assert!(starts.is_sorted(), "{starts:?}");
    host.order(TASK, 1, Order::Stop);
    let seen = host.phase(TASK, Phase::Stopped).await;
    let ends: Vec<_> = seen.containers.iter().map(|c| c.exit.as_ref().unwrap().at).collect();
    assert!(ends.is_sorted_by(|a, b| a > b), "{ends:?}");
    host.agent.close().await;
}

#[tokio::test]
async fn a_task_at_rest_says_when_it_looks_again() {
    let mut host = Host::new().await;
    let mut task = assignment(TASK, &[("web", true, "unhealthy after=1h")]);
    task.containers[0].health_check = health_check(10);
    host.run(task);
    let started = host.phase(TASK, Phase::Running).await.containers[0].started_at.unwrap();
    host.settle().await;
    assert_eq!(host.agent.next_due(), Some(started + secs(10)));
    host.clock.advance(secs(10));
    assert!(!host.agent.is_idle(), "something is due");
    host.until(|seen| status(seen, 0) == Some(HealthStatus::Healthy)).await;
    host.settle().await;
    // What is known to go well is not looked at.
    assert!(host.agent.next_due() >= Some(started + secs(3600)));
    host.agent.close().await;
}
