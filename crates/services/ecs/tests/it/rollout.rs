//! Services that live: tasks start, fail and end, and events tell why.

use aws_ecs::{self as aws, op};
use core_lifecycle::HealthStatus;

use crate::balancer::GROUP;
use crate::stage::{Fate, Stage, behind_balancer};

#[test]
fn a_service_becomes_steady_and_says_so() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.create(app, 2, |_| ());
    assert_eq!(stage.counts(), (2, 0, 2));
    let service = stage.service();
    assert_eq!(service.deployments.unwrap()[0].rollout_state.as_deref(), Some("IN_PROGRESS"));
    stage.pass(5);
    assert_eq!(
        stage.events(),
        [
            "(service web) has started 2 tasks: (task t1) (task t2).",
            "(service web) (deployment ecs-svc/r1) deployment completed.",
            "(service web) has reached a steady state.",
        ]
    );
    let service = stage.service();
    assert_eq!(service.deployments.unwrap()[0].rollout_state.as_deref(), Some("COMPLETED"));
    let task = stage.tasks().remove(0);
    let task = stage.world.describe(&task);
    assert_eq!(task.group.as_deref(), Some("service:web"));
    assert!(task.started_by.unwrap().starts_with("ecs-svc/"));
    let zones: Vec<_> =
        stage.tasks().iter().map(|task| stage.world.describe(task).availability_zone).collect();
    assert_ne!(zones[0], zones[1], "tasks are spread");
}

/// What does not change writes nothing, however often it is looked at.
#[test]
fn a_steady_service_stands_still() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.create(app, 3, behind_balancer);
    stage.pass(10);
    let before = stage.world.platform.store().snapshot().revision();
    let records = stage.world.platform.store().snapshot();
    stage.world.agenda.see_all(&records);
    stage.go();
    assert_eq!(stage.world.platform.store().snapshot().revision(), before);
}

#[test]
fn a_task_that_ends_is_replaced() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.create(app, 2, |_| ());
    stage.pass(6);
    let victim = stage.tasks().remove(0);
    stage.crash(&victim);
    stage.go();
    assert_eq!(stage.counts(), (2, 0, 2));
    assert!(!stage.tasks().contains(&victim));
    stage.pass(6);
    assert_eq!(
        stage.events()[3..],
        ["(service web) has started 1 tasks: (task t3).", "(service web) has reached a steady state."]
    );
}

#[test]
fn scaling_out_and_in() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.create(app, 1, |_| ());
    stage.pass(6);
    stage.update(|request| request.desired_count = Some(120));
    assert_eq!(stage.counts(), (120, 0, 120));
    stage.pass(6);
    stage.update(|request| request.desired_count = Some(0));
    assert_eq!(stage.counts(), (0, 0, 0));
    let events = stage.events();
    let count = |what: &str| events.iter().filter(|event| event.contains(what)).count();
    assert_eq!(count("has started 50 tasks"), 2, "fifty in one transaction");
    assert_eq!(count("has stopped 120 running tasks"), 1);
    assert_eq!(events.last().unwrap(), "(service web) has reached a steady state.");
}

/// Registers, becomes healthy, drains, and only then stops.
#[test]
fn tasks_register_and_drain() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    (stage.is_kind, stage.is_quick) = (false, false);
    stage.create(app, 1, behind_balancer);
    stage.pass(10);
    assert_eq!(stage.counts(), (1, 0, 1));
    let deployment = stage.service().deployments.unwrap().remove(0);
    assert_eq!(deployment.rollout_state.as_deref(), Some("IN_PROGRESS"), "its target is not healthy yet");
    stage.is_kind = true;
    stage.go();
    let deployment = stage.service().deployments.unwrap().remove(0);
    assert_eq!(deployment.rollout_state.as_deref(), Some("COMPLETED"));
    let task = stage.tasks().remove(0);
    stage.update(|request| request.desired_count = Some(0));
    stage.pass(30);
    let leaving = stage.world.describe(&task);
    assert_eq!(leaving.last_status.as_deref(), Some("DEACTIVATING"), "it drains");
    assert!(stage.live.contains_key(&task), "nobody has stopped it");
    stage.is_quick = true;
    stage.go();
    let gone = stage.world.describe(&task);
    assert_eq!(gone.last_status.as_deref(), Some("STOPPED"));
    assert!(gone.stopped_reason.unwrap().starts_with("Scaling activity initiated by (deployment ecs-svc/"));
    assert_eq!(gone.stop_code.as_deref(), Some("ServiceSchedulerInitiated"));
    assert_eq!(
        stage.events(),
        [
            "(service web) has started 1 tasks: (task t1).",
            "(service web) registered 1 targets in (target-group group)",
            "(service web) (deployment ecs-svc/r1) deployment completed.",
            "(service web) has reached a steady state.",
            "(service web) has stopped 1 running tasks: (task t1).",
            "(service web, taskSet ecs-svc/r1) has begun draining connections on 1 tasks.",
            "(service web) deregistered 1 targets in (target-group group)",
            "(service web) has reached a steady state.",
        ]
    );
}

