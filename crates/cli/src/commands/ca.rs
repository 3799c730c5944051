//! `boxship ca`: the local certificate authorities, which clients of HTTPS are to trust.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use base::AccountId;
use clap::{Args, Subcommand};

use crate::client::Client;
use crate::http;

#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Print the certificate that clients are to trust: boxship ca export > ca.pem
    ///
    /// Then, for instance: AWS_CA_BUNDLE=ca.pem aws --endpoint-url https://localhost:4566 …,
    /// or curl --cacert ca.pem https://localhost:4566/
    Export(ExportArgs),
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The account whose authority it is; HTTPS on the one port is the default account's
    #[arg(long, value_name = "ID", value_parser = account)]
    account: Option<AccountId>,
    /// Write to this file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn account(text: &str) -> Result<AccountId, &'static str> {
    AccountId::parse(text).ok_or("an account is twelve digits")
}

pub async fn run(client: &Client, command: CaCommand) -> Result<ExitCode> {
    match command {
        CaCommand::Export(args) => export(client, &args).await,
    }
}

async fn export(client: &Client, args: &ExportArgs) -> Result<ExitCode> {
    let account = args.account.clone().unwrap_or_else(AccountId::default_account);
    let answer = http::get(client.address(), &format!("/_boxship/ca?account={account}")).await?;
    if let Some(refusal) = http::forbidden(&answer) {
        bail!("{refusal}");
    }
    let text = std::str::from_utf8(answer.body()).context("the answer is no text")?;
    if !answer.status().is_success() {
        bail!("the server answered: {}", text.trim());
    }
    match &args.output {
        Some(path) => {
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => print!("{text}"),
    }
    Ok(ExitCode::SUCCESS)
}
