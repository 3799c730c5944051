//! `boxship image load` and `boxship image push`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::client::Client;

#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Take an OCI or Docker archive under any name, so that tasks find it without a registry
    Load(LoadArgs),
    /// Push an OCI or Docker archive into ECR; the repository is made where it is missing
    Push(PushArgs),
}

#[derive(Debug, clap::Args)]
pub struct LoadArgs {
    /// The archive: of `docker save`, `skopeo copy … oci-archive:`, `podman save`
    pub file: PathBuf,
    /// The name that task definitions use [default: the archive's own]
    pub name: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct PushArgs {
    /// The archive
    pub file: PathBuf,
    /// Repository and tag: hello:latest
    pub name: String,
}

pub async fn run(client: &Client, command: ImageCommand) -> Result<ExitCode> {
    let _ = (client, command);
    anyhow::bail!("not yet")
}
