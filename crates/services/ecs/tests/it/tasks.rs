use std::time::Duration;

use aws::op;
use aws_ecs as aws;
use core_lifecycle::{ContainerObservation, Observation, Phase};
use link::{HostId, Observed, Order};

use crate::peers::Made;
use crate::world::{INVALID, World, definition, refused, run_request};

fn start(world: &mut World) -> String {
    let answer = world.call::<op::RunTask>(run_request()).unwrap();
    world.settle();
    answer.tasks.unwrap().remove(0).task_arn.unwrap()
}

fn stop(arn: &str, reason: Option<&str>) -> aws::StopTaskRequest {
    aws::StopTaskRequest { cluster: Some("main".into()), task: arn.into(), reason: reason.map(Into::into) }
}

fn seen(phase: Phase) -> Observation {
    let web = ContainerObservation { name: "web".into(), ..Default::default() };
    Observation { phase, containers: vec![web], ..Default::default() }
}

fn list(world: &mut World, change: impl FnOnce(&mut aws::ListTasksRequest)) -> Vec<String> {
    let mut request = aws::ListTasksRequest { cluster: Some("main".into()), ..Default::default() };
    change(&mut request);
    world.call::<op::ListTasks>(request).unwrap().task_arns.unwrap()
}

#[test]
fn stop_answers_at_once() {
    let mut world = World::furnished();
    let arn = start(&mut world);
    world.observe(&arn, 1, seen(Phase::Running));
    assert_eq!(world.describe(&arn).last_status.as_deref(), Some("RUNNING"));
    let task = world.call::<op::StopTask>(stop(&arn, Some("enough"))).unwrap().task.unwrap();
    assert_eq!(
        (task.last_status.as_deref(), task.desired_status.as_deref()),
        (Some("RUNNING"), Some("STOPPED"))
    );
    assert_eq!(
        (task.stop_code.as_deref(), task.stopped_reason.as_deref()),
        (Some("UserInitiated"), Some("enough"))
    );
    let orders = world.settle();
    assert!(matches!(orders[..], [link::Desired { generation: 2, order: Order::Stop, .. }]), "{orders:?}");
    // A second stop does not change the cause.
    world.call::<op::StopTask>(stop(&arn, Some("again"))).unwrap();
    world.settle();
    assert_eq!(world.describe(&arn).stopped_reason.as_deref(), Some("enough"));
}

#[test]
fn tasks_are_named_by_id_and_arn() {
    let mut world = World::furnished();
    let arn = start(&mut world);
    let id = arn.rsplit('/').next().unwrap().to_owned();
    let mut describe = |tasks: &[&str]| {
        let tasks = tasks.iter().map(|task| String::from(*task)).collect();
        world.call::<op::DescribeTasks>(aws::DescribeTasksRequest {
            cluster: Some("main".into()),
            tasks,
            include: None,
        })
    };
    let absent = "0123456789abcdef0123456789abcdef";
    let answer = describe(&[&id, &arn, absent]).unwrap();
    assert_eq!(answer.tasks.unwrap().len(), 2);
    let failures = answer.failures.unwrap();
    assert_eq!(
        failures[0].arn.as_deref(),
        Some(&*format!("arn:aws:ecs:us-east-1:000000000000:task/main/{absent}"))
    );
    assert_eq!(failures[0].reason.as_deref(), Some("MISSING"));
    refused(describe(&[]), INVALID, "Tasks cannot be empty.");
    refused(describe(&["x"; 101]), INVALID, "tasks can have at most 100 items.");
    refused(describe(&["x"]), INVALID, "taskId length should be one of [32,36]");
    let message = "Invalid identifier: Identifier is for cluster other. Your cluster is main";
    refused(describe(&[&arn.replace("/main/", "/other/")]), INVALID, message);
    refused(world.call::<op::StopTask>(stop(absent, None)), INVALID, "The referenced task was not found.");
}

