use std::time::Duration;

use aws::op;
use aws_ecs as aws;
use core_lifecycle::{Binding, ContainerObservation, Observation, Phase};
use link::HostId;
use service::{Caller, Origin, Platform};
use service_ecs::instances::{self, Joined, Joining};

use crate::world::{CLIENT, INVALID, World, container, refused};

fn joining(cluster: &str) -> Joining {
    Joining {
        cluster: cluster.into(),
        host: HostId("local".into()),
        instance_id: None,
        cpu: 2048,
        memory_mib: 4096,
        gpus: Vec::new(),
        architecture: "x86_64",
        version: "1".into(),
    }
}

pub fn join(world: &mut World, cluster: &str) -> Joined {
    world.wait(|platform| async move { instances::join(&platform, joining(cluster)).await }).unwrap()
}

#[test]
fn the_machine_is_one_ec2_instance_in_every_cluster() {
    let mut world = World::furnished();
    let first = join(&mut world, "main").ec2_instance_id;
    let mut known = |cluster: &str| {
        let joining = Joining { instance_id: Some("i-known".into()), ..joining(cluster) };
        world.wait(|platform| async move { instances::join(&platform, joining).await }).unwrap()
    };
    assert_eq!(known("other").ec2_instance_id, "i-known");
    assert_eq!(known("main").ec2_instance_id, first, "what it was in the cluster before");
}

/// A cluster `main` with this machine in it, and a definition `web:1` for bridge mode.
fn furnished() -> (World, String) {
    let mut world = World::furnished();
    let joined = join(&mut world, "main");
    let web = aws::ContainerDefinition {
        memory: Some(1024),
        cpu: Some(512),
        port_mappings: Some(vec![aws::PortMapping {
            container_port: Some(80),
            host_port: Some(8080),
            ..Default::default()
        }]),
        ..container("web")
    };
    register(&mut world, "web", web);
    (world, joined.instance_arn)
}

fn register(world: &mut World, family: &str, container: aws::ContainerDefinition) {
    let request = aws::RegisterTaskDefinitionRequest {
        family: family.into(),
        container_definitions: vec![container],
        ..Default::default()
    };
    world.call::<op::RegisterTaskDefinition>(request).unwrap();
}

fn start(world: &mut World, family: &str, instances: &[&str]) -> aws::StartTaskResponse {
    let request = aws::StartTaskRequest {
        cluster: Some("main".into()),
        container_instances: instances.iter().map(|id| String::from(*id)).collect(),
        task_definition: family.into(),
        started_by: Some("me".into()),
        ..Default::default()
    };
    let answer = world.call::<op::StartTask>(request).unwrap();
    world.settle();
    answer
}

fn describe(world: &mut World, arn: &str) -> aws::ContainerInstance {
    let request = aws::DescribeContainerInstancesRequest {
        cluster: Some("main".into()),
        container_instances: vec![arn.into()],
        include: Some(vec!["TAGS".into(), "CONTAINER_INSTANCE_HEALTH".into()]),
    };
    let answer = world.call::<op::DescribeContainerInstances>(request).unwrap();
    answer.container_instances.unwrap().remove(0)
}

fn list(world: &mut World, status: Option<&str>) -> Vec<String> {
    let request = aws::ListContainerInstancesRequest {
        cluster: Some("main".into()),
        status: status.map(String::from),
        ..Default::default()
    };
    world.call::<op::ListContainerInstances>(request).unwrap().container_instance_arns.unwrap()
}

fn set_state(world: &mut World, arn: &str, status: &str) -> aws::UpdateContainerInstancesStateResponse {
    let request = aws::UpdateContainerInstancesStateRequest {
        cluster: Some("main".into()),
        container_instances: vec![arn.into()],
        status: status.into(),
    };
    world.call::<op::UpdateContainerInstancesState>(request).unwrap()
}

