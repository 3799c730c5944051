//! What a definition can run on, and what it asks of an instance.

use std::collections::BTreeSet;

use super::check::{self, is_ecr_image};
use crate::state::definition::Spec;

/// AWS: the launch types that the definition passes the rules of, whatever it asks for.
pub fn compatibilities(spec: &Spec) -> Vec<&'static str> {
    let mut found = Vec::new();
    if !spec.is_awsvpc() {
        found.push("EXTERNAL");
    }
    found.push("EC2");
    if check::fargate(spec).is_ok() {
        found.push("FARGATE");
    }
    found
}

/// AWS: capabilities that an instance needs, in the order of their names.
pub fn required(spec: &Spec) -> Vec<String> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    let mut need = |name: &str| {
        found.insert(String::from(name));
    };
    // AWS: the lowest remote API version with container limits.
    need("com.amazonaws.ecs.capability.docker-remote-api.1.18");
    if spec.is_awsvpc() {
        need("ecs.capability.task-eni");
    }
    if spec.task_role.is_some() {
        need("com.amazonaws.ecs.capability.task-iam-role");
    }
    for container in &spec.containers {
        if let Some(log) = &container.log_configuration {
            need(&format!("com.amazonaws.ecs.capability.logging-driver.{}", log.log_driver));
            need("com.amazonaws.ecs.capability.docker-remote-api.1.19");
            if log.log_driver == "awslogs" && spec.execution_role.is_some() {
                need("ecs.capability.execution-role-awslogs");
            }
        }
        if is_ecr_image(container.image.as_deref().unwrap_or_default()) {
            need("com.amazonaws.ecs.capability.ecr-auth");
            need("com.amazonaws.ecs.capability.docker-remote-api.1.19");
            if spec.execution_role.is_some() {
                need("ecs.capability.execution-role-ecr-pull");
            }
        }
        if container.memory_reservation.is_some() {
            need("com.amazonaws.ecs.capability.docker-remote-api.1.21");
        }
        if container.health_check.is_some() {
            need("ecs.capability.container-health-check");
        }
        if container.depends_on.as_ref().is_some_and(|list| !list.is_empty()) {
            need("ecs.capability.container-ordering");
        }
        if container.secrets.as_ref().is_some_and(|list| !list.is_empty()) {
            need("ecs.capability.secrets.ssm.environment-variables");
        }
    }
    found.into_iter().collect()
}
