//! `boxship run IMAGE [-- CMD]`: a Fargate task by the same calls that anybody would make.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_ec2::op::DescribeSubnets;
use aws_ec2::{DescribeSubnetsRequest, Filter};
use aws_ecs as ecs;
use aws_ecs::op::{CreateCluster, RegisterTaskDefinition, RunTask, StopTask};
use aws_iam::op::{AttachRolePolicy, CreateRole};
use aws_iam::{AttachRolePolicyRequest, CreateRoleRequest};
use clap::Args;

use crate::client::{Client, refused_with};
use crate::commands::find;
use crate::commands::logs::Follower;
use crate::commands::ps::address;
use crate::http;
use crate::patience::Patience;
use crate::screen::Steps;

const ROLE: &str = "boxship-run";
const LOG_GROUP: &str = "/boxship/run";
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub struct RunArgs {
    /// As a task definition names it: localhost:4566/hello:1 is in this ECR, hello:1 on Docker Hub
    image: String,
    /// Instead of the image's command
    #[arg(last = true)]
    command: Vec<String>,
    /// Name of the container and of the task definition's family [default: from the image]
    #[arg(long)]
    name: Option<String>,
    #[arg(long, default_value = "default")]
    cluster: String,
    /// CPU units: 256, 512, 1024, 2048, 4096 …
    #[arg(long, default_value = "256")]
    cpu: String,
    /// Memory in MiB
    #[arg(long, default_value = "512")]
    memory: String,
    /// NAME=VALUE (repeatable)
    #[arg(long, short)]
    env: Vec<String>,
    /// A port that the container listens on, for information (repeatable)
    #[arg(long, short)]
    port: Vec<u16>,
    /// Return once the task runs
    #[arg(long, short)]
    detach: bool,
    /// Print the container's output only
    #[arg(long, short)]
    quiet: bool,
}

impl RunArgs {
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| family(&self.image))
    }
}

/// A task that was started.
pub struct Running {
    cluster: String,
    arn: String,
    container: String,
}

impl Running {
    pub fn id(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or(&self.arn)
    }

    /// Its log stream in [`LOG_GROUP`].
    pub fn stream(&self) -> String {
        format!("{0}/{0}/{1}", self.container, self.id())
    }
}

/// Runs the task; answers with its container's exit code.
pub async fn run(client: &Client, args: RunArgs) -> Result<ExitCode> {
    let steps = Steps::new(args.quiet);
    let task = start(client, &args, &steps).await?;
    if args.detach {
        let state = until_running(client, &task, &steps).await?;
        steps.end();
        println!("{}", task.id());
        return Ok(outcome(&state));
    }
    let mut following = std::pin::pin!(follow(client, &args, &task, &steps));
    tokio::select! {
        outcome = &mut following => outcome,
        _ = tokio::signal::ctrl_c() => {
            steps.end();
            eprintln!("stopping {} …", task.id());
            let request = ecs::StopTaskRequest {
                cluster: Some(task.cluster.clone()),
                task: task.arn.clone(),
                reason: Some(String::from("boxship run was interrupted")),
            };
            client.call::<StopTask>(request).await?;
            // Its last words still come.
            following.await
        }
    }
}

/// Waits until the task runs, or has stopped.
pub async fn until_running(client: &Client, task: &Running, steps: &Steps) -> Result<ecs::Task> {
    wait(client, task, steps, |status| matches!(status, "RUNNING" | "STOPPED")).await
}

