//! A task in full: every member of a definition at the host, and what DescribeTasks makes of what
//! the host saw.

use std::time::Duration;

use aws::op;
use aws_ecs as aws;
use core_lifecycle::{
    Assignment, Binding, Condition, ContainerObservation, Health, HealthStatus, LaunchType, LogDriver,
    Multiline, Namespace, NetworkMode, Observation, Phase, VolumeSource,
};
use link::{HostId, Order};
use service::{Caller, Origin};
use service_ecs::instances::{self, Joining};

use crate::peers::{self, ROLE};
use crate::world::{INVALID, World, container, definition, network, refused, run_request};

type Definition = aws::RegisterTaskDefinitionRequest;

fn text(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|word| String::from(*word)).collect())
}

fn map(pairs: &[(&str, &str)]) -> Option<std::collections::BTreeMap<String, String>> {
    Some(pairs.iter().map(|(name, value)| (String::from(*name), String::from(*value))).collect())
}

fn join(world: &mut World, cpu: u32, memory_mib: u32, gpus: &[&str]) -> String {
    join_as(world, cpu, memory_mib, gpus, "x86_64")
}

fn join_as(
    world: &mut World,
    cpu: u32,
    memory_mib: u32,
    gpus: &[&str],
    architecture: &'static str,
) -> String {
    let joining = Joining {
        cluster: "main".into(),
        host: HostId("local".into()),
        instance_id: None,
        cpu,
        memory_mib,
        gpus: gpus.iter().map(|id| String::from(*id)).collect(),
        architecture,
        version: "1".into(),
    };
    world.wait(|platform| async move { instances::join(&platform, joining).await }).unwrap().instance_arn
}

/// Two containers of 64 MiB for an instance, in the network mode that EC2 has where none is said.
fn plain(family: &str) -> Definition {
    let small = |name: &str| aws::ContainerDefinition { memory: Some(64), ..container(name) };
    Definition {
        family: family.into(),
        container_definitions: vec![small("web"), small("side")],
        ..Default::default()
    }
}

/// Registers `definition` as `app` and runs it on an instance; what the API answers and the host is told.
fn run(world: &mut World, definition: Definition) -> (aws::Task, std::sync::Arc<Assignment>) {
    let request = aws::RunTaskRequest {
        cluster: Some("main".into()),
        task_definition: definition.family.clone(),
        ..Default::default()
    };
    world.call::<op::RegisterTaskDefinition>(definition).unwrap();
    let answer = world.call::<op::RunTask>(request).unwrap();
    assert_eq!(answer.failures.unwrap(), []);
    let task = answer.tasks.unwrap().remove(0);
    let mut orders = world.settle();
    match orders.remove(0).order {
        Order::Run(assignment) => (task, assignment),
        other => panic!("{other:?}"),
    }
}

fn supervised() -> aws::ContainerDefinition {
    aws::ContainerDefinition {
        memory: Some(64),
        depends_on: Some(vec![aws::ContainerDependency {
            container_name: "side".into(),
            condition: "HEALTHY".into(),
        }]),
        health_check: Some(aws::HealthCheck {
            command: vec!["CMD".into(), "x".into()],
            ..Default::default()
        }),
        restart_policy: Some(aws::ContainerRestartPolicy {
            enabled: true,
            ignored_exit_codes: Some(vec![3]),
            restart_attempt_period: None,
        }),
        start_timeout: Some(20),
        stop_timeout: Some(5),
        links: text(&["side:db"]),
        port_mappings: Some(vec![
            aws::PortMapping { container_port: Some(80), ..Default::default() },
            aws::PortMapping { container_port_range: Some("90-91".into()), ..Default::default() },
        ]),
        hostname: Some("h".into()),
        dns_servers: text(&["10.0.0.2"]),
        dns_search_domains: text(&["example.com"]),
        extra_hosts: Some(vec![aws::HostEntry { hostname: "a".into(), ip_address: "10.0.0.3".into() }]),
        mount_points: Some(vec![aws::MountPoint {
            source_volume: Some("data".into()),
            container_path: Some("/data".into()),
            read_only: Some(true),
        }]),
        volumes_from: Some(vec![aws::VolumeFrom {
            source_container: Some("side".into()),
            read_only: Some(true),
        }]),
        ..container("web")
    }
}

