//! The main job, end to end, against a server that runs: an image is pushed, becomes a service of
//! three tasks behind a load balancer, is updated while requests come, and a version that cannot
//! start is rolled back; its events tell the story.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base::clock;

use crate::client::Client;
use crate::commands::deploy::names::Names;
use crate::commands::deploy::{DeployArgs, deploy};
use crate::commands::events::{Story, colored, readable};
use crate::commands::find_service::look;
use crate::commands::image::{MakeArgs, make};
use crate::commands::services::of_service;
use crate::commands::watch::{Ended, until_over};
use crate::commands::{find, logs};
use crate::place::listen_option;
use crate::push::push;
use crate::screen::Steps;
use crate::traffic::{Counts, Traffic, ask};

const SERVICE: &str = "hello";
const TASKS: i32 = 3;
const POLL: Duration = Duration::from_millis(50);
/// A line is readable within a second; a busy machine gets more.
const PATIENCE: u32 = 200;
/// Requests in which each of the tasks should have answered once.
const ROUND: u32 = 60;

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
    let mut shown = Shown { client, image: &image, steps: &steps, host: None };
    // What happened before this demo is not its story.
    let mut story = Story::default();
    story.fresh(look(client, "default", SERVICE).await?.as_slice());
    shown.first().await?;
    if !is_simulated {
        shown.answers().await?;
    }
    let lost = shown.update().await? + shown.mistake().await?;
    if !is_simulated {
        shown.log().await?;
    }
    steps.end();
    tell(client, &mut story).await?;
    next(client, shown.host.as_deref(), is_simulated).await?;
    ensure!(lost == 0, "{lost} requests were lost");
    Ok(())
}

/// What the steps of the demo share.
struct Shown<'a> {
    client: &'a Client,
    image: &'a str,
    steps: &'a Steps,
    /// The balancer's name; `None` where nothing answers.
    host: Option<String>,
}

/// The first words of the example's answer, which the version says.
fn version(answer: &str) -> String {
    answer.split(',').next().unwrap_or_default().to_owned()
}

