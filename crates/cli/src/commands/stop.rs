//! `boxship stop TASK …`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use aws_ecs::StopTaskRequest;
use aws_ecs::op::StopTask;
use clap::Args;

use super::find;
use crate::client::Client;
use crate::screen::Steps;

const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub struct StopArgs {
    /// A task's id, the beginning of one, its ARN, or a family with one running task
    #[arg(required = true, value_name = "TASK")]
    tasks: Vec<String>,
    /// What the API answers as the reason
    #[arg(long, default_value = "boxship stop")]
    reason: String,
    /// The tasks' cluster [default: search all]
    #[arg(long)]
    cluster: Option<String>,
    /// Return at once: the containers have their stop time-outs
    #[arg(long, short)]
    detach: bool,
}

pub async fn run(client: &Client, args: &StopArgs) -> Result<ExitCode> {
    let mut stopping = Vec::new();
    // All are found before any is stopped: a typo stops nothing.
    for named in &args.tasks {
        let (cluster, task) = find::find(client, named, args.cluster.as_deref()).await?;
        stopping.push((cluster, task.task_arn.clone().unwrap_or_default()));
    }
    for (cluster, arn) in &stopping {
        let request = StopTaskRequest {
            cluster: Some(cluster.clone()),
            task: arn.clone(),
            reason: Some(args.reason.clone()),
        };
        client.call::<StopTask>(request).await?;
    }
    let steps = Steps::new(false);
    for (cluster, arn) in &stopping {
        let id = find::last(Some(arn));
        while !args.detach
            && let Some(task) = find::describe(client, cluster, arn).await?
            && !find::is_stopped(&task)
        {
            steps.now(&format!("stopping {id}"));
            tokio::time::sleep(POLL).await;
        }
    }
    steps.end();
    stopping.iter().for_each(|(_, arn)| println!("{}", find::last(Some(arn))));
    Ok(ExitCode::SUCCESS)
}