#[test]
fn supervision_names_and_volumes_reach_the_host() {
    let mut world = World::furnished();
    join(&mut world, 1024, 1024, &[]);
    let mut request = plain("app");
    request.container_definitions[0] = supervised();
    request.container_definitions[1].health_check = Some(aws::HealthCheck {
        command: vec!["CMD".into(), "x".into()],
        interval: Some(10),
        timeout: Some(2),
        retries: Some(5),
        start_period: Some(7),
    });
    let named = |name: &str| aws::Volume { name: Some(name.into()), ..Default::default() };
    let docker = aws::DockerVolumeConfiguration {
        scope: Some("shared".into()),
        autoprovision: Some(true),
        driver: Some("local".into()),
        driver_opts: map(&[]),
        labels: map(&[("l", "1")]),
    };
    let host = aws::HostVolumeProperties { source_path: Some("/srv".into()) };
    request.volumes = Some(vec![
        named("data"),
        aws::Volume { host: Some(host), ..named("host") },
        aws::Volume { docker_volume_configuration: Some(docker), ..named("shared") },
    ]);
    let (_, told) = run(&mut world, request);
    let (web, side) = (&told.containers[0], &told.containers[1]);
    assert_eq!(
        (web.depends_on[0].container.as_str(), web.depends_on[0].condition),
        ("side", Condition::Healthy)
    );
    let secs = Duration::from_secs;
    let check = web.health_check.as_ref().unwrap();
    assert_eq!((check.interval, check.timeout, check.retries), (secs(30), secs(5), 3));
    assert_eq!(check.start_period, secs(0));
    let check = side.health_check.as_ref().unwrap();
    assert_eq!((check.interval, check.timeout, check.retries), (secs(10), secs(2), 5));
    assert_eq!(check.start_period, secs(7));
    let restart = web.restart.as_ref().unwrap();
    assert_eq!((&restart.ignored_exit_codes[..], restart.attempt_period), (&[3][..], secs(300)));
    assert_eq!((web.start_timeout, web.stop_timeout), (Some(secs(20)), secs(5)));
    assert_eq!((side.start_timeout, side.stop_timeout), (None, secs(30)));
    let ports: Vec<_> = web.ports.iter().map(|it| (it.container_port, it.host_port)).collect();
    assert_eq!(ports, [(80, 0), (90, 0)]);
    assert_eq!(web.ports[1].range.map(|range| (range.first, range.last)), Some((90, 91)));
    let names = &web.names;
    assert_eq!(names.hostname.as_deref(), Some("h"));
    assert_eq!((&names.dns_servers[0][..], &names.dns_search_domains[0][..]), ("10.0.0.2", "example.com"));
    assert_eq!(names.extra_hosts, [("a".into(), "10.0.0.3".into())]);
    assert_eq!((names.links[0].container.as_str(), names.links[0].alias.as_str()), ("side", "db"));
    let mount = &web.mounts[0];
    assert_eq!((mount.volume.as_str(), mount.path.as_str(), mount.is_read_only), ("data", "/data", true));
    assert_eq!((web.volumes_from[0].container.as_str(), web.volumes_from[0].is_read_only), ("side", true));
    assert_eq!(told.volumes[0].source, VolumeSource::Task);
    assert_eq!(told.volumes[1].source, VolumeSource::Host("/srv".into()));
    let (options, labels) = (map(&[]).unwrap(), map(&[("l", "1")]).unwrap());
    assert_eq!(told.volumes[2].source, VolumeSource::Shared { is_provisioned: true, options, labels });
}

