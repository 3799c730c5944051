//! What a definition may not say: of Fargate, of logs, of the kernel, of modes.

use aws_ecs as aws;
use aws_ecs::ContainerDefinition;
use aws_ecs::op;

use crate::definition::{Request, check, check_ec2, first, port, register};
use crate::world::{CLIENT, World, container, definition};

fn linux(change: impl FnOnce(&mut aws::LinuxParameters)) -> Option<aws::LinuxParameters> {
    let mut linux = aws::LinuxParameters::default();
    change(&mut linux);
    Some(linux)
}

fn added(capability: &str) -> Option<aws::LinuxParameters> {
    let capabilities = aws::KernelCapabilities { add: Some(vec![capability.into()]), drop: None };
    linux(|linux| linux.capabilities = Some(capabilities))
}

fn volume(change: impl FnOnce(&mut aws::Volume)) -> Option<Vec<aws::Volume>> {
    let mut volume = aws::Volume { name: Some("v".into()), ..Default::default() };
    change(&mut volume);
    Some(vec![volume])
}

fn gpu(value: &str) -> Option<Vec<aws::ResourceRequirement>> {
    let (value, r#type) = (Some(value.into()), "GPU".into());
    Some(vec![aws::ResourceRequirement { value, r#type, sharing_strategy: None }])
}

/// What Fargate has not, and EC2 has: the same definition is taken without FARGATE.
#[test]
fn fargate_refuses_what_ec2_takes() {
    type Change = fn(&mut Request);
    let table: [(&str, Change); 13] = [
        ("Fargate requires that the 'privileged' setting be 'false'.", |r| first(r).privileged = Some(true)),
        ("SYS_ADMIN is not allowed on Fargate.", |r| first(r).linux_parameters = added("SYS_ADMIN")),
        ("Fargate compatible task definitions do not support devices", |r| {
            let device = aws::Device { host_path: "/dev/fuse".into(), ..Default::default() };
            first(r).linux_parameters = linux(|linux| linux.devices = Some(vec![device]));
        }),
        ("Fargate compatible task definitions do not support tmpfs", |r| {
            let tmpfs = aws::Tmpfs { container_path: "/t".into(), size: 1, mount_options: None };
            first(r).linux_parameters = linux(|linux| linux.tmpfs = Some(vec![tmpfs]));
        }),
        ("Fargate compatible task definitions do not support sharedMemorySize", |r| {
            first(r).linux_parameters = linux(|linux| linux.shared_memory_size = Some(1));
        }),
        ("Fargate compatible task definitions do not support maxSwap", |r| {
            first(r).linux_parameters = linux(|linux| linux.max_swap = Some(1));
        }),
        ("Fargate compatible task definitions do not support swappiness", |r| {
            first(r).linux_parameters = linux(|linux| linux.swappiness = Some(1));
        }),
        ("Fargate compatible task definitions do not support dockerSecurityOptions", |r| {
            first(r).docker_security_options = Some(vec!["no-new-privileges".into()]);
        }),
        ("Tasks using the Fargate launch type do not support GPU resource requirements.", |r| {
            first(r).resource_requirements = gpu("1");
        }),
        (
            "Tasks using the Fargate launch type do not support ulimit core. The supported ulimit is 'nofile'.",
            |r| {
                first(r).ulimits =
                    Some(vec![aws::Ulimit { name: "core".into(), soft_limit: 1, hard_limit: 1 }]);
            },
        ),
        (
            "Tasks using the Fargate launch type must have a container stop timeout of less than 120 seconds.",
            |r| first(r).stop_timeout = Some(121),
        ),
        (
            "Tasks using the Fargate launch type must have a container start timeout of less than 120 seconds.",
            |r| first(r).start_timeout = Some(121),
        ),
        ("fluentd is not a valid log driver. Must be one of [awslogs, splunk, awsfirelens]", |r| {
            first(r).log_configuration =
                Some(aws::LogConfiguration { log_driver: "fluentd".into(), ..Default::default() });
        }),
    ];
    for (message, change) in table {
        check_fargate(message, change);
    }
}

/// The same of what a task says.
#[test]
fn fargate_refuses_modes_and_volumes_that_ec2_takes() {
    type Change = fn(&mut Request);
    let table: [(&str, Change); 5] = [
        (
            "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value for pidMode is \
             'task'.",
            |r| r.pid_mode = Some("host".into()),
        ),
        ("Tasks using the Fargate launch type do not support ipcMode.", |r| r.ipc_mode = Some("task".into())),
        ("Fargate compatible task definitions do not support sourcePath", |r| {
            let host = aws::HostVolumeProperties { source_path: Some("/srv".into()) };
            r.volumes = volume(|v| v.host = Some(host));
        }),
        ("Fargate compatible task definitions do not support dockerVolumeConfiguration", |r| {
            r.volumes = volume(|v| v.docker_volume_configuration = Some(Default::default()));
        }),
        ("Fargate compatible task definitions do not support constraints", |r| {
            let (r#type, expression) = (Some("memberOf".into()), Some("a == b".into()));
            r.placement_constraints =
                Some(vec![aws::TaskDefinitionPlacementConstraint { r#type, expression }]);
        }),
    ];
    for (message, change) in table {
        check_fargate(message, change);
    }
}

/// Refused for Fargate, and taken where the definition asks for EC2.
#[track_caller]
fn check_fargate(message: &str, change: fn(&mut Request)) {
    check(message, change);
    let mut request = definition("app");
    request.requires_compatibilities = Some(vec!["EC2".into()]);
    change(&mut request);
    let found = register(&mut World::new(), request);
    assert_eq!(found.compatibilities.as_deref(), Some(&["EC2".into()][..]), "{message}");
}

#[test]
fn room_on_disk_is_fargates() {
    let storage = |gib| Some(aws::EphemeralStorage { size_in_gi_b: gib });
    check("EphemeralStorage size should be at least 21", |r| r.ephemeral_storage = storage(20));
    check("EphemeralStorage size should be at most 200", |r| r.ephemeral_storage = storage(201));
    check("Tasks using the EC2 launch type do not support EphemeralStorage.", |r| {
        r.requires_compatibilities = Some(vec!["EC2".into()]);
        r.ephemeral_storage = storage(30);
    });
    let request = Request { ephemeral_storage: storage(200), ..definition("app") };
    assert_eq!(register(&mut World::new(), request).ephemeral_storage, storage(200));
}

#[test]
fn logs_have_their_rules() {
    let group = [("awslogs-group", "g"), ("awslogs-region", "r")];
    let awslogs = |more: &[(&'static str, &'static str)]| [&group[..], more].concat();
    type Pairs = Vec<(&'static str, &'static str)>;
    let table: [(&str, &str, Pairs); 12] = [
        ("Log driver awslogs requires options: awslogs-region, awslogs-group", "awslogs", vec![]),
        (
            "Log driver awslogs: options 'awslogs-multiline-pattern' and 'awslogs-datetime-format' exclude each other.",
            "awslogs",
            awslogs(&[("awslogs-multiline-pattern", "^a"), ("awslogs-datetime-format", "%Y")]),
        ),
        ("Log driver awslogs disallows options: max-size", "awslogs", awslogs(&[("max-size", "1m")])),
        (
            "Log driver awslogs: option 'mode' must be blocking or non-blocking.",
            "awslogs",
            awslogs(&[("mode", "both")]),
        ),
        (
            "Log driver awslogs: option 'max-buffer-size' must be a size such as 512k or 25m.",
            "awslogs",
            awslogs(&[("max-buffer-size", "much")]),
        ),
        (
            "Log driver awslogs: option 'awslogs-create-group' must be true or false.",
            "awslogs",
            awslogs(&[("awslogs-create-group", "1")]),
        ),
        ("Log driver json-file disallows options: awslogs-group", "json-file", vec![("awslogs-group", "g")]),
        (
            "Log driver json-file: option 'max-file' must be a positive number.",
            "json-file",
            vec![("max-file", "0")],
        ),
        (
            "Log driver json-file: option 'max-size' must be a size such as 512k or 25m.",
            "json-file",
            vec![("max-size", "x")],
        ),
        (
            "Log driver syslog: option 'syslog-format' must be rfc3164, rfc5424 or rfc5424micro.",
            "syslog",
            vec![("syslog-format", "x")],
        ),
        (
            "Log driver syslog: option 'syslog-address' must be an address such as udp://host:514, tcp://host:601 or \
             unix:///dev/log.",
            "syslog",
            vec![("syslog-address", "host")],
        ),
        (
            "Log driver fluentd: option 'fluentd-address' must be an address such as host:24224, tcp://host:24224 or \
             unix:///path.",
            "fluentd",
            vec![("fluentd-address", "http://host")],
        ),
    ];
    for (message, driver, options) in table {
        check_ec2(message, |request| {
            let options = options.iter().map(|(name, value)| (String::from(*name), String::from(*value)));
            first(request).log_configuration = Some(aws::LogConfiguration {
                log_driver: driver.into(),
                options: Some(options.collect()),
                secret_options: None,
            });
        });
    }
}

#[test]
fn settings_of_the_kernel_have_their_rules() {
    check_ec2("Invalid capability 'CAP_SYS_ADMIN'.", |r| first(r).linux_parameters = added("CAP_SYS_ADMIN"));
    check_ec2("Invalid linuxParameters for container 'web': swappiness must be between 0 and 100.", |r| {
        first(r).linux_parameters = linux(|linux| linux.swappiness = Some(101));
    });
    check_ec2("Invalid tmpfs mount option 'fast'.", |r| {
        let mount_options = Some(vec!["fast".into()]);
        let tmpfs = aws::Tmpfs { container_path: "/t".into(), size: 1, mount_options };
        first(r).linux_parameters = linux(|linux| linux.tmpfs = Some(vec![tmpfs]));
    });
    let control = |namespace: &str| {
        let (namespace, value) = (Some(namespace.into()), Some("1".into()));
        Some(vec![aws::SystemControl { namespace, value }])
    };
    check_ec2(
        "Invalid systemControls for container 'web': only net.*, fs.mqueue.* and the kernel's IPC settings are \
         supported.",
        |r| first(r).system_controls = control("kernel.panic"),
    );
    check_ec2(
        "Invalid systemControls for container 'web': network settings are not supported when networkMode=host.",
        |r| {
            r.network_mode = Some("host".into());
            first(r).system_controls = control("net.core.somaxconn");
        },
    );
    check_ec2("The GPU resource requirement of container 'web' must be a positive number.", |r| {
        first(r).resource_requirements = gpu("none");
    });
    check_ec2("Invalid IP address 'nowhere' in extraHosts of container 'web'.", |r| {
        first(r).extra_hosts =
            Some(vec![aws::HostEntry { hostname: "h".into(), ip_address: "nowhere".into() }]);
    });
}

#[test]
fn a_definition_has_a_length() {
    let mut request = definition("app");
    first(&mut request).command = Some(vec!["x".repeat(70_000)]);
    let fault = World::new().call::<op::RegisterTaskDefinition>(request).unwrap_err();
    assert_eq!(fault.code, CLIENT);
    assert!(fault.message.ends_with("Max allowed length is '65536' bytes."), "{}", fault.message);
}

#[test]
fn modes_have_their_rules() {
    check_ec2("Links are not supported when networkMode=host.", |r| {
        r.network_mode = Some("host".into());
        first(r).links = Some(vec!["web".into()]);
    });
    check_ec2("Invalid 'links' setting. Unknown container: 'ghost'", |r| {
        first(r).links = Some(vec!["ghost:alias".into()]);
    });
    check_ec2("Port mappings are not supported on container when networkMode=none.", |r| {
        r.network_mode = Some("none".into());
        first(r).port_mappings = Some(vec![port(80, None)]);
    });
    check_ec2("Port ranges are not supported when networkMode=host.", |r| {
        r.network_mode = Some("host".into());
        let range = Some("80-81".into());
        first(r).port_mappings =
            Some(vec![aws::PortMapping { container_port_range: range, ..Default::default() }]);
    });
    check_ec2("host port is used multiple times in task: 80/tcp", |r| {
        first(r).port_mappings = Some(vec![port(80, Some(80)), port(81, Some(80))]);
    });
    check_ec2("port mapping name is already used: 'http'", |r| {
        let named = |number| aws::PortMapping { name: Some("http".into()), ..port(number, None) };
        first(r).port_mappings = Some(vec![named(80), named(81)]);
    });
    check_ec2("Fault injection is not supported when networkMode=bridge: it takes awsvpc or host.", |r| {
        r.enable_fault_injection = Some(true);
    });
    check_ec2("Docker volume configuration of volume 'v': autoprovision needs scope 'shared'.", |r| {
        let docker = aws::DockerVolumeConfiguration { autoprovision: Some(true), ..Default::default() };
        r.volumes = volume(|v| v.docker_volume_configuration = Some(docker));
    });
    check_ec2("the 'ignoredExitCodes' setting for container 'web' can have at most 50 codes", |r| {
        first(r).restart_policy = Some(aws::ContainerRestartPolicy {
            enabled: true,
            ignored_exit_codes: Some((0..51).collect()),
            ..Default::default()
        });
    });
    for cpu in ["127", "196609", "0.1 vCPU"] {
        check_ec2("Invalid 'cpu' setting for task.", |r| r.cpu = Some(cpu.into()));
    }
    check_ec2("Granular stop timeout on container 'web' must be at least 2 seconds.", |r| {
        first(r).stop_timeout = Some(1);
    });
    check_ec2(
        "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
        |r| first(r).secrets = Some(vec![aws::Secret { name: "A".into(), value_from: "b".into() }]),
    );
    check_ec2("Container dependencies should not have a cycle.", |r| {
        let from =
            |name: &str| Some(vec![aws::VolumeFrom { source_container: Some(name.into()), read_only: None }]);
        first(r).volumes_from = from("b");
        let other = ContainerDefinition { volumes_from: from("web"), memory: Some(64), ..container("b") };
        r.container_definitions.push(other);
    });
}
