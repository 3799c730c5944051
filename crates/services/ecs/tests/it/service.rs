//! Services by their requests and answers: what is checked, what is kept, what goes.

use std::time::Duration;

use aws_ecs::{self as aws, op};
use base::Fault;
use service::{Caller, Origin};

use crate::peers;
use crate::world::{CLIENT, INVALID, World, container, definition, network, refused};

fn asked(name: &str) -> aws::CreateServiceRequest {
    aws::CreateServiceRequest {
        cluster: Some("main".into()),
        service_name: name.into(),
        task_definition: Some("app".into()),
        desired_count: Some(1),
        launch_type: Some("FARGATE".into()),
        network_configuration: Some(network(&peers::SUBNETS)),
        ..Default::default()
    }
}

fn create(world: &mut World, request: aws::CreateServiceRequest) -> aws::Service {
    world.call::<op::CreateService>(request).unwrap().service.unwrap()
}

fn update(world: &mut World, request: aws::UpdateServiceRequest) -> Result<aws::Service, Fault> {
    let request = aws::UpdateServiceRequest { cluster: Some("main".into()), ..request };
    world.call::<op::UpdateService>(request).map(|answer| answer.service.unwrap())
}

fn named(name: &str) -> aws::UpdateServiceRequest {
    aws::UpdateServiceRequest { service: name.into(), ..Default::default() }
}

fn describe(world: &mut World, name: &str) -> Option<aws::Service> {
    let request = aws::DescribeServicesRequest {
        cluster: Some("main".into()),
        services: vec![name.into()],
        include: None,
    };
    world.call::<op::DescribeServices>(request).unwrap().services.unwrap().pop()
}

fn delete(world: &mut World, name: &str) -> aws::Service {
    let (cluster, service, force) = (Some("main".into()), name.into(), Some(true));
    let request = aws::DeleteServiceRequest { cluster, service, force };
    world.call::<op::DeleteService>(request).unwrap().service.unwrap()
}

fn deployment(world: &mut World, arn: &str) -> aws::ServiceDeployment {
    let request = aws::DescribeServiceDeploymentsRequest { service_deployment_arns: vec![arn.into()] };
    let answer = world.call::<op::DescribeServiceDeployments>(request).unwrap();
    answer.service_deployments.unwrap().remove(0)
}

#[test]
fn what_tasks_cannot_do_services_cannot_promise() {
    let mut world = World::furnished();
    let mut secret = definition("secret");
    let mut web = container("web");
    web.secrets = Some(vec![aws::Secret {
        name: "KEY".into(),
        value_from: "arn:aws:ssm:us-east-1:000000000000:parameter/key".into(),
    }]);
    secret.container_definitions = vec![web];
    secret.execution_role_arn = Some(peers::ROLE.into());
    world.call::<op::RegisterTaskDefinition>(secret).unwrap();
    let request = aws::CreateServiceRequest { task_definition: Some("secret".into()), ..asked("web") };
    let of_service = world.call::<op::CreateService>(request).unwrap_err();
    let request = aws::RunTaskRequest { task_definition: "secret".into(), ..crate::world::run_request() };
    let of_task = world.call::<op::RunTask>(request).unwrap_err();
    assert_eq!((of_service.code, of_service.message), (of_task.code, of_task.message));
    let mut roleless = definition("roleless");
    roleless.task_role_arn = Some("arn:aws:iam::000000000000:role/nobody".into());
    world.call::<op::RegisterTaskDefinition>(roleless).unwrap();
    let request = aws::CreateServiceRequest { task_definition: Some("roleless".into()), ..asked("web") };
    let fault = world.call::<op::CreateService>(request).unwrap_err();
    assert_eq!(fault.code, CLIENT);
    assert!(describe(&mut world, "web").is_none());
}