#[test]
fn lists_of_tasks() {
    let mut world = World::furnished();
    world.call::<op::RegisterTaskDefinition>(definition("other")).unwrap();
    let first = start(&mut world);
    let request = aws::RunTaskRequest {
        task_definition: "other".into(),
        started_by: Some("me".into()),
        count: Some(3),
        ..run_request()
    };
    world.call::<op::RunTask>(request).unwrap();
    assert_eq!(list(&mut world, |_| {}).len(), 4);
    assert_eq!(list(&mut world, |request| request.family = Some("app".into())), std::slice::from_ref(&first));
    assert_eq!(list(&mut world, |request| request.started_by = Some("me".into())).len(), 3);
    assert_eq!(list(&mut world, |request| request.launch_type = Some("EC2".into())).len(), 0);
    assert_eq!(list(&mut world, |request| request.desired_status = Some("PENDING".into())).len(), 0);
    world.call::<op::StopTask>(stop(&first, None)).unwrap();
    assert_eq!(list(&mut world, |_| {}).len(), 3);
    assert_eq!(list(&mut world, |request| request.desired_status = Some("STOPPED".into())), [first]);
    let page =
        aws::ListTasksRequest { cluster: Some("main".into()), max_results: Some(2), ..Default::default() };
    let answer = world.call::<op::ListTasks>(page.clone()).unwrap();
    assert_eq!(answer.task_arns.unwrap().len(), 2);
    let next = aws::ListTasksRequest { next_token: answer.next_token, ..page };
    let answer = world.call::<op::ListTasks>(next).unwrap();
    assert_eq!((answer.task_arns.unwrap().len(), answer.next_token), (1, None));
    let service = aws::ListTasksRequest {
        cluster: Some("main".into()),
        service_name: Some("web".into()),
        ..Default::default()
    };
    for (started_by, family, name) in [
        (Some("me"), Some("app"), "startedBy"),
        (Some("me"), None, "startedBy"),
        (None, Some("app"), "serviceName"),
    ] {
        let started_by = started_by.map(String::from);
        let family = family.map(String::from);
        let both = aws::ListTasksRequest { started_by, family, ..service.clone() };
        let message = format!("cannot specify {name} with other arguments");
        refused(world.call::<op::ListTasks>(both), INVALID, &message);
    }
    let answer = world.call::<op::ListTasks>(service);
    refused(answer, "ServiceNotFoundException", "Service not found.");
}

#[test]
fn orders_are_repeated_until_the_host_shows_them() {
    let mut world = World::furnished();
    let arn = start(&mut world);
    let runs = |world: &World| world.orders.iter().filter(|order| order.generation == 1).count();
    assert_eq!(runs(&world), 1);
    world.advance(Duration::from_secs(6));
    assert_eq!(runs(&world), 2);
    world.observe(&arn, 1, seen(Phase::Preparing));
    world.advance(Duration::from_secs(60));
    assert_eq!(runs(&world), 2);
}

#[test]
fn old_and_foreign_reports_change_nothing() {
    let mut world = World::furnished();
    let arn = start(&mut world);
    world.observe(&arn, 1, seen(Phase::Running));
    let report = |host: &str, sequence| Observed {
        host: HostId(host.into()),
        task: arn.as_str().into(),
        generation: 1,
        sequence,
        observation: seen(Phase::Stopped),
    };
    for stale in [
        report("local", 1),
        report("elsewhere", 99),
        Observed { task: "nonsense".into(), ..report("local", 9) },
    ] {
        world.report(stale);
        assert_eq!(world.describe(&arn).last_status.as_deref(), Some("RUNNING"));
    }
    world.report(report("local", 2));
    assert_eq!(world.describe(&arn).last_status.as_deref(), Some("STOPPED"));
}

#[test]
fn the_interface_goes_with_the_task_and_the_task_an_hour_later() {
    let mut world = World::furnished();
    let arn = start(&mut world);
    let interfaces = |world: &World| world.platform.store().snapshot().count::<Made>();
    assert_eq!(interfaces(&world), 1);
    world.observe(&arn, 1, seen(Phase::Running));
    let orders = world.observe(&arn, 1, seen(Phase::Stopped));
    assert_eq!(interfaces(&world), 0);
    assert!(matches!(orders[..], [link::Desired { generation: 3, order: Order::Forget, .. }]), "{orders:?}");
    let attachment = world.describe(&arn).attachments.unwrap().remove(0);
    assert_eq!(attachment.status.as_deref(), Some("DELETED"));

    world.advance(Duration::from_secs(3500));
    assert_eq!(list(&mut world, |request| request.desired_status = Some("STOPPED".into())).len(), 1);
    world.advance(Duration::from_secs(200));
    assert_eq!(list(&mut world, |request| request.desired_status = Some("STOPPED".into())).len(), 0);
    let ask = aws::DescribeTasksRequest { cluster: Some("main".into()), tasks: vec![arn], include: None };
    assert_eq!(world.call::<op::DescribeTasks>(ask).unwrap().failures.unwrap().len(), 1);
}
