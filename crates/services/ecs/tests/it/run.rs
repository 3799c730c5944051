use aws::op;
use aws_ecs as aws;
use link::Order;

use crate::peers::{self, Made, ROLE};
use crate::world::{CLIENT, INVALID, World, container, definition, network, refused, run_request};

/// Changes the plain request and expects a refusal.
#[track_caller]
fn check(code: &str, message: &str, change: impl FnOnce(&mut aws::RunTaskRequest)) {
    let mut world = World::furnished();
    let mut request = run_request();
    change(&mut request);
    refused(world.call::<op::RunTask>(request), code, message);
    assert_eq!(world.platform.store().snapshot().count::<Made>(), 0, "no interface is left behind");
}

/// Registers `app` with `change`, runs it, and expects a refusal.
#[track_caller]
fn check_definition(message: &str, change: impl FnOnce(&mut aws::ContainerDefinition)) {
    let mut world = World::furnished();
    let mut request = definition("app");
    request.execution_role_arn = Some(ROLE.into());
    change(&mut request.container_definitions[0]);
    world.call::<op::RegisterTaskDefinition>(request).expect("it is kept");
    refused(world.call::<op::RunTask>(run_request()), INVALID, message);
}

#[test]
fn what_peers_accept_is_refused() {
    check("ClusterNotFoundException", "Cluster not found.", |request| request.cluster = Some("nope".into()));
    check("ClusterNotFoundException", "Cluster not found.", |request| request.cluster = None);
    check(INVALID, "No Container Instances were found in your cluster.", |request| {
        request.launch_type = None
    });
    check(INVALID, "No Container Instances were found in your cluster.", |request| {
        request.launch_type = Some("EC2".into());
    });
    check(
        INVALID,
        "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        |request| {
            request.network_configuration = None;
        },
    );
    check(CLIENT, "TaskDefinition not found.", |request| request.task_definition = "nope".into());
    check(INVALID, "count must be between 1 and 10.", |request| request.count = Some(11));
    check("PlatformUnknownException", "The specified platform does not exist.", |request| {
        request.platform_version = Some("9.9.9".into());
    });
    check(
        INVALID,
        "The task could not be run because a valid taskRoleArn is not being used. Specify a valid task role in your \
         task definition and try again.",
        |request| request.enable_execute_command = Some(true),
    );
    check(INVALID, "placementStrategy is not supported by Boxship yet.", |request| {
        request.placement_strategy =
            Some(vec![aws::PlacementStrategy { r#type: Some("random".into()), field: None }]);
    });
    check(INVALID, "Invalid namespace for group.", |request| request.group = Some("service:web".into()));
}

#[test]
fn networks_are_checked_with_ec2() {
    let nets = |subnets: &[&str], groups: &[&str]| {
        let mut net = network(subnets);
        let list = groups.iter().map(|id| String::from(*id)).collect();
        net.awsvpc_configuration.as_mut().unwrap().security_groups = Some(list);
        Some(net)
    };
    check(
        INVALID,
        "Error retrieving subnet information for [subnet-x]: The subnet ID 'subnet-x' does not exist \
         (ErrorCode: InvalidSubnetID.NotFound)",
        |request| request.network_configuration = nets(&["subnet-x"], &[]),
    );
    check(
        INVALID,
        "Error retrieving security group information for [sg-x]: The security group 'sg-x' does not exist \
         (ErrorCode: InvalidGroup.NotFound)",
        |request| request.network_configuration = nets(&["subnet-a"], &["sg-x"]),
    );
    check(INVALID, "subnets must all be in the same VPC.", |request| {
        request.network_configuration = nets(&["subnet-a", peers::ELSEWHERE], &[]);
    });
    check(
        INVALID,
        "Security group sg-other does not appear to belong to the same VPC as the input subnets.",
        |request| request.network_configuration = nets(&["subnet-a"], &["sg-other"]),
    );
    check(INVALID, "subnets can not be empty.", |request| request.network_configuration = nets(&[], &[]));
}

/// Every member of a container that we do not act on yet.
#[test]
fn no_member_of_a_container_is_ignored() {
    type Change = fn(&mut aws::ContainerDefinition);
    let table: [(&str, Change); 8] = [
        ("repositoryCredentials", |c| {
            c.repository_credentials = Some(aws::RepositoryCredentials { credentials_parameter: "x".into() });
        }),
        ("environmentFiles", |c| {
            c.environment_files = Some(vec![aws::EnvironmentFile {
                value: "arn:aws:s3:::b/x.env".into(),
                r#type: "s3".into(),
            }]);
        }),
        ("secrets", |c| c.secrets = Some(vec![aws::Secret { name: "x".into(), value_from: "x".into() }])),
        ("firelensConfiguration", |c| {
            c.firelens_configuration =
                Some(aws::FirelensConfiguration { r#type: "fluentbit".into(), options: None });
        }),
        ("credentialSpecs", |c| c.credential_specs = Some(vec!["x".into()])),
        ("logConfiguration.logDriver splunk", |c| c.log_configuration = log("splunk", &[])),
        ("logConfiguration.options.awslogs-endpoint", |c| {
            c.log_configuration = log("awslogs", &["awslogs-endpoint"]);
        }),
        ("logConfiguration.secretOptions", |c| {
            c.log_configuration = log("awslogs", &[]);
            let secrets = vec![aws::Secret { name: "x".into(), value_from: "x".into() }];
            c.log_configuration.as_mut().unwrap().secret_options = Some(secrets);
        }),
    ];
    for (name, change) in table {
        let message =
            format!("containerDefinitions.{name} (container 'web') is not supported by Boxship yet.");
        check_definition(&message, change);
    }
}

/// A log configuration with what awslogs needs, and `names` with some value.
fn log(driver: &str, names: &[&str]) -> Option<aws::LogConfiguration> {
    let needed = ["awslogs-group", "awslogs-region", "awslogs-stream-prefix"];
    let needed = if driver == "awslogs" { &needed[..] } else { &[] };
    let options = needed.iter().chain(names).map(|name| (String::from(*name), String::from("x"))).collect();
    Some(aws::LogConfiguration { log_driver: driver.into(), options: Some(options), secret_options: None })
}

fn volume(change: impl FnOnce(&mut aws::Volume)) -> Option<Vec<aws::Volume>> {
    let mut volume = aws::Volume { name: Some("v".into()), ..Default::default() };
    change(&mut volume);
    Some(vec![volume])
}

/// And of a task.
#[test]
fn no_member_of_a_definition_is_ignored() {
    type Change = fn(&mut aws::RegisterTaskDefinitionRequest);
    let table: [(&str, Change); 5] = [
        ("volumes.efsVolumeConfiguration (volume 'v')", |d| {
            let efs = aws::EFSVolumeConfiguration { file_system_id: "fs-1".into(), ..Default::default() };
            d.volumes = volume(|v| v.efs_volume_configuration = Some(efs));
        }),
        ("volumes.configuredAtLaunch (volume 'v')", |d| {
            d.volumes = volume(|v| v.configured_at_launch = Some(true));
        }),
        ("volumes.s3filesVolumeConfiguration (volume 'v')", |d| {
            let files = aws::S3FilesVolumeConfiguration::default();
            d.volumes = volume(|v| v.s3files_volume_configuration = Some(files));
        }),
        ("proxyConfiguration", |d| {
            d.proxy_configuration =
                Some(aws::ProxyConfiguration { container_name: "web".into(), ..Default::default() });
        }),
        ("runtimePlatform.operatingSystemFamily", |d| {
            d.runtime_platform = Some(aws::RuntimePlatform {
                operating_system_family: Some("WINDOWS_SERVER_2022_CORE".into()),
                cpu_architecture: None,
            });
        }),
    ];
    for (name, change) in table {
        let mut world = World::furnished();
        let mut request = definition("app");
        change(&mut request);
        world.call::<op::RegisterTaskDefinition>(request).expect("it is kept");
        let message = format!("{name} is not supported by Boxship yet.");
        refused(world.call::<op::RunTask>(run_request()), INVALID, &message);
    }
}

#[test]
fn directions_must_be_sound() {
    check_definition("Container 'web': boxship.simulate: 'explode' is not a direction", |c| {
        c.docker_labels = Some([("boxship.simulate".to_owned(), "explode".to_owned())].into());
    });
}

#[test]
fn roles_must_exist() {
    let role = "arn:aws:iam::000000000000:role/nobody";
    let message = format!(
        "ECS was unable to assume the role '{role}' that was provided for this task. Please verify that the role \
         being passed has the proper trust relationship and permissions and that your IAM user has permissions to \
         pass this role."
    );
    check(CLIENT, &message, |request| {
        request.overrides =
            Some(aws::TaskOverride { task_role_arn: Some(role.into()), ..Default::default() });
    });
    let mut world = World::furnished();
    let overrides = aws::TaskOverride { task_role_arn: Some(ROLE.into()), ..Default::default() };
    world.call::<op::RunTask>(aws::RunTaskRequest { overrides: Some(overrides), ..run_request() }).unwrap();
}

#[test]
fn an_inactive_definition_does_not_run() {
    let mut world = World::furnished();
    let gone = aws::DeregisterTaskDefinitionRequest { task_definition: "app:1".into() };
    world.call::<op::DeregisterTaskDefinition>(gone).unwrap();
    let request = aws::RunTaskRequest { task_definition: "app:1".into(), ..run_request() };
    refused(world.call::<op::RunTask>(request), CLIENT, "TaskDefinition is inactive");
}

#[test]
fn a_task_is_answered_at_once() {
    let mut world = World::furnished();
    let request = aws::RunTaskRequest {
        started_by: Some("me".into()),
        tags: Some(vec![aws::Tag { key: Some("k".into()), value: Some("v".into()) }]),
        enable_ecs_managed_tags: Some(true),
        ..run_request()
    };
    let answer = world.call::<op::RunTask>(request).unwrap();
    assert_eq!(answer.failures.unwrap(), []);
    let task = answer.tasks.unwrap().remove(0);
    let arn = task.task_arn.clone().unwrap();
    let id = arn.strip_prefix("arn:aws:ecs:us-east-1:000000000000:task/main/").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_eq!(task.last_status.as_deref(), Some("PROVISIONING"));
    assert_eq!(task.desired_status.as_deref(), Some("RUNNING"));
    assert_eq!(task.group.as_deref(), Some("family:app"));
    assert_eq!((task.cpu.as_deref(), task.memory.as_deref()), (Some("256"), Some("512")));
    assert_eq!(task.platform_version.as_deref(), Some("1.4.0"));
    assert_eq!(task.health_status.as_deref(), Some("UNKNOWN"));
    let tags: Vec<_> = task.tags.clone().unwrap().into_iter().map(|tag| tag.key.unwrap()).collect();
    assert_eq!(tags, ["aws:ecs:clusterName", "k"]);
    let attachment = &task.attachments.as_ref().unwrap()[0];
    let details: Vec<_> =
        attachment.details.as_ref().unwrap().iter().map(|d| d.name.as_deref().unwrap()).collect();
    assert_eq!(
        details,
        ["subnetId", "networkInterfaceId", "macAddress", "privateDnsName", "privateIPv4Address"]
    );
    let container = &task.containers.as_ref().unwrap()[0];
    assert_eq!(container.last_status.as_deref(), Some("PENDING"));
    let interface = &container.network_interfaces.as_ref().unwrap()[0];
    assert_eq!(interface.attachment_id, attachment.id);
    assert_eq!(interface.private_ipv4_address.as_deref(), Some("172.31.0.4"));
    assert_eq!(world.describe(&arn), task);
}

/// Two containers, one with a log.
fn full() -> aws::RegisterTaskDefinitionRequest {
    let mut request = definition("full");
    request.execution_role_arn = Some(ROLE.into());
    let pair =
        |name: &str, value: &str| aws::KeyValuePair { name: Some(name.into()), value: Some(value.into()) };
    let options = [
        ("awslogs-group", "/full"),
        ("awslogs-region", "us-east-1"),
        ("awslogs-stream-prefix", "pre"),
        ("awslogs-create-group", "true"),
        ("max-buffer-size", "4m"),
    ];
    request.container_definitions = vec![
        aws::ContainerDefinition {
            command: Some(vec!["serve".into()]),
            environment: Some(vec![pair("A", "1"), pair("B", "2")]),
            stop_timeout: Some(7),
            log_configuration: Some(aws::LogConfiguration {
                log_driver: "awslogs".into(),
                options: Some(options.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
                secret_options: None,
            }),
            ..container("web")
        },
        aws::ContainerDefinition {
            essential: Some(false),
            ulimits: Some(vec![aws::Ulimit { name: "nofile".into(), soft_limit: 10, hard_limit: -1 }]),
            ..container("side")
        },
    ];
    request
}

fn pair(name: &str, value: &str) -> aws::KeyValuePair {
    aws::KeyValuePair { name: Some(name.into()), value: Some(value.into()) }
}

#[test]
fn a_public_address_needs_a_route_to_the_internet() {
    let mut world = World::furnished();
    for (subnet, asked, expected) in
        [("subnet-a", "ENABLED", true), ("subnet-a", "DISABLED", false), ("subnet-b", "ENABLED", false)]
    {
        let mut network = network(&[subnet]);
        network.awsvpc_configuration.as_mut().unwrap().assign_public_ip = Some(asked.into());
        let request = aws::RunTaskRequest { network_configuration: Some(network), ..run_request() };
        world.call::<op::RunTask>(request).unwrap();
        let orders = world.settle();
        let Order::Run(assignment) = &orders[0].order else { panic!("{orders:?}") };
        assert_eq!(assignment.interface.as_ref().unwrap().public, expected, "{subnet} {asked}");
    }
}

#[test]
fn the_assignment_holds_every_choice() {
    let mut world = World::furnished();
    world.call::<op::RegisterTaskDefinition>(full()).unwrap();
    let change = aws::ContainerOverride {
        name: Some("web".into()),
        command: Some(vec!["once".into()]),
        environment: Some(vec![pair("B", "3"), pair("C", "4")]),
        memory: Some(128),
        ..Default::default()
    };
    let overrides = aws::TaskOverride {
        container_overrides: Some(vec![change]),
        cpu: Some(".5 vCPU".into()),
        memory: Some("1 GB".into()),
        ..Default::default()
    };
    let request =
        aws::RunTaskRequest { task_definition: "full".into(), overrides: Some(overrides), ..run_request() };
    let task = world.call::<op::RunTask>(request).unwrap().tasks.unwrap().remove(0);
    assert_eq!(task.cpu.as_deref(), Some("512"));
    let names: Vec<_> =
        task.overrides.unwrap().container_overrides.unwrap().into_iter().map(|c| c.name.unwrap()).collect();
    assert_eq!(names, ["web", "side"]);

    let orders = world.settle();
    let Order::Run(assignment) = &orders[0].order else { panic!("{orders:?}") };
    assert_eq!((assignment.cpu_units, assignment.memory_mib), (Some(512), Some(1024)));
    assert_eq!(assignment.architecture, "X86_64");
    let interface = assignment.interface.as_ref().unwrap();
    assert!(interface.on_host && !interface.public);
    assert_eq!(interface.vpc_cidr, "172.31.0.0/16");
    let web = &assignment.containers[0];
    assert_eq!(web.command.as_deref(), Some(&["once".into()][..]));
    let environment: Vec<_> = web.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(environment, ["A=1", "B=3", "C=4"]);
    assert_eq!(web.memory_mib, Some(128));
    assert_eq!(web.stop_timeout.as_secs(), 7);
    let log = web.logging.awslogs().unwrap();
    assert_eq!(log.stream, format!("pre/web/{}", assignment.task_id));
    assert_eq!(
        (log.group.as_str(), log.create_group, web.logging.buffer_bytes),
        ("/full", true, Some(4 << 20))
    );
    let files = &web.ulimits[0];
    assert_eq!((files.soft, files.hard, files.is_explicit), (65_535, 65_535, false));
    let files = &assignment.containers[1].ulimits[0];
    assert_eq!((files.soft, files.hard, files.is_explicit), (10, u64::MAX, true));
    assert_eq!(assignment.containers[1].stop_timeout.as_secs(), 30);
}

#[test]
fn overrides_must_fit() {
    let over = |name: &str| {
        let change = aws::ContainerOverride { name: Some(name.into()), ..Default::default() };
        Some(aws::TaskOverride { container_overrides: Some(vec![change]), ..Default::default() })
    };
    check(INVALID, "Override for container named db is not a container in the TaskDefinition.", |request| {
        request.overrides = over("db");
    });
    check(INVALID, "Container Overrides length must be at most 8192", |request| {
        let mut overrides = over("web");
        overrides.as_mut().unwrap().container_overrides.as_mut().unwrap()[0].command =
            Some(vec!["x".repeat(9000)]);
        request.overrides = overrides;
    });
    check(
        CLIENT,
        "No Fargate configuration exists for given values: 256 CPU, 4096 memory. \
         See the Amazon ECS documentation for the valid values.",
        |request| {
            request.overrides = Some(aws::TaskOverride { memory: Some("4096".into()), ..Default::default() })
        },
    );
}

#[test]
fn a_client_token_starts_once() {
    let mut world = World::furnished();
    let request = |count| aws::RunTaskRequest {
        client_token: Some("once".into()),
        count: Some(count),
        ..run_request()
    };
    let first = world.call::<op::RunTask>(request(2)).unwrap().tasks.unwrap();
    let again = world.call::<op::RunTask>(request(2)).unwrap().tasks.unwrap();
    assert_eq!(first.len(), 2);
    assert_eq!(first, again);
    let message = "The client token was used with other parameters before.";
    refused(world.call::<op::RunTask>(request(1)), "ConflictException", message);
    world.advance(std::time::Duration::from_secs(24 * 3600 + 1));
    let later = world.call::<op::RunTask>(request(1)).unwrap().tasks.unwrap();
    assert_ne!(later[0].task_arn, first[0].task_arn);
}

#[test]
fn tasks_spread_over_subnets_and_have_an_address_each() {
    let mut world = World::furnished();
    let request = aws::RunTaskRequest { count: Some(10), ..run_request() };
    let tasks = world.call::<op::RunTask>(request).unwrap().tasks.unwrap();
    let zones = tasks.iter().filter(|task| task.availability_zone.as_deref() == Some("us-east-1a")).count();
    assert_eq!(zones, 5);
    let mut addresses: Vec<_> = tasks
        .iter()
        .map(|task| {
            task.containers.as_ref().unwrap()[0].network_interfaces.as_ref().unwrap()[0]
                .private_ipv4_address
                .clone()
        })
        .collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 10);
}

#[test]
fn a_full_subnet_is_a_failure_of_the_task() {
    let mut world = World::furnished();
    let request =
        aws::RunTaskRequest { network_configuration: Some(network(&[peers::FULL])), ..run_request() };
    let answer = world.call::<op::RunTask>(request).unwrap();
    assert_eq!(answer.tasks.unwrap(), []);
    assert_eq!(answer.failures.unwrap()[0].reason.as_deref(), Some("RESOURCE:ENI"));
}
