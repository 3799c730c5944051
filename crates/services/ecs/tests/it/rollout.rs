//! Services that live: tasks start, give way, fail and end, and events tell why.

use aws_ecs::{self as aws, op};
use core_lifecycle::HealthStatus;

use crate::balancer::GROUP;
use crate::stage::{Fate, Stage};

fn percents(minimum: i32, maximum: i32) -> Option<aws::DeploymentConfiguration> {
    Some(aws::DeploymentConfiguration {
        minimum_healthy_percent: Some(minimum),
        maximum_percent: Some(maximum),
        ..Default::default()
    })
}

fn breaker(rolls_back: bool) -> Option<aws::DeploymentConfiguration> {
    Some(aws::DeploymentConfiguration {
        deployment_circuit_breaker: Some(aws::DeploymentCircuitBreaker {
            enable: true,
            rollback: rolls_back,
            ..Default::default()
        }),
        ..Default::default()
    })
}

fn behind_balancer(request: &mut aws::CreateServiceRequest) {
    request.load_balancers = Some(vec![aws::LoadBalancer {
        target_group_arn: Some(GROUP.into()),
        container_name: Some("web".into()),
        container_port: Some(80),
        ..Default::default()
    }]);
}

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

/// The textbook's two rollouts.
#[test]
fn four_tasks_roll() {
    for (minimum, maximum, waves) in [(50, 100, [4, 2, 4, 2, 4]), (100, 150, [4, 6, 4, 6, 4])] {
        let mut stage = Stage::new();
        let one = stage.define(Fate::Runs);
        stage.create(one, 4, |request| request.deployment_configuration = percents(minimum, maximum));
        stage.pass(10);
        let two = stage.define(Fate::Runs);
        let mut seen = vec![4];
        let mut note = |stage: &mut Stage| {
            let (_, _, running) = stage.counts();
            if seen.last() != Some(&running) {
                seen.push(running);
            }
        };
        let request = aws::UpdateServiceRequest {
            cluster: Some("main".into()),
            service: "web".into(),
            task_definition: Some(format!("app:{two}")),
            ..Default::default()
        };
        stage.world.call::<op::UpdateService>(request).unwrap();
        for _ in 0..30 {
            stage.each(&mut note);
            stage.world.advance(std::time::Duration::from_secs(1));
        }
        assert_eq!(seen, waves, "{minimum}/{maximum} {:#?}", stage.events());
        let service = stage.service();
        assert_eq!(service.deployments.unwrap().len(), 1);
        assert_eq!(service.running_count, Some(4));
    }
}

#[test]
fn the_breaker_rolls_back() {
    for fate in [Fate::Fails, Fate::Crashes] {
        let mut stage = Stage::new();
        let good = stage.define(Fate::Runs);
        stage.create(good, 2, |request| request.deployment_configuration = breaker(true));
        stage.pass(6);
        let before = stage.tasks();
        let bad = stage.define(fate);
        stage.deploy(bad);
        stage.pass(60);
        let events = stage.events();
        let tail = [
            "(service web) (deployment ecs-svc/r2) deployment failed: tasks failed to start.",
            "(service web) rolling back to deployment ecs-svc/r1.",
        ];
        let at = events.iter().position(|event| event == tail[0]).unwrap_or_else(|| panic!("{events:#?}"));
        assert_eq!(events[at..at + 2], tail);
        assert!(events[at..].contains(&"(service web) (deployment ecs-svc/r1) deployment completed.".into()));
        assert_eq!(events.last().unwrap(), "(service web) has reached a steady state.");
        assert_eq!(stage.counts(), (2, 0, 2));
        let mut after = stage.tasks();
        after.retain(|task| before.contains(task));
        assert_eq!(after.len(), 2, "the old tasks are still there");
        let service = stage.service();
        assert!(service.task_definition.unwrap().ends_with(&format!("app:{good}")));
        assert_eq!(service.deployments.unwrap()[0].rollout_state.as_deref(), Some("COMPLETED"));
    }
}

