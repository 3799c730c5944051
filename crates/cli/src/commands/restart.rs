//! `boxship restart SERVICE`: new tasks of the same definition, rolled out as a new one would be.

use std::process::ExitCode;

use anyhow::Result;
use aws_ecs::UpdateServiceRequest;
use aws_ecs::op::UpdateService;
use clap::Args;

use super::find_service::{cluster_name, find, name};
use super::watch::{begun, conclude};
use crate::client::Client;
use crate::screen::Steps;

#[derive(Debug, Args)]
pub struct RestartArgs {
    /// The service's name or ARN
    service: String,
    /// The service's cluster [default: search all]
    #[arg(long)]
    cluster: Option<String>,
    /// Return at once
    #[arg(long, short)]
    detach: bool,
}

pub async fn run(client: &Client, args: &RestartArgs) -> Result<ExitCode> {
    let service = find(client, &args.service, args.cluster.as_deref()).await?;
    let request = UpdateServiceRequest {
        cluster: Some(cluster_name(&service).to_owned()),
        service: name(&service).to_owned(),
        force_new_deployment: Some(true),
        ..Default::default()
    };
    let updated = client.call::<UpdateService>(request).await?.service.unwrap_or_default();
    if !args.detach {
        let watched = begun(client, &updated).await?;
        if let Err(code) = conclude(client, &watched, &Steps::new(false)).await? {
            return Ok(code);
        }
    }
    println!("{}", name(&service));
    Ok(ExitCode::SUCCESS)
}
