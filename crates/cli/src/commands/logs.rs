//! `boxship logs TASK`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_ecs::op::DescribeTaskDefinition;
use aws_ecs::{ContainerDefinition, DescribeTaskDefinitionRequest, Task};
use aws_logs::GetLogEventsRequest;
use aws_logs::op::GetLogEvents;
use base::Timestamp;
use clap::Args;
use serde_json::{Value, json};

use super::find;
use crate::client::{Client, refused_with};
use crate::http;
use crate::patience::{Patience, is_away};
use crate::screen::{Color, paint};

const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub struct LogsArgs {
    /// A task's id, the beginning of one, its ARN, or a family with one running task
    task: String,
    /// Go on until the task stops
    #[arg(long, short)]
    follow: bool,
    /// Only this container's
    #[arg(long, short)]
    container: Option<String>,
    /// The task's cluster [default: search all]
    #[arg(long)]
    cluster: Option<String>,
    /// A JSON object a line
    #[arg(long)]
    json: bool,
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
        Ok(self.events(client).await?.into_iter().map(|event| event.text).collect())
    }

    async fn events(&mut self, client: &Client) -> Result<Vec<Line>> {
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
                // What is read already is not read again.
                Err(error) if is_away(&error) && !lines.is_empty() => return Ok(lines),
                other => other?,
            };
            let events = page.events.unwrap_or_default();
            let is_end = events.is_empty();
            lines.extend(events.into_iter().map(|event| Line {
                at: Timestamp::from_millis(event.timestamp.unwrap_or_default()).iso8601(),
                text: event.message.unwrap_or_default(),
            }));
            self.token = page.next_forward_token.or_else(|| self.token.take());
            if is_end {
                return Ok(lines);
            }
        }
    }
}

/// One event.
struct Line {
    /// ISO 8601 in UTC, so that text sorts as time.
    at: String,
    text: String,
}

/// One container's output, wherever it is kept.
struct Source {
    container: String,
    kept: Kept,
}

enum Kept {
    Stream(Follower),
    /// By the `json-file` driver, on the task's host; read up to this byte.
    File {
        task: String,
        next: u64,
    },
}

pub async fn run(client: &Client, args: &LogsArgs) -> Result<ExitCode> {
    let (cluster, task) = find::find(client, &args.task, args.cluster.as_deref()).await?;
    let arn = task.task_arn.clone().unwrap_or_default();
    let mut sources = sources(client, &task, args.container.as_deref()).await?;
    let width = sources.iter().map(|source| source.container.len()).max().unwrap_or_default();
    let has_several = sources.len() > 1;
    let mut patience = Patience::default();
    loop {
        let Some(is_over) = patience.with(is_over(client, &cluster, &arn, args.follow).await).await? else {
            continue;
        };
        let mut fresh = Vec::new();
        for (nth, source) in sources.iter_mut().enumerate() {
            let lines = loop {
                if let Some(lines) = patience.with(source.lines(client).await).await? {
                    break lines;
                }
            };
            fresh.extend(lines.into_iter().map(|line| (nth, line)));
        }
        // As it happened; what one container wrote at once stays as it wrote it.
        fresh.sort_by(|(_, a), (_, b)| a.at.cmp(&b.at));
        for (nth, line) in fresh {
            let container = &sources[nth].container;
            if args.json {
                println!("{}", json!({ "time": line.at, "container": container, "message": line.text }));
            } else if has_several {
                let prefix = format!("{container:width$} |");
                println!("{} {}", paint(&prefix, Color::Of(nth)), line.text);
            } else {
                println!("{}", line.text);
            }
        }
        if is_over {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The last lines of a task's containers, as they happened.
pub async fn tail(client: &Client, task: &Task, count: usize) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for mut source in sources(client, task, None).await? {
        lines.extend(source.lines(client).await?);
    }
    lines.sort_by(|a, b| a.at.cmp(&b.at));
    let first = lines.len().saturating_sub(count);
    Ok(lines.split_off(first).into_iter().map(|line| line.text).collect())
}

/// Whether no more comes than what is there now.
async fn is_over(client: &Client, cluster: &str, arn: &str, follow: bool) -> Result<bool> {
    Ok(!follow || find::describe(client, cluster, arn).await?.is_none_or(|task| find::is_stopped(&task)))
}

impl Source {
    async fn lines(&mut self, client: &Client) -> Result<Vec<Line>> {
        match &mut self.kept {
            Kept::Stream(follower) => follower.events(client).await,
            Kept::File { task, next } => {
                let mut lines = Vec::new();
                loop {
                    let path =
                        format!("/_boxship/output?task={task}&container={}&from={next}", self.container);
                    let answer = match http::get(client.address(), &path).await {
                        Err(error) if is_away(&error) && !lines.is_empty() => return Ok(lines),
                        other => other?,
                    };
                    if !answer.status().is_success() {
                        // Nothing was written yet, or all of it is gone.
                        return Ok(lines);
                    }
                    let part: Value = serde_json::from_slice(answer.body())?;
                    *next = part["next"].as_u64().unwrap_or(*next);
                    let before = lines.len();
                    lines.extend(part["lines"].as_array().into_iter().flatten().map(|line| Line {
                        at: line["time"].as_str().unwrap_or_default().to_owned(),
                        text: line["log"].as_str().unwrap_or_default().trim_end_matches('\n').to_owned(),
                    }));
                    // An answer has a bound; what is left is in the next.
                    if lines.len() == before {
                        return Ok(lines);
                    }
                }
            }
        }
    }
}

/// What can be read of the task's containers; an error that says why where nothing can.
async fn sources(client: &Client, task: &Task, only: Option<&str>) -> Result<Vec<Source>> {
    let definition = task.task_definition_arn.clone().context("the task has no definition")?;
    let request = DescribeTaskDefinitionRequest { task_definition: definition, ..Default::default() };
    let definition = client.call::<DescribeTaskDefinition>(request).await?.task_definition;
    let containers = definition.and_then(|definition| definition.container_definitions).unwrap_or_default();
    let names: Vec<&str> = containers.iter().filter_map(|container| container.name.as_deref()).collect();
    if let Some(only) = only.filter(|only| !names.contains(only)) {
        bail!("the task has no container {only}, only: {}", names.join(", "));
    }
    let wanted =
        containers.iter().filter(|container| only.is_none_or(|only| container.name.as_deref() == Some(only)));
    let sources: Vec<Source> = wanted.filter_map(|container| source(container, find::id(task))).collect();
    if sources.is_empty() {
        bail!(
            "no container of this task keeps its output where it can be read: give it a logConfiguration \
             with awslogs or json-file"
        );
    }
    Ok(sources)
}

fn source(container: &ContainerDefinition, task: &str) -> Option<Source> {
    let name = container.name.clone()?;
    let log = container.log_configuration.as_ref()?;
    let option = |name: &str| log.options.as_ref().and_then(|options| options.get(name));
    let kept = match log.log_driver.as_str() {
        "awslogs" => {
            let stream = match option("awslogs-stream-prefix") {
                Some(prefix) => format!("{prefix}/{name}/{task}"),
                None => format!("{name}/{task}"),
            };
            Kept::Stream(Follower::new(option("awslogs-group")?, &stream))
        }
        "json-file" => Kept::File { task: task.to_owned(), next: 0 },
        _ => return None,
    };
    Some(Source { container: name, kept })
}
