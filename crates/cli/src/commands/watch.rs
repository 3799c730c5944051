//! Waiting for a deployment's end, and saying why it was not the one that was wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_ecs::op::{DescribeServiceDeployments, DescribeServiceRevisions, ListServiceDeployments, ListTasks};
use aws_ecs::{
    DescribeServiceDeploymentsRequest, DescribeServiceRevisionsRequest, ListServiceDeploymentsRequest,
    ListTasksRequest, Service, ServiceDeployment,
};
use aws_elbv2::DescribeTargetHealthInput;
use aws_elbv2::op::DescribeTargetHealth;
use base::Timestamp;

use super::events::{Story, colored, readable};
use super::find_service::{cluster_name, look, name, revision};
use super::{find, logs, ps};
use crate::client::{Client, refused_with};
use crate::patience::Patience;
use crate::rollout::Look;
use crate::screen::Steps;

const POLL: Duration = Duration::from_millis(150);
/// Tasks that failed whose last words are shown, and how many lines of each.
const WORDS_OF: usize = 3;
const LINES: usize = 10;
/// AWS: what a program answers that Ctrl-C ended, to a shell.
const INTERRUPTED: u8 = 130;

/// The deployment that brings `revision`, the digits of `ecs-svc/…`.
pub struct Watched {
    pub cluster: String,
    pub service: String,
    pub deployment: String,
    pub revision: String,
    /// Events are told as they come.
    pub is_telling: bool,
}

/// How a deployment ended.
pub struct Ended {
    pub status: String,
    pub reason: Option<String>,
    pub service: Service,
}

impl Ended {
    pub fn is_success(&self) -> bool {
        self.status == "SUCCESSFUL"
    }
}

/// The deployment that a CreateService or UpdateService has begun, by its answer.
pub async fn begun(client: &Client, service: &Service) -> Result<Watched> {
    let revision = revision(service).context("the service has no deployment")?;
    let (cluster, service) = (cluster_name(service).to_owned(), name(service).to_owned());
    let request = ListServiceDeploymentsRequest {
        service: service.clone(),
        cluster: Some(cluster.clone()),
        ..Default::default()
    };
    let listed = client.call::<ListServiceDeployments>(request).await?.service_deployments;
    let brings = |arn: &Option<String>| find::last(arn.as_deref()) == revision;
    let ours = listed.into_iter().flatten().find(|one| brings(&one.target_service_revision_arn));
    let deployment = ours.and_then(|one| one.service_deployment_arn);
    let deployment = deployment.with_context(|| format!("no deployment of {service} brings {revision}"))?;
    Ok(Watched { cluster, service, deployment, revision, is_telling: true })
}

/// Shows how the deployment goes until it is over. Answers `None` where Ctrl-C came first: the
/// deployment goes on.
pub async fn until_over(client: &Client, watched: &Watched, steps: &Steps) -> Result<Option<Ended>> {
    let mut watching = std::pin::pin!(watch(client, watched, steps));
    tokio::select! {
        ended = &mut watching => ended.map(Some),
        _ = tokio::signal::ctrl_c() => {
            steps.end();
            let Watched { cluster, service, .. } = watched;
            let of = if cluster == "default" { String::new() } else { format!(" --cluster {cluster}") };
            eprintln!("the deployment of {service} goes on without this command:");
            eprintln!("  boxship events {service}{of} --follow");
            eprintln!("  boxship rollback {service}{of}");
            Ok(None)
        }
    }
}

/// Watches, then says how it ended; the exit code of a command that deploys.
pub async fn conclude(client: &Client, watched: &Watched, steps: &Steps) -> Result<Result<Ended, ExitCode>> {
    let Some(ended) = until_over(client, watched, steps).await? else {
        return Ok(Err(ExitCode::from(INTERRUPTED)));
    };
    steps.end();
    if ended.is_success() {
        return Ok(Ok(ended));
    }
    let reason = ended.reason.clone().unwrap_or_default();
    eprintln!("\nthe deployment of {} ended as {}: {reason}", watched.service, ended.status);
    last_words(client, watched).await?;
    Ok(Err(ExitCode::FAILURE))
}

