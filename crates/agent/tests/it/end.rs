use std::time::Duration;

use core_lifecycle::Phase;
use link::Order;

use crate::fakes::{Host, TASK, assignment};

#[tokio::test]
async fn an_essential_exit_ends_the_others() {
    let mut host = Host::new().await;
    host.run(assignment(TASK, &[("web", true, "exit=3 after=10s"), ("side", false, "")]));
    let running = host.phase(TASK, Phase::Running).await;
    host.advance(Duration::from_secs(10));
    let seen = host.phase(TASK, Phase::Stopped).await;
    let exit = seen.containers[0].exit.as_ref().expect("it ended");
    assert_eq!(exit.code, 3);
    assert_eq!(exit.at, running.containers[0].started_at.unwrap() + Duration::from_secs(10));
    assert_eq!(seen.execution_stopped_at, Some(exit.at));
    assert_eq!(seen.containers[1].exit.as_ref().map(|e| e.code), Some(143));
    assert_eq!(seen.failure, None);
    host.agent.close().await;
}

#[tokio::test]
async fn another_exit_ends_nothing() {
    let mut host = Host::new().await;
    host.run(assignment(TASK, &[("web", true, ""), ("job", false, "exit=0 after=5s")]));
    host.phase(TASK, Phase::Running).await;
    host.advance(Duration::from_secs(5));
    let seen = host.report(TASK, |seen| seen.observation.containers[1].exit.is_some()).await.observation;
    assert_eq!(seen.phase, Phase::Running);
    host.agent.close().await;
}

#[tokio::test]
async fn an_exit_during_the_start_is_noticed() {
    let mut host = Host::new().await;
    host.run(assignment(TASK, &[("web", true, "exit=1"), ("side", true, "")]));
    let seen = host.phase(TASK, Phase::Stopped).await;
    assert_eq!(seen.containers[0].exit.as_ref().map(|e| e.code), Some(1));
    host.agent.close().await;
}

#[tokio::test]
async fn stop_then_forget_leaves_nothing() {
    let mut host = Host::new().await;
    host.run(assignment(TASK, &[("web", true, "")]));
    host.phase(TASK, Phase::Running).await;
    assert!(host.network.attached.lock().unwrap().contains(TASK));
    host.order(TASK, 1, Order::Stop);
    let seen = host.phase(TASK, Phase::Stopped).await;
    assert_eq!(seen.containers[0].exit.as_ref().map(|e| e.code), Some(143));
    host.order(TASK, 1, Order::Forget);
    // The actor has ended once an older order is not answered any more; a newer task is.
    let other = "e".repeat(32);
    host.run(assignment(&other, &[("web", true, "")]));
    host.phase(&other, Phase::Running).await;
    while host.leftovers().iter().any(|path| path.ends_with(TASK)) {
        tokio::task::yield_now().await;
    }
    assert!(!host.network.attached.lock().unwrap().contains(TASK));
    host.agent.close().await;
}

#[tokio::test]
async fn forget_of_a_running_task_stops_it_first() {
    let mut host = Host::new().await;
    host.run(assignment(TASK, &[("web", true, "")]));
    host.phase(TASK, Phase::Running).await;
    host.order(TASK, 2, Order::Forget);
    let seen = host.report(TASK, |seen| seen.observation.phase == Phase::Stopped).await;
    assert_eq!(seen.generation, 2);
    while !host.leftovers().is_empty() {
        tokio::task::yield_now().await;
    }
    host.agent.close().await;
}