#[test]
fn a_task_makes_no_service_that_reaches_the_host() {
    let mut world = World::furnished();
    let privileged =
        aws::ContainerDefinition { privileged: Some(true), memory: Some(16), ..container("web") };
    let request = aws::RegisterTaskDefinitionRequest {
        family: "deep".into(),
        container_definitions: vec![privileged],
        ..Default::default()
    };
    world.call::<op::RegisterTaskDefinition>(request).unwrap();
    let deep = aws::CreateServiceRequest {
        task_definition: Some("deep".into()),
        launch_type: Some("EC2".into()),
        network_configuration: None,
        ..asked("deep")
    };
    let task = Caller {
        origin: Origin::Task { vpc: "vpc-main".into(), address: [10, 0, 0, 4].into() },
        ..World::caller()
    };
    let (request, caller) = (deep.clone(), task.clone());
    let answer =
        world.wait(|platform| async move { platform.call::<op::CreateService>(caller, request).await });
    assert_eq!(answer.unwrap_err().code, "AccessDeniedException");
    // Nor does it have more tasks started by one that the operator made.
    create(&mut world, deep);
    let request =
        aws::UpdateServiceRequest { cluster: Some("main".into()), desired_count: Some(9), ..named("deep") };
    let answer =
        world.wait(|platform| async move { platform.call::<op::UpdateService>(task, request).await });
    assert_eq!(answer.unwrap_err().code, "AccessDeniedException");
    assert_eq!(describe(&mut world, "deep").unwrap().desired_count, Some(1));
}

#[test]
fn zones_are_balanced_where_that_can_be() {
    let mut world = World::furnished();
    let percents = |minimum, maximum| {
        Some(aws::DeploymentConfiguration {
            minimum_healthy_percent: Some(minimum),
            maximum_percent: Some(maximum),
            ..Default::default()
        })
    };
    let is_rebalanced =
        |service: aws::Service| service.availability_zone_rebalancing.as_deref() == Some("ENABLED");
    assert!(is_rebalanced(create(&mut world, asked("said-nothing"))));
    let tight = aws::CreateServiceRequest { deployment_configuration: percents(0, 100), ..asked("tight") };
    assert!(!is_rebalanced(create(&mut world, tight.clone())));
    let both = aws::CreateServiceRequest {
        service_name: "both".into(),
        availability_zone_rebalancing: Some("ENABLED".into()),
        ..tight
    };
    let text = "availabilityZoneRebalancing cannot be ENABLED with a maximumPercent of 100 or less.";
    refused(world.call::<op::CreateService>(both), INVALID, text);
    let wide = aws::UpdateServiceRequest { deployment_configuration: percents(50, 150), ..named("tight") };
    // What it is stays as it is until somebody says otherwise.
    assert!(!is_rebalanced(update(&mut world, wide).unwrap()));
    let on =
        aws::UpdateServiceRequest { availability_zone_rebalancing: Some("ENABLED".into()), ..named("tight") };
    assert!(is_rebalanced(update(&mut world, on).unwrap()));
}

#[test]
fn a_newer_deployment_ends_the_one_before() {
    let mut world = World::furnished();
    let first = create(&mut world, asked("web")).current_service_deployment.unwrap();
    assert_eq!(deployment(&mut world, &first).status.as_deref(), Some("PENDING"));
    let force = aws::UpdateServiceRequest { force_new_deployment: Some(true), ..named("web") };
    let second = update(&mut world, force).unwrap().current_service_deployment.unwrap();
    let over = deployment(&mut world, &first);
    assert_eq!(over.status.as_deref(), Some("STOPPED"));
    assert!(over.stopped_at.is_some() && over.finished_at.is_none());
    let now = deployment(&mut world, &second);
    assert_eq!(now.status.as_deref(), Some("PENDING"));
    let source = now.source_service_revisions.unwrap().remove(0).arn;
    assert_eq!(source, over.target_service_revision.unwrap().arn);
}

#[test]
fn what_is_asked_of_a_deployment_shows_at_once() {
    let mut world = World::furnished();
    create(&mut world, asked("web"));
    let force = aws::UpdateServiceRequest { force_new_deployment: Some(true), ..named("web") };
    let arn = update(&mut world, force).unwrap().current_service_deployment.unwrap();
    let stop = |how: &str| aws::StopServiceDeploymentRequest {
        service_deployment_arn: arn.clone(),
        stop_type: Some(how.into()),
    };
    world.call::<op::StopServiceDeployment>(stop("ROLLBACK")).unwrap();
    assert_eq!(deployment(&mut world, &arn).status.as_deref(), Some("ROLLBACK_REQUESTED"));
    let text = format!("The service deployment {arn} is being stopped already.");
    refused(world.call::<op::StopServiceDeployment>(stop("ABORT")), "ConflictException", &text);
    let go_on = aws::ContinueServiceDeploymentRequest {
        service_deployment_arn: arn.clone(),
        hook_id: "x".into(),
        action: None,
    };
    let text = "The lifecycle hook 'x' was not found.";
    refused(world.call::<op::ContinueServiceDeployment>(go_on), INVALID, text);
}