/// Without rollback, a failed deployment stands still and starts nothing more.
#[test]
fn the_breaker_stops() {
    let mut stage = Stage::new();
    let good = stage.define(Fate::Runs);
    stage.create(good, 2, |request| request.deployment_configuration = breaker(false));
    stage.pass(6);
    let bad = stage.define(Fate::Fails);
    stage.deploy(bad);
    stage.pass(120);
    let count = stage.events().len();
    stage.pass(120);
    let events = stage.events();
    assert_eq!(events.len(), count, "{events:#?}");
    assert!(events.iter().any(|event| event.ends_with("deployment failed: tasks failed to start.")));
    let deployments = stage.service().deployments.unwrap();
    assert_eq!(deployments[0].rollout_state.as_deref(), Some("FAILED"));
    assert_eq!(stage.counts().2, 2);
    // The next deployment begins anew.
    let other = stage.define(Fate::Runs);
    stage.deploy(other);
    stage.pass(20);
    assert_eq!(stage.service().deployments.unwrap()[0].rollout_state.as_deref(), Some("COMPLETED"));
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

/// Whatever a tag names by now, later tasks of a revision run what its first one ran.
#[test]
fn versions_are_consistent() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.create(app, 1, |_| ());
    let first = stage.digest.clone();
    stage.digest = format!("sha256:{}", "b".repeat(64));
    stage.update(|request| request.desired_count = Some(2));
    assert_eq!(stage.images, [String::from("busybox"), format!("busybox@{first}")]);
    let task = stage.tasks().remove(0);
    assert_eq!(stage.world.describe(&task).containers.unwrap()[0].image.as_deref(), Some("busybox"));
    // A new deployment looks at the tag anew.
    stage.update(|request| request.force_new_deployment = Some(true));
    assert_eq!(stage.images.last().unwrap(), "busybox");
    let other = stage.define_with(Fate::Runs, |container| {
        container.version_consistency = Some("disabled".into());
    });
    stage.deploy(other);
    stage.pass(20);
    stage.update(|request| request.desired_count = Some(3));
    assert_eq!(stage.images.last().unwrap(), "busybox");
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

/// Of one task, 150 percent are one task: nothing can move, and that is told.
#[test]
fn percents_that_leave_no_room() {
    let mut stage = Stage::new();
    let one = stage.define(Fate::Runs);
    stage.create(one, 1, |request| request.deployment_configuration = percents(100, 150));
    stage.pass(10);
    let two = stage.define(Fate::Runs);
    stage.deploy(two);
    stage.pass(30);
    let events = stage.events();
    let told = events.iter().filter(|event| {
        event.contains(
            "was unable to stop or start tasks during a deployment because of the service deployment",
        )
    });
    assert_eq!(told.count(), 1, "{events:#?}");
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

/// A user who stops a deployment gets the revision back that was complete.
#[test]
fn a_deployment_is_stopped_by_its_owner() {
    let mut stage = Stage::new();
    let good = stage.define(Fate::Runs);
    stage.create(good, 2, |_| ());
    stage.pass(6);
    let slow = stage.define(Fate::Hangs);
    stage.deploy(slow);
    let request = aws::ListServiceDeploymentsRequest {
        service: "web".into(),
        cluster: Some("main".into()),
        ..Default::default()
    };
    let found = stage.world.call::<op::ListServiceDeployments>(request).unwrap().service_deployments;
    let arn = found.unwrap().remove(0).service_deployment_arn.unwrap();
    let request = aws::StopServiceDeploymentRequest {
        service_deployment_arn: arn.clone(),
        stop_type: Some("ROLLBACK".into()),
    };
    stage.world.call::<op::StopServiceDeployment>(request).unwrap();
    stage.pass(10);
    let request = aws::DescribeServiceDeploymentsRequest { service_deployment_arns: vec![arn] };
    let described = stage.world.call::<op::DescribeServiceDeployments>(request).unwrap();
    let deployment = described.service_deployments.unwrap().remove(0);
    assert_eq!(deployment.status.as_deref(), Some("ROLLBACK_SUCCESSFUL"));
    assert!(stage.service().task_definition.unwrap().ends_with(&format!("app:{good}")));
    assert_eq!(stage.counts(), (2, 0, 2));
}

/// AWS: what is taken away is listed until it has drained: a service is stable once its deployment is over.
#[test]
fn a_service_is_not_stable_while_old_tasks_drain() {
    let mut stage = Stage::new();
    let one = stage.define(Fate::Runs);
    stage.create(one, 1, behind_balancer);
    stage.pass(10);
    stage.is_quick = false;
    let two = stage.define(Fate::Runs);
    stage.deploy(two);
    stage.pass(10);
    assert_eq!(stage.counts(), (1, 0, 1), "the old task drains and runs no more");
    let deployments = stage.service().deployments.unwrap();
    let states: Vec<_> = deployments.iter().filter_map(|each| each.status.as_deref()).collect();
    assert_eq!(states, ["PRIMARY", "ACTIVE"]);
    assert_eq!(deployments[0].rollout_state.as_deref(), Some("IN_PROGRESS"));
    assert_eq!((deployments[1].running_count, deployments[1].desired_count), (Some(0), Some(0)));
    stage.is_quick = true;
    stage.pass(10);
    let deployments = stage.service().deployments.unwrap();
    assert_eq!(deployments.len(), 1);
    assert_eq!(deployments[0].rollout_state.as_deref(), Some("COMPLETED"));
}

/// A deployment in the middle of another: only the newest matters.
#[test]
fn a_newer_deployment_overtakes() {
    let mut stage = Stage::new();
    let one = stage.define(Fate::Runs);
    stage.create(one, 3, |_| ());
    stage.pass(6);
    let slow = stage.define(Fate::Hangs);
    stage.deploy(slow);
    let three = stage.define(Fate::Runs);
    stage.deploy(three);
    stage.pass(30);
    let service = stage.service();
    assert_eq!(service.deployments.unwrap().len(), 1);
    assert!(service.task_definition.unwrap().ends_with(&format!("app:{three}")));
    assert_eq!(stage.counts(), (3, 0, 3));
    assert_eq!(stage.live.len(), 3);
}

/// AWS: a task that cannot be launched is one that failed.
#[test]
fn starts_that_cannot_be_trip_the_breaker() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.create(app, 1, |request| request.deployment_configuration = breaker(true));
    stage.pass(10);
    stage.update(|request| {
        request.network_configuration = Some(crate::world::network(&[crate::peers::FULL]));
    });
    stage.pass(60);
    let events = stage.events();
    assert!(events.contains(&"(service web) rolling back to deployment ecs-svc/r1.".into()), "{events:#?}");
    assert_eq!(events.last().unwrap(), "(service web) has reached a steady state.");
    assert_eq!(stage.counts(), (1, 0, 1));
}

/// A rolling deployment is watched for its bake time before it counts as successful.
#[test]
fn a_rolling_deployment_bakes() {
    let mut stage = Stage::new();
    let app = stage.define(Fate::Runs);
    stage.create(app, 1, |request| {
        request.deployment_configuration =
            Some(aws::DeploymentConfiguration { bake_time_in_minutes: Some(1), ..Default::default() });
    });
    stage.pass(60);
    let state = |stage: &mut Stage| stage.service().deployments.unwrap().remove(0).rollout_state.unwrap();
    assert_eq!(state(&mut stage), "IN_PROGRESS");
    stage.pass(6);
    assert_eq!(state(&mut stage), "COMPLETED");
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

/// Who puts the machine to rest does not fail its deployments, whatever the tasks end with.
#[test]
fn a_deployment_outlives_a_rest() {
    for fate in [Fate::Hangs, Fate::Runs] {
        for dies in [false, true] {
            let mut stage = Stage::new();
            let good = stage.define(Fate::Runs);
            stage.create(good, 2, |request| request.deployment_configuration = breaker(true));
            stage.pass(6);
            let next = stage.define(fate);
            stage.deploy(next);
            let ended = stage.world.wait(|platform| async move {
                service_ecs::tasks::stop_all(&platform, "Stopped by boxship down").await
            });
            assert!(ended.unwrap() > 0);
            if dies {
                // What they need ends, too: some end by themselves.
                for task in stage.live.keys().cloned().collect::<Vec<_>>() {
                    stage.crash(&task);
                }
            }
            stage.pass(5);
            assert_eq!((stage.tasks().len(), stage.live.len()), (0, 0), "{fate:?}");
            stage.world.wait(|platform| async move { service_ecs::tasks::resume(&platform).await }).unwrap();
            // A server that starts looks at everything.
            let records = stage.world.platform.store().snapshot();
            stage.world.agenda.see_all(&records);
            stage.go();
            let deployments = stage.service().deployments.unwrap();
            assert_eq!(deployments[0].failed_tasks, Some(0), "{fate:?} {dies}");
            assert_eq!(deployments[0].rollout_state.as_deref(), Some("IN_PROGRESS"));
            assert_eq!(stage.tasks().len(), 4, "nothing is throttled");
        }
    }
}

/// A deployment that has no task to bring has nothing to wait for; and what was complete is there to
/// go back to, though it has no task either.
#[test]
fn a_service_without_tasks_deploys_and_goes_back() {
    for strategy in ["ROLLING", "BLUE_GREEN"] {
        let mut stage = Stage::new();
        let configuration =
            aws::DeploymentConfiguration { strategy: Some(strategy.into()), ..Default::default() };
        let one = stage.define(Fate::Runs);
        stage.create(one, 0, |request| request.deployment_configuration = Some(configuration));
        stage.pass(30);
        let state =
            |stage: &mut Stage| stage.service().deployments.unwrap()[0].rollout_state.clone().unwrap();
        assert_eq!(state(&mut stage), "COMPLETED", "{strategy}");
        let two = stage.define(Fate::Runs);
        let request = aws::UpdateServiceRequest {
            cluster: Some("main".into()),
            service: "web".into(),
            task_definition: Some(format!("app:{two}")),
            ..Default::default()
        };
        let service = stage.world.call::<op::UpdateService>(request).unwrap().service.unwrap();
        let arn = service.current_service_deployment.unwrap();
        let request = aws::StopServiceDeploymentRequest {
            service_deployment_arn: arn.clone(),
            stop_type: Some("ROLLBACK".into()),
        };
        stage.world.call::<op::StopServiceDeployment>(request).unwrap();
        stage.pass(30);
        let request = aws::DescribeServiceDeploymentsRequest { service_deployment_arns: vec![arn] };
        let described = stage.world.call::<op::DescribeServiceDeployments>(request).unwrap();
        let deployment = described.service_deployments.unwrap().remove(0);
        assert_eq!(deployment.status.as_deref(), Some("ROLLBACK_SUCCESSFUL"), "{strategy}");
        assert!(stage.service().task_definition.unwrap().ends_with(&format!("app:{one}")), "{strategy}");
        stage.deploy(two);
        stage.pass(30);
        assert_eq!(state(&mut stage), "COMPLETED", "{strategy}");
    }
}
