//! What containers are given: environment, networks, volumes, ports; and what becomes of a start that
//! does not come to an end.

use std::time::Duration;

use core_lifecycle::{LogDriver, Logging, Mount, Phase, SecretReference, Volume, VolumeSource, VolumesFrom};
use link::Order;
use runtime::MountSource;

use crate::fakes::{Host, TASK, assignment};

fn secret(name: &str, value_from: &str) -> SecretReference {
    SecretReference { name: name.to_owned(), value_from: value_from.to_owned() }
}

#[tokio::test]
async fn an_environment_of_many_sources() {
    let mut host = Host::new().await;
    let mut task = assignment(TASK, &[("web", true, "")]);
    let spec = &mut task.containers[0];
    spec.environment.insert("MODE".to_owned(), "own".to_owned());
    spec.environment_files = vec!["first".to_owned(), "second".to_owned()];
    spec.secrets = vec![secret("TOKEN", "arn:aws:ssm:us-east-1:000000000000:parameter/token")];
    host.run(task);
    host.phase(TASK, Phase::Running).await;
    let plan = host.runtime.plans.lock().unwrap()[0].clone();
    let environment: Vec<(&str, &str)> =
        plan.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        environment,
        [
            ("FROM", "first"),
            ("METADATA", "http://169.254.170.2"),
            ("MODE", "own"),
            ("TOKEN", "value of arn:aws:ssm:us-east-1:000000000000:parameter/token"),
        ]
    );
    host.agent.close().await;
}

#[tokio::test]
async fn values_that_are_not_there() {
    let retrieval = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource \
                     retrieval failed: unable to retrieve";
    let retried = "service call has been retried 1 time(s):";
    let ssm = "arn:aws:ssm:us-east-1:000000000000:parameter/missing";
    let asm = "arn:aws:secretsmanager:us-east-1:000000000000:secret:missing";
    let mut host = Host::new().await;
    for (number, expected) in [
        format!("{retrieval} secrets from ssm: {retried} ResourceNotFoundException: no {ssm}"),
        format!("{retrieval} secret from asm: {retried} ResourceNotFoundException: no {asm}"),
        format!("{retrieval} secret from asm: {retried} ResourceNotFoundException: no {asm}"),
        format!(
            "ResourceInitializationError: failed to download env files: file download command: non empty error \
             stream: {retried} NoSuchKey: The specified key does not exist."
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("{number:032x}");
        let mut task = assignment(&id, &[("web", true, "")]);
        let spec = &mut task.containers[0];
        match number {
            0 => spec.secrets = vec![secret("TOKEN", ssm)],
            1 => spec.secrets = vec![secret("TOKEN", asm)],
            2 => {
                let driver = LogDriver::Fluentd([("fluentd-address".to_owned(), "127.0.0.1:9".to_owned())].into());
                let secret_options = vec![secret("tag", asm)];
                spec.logging = Logging { driver, secret_options, ..Logging::default() };
            }
            _ => spec.environment_files = vec!["missing".to_owned()],
        }
        host.run(task);
        let seen = host.phase(&id, Phase::Stopped).await;
        assert_eq!(seen.failure.expect("it cannot start").text(), expected);
    }
    assert!(host.runtime.plans.lock().unwrap().is_empty());
    host.agent.close().await;
}

#[tokio::test]
async fn the_endpoint_hears_of_a_task_from_its_start_to_its_end() {
    let mut host = Host::new().await;
    host.run(assignment(TASK, &[("web", true, "")]));
    host.phase(TASK, Phase::Running).await;
    assert!(host.endpoint.open.lock().unwrap().contains(TASK));
    let mut host = host.restart().await;
    host.phase(TASK, Phase::Running).await;
    assert!(host.endpoint.open.lock().unwrap().contains(TASK), "it is told again");
    host.order(TASK, 1, Order::Stop);
    host.phase(TASK, Phase::Stopped).await;
    assert!(!host.endpoint.open.lock().unwrap().contains(TASK));
    let phases = host.endpoint.phases.lock().unwrap().clone();
    assert!(phases.is_sorted() && phases.last() == Some(&Phase::Stopped), "{phases:?}");
    host.agent.close().await;
}

#[tokio::test]
async fn networks_and_ports_of_their_own() {
    let mut host = Host::new().await;
    host.run(assignment(TASK, &[("bridged", true, ""), ("web", true, "")]));
    let seen = host.phase(TASK, Phase::Running).await;
    assert_eq!(seen.containers[0].bindings[0].host_port, 32768);
    assert!(seen.containers[1].bindings.is_empty());
    let mut plans = host.runtime.plans.lock().unwrap().clone();
    plans.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(plans[0].place.as_ref().map(|place| place.hostname.as_str()), Some("of-its-own"));
    assert_eq!(plans[1].place, None);
    let mut host = host.restart().await;
    let seen = host.phase(TASK, Phase::Running).await;
    assert_eq!(seen.containers[0].bindings[0].host_port, 32768);
    host.agent.close().await;
}

#[tokio::test]
async fn volumes_come_along() {
    let mut host = Host::new().await;
    let mut task = assignment(TASK, &[("web", true, ""), ("side", false, "")]);
    task.volumes = vec![Volume { name: "data".to_owned(), source: VolumeSource::Task }];
    task.containers[0].mounts =
        vec![Mount { volume: "data".to_owned(), path: "/data".to_owned(), is_read_only: false }];
    task.containers[1].volumes_from = vec![VolumesFrom { container: "web".to_owned(), is_read_only: true }];
    host.run(task);
    host.phase(TASK, Phase::Running).await;
    let plans = host.runtime.plans.lock().unwrap().clone();
    let names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
    assert_eq!(names, ["web", "side"], "whose volumes are used starts first");
    for (plan, is_read_only) in plans.iter().zip([false, true]) {
        let [mount] = plan.mounts.as_slice() else { panic!("{:?}", plan.mounts) };
        assert_eq!(mount.source, MountSource::Task("data".to_owned()));
        assert_eq!((mount.target.as_str(), mount.is_read_only), ("/data", is_read_only));
    }
    host.agent.close().await;
}

#[tokio::test]
async fn a_start_that_hangs() {
    let mut host = Host::new().await;
    host.run(assignment(TASK, &[("web", true, ""), ("hangs", true, "")]));
    while host.runtime.plans.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    host.advance(Duration::from_secs(179));
    host.advance(Duration::from_secs(1));
    let seen = host.phase(TASK, Phase::Stopped).await;
    assert_eq!(
        seen.failure.expect("it did not start").text(),
        "ContainerRuntimeTimeoutError: Could not transition to running; timed out after waiting 3m0s"
    );
    assert_eq!(seen.containers[0].exit.as_ref().map(|exit| exit.code), Some(143), "what ran was stopped");
    host.agent.close().await;
}
