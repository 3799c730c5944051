//! `boxship deploy IMAGE`: an image becomes a service behind a load balancer, or its new version, by
//! the same calls that anybody would make.
//!
//! Everything that is missing is made, everything that is there and is ours is kept, and what is not
//! said stays as it was: running it twice changes nothing. What it makes carries the tag
//! [`names::TAG`], so that `boxship destroy` finds it, and nothing else, again.

pub mod balancer;
pub mod names;
pub mod network;
mod program;
pub mod resources;
mod service;
mod strategy;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use self::names::Names;
use self::service::Present;
use self::strategy::Strategy;
use super::balancers::Links;
use super::destroy;
use super::find_service::name;
use super::run::family;
use super::services::of_service;
use super::watch::{Watched, begun, conclude};
use crate::client::Client;
use crate::screen::Steps;

/// Seconds that a request under way may take once its task has to go. AWS: 300, which makes every
/// rollout minutes longer; a service with slow requests says so.
pub const DRAIN: u32 = 5;

#[derive(Debug, Clone, Default, Args)]
pub struct DeployArgs {
    /// As a task definition names it: localhost:4566/web:latest is in this ECR, web:1 on Docker Hub
    pub image: String,
    /// Instead of the image's command
    #[arg(last = true)]
    pub command: Vec<String>,
    /// Name of the service and of what is made for it [default: from the image]
    #[arg(long)]
    pub name: Option<String>,
    #[arg(long, default_value = "default")]
    pub cluster: String,
    /// The port that the container listens on [default: 80]
    #[arg(long, short)]
    pub port: Option<u16>,
    /// Tasks [default: 1]
    #[arg(long, short = 'n', value_parser = clap::value_parser!(i32).range(0..))]
    pub count: Option<i32>,
    /// CPU units of a task: 256, 512, 1024, 2048, 4096 … [default: 256]
    #[arg(long)]
    pub cpu: Option<String>,
    /// Memory of a task in MiB [default: 512]
    #[arg(long)]
    pub memory: Option<String>,
    /// NAME=VALUE (repeatable)
    #[arg(long, short)]
    pub env: Vec<String>,
    /// Take a variable of the last version away (repeatable)
    #[arg(long, value_name = "NAME")]
    pub unset: Vec<String>,
    /// ARN of the role whose credentials the program gets [default: one without further rights]
    #[arg(long, value_name = "ARN")]
    pub task_role: Option<String>,
    /// What the balancer asks a task for to know that it is well [default: /]
    #[arg(long, value_name = "PATH")]
    pub health_path: Option<String>,
    /// Seconds in which failed health checks do not count against a new task [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i32).range(0..))]
    pub grace: Option<i32>,
    /// Seconds that requests under way may take once their task has to go [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub drain: Option<u32>,
    /// A balancer that everybody may reach; the default
    #[arg(long, conflicts_with_all = ["internal", "no_balancer"])]
    pub public: bool,
    /// A balancer that only the VPC reaches
    #[arg(long, conflicts_with = "no_balancer")]
    pub internal: bool,
    /// Tasks alone, each at its own address
    #[arg(long, conflicts_with_all = ["health_path", "drain", "grace"])]
    pub no_balancer: bool,
    /// How a new version takes over [default: rolling]
    #[arg(long, value_enum)]
    pub strategy: Option<Strategy>,
    /// Minutes that a new version is watched for while the old one stays, not with rolling [default: 1]
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(0..=1440))]
    pub bake: Option<u32>,
    /// Percent of the traffic of a canary, or of each linear step [default: 10]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub step: Option<u32>,
    /// Seconds without a request after which no task is kept; the next request waits for one. 0: never
    #[arg(long, value_name = "SECONDS", conflicts_with = "no_balancer")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub scale_to_zero: Option<u32>,
    /// Roll out also where nothing has changed
    #[arg(long)]
    pub force: bool,
    /// Return once the deployment has begun
    #[arg(long, short)]
    pub detach: bool,
    /// Remove the service and all that was made for it, as `boxship destroy` does
    #[arg(long)]
    pub delete: bool,
    /// With --delete: without asking
    #[arg(long, requires = "delete")]
    pub yes: bool,
}

