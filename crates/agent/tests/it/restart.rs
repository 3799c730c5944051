use std::time::Duration;

use core_lifecycle::Phase;
use link::Order;
use runtime::Runtime;

use crate::fakes::{Host, TASK, assignment};

#[tokio::test]
async fn a_running_task_runs_on() {
    let mut host = Host::new().await;
    host.run(assignment(TASK, &[("web", true, ""), ("side", false, "")]));
    let before = host.phase(TASK, Phase::Running).await;
    let mut host = host.restart().await;
    let after = host.phase(TASK, Phase::Running).await;
    assert_eq!(before, after);
    assert_eq!(host.images.pulls.lock().unwrap().len(), 2, "nothing is pulled again");
    host.order(TASK, 1, Order::Stop);
    let seen = host.phase(TASK, Phase::Stopped).await;
    assert!(seen.containers.iter().all(|c| c.exit.as_ref().is_some_and(|e| e.code == 143)));
    host.agent.close().await;
}

#[tokio::test]
async fn an_exit_while_the_agent_was_away_is_noticed() {
    let mut host = Host::new().await;
    host.run(assignment(TASK, &[("web", true, "exit=9 after=1h")]));
    let before = host.phase(TASK, Phase::Running).await;
    host.clock.advance(Duration::from_secs(7200));
    let mut host = host.restart().await;
    let seen = host.phase(TASK, Phase::Stopped).await;
    let exit = seen.containers[0].exit.as_ref().expect("it ended");
    assert_eq!((exit.code, exit.at), (9, before.started_at.unwrap() + Duration::from_secs(3600)));
    assert_eq!(seen.execution_stopped_at, Some(exit.at));
    host.agent.close().await;
}

#[tokio::test]
async fn a_start_that_was_interrupted_is_completed() {
    let mut host = Host::new().await;
    let mut task = assignment(TASK, &[("web", true, "")]);
    task.containers[0].image = "stuck".to_owned();
    host.run(task);
    host.phase(TASK, Phase::Preparing).await;
    let mut host = host.restart().await;
    host.phase(TASK, Phase::Preparing).await;
    // It is still to be stopped by the same order.
    host.order(TASK, 1, Order::Stop);
    host.phase(TASK, Phase::Stopped).await;
    host.agent.close().await;
}

#[tokio::test]
async fn a_stopped_task_is_reported_again() {
    let mut host = Host::new().await;
    host.run(assignment(TASK, &[("web", true, "exit=0")]));
    let before = host.phase(TASK, Phase::Stopped).await;
    let mut host = host.restart().await;
    let after = host.phase(TASK, Phase::Stopped).await;
    assert_eq!(before, after);
    host.order(TASK, 1, Order::Forget);
    while !host.leftovers().is_empty() {
        tokio::task::yield_now().await;
    }
    host.agent.close().await;
}

#[tokio::test]
async fn a_task_that_was_removed_meanwhile_has_ended() {
    let mut host = Host::new().await;
    host.run(assignment(TASK, &[("web", true, "")]));
    host.phase(TASK, Phase::Running).await;
    host.agent.close().await;
    host.runtime.down().await.unwrap();
    let mut host = host.restart().await;
    let seen = host.phase(TASK, Phase::Stopped).await;
    assert_eq!(seen.containers[0].exit.as_ref().map(|e| e.code), Some(137));
    assert_eq!(seen.failure, None);
    host.agent.close().await;
}