/// Number of a resource, or the texts of its set.
fn resource(resources: Option<&Vec<aws::Resource>>, name: &str) -> (i32, Vec<String>) {
    let found = resources.unwrap().iter().find(|resource| resource.name.as_deref() == Some(name));
    let found = found.unwrap().clone();
    (found.integer_value.unwrap_or(0), found.string_set_value.unwrap_or_default())
}

fn reasons(failures: Option<Vec<aws::Failure>>) -> Vec<String> {
    failures.unwrap().into_iter().filter_map(|failure| failure.reason).collect()
}

#[test]
fn a_host_joins_once() {
    let mut world = World::new();
    let first = join(&mut world, "main");
    assert!(first.is_cluster_new);
    let again = join(&mut world, "main");
    assert_eq!(again, Joined { is_cluster_new: false, ..first.clone() });
    let shape = describe(&mut world, &first.instance_arn);
    assert_eq!((shape.status.as_deref(), shape.agent_connected), (Some("ACTIVE"), Some(true)));
    assert!(shape.ec2_instance_id.unwrap().starts_with("i-"));
    assert_eq!(resource(shape.registered_resources.as_ref(), "CPU").0, 2048);
    assert_eq!(resource(shape.remaining_resources.as_ref(), "MEMORY").0, 4096);
    let reserved = ["22", "2375", "2376", "51678", "51679"].map(String::from).to_vec();
    assert_eq!(resource(shape.remaining_resources.as_ref(), "PORTS").1, reserved);
    assert_eq!(shape.health_status.unwrap().overall_status.as_deref(), Some("OK"));
    // Another cluster: the first one's instance stays, with nobody behind it.
    let other = join(&mut world, "other");
    assert!(other.is_cluster_new && other.instance_arn != first.instance_arn);
    assert_eq!(describe(&mut world, &first.instance_arn).agent_connected, Some(false));
    let back = join(&mut world, "main");
    assert_eq!(back.instance_arn, first.instance_arn);
    assert_eq!(describe(&mut world, &first.instance_arn).agent_connected, Some(true));
    world.wait(|platform| async move { instances::leave(&platform, &HostId("local".into())).await }).unwrap();
    assert_eq!(describe(&mut world, &first.instance_arn).agent_connected, Some(false));
    assert_eq!(list(&mut world, None), [first.instance_arn]);
}

#[test]
fn a_host_joins_a_cluster_by_its_arn() {
    let mut world = World::new();
    let joined = join(&mut world, "arn:aws:ecs:eu-west-1:111122223333:cluster/blue");
    let prefix = "arn:aws:ecs:eu-west-1:111122223333:container-instance/blue/";
    assert!(joined.instance_arn.starts_with(prefix), "{}", joined.instance_arn);
    let wrong = joining("arn:aws:ecs:eu-west-1:111122223333:task/blue");
    let answer = world.wait(|platform| async move { instances::join(&platform, wrong).await });
    let message = "'arn:aws:ecs:eu-west-1:111122223333:task/blue' names no cluster.";
    refused(answer, INVALID, message);
    let unnamed = world.wait(|platform| async move { instances::join(&platform, joining("a b")).await });
    assert_eq!(unnamed.unwrap_err().code, INVALID);
}

