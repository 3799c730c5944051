//! `boxship ps`.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Result;
use aws_ecs::Task;
use base::clock;
use clap::Args;

use super::find;
use crate::client::Client;
use crate::screen::{Color, paint, table};

#[derive(Debug, Args)]
pub struct PsArgs {
    /// Stopped tasks of the last hour, too
    #[arg(long, short)]
    all: bool,
    /// Only this cluster's
    #[arg(long)]
    cluster: Option<String>,
    /// Only this service's
    #[arg(long)]
    service: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(client: &Client, args: &PsArgs) -> Result<ExitCode> {
    let clusters = find::clusters(client, args.cluster.as_deref()).await?;
    let mut tasks = Vec::new();
    for cluster in clusters {
        tasks.extend(find::tasks(client, &cluster, "RUNNING").await?);
        if args.all {
            tasks.extend(find::tasks(client, &cluster, "STOPPED").await?);
        }
    }
    tasks.retain(|task| args.service.is_none() || service(task) == args.service.as_deref());
    // The newest first, of whatever cluster.
    tasks.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.task_arn.cmp(&b.task_arn)));
    if args.json {
        let rows: Vec<_> = tasks.iter().map(json).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut headings =
        vec!["TASK", "CLUSTER", "SERVICE", "DEFINITION", "STATUS", "HEALTH", "AGE", "ADDRESS", "IMAGE"];
    let mut rows: Vec<_> = tasks.iter().map(row).collect();
    if args.all {
        headings.push("REASON");
        rows.iter_mut().zip(&tasks).for_each(|(row, task)| row.push(shortened(reason(task))));
    }
    table(&headings, &rows);
    Ok(ExitCode::SUCCESS)
}

/// The address in the task's subnet.
pub fn address(task: &Task) -> Option<String> {
    let details =
        task.attachments.iter().flatten().flat_map(|attachment| attachment.details.iter().flatten());
    let mut addresses = details.filter(|detail| detail.name.as_deref() == Some("privateIPv4Address"));
    addresses.next().and_then(|detail| detail.value.clone())
}

fn status(task: &Task) -> String {
    let status = task.last_status.clone().unwrap_or_default();
    let code = task.containers.iter().flatten().filter_map(|container| container.exit_code).next();
    match (status.as_str(), code) {
        ("STOPPED", Some(0)) => paint("STOPPED (0)", Color::Faint),
        ("STOPPED", Some(code)) => paint(&format!("STOPPED ({code})"), Color::Bad),
        ("STOPPED", None) => paint("STOPPED", Color::Bad),
        ("RUNNING", _) => paint("RUNNING", Color::Good),
        _ => paint(&status, Color::Pending),
    }
}

fn health(task: &Task) -> String {
    match task.health_status.as_deref() {
        Some("HEALTHY") => paint("HEALTHY", Color::Good),
        Some("UNHEALTHY") => paint("UNHEALTHY", Color::Bad),
        _ => String::from("-"),
    }
}

/// Since it was asked for: `5s`, `12m`, `3h`, `2d`.
fn age(task: &Task) -> String {
    let Some(created) = task.created_at else { return String::new() };
    let seconds = clock::wall().since(created).as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Its address, or the ports of the host that lead to it.
fn place(task: &Task) -> String {
    let bindings = task.containers.iter().flatten().flat_map(|c| c.network_bindings.iter().flatten());
    let ports = bindings.filter_map(|binding| {
        let (host, container) = (binding.host_port?, binding.container_port?);
        Some(format!(":{host}\u{2192}{container}"))
    });
    let all: Vec<String> = address(task).into_iter().chain(ports).collect();
    all.join(" ")
}

/// Why it has stopped: the task's reason, and a container's where it says more.
pub fn reason(task: &Task) -> String {
    let stopped = task.stopped_reason.as_deref().unwrap_or_default();
    let mut reasons = task.containers.iter().flatten().filter_map(|container| container.reason.as_deref());
    let reason = match reasons.find(|reason| !stopped.contains(reason)) {
        Some(reason) if stopped.is_empty() => reason.to_owned(),
        // Most important first, where only one line is shown.
        Some(reason) => format!("{reason} ({stopped})"),
        None => stopped.to_owned(),
    };
    reason.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// In a line's room where somebody looks; `boxship inspect` has all of it.
fn shortened(text: String) -> String {
    const ROOM: usize = 100;
    if !std::io::stdout().is_terminal() || text.chars().count() <= ROOM {
        return text;
    }
    text.chars().take(ROOM - 1).chain(['\u{2026}']).collect()
}

/// The containers' images, each once: `busybox ×10, nginx`.
fn images(task: &Task) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for image in task.containers.iter().flatten().filter_map(|container| container.image.as_deref()) {
        match counts.iter_mut().find(|(known, _)| *known == image) {
            Some((_, count)) => *count += 1,
            None => counts.push((image, 1)),
        }
    }
    let shown = counts.into_iter().map(|(image, count)| match count {
        1 => image.to_owned(),
        _ => format!("{image} \u{d7}{count}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// The service that started it. AWS: its group says so.
fn service(task: &Task) -> Option<&str> {
    task.group.as_deref().and_then(|group| group.strip_prefix("service:"))
}

fn row(task: &Task) -> Vec<String> {
    vec![
        find::id(task).to_owned(),
        find::last(task.cluster_arn.as_deref()).to_owned(),
        service(task).unwrap_or("-").to_owned(),
        find::last(task.task_definition_arn.as_deref()).to_owned(),
        status(task),
        health(task),
        age(task),
        place(task),
        images(task),
    ]
}

fn json(task: &Task) -> serde_json::Value {
    serde_json::json!({
        "task": task.task_arn,
        "cluster": task.cluster_arn,
        "service": service(task),
        "definition": task.task_definition_arn,
        "status": task.last_status,
        "health": task.health_status,
        "stopCode": task.stop_code,
        "stoppedReason": task.stopped_reason,
        "createdAt": task.created_at.map(|at| at.iso8601()),
        "address": address(task),
        "containers": task.containers.iter().flatten().map(|container| serde_json::json!({
            "name": container.name,
            "image": container.image,
            "status": container.last_status,
            "exitCode": container.exit_code,
            "reason": container.reason,
            "ports": container.network_bindings.iter().flatten().map(|binding| serde_json::json!({
                "container": binding.container_port,
                "host": binding.host_port,
                "protocol": binding.protocol,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}
