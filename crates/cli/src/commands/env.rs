//! `eval "$(boxship env)"`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use base::{AccountId, Region};
use clap::Args;

use crate::place::Place;

#[derive(Debug, Args)]
pub struct EnvArgs {
    /// Region of the requests
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// Account of the requests: twelve digits
    #[arg(long, default_value = "000000000000")]
    account: String,
}

pub fn run(args: &EnvArgs, place: &Place) -> Result<ExitCode> {
    let port = place.address().port();
    // What is printed is evaluated by a shell.
    let region =
        Region::parse(&args.region).with_context(|| format!("'{}' is no region's name", args.region))?;
    let account = AccountId::parse(&args.account);
    let account = account.with_context(|| format!("'{}' is no account: twelve digits", args.account))?;
    let pairs = [
        ("AWS_ENDPOINT_URL", format!("http://localhost:{port}")),
        ("AWS_REGION", region.to_string()),
        ("AWS_DEFAULT_REGION", region.to_string()),
        // The account is the key id; the secret is not looked at in open mode.
        ("AWS_ACCESS_KEY_ID", account.to_string()),
        ("AWS_SECRET_ACCESS_KEY", String::from("boxship")),
    ];
    for (name, value) in pairs {
        println!("export {name}={value}");
    }
    println!("unset AWS_SESSION_TOKEN AWS_PROFILE");
    Ok(ExitCode::SUCCESS)
}