/// Makes what the task needs, and starts it.
pub async fn start(client: &Client, args: &RunArgs, steps: &Steps) -> Result<Running> {
    steps.now("preparing the cluster, the execution role and the task definition");
    // The default one is made where it is missing, as AWS's console does; any other must exist.
    if args.cluster == "default" {
        client.call::<CreateCluster>(ecs::CreateClusterRequest::default()).await?;
    }
    let role = execution_role(client).await?;
    let definition =
        client.call::<RegisterTaskDefinition>(definition(args, &role, client.region().as_str())?).await?;
    let definition = definition.task_definition.and_then(|definition| definition.task_definition_arn);
    let definition = definition.context("RegisterTaskDefinition answered without a definition")?;
    // There may be other VPCs, whose subnets lead nowhere.
    let of_default =
        Filter { name: Some(String::from("default-for-az")), values: Some(vec![String::from("true")]) };
    let request = DescribeSubnetsRequest { filters: Some(vec![of_default]), ..Default::default() };
    let subnets = client.call::<DescribeSubnets>(request).await?.subnets;
    let subnet = subnets.into_iter().flatten().find_map(|subnet| subnet.subnet_id);
    let network = ecs::AwsVpcConfiguration {
        subnets: vec![subnet.context("the default VPC has no subnet")?],
        assign_public_ip: Some(String::from("ENABLED")),
        ..Default::default()
    };
    let request = ecs::RunTaskRequest {
        cluster: Some(args.cluster.clone()),
        task_definition: definition,
        launch_type: Some(String::from("FARGATE")),
        network_configuration: Some(ecs::NetworkConfiguration { awsvpc_configuration: Some(network) }),
        // So that `boxship exec` works.
        enable_execute_command: Some(true),
        started_by: Some(String::from("boxship-run")),
        ..Default::default()
    };
    let answer = client.call::<RunTask>(request).await?;
    if let Some(failure) = answer.failures.into_iter().flatten().next() {
        bail!("the task was not started: {}", failure.reason.unwrap_or_default());
    }
    let arn = answer.tasks.into_iter().flatten().find_map(|task| task.task_arn);
    let arn = arn.context("RunTask answered without a task")?;
    Ok(Running { cluster: args.cluster.clone(), arn, container: args.name() })
}

/// The role that pulls and logs; made where it is missing.
async fn execution_role(client: &Client) -> Result<String> {
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    let request = CreateRoleRequest {
        role_name: ROLE.to_owned(),
        assume_role_policy_document: trust.to_owned(),
        ..Default::default()
    };
    match client.call::<CreateRole>(request).await {
        Err(error) if !refused_with(&error, "EntityAlreadyExists") => return Err(error),
        Err(_) => {}
        Ok(_) => {
            let policy = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";
            let request =
                AttachRolePolicyRequest { role_name: ROLE.to_owned(), policy_arn: policy.to_owned() };
            client.call::<AttachRolePolicy>(request).await?;
        }
    }
    Ok(format!("arn:aws:iam::{}:role/{ROLE}", client.account()))
}

fn definition(args: &RunArgs, role: &str, region: &str) -> Result<ecs::RegisterTaskDefinitionRequest> {
    let name = args.name();
    let environment: Result<Vec<_>> = args
        .env
        .iter()
        .map(|pair| {
            let (name, value) =
                pair.split_once('=').with_context(|| format!("--env {pair}: expected NAME=VALUE"))?;
            Ok(ecs::KeyValuePair { name: Some(name.to_owned()), value: Some(value.to_owned()) })
        })
        .collect();
    let options = [
        ("awslogs-group", LOG_GROUP.to_owned()),
        ("awslogs-region", region.to_owned()),
        ("awslogs-stream-prefix", name.clone()),
        ("awslogs-create-group", String::from("true")),
    ];
    let ports = args.port.iter().map(|port| ecs::PortMapping {
        container_port: Some(i32::from(*port)),
        protocol: Some(String::from("tcp")),
        ..Default::default()
    });
    let container = ecs::ContainerDefinition {
        name: Some(name.clone()),
        image: Some(args.image.clone()),
        essential: Some(true),
        command: (!args.command.is_empty()).then(|| args.command.clone()),
        environment: Some(environment?),
        port_mappings: Some(ports.collect()),
        log_configuration: Some(ecs::LogConfiguration {
            log_driver: String::from("awslogs"),
            options: Some(
                options.map(|(key, value)| (key.to_owned(), value)).into_iter().collect::<BTreeMap<_, _>>(),
            ),
            ..Default::default()
        }),
        ..Default::default()
    };
    Ok(ecs::RegisterTaskDefinitionRequest {
        family: name,
        requires_compatibilities: Some(vec![String::from("FARGATE")]),
        network_mode: Some(String::from("awsvpc")),
        cpu: Some(args.cpu.clone()),
        memory: Some(args.memory.clone()),
        execution_role_arn: Some(role.to_owned()),
        // AWS: execute command asks for one.
        task_role_arn: Some(role.to_owned()),
        container_definitions: vec![container],
        ..Default::default()
    })
}

