//! One container.

use core_lifecycle::{
    Binding, ContainerObservation, ContainerSpec, Health, HealthStatus, LaunchType, LogDriver, NetworkMode,
    VolumeSource,
};
use serde_json::{Map, Value, json};

use super::{cluster_arn, network};
use crate::known::Subject;
use crate::route::Version;

pub(super) fn value(
    subject: &Subject,
    spec: &ContainerSpec,
    version: Version,
    described: Option<&aws_ecs::Task>,
) -> Value {
    let observation = subject.observation();
    let seen = observation.containers.iter().find(|seen| seen.name == spec.name);
    let desired = described.and_then(|task| task.desired_status.clone());
    let mut value = Map::new();
    let mut put = |name: &str, what: Value| {
        if !what.is_null() {
            value.insert(name.to_owned(), what);
        }
    };
    put("DockerId", json!(seen.and_then(|seen| seen.runtime_id.as_ref())));
    put("Name", json!(spec.name));
    put("DockerName", json!(docker_name(subject, spec)));
    put("Image", json!(spec.image));
    put("ImageID", json!(seen.and_then(|seen| seen.image_digest.as_ref())));
    put("Ports", ports(subject, spec, seen));
    put("Labels", labels(subject, spec));
    put("DesiredStatus", json!(desired.as_deref().unwrap_or("RUNNING")));
    put("KnownStatus", json!(known_status(seen)));
    put("ExitCode", json!(seen.and_then(|seen| seen.exit.as_ref()).map(|exit| exit.code)));
    put("Limits", limits(subject, spec));
    let started_at = seen.and_then(|seen| seen.started_at).map(|at| at.iso8601());
    put("CreatedAt", json!(started_at));
    put("StartedAt", json!(started_at));
    put("FinishedAt", json!(seen.and_then(|seen| seen.exit.as_ref()).map(|exit| exit.at.iso8601())));
    put("Type", json!("NORMAL"));
    put("Health", seen.and_then(|seen| seen.health.as_ref()).map_or(Value::Null, health));
    put("Volumes", volumes(subject, spec));
    put("Networks", network::value(subject, &spec.name, version));
    if version == Version::V4 {
        put("ContainerARN", json!(described.and_then(|task| arn(task, &spec.name))));
        let (driver, options) = logging(&spec.logging.driver);
        put("LogDriver", driver);
        put("LogOptions", options);
        if spec.restart.is_some() {
            put("RestartCount", json!(seen.map_or(0, |seen| seen.restarts)));
        }
        put("Snapshotter", json!("overlayfs"));
    }
    Value::Object(value)
}

/// AWS: on EC2 Docker's name of the container, on Fargate the container's own.
pub(crate) fn docker_name(subject: &Subject, spec: &ContainerSpec) -> String {
    let task = &subject.task;
    match task.launch_type {
        LaunchType::Fargate => spec.name.clone(),
        LaunchType::Ec2 | LaunchType::External => {
            let unique = task.task_id.get(..20).unwrap_or(&task.task_id);
            format!("ecs-{}-{}-{}-{unique}", task.family, task.revision, spec.name)
        }
    }
}

fn arn(task: &aws_ecs::Task, name: &str) -> Option<String> {
    let containers = task.containers.as_ref()?;
    containers.iter().find(|container| container.name.as_deref() == Some(name))?.container_arn.clone()
}

fn labels(subject: &Subject, spec: &ContainerSpec) -> Value {
    let task = &subject.task;
    let own = spec.labels.iter().map(|(name, value)| (name.clone(), json!(value)));
    let ours = [
        ("cluster", cluster_arn(subject)),
        ("container-name", spec.name.clone()),
        ("task-arn", task.task_arn.clone()),
        ("task-definition-family", task.family.clone()),
        ("task-definition-version", task.revision.to_string()),
    ];
    let ours = ours.into_iter().map(|(name, value)| (format!("com.amazonaws.ecs.{name}"), json!(value)));
    Value::Object(own.chain(ours).collect())
}