#[test]
fn an_instance_has_room_until_it_is_full() {
    let (mut world, arn) = furnished();
    let answer = start(&mut world, "web", &[&arn]);
    let task = answer.tasks.unwrap().remove(0);
    assert_eq!(task.launch_type.as_deref(), Some("EC2"));
    assert_eq!(task.container_instance_arn.as_deref(), Some(arn.as_str()));
    let shape = describe(&mut world, &arn);
    assert_eq!((shape.running_tasks_count, shape.pending_tasks_count), (Some(0), Some(1)));
    assert_eq!(resource(shape.remaining_resources.as_ref(), "CPU").0, 2048 - 512);
    assert_eq!(resource(shape.remaining_resources.as_ref(), "MEMORY").0, 4096 - 1024);
    assert!(resource(shape.remaining_resources.as_ref(), "PORTS").1.contains(&"8080".into()));
    assert_eq!(resource(shape.registered_resources.as_ref(), "CPU").0, 2048);
    // The port is taken.
    let answer = start(&mut world, "web", &[&arn]);
    assert_eq!(reasons(answer.failures), ["RESOURCE:PORTS"]);
    let big =
        |cpu, memory| aws::ContainerDefinition { cpu: Some(cpu), memory: Some(memory), ..container("big") };
    register(&mut world, "cpu", big(1537, 16));
    register(&mut world, "memory", big(0, 3073));
    register(&mut world, "fits", big(1536, 3072));
    assert_eq!(reasons(start(&mut world, "cpu", &[&arn]).failures), ["RESOURCE:CPU"]);
    assert_eq!(reasons(start(&mut world, "memory", &[&arn]).failures), ["RESOURCE:MEMORY"]);
    assert_eq!(start(&mut world, "fits", &[&arn]).tasks.unwrap().len(), 1);
    assert_eq!(reasons(start(&mut world, "fits", &[&arn]).failures), ["RESOURCE:CPU"]);
    // What has stopped gives everything back.
    let task = task.task_arn.unwrap();
    let web = ContainerObservation { name: "web".into(), ..Default::default() };
    let stopped = Observation { phase: Phase::Stopped, containers: vec![web], ..Default::default() };
    world.observe(&task, 1, stopped);
    let shape = describe(&mut world, &arn);
    assert_eq!(resource(shape.remaining_resources.as_ref(), "CPU").0, 512);
    assert!(!resource(shape.remaining_resources.as_ref(), "PORTS").1.contains(&"8080".into()));
}

#[test]
fn ports_that_the_host_chose_are_taken() {
    let (mut world, arn) = furnished();
    let dynamic = aws::PortMapping { container_port: Some(80), ..Default::default() };
    let plain = |host_port| aws::ContainerDefinition {
        memory: Some(16),
        port_mappings: Some(vec![aws::PortMapping { host_port, ..dynamic.clone() }]),
        ..container("web")
    };
    register(&mut world, "dynamic", plain(None));
    register(&mut world, "fixed", plain(Some(32_768)));
    let task = start(&mut world, "dynamic", &[&arn]).tasks.unwrap().remove(0).task_arn.unwrap();
    let binding = Binding {
        bind_ip: "0.0.0.0".into(),
        container_port: 80,
        host_port: 32_768,
        protocol: "tcp".into(),
        last: None,
    };
    let web = ContainerObservation { name: "web".into(), bindings: vec![binding], ..Default::default() };
    let seen = Observation { phase: Phase::Running, containers: vec![web], ..Default::default() };
    world.observe(&task, 1, seen);
    assert_eq!(reasons(start(&mut world, "fixed", &[&arn]).failures), ["RESOURCE:PORTS"]);
    let shape = describe(&mut world, &arn);
    assert_eq!((shape.running_tasks_count, shape.pending_tasks_count), (Some(1), Some(0)));
}

#[test]
fn only_a_connected_instance_that_is_there_takes_tasks() {
    let (mut world, arn) = furnished();
    let request = aws::RegisterContainerInstanceRequest {
        cluster: Some("main".into()),
        total_resources: Some(vec![aws::Resource {
            name: Some("CPU".into()),
            integer_value: Some(1024),
            ..Default::default()
        }]),
        ..Default::default()
    };
    let answer = world.call::<op::RegisterContainerInstance>(request).unwrap();
    let foreign = answer.container_instance.unwrap();
    assert_eq!(foreign.agent_connected, Some(false));
    let foreign = foreign.container_instance_arn.unwrap();
    let absent = "0123456789abcdef0123456789abcdef";
    let answer = start(&mut world, "web", &[&foreign, absent, &arn]);
    assert_eq!(answer.tasks.unwrap().len(), 1);
    assert_eq!(reasons(answer.failures), ["AGENT", "MISSING"]);

    set_state(&mut world, &arn, "DRAINING");
    assert_eq!(reasons(start(&mut world, "web", &[&arn]).failures), ["INACTIVE"]);
    assert_eq!(list(&mut world, Some("DRAINING")), std::slice::from_ref(&arn));
    assert_eq!(list(&mut world, Some("ACTIVE")), std::slice::from_ref(&foreign));
    assert_eq!(list(&mut world, None).len(), 2);
    set_state(&mut world, &arn, "ACTIVE");
    let request = aws::StartTaskRequest {
        cluster: Some("main".into()),
        task_definition: "web".into(),
        container_instances: vec![foreign; 11],
        ..Default::default()
    };
    let message = "containerInstances can have at most 10 items.";
    refused(world.call::<op::StartTask>(request), INVALID, message);
}