#[test]
fn a_name_is_free_once_nothing_is_left() {
    let mut world = World::furnished();
    let empty = aws::CreateServiceRequest { desired_count: Some(0), ..asked("web") };
    create(&mut world, empty.clone());
    // The same again is the same service; anything else of its name is refused.
    let again =
        create(&mut world, aws::CreateServiceRequest { client_token: Some("t".into()), ..empty.clone() });
    assert_eq!(again.deployments.unwrap().len(), 1);
    let text = "Creation of service was not idempotent.";
    refused(world.call::<op::CreateService>(asked("web")), INVALID, text);
    assert_eq!(delete(&mut world, "web").status.as_deref(), Some("DRAINING"));
    let text = "Unable to Start a service that is still Draining.";
    refused(world.call::<op::CreateService>(empty.clone()), INVALID, text);
    world.settle();
    assert_eq!(describe(&mut world, "web").unwrap().status.as_deref(), Some("INACTIVE"));
    let old = describe(&mut world, "web").unwrap().current_service_deployment.unwrap();
    let new = create(&mut world, empty);
    assert_eq!((new.status.as_deref(), new.events.unwrap().len()), (Some("ACTIVE"), 0));
    let request = aws::DescribeServiceDeploymentsRequest { service_deployment_arns: vec![old.clone()] };
    let answer = world.call::<op::DescribeServiceDeployments>(request).unwrap();
    assert_eq!(answer.failures.unwrap().remove(0).arn, Some(old));
}

#[test]
fn a_definition_stays_while_a_service_starts_from_it() {
    let mut world = World::furnished();
    let empty = aws::CreateServiceRequest { desired_count: Some(0), ..asked("web") };
    create(&mut world, empty);
    world.settle();
    let exact = || "app:1".to_owned();
    let request = aws::DeregisterTaskDefinitionRequest { task_definition: exact() };
    world.call::<op::DeregisterTaskDefinition>(request).unwrap();
    world
        .call::<op::DeleteTaskDefinitions>(aws::DeleteTaskDefinitionsRequest {
            task_definitions: vec![exact()],
        })
        .unwrap();
    let is_there = |world: &mut World| {
        let request = aws::DescribeTaskDefinitionRequest { task_definition: exact(), ..Default::default() };
        world.call::<op::DescribeTaskDefinition>(request).is_ok()
    };
    world.settle();
    world.advance(Duration::from_secs(24 * 3600));
    assert!(is_there(&mut world));
    delete(&mut world, "web");
    world.settle();
    world.advance(Duration::from_secs(3600));
    assert!(!is_there(&mut world));
}

#[test]
fn a_deleted_cluster_takes_its_services_along() {
    let mut world = World::furnished();
    create(&mut world, aws::CreateServiceRequest { desired_count: Some(0), ..asked("web") });
    let gone = || aws::DeleteClusterRequest { cluster: "main".into() };
    let text = "The Cluster cannot be deleted while Services are active.";
    refused(world.call::<op::DeleteCluster>(gone()), "ClusterContainsServicesException", text);
    delete(&mut world, "web");
    world.settle();
    world.call::<op::DeleteCluster>(gone()).unwrap();
    world.settle();
    world.advance(Duration::from_secs(3 * 3600));
    let request = aws::CreateClusterRequest { cluster_name: Some("main".into()), ..Default::default() };
    world.call::<op::CreateCluster>(request).unwrap();
    assert!(describe(&mut world, "web").is_none());
}

#[test]
fn an_update_that_says_nothing_new_changes_nothing() {
    let mut world = World::furnished();
    let made = create(&mut world, asked("web"));
    let mut spelled = network(&peers::SUBNETS);
    let awsvpc = spelled.awsvpc_configuration.as_mut().unwrap();
    awsvpc.assign_public_ip = Some("DISABLED".into());
    awsvpc.security_groups = Some(Vec::new());
    let same = aws::UpdateServiceRequest {
        desired_count: Some(1),
        task_definition: Some("app:1".into()),
        platform_version: Some("LATEST".into()),
        network_configuration: Some(spelled),
        load_balancers: Some(Vec::new()),
        ..named("web")
    };
    assert_eq!(
        update(&mut world, same).unwrap(),
        aws::Service { platform_version: Some("LATEST".into()), ..made }
    );
}