async fn watch(client: &Client, watched: &Watched, steps: &Steps) -> Result<Ended> {
    let mut patience = Patience::default();
    let mut story = Story::default();
    let mut names = Names::default();
    let mut said = String::new();
    let mut since = None;
    loop {
        let Some((service, deployment)) = patience.with(both(client, watched).await).await? else { continue };
        let Some(targets) = patience.with(targets(client, &service).await).await? else { continue };
        if patience.with(names.learn(client, &service, &deployment).await).await?.is_none() {
            continue;
        }
        let began = *since.get_or_insert(deployment.created_at.unwrap_or_default());
        for one in story.fresh(std::slice::from_ref(&service)) {
            // The story of earlier deployments is told by `boxship events`.
            if watched.is_telling && one.at >= began {
                steps.done(&colored(&readable(&one.text)));
            }
        }
        let look = Look::of(&service, &deployment, targets, |arn| names.of(arn));
        let line = look.line();
        if line != said && !look.is_over() {
            steps.look(&look.bars(), &line);
            said = line;
        }
        if look.is_over() {
            let reason = deployment.status_reason;
            return Ok(Ended { status: look.status, reason, service });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The deployment first: events that tell its end are there once it says so.
async fn both(client: &Client, watched: &Watched) -> Result<(Service, ServiceDeployment)> {
    let request =
        DescribeServiceDeploymentsRequest { service_deployment_arns: vec![watched.deployment.clone()] };
    let deployment = client.call::<DescribeServiceDeployments>(request).await?.service_deployments;
    let deployment = deployment.into_iter().flatten().next().context("the deployment is gone")?;
    let service = look(client, &watched.cluster, &watched.service).await?.context("the service is gone")?;
    Ok((service, deployment))
}

/// Targets of the service's groups, by state.
async fn targets(client: &Client, service: &Service) -> Result<Option<BTreeMap<String, usize>>> {
    let mut groups = BTreeSet::new();
    for balancer in service.load_balancers.iter().flatten() {
        groups.extend(balancer.target_group_arn.clone());
        let advanced = balancer.advanced_configuration.as_ref();
        groups.extend(advanced.and_then(|advanced| advanced.alternate_target_group_arn.clone()));
    }
    if groups.is_empty() {
        return Ok(None);
    }
    let mut states = BTreeMap::new();
    for target_group_arn in groups {
        let request = DescribeTargetHealthInput { target_group_arn, ..Default::default() };
        let health = match client.call::<DescribeTargetHealth>(request).await {
            // Deleted under the service: its events say so.
            Err(error) if refused_with(&error, "TargetGroupNotFound") => continue,
            health => health?,
        };
        for one in health.target_health_descriptions.into_iter().flatten() {
            let state = one.target_health.and_then(|health| health.state).unwrap_or_default();
            *states.entry(state).or_default() += 1;
        }
    }
    Ok(Some(states))
}

/// Task definitions by revision. A revision never changes.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    async fn learn(
        &mut self,
        client: &Client,
        service: &Service,
        deployment: &ServiceDeployment,
    ) -> Result<()> {
        let sources = deployment.source_service_revisions.iter().flatten();
        let all = sources.chain(&deployment.target_service_revision).filter_map(|one| one.arn.clone());
        let unknown: Vec<_> = all.filter(|arn| !self.0.contains_key(arn)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let request = DescribeServiceRevisionsRequest { service_revision_arns: unknown.clone() };
        let revisions = client.call::<DescribeServiceRevisions>(request).await?.service_revisions;
        for one in revisions.into_iter().flatten() {
            let definition = find::last(one.task_definition.as_deref()).to_owned();
            self.0.insert(one.service_revision_arn.unwrap_or_default(), definition);
        }
        // A revision that is forgotten is asked for once.
        for arn in unknown {
            self.0.entry(arn).or_insert_with(|| name(service).to_owned());
        }
        Ok(())
    }

    fn of(&self, arn: &str) -> String {
        self.0.get(arn).cloned().unwrap_or_default()
    }
}

/// The reasons and last lines of the deployment's tasks that have stopped.
async fn last_words(client: &Client, watched: &Watched) -> Result<()> {
    let request = ListTasksRequest {
        cluster: Some(watched.cluster.clone()),
        service_name: Some(watched.service.clone()),
        desired_status: Some(String::from("STOPPED")),
        ..Default::default()
    };
    let arns = client.call::<ListTasks>(request).await?.task_arns.unwrap_or_default();
    let mut tasks = Vec::new();
    for arn in arns {
        tasks.extend(find::describe(client, &watched.cluster, &arn).await?);
    }
    let ours = format!("ecs-svc/{}", watched.revision);
    tasks.retain(|task| task.started_by.as_deref() == Some(ours.as_str()));
    tasks.sort_by_key(|task| std::cmp::Reverse(task.stopped_at.unwrap_or(Timestamp::from_millis(i64::MAX))));
    for task in tasks.iter().take(WORDS_OF) {
        let code = task.containers.iter().flatten().find_map(|container| container.exit_code);
        let code = code.map_or_else(String::new, |code| format!(" (exit code {code})"));
        eprintln!("task {}: {}{code}", find::id(task), ps::reason(task));
        for line in logs::tail(client, task, LINES).await.unwrap_or_default() {
            eprintln!("  | {line}");
        }
    }
    Ok(())
}
