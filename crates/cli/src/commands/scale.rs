//! `boxship scale SERVICE N`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_ecs::op::UpdateService;
use aws_ecs::{Service, UpdateServiceRequest};
use clap::Args;

use super::events::{Story, colored, readable};
use super::find_service::{cluster_name, find, is_stable, look, name};
use crate::client::Client;
use crate::patience::Patience;
use crate::screen::Steps;

const POLL: Duration = Duration::from_millis(150);

#[derive(Debug, Args)]
pub struct ScaleArgs {
    /// The service's name or ARN
    service: String,
    /// How many tasks it should have
    #[arg(value_parser = clap::value_parser!(i32).range(0..))]
    count: i32,
    /// The service's cluster [default: search all]
    #[arg(long)]
    cluster: Option<String>,
    /// Return at once
    #[arg(long, short)]
    detach: bool,
}

pub async fn run(client: &Client, args: &ScaleArgs) -> Result<ExitCode> {
    let service = find(client, &args.service, args.cluster.as_deref()).await?;
    let mut story = Story::default();
    story.fresh(std::slice::from_ref(&service));
    let (cluster, name) = (cluster_name(&service).to_owned(), name(&service).to_owned());
    let request = UpdateServiceRequest {
        cluster: Some(cluster.clone()),
        service: name.clone(),
        desired_count: Some(args.count),
        ..Default::default()
    };
    client.call::<UpdateService>(request).await?;
    if !args.detach {
        let steps = Steps::new(false);
        let stable = until_stable(client, (&cluster, &name), &mut story, &steps);
        tokio::select! {
            stable = stable => {
                stable?;
                steps.end();
            }
            _ = tokio::signal::ctrl_c() => {
                steps.end();
                eprintln!("{name} goes on towards {} tasks", args.count);
                return Ok(ExitCode::from(130));
            }
        }
    }
    println!("{name} {}", args.count);
    Ok(ExitCode::SUCCESS)
}

/// Waits until the service has the tasks that it wants, and tells what happens.
async fn until_stable(
    client: &Client,
    (cluster, name): (&str, &str),
    story: &mut Story,
    steps: &Steps,
) -> Result<Service> {
    let mut patience = Patience::default();
    loop {
        let Some(service) = patience.with(look(client, cluster, name).await).await? else { continue };
        let service = service.context("the service is gone")?;
        for one in story.fresh(std::slice::from_ref(&service)) {
            steps.done(&colored(&readable(&one.text)));
        }
        if is_stable(&service) {
            return Ok(service);
        }
        let (running, desired) =
            (service.running_count.unwrap_or_default(), service.desired_count.unwrap_or_default());
        steps.now(&format!("{name}: {running} of {desired} tasks run"));
        tokio::time::sleep(POLL).await;
    }
}