#[test]
fn an_unhealthy_target_is_told_and_replaced() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.create(app, 1, behind_balancer);
    stage.go();
    let task = stage.tasks().remove(0);
    let described = stage.world.describe(&task);
    let details = described.attachments.unwrap().remove(0).details.unwrap();
    let address = details.into_iter().find(|it| it.name.as_deref() == Some("privateIPv4Address"));
    stage.fail_target(&address.unwrap().value.unwrap());
    stage.pass(2);
    let gone = stage.world.describe(&task);
    assert_eq!(
        gone.stopped_reason.unwrap(),
        format!("Task failed ELB health checks in (target-group {GROUP})")
    );
    let events = stage.events();
    assert!(
        events.contains(
            &"(service web) (port 80) is unhealthy in (target-group group) due to (reason Health checks failed \
              with these codes: [503])."
                .into()
        ),
        "{events:#?}"
    );
    assert_eq!(stage.counts(), (1, 0, 1));
}

#[test]
fn failing_containers_are_told_and_replaced() {
    let mut stage = Stage::new();
    let app = stage.define_with(Fate::Runs, |container| {
        let command = vec!["CMD".into(), "true".into()];
        container.health_check = Some(aws::HealthCheck { command, ..Default::default() });
    });
    stage.create(app, 1, |_| ());
    let task = stage.tasks().remove(0);
    stage.health(&task, HealthStatus::Healthy);
    stage.go();
    assert!(stage.events().contains(&"(service web) has reached a steady state.".into()));
    stage.health(&task, HealthStatus::Unhealthy);
    stage.go();
    let other = stage.tasks().into_iter().find(|other| *other != task).unwrap();
    stage.health(&other, HealthStatus::Healthy);
    stage.go();
    let gone = stage.world.describe(&task);
    assert_eq!(gone.stopped_reason.as_deref(), Some("Task failed container health checks"));
    assert!(stage.events().contains(&"(service web) (task t1) failed container health checks.".into()));
}

/// A group that was deleted under a service: told once, and nothing spins.
#[test]
fn a_group_that_is_gone() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.create(app, 1, behind_balancer);
    stage.delete_group();
    stage.pass(3);
    let task = stage.tasks().remove(0);
    stage.crash(&task);
    stage.pass(3);
    assert_eq!(stage.counts(), (1, 0, 1));
    let events = stage.events();
    let told = "(service web) failed to register targets in (target-group group) with (error One or more target \
                groups not found)";
    assert_eq!(events.iter().filter(|event| *event == told).count(), 1, "{events:#?}");
    stage.update(|request| request.desired_count = Some(0));
    stage.pass(1);
    assert!(stage.live.is_empty(), "it stops though there is nothing to drain from");
}

/// Tasks that never run come ever more slowly, and that is told.
#[test]
fn starts_that_fail_are_throttled() {
    let mut stage = Stage::new();
    let bad = stage.define(Fate::Fails);
    stage.create(bad, 1, |_| ());
    let starts = |stage: &mut Stage| stage.images.len();
    stage.pass(60);
    let first = starts(&mut stage);
    stage.pass(600);
    let later = starts(&mut stage) - first;
    assert!(first >= 3 && later <= first + 8, "{first} starts in a minute, {later} in the next ten");
    let events = stage.events();
    let told =
        events.iter().filter(|event| event.contains("is unable to consistently start tasks successfully"));
    assert_eq!(told.count(), 1, "{events:#?}");
}