fn confined() -> aws::ContainerDefinition {
    aws::ContainerDefinition {
        memory: Some(64),
        privileged: Some(true),
        pseudo_terminal: Some(true),
        interactive: Some(true),
        docker_security_options: text(&["no-new-privileges"]),
        docker_labels: map(&[("a", "b")]),
        system_controls: Some(vec![aws::SystemControl {
            namespace: Some("net.core.somaxconn".into()),
            value: Some("99".into()),
        }]),
        ulimits: Some(vec![aws::Ulimit { name: "core".into(), soft_limit: 0, hard_limit: -1 }]),
        linux_parameters: Some(aws::LinuxParameters {
            capabilities: Some(aws::KernelCapabilities { add: text(&["NET_ADMIN"]), drop: text(&["ALL"]) }),
            devices: Some(vec![
                aws::Device { host_path: "/dev/fuse".into(), ..Default::default() },
                aws::Device {
                    host_path: "/dev/kvm".into(),
                    container_path: Some("/dev/k".into()),
                    permissions: text(&["read", "mknod"]),
                },
            ]),
            init_process_enabled: Some(true),
            shared_memory_size: Some(128),
            tmpfs: Some(vec![aws::Tmpfs {
                container_path: "/t".into(),
                size: 3,
                mount_options: text(&["noexec", "mode=700"]),
            }]),
            max_swap: Some(0),
            swappiness: Some(10),
        }),
        ..container("web")
    }
}

#[test]
fn settings_of_the_kernel_reach_the_host() {
    let mut world = World::furnished();
    join(&mut world, 1024, 1024, &[]);
    let mut request = plain("app");
    request.container_definitions[0] = confined();
    request.pid_mode = Some("task".into());
    request.ipc_mode = Some("none".into());
    let (_, told) = run(&mut world, request);
    assert_eq!((told.pid_mode, told.ipc_mode), (Namespace::Task, Namespace::None));
    let linux = &told.containers[0].linux;
    assert_eq!((&linux.capabilities_add[0][..], &linux.capabilities_drop[0][..]), ("NET_ADMIN", "ALL"));
    let devices: Vec<_> = linux
        .devices
        .iter()
        .map(|it| format!("{} {} {}", it.host_path, it.container_path, it.permissions))
        .collect();
    assert_eq!(devices, ["/dev/fuse /dev/fuse rwm", "/dev/kvm /dev/k rm"]);
    assert!(linux.has_init && linux.is_privileged && linux.has_terminal && linux.is_interactive);
    assert_eq!(
        (linux.shared_memory_mib, linux.max_swap_mib, linux.swappiness),
        (Some(128), Some(0), Some(10))
    );
    let tmpfs = &linux.tmpfs[0];
    assert_eq!((tmpfs.path.as_str(), tmpfs.size_mib, tmpfs.options.len()), ("/t", 3, 2));
    assert_eq!(linux.security_options, ["no-new-privileges"]);
    assert_eq!(linux.system_controls["net.core.somaxconn"], "99");
    let limit = &told.containers[0].ulimits[..];
    assert_eq!((limit.len(), limit[0].name.as_str(), limit[0].hard), (1, "core", u64::MAX));
    assert_eq!(told.containers[0].labels["a"], "b");
}

#[test]
fn a_task_on_an_instance_has_what_fargate_gives_by_itself_not() {
    let mut world = World::furnished();
    let instance = join(&mut world, 1024, 1024, &[]);
    let (task, told) = run(&mut world, plain("app"));
    assert_eq!(told.launch_type, LaunchType::Ec2);
    assert_eq!(told.container_instance.as_ref(), Some(&instance));
    assert_eq!((told.network_mode, told.interface.is_none()), (NetworkMode::Bridge, true));
    assert_eq!((told.cpu_units, told.memory_mib, told.ephemeral_storage_gib), (None, None, None));
    assert!(told.containers[0].ulimits.is_empty());
    assert_eq!((told.zone.as_str(), told.architecture.as_str()), ("us-east-1a", "X86_64"));

    assert_eq!(task.container_instance_arn, Some(instance));
    assert_eq!((task.launch_type.as_deref(), task.attachments), (Some("EC2"), Some(vec![])));
    assert_eq!((task.platform_version, task.platform_family, task.ephemeral_storage), (None, None, None));
    assert_eq!((task.cpu.as_deref(), task.memory.as_deref()), (Some("0"), Some("128")));
    assert_eq!(task.containers.unwrap()[0].network_interfaces, Some(vec![]));
}

