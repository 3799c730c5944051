use std::time::Duration;

use aws::op;
use aws_ecs as aws;
use base::Fault;
use core_lifecycle::{ContainerObservation, Exit, Observation, Phase};
use service::{Caller, Origin, Platform};
use service_ecs::sessions::{self, SessionTarget};

use crate::peers::ROLE;
use crate::world::{INVALID, World, container, definition, refused, run_request};

const NOT_ENABLED: &str = "The execute command failed because execute command was not enabled when the task was run \
     or the execute command agent isn’t running. Wait and try again or run a new task with execute command enabled \
     and try again.";

/// A task with the containers `names`, all of which run.
fn running(world: &mut World, names: &[&str], is_enabled: bool) -> String {
    let request = aws::RegisterTaskDefinitionRequest {
        container_definitions: names.iter().map(|name| container(name)).collect(),
        task_role_arn: Some(ROLE.into()),
        ..definition("shell")
    };
    world.call::<op::RegisterTaskDefinition>(request).unwrap();
    let request = aws::RunTaskRequest {
        task_definition: "shell".into(),
        enable_execute_command: Some(is_enabled),
        ..run_request()
    };
    let answer = world.call::<op::RunTask>(request).unwrap();
    world.settle();
    let task = answer.tasks.unwrap().remove(0).task_arn.unwrap();
    let now = world.platform.clock().now();
    let up = |name: &&str| ContainerObservation {
        name: String::from(*name),
        started_at: Some(now),
        ..Default::default()
    };
    let containers = names.iter().map(up).collect();
    world.observe(&task, 1, Observation { phase: Phase::Running, containers, ..Default::default() });
    task
}

fn request(task: &str, container: Option<&str>) -> aws::ExecuteCommandRequest {
    aws::ExecuteCommandRequest {
        cluster: Some("main".into()),
        container: container.map(String::from),
        command: "/bin/sh -c 'echo hi'".into(),
        interactive: true,
        task: task.into(),
    }
}

fn execute(world: &mut World, task: &str) -> (String, String) {
    let answer = world.call::<op::ExecuteCommand>(request(task, None)).unwrap();
    let session = answer.session.unwrap();
    (session.session_id.unwrap(), session.token_value.unwrap())
}

fn open(world: &mut World, id: &str, token: &str) -> Result<SessionTarget, Fault> {
    let (id, token) = (String::from(id), String::from(token));
    world.wait(|platform| async move { sessions::open(&platform, &id, &token).await })
}

#[test]
fn a_session_opens_once() {
    let mut world = World::furnished();
    let task = running(&mut world, &["web"], true);
    let answer = world.call::<op::ExecuteCommand>(request(&task, None)).unwrap();
    assert_eq!(answer.container_name.as_deref(), Some("web"));
    assert_eq!(answer.task_arn.as_deref(), Some(task.as_str()));
    assert!(answer.container_arn.unwrap().contains(":container/main/"));
    let session = answer.session.unwrap();
    let (id, token) = (session.session_id.unwrap(), session.token_value.unwrap());
    assert!(id.starts_with("ecs-execute-command-") && id.len() == 37, "{id}");
    let url = format!("ws://127.0.0.1:4566/v1/data-channel/{id}?role=publish_subscribe");
    assert_eq!(session.stream_url.as_deref(), Some(url.as_str()));
    let (other, other_token) = execute(&mut world, &task);
    assert_ne!((&other, &other_token), (&id, &token));
    open(&mut world, &id, &other_token).unwrap_err();
    let target = open(&mut world, &id, &token).unwrap();
    assert_eq!((target.container_name.as_str(), target.task_arn.as_str()), ("web", task.as_str()));
    assert_eq!((target.command.as_str(), &*target.host.0), ("/bin/sh -c 'echo hi'", "local"));
    let message = "The session does not exist, has expired, or was taken up before.";
    refused(open(&mut world, &id, &token), "TargetNotConnectedException", message);
    // Nobody comes for the other.
    world.advance(Duration::from_secs(301));
    refused(open(&mut world, &other, &other_token), "TargetNotConnectedException", message);
}

