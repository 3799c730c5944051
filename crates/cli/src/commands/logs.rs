//! `boxship logs TASK`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_ecs::op::{DescribeTaskDefinition, DescribeTasks, ListClusters};
use aws_ecs::{DescribeTaskDefinitionRequest, DescribeTasksRequest, ListClustersRequest, Task};
use aws_logs::GetLogEventsRequest;
use aws_logs::op::GetLogEvents;
use clap::Args;

use crate::client::{Client, refused_with};

const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Task id or ARN
    task: String,
    /// Go on until the task stops
    #[arg(long, short)]
    follow: bool,
    /// Only this container's
    #[arg(long)]
    container: Option<String>,
    /// The task's cluster [default: search all]
    #[arg(long)]
    cluster: Option<String>,
}

/// Reads a stream from where it left off.
pub struct Follower {
    group: String,
    stream: String,
    token: Option<String>,
}

impl Follower {
    pub fn new(group: &str, stream: &str) -> Self {
        Follower { group: group.to_owned(), stream: stream.to_owned(), token: None }
    }

    /// Prints what is new.
    pub async fn print(&mut self, client: &Client) -> Result<()> {
        for line in self.lines(client).await? {
            println!("{line}");
        }
        Ok(())
    }

    /// What is new. A stream that is not there yet is empty.
    pub async fn lines(&mut self, client: &Client) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let request = GetLogEventsRequest {
                log_group_name: Some(self.group.clone()),
                log_stream_name: self.stream.clone(),
                next_token: self.token.clone(),
                start_from_head: Some(true),
                ..Default::default()
            };
            let page = match client.call::<GetLogEvents>(request).await {
                Err(error) if refused_with(&error, "ResourceNotFoundException") => return Ok(lines),
                other => other?,
            };
            let events = page.events.unwrap_or_default();
            let is_end = events.is_empty();
            lines.extend(events.into_iter().map(|event| event.message.unwrap_or_default()));
            self.token = page.next_forward_token.or_else(|| self.token.take());
            if is_end {
                return Ok(lines);
            }
        }
    }
}

pub async fn run(client: &Client, args: &LogsArgs) -> Result<ExitCode> {
    let (cluster, task) = find(client, args).await?;
    let mut streams = streams(client, &task, args.container.as_deref()).await?;
    if streams.is_empty() {
        bail!("no container of this task logs to CloudWatch Logs (logConfiguration awslogs)");
    }
    loop {
        let is_over = !args.follow
            || describe(client, &cluster, &args.task).await?.is_none_or(|task| is_stopped(&task));
        for stream in &mut streams {
            stream.print(client).await?;
        }
        if is_over {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn is_stopped(task: &Task) -> bool {
    task.last_status.as_deref() == Some("STOPPED")
}

async fn find(client: &Client, args: &LogsArgs) -> Result<(String, Task)> {
    let named = args.cluster.clone().or_else(|| {
        let resource = args.task.split(":task/").nth(1)?;
        resource.split('/').next().map(str::to_owned)
    });
    let clusters = match named {
        Some(cluster) => vec![cluster],
        None => client
            .call::<ListClusters>(ListClustersRequest::default())
            .await?
            .cluster_arns
            .unwrap_or_default(),
    };
    for cluster in clusters {
        if let Some(task) = describe(client, &cluster, &args.task).await? {
            return Ok((cluster, task));
        }
    }
    bail!("no task {}: `boxship ps --all` lists those of the last hour", args.task)
}

async fn describe(client: &Client, cluster: &str, task: &str) -> Result<Option<Task>> {
    let request = DescribeTasksRequest {
        cluster: Some(cluster.to_owned()),
        tasks: vec![task.to_owned()],
        ..Default::default()
    };
    Ok(client.call::<DescribeTasks>(request).await?.tasks.into_iter().flatten().next())
}

async fn streams(client: &Client, task: &Task, only: Option<&str>) -> Result<Vec<Follower>> {
    let arn = task.task_arn.clone().unwrap_or_default();
    let id = arn.rsplit('/').next().unwrap_or_default();
    let definition = task.task_definition_arn.clone().context("the task has no definition")?;
    let request = DescribeTaskDefinitionRequest { task_definition: definition, ..Default::default() };
    let definition = client.call::<DescribeTaskDefinition>(request).await?.task_definition;
    let containers = definition.and_then(|definition| definition.container_definitions).unwrap_or_default();
    let wanted =
        containers.iter().filter(|container| only.is_none_or(|only| container.name.as_deref() == Some(only)));
    Ok(wanted
        .filter_map(|container| {
            let options = container.log_configuration.as_ref()?.options.as_ref()?;
            let group = options.get("awslogs-group")?;
            let name = container.name.as_deref()?;
            let stream = match options.get("awslogs-stream-prefix") {
                Some(prefix) => format!("{prefix}/{name}/{id}"),
                None => format!("{name}/{id}"),
            };
            Some(Follower::new(group, &stream))
        })
        .collect())
}
