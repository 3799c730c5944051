use std::collections::BTreeMap;

use aws::op;
use aws_ecs as aws;
use aws_ecs::ContainerDefinition;

use crate::world::{CLIENT, INVALID, World, container, definition, refused};

pub type Request = aws::RegisterTaskDefinitionRequest;

pub fn register(world: &mut World, request: Request) -> aws::TaskDefinition {
    world.call::<op::RegisterTaskDefinition>(request).unwrap().task_definition.unwrap()
}

/// Registers the plain Fargate definition with `change` and expects a refusal with `message`.
#[track_caller]
pub fn check(message: &str, change: impl FnOnce(&mut Request)) {
    let mut request = definition("app");
    change(&mut request);
    refused(World::new().call::<op::RegisterTaskDefinition>(request), CLIENT, message);
}

/// The same for a definition for EC2 without sizes.
#[track_caller]
pub fn check_ec2(message: &str, change: impl FnOnce(&mut Request)) {
    check(message, |request| {
        *request = Request {
            family: "app".into(),
            container_definitions: vec![ContainerDefinition { memory: Some(64), ..container("web") }],
            ..Default::default()
        };
        change(request);
    });
}

pub fn first(request: &mut Request) -> &mut ContainerDefinition {
    &mut request.container_definitions[0]
}

pub fn port(container: i32, host: Option<i32>) -> aws::PortMapping {
    aws::PortMapping { container_port: Some(container), host_port: host, ..Default::default() }
}

fn depends(on: &str, condition: &str) -> Option<Vec<aws::ContainerDependency>> {
    Some(vec![aws::ContainerDependency { container_name: on.into(), condition: condition.into() }])
}

#[test]
fn defaults_are_filled_in() {
    let mut world = World::new();
    let mut request = definition("app");
    first(&mut request).port_mappings = Some(vec![port(80, None)]);
    request.cpu = Some("1 vCPU".into());
    request.memory = Some("2GB".into());
    request.execution_role_arn = Some("ecs-execution".into());
    let found = register(&mut world, request);
    assert_eq!(
        found.task_definition_arn.as_deref(),
        Some("arn:aws:ecs:us-east-1:000000000000:task-definition/app:1")
    );
    assert_eq!((found.cpu.as_deref(), found.memory.as_deref()), (Some("1024"), Some("2048")));
    assert_eq!((found.revision, found.status.as_deref()), (Some(1), Some("ACTIVE")));
    assert_eq!(found.execution_role_arn.as_deref(), Some(crate::peers::ROLE));
    assert_eq!(found.compatibilities.as_deref(), Some(&["EC2".into(), "FARGATE".into()][..]));
    assert_eq!(found.requires_compatibilities.as_deref(), Some(&["FARGATE".into()][..]));
    assert_eq!(found.registered_by.as_deref(), Some("arn:aws:iam::000000000000:root"));
    assert!(found.registered_at.is_some());
    assert_eq!(found.placement_constraints, Some(vec![]));
    assert_eq!(found.volumes, Some(vec![]));
    let attributes: Vec<_> = found.requires_attributes.unwrap().into_iter().map(|a| a.name).collect();
    assert!(attributes.contains(&"ecs.capability.task-eni".into()), "{attributes:?}");
    let web = &found.container_definitions.unwrap()[0];
    let mapping = aws::PortMapping { protocol: Some("tcp".into()), ..port(80, Some(80)) };
    assert_eq!(web.port_mappings.as_deref(), Some(&[mapping][..]));
    assert_eq!((web.cpu, web.essential), (Some(0), Some(true)));
    assert_eq!((web.environment.as_deref(), web.mount_points.as_deref()), (Some(&[][..]), Some(&[][..])));
    assert_eq!((web.volumes_from.as_deref(), web.system_controls.as_deref()), (Some(&[][..]), Some(&[][..])));
}

