use core_lifecycle::Phase;
use link::Order;

use crate::fakes::{Host, TASK, assignment};

#[tokio::test]
async fn a_repeated_run_starts_nothing_and_is_answered() {
    let mut host = Host::new().await;
    host.run(assignment(TASK, &[("web", true, "")]));
    let first = host.phase(TASK, Phase::Running).await;
    host.run(assignment(TASK, &[("web", true, "")]));
    let again = host.phase(TASK, Phase::Running).await;
    assert_eq!(first, again);
    assert_eq!(host.images.pulls.lock().unwrap().len(), 1);
    host.agent.close().await;
}

#[tokio::test]
async fn a_repeated_stop_is_answered() {
    let mut host = Host::new().await;
    host.run(assignment(TASK, &[("web", true, "")]));
    host.phase(TASK, Phase::Running).await;
    host.order(TASK, 2, Order::Stop);
    let first = host.phase(TASK, Phase::Stopped).await;
    host.order(TASK, 2, Order::Stop);
    let again = host.phase(TASK, Phase::Stopped).await;
    assert_eq!(first, again);
    host.agent.close().await;
}

#[tokio::test]
async fn an_order_of_an_older_generation_is_refused() {
    let mut host = Host::new().await;
    let task = assignment(TASK, &[("web", true, "")]);
    host.order(TASK, 5, Order::Run(std::sync::Arc::new(task.clone())));
    host.phase(TASK, Phase::Running).await;
    host.order(TASK, 4, Order::Stop);
    host.order(TASK, 5, Order::Run(std::sync::Arc::new(task)));
    let seen = host.report(TASK, |_| true).await;
    assert_eq!((seen.generation, seen.observation.phase), (5, Phase::Running));
    host.agent.close().await;
}

#[tokio::test]
async fn a_run_after_its_stop_runs_nothing() {
    let mut host = Host::new().await;
    host.order(TASK, 2, Order::Stop);
    let seen = host.phase(TASK, Phase::Stopped).await;
    assert!(seen.containers.is_empty());
    host.order(TASK, 1, Order::Run(std::sync::Arc::new(assignment(TASK, &[("web", true, "")]))));
    // Also not after a restart.
    let mut host = host.restart().await;
    host.order(TASK, 1, Order::Run(std::sync::Arc::new(assignment(TASK, &[("web", true, "")]))));
    host.order(TASK, 2, Order::Stop);
    let seen = host.report(TASK, |_| true).await;
    assert_eq!((seen.generation, seen.observation.phase), (2, Phase::Stopped));
    assert!(host.images.pulls.lock().unwrap().is_empty());
    host.agent.close().await;
}

#[tokio::test]
async fn a_run_after_its_forget_runs_nothing() {
    let mut host = Host::new().await;
    host.order(TASK, 3, Order::Forget);
    host.order(TASK, 1, Order::Run(std::sync::Arc::new(assignment(TASK, &[("web", true, "")]))));
    let other = "e".repeat(32);
    host.run(assignment(&other, &[("web", true, "")]));
    host.phase(&other, Phase::Running).await;
    assert_eq!(host.images.pulls.lock().unwrap().len(), 1, "of the other only");
    host.agent.close().await;
}

#[tokio::test]
async fn an_order_for_another_host_is_ignored() {
    let host = Host::new().await;
    let order = Order::Run(std::sync::Arc::new(assignment(TASK, &[("web", true, "")])));
    let host_id = link::HostId("elsewhere".into());
    let desired = link::Desired { host: host_id, task: "x".into(), generation: 1, order };
    host.agent.order(desired).unwrap();
    assert!(host.leftovers().is_empty());
    host.agent.close().await;
}
