//! `boxship events [SERVICE]`: the story of a service, or of all, in the words of its events.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use aws_ecs::{Service, ServiceEvent};
use base::Timestamp;
use clap::Args;
use serde_json::json;

use super::find_service::{all, cluster_name, find, look, name};
use crate::client::Client;
use crate::patience::Patience;
use crate::screen::{Color, paint};

/// Of a task's id: enough to name it to other commands.
const SHORT: usize = 8;
const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub struct EventsArgs {
    /// A service's name or ARN [default: all services]
    service: Option<String>,
    /// Go on until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// The service's cluster [default: search all]
    #[arg(long)]
    cluster: Option<String>,
    /// A JSON object a line
    #[arg(long)]
    json: bool,
}

/// One sentence, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sentence {
    pub at: Timestamp,
    /// Events have one number each, which grows; the API lists the newest first.
    nth: usize,
    pub service: String,
    pub cluster: String,
    pub text: String,
    id: String,
}

/// Knows what it has told, so that each sentence is told once.
#[derive(Debug, Default)]
pub struct Story {
    told: BTreeSet<String>,
}

impl Story {
    /// What is new in `services`, in the order in which it happened.
    pub fn fresh(&mut self, services: &[Service]) -> Vec<Sentence> {
        let mut sentences: Vec<_> = services.iter().flat_map(sentences).collect();
        sentences.retain(|one| !self.told.contains(&one.id));
        sentences.sort();
        // AWS keeps a hundred events: what a service no longer has is never seen again.
        self.told = services.iter().flat_map(|one| one.events.iter().flatten()).map(id).collect();
        sentences
    }
}

fn id(event: &ServiceEvent) -> String {
    event.id.clone().unwrap_or_default()
}

fn sentences(service: &Service) -> Vec<Sentence> {
    let events = service.events.iter().flatten().rev().enumerate();
    let sentence = |(nth, event): (usize, &ServiceEvent)| Sentence {
        at: event.created_at.unwrap_or_default(),
        nth,
        service: name(service).to_owned(),
        cluster: cluster_name(service).to_owned(),
        text: event.message.clone().unwrap_or_default(),
        id: id(event),
    };
    events.map(sentence).collect()
}

pub async fn run(client: &Client, args: &EventsArgs) -> Result<ExitCode> {
    tokio::select! {
        told = follow(client, args) => told?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn follow(client: &Client, args: &EventsArgs) -> Result<()> {
    let mut story = Story::default();
    let mut patience = Patience::default();
    // A service that is deleted ends its own story, and stays to be read for an hour.
    let meant = match &args.service {
        Some(named) => Some(meant(client, named, args.cluster.as_deref()).await?),
        None => None,
    };
    loop {
        let services = match &meant {
            Some((cluster, named)) => look(client, cluster, named).await.map(|one| one.into_iter().collect()),
            None => all(client, args.cluster.as_deref()).await,
        };
        let Some(services) = patience.with(services).await? else { continue };
        for one in story.fresh(&services) {
            tell(&one, args.json, meant.is_none());
        }
        if !args.follow {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The cluster and the name; also of a service that was deleted a while ago.
async fn meant(client: &Client, named: &str, cluster: Option<&str>) -> Result<(String, String)> {
    let found = find(client, named, cluster).await;
    if let Ok(service) = &found {
        return Ok((cluster_name(service).to_owned(), name(service).to_owned()));
    }
    for cluster in super::find::clusters(client, cluster).await? {
        if let Some(service) = look(client, &cluster, named).await? {
            return Ok((cluster_name(&service).to_owned(), name(&service).to_owned()));
        }
    }
    found.map(|_| (String::new(), String::new()))
}

fn tell(one: &Sentence, is_json: bool, has_several: bool) {
    let at = one.at.iso8601();
    if is_json {
        let line = json!({ "time": at, "cluster": one.cluster, "service": one.service, "message": one.text });
        println!("{line}");
        return;
    }
    let text = colored(&readable(&one.text));
    // AWS's sentences begin with the service's name; its cluster they do not say.
    let cluster = if has_several { format!("{} ", paint(&one.cluster, Color::Faint)) } else { String::new() };
    println!("{} {cluster}{text}", paint(&at, Color::Faint));
}

/// A sentence with the names that a reader and other commands go by: a target group's own for its
/// ARN, the beginning of a task's id for all of it. `--json` has the API's words.
pub fn readable(text: &str) -> String {
    let (mut read, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("(task ").or_else(|| rest.find("(target-group ")) {
        // Whichever comes first.
        let at = rest.find("(target-group ").map_or(at, |group| group.min(at));
        let (before, from) = rest.split_at(at);
        let end = from.find(')').unwrap_or(from.len());
        let (named, after) = from.split_at(end);
        let (kind, id) = named.split_once(' ').unwrap_or((named, ""));
        let id = match id.split(":targetgroup/").nth(1).and_then(|name| name.split('/').next()) {
            Some(name) => name,
            None => id.get(..SHORT).filter(|_| kind == "(task").unwrap_or(id),
        };
        read.push_str(before);
        read.push_str(&format!("{kind} {id}"));
        rest = after;
    }
    read.push_str(rest);
    read
}

/// A sentence in the color of its news.
pub fn colored(text: &str) -> String {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["steady state", "completed"]) {
        paint(text, Color::Good)
    } else if has(&["unhealthy", "failed", "unable", "rolling back", "tripped", "throttled"]) {
        paint(text, Color::Bad)
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, at: i64, text: &str) -> ServiceEvent {
        ServiceEvent {
            id: Some(id.to_owned()),
            created_at: Some(Timestamp::from_millis(at)),
            message: Some(text.to_owned()),
        }
    }

    #[test]
    fn sentences_are_read_by_names() {
        let arn = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/63dc83daaae818da";
        let check = |text: &str, read: &str| assert_eq!(readable(text), read);
        check(
            &format!("(service web) registered 1 targets in (target-group {arn})"),
            "(service web) registered 1 targets in (target-group web)",
        );
        check(
            "(service web) has started 2 tasks: (task 09c1931ce3a5bb79d172cf4c409755f4) (task d6999f2609e24f5409bee141e05546ee).",
            "(service web) has started 2 tasks: (task 09c1931c) (task d6999f26).",
        );
        check(
            &format!("(service web) (port 80) is unhealthy in (target-group {arn}) due to (reason x)."),
            "(service web) (port 80) is unhealthy in (target-group web) due to (reason x).",
        );
        check("(task short) (target-group", "(task short) (target-group");
        check("(target-group é", "(target-group é");
    }

    #[test]
    fn each_sentence_is_told_once_in_the_order_of_events() {
        let mut story = Story::default();
        // As the API has them: the newest first; two within one millisecond.
        let events = Some(vec![event("b", 5, "second"), event("a", 5, "first")]);
        let mut service = Service { events, ..Default::default() };
        let told: Vec<_> = story.fresh(&[service.clone()]).into_iter().map(|one| one.text).collect();
        assert_eq!(told, ["first", "second"]);
        service.events = Some(vec![event("c", 6, "third"), event("b", 5, "second")]);
        let told: Vec<_> = story.fresh(&[service.clone()]).into_iter().map(|one| one.text).collect();
        assert_eq!(told, ["third"]);
        assert!(story.fresh(&[service]).is_empty());
    }
}