/// A container with every member set.
fn full_container() -> ContainerDefinition {
    ContainerDefinition {
        cpu: Some(10),
        memory: Some(64),
        memory_reservation: Some(32),
        essential: Some(true),
        port_mappings: Some(vec![aws::PortMapping {
            protocol: Some("tcp".into()),
            name: Some("http".into()),
            app_protocol: Some("http2".into()),
            ..port(80, Some(80))
        }]),
        restart_policy: Some(aws::ContainerRestartPolicy {
            enabled: true,
            ignored_exit_codes: Some(vec![0]),
            restart_attempt_period: Some(60),
        }),
        entry_point: Some(vec!["sh".into(), "-c".into()]),
        command: Some(vec!["true".into()]),
        environment: Some(vec![aws::KeyValuePair { name: Some("A".into()), value: Some("".into()) }]),
        environment_files: Some(vec![aws::EnvironmentFile {
            value: "arn:aws:s3:::b/f.env".into(),
            r#type: "s3".into(),
        }]),
        mount_points: Some(vec![aws::MountPoint {
            source_volume: Some("data".into()),
            container_path: Some("/data".into()),
            read_only: Some(true),
        }]),
        volumes_from: Some(vec![]),
        ..full_settings()
    }
}

/// The other half of its members.
fn full_settings() -> ContainerDefinition {
    let options: BTreeMap<_, _> = [
        ("awslogs-group", "/app"),
        ("awslogs-region", "us-east-1"),
        ("awslogs-stream-prefix", "web"),
        ("awslogs-datetime-format", "%Y"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    ContainerDefinition {
        linux_parameters: Some(aws::LinuxParameters {
            capabilities: Some(aws::KernelCapabilities {
                add: Some(vec!["SYS_PTRACE".into()]),
                drop: Some(vec!["ALL".into()]),
            }),
            init_process_enabled: Some(true),
            ..Default::default()
        }),
        secrets: Some(vec![aws::Secret {
            name: "S".into(),
            value_from: "arn:aws:ssm:us-east-1:0:parameter/s".into(),
        }]),
        start_timeout: Some(20),
        stop_timeout: Some(10),
        user: Some("1000:1000".into()),
        working_directory: Some("/srv".into()),
        readonly_root_filesystem: Some(true),
        interactive: Some(true),
        pseudo_terminal: Some(true),
        docker_labels: Some([("a".to_owned(), "b".to_owned())].into()),
        ulimits: Some(vec![aws::Ulimit { name: "nofile".into(), soft_limit: 10, hard_limit: 20 }]),
        log_configuration: Some(aws::LogConfiguration {
            log_driver: "awslogs".into(),
            options: Some(options),
            secret_options: None,
        }),
        health_check: Some(aws::HealthCheck {
            command: vec!["CMD".into(), "true".into()],
            interval: Some(10),
            timeout: Some(3),
            retries: Some(2),
            start_period: Some(1),
        }),
        system_controls: Some(vec![aws::SystemControl {
            namespace: Some("net.a".into()),
            value: Some("1".into()),
        }]),
        version_consistency: Some("disabled".into()),
        ..container("web")
    }
}

/// A definition with nearly every member set.
fn full_definition() -> Request {
    Request {
        task_role_arn: Some(crate::peers::ROLE.into()),
        execution_role_arn: Some(crate::peers::ROLE.into()),
        ephemeral_storage: Some(aws::EphemeralStorage { size_in_gi_b: 30 }),
        pid_mode: Some("task".into()),
        enable_fault_injection: Some(true),
        runtime_platform: Some(aws::RuntimePlatform {
            cpu_architecture: Some("ARM64".into()),
            operating_system_family: Some("LINUX".into()),
        }),
        proxy_configuration: Some(aws::ProxyConfiguration {
            r#type: Some("APPMESH".into()),
            container_name: "web".into(),
            properties: Some(vec![aws::KeyValuePair {
                name: Some("AppPorts".into()),
                value: Some("80".into()),
            }]),
        }),
        volumes: Some(vec![aws::Volume {
            name: Some("data".into()),
            efs_volume_configuration: Some(aws::EFSVolumeConfiguration {
                file_system_id: "fs-1".into(),
                transit_encryption: Some("ENABLED".into()),
                ..Default::default()
            }),
            ..Default::default()
        }]),
        container_definitions: vec![full_container()],
        tags: Some(vec![aws::Tag { key: Some("k".into()), value: Some("v".into()) }]),
        ..definition("app")
    }
}

/// What we do not act on yet is kept whole all the same.
#[test]
fn every_field_comes_back() {
    let mut world = World::new();
    let request = full_definition();
    register(&mut world, request.clone());
    let ask = aws::DescribeTaskDefinitionRequest {
        task_definition: "app:1".into(),
        include: Some(vec!["TAGS".into()]),
    };
    let answer = world.call::<op::DescribeTaskDefinition>(ask).unwrap();
    let found = answer.task_definition.unwrap();
    assert_eq!(found.container_definitions.unwrap(), request.container_definitions);
    assert_eq!(found.volumes, request.volumes);
    assert_eq!(found.ephemeral_storage, request.ephemeral_storage);
    assert_eq!(found.proxy_configuration, request.proxy_configuration);
    assert_eq!(found.runtime_platform, request.runtime_platform);
    assert_eq!(found.pid_mode, request.pid_mode);
    assert_eq!(found.enable_fault_injection, request.enable_fault_injection);
    assert_eq!(found.task_role_arn, request.task_role_arn);
    assert_eq!(answer.tags, request.tags);
}

#[test]
fn fargate_has_its_sizes_and_rules() {
    check(
        "No Fargate configuration exists for given values: 300 CPU, 77 memory. \
         See the Amazon ECS documentation for the valid values.",
        |request| {
            request.cpu = Some("300".into());
            request.memory = Some("77".into());
        },
    );
    check("Fargate only supports network mode ‘awsvpc’.", |request| {
        request.network_mode = Some("bridge".into())
    });
    check("Fargate requires that 'cpu' be defined at the task level.", |request| request.cpu = None);
    check("Fargate requires that 'memory' be defined at the task level.", |request| request.memory = None);
    check("Invalid 'cpu' setting for task.", |request| request.cpu = Some("much".into()));
    check("Fargate requires task definition to have execution role ARN to support ECR images.", |request| {
        first(request).image = Some("123456789012.dkr.ecr.us-east-1.amazonaws.com/app".into());
    });
    let log = |driver: &str, names: &[&str]| {
        let options = names.iter().map(|name| (String::from(*name), String::from("x"))).collect();
        Some(aws::LogConfiguration {
            log_driver: driver.into(),
            options: Some(options),
            secret_options: None,
        })
    };
    let all = ["awslogs-group", "awslogs-region", "awslogs-stream-prefix"];
    check(
        "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
        |request| first(request).log_configuration = log("awslogs", &all),
    );
    check("Log driver awslogs requires options: awslogs-region", |request| {
        first(request).log_configuration = log("awslogs", &all[..1]);
    });
    check(
        "Fargate requires log configuration options to include awslogs-stream-prefix to support log driver awslogs.",
        |request| first(request).log_configuration = log("awslogs", &all[..2]),
    );
    check("syslog is not a valid log driver. Must be one of [awslogs, splunk, awsfirelens]", |request| {
        first(request).log_configuration = log("syslog", &[]);
    });
}

#[test]
fn every_valid_fargate_size_is_taken() {
    let mut world = World::new();
    for (cpu, memory) in [
        ("256", "512"),
        ("512", "4096"),
        ("4096", "30720"),
        ("8192", "20480"),
        ("16384", "122880"),
        (".25 vCPU", "0.5 GB"),
    ] {
        let request = Request { cpu: Some(cpu.into()), memory: Some(memory.into()), ..definition("app") };
        register(&mut world, request);
    }
}

#[test]
fn containers_have_their_rules() {
    check("Family contains invalid characters.", |request| request.family = "a b".into());
    check("Container list cannot be empty.", |request| request.container_definitions.clear());
    check(
        "Too many containers: 11. A task definition can have at most 10 container definitions.",
        |request| {
            request.container_definitions = (0..11).map(|n| container(&format!("c{n}"))).collect();
        },
    );
    check("Task definition doesn't have any essential container.", |request| {
        first(request).essential = Some(false)
    });
    check("Container.name should not be null or empty.", |request| first(request).name = None);
    check("Container.name contains invalid characters.", |request| first(request).name = Some("a.b".into()));
    check("Container.image should not be null or empty.", |request| first(request).image = None);
    check("Container names must be unique within a task definition: 'web' is used twice.", |request| {
        request.container_definitions.push(container("web"));
    });
    check("Unknown volume 'data'.", |request| {
        let mount = aws::MountPoint {
            source_volume: Some("data".into()),
            container_path: Some("/d".into()),
            read_only: None,
        };
        first(request).mount_points = Some(vec![mount]);
    });
    check(
        "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.",
        |request| {
            first(request).cpu = Some(257);
        },
    );
    check(
        "Invalid setting for container 'web'. 'memory' must be greater than or equal to 'memoryReservation'.",
        |request| {
            first(request).memory = Some(64);
            first(request).memory_reservation = Some(65);
        },
    );
    check_ec2(
        "Invalid setting for container 'web'. At least one of 'memory' or 'memoryReservation' must be specified.",
        |request| first(request).memory = None,
    );
    check("Role is not valid", |request| request.task_role_arn = Some("arn:aws:iam::1:user/x".into()));
    check("hostname is not supported on container when networkMode=awsvpc.", |request| {
        first(request).hostname = Some("h".into())
    });
}

#[test]
fn ports_have_their_rules() {
    check(
        "When networkMode=awsvpc, the host ports and container ports in port mappings must match.",
        |request| {
            first(request).port_mappings = Some(vec![port(80, Some(8080))]);
        },
    );
    check("Port mappings of container 'web': containerPort must be between 1 and 65535.", |request| {
        first(request).port_mappings = Some(vec![port(65_536, None)]);
    });
    check("container port is used multiple times in task: 80/tcp", |request| {
        first(request).port_mappings = Some(vec![port(80, None)]);
        request
            .container_definitions
            .push(ContainerDefinition { port_mappings: Some(vec![port(80, None)]), ..container("side") });
    });
}

#[test]
fn dependencies_have_their_rules() {
    check("Cannot depend on container + 'nope' because it does not exist", |request| {
        first(request).depends_on = depends("nope", "START");
    });
    check("Container 'web' cannot depend on itself.", |request| {
        first(request).depends_on = depends("web", "START")
    });
    check("Container dependencies should not have a cycle.", |request| {
        first(request).depends_on = depends("b", "START");
        request
            .container_definitions
            .push(ContainerDefinition { depends_on: depends("c", "START"), ..container("b") });
        request
            .container_definitions
            .push(ContainerDefinition { depends_on: depends("web", "START"), ..container("c") });
    });
    check(
        "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
        |request| {
            first(request).depends_on = depends("b", "SUCCESS");
            request.container_definitions.push(container("b"));
        },
    );
    check_ec2("Container links should not have a cycle.", |request| {
        first(request).links = Some(vec!["b:alias".into()]);
        let links = Some(vec!["web".into()]);
        request.container_definitions.push(ContainerDefinition { links, memory: Some(64), ..container("b") });
    });
}

#[test]
fn revisions_are_counted_and_never_used_twice() {
    let mut world = World::new();
    for revision in 1..=3 {
        assert_eq!(register(&mut world, definition("app")).revision, Some(revision));
    }
    let named =
        |text: &str| aws::DescribeTaskDefinitionRequest { task_definition: text.into(), include: None };
    let newest = world.call::<op::DescribeTaskDefinition>(named("app")).unwrap();
    assert_eq!(newest.task_definition.unwrap().revision, Some(3));

    let dereg = |text: &str| aws::DeregisterTaskDefinitionRequest { task_definition: text.into() };
    let gone = world.call::<op::DeregisterTaskDefinition>(dereg("app:3")).unwrap().task_definition.unwrap();
    assert_eq!(gone.status.as_deref(), Some("INACTIVE"));
    assert!(gone.deregistered_at.is_some());
    let newest = world.call::<op::DescribeTaskDefinition>(named("app")).unwrap();
    assert_eq!(newest.task_definition.unwrap().revision, Some(2));
    // An inactive one is still there for those who name it.
    world.call::<op::DescribeTaskDefinition>(named("app:3")).unwrap();
    assert_eq!(world.call::<op::DeregisterTaskDefinition>(dereg("app")).unwrap_err().code, INVALID);
    refused(
        world.call::<op::DescribeTaskDefinition>(named("app:9")),
        CLIENT,
        "Unable to describe task definition.",
    );

    let delete = |names: &[&str]| aws::DeleteTaskDefinitionsRequest {
        task_definitions: names.iter().map(|name| String::from(*name)).collect(),
    };
    let answer = world.call::<op::DeleteTaskDefinitions>(delete(&["app:3", "app:2", "app:9"])).unwrap();
    let deleted = answer.task_definitions.unwrap();
    assert_eq!(deleted[0].status.as_deref(), Some("DELETE_IN_PROGRESS"));
    let going =
        aws::ListTaskDefinitionsRequest { status: Some("DELETE_IN_PROGRESS".into()), ..Default::default() };
    let going = world.call::<op::ListTaskDefinitions>(going).unwrap().task_definition_arns.unwrap();
    assert_eq!(going, [deleted[0].task_definition_arn.clone().unwrap()]);
    let reasons: Vec<_> =
        answer.failures.unwrap().into_iter().map(|failure| failure.reason.unwrap()).collect();
    assert_eq!(
        reasons,
        [
            "The specified task definition is still in ACTIVE status. Please deregister the target and try again.",
            "TaskDefinition not found."
        ]
    );
    world.advance(std::time::Duration::from_secs(3601));
    assert!(world.call::<op::DescribeTaskDefinition>(named("app:3")).is_err());
    assert_eq!(register(&mut world, definition("app")).revision, Some(4));
}

#[test]
fn lists_of_definitions_and_families() {
    let mut world = World::new();
    for family in ["app", "app", "app2", "zoo"] {
        register(&mut world, definition(family));
    }
    let gone = aws::DeregisterTaskDefinitionRequest { task_definition: "zoo:1".into() };
    world.call::<op::DeregisterTaskDefinition>(gone).unwrap();
    let mut list = |request: aws::ListTaskDefinitionsRequest| {
        let arns = world.call::<op::ListTaskDefinitions>(request).unwrap();
        let short = |arn: &String| arn.rsplit('/').next().unwrap().to_owned();
        (arns.task_definition_arns.unwrap().iter().map(short).collect::<Vec<_>>().join(" "), arns.next_token)
    };
    type List = aws::ListTaskDefinitionsRequest;
    assert_eq!(list(List::default()).0, "app:1 app:2 app2:1");
    assert_eq!(list(List { sort: Some("DESC".into()), ..Default::default() }).0, "app2:1 app:2 app:1");
    assert_eq!(list(List { family_prefix: Some("app".into()), ..Default::default() }).0, "app:1 app:2");
    assert_eq!(list(List { status: Some("INACTIVE".into()), ..Default::default() }).0, "zoo:1");
    for (sort, pages) in [("ASC", ["app:1 app:2", "app2:1"]), ("DESC", ["app2:1 app:2", "app:1"])] {
        let ask = |next_token| List {
            sort: Some(sort.into()),
            max_results: Some(2),
            next_token,
            ..Default::default()
        };
        let (page, token) = list(ask(None));
        assert_eq!(page, pages[0]);
        assert_eq!(list(ask(token)), (pages[1].to_owned(), None));
    }

    let mut families = |prefix: Option<&str>, status: Option<&str>| {
        let request = aws::ListTaskDefinitionFamiliesRequest {
            family_prefix: prefix.map(Into::into),
            status: status.map(Into::into),
            ..Default::default()
        };
        world.call::<op::ListTaskDefinitionFamilies>(request).unwrap().families.unwrap().join(" ")
    };
    assert_eq!(families(None, None), "app app2 zoo");
    assert_eq!(families(None, Some("ACTIVE")), "app app2");
    assert_eq!(families(None, Some("INACTIVE")), "zoo");
    assert_eq!(families(Some("app"), None), "app app2");
}