#[test]
fn an_instance_leaves_without_its_tasks_or_by_force() {
    let (mut world, arn) = furnished();
    let task = start(&mut world, "web", &[&arn]).tasks.unwrap().remove(0).task_arn.unwrap();
    let request = |force| aws::DeregisterContainerInstanceRequest {
        cluster: Some("main".into()),
        container_instance: arn.clone(),
        force,
    };
    let answer = world.call::<op::DeregisterContainerInstance>(request(None));
    refused(answer, INVALID, "Found running tasks on the instance.");
    let clusters = |world: &mut World| {
        let clusters = Some(vec!["main".into()]);
        let request = aws::DescribeClustersRequest { clusters, include: None };
        world.call::<op::DescribeClusters>(request).unwrap().clusters.unwrap().remove(0)
    };
    assert_eq!(clusters(&mut world).registered_container_instances_count, Some(1));
    let answer = world.call::<op::DeregisterContainerInstance>(request(Some(true))).unwrap();
    assert_eq!(answer.container_instance.unwrap().status.as_deref(), Some("INACTIVE"));
    assert_eq!(clusters(&mut world).registered_container_instances_count, Some(0));
    let task = world.describe(&task);
    let reason = "Container instance deregistration forced by user.";
    assert_eq!(
        (task.desired_status.as_deref(), task.stopped_reason.as_deref()),
        (Some("STOPPED"), Some(reason))
    );
    let shape = describe(&mut world, &arn);
    assert_eq!((shape.status.as_deref(), shape.agent_connected), (Some("INACTIVE"), Some(false)));
    assert_eq!(list(&mut world, None).len(), 0);
    assert_eq!(reasons(start(&mut world, "web", &[&arn]).failures), ["INACTIVE"]);
    let answer = world.call::<op::DeregisterContainerInstance>(request(None));
    refused(answer, CLIENT, "The referenced container instance was deregistered.");
    world.advance(Duration::from_secs(3700));
    let answer = world.call::<op::DeregisterContainerInstance>(request(None));
    refused(answer, INVALID, "The referenced container instance was not found.");
}