/// `localhost:4566/team/web:1` → `web`.
pub fn family(image: &str) -> String {
    let path = image.split('@').next().unwrap_or(image);
    let last = path.rsplit('/').next().unwrap_or(path);
    let name = last.split(':').next().unwrap_or(last);
    let clean: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    if clean.is_empty() { String::from("run") } else { clean }
}

async fn follow(client: &Client, args: &RunArgs, task: &Running, steps: &Steps) -> Result<ExitCode> {
    let state = until_running(client, task, steps).await?;
    if let Some(address) = address(&state)
        && state.last_status.as_deref() == Some("RUNNING")
    {
        steps.done(&format!("task {} runs at {address}", task.id()));
    }
    steps.end();
    let mut log = Follower::new(LOG_GROUP, &task.stream());
    let mut patience = Patience::default();
    loop {
        let Some(state) = patience.with(describe(client, task).await).await? else { continue };
        let is_over = state.last_status.as_deref() == Some("STOPPED");
        // Once more after the end: the last lines come before the state does.
        while patience.with(log.print(client).await).await?.is_none() {}
        if is_over {
            // Quiet is for programs that ran: one that did not says why.
            let has_run = state.containers.iter().flatten().any(|container| container.exit_code.is_some());
            if !args.quiet || !has_run {
                eprintln!("{}", ending(&state));
            }
            return Ok(outcome(&state));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn describe(client: &Client, task: &Running) -> Result<ecs::Task> {
    find::describe(client, &task.cluster, &task.arn).await?.context("the task is gone")
}

async fn wait(
    client: &Client,
    running: &Running,
    steps: &Steps,
    is_enough: impl Fn(&str) -> bool,
) -> Result<ecs::Task> {
    let mut patience = Patience::default();
    loop {
        let Some(task) = patience.with(describe(client, running).await).await? else { continue };
        let status = task.last_status.clone().unwrap_or_default();
        if is_enough(&status) {
            return Ok(task);
        }
        let is_pulling = task.pull_started_at.is_some() && task.pull_stopped_at.is_none();
        let doing = match status.as_str() {
            "PROVISIONING" => String::from("making the network interface"),
            "PENDING" if is_pulling => pulling(client, running).await,
            "PENDING" => String::from("starting the container"),
            "DEPROVISIONING" | "STOPPING" | "DEACTIVATING" => String::from("stopping"),
            _ => String::from("starting"),
        };
        steps.now(&format!("{doing} ({status})"));
        tokio::time::sleep(POLL).await;
    }
}

/// How far the pull of the task's image has come.
async fn pulling(client: &Client, task: &Running) -> String {
    let path = format!("/_boxship/pulls?task={}", task.id());
    let answer = http::get(client.address(), &path).await;
    let said = answer.ok().and_then(|answer| serde_json::from_slice::<serde_json::Value>(answer.body()).ok());
    let pull = said.as_ref().and_then(|said| said["images"].as_object()?.values().next());
    let number = |name: &str| pull.and_then(|pull| pull[name].as_u64()).unwrap_or_default();
    // Either comes first: an image of our own registry is not received but unpacked at once.
    let (done, total) = (number("received").max(number("unpacked")), number("total"));
    if total == 0 {
        return String::from("pulling the image");
    }
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    let (ready, layers) = (number("ready"), number("layers"));
    format!(
        "pulling the image: {:.1} of {:.1} MiB, {ready} of {layers} layers",
        mib(done.min(total)),
        mib(total)
    )
}

fn ending(task: &ecs::Task) -> String {
    let container = task.containers.iter().flatten().next();
    let code = container.and_then(|container| container.exit_code);
    let reason = container.and_then(|container| container.reason.clone());
    let stopped = task.stopped_reason.clone().unwrap_or_default();
    // A failure to start is told for the task and for the container.
    let reason = reason.filter(|reason| !stopped.contains(reason.as_str()));
    let code = code.map_or_else(String::new, |code| format!(", exit code {code}"));
    let reason = reason.map_or_else(String::new, |reason| format!(", {reason}"));
    format!("stopped: {stopped}{code}{reason}")
}

fn outcome(task: &ecs::Task) -> ExitCode {
    if task.last_status.as_deref() != Some("STOPPED") {
        return ExitCode::SUCCESS;
    }
    let code = task.containers.iter().flatten().find_map(|container| container.exit_code);
    // A task that never started has no exit code; 125 is what Docker answers then.
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(125))
}
