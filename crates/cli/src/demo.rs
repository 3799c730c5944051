//! The main job, end to end, against a server that runs: an image is pushed, a Fargate task runs
//! it, its answer and its log are shown.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::client::Client;
use crate::commands::image::{MakeArgs, make};
use crate::commands::logs::Follower;
use crate::commands::ps::address;
use crate::commands::run::{LOG_GROUP, RunArgs, Running, start, until_running};
use crate::http;
use crate::place::listen_option;
use crate::push::push;
use crate::screen::Steps;

const POLL: Duration = Duration::from_millis(50);
/// A line is readable within a second; a busy machine gets more.
const PATIENCE: u32 = 200;

/// Runs the main job with the static web server `binary`. `is_simulated`: no container will answer.
pub async fn demo(client: &Client, binary: &Path, scratch: &Path, is_simulated: bool) -> Result<()> {
    let steps = Steps::new(false);
    steps.now("making the example image");
    let archive = scratch.join("hello.tar");
    make(&MakeArgs { binary: binary.to_owned(), archive: archive.clone(), port: vec![80] })?;
    steps.done("made an image of a small static web server");
    steps.now("pushing");
    let image = push(client, &archive, "hello:latest", &steps).await?;
    steps.done(&format!("pushed it into ECR as {image}"));
    let args = RunArgs::detached(&image, "hello", 80);
    let running = start(client, &args, &steps).await?;
    let task = until_running(client, &running, &steps).await?;
    let id = running.id().to_owned();
    if task.last_status.as_deref() != Some("RUNNING") {
        steps.end();
        bail!("the task stopped: {}", task.stopped_reason.unwrap_or_default());
    }
    let took = match (task.created_at, task.started_at) {
        (Some(from), Some(to)) => format!(" {} ms after RunTask", to.since(from).as_millis()),
        _ => String::new(),
    };
    let at = address(&task).context("the task has no address")?;
    steps.done(&format!("Fargate task {id} runs at {at}{took}"));
    if is_simulated {
        steps.end();
        println!("\nSIMULATED: no container was started, so nothing answers at {at} and there is no log.");
        next(client, &id, None);
        return Ok(());
    }
    let answer = answer(&at, &steps).await?;
    steps.done(&format!("GET http://{at}/ answers: {}", answer.trim()));
    log(client, &running, &steps).await?;
    next(client, &id, Some(&at));
    Ok(())
}

async fn answer(at: &str, steps: &Steps) -> Result<String> {
    steps.now("asking it over HTTP");
    let address = SocketAddr::new(at.parse::<IpAddr>()?, 80);
    let mut last = None;
    for _ in 0..PATIENCE {
        match http::get(address, "/").await {
            Ok(answer) => return Ok(String::from_utf8_lossy(answer.body()).into_owned()),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(POLL).await;
    }
    let why = last.map_or_else(String::new, |error| format!(": {:#}", error.root_cause()));
    bail!("{at} does not answer on port 80{why}. The host's route may be another server's: see its log")
}

async fn log(client: &Client, running: &Running, steps: &Steps) -> Result<()> {
    steps.now("reading its log");
    let mut follower = Follower::new(LOG_GROUP, &running.stream());
    for _ in 0..PATIENCE {
        let lines = follower.lines(client).await?;
        // The request's own line is the proof.
        let is_whole = lines.iter().any(|line| line.contains("GET /"));
        for line in lines {
            steps.done(&format!("log: {line}"));
        }
        if is_whole {
            steps.end();
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
    bail!("the log of {} does not show the request", running.id())
}

fn next(client: &Client, id: &str, at: Option<&str>) {
    let port = client.address().port();
    let listen = listen_option(port);
    println!("\nThe server goes on at http://localhost:{port}/. To try next:");
    if let Some(at) = at {
        println!("  curl http://{at}/");
    }
    println!("  eval \"$(target/release/boxship{listen} env)\"");
    println!("  aws ecs describe-tasks --tasks {id}");
    if at.is_some() {
        println!("  aws logs tail {LOG_GROUP} --follow");
    }
    println!("  aws ecs stop-task --task {id}");
    println!("  target/release/boxship{listen} ps --all");
}