#[test]
fn attributes() {
    let (mut world, arn) = furnished();
    let attribute = |name: &str, value: Option<&str>| aws::Attribute {
        name: name.into(),
        value: value.map(String::from),
        target_id: Some(arn.clone()),
        target_type: None,
    };
    let put = |attributes| aws::PutAttributesRequest { cluster: Some("main".into()), attributes };
    let stack = attribute("stack", Some("production"));
    let answer = world.call::<op::PutAttributes>(put(vec![stack.clone()])).unwrap();
    assert_eq!(answer.attributes.unwrap()[0].target_id.as_deref(), Some(arn.as_str()));
    let list = |world: &mut World, name: Option<&str>, value: Option<&str>| {
        let request = aws::ListAttributesRequest {
            cluster: Some("main".into()),
            target_type: "container-instance".into(),
            attribute_name: name.map(String::from),
            attribute_value: value.map(String::from),
            ..Default::default()
        };
        world.call::<op::ListAttributes>(request).unwrap().attributes.unwrap()
    };
    assert_eq!(list(&mut world, Some("stack"), None).len(), 1);
    assert_eq!(list(&mut world, Some("stack"), Some("test")).len(), 0);
    assert_eq!(list(&mut world, Some("ecs.os-type"), Some("linux")).len(), 1);
    // What was put by hand outlives a new registration.
    join(&mut world, "main");
    assert_eq!(list(&mut world, Some("stack"), Some("production")).len(), 1);
    let mut page = aws::ListAttributesRequest {
        cluster: Some("main".into()),
        target_type: "container-instance".into(),
        max_results: Some(30),
        ..Default::default()
    };
    let mut all = Vec::new();
    loop {
        let answer = world.call::<op::ListAttributes>(page.clone()).unwrap();
        all.extend(answer.attributes.unwrap());
        page.next_token = answer.next_token;
        if page.next_token.is_none() {
            break;
        }
    }
    assert_eq!(all.len(), list(&mut world, None, None).len());
    assert!(all.len() > 30);

    let absent = aws::Attribute {
        target_id: Some("0123456789abcdef0123456789abcdef".into()),
        target_type: Some("container-instance".into()),
        ..stack.clone()
    };
    let answer = world.call::<op::PutAttributes>(put(vec![absent]));
    refused(answer, "TargetNotFoundException", "The target container instance was not found.");
    for nth in 0..9 {
        world.call::<op::PutAttributes>(put(vec![attribute(&format!("own-{nth}"), None)])).unwrap();
    }
    let answer = world.call::<op::PutAttributes>(put(vec![attribute("one-too-many", None)]));
    let message = "A container instance can have at most 10 attributes of your own.";
    refused(answer, "AttributeLimitExceededException", message);
    let attributes = vec![attribute("stack", Some("test")), attribute("own-1", None)];
    let request = aws::DeleteAttributesRequest { cluster: Some("main".into()), attributes };
    let gone = world.call::<op::DeleteAttributes>(request).unwrap().attributes.unwrap();
    assert_eq!(gone.iter().map(|gone| gone.name.as_str()).collect::<Vec<_>>(), ["own-1"]);
    assert_eq!(list(&mut world, Some("stack"), None).len(), 1);
}