#[test]
fn the_channel_is_reached_as_the_request_was() {
    let mut world = World::furnished();
    let task = running(&mut world, &["web"], true);
    let mut url = |origin: Origin, host: Option<&str>| {
        let caller = Caller { origin, host: host.map(String::from), ..World::caller() };
        let request = request(&task, None);
        let call =
            |platform: Platform| async move { platform.call::<op::ExecuteCommand>(caller, request).await };
        let url = world.wait(call).unwrap().session.unwrap().stream_url.unwrap();
        url.split('/').nth(2).unwrap().to_owned()
    };
    let inside = || Origin::Task { vpc: "vpc".into(), address: [172, 31, 0, 9].into() };
    for (origin, host, authority) in [
        (Origin::Operator, Some("boxship:4566"), "boxship:4566"),
        (Origin::Operator, Some("localhost:5000"), "localhost:5000"),
        (Origin::Operator, None, "127.0.0.1:4566"),
        (Origin::Operator, Some("ecs.us-east-1.amazonaws.com"), "127.0.0.1:4566"),
        (inside(), Some("anything"), "169.254.170.2:4566"),
    ] {
        assert_eq!(url(origin, host), authority);
    }
}

#[test]
fn several_containers_need_a_name() {
    let mut world = World::furnished();
    let task = running(&mut world, &["web", "sidecar"], true);
    let id = task.rsplit('/').next().unwrap().to_owned();
    let answer = world.call::<op::ExecuteCommand>(request(&id, Some("sidecar"))).unwrap();
    assert_eq!(answer.container_name.as_deref(), Some("sidecar"));
    let message = "Container name must be specified: the task has more than one container.";
    refused(world.call::<op::ExecuteCommand>(request(&id, None)), INVALID, message);
    let message = "The container 'db' was not found in the task.";
    refused(world.call::<op::ExecuteCommand>(request(&id, Some("db"))), INVALID, message);
    // One of them has ended.
    let now = world.platform.clock().now();
    let containers = ["web", "sidecar"].map(|name| ContainerObservation {
        name: name.into(),
        started_at: Some(now),
        exit: (name == "sidecar").then_some(Exit { code: 0, at: now, is_oom: false }),
        ..Default::default()
    });
    let seen = Observation { phase: Phase::Running, containers: containers.into(), ..Default::default() };
    world.observe(&task, 1, seen);
    refused(world.call::<op::ExecuteCommand>(request(&id, Some("sidecar"))), INVALID, NOT_ENABLED);
}

#[test]
fn commands_that_cannot_run() {
    let mut world = World::furnished();
    let task = running(&mut world, &["web"], false);
    refused(world.call::<op::ExecuteCommand>(request(&task, None)), INVALID, NOT_ENABLED);
    let task = running(&mut world, &["web"], true);
    let mut plain = request(&task, None);
    plain.interactive = false;
    let message = "Interactive is the only mode supported currently.";
    refused(world.call::<op::ExecuteCommand>(plain), INVALID, message);
    let blank = aws::ExecuteCommandRequest { command: " ".into(), ..request(&task, None) };
    refused(world.call::<op::ExecuteCommand>(blank), INVALID, "command cannot be blank.");
    let absent = request("0123456789abcdef0123456789abcdef", None);
    refused(world.call::<op::ExecuteCommand>(absent), INVALID, "The referenced task was not found.");
    let (id, token) = execute(&mut world, &task);
    let stop = aws::StopTaskRequest { cluster: Some("main".into()), task: task.clone(), reason: None };
    world.call::<op::StopTask>(stop).unwrap();
    refused(world.call::<op::ExecuteCommand>(request(&task, None)), INVALID, NOT_ENABLED);
    let message = "The container is not running any more.";
    refused(open(&mut world, &id, &token), "TargetNotConnectedException", message);
}
