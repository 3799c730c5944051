//! `eval "$(boxship env)"`.

use std::process::ExitCode;

use anyhow::Result;
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
    let pairs = [
        ("AWS_ENDPOINT_URL", format!("http://localhost:{port}")),
        ("AWS_REGION", args.region.clone()),
        ("AWS_DEFAULT_REGION", args.region.clone()),
        // The account is the key id; the secret is not looked at in open mode.
        ("AWS_ACCESS_KEY_ID", args.account.clone()),
        ("AWS_SECRET_ACCESS_KEY", String::from("boxship")),
    ];
    for (name, value) in pairs {
        println!("export {name}={value}");
    }
    println!("unset AWS_SESSION_TOKEN AWS_PROFILE");
    Ok(ExitCode::SUCCESS)
}
