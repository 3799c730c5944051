use core_lifecycle::{Condition, Dependency, Phase};

use crate::fakes::{Host, TASK, Trouble, assignment, log};

#[tokio::test]
async fn a_task_comes_up() {
    let mut host = Host::new().await;
    host.run(assignment(TASK, &[("web", true, ""), ("side", false, "")]));
    let seen = host.phase(TASK, Phase::Running).await;
    assert!(seen.pull_started_at.is_some() && seen.pull_stopped_at >= seen.pull_started_at);
    assert!(seen.started_at >= seen.pull_stopped_at);
    assert_eq!(seen.failure, None);
    let names: Vec<&str> = seen.containers.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["web", "side"]);
    for container in &seen.containers {
        assert!(container.started_at.is_some());
        assert!(container.image_digest.as_deref().is_some_and(|digest| digest.starts_with("sha256:")));
        let id = container.runtime_id.as_deref().unwrap();
        let digits = id.strip_prefix(&format!("{TASK}-")).unwrap();
        assert!(digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_digit()), "{id}");
    }
    assert_ne!(seen.containers[0].runtime_id, seen.containers[1].runtime_id);
    host.agent.close().await;
}

#[tokio::test]
async fn an_image_that_is_not_there() {
    let mut host = Host::new().await;
    let mut task = assignment(TASK, &[("web", true, ""), ("side", true, "")]);
    task.containers[1].image = "missing:1".to_owned();
    host.run(task);
    let seen = host.phase(TASK, Phase::Stopped).await;
    let failure = seen.failure.expect("the task failed");
    assert_eq!(
        failure.text(),
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref \
         docker.io/library/missing:1: docker.io/library/missing:1: not found"
    );
    assert_eq!(seen.containers[1].failure, Some(failure));
    assert_eq!(seen.containers[0].failure, None);
    assert!(seen.containers.iter().all(|c| c.started_at.is_none() && c.exit.is_none()));
    assert!(seen.execution_stopped_at.is_some() && seen.stopped_at.is_some());
    host.agent.close().await;
}

#[tokio::test]
async fn an_image_that_nobody_needs() {
    let mut host = Host::new().await;
    let mut task = assignment(TASK, &[("web", true, ""), ("side", false, ""), ("late", false, "")]);
    task.containers[1].image = "missing:1".to_owned();
    let condition = Condition::Start;
    task.containers[2].depends_on = vec![Dependency { container: "side".to_owned(), condition }];
    host.run(task);
    let seen = host.phase(TASK, Phase::Running).await;
    assert_eq!(seen.failure, None, "the task goes on without it");
    assert_eq!(
        seen.containers[1].failure.as_ref().map(|f| f.class.as_str()),
        Some("CannotPullContainerError")
    );
    assert_eq!(
        seen.containers[2].failure.as_ref().map(|f| f.class.as_str()),
        Some("CannotStartContainerError")
    );
    assert!(seen.containers[0].started_at.is_some());
    let host = host.restart().await;
    assert_eq!(host.images.pulls.lock().unwrap().len(), 3, "nothing is tried again");
    host.agent.close().await;
}

#[tokio::test]
async fn a_network_that_cannot_be_had() {
    let mut host = Host::new().await;
    *host.network.is_broken.lock().unwrap() = true;
    host.run(assignment(TASK, &[("web", true, "")]));
    let seen = host.phase(TASK, Phase::Stopped).await;
    let failure = seen.failure.expect("the task failed");
    assert_eq!(failure.class, "ResourceInitializationError");
    assert!(failure.message.contains("no address is left"), "{}", failure.message);
    host.agent.close().await;
}

#[tokio::test]
async fn a_log_group_that_is_not_there() {
    let mut host = Host::new().await;
    host.logs.trouble.lock().unwrap().push(Trouble::NoGroup);
    let mut task = assignment(TASK, &[("web", true, "")]);
    task.containers[0].logging = log();
    host.run(task);
    let seen = host.phase(TASK, Phase::Stopped).await;
    let text = seen.failure.expect("the task failed").text();
    assert!(text.starts_with("ResourceInitializationError: failed to validate logger args"), "{text}");
    assert!(text.ends_with("ResourceNotFoundException: The specified log group does not exist."), "{text}");
    host.agent.close().await;
}

#[tokio::test]
async fn a_container_that_cannot_start() {
    let mut host = Host::new().await;
    host.run(assignment(TASK, &[("first", false, "explode"), ("web", true, "")]));
    let seen = host.phase(TASK, Phase::Running).await;
    let failure = seen.containers[0].failure.as_ref().expect("it did not start");
    assert_eq!(failure.class, "CannotStartContainerError");
    assert_eq!(seen.failure, None, "it is not essential");

    let other = "f".repeat(32);
    host.run(assignment(&other, &[("web", true, ""), ("bad", true, "explode")]));
    let seen = host.phase(&other, Phase::Stopped).await;
    assert_eq!(seen.failure.expect("it is essential").class, "CannotStartContainerError");
    assert_eq!(seen.containers[0].exit.as_ref().map(|e| e.code), Some(143), "what ran was stopped");
    host.agent.close().await;
}

#[tokio::test]
async fn failed_starts_hold_up_no_other() {
    let mut host = Host::new().await;
    for number in 0..5 {
        let id = format!("{number:032x}");
        host.run(assignment(&id, &[("web", true, "explode")]));
        host.phase(&id, Phase::Stopped).await;
    }
    host.run(assignment(TASK, &[("web", true, "")]));
    host.phase(TASK, Phase::Running).await;
    host.agent.close().await;
}

#[tokio::test]
async fn stuck_tasks_hold_up_no_other() {
    let mut host = Host::new().await;
    let stuck: Vec<String> = (0..5).map(|n| format!("{n:032x}")).collect();
    for id in &stuck {
        let mut task = assignment(id, &[("web", true, "")]);
        task.containers[0].image = "stuck".to_owned();
        host.run(task);
    }
    host.run(assignment(TASK, &[("web", true, "")]));
    host.phase(TASK, Phase::Running).await;
    // And a stuck one can be stopped.
    host.order(&stuck[0], 1, link::Order::Stop);
    let seen = host.phase(&stuck[0], Phase::Stopped).await;
    assert!(seen.containers[0].started_at.is_none() && seen.failure.is_none());
    host.agent.close().await;
}