impl Shown<'_> {
    /// Deploys and waits for the end, which may be a rollback.
    async fn roll(&self, environment: &[&str]) -> Result<Ended> {
        let args = DeployArgs {
            image: self.image.to_owned(),
            name: Some(SERVICE.to_owned()),
            cluster: String::from("default"),
            count: Some(TASKS),
            env: environment.iter().map(|pair| (*pair).to_owned()).collect(),
            force: true,
            ..Default::default()
        };
        let mut watched = deploy(self.client, &args, self.steps).await?;
        watched.is_telling = false;
        match until_over(self.client, &watched, self.steps).await? {
            Some(ended) => Ok(ended),
            None => bail!("interrupted"),
        }
    }

    async fn first(&mut self) -> Result<()> {
        let from = clock::wall();
        let ended = self.roll(&["GREETING=Hello from version 1", "PORT=80"]).await?;
        ensure!(ended.is_success(), "the first version: {}", ended.reason.unwrap_or_default());
        let took = clock::wall().since(from).as_secs_f64();
        self.steps.done(&format!("{TASKS} Fargate tasks behind a load balancer after {took:.1} s"));
        let links = of_service(self.client, &ended.service).await;
        if let Some(url) = &links.url {
            self.steps.done(&format!("open it: {}", links.all().join(" or ")));
            self.host = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/').to_owned());
        }
        Ok(())
    }

    fn host(&self) -> Result<&str> {
        self.host.as_deref().context("the load balancer has no link")
    }

    /// Every task answers.
    async fn answers(&self) -> Result<()> {
        self.steps.now("asking it over HTTP");
        let mut answers = BTreeSet::new();
        for _ in 0..ROUND {
            answers.insert(ask(self.client.address(), self.host()?).await?);
            if answers.len() == TASKS as usize {
                break;
            }
        }
        ensure!(answers.len() == TASKS as usize, "only these tasks answer: {answers:?}");
        answers.iter().for_each(|answer| self.steps.done(&format!("GET / answers: {answer}")));
        Ok(())
    }

    /// A new version comes while clients ask. Answers how many requests were lost.
    async fn update(&self) -> Result<u64> {
        let traffic = self.traffic();
        let from = clock::wall();
        let ended = self.roll(&["GREETING=Hello from version 2"]).await?;
        ensure!(ended.is_success(), "the second version: {}", ended.reason.unwrap_or_default());
        let took = clock::wall().since(from).as_secs_f64();
        let counts = stop(traffic).await;
        self.steps.done(&format!("updated live in {took:.1} s{}", told(counts.as_ref())));
        Ok(counts.map_or(0, |counts| counts.lost))
    }

    /// A version that cannot start is rolled back by itself, and nobody notices.
    async fn mistake(&self) -> Result<u64> {
        let traffic = self.traffic();
        if traffic.is_none() {
            // Simulated programs do not fail by themselves.
            return Ok(0);
        }
        let from = clock::wall();
        let ended = self.roll(&["GREETING=Hello from version 3", "PORT=nowhere"]).await?;
        ensure!(
            ended.status == "ROLLBACK_SUCCESSFUL",
            "a version that cannot start ended as {}",
            ended.status
        );
        let took = clock::wall().since(from).as_secs_f64();
        let counts = stop(traffic).await;
        self.steps.done(&format!(
            "a version that cannot start was rolled back by the circuit breaker after {took:.1} s{}",
            told(counts.as_ref())
        ));
        Ok(counts.map_or(0, |counts| counts.lost))
    }

    fn traffic(&self) -> Option<Traffic> {
        let host = self.host.as_deref()?;
        Some(Traffic::start(self.client.address(), host, version))
    }

    /// The log of one of the tasks shows the requests.
    async fn log(&self) -> Result<()> {
        self.steps.now("reading a log");
        let tasks = find::tasks(self.client, "default", "RUNNING").await?;
        let group = format!("service:{SERVICE}");
        let task = tasks.iter().find(|task| task.group.as_deref() == Some(&group));
        let task = task.context("no task of the service runs")?;
        for _ in 0..PATIENCE {
            let lines = logs::tail(self.client, task, 1).await?;
            if let Some(line) = lines.iter().find(|line| line.contains("GET /")) {
                self.steps.done(&format!("log of {}: {line}", find::id(task)));
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("the log of {} does not show the requests", find::id(task))
    }
}

async fn stop(traffic: Option<Traffic>) -> Option<Counts> {
    match traffic {
        Some(traffic) => Some(traffic.stop().await),
        None => None,
    }
}

/// `: 4,000 requests, 0 lost (2,000 × Hello from version 1, …)`.
fn told(counts: Option<&Counts>) -> String {
    let Some(counts) = counts else { return String::from(" (SIMULATED: no request was made)") };
    let kinds: Vec<_> = counts.kinds.iter().map(|(kind, count)| format!("{count} \u{d7} {kind}")).collect();
    let why = match &counts.reasons[..] {
        [] => String::new(),
        reasons => format!("; {}", reasons.join("; ")),
    };
    let all = counts.answers + counts.lost;
    format!(": {all} requests, {} lost ({}{why})", counts.lost, kinds.join(", "))
}

/// What `boxship events` says of the demo's time.
async fn tell(client: &Client, story: &mut Story) -> Result<()> {
    println!("\n$ boxship{} events {SERVICE}", listen_option(client.address().port()));
    for one in story.fresh(look(client, "default", SERVICE).await?.as_slice()) {
        println!("{} {}", one.at.iso8601(), colored(&readable(&one.text)));
    }
    Ok(())
}

async fn next(client: &Client, host: Option<&str>, is_simulated: bool) -> Result<()> {
    if is_simulated {
        println!(
            "\nSIMULATED: no container was started and no load balancer serves, so there was no request,"
        );
        println!("no version that fails and no log. Run it as root on Linux for those.");
    }
    let port = client.address().port();
    let boxship = format!("target/release/boxship{}", listen_option(port));
    let names = Names::new("default", SERVICE, client.region())?;
    println!("\nThe server goes on at http://localhost:{port}/. To try next:");
    if let Some(host) = host {
        println!("  curl http://{host}/       # or open it in a browser");
    }
    println!("  {boxship} scale {SERVICE} 5");
    println!("  {boxship} events {SERVICE} --follow");
    println!("  {boxship} rollback {SERVICE}");
    println!("  eval \"$({boxship} env)\"");
    println!("  aws ecs describe-services --services {SERVICE}");
    if !is_simulated {
        println!("  aws logs tail {} --follow", names.log_group());
    }
    println!("  {boxship} destroy {SERVICE}");
    Ok(())
}
