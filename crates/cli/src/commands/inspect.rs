//! `boxship inspect TASK`: everything that the API says of a task, as JSON.

use std::process::ExitCode;

use anyhow::{Context, Result};
use aws_ecs::DescribeTaskDefinitionRequest;
use aws_ecs::op::{DescribeTaskDefinition, DescribeTasks};
use clap::Args;
use serde_json::{Value, json};

use super::find;
use crate::client::Client;

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A task's id, the beginning of one, its ARN, or a family with one running task
    task: String,
    /// The task's cluster [default: search all]
    #[arg(long)]
    cluster: Option<String>,
    /// As JSON, which it is anyway
    #[arg(long)]
    json: bool,
}

pub async fn run(client: &Client, args: &InspectArgs) -> Result<ExitCode> {
    let (_, task) = find::find(client, &args.task, args.cluster.as_deref()).await?;
    let request = DescribeTaskDefinitionRequest {
        task_definition: task.task_definition_arn.clone().context("the task has no definition")?,
        ..Default::default()
    };
    let definition = client.call::<DescribeTaskDefinition>(request).await?;
    let answer = aws_ecs::DescribeTasksResponse { tasks: Some(vec![task]), ..Default::default() };
    let task = value::<DescribeTasks>(&answer)?["tasks"][0].take();
    let definition = value::<DescribeTaskDefinition>(&definition)?["taskDefinition"].take();
    println!("{:#}", json!({ "task": task, "taskDefinition": definition }));
    Ok(ExitCode::SUCCESS)
}

/// A shape as the API writes it.
fn value<O: wire::Operation>(output: &O::Output) -> Result<Value> {
    let encoded = wire::encode(wire::Protocol::AwsJson11, &aws_ecs::API, O::DEFINITION, output, "");
    serde_json::from_slice(&encoded.body).context("an answer is no JSON")
}