/// The instance decides where the definition does not; else it must have what the definition names.
#[test]
fn architectures_of_tasks() {
    for (instance, named, expected) in [
        ("arm64", None, Some("ARM64")),
        ("arm64", Some("ARM64"), Some("ARM64")),
        ("arm64", Some("X86_64"), None),
        ("x86_64", None, Some("X86_64")),
    ] {
        let mut world = World::furnished();
        join_as(&mut world, 1024, 1024, &[], instance);
        let mut request = plain("app");
        request.runtime_platform = named.map(|name| aws::RuntimePlatform {
            cpu_architecture: Some(name.into()),
            operating_system_family: None,
        });
        let Some(expected) = expected else {
            world.call::<op::RegisterTaskDefinition>(request).unwrap();
            let request = aws::RunTaskRequest {
                cluster: Some("main".into()),
                task_definition: "app".into(),
                ..Default::default()
            };
            let failures = world.call::<op::RunTask>(request).unwrap().failures.unwrap();
            assert_eq!(failures[0].reason.as_deref(), Some("ATTRIBUTE"));
            continue;
        };
        let (task, told) = run(&mut world, request);
        assert_eq!(told.architecture, expected);
        let shown = task.attributes.unwrap()[0].value.clone();
        assert_eq!(shown, Some(expected.to_ascii_lowercase()));
    }
}

#[test]
fn fargate_gives_room_on_disk_and_open_files() {
    let mut world = World::furnished();
    let mut request = definition("app");
    request.enable_fault_injection = Some(true);
    request.task_role_arn = Some(ROLE.into());
    world.call::<op::RegisterTaskDefinition>(request).unwrap();
    let storage = Some(aws::EphemeralStorage { size_in_gi_b: 50 });
    let overrides = aws::TaskOverride { ephemeral_storage: storage.clone(), ..Default::default() };
    let request = aws::RunTaskRequest {
        overrides: Some(overrides),
        enable_execute_command: Some(true),
        reference_id: Some("r".into()),
        ..run_request()
    };
    let task = world.call::<op::RunTask>(request).unwrap().tasks.unwrap().remove(0);
    assert_eq!(task.ephemeral_storage, storage);
    assert_eq!(task.fargate_ephemeral_storage.unwrap().size_in_gi_b, Some(50));
    assert_eq!(task.enable_execute_command, Some(true));
    let agent = task.containers.unwrap()[0].managed_agents.clone().unwrap().remove(0);
    assert_eq!(
        (agent.name.as_deref(), agent.last_status.as_deref()),
        (Some("ExecuteCommandAgent"), Some("PENDING"))
    );
    let Order::Run(told) = &world.settle()[0].order else { panic!() };
    assert_eq!((told.launch_type, told.ephemeral_storage_gib), (LaunchType::Fargate, Some(50)));
    assert!(told.enable_fault_injection && told.enable_execute_command);
    assert_eq!(told.zone, task.availability_zone.unwrap());
    assert_eq!(told.containers[0].ulimits[0].name, "nofile");

    world.call::<op::RunTask>(run_request()).unwrap();
    let Order::Run(told) = &world.settle()[0].order else { panic!() };
    assert_eq!(told.ephemeral_storage_gib, Some(20));
}

