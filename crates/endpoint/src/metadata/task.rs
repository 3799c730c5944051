//! The task as a whole.

use core_lifecycle::{Assignment, LaunchType, Observation, Phase};
use serde_json::{Map, Value, json};

use super::{cluster_arn, container};
use crate::known::Subject;
use crate::route::Version;

pub(super) fn value(subject: &Subject, version: Version, described: Option<&aws_ecs::Task>) -> Value {
    let (task, seen) = (&subject.task, subject.observation());
    let mut value = Map::new();
    let mut put = |name: &str, what: Value| {
        if !what.is_null() {
            value.insert(name.to_owned(), what);
        }
    };
    let is_fargate = task.launch_type == LaunchType::Fargate;
    // AWS: an instance's agent knows its cluster by the name that it was configured with.
    let name = || task.cluster.rsplit('/').next().unwrap_or_default().to_owned();
    put("Cluster", json!(if is_fargate { cluster_arn(subject) } else { name() }));
    put("TaskARN", json!(task.task_arn));
    put("Family", json!(task.family));
    put("Revision", json!(task.revision.to_string()));
    let desired = described.and_then(|task| task.desired_status.as_deref());
    put("DesiredStatus", json!(desired.unwrap_or("RUNNING")));
    put("KnownStatus", json!(known_status(&seen)));
    put("Limits", limits(task));
    put("PullStartedAt", json!(seen.pull_started_at.map(|at| at.iso8601())));
    put("PullStoppedAt", json!(seen.pull_stopped_at.map(|at| at.iso8601())));
    put("ExecutionStoppedAt", json!(seen.execution_stopped_at.map(|at| at.iso8601())));
    put("AvailabilityZone", if task.zone.is_empty() { Value::Null } else { json!(task.zone) });
    let containers = task.containers.iter().map(|spec| container::value(subject, spec, version, described));
    put("Containers", Value::Array(containers.collect()));
    if version == Version::V4 {
        let launch_type = match task.launch_type {
            LaunchType::Fargate => "FARGATE",
            LaunchType::Ec2 => "EC2",
            LaunchType::External => "EXTERNAL",
        };
        put("LaunchType", json!(launch_type));
        put("FaultInjectionEnabled", json!(task.enable_fault_injection));
        if !is_fargate {
            put("VPCID", json!(task.interface.as_ref().map(|interface| &interface.vpc)));
            put("ServiceName", json!(described.and_then(service)));
        }
    }
    Value::Object(value)
}

/// The name of the service whose the task is.
fn service(task: &aws_ecs::Task) -> Option<&str> {
    task.group.as_deref()?.strip_prefix("service:")
}

/// AWS: cpu in vCPUs, memory in MiB; left out where the task has no limits of its own.
fn limits(task: &Assignment) -> Value {
    let mut limits = Map::new();
    if let Some(units) = task.cpu_units {
        limits.insert(String::from("CPU"), json!(f64::from(units) / 1024.0));
    }
    if let Some(memory) = task.memory_mib {
        limits.insert(String::from("Memory"), json!(memory));
    }
    if limits.is_empty() { Value::Null } else { Value::Object(limits) }
}

/// AWS: the lowest status of its containers while it starts. `CREATED`: network and images are there.
fn known_status(seen: &Observation) -> &'static str {
    match seen.phase {
        Phase::Preparing if seen.pull_stopped_at.is_some() => "CREATED",
        Phase::Preparing => "NONE",
        // Containers go one after another: until the last has gone the task is up.
        Phase::Running | Phase::Stopping => "RUNNING",
        Phase::Stopped => "STOPPED",
    }
}