impl DeployArgs {
    /// For whom the balancer is to be, where it is said.
    fn scheme(&self) -> Option<&'static str> {
        match (self.public, self.internal) {
            (true, _) => Some("internet-facing"),
            (_, true) => Some("internal"),
            _ => None,
        }
    }
}

pub async fn run(client: &Client, args: &DeployArgs) -> Result<ExitCode> {
    let named = args.name.clone().unwrap_or_else(|| family(&args.image));
    if args.delete {
        let args = destroy::DestroyArgs { service: named, cluster: args.cluster.clone(), yes: args.yes };
        return destroy::run(client, &args).await;
    }
    let steps = Steps::new(false);
    let watched = deploy(client, args, &steps).await?;
    if args.detach {
        steps.end();
        println!("{}", watched.service);
        return Ok(ExitCode::SUCCESS);
    }
    match conclude(client, &watched, &steps).await? {
        Err(code) => Ok(code),
        Ok(ended) => {
            let links = of_service(client, &ended.service).await;
            print_links(name(&ended.service), &links, ended.service.load_balancers.is_some());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Makes or updates the service, and does not wait for its deployment.
pub async fn deploy(client: &Client, args: &DeployArgs, steps: &Steps) -> Result<Watched> {
    let named = args.name.clone().unwrap_or_else(|| family(&args.image));
    let names = Names::new(&args.cluster, &named, client.region())?;
    // All that can be refused is refused before anything is made.
    let digest = resources::digest(client, &args.image).await?;
    let present = Present::look(client, &names).await?;
    present.check(args)?;
    let program = program::Program::told(present.program(&names)?, args)?;
    let (strategy, configuration) = strategy::told(present.configuration(), args)?;
    let has_balancer = match &present.service {
        Some(service) => service.load_balancers.iter().flatten().next().is_some(),
        None => !args.no_balancer,
    };
    if !has_balancer && strategy.is_shifting() {
        bail!("{named} has no balancer whose traffic could be shifted");
    }
    let definition = service::register(client, &present, &names, &program).await?;
    steps.now("preparing the cluster, the role and the log group");
    resources::cluster(client, &names).await?;
    let role = resources::role(client, &names).await?;
    resources::log_group(client, &names).await?;
    steps.now("preparing security groups and the load balancer");
    let network = network::network(client).await?;
    let tasks_port = (!has_balancer).then_some(program.port);
    let is_public = !args.internal && !present.is_internal(client, &names).await?;
    let groups = network::groups(client, &names, &network, is_public, tasks_port).await?;
    let balancer = match &groups.front {
        Some(front) => {
            let wanted = balancer::Wanted {
                front,
                port: program.port,
                health_path: args.health_path.as_deref(),
                drain_seconds: args.drain,
                scheme: args.scheme(),
                is_shifting: strategy.is_shifting(),
                role: &role,
            };
            Some(balancer::ensure(client, &names, &network, &wanted).await?)
        }
        None => None,
    };
    let told = service::Told { names: &names, definition, configuration, network, groups, balancer, digest };
    steps.now("asking for the service");
    let (updated, is_new, has_begun) = service::ask(client, &present, told, args).await?;
    if is_new {
        steps.done(&format!("made the service {named} in the cluster {}", names.cluster));
    } else if !has_begun {
        steps.done(&format!("{named} runs this already: no new deployment"));
    }
    begun(client, &updated).await
}

fn print_links(service: &str, links: &Links, has_balancer: bool) {
    match links.all()[..] {
        [] if has_balancer => println!("{service} is up (SIMULATED: its load balancer serves no request)"),
        [] => println!("{service} is up: `boxship ps` shows its tasks' addresses"),
        [first, ref more @ ..] => {
            println!("{service} is up at {first}");
            more.iter().for_each(|link| println!("{:1$} or at {link}", "", service.len()));
        }
    }
}
