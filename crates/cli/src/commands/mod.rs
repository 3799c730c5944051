//! The commands, one file each.

mod balancers;
mod ca;
pub(crate) mod deploy;
mod destroy;
mod env;
pub(crate) mod events;
mod exec;
pub(crate) mod find;
pub(crate) mod find_service;
pub(crate) mod image;
mod inspect;
pub(crate) mod logs;
pub(crate) mod ps;
mod restart;
mod rollback;
pub(crate) mod run;
mod scale;
pub(crate) mod services;
mod stats;
mod status;
mod stop;
pub(crate) mod watch;

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
    /// Make an image a service behind a load balancer, or roll a new version of it out, and wait for the end
    Deploy(deploy::DeployArgs),
    /// Remove all that `deploy` has made for a service
    Destroy(destroy::DestroyArgs),
    /// List services, how many of their tasks run, how their deployments stand, and links
    Services(services::ServicesArgs),
    /// Tell what happened to a service, or to all
    Events(events::EventsArgs),
    /// Set how many tasks a service has, and wait until it has them
    Scale(scale::ScaleArgs),
    /// Undo the deployment under way, or go back to what a service ran before
    Rollback(rollback::RollbackArgs),
    /// Replace a service's tasks by new ones of the same definition
    Restart(restart::RestartArgs),
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
        Command::Deploy(args) => deploy::run(&client, &args).await,
        Command::Destroy(args) => destroy::run(&client, &args).await,
        Command::Services(args) => services::run(&client, &args).await,
        Command::Events(args) => events::run(&client, &args).await,
        Command::Scale(args) => scale::run(&client, &args).await,
        Command::Rollback(args) => rollback::run(&client, &args).await,
        Command::Restart(args) => restart::run(&client, &args).await,
        Command::Balancers(args) => balancers::run(&client, &args).await,
        Command::Inspect(args) => inspect::run(&client, &args).await,
        Command::Stats(args) => stats::run(&client, &args).await,
        Command::Ca(command) => ca::run(&client, command).await,
        Command::Image(command) => image::run(&client, command).await,
    }
}