#[test]
fn networks_of_instances() {
    let mut world = World::furnished();
    join(&mut world, 1024, 1024, &[]);
    let request = Definition { network_mode: Some("awsvpc".into()), ..plain("vpc") };
    world.call::<op::RegisterTaskDefinition>(request).unwrap();
    world.call::<op::RegisterTaskDefinition>(plain("app")).unwrap();
    let ask = |family: &str, change: fn(&mut aws::RunTaskRequest)| {
        let mut request = aws::RunTaskRequest {
            task_definition: family.into(),
            launch_type: Some("EC2".into()),
            ..run_request()
        };
        change(&mut request);
        request
    };
    let task = world.call::<op::RunTask>(ask("vpc", |_| {})).unwrap().tasks.unwrap().remove(0);
    assert_eq!(task.attachments.unwrap().len(), 1);
    let Order::Run(told) = &world.settle()[0].order else { panic!() };
    assert!(told.interface.is_some() && told.network_mode == NetworkMode::Awsvpc);

    let message = "Network Configuration is not valid for the given networkMode of this task definition.";
    refused(world.call::<op::RunTask>(ask("app", |_| {})), INVALID, message);
    let message = "Network Configuration must be provided when networkMode 'awsvpc' is specified.";
    refused(world.call::<op::RunTask>(ask("vpc", |r| r.network_configuration = None)), INVALID, message);
    let public = ask("vpc", |request| {
        let mut network = network(&peers::SUBNETS);
        network.awsvpc_configuration.as_mut().unwrap().assign_public_ip = Some("ENABLED".into());
        request.network_configuration = Some(network);
    });
    refused(
        world.call::<op::RunTask>(public),
        INVALID,
        "Assign public IP is not supported for this launch type.",
    );
    let platform = ask("vpc", |request| request.platform_version = Some("LATEST".into()));
    let message = "The platform version must be null when specifying an EC2 launch type.";
    refused(world.call::<op::RunTask>(platform), INVALID, message);
    let message = "Task definition does not support launch_type FARGATE.";
    refused(
        world.call::<op::RunTask>(ask("app", |r| r.launch_type = Some("FARGATE".into()))),
        INVALID,
        message,
    );
}

fn run_request_of(family: &str) -> aws::RunTaskRequest {
    aws::RunTaskRequest { task_definition: family.into(), ..run_request() }
}

#[test]
fn what_finds_no_room_is_a_failure() {
    let mut world = World::furnished();
    let instance = join(&mut world, 1024, 300, &[]);
    world.call::<op::RegisterTaskDefinition>(plain("app")).unwrap();
    let request = aws::RunTaskRequest {
        cluster: Some("main".into()),
        task_definition: "app".into(),
        count: Some(5),
        ..Default::default()
    };
    world.call::<op::RegisterTaskDefinition>(definition("other")).unwrap();
    let answer = world.call::<op::RunTask>(request.clone()).unwrap();
    assert_eq!(answer.tasks.unwrap().len(), 2);
    world.call::<op::RunTask>(run_request_of("other")).unwrap();
    let mut list = |change: &dyn Fn(&mut aws::ListTasksRequest)| {
        let mut request = aws::ListTasksRequest { cluster: Some("main".into()), ..Default::default() };
        change(&mut request);
        world.call::<op::ListTasks>(request).map(|answer| answer.task_arns.unwrap().len())
    };
    assert_eq!(list(&|_| {}), Ok(3));
    assert_eq!(list(&|request| request.container_instance = Some(instance.clone())), Ok(2));
    assert_eq!(list(&|request| request.launch_type = Some("EC2".into())), Ok(2));
    assert_eq!(list(&|request| request.launch_type = Some("FARGATE".into())), Ok(1));
    let unknown = list(&|request| request.container_instance = Some("0".repeat(32)));
    refused(unknown, INVALID, "The referenced container instance was not found.");

    let failures = answer.failures.unwrap();
    assert_eq!(failures.len(), 1);
    assert_eq!(
        (failures[0].arn.as_ref(), failures[0].reason.as_deref()),
        (Some(&instance), Some("RESOURCE:MEMORY"))
    );

    let other = aws::CreateClusterRequest { cluster_name: Some("empty".into()), ..Default::default() };
    world.call::<op::CreateCluster>(other).unwrap();
    let request = aws::RunTaskRequest { cluster: Some("empty".into()), ..request };
    let message = "No Container Instances were found in your cluster.";
    refused(world.call::<op::RunTask>(request), INVALID, message);
}