fn known_status(seen: Option<&ContainerObservation>) -> &'static str {
    match seen {
        Some(seen) if seen.exit.is_some() || seen.failure.is_some() => "STOPPED",
        Some(seen) if seen.started_at.is_some() => "RUNNING",
        Some(seen) if seen.image_digest.is_some() => "PULLED",
        _ => "NONE",
    }
}

/// AWS: a container has at least two cpu units. Without a limit of memory of its own it has its
/// reservation, or none.
fn limits(subject: &Subject, spec: &ContainerSpec) -> Value {
    let memory = spec.memory_mib.or(spec.memory_reservation_mib);
    match (memory, subject.task.launch_type) {
        (None, LaunchType::Fargate) => json!({ "CPU": spec.cpu_units.max(2) }),
        (memory, _) => json!({ "CPU": spec.cpu_units.max(2), "Memory": memory.unwrap_or(0) }),
    }
}

/// Ports that lead to it. AWS: in `awsvpc` they are those of its task's address.
fn ports(subject: &Subject, spec: &ContainerSpec, seen: Option<&ContainerObservation>) -> Value {
    let task = &subject.task;
    if task.launch_type == LaunchType::Fargate {
        return Value::Null;
    }
    let ports: Vec<Value> = match task.network_mode {
        NetworkMode::Awsvpc | NetworkMode::Host => {
            let own = spec.ports.iter().map(|port| {
                json!({
                    "ContainerPort": port.container_port,
                    "Protocol": port.protocol,
                    "HostPort": port.container_port,
                })
            });
            own.collect()
        }
        NetworkMode::Bridge => {
            seen.map(|seen| seen.bindings.iter().map(binding).collect()).unwrap_or_default()
        }
        NetworkMode::None => Vec::new(),
    };
    if ports.is_empty() { Value::Null } else { Value::Array(ports) }
}

fn binding(binding: &Binding) -> Value {
    json!({
        "ContainerPort": binding.container_port,
        "Protocol": binding.protocol,
        "HostPort": binding.host_port,
        "HostIp": binding.bind_ip,
    })
}

fn health(health: &Health) -> Value {
    let status = match health.status {
        HealthStatus::Unknown => "UNKNOWN",
        HealthStatus::Healthy => "HEALTHY",
        HealthStatus::Unhealthy => "UNHEALTHY",
    };
    let mut value = json!({ "status": status, "statusSince": health.since.iso8601() });
    if let Some(code) = health.exit_code {
        value["exitCode"] = json!(code);
    }
    if !health.output.is_empty() {
        value["output"] = json!(health.output);
    }
    value
}

fn volumes(subject: &Subject, spec: &ContainerSpec) -> Value {
    let volumes = spec.mounts.iter().map(|mount| {
        let volume = subject.task.volumes.iter().find(|volume| volume.name == mount.volume);
        match volume.map(|volume| &volume.source) {
            Some(VolumeSource::Host(path)) => json!({ "Source": path, "Destination": mount.path }),
            _ => json!({ "DockerName": mount.volume, "Destination": mount.path }),
        }
    });
    let volumes: Vec<Value> = volumes.collect();
    if volumes.is_empty() { Value::Null } else { Value::Array(volumes) }
}

/// The driver's name and its options, without those that are secret.
fn logging(driver: &LogDriver) -> (Value, Value) {
    match driver {
        LogDriver::None => (Value::Null, Value::Null),
        LogDriver::Awslogs(target) => {
            let mut options = json!({
                "awslogs-group": target.group,
                "awslogs-region": target.region,
                "awslogs-stream": target.stream,
            });
            if target.create_group {
                options["awslogs-create-group"] = json!("true");
            }
            (json!("awslogs"), options)
        }
        LogDriver::JsonFile { options, .. } => (json!("json-file"), json!(options)),
        LogDriver::Syslog(options) => (json!("syslog"), json!(options)),
        LogDriver::Fluentd(options) => (json!("fluentd"), json!(options)),
    }
}
