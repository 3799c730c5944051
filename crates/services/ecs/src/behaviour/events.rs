//! What a service tells its owner, in AWS's words.
//!
//! AWS: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html>

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

const TROUBLESHOOTING: &str =
    "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.";

pub fn steady(service: &str) -> String {
    format!("(service {service}) has reached a steady state.")
}

pub fn started(service: &str, tasks: &[String]) -> String {
    format!("(service {service}) has started {} tasks: {}.", tasks.len(), named(tasks))
}

pub fn stopped(service: &str, tasks: &[String]) -> String {
    format!("(service {service}) has stopped {} running tasks: {}.", tasks.len(), named(tasks))
}

fn named(tasks: &[String]) -> String {
    let mut text = String::new();
    for (nth, task) in tasks.iter().enumerate() {
        let space = if nth == 0 { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{space}(task {task})");
    }
    text
}

pub fn registered(service: &str, count: usize, group: &str) -> String {
    format!("(service {service}) registered {count} targets in (target-group {group})")
}

pub fn deregistered(service: &str, count: usize, group: &str) -> String {
    format!("(service {service}) deregistered {count} targets in (target-group {group})")
}

pub fn not_registered(service: &str, group: &str, error: &str) -> String {
    format!("(service {service}) failed to register targets in (target-group {group}) with (error {error})")
}

pub fn draining(service: &str, revision: &str, count: usize) -> String {
    format!(
        "(service {service}, taskSet ecs-svc/{revision}) has begun draining connections on {count} tasks."
    )
}

pub fn unhealthy_target(service: &str, port: u16, group: &str, reason: Option<&str>) -> String {
    let reason = reason.unwrap_or("Health checks failed");
    format!(
        "(service {service}) (port {port}) is unhealthy in (target-group {group}) due to (reason {reason})."
    )
}

pub fn unhealthy_containers(service: &str, task: &str) -> String {
    format!("(service {service}) (task {task}) failed container health checks.")
}

pub fn completed(service: &str, revision: &str) -> String {
    format!("(service {service}) (deployment ecs-svc/{revision}) deployment completed.")
}

pub fn failed(service: &str, revision: &str, why: impl fmt::Display) -> String {
    format!("(service {service}) (deployment ecs-svc/{revision}) deployment failed: {why}.")
}

pub fn rolling_back(service: &str, revision: &str) -> String {
    format!("(service {service}) rolling back to deployment ecs-svc/{revision}.")
}

pub fn cannot_start(service: &str) -> String {
    format!("(service {service}) is unable to consistently start tasks successfully. {TROUBLESHOOTING}")
}

pub fn no_room(service: &str) -> String {
    format!(
        "(service {service}) was unable to stop or start tasks during a deployment because of the service \
         deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
    )
}

pub fn protected(service: &str, revision: &str) -> String {
    format!(
        "(service {service}) was unable to reach steady state because (taskSet ecs-svc/{revision}) was unable to \
         scale in. Reason: The number of protected tasks are more than the desired count of tasks."
    )
}

/// `counts`: tasks by zone.
pub fn unbalanced(service: &str, counts: &BTreeMap<String, usize>) -> String {
    let zones: Vec<String> = counts.iter().map(|(zone, count)| format!("{count} tasks in {zone}")).collect();
    format!("(service {service}) is not AZ balanced with {}. AZ Rebalancing in progress.", zones.join(", "))
}

pub fn started_to_balance(service: &str, zone: &str, tasks: &[String]) -> String {
    let (count, tasks) = (tasks.len(), named(tasks));
    format!("(service {service}) has started {count} tasks in {zone} to AZ Rebalance: {tasks}.")
}

pub fn stopped_to_balance(service: &str, zone: &str, tasks: &[String]) -> String {
    let (count, tasks) = (tasks.len(), named(tasks));
    format!("(service {service}) has stopped {count} running tasks in {zone} due to AZ rebalancing: {tasks}.")
}

pub fn not_launched(service: &str, error: &str) -> String {
    format!("(service {service}) failed to launch a task with (error {}).", error.trim_end_matches('.'))
}

/// `closest`: the last part of the ARN of an instance that nearly fits, and the API's reason why it
/// does not.
pub fn not_placed(service: &str, closest: Option<(&str, &str)>) -> String {
    let start = format!(
        "(service {service}) was unable to place a task because no container instance met all of its \
         requirements."
    );
    let Some((instance, reason)) = closest else {
        return format!(
            "{start} Reason: No Container Instances were found in your cluster. {TROUBLESHOOTING}"
        );
    };
    let what = match reason {
        "RESOURCE:CPU" => String::from("has insufficient CPU units available"),
        "RESOURCE:MEMORY" => String::from("has insufficient memory available"),
        "RESOURCE:PORTS" => String::from("is already using a port required by your task"),
        "RESOURCE:GPU" => String::from("has insufficient GPU resource available"),
        "RESOURCE:ENI" => String::from("has insufficient ENI resource available"),
        "ATTRIBUTE" => String::from("is missing an attribute required by your task"),
        other => format!("encountered error \"{other}\""),
    };
    format!("{start} The closest matching (container-instance {instance}) {what}. {TROUBLESHOOTING}")
}

/// Why a task was stopped, as the task says it.
pub mod reason {
    pub fn scaling(revision: &str) -> String {
        format!("Scaling activity initiated by (deployment ecs-svc/{revision})")
    }

    pub fn target(group: &str) -> String {
        format!("Task failed ELB health checks in (target-group {group})")
    }

    pub fn containers() -> String {
        String::from("Task failed container health checks")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wording() {
        let tasks = [String::from("a"), String::from("b")];
        assert_eq!(started("web", &tasks), "(service web) has started 2 tasks: (task a) (task b).");
        assert_eq!(
            unhealthy_target("web", 80, "arn", Some("Health checks failed with these codes: [503]")),
            "(service web) (port 80) is unhealthy in (target-group arn) due to (reason Health checks failed \
             with these codes: [503])."
        );
        assert_eq!(
            not_placed("web", Some(("i", "RESOURCE:MEMORY"))),
            "(service web) was unable to place a task because no container instance met all of its \
             requirements. The closest matching (container-instance i) has insufficient memory available. For \
             more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
        );
        assert!(
            not_placed("web", None).contains("Reason: No Container Instances were found in your cluster.")
        );
    }
}
