//! What a definition can run on, what it asks of an instance, and what our instances can do.

use std::collections::BTreeSet;

use super::check::is_ecr_image;
use super::fargate;
use crate::state::container::ContainerDefinition;
use crate::state::definition::Spec;

/// Attributes that an instance of ours registers, beside `docker-remote-api` and the log drivers.
/// What nothing acts on yet is not among them, so that such a task is not placed.
const OURS: [&str; 18] = [
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.privileged-container",
    "com.amazonaws.ecs.capability.task-iam-role",
    "com.amazonaws.ecs.capability.task-iam-role-network-host",
    "ecs.capability.container-health-check",
    "ecs.capability.container-ordering",
    "ecs.capability.container-port-range",
    "ecs.capability.container-restart-policy",
    "ecs.capability.docker-plugin.local",
    "ecs.capability.execute-command",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.execution-role-ecr-pull",
    "ecs.capability.fault-injection",
    "ecs.capability.full-sync",
    "ecs.capability.increased-task-cpu-limit",
    "ecs.capability.pid-ipc-namespace-sharing",
    "ecs.capability.task-cpu-mem-limit",
    "ecs.capability.task-eni",
];

/// AWS: versions of Docker's API that an agent says it speaks; a definition needs one of each
/// feature that it uses.
const REMOTE_API: std::ops::RangeInclusive<u32> = 17..=44;

/// Every attribute that an instance of ours registers, in the order of their names.
pub fn of_instance() -> Vec<String> {
    let drivers = super::logs::DRIVERS.iter().map(|name| driver(name));
    let ours = OURS.iter().map(|name| String::from(*name));
    let mut all: Vec<String> = ours.chain(drivers).chain(REMOTE_API.map(remote_api)).collect();
    all.sort_unstable();
    all
}

fn remote_api(minor: u32) -> String {
    format!("com.amazonaws.ecs.capability.docker-remote-api.1.{minor}")
}

fn driver(name: &str) -> String {
    format!("com.amazonaws.ecs.capability.logging-driver.{name}")
}

/// AWS: the launch types that the definition passes the rules of, whatever it asks for.
pub fn compatibilities(spec: &Spec) -> Vec<&'static str> {
    let mut found = Vec::new();
    if !spec.is_awsvpc() {
        found.push("EXTERNAL");
    }
    if spec.ephemeral_storage.is_none() {
        found.push("EC2");
    }
    if fargate::check(spec).is_ok() {
        found.push("FARGATE");
    }
    found
}

/// AWS: capabilities that an instance needs, in the order of their names.
pub fn required(spec: &Spec) -> Vec<String> {
    let mut found: BTreeSet<String> = spec.containers.iter().flat_map(|c| container(c, spec)).collect();
    let is_namespaced = spec.pid_mode.is_some() || spec.ipc_mode.is_some();
    let has_fault_injection = spec.enable_fault_injection == Some(true);
    let is_host = spec.network_mode.as_deref() == Some("host");
    let task = [
        // AWS: the lowest remote API version with container limits.
        ("com.amazonaws.ecs.capability.docker-remote-api.1.18", true),
        ("ecs.capability.task-eni", spec.is_awsvpc()),
        ("com.amazonaws.ecs.capability.task-iam-role", spec.task_role.is_some()),
        ("com.amazonaws.ecs.capability.task-iam-role-network-host", spec.task_role.is_some() && is_host),
        ("ecs.capability.task-cpu-mem-limit", spec.cpu.is_some() || spec.memory.is_some()),
        ("ecs.capability.pid-ipc-namespace-sharing", is_namespaced),
        ("ecs.capability.fault-injection", has_fault_injection),
        ("ecs.capability.aws-appmesh", spec.proxy_configuration.is_some()),
    ];
    found.extend(task.into_iter().filter(|(_, is_needed)| *is_needed).map(|(name, _)| String::from(name)));
    for volume in &spec.volumes {
        if let Some(docker) = &volume.docker_volume_configuration {
            let name = docker.driver.as_deref().filter(|name| !name.is_empty()).unwrap_or("local");
            found.insert(format!("ecs.capability.docker-plugin.{name}"));
            found.insert(remote_api(25));
        }
        if volume.efs_volume_configuration.is_some() {
            found.insert(String::from("ecs.capability.efs"));
            found.insert(remote_api(25));
        }
    }
    found.into_iter().collect()
}

