//! `boxship ps`.

use std::process::ExitCode;

use anyhow::Result;
use aws_ecs::op::{DescribeTasks, ListClusters, ListTasks};
use aws_ecs::{DescribeTasksRequest, ListClustersRequest, ListTasksRequest, Task};
use clap::Args;

use crate::client::Client;
use crate::screen::table;

#[derive(Debug, Args)]
pub struct PsArgs {
    /// Stopped tasks of the last hour, too
    #[arg(long, short)]
    all: bool,
    /// Only this cluster's
    #[arg(long)]
    cluster: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(client: &Client, args: &PsArgs) -> Result<ExitCode> {
    let clusters = match &args.cluster {
        Some(cluster) => vec![cluster.clone()],
        None => client
            .call::<ListClusters>(ListClustersRequest::default())
            .await?
            .cluster_arns
            .unwrap_or_default(),
    };
    let mut tasks = Vec::new();
    for cluster in clusters {
        tasks.extend(of_cluster(client, &cluster, "RUNNING").await?);
        if args.all {
            tasks.extend(of_cluster(client, &cluster, "STOPPED").await?);
        }
    }
    if args.json {
        let rows: Vec<_> = tasks.iter().map(json).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = tasks.iter().map(row).collect();
    table(&["TASK", "CLUSTER", "DEFINITION", "STATUS", "ADDRESS", "IMAGE"], &rows);
    Ok(ExitCode::SUCCESS)
}

async fn of_cluster(client: &Client, cluster: &str, status: &str) -> Result<Vec<Task>> {
    let (mut tasks, mut next_token) = (Vec::new(), None);
    loop {
        let request = ListTasksRequest {
            cluster: Some(cluster.to_owned()),
            desired_status: Some(status.to_owned()),
            next_token,
            ..Default::default()
        };
        let page = client.call::<ListTasks>(request).await?;
        let arns = page.task_arns.unwrap_or_default();
        if !arns.is_empty() {
            let request =
                DescribeTasksRequest { cluster: Some(cluster.to_owned()), tasks: arns, ..Default::default() };
            tasks.extend(client.call::<DescribeTasks>(request).await?.tasks.unwrap_or_default());
        }
        next_token = page.next_token;
        if next_token.is_none() {
            return Ok(tasks);
        }
    }
}

fn last(arn: Option<&String>) -> String {
    arn.and_then(|arn| arn.rsplit('/').next()).unwrap_or_default().to_owned()
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
    match code {
        Some(code) if status == "STOPPED" => format!("{status} ({code})"),
        _ => status,
    }
}

fn row(task: &Task) -> Vec<String> {
    let images = task.containers.iter().flatten().filter_map(|container| container.image.clone());
    vec![
        last(task.task_arn.as_ref()),
        last(task.cluster_arn.as_ref()),
        last(task.task_definition_arn.as_ref()),
        status(task),
        address(task).unwrap_or_default(),
        images.collect::<Vec<_>>().join(", "),
    ]
}

fn json(task: &Task) -> serde_json::Value {
    serde_json::json!({
        "task": task.task_arn,
        "cluster": task.cluster_arn,
        "definition": task.task_definition_arn,
        "status": task.last_status,
        "stopCode": task.stop_code,
        "stoppedReason": task.stopped_reason,
        "address": address(task),
        "containers": task.containers.iter().flatten().map(|container| serde_json::json!({
            "name": container.name,
            "image": container.image,
            "status": container.last_status,
            "exitCode": container.exit_code,
            "reason": container.reason,
        })).collect::<Vec<_>>(),
    })
}
