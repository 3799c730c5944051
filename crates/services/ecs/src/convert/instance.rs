//! Container instances as the API shows them.

use std::collections::BTreeMap;

use aws_ecs as aws;
use base::Timestamp;

use crate::behaviour::capacity::Room;
use crate::state::instance::{ContainerInstance, InstanceStatus, Resources};
use crate::state::kept::Kept;

/// What an instance's tasks say about it.
#[derive(Debug, Clone, Default)]
pub struct Load {
    pub room: Room,
    pub running: usize,
    pub pending: usize,
}

pub fn status(status: InstanceStatus) -> &'static str {
    match status {
        InstanceStatus::Active => "ACTIVE",
        InstanceStatus::Draining => "DRAINING",
        InstanceStatus::Inactive { .. } => "INACTIVE",
    }
}

/// The instance without its tags and its health, which are shown to those who ask.
pub fn shape(record: &ContainerInstance, load: &Load) -> aws::ContainerInstance {
    let registered = &record.registered;
    let whole = Room::of(registered);
    aws::ContainerInstance {
        container_instance_arn: Some(record.at.arn().to_string()),
        ec2_instance_id: record.ec2_instance_id.clone(),
        version: i64::try_from(record.version).ok(),
        version_info: Some(record.version_info.give()),
        remaining_resources: Some(resources(&load.room, &registered.gpus)),
        registered_resources: Some(resources(&whole, &registered.gpus)),
        status: Some(String::from(status(record.status))),
        agent_connected: Some(record.is_connected && record.is_registered()),
        running_tasks_count: i32::try_from(load.running).ok(),
        pending_tasks_count: i32::try_from(load.pending).ok(),
        attributes: Some(attributes(&record.attributes)),
        registered_at: Some(record.registered_at),
        attachments: Some(Vec::new()),
        tags: Some(Vec::new()),
        ..Default::default()
    }
}

/// AWS: `PORTS` are the ports that cannot be had. GPUs are shown where there are any.
fn resources(room: &Room, gpus: &[String]) -> Vec<aws::Resource> {
    let number = |name: &str, value: i64| aws::Resource {
        name: Some(String::from(name)),
        r#type: Some(String::from("INTEGER")),
        double_value: Some(0.0),
        long_value: Some(0),
        integer_value: i32::try_from(value).ok(),
        string_set_value: None,
    };
    let set = |name: &str, values: Vec<String>| aws::Resource {
        name: Some(String::from(name)),
        r#type: Some(String::from("STRINGSET")),
        double_value: Some(0.0),
        long_value: Some(0),
        integer_value: Some(0),
        string_set_value: Some(values),
    };
    let texts = |ports: &std::collections::BTreeSet<u16>| ports.iter().map(u16::to_string).collect();
    let mut all = vec![
        number("CPU", room.cpu),
        number("MEMORY", room.memory),
        set("PORTS", texts(&room.tcp)),
        set("PORTS_UDP", texts(&room.udp)),
    ];
    if !gpus.is_empty() {
        all.push(set("GPU", room.gpus.clone()));
    }
    all
}

/// What a registration says that there is. Names that we do not know, and numbers that are none,
/// are an error with the name in it.
pub fn registered(given: Vec<aws::Resource>) -> Result<Resources, String> {
    let mut resources = Resources::default();
    for resource in given {
        let name = resource.name.clone().unwrap_or_default();
        let wrong = || name.clone();
        let whole = || {
            let long = resource.long_value.filter(|value| *value != 0);
            let number =
                resource.integer_value.map(i64::from).filter(|value| *value != 0).or(long).unwrap_or(0);
            if number < 0 { Err(wrong()) } else { Ok(number) }
        };
        let texts = resource.string_set_value.clone().unwrap_or_default();
        let ports = || -> Result<Vec<u16>, String> {
            texts.iter().map(|text| text.parse().map_err(|_| wrong())).collect()
        };
        match name.as_str() {
            "CPU" => resources.cpu = whole()?,
            "MEMORY" => resources.memory = whole()?,
            "PORTS" => resources.reserved_tcp = ports()?,
            "PORTS_UDP" => resources.reserved_udp = ports()?,
            "GPU" => resources.gpus = texts,
            _ => return Err(name),
        }
    }
    Ok(resources)
}

pub fn attributes(attributes: &BTreeMap<String, Option<String>>) -> Vec<aws::Attribute> {
    let shape = |(name, value): (&String, &Option<String>)| aws::Attribute {
        name: name.clone(),
        value: value.clone(),
        ..Default::default()
    };
    attributes.iter().map(shape).collect()
}

/// An instance is as healthy as its agent: the agent is the runtime's only voice.
pub fn health(record: &ContainerInstance, now: Timestamp) -> aws::ContainerInstanceHealthStatus {
    let state = if record.is_connected { "OK" } else { "INSUFFICIENT_DATA" };
    let runtime = aws::InstanceHealthCheckResult {
        r#type: Some(String::from("CONTAINER_RUNTIME")),
        status: Some(String::from(state)),
        last_updated: Some(now),
        last_status_change: Some(record.registered_at),
        ..Default::default()
    };
    aws::ContainerInstanceHealthStatus {
        overall_status: Some(String::from(state)),
        details: Some(vec![runtime]),
    }
}
