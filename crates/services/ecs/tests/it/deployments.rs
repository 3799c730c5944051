//! Deployments: one revision gives way to the next, is given up or taken back.

use aws_ecs::{self as aws, op};

use crate::stage::{Fate, Stage, behind_balancer, breaker, percents};

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