fn container(c: &ContainerDefinition, spec: &Spec) -> Vec<String> {
    fn has<T>(list: &Option<Vec<T>>) -> bool {
        list.as_ref().is_some_and(|list| !list.is_empty())
    }
    let has_role = spec.execution_role.is_some();
    let is_ecr = is_ecr_image(c.image.as_deref().unwrap_or_default());
    let log = c.log_configuration.as_ref();
    let logs_by_role = has_role && log.is_some_and(|log| log.log_driver == "awslogs");
    let linux = c.linux_parameters.as_ref();
    let has_range = c.port_mappings.iter().flatten().any(|mapping| mapping.container_port_range.is_some());
    let secrets = || c.secrets.iter().flatten();
    let is_asm = |value: &str| value.starts_with("arn:") && value.contains(":secretsmanager:");
    let parts = [
        ("ecs.capability.execution-role-awslogs", logs_by_role),
        ("com.amazonaws.ecs.capability.ecr-auth", is_ecr),
        ("ecs.capability.execution-role-ecr-pull", is_ecr && has_role),
        ("ecs.capability.container-health-check", c.health_check.is_some()),
        ("ecs.capability.container-ordering", has(&c.depends_on)),
        ("ecs.capability.container-port-range", has_range),
        ("ecs.capability.container-restart-policy", c.restart_policy.as_ref().is_some_and(|it| it.enabled)),
        ("com.amazonaws.ecs.capability.privileged-container", c.privileged == Some(true)),
        ("ecs.capability.env-files.s3", has(&c.environment_files)),
        (
            "ecs.capability.secrets.asm.environment-variables",
            secrets().any(|secret| is_asm(&secret.value_from)),
        ),
        (
            "ecs.capability.secrets.ssm.environment-variables",
            secrets().any(|secret| !is_asm(&secret.value_from)),
        ),
        ("ecs.capability.private-registry-authentication.secretsmanager", c.repository_credentials.is_some()),
    ];
    let mut needs: Vec<String> =
        parts.into_iter().filter(|(_, is_needed)| *is_needed).map(|(name, _)| String::from(name)).collect();
    let versions = [
        (19, log.is_some() || is_ecr),
        (21, c.memory_reservation.is_some()),
        (22, linux.is_some_and(|linux| has(&linux.tmpfs) || linux.shared_memory_size.is_some())),
        (24, c.health_check.is_some()),
        (25, linux.is_some_and(|linux| linux.init_process_enabled == Some(true))),
    ];
    needs
        .extend(versions.into_iter().filter(|(_, is_needed)| *is_needed).map(|(minor, _)| remote_api(minor)));
    needs.extend(log.map(|log| driver(&log.log_driver)));
    needs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::container::{HealthCheck, LogConfiguration};

    /// What a definition that we act on needs, an instance of ours has.
    #[test]
    fn ours_have_what_is_needed() {
        let log = LogConfiguration { log_driver: String::from("awslogs"), ..Default::default() };
        let container = ContainerDefinition {
            image: Some(String::from("123456789012.dkr.ecr.us-east-1.amazonaws.com/app")),
            memory_reservation: Some(64),
            health_check: Some(HealthCheck::default()),
            privileged: Some(true),
            log_configuration: Some(log),
            ..Default::default()
        };
        let spec = Spec {
            containers: vec![container],
            task_role: Some(String::from("r")),
            execution_role: Some(String::from("r")),
            network_mode: Some(String::from("host")),
            pid_mode: Some(String::from("task")),
            cpu: Some(String::from("256")),
            enable_fault_injection: Some(true),
            ..Default::default()
        };
        let (ours, needed) = (of_instance(), required(&spec));
        assert!(needed.len() > 12, "{needed:?}");
        for name in needed {
            assert!(ours.contains(&name), "{name}");
        }
    }
}
