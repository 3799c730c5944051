//! The commands, one file each.

mod balancers;
mod ca;
mod env;
mod exec;
pub(crate) mod find;
pub(crate) mod image;
mod inspect;
pub(crate) mod logs;
pub(crate) mod ps;
pub(crate) mod run;
mod stats;
mod status;
mod stop;

pub use ps::reason;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::client::Client;
use crate::place::Place;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print what to set so that the AWS CLI and every SDK find Boxship: eval "$(boxship env)"
    Env(env::EnvArgs),
    /// Say whether the server runs, and what it runs
    Status(status::StatusArgs),
    /// Run an image as a Fargate task and follow its log
    Run(run::RunArgs),
    /// Run a command in a running container; a shell where none is given
    Exec(exec::ExecArgs),
    /// List tasks
    Ps(ps::PsArgs),
    /// Print a task's log
    Logs(logs::LogsArgs),
    /// Stop tasks, and wait until they have stopped
    Stop(stop::StopArgs),
    /// List load balancers, how to reach them, and how their targets are
    Balancers(balancers::BalancersArgs),
    /// Print everything that the API says of a task
    Inspect(inspect::InspectArgs),
    /// Show what containers use; q ends it
    #[command(visible_alias = "top")]
    Stats(stats::StatsArgs),
    /// The local certificate authority: what clients of HTTPS are to trust
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// Load and push images
    #[command(subcommand)]
    Image(image::ImageCommand),
}

/// Runs a command; its exit code is the command's own (a task's, for `run`).
pub async fn run(command: Command, place: &Place) -> Result<ExitCode> {
    // Images are pushed to the default account's registry, whose name is the server's.
    let client = match command {
        Command::Image(_) => Client::new(place.address()),
        _ => Client::of_shell(place.address()),
    };
    match command {
        Command::Env(args) => env::run(&args, place),
        Command::Status(args) => status::run(&client, &args).await,
        Command::Run(args) => run::run(&client, args).await,
        Command::Exec(args) => exec::run(&client, args).await,
        Command::Ps(args) => ps::run(&client, &args).await,
        Command::Logs(args) => logs::run(&client, &args).await,
        Command::Stop(args) => stop::run(&client, &args).await,
        Command::Balancers(args) => balancers::run(&client, &args).await,
        Command::Inspect(args) => inspect::run(&client, &args).await,
        Command::Stats(args) => stats::run(&client, &args).await,
        Command::Ca(command) => ca::run(&client, command).await,
        Command::Image(command) => image::run(&client, command).await,
    }
}