#[test]
fn each_device_is_one_containers() {
    let mut world = World::furnished();
    join(&mut world, 1024, 1024, &["g0", "g1", "g2"]);
    let mut request = plain("app");
    for (nth, count) in [(0, "2"), (1, "1")] {
        let need = aws::ResourceRequirement {
            value: Some(count.into()),
            r#type: "GPU".into(),
            ..Default::default()
        };
        request.container_definitions[nth].resource_requirements = Some(vec![need]);
    }
    let (task, told) = run(&mut world, request);
    assert_eq!(told.containers[0].linux.gpus, ["g0", "g1"]);
    assert_eq!(told.containers[1].linux.gpus, ["g2"]);
    assert_eq!(task.containers.unwrap()[1].gpu_ids, text(&["g2"]));
    let request = aws::RunTaskRequest {
        cluster: Some("main".into()),
        task_definition: "app".into(),
        ..Default::default()
    };
    let failures = world.call::<op::RunTask>(request).unwrap().failures.unwrap();
    assert_eq!(failures[0].reason.as_deref(), Some("RESOURCE:GPU"));
}

#[test]
fn log_drivers_reach_the_host() {
    let mut world = World::furnished();
    join(&mut world, 4096, 4096, &[]);
    let mut told = |driver: &str, options: &[(&str, &str)]| {
        let mut request = plain("app");
        request.container_definitions[0].log_configuration = Some(aws::LogConfiguration {
            log_driver: driver.into(),
            options: map(options),
            secret_options: None,
        });
        run(&mut world, request).1.containers[0].logging.clone()
    };
    let group = [("awslogs-group", "g"), ("awslogs-region", "eu-west-1")];
    let logging =
        told("awslogs", &[group[0], group[1], ("awslogs-datetime-format", "%Y"), ("mode", "blocking")]);
    let target = logging.awslogs().unwrap();
    assert_eq!(
        (target.region.as_str(), &target.multiline),
        ("eu-west-1", &Some(Multiline::Datetime("%Y".into())))
    );
    assert_eq!(logging.buffer_bytes, None);
    let logging = told("awslogs", &[group[0], group[1], ("awslogs-multiline-pattern", "^a")]);
    assert_eq!(logging.awslogs().unwrap().multiline, Some(Multiline::Pattern("^a".into())));
    assert_eq!(logging.buffer_bytes, Some(10 << 20));
    let logging =
        told("json-file", &[("max-size", "1m"), ("max-file", "3"), ("compress", "true"), ("tag", "t")]);
    let expected = LogDriver::JsonFile {
        max_bytes: Some(1 << 20),
        max_files: 3,
        is_compressed: true,
        options: map(&[("tag", "t")]).unwrap(),
    };
    assert_eq!((logging.driver, logging.buffer_bytes), (expected, None));
    let address = [("syslog-address", "udp://10.0.0.1:514")];
    let logging = told("syslog", &[address[0], ("mode", "non-blocking"), ("max-buffer-size", "1k")]);
    assert_eq!(
        (logging.driver, logging.buffer_bytes),
        (LogDriver::Syslog(map(&address).unwrap()), Some(1024))
    );
    let address = [("fluentd-address", "tcp://10.0.0.1:24224")];
    assert_eq!(told("fluentd", &address).driver, LogDriver::Fluentd(map(&address).unwrap()));
    assert_eq!(told("none", &[]).driver, LogDriver::None);
}

fn seen(name: &str, health: Option<HealthStatus>, now: base::Timestamp) -> ContainerObservation {
    let health = health.map(|status| Health { status, since: now, exit_code: None, output: String::new() });
    ContainerObservation { name: name.into(), started_at: Some(now), health, ..Default::default() }
}