/// A task that ran and crashed is started again at once.
#[test]
fn crashes_are_not_throttled() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.create(app, 1, |_| ());
    for _ in 0..20 {
        let task = stage.tasks().remove(0);
        stage.crash(&task);
        stage.go();
        assert_eq!(stage.counts(), (1, 0, 1));
    }
}

#[test]
fn a_service_that_is_deleted_drains() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.is_quick = false;
    stage.create(app, 2, behind_balancer);
    stage.pass(1);
    let request =
        aws::DeleteServiceRequest { cluster: Some("main".into()), service: "web".into(), force: Some(true) };
    stage.world.call::<op::DeleteService>(request).unwrap();
    stage.go();
    assert_eq!(stage.service().status.as_deref(), Some("DRAINING"));
    stage.is_quick = true;
    stage.go();
    assert_eq!(stage.service().status.as_deref(), Some("INACTIVE"));
    assert!(stage.live.is_empty());
    stage.world.advance(std::time::Duration::from_secs(3601));
    let request = aws::DescribeServicesRequest {
        cluster: Some("main".into()),
        services: vec!["web".into()],
        include: None,
    };
    let answer = stage.world.call::<op::DescribeServices>(request).unwrap();
    assert_eq!(answer.failures.unwrap()[0].reason.as_deref(), Some("MISSING"));
}

/// A start that cannot be is told once, tried again ever later, and done as soon as it can be.
#[test]
fn a_subnet_without_addresses() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.create(app, 1, |request| {
        request.network_configuration = Some(crate::world::network(&[crate::peers::FULL]));
    });
    stage.pass(100);
    let events = stage.events();
    assert_eq!(events, ["(service web) failed to launch a task with (error no free address)."]);
    assert_eq!(stage.counts(), (1, 0, 0));
    stage.update(|request| {
        request.network_configuration = Some(crate::world::network(&crate::peers::SUBNETS));
    });
    assert_eq!(stage.counts(), (1, 0, 1));
}

#[test]
fn no_instance_takes_a_task() {
    let mut stage = Stage::new();
    stage
        .world
        .call::<op::RegisterTaskDefinition>(aws::RegisterTaskDefinitionRequest {
            family: "plain".into(),
            container_definitions: vec![aws::ContainerDefinition {
                memory: Some(64),
                ..crate::world::container("web")
            }],
            ..Default::default()
        })
        .unwrap();
    stage.create(1, 1, |request| {
        request.task_definition = Some("plain".into());
        request.launch_type = Some("EC2".into());
        request.network_configuration = None;
    });
    stage.pass(100);
    assert_eq!(
        stage.events(),
        [
            "(service web) was unable to place a task because no container instance met all of its requirements. \
          Reason: No Container Instances were found in your cluster. For more information, see the \
          Troubleshooting section of the Amazon ECS Developer Guide."
        ]
    );
}

/// The last hundred are kept.
#[test]
fn events_are_bounded() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.create(app, 1, |_| ());
    for _ in 0..120 {
        let task = stage.tasks().remove(0);
        stage.crash(&task);
        stage.go();
    }
    assert_eq!(stage.service().events.unwrap().len(), 100);
}

/// AWS: every six hours.
#[test]
fn a_steady_service_says_so_again() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.create(app, 1, |_| ());
    stage.pass(6);
    stage.world.advance(std::time::Duration::from_secs(6 * 3600));
    stage.go();
    let steady = stage.events().into_iter().filter(|event| event.contains("steady state")).count();
    assert_eq!(steady, 2);
}

/// On an instance, a target is the instance with the port that leads to the container.
#[test]
fn bridged_tasks_register_by_their_ports() {
    let mut stage = Stage::new();
    let joined = crate::instance::join(&mut stage.world, "main");
    stage
        .world
        .call::<op::RegisterTaskDefinition>(aws::RegisterTaskDefinitionRequest {
            family: "bridged".into(),
            container_definitions: vec![aws::ContainerDefinition {
                memory: Some(64),
                port_mappings: Some(vec![aws::PortMapping {
                    container_port: Some(80),
                    ..Default::default()
                }]),
                ..crate::world::container("web")
            }],
            ..Default::default()
        })
        .unwrap();
    stage.set_target_type("instance");
    stage.create(1, 1, |request| {
        request.task_definition = Some("bridged".into());
        request.launch_type = Some("EC2".into());
        request.network_configuration = None;
        behind_balancer(request);
    });
    let task = stage.tasks().remove(0);
    assert_eq!(
        stage.world.describe(&task).last_status.as_deref(),
        Some("ACTIVATING"),
        "no port is known yet"
    );
    stage.bind(&task, 80, 32768);
    assert_eq!(stage.world.describe(&task).last_status.as_deref(), Some("RUNNING"));
    assert_eq!(stage.targets(), [(joined.ec2_instance_id, 32768)]);
}

