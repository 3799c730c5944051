//! `boxship services`.

use std::process::ExitCode;

use anyhow::Result;
use aws_ecs::Service;
use clap::Args;
use serde_json::{Value, json};

use super::balancers::{Links, dash, links};
use super::find;
use super::find_service::{all, cluster_name, find, is_asleep, name, rollout, status};
use crate::client::Client;
use crate::screen::{Color, paint, table};

#[derive(Debug, Args)]
pub struct ServicesArgs {
    /// Only this one, by its name
    name: Option<String>,
    /// Only this cluster's
    #[arg(long)]
    cluster: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(client: &Client, args: &ServicesArgs) -> Result<ExitCode> {
    let services = match &args.name {
        Some(named) => vec![find(client, named, args.cluster.as_deref()).await?],
        None => all(client, args.cluster.as_deref()).await?,
    };
    let mut shown = Vec::new();
    for service in services {
        let links = of_service(client, &service).await;
        shown.push((service, links));
    }
    if args.json {
        let rows: Vec<_> = shown.iter().map(|(service, links)| as_json(service, links)).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = shown.iter().map(|(service, links)| row(service, links)).collect();
    table(
        &["SERVICE", "CLUSTER", "DEFINITION", "STATUS", "RUNNING", "PENDING", "DEPLOYMENT", "LINKS"],
        &rows,
    );
    Ok(ExitCode::SUCCESS)
}

/// The links of a service's balancer. A group that was deleted under its service has none, and the
/// service is listed all the same.
pub async fn of_service(client: &Client, service: &Service) -> Links {
    let mut balancers = service.load_balancers.iter().flatten();
    let Some(group) = balancers.find_map(|one| one.target_group_arn.as_deref()) else {
        return Links { url: None, alias: None };
    };
    links(client, group).await.unwrap_or(Links { url: None, alias: None })
}

fn row(service: &Service, links: &Links) -> Vec<String> {
    let (running, desired) =
        (service.running_count.unwrap_or_default(), service.desired_count.unwrap_or_default());
    let is_asleep = is_asleep(service);
    let asleep = if is_asleep { ", asleep" } else { "" };
    let count = format!("{running} of {desired}{asleep}");
    let count_color = match running {
        _ if is_asleep => Color::Faint,
        _ if running >= desired => Color::Good,
        0 => Color::Bad,
        _ => Color::Pending,
    };
    let status_color = if status(service) == "ACTIVE" { Color::Good } else { Color::Faint };
    vec![
        name(service).to_owned(),
        cluster_name(service).to_owned(),
        find::last(service.task_definition.as_deref()).to_owned(),
        paint(status(service), status_color),
        paint(&count, count_color),
        service.pending_count.unwrap_or_default().to_string(),
        deployment(service),
        dash(links.all().join(" ")),
    ]
}

/// The newest deployment's state, and how many of its tasks run while it goes on.
fn deployment(service: &Service) -> String {
    let mut deployments = service.deployments.iter().flatten();
    let newest = deployments.find(|one| one.status.as_deref() == Some("PRIMARY"));
    let state = rollout(service);
    let failed = newest.and_then(|one| one.failed_tasks).filter(|failed| *failed > 0);
    let failed = failed.map_or_else(String::new, |failed| format!(", {failed} failed"));
    match (state, newest) {
        ("COMPLETED", _) => paint("COMPLETED", Color::Good),
        ("FAILED", _) => paint(&format!("FAILED{failed}"), Color::Bad),
        ("", _) | (_, None) => String::from("-"),
        (state, Some(one)) => {
            let (running, desired) =
                (one.running_count.unwrap_or_default(), one.desired_count.unwrap_or_default());
            paint(&format!("{state} {running} of {desired}{failed}"), Color::Pending)
        }
    }
}

fn as_json(service: &Service, links: &Links) -> Value {
    json!({
        "service": service.service_name,
        "arn": service.service_arn,
        "cluster": service.cluster_arn,
        "definition": service.task_definition,
        "status": service.status,
        "desired": service.desired_count,
        "running": service.running_count,
        "pending": service.pending_count,
        "asleep": is_asleep(service),
        "url": links.url,
        "aliasUrl": links.alias,
        "deployments": service.deployments.iter().flatten().map(|one| json!({
            "id": one.id,
            "status": one.status,
            "definition": one.task_definition,
            "desired": one.desired_count,
            "running": one.running_count,
            "pending": one.pending_count,
            "failed": one.failed_tasks,
            "rolloutState": one.rollout_state,
            "reason": one.rollout_state_reason,
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use aws_ecs::Deployment;

    use super::*;

    #[test]
    fn a_deployment_on_its_way_says_how_far_it_is() {
        let shown = |state: &str, failed: i32| {
            let newest = Deployment {
                status: Some("PRIMARY".into()),
                rollout_state: Some(state.into()),
                running_count: Some(1),
                desired_count: Some(3),
                failed_tasks: Some(failed),
                ..Default::default()
            };
            let old = Deployment { status: Some("ACTIVE".into()), ..Default::default() };
            deployment(&Service { deployments: Some(vec![old, newest]), ..Default::default() })
        };
        assert_eq!(shown("IN_PROGRESS", 0), "IN_PROGRESS 1 of 3");
        assert_eq!(shown("IN_PROGRESS", 2), "IN_PROGRESS 1 of 3, 2 failed");
        assert_eq!(shown("FAILED", 3), "FAILED, 3 failed");
        assert_eq!(shown("COMPLETED", 0), "COMPLETED");
        assert_eq!(deployment(&Service::default()), "-");
    }
}