#[test]
fn health_of_containers_and_their_task() {
    use HealthStatus::{Healthy, Unhealthy, Unknown};
    let mut world = World::furnished();
    let mut request = definition("app");
    let checked = |name: &str, essential| aws::ContainerDefinition {
        essential: Some(essential),
        health_check: Some(aws::HealthCheck {
            command: vec!["CMD".into(), "x".into()],
            ..Default::default()
        }),
        ..container(name)
    };
    request.container_definitions =
        vec![checked("web", true), checked("db", true), checked("side", false), container("plain")];
    world.call::<op::RegisterTaskDefinition>(request).unwrap();
    let arn = world.call::<op::RunTask>(run_request()).unwrap().tasks.unwrap().remove(0).task_arn.unwrap();
    world.settle();
    for (web, db, side, expected) in [
        (Unknown, Unknown, Unknown, "UNKNOWN"),
        (Healthy, Unknown, Healthy, "UNKNOWN"),
        (Healthy, Healthy, Unhealthy, "HEALTHY"),
        (Healthy, Unhealthy, Healthy, "UNHEALTHY"),
        (Unknown, Unhealthy, Healthy, "UNHEALTHY"),
    ] {
        let now = world.platform.clock().now();
        let containers = vec![
            seen("web", Some(web), now),
            seen("db", Some(db), now),
            seen("side", Some(side), now),
            seen("plain", None, now),
        ];
        world.observe(&arn, 1, Observation { phase: Phase::Running, containers, ..Default::default() });
        let task = world.describe(&arn);
        assert_eq!(task.health_status.as_deref(), Some(expected), "{web:?} {db:?} {side:?}");
        let shown: Vec<_> =
            task.containers.unwrap().into_iter().map(|container| container.health_status.unwrap()).collect();
        assert_eq!(shown[3], "UNKNOWN");
        assert_eq!(shown[1], format!("{db:?}").to_ascii_uppercase());
    }
}

#[test]
fn ports_that_the_host_chose_are_shown() {
    let mut world = World::furnished();
    join(&mut world, 1024, 1024, &[]);
    let (task, _) = run(&mut world, plain("app"));
    let arn = task.task_arn.unwrap();
    let now = world.platform.clock().now();
    let binding = |container_port, host_port, last| Binding {
        bind_ip: "0.0.0.0".into(),
        container_port,
        host_port,
        protocol: "tcp".into(),
        last,
    };
    let bindings = vec![binding(80, 32_768, None), binding(90, 40_000, Some((91, 40_001)))];
    let containers = vec![ContainerObservation { bindings, ..seen("web", None, now) }];
    world.observe(&arn, 1, Observation { phase: Phase::Running, containers, ..Default::default() });
    let web = world.describe(&arn).containers.unwrap().remove(0);
    let shown = web.network_bindings.unwrap();
    assert_eq!((shown[0].container_port, shown[0].host_port), (Some(80), Some(32_768)));
    assert_eq!(shown[1].container_port_range.as_deref(), Some("90-91"));
    assert_eq!(shown[1].host_port_range.as_deref(), Some("40000-40001"));
}