/// Zones that have become uneven are evened out: a task more in one, then one less in the other.
#[test]
fn zones_are_evened_out() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.create(app, 4, |_| ());
    stage.pass(6);
    let zone = |stage: &mut Stage, task: &str| stage.world.describe(task).availability_zone.unwrap();
    let tasks = stage.tasks();
    let kept: Vec<String> = tasks.into_iter().filter(|task| zone(&mut stage, task) == "us-east-1b").collect();
    let protect = |stage: &mut Stage, is_on: bool| {
        let request = aws::UpdateTaskProtectionRequest {
            cluster: "main".into(),
            tasks: kept.clone(),
            protection_enabled: is_on,
            expires_in_minutes: None,
        };
        stage.world.call::<op::UpdateTaskProtection>(request).unwrap();
        stage.go();
    };
    protect(&mut stage, true);
    stage.update(|request| request.desired_count = Some(2));
    let mut left = stage.tasks();
    left.sort();
    let mut wanted = kept.clone();
    wanted.sort();
    assert_eq!(left, wanted, "those that are protected stay, in one zone");
    protect(&mut stage, false);
    stage.pass(20);
    let zones: std::collections::BTreeSet<_> =
        stage.tasks().iter().map(|task| stage.world.describe(task).availability_zone).collect();
    assert_eq!((zones.len(), stage.counts()), (2, (2, 0, 2)));
    let events = stage.events();
    let tail = [
        "(service web) is not AZ balanced with 0 tasks in us-east-1a, 2 tasks in us-east-1b. AZ Rebalancing in \
         progress.",
        "(service web) has started 1 tasks in us-east-1a to AZ Rebalance: (task t5).",
    ];
    let at = events.iter().position(|event| event == tail[0]).unwrap_or_else(|| panic!("{events:#?}"));
    assert_eq!(events[at + 1], tail[1]);
    assert!(events[at..].iter().any(|event| {
        event.starts_with(
            "(service web) has stopped 1 running tasks in us-east-1b due to AZ rebalancing: (task t",
        )
    }));
}

/// What the first tasks of one transaction take, the next ones do not find: there is room for so many.
#[test]
fn an_instance_takes_as_many_as_it_has_room_for() {
    let mut stage = Stage::new();
    crate::instance::join(&mut stage.world, "main");
    let container =
        aws::ContainerDefinition { memory: Some(1024), cpu: Some(600), ..crate::world::container("web") };
    stage
        .world
        .call::<op::RegisterTaskDefinition>(aws::RegisterTaskDefinitionRequest {
            family: "large".into(),
            container_definitions: vec![container],
            ..Default::default()
        })
        .unwrap();
    stage.create(1, 5, |request| {
        request.task_definition = Some("large".into());
        request.launch_type = Some("EC2".into());
        request.network_configuration = None;
    });
    assert_eq!(stage.counts(), (5, 0, 3), "2,048 units of cpu");
    let why = "closest matching (container-instance";
    assert!(stage.events().iter().any(|event| event.contains(why)), "{:#?}", stage.events());
    // Room that comes back is taken.
    let task = stage.tasks().remove(0);
    stage.crash(&task);
    stage.pass(2);
    assert_eq!(stage.counts(), (5, 0, 3));
    let request = aws::RunTaskRequest {
        cluster: Some("main".into()),
        task_definition: "large".into(),
        launch_type: Some("EC2".into()),
        count: Some(2),
        ..Default::default()
    };
    stage.update(|request| request.desired_count = Some(1));
    let answer = stage.world.call::<op::RunTask>(aws::RunTaskRequest { count: Some(3), ..request }).unwrap();
    assert_eq!(answer.tasks.unwrap().len(), 2);
    assert_eq!(answer.failures.unwrap()[0].reason.as_deref(), Some("RESOURCE:CPU"));
}