#[test]
fn registrations_that_do_not_hold() {
    let (mut world, arn) = furnished();
    let register = |change: fn(&mut aws::RegisterContainerInstanceRequest)| {
        let mut request =
            aws::RegisterContainerInstanceRequest { cluster: Some("main".into()), ..Default::default() };
        change(&mut request);
        request
    };
    let answer = world.call::<op::RegisterContainerInstance>(register(|request| {
        request.instance_identity_document = Some("no json".into());
    }));
    refused(answer, CLIENT, "Instance identity document is not valid.");
    let answer = world.call::<op::RegisterContainerInstance>(register(|request| {
        request.total_resources =
            Some(vec![aws::Resource { name: Some("DISK".into()), ..Default::default() }]);
    }));
    refused(answer, INVALID, "totalResources: DISK is not a resource.");
    let mut other = register(|request| {
        request.instance_identity_document = Some(r#"{"instanceId":"i-1"}"#.into());
    });
    other.container_instance_arn = Some(arn);
    let answer = world.call::<op::RegisterContainerInstance>(other);
    refused(answer, CLIENT, "The container instance is registered by another machine.");
    let mut gone = register(|request| request.cluster = Some("nowhere".into()));
    gone.tags = None;
    let answer = world.call::<op::RegisterContainerInstance>(gone);
    refused(answer, "ClusterNotFoundException", "Cluster not found.");
}

#[test]
fn tasks_are_listed_by_their_instance() {
    let (mut world, arn) = furnished();
    let task = start(&mut world, "web", &[&arn]).tasks.unwrap().remove(0).task_arn.unwrap();
    world.call::<op::RunTask>(crate::world::run_request()).unwrap();
    let list = |world: &mut World, change: &dyn Fn(&mut aws::ListTasksRequest)| {
        let mut request = aws::ListTasksRequest { cluster: Some("main".into()), ..Default::default() };
        change(&mut request);
        world.call::<op::ListTasks>(request).map(|answer| answer.task_arns.unwrap())
    };
    assert_eq!(list(&mut world, &|_| {}).unwrap().len(), 2);
    for name in [arn.as_str(), arn.rsplit('/').next().unwrap()] {
        let found = list(&mut world, &|request| request.container_instance = Some(name.into())).unwrap();
        assert_eq!(found, std::slice::from_ref(&task));
    }
    let found = list(&mut world, &|request| request.launch_type = Some("EC2".into())).unwrap();
    assert_eq!(found, [task]);
    let both = |request: &mut aws::ListTasksRequest| {
        request.container_instance = Some(arn.clone());
        request.family = Some("app".into());
    };
    assert_eq!(list(&mut world, &both).unwrap(), [""; 0]);
    let absent = |request: &mut aws::ListTasksRequest| {
        request.container_instance = Some("0123456789abcdef0123456789abcdef".into());
    };
    refused(list(&mut world, &absent), INVALID, "The referenced container instance was not found.");
    let clusters = Some(vec!["main".into()]);
    let include = Some(vec!["STATISTICS".into()]);
    let request = aws::DescribeClustersRequest { clusters, include };
    let cluster = world.call::<op::DescribeClusters>(request).unwrap().clusters.unwrap().remove(0);
    let statistics = cluster.statistics.unwrap();
    let number = |name: &str| {
        let found = statistics.iter().find(|pair| pair.name.as_deref() == Some(name));
        found.unwrap().value.clone().unwrap()
    };
    assert_eq!(
        (number("pendingEC2TasksCount"), number("pendingFargateTasksCount")),
        ("1".into(), "1".into())
    );
}

#[test]
fn instances_have_tags() {
    let (mut world, arn) = furnished();
    let tag = aws::Tag { key: Some("team".into()), value: Some("blue".into()) };
    let request = aws::TagResourceRequest { resource_arn: arn.clone(), tags: vec![tag.clone()] };
    world.call::<op::TagResource>(request).unwrap();
    assert_eq!(describe(&mut world, &arn).tags.unwrap(), [tag]);
    let request =
        aws::UntagResourceRequest { resource_arn: arn.clone(), tag_keys: vec![String::from("team")] };
    world.call::<op::UntagResource>(request).unwrap();
    let request = aws::ListTagsForResourceRequest { resource_arn: arn };
    assert_eq!(world.call::<op::ListTagsForResource>(request).unwrap().tags.unwrap(), []);
}

#[test]
fn no_task_gets_at_the_host_through_another() {
    let (mut world, arn) = furnished();
    let request = |privileged| aws::RegisterTaskDefinitionRequest {
        family: "shell".into(),
        task_role_arn: Some(crate::peers::ROLE.into()),
        container_definitions: vec![aws::ContainerDefinition {
            memory: Some(16),
            privileged,
            ..container("web")
        }],
        ..Default::default()
    };
    for (privileged, is_denied) in [(Some(true), true), (None, false)] {
        world.call::<op::RegisterTaskDefinition>(request(privileged)).unwrap();
        let start = aws::StartTaskRequest {
            cluster: Some("main".into()),
            container_instances: vec![arn.clone()],
            task_definition: "shell".into(),
            enable_execute_command: Some(true),
            ..Default::default()
        };
        let answer = world.call::<op::StartTask>(start).unwrap();
        let task = answer.tasks.unwrap().remove(0).task_arn.unwrap();
        let started_at = Some(world.platform.clock().now());
        let web = ContainerObservation { name: "web".into(), started_at, ..Default::default() };
        let seen = Observation { phase: Phase::Running, containers: vec![web], ..Default::default() };
        world.observe(&task, 1, seen);
        let execute = aws::ExecuteCommandRequest {
            cluster: Some("main".into()),
            container: None,
            command: "sh".into(),
            interactive: true,
            task,
        };
        let origin = Origin::Task { vpc: "vpc".into(), address: [172, 31, 0, 9].into() };
        let caller = Caller { origin, ..World::caller() };
        let call =
            |platform: Platform| async move { platform.call::<op::ExecuteCommand>(caller, execute).await };
        let answer = world.wait(call);
        assert_eq!(answer.err().map(|fault| fault.code), is_denied.then(|| "AccessDeniedException".into()));
    }
}