/// Tasks may call the API, and may not use it to get at the host.
#[test]
fn a_task_may_not_ask_for_the_host() {
    let mut world = World::furnished();
    join(&mut world, 1024, 1024, &[]);
    type Change = fn(&mut Definition);
    let table: [(&str, Change); 6] = [
        ("privileged containers", |d| d.container_definitions[0].privileged = Some(true)),
        ("host paths", |d| {
            let host = Some(aws::HostVolumeProperties { source_path: Some("/".into()) });
            d.volumes = Some(vec![aws::Volume { name: Some("v".into()), host, ..Default::default() }]);
        }),
        ("networkMode host", |d| d.network_mode = Some("host".into())),
        ("pidMode host", |d| d.pid_mode = Some("host".into())),
        ("ipcMode host", |d| d.ipc_mode = Some("host".into())),
        ("added capabilities", |d| {
            d.container_definitions[0] = aws::ContainerDefinition {
                privileged: None,
                docker_security_options: None,
                linux_parameters: Some(aws::LinuxParameters {
                    capabilities: Some(aws::KernelCapabilities { add: text(&["SYS_ADMIN"]), drop: None }),
                    ..Default::default()
                }),
                ..confined()
            }
        }),
    ];
    for (what, change) in table {
        let mut request = plain("app");
        change(&mut request);
        world.call::<op::RegisterTaskDefinition>(request).unwrap();
        let origin = Origin::Task { vpc: "vpc-main".into(), address: [172, 31, 0, 4].into() };
        let caller = Caller { origin, ..World::caller() };
        let request = aws::RunTaskRequest {
            cluster: Some("main".into()),
            task_definition: "app".into(),
            ..Default::default()
        };
        let same = request.clone();
        let answer =
            world.wait(|platform| async move { platform.call::<op::RunTask>(caller, request).await });
        let message =
            format!("A task may not ask for {what}: only the operator may run what reaches the host.");
        refused(answer, "AccessDeniedException", &message);
        assert_eq!(world.call::<op::RunTask>(same).unwrap().tasks.unwrap().len(), 1, "{what}");
    }
}

#[test]
fn the_account_says_whether_logs_block() {
    let mut world = World::furnished();
    let mut request = definition("app");
    request.execution_role_arn = Some(ROLE.into());
    let options =
        map(&[("awslogs-group", "g"), ("awslogs-region", "us-east-1"), ("awslogs-stream-prefix", "p")]);
    request.container_definitions[0].log_configuration =
        Some(aws::LogConfiguration { log_driver: "awslogs".into(), options, secret_options: None });
    world.call::<op::RegisterTaskDefinition>(request).unwrap();
    for (value, expected) in [("blocking", None), ("non-blocking", Some(10 << 20))] {
        let setting = aws::PutAccountSettingRequest {
            name: "defaultLogDriverMode".into(),
            value: value.into(),
            principal_arn: None,
        };
        world.call::<op::PutAccountSetting>(setting).unwrap();
        world.call::<op::RunTask>(run_request()).unwrap();
        let Order::Run(told) = &world.settle()[0].order else { panic!() };
        assert_eq!(told.containers[0].logging.buffer_bytes, expected, "{value}");
    }
}

#[test]
fn room_on_disk_is_not_an_instances_to_give() {
    let mut world = World::furnished();
    join(&mut world, 1024, 1024, &[]);
    world.call::<op::RegisterTaskDefinition>(plain("app")).unwrap();
    let ephemeral_storage = Some(aws::EphemeralStorage { size_in_gi_b: 30 });
    let request = aws::RunTaskRequest {
        cluster: Some("main".into()),
        task_definition: "app".into(),
        overrides: Some(aws::TaskOverride { ephemeral_storage, ..Default::default() }),
        ..Default::default()
    };
    let message = "Tasks using the EC2 launch type do not support EphemeralStorage.";
    refused(world.call::<op::RunTask>(request), crate::world::CLIENT, message);
}

/// Neither scope heeds what a volume driver is told.
#[test]
fn options_of_a_volume_driver_are_refused() {
    for scope in ["task", "shared"] {
        let mut world = World::furnished();
        join(&mut world, 1024, 1024, &[]);
        let docker = aws::DockerVolumeConfiguration {
            scope: Some(scope.into()),
            driver_opts: map(&[("type", "tmpfs")]),
            ..Default::default()
        };
        let volume = aws::Volume {
            name: Some("v".into()),
            docker_volume_configuration: Some(docker),
            ..Default::default()
        };
        let request = Definition { volumes: Some(vec![volume]), ..plain("app") };
        world.call::<op::RegisterTaskDefinition>(request).unwrap();
        let request = aws::RunTaskRequest {
            cluster: Some("main".into()),
            task_definition: "app".into(),
            ..Default::default()
        };
        let message =
            "volumes.dockerVolumeConfiguration.driverOpts (volume 'v') is not supported by Boxship yet.";
        refused(world.call::<op::RunTask>(request), INVALID, message);
    }
}
