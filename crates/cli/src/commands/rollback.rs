//! `boxship rollback SERVICE`: the deployment under way is undone; where none is, the service goes
//! back to what it ran before.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use aws_ecs::op::{DescribeServiceRevisions, ListServiceDeployments, StopServiceDeployment, UpdateService};
use aws_ecs::{
    DescribeServiceRevisionsRequest, ListServiceDeploymentsRequest, Service, ServiceDeploymentBrief,
    StopServiceDeploymentRequest, UpdateServiceRequest,
};
use clap::Args;

use super::find;
use super::find_service::{cluster_name, find, name, revision};
use super::watch::{Watched, begun, conclude, until_over};
use crate::client::Client;
use crate::rollout::is_over;
use crate::screen::Steps;

#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The service's name or ARN
    service: String,
    /// The service's cluster [default: search all]
    #[arg(long)]
    cluster: Option<String>,
    /// Return at once
    #[arg(long, short)]
    detach: bool,
}

pub async fn run(client: &Client, args: &RollbackArgs) -> Result<ExitCode> {
    let service = find(client, &args.service, args.cluster.as_deref()).await?;
    let deployments = deployments(client, &service).await?;
    let under_way = deployments.iter().find(|one| !is_over(one.status.as_deref().unwrap_or_default()));
    match under_way {
        Some(one) => undo(client, &service, one, args.detach).await,
        None => go_back(client, &service, &deployments, args.detach).await,
    }
}

/// The newest first.
async fn deployments(client: &Client, service: &Service) -> Result<Vec<ServiceDeploymentBrief>> {
    let (mut all, mut next_token) = (Vec::new(), None);
    loop {
        let request = ListServiceDeploymentsRequest {
            service: name(service).to_owned(),
            cluster: Some(cluster_name(service).to_owned()),
            next_token,
            ..Default::default()
        };
        let page = client.call::<ListServiceDeployments>(request).await?;
        all.extend(page.service_deployments.into_iter().flatten());
        next_token = page.next_token;
        if next_token.is_none() {
            break;
        }
    }
    all.sort_by_key(|one| std::cmp::Reverse(one.created_at));
    Ok(all)
}

async fn undo(
    client: &Client,
    service: &Service,
    deployment: &ServiceDeploymentBrief,
    detach: bool,
) -> Result<ExitCode> {
    let arn = deployment.service_deployment_arn.clone().context("a deployment without an ARN")?;
    let request = StopServiceDeploymentRequest {
        service_deployment_arn: arn.clone(),
        stop_type: Some(String::from("ROLLBACK")),
    };
    client.call::<StopServiceDeployment>(request).await?;
    let watched = Watched {
        cluster: cluster_name(service).to_owned(),
        service: name(service).to_owned(),
        deployment: arn,
        revision: find::last(deployment.target_service_revision_arn.as_deref()).to_owned(),
        is_telling: true,
    };
    if !detach {
        let steps = Steps::new(false);
        let Some(ended) = until_over(client, &watched, &steps).await? else {
            return Ok(ExitCode::from(130));
        };
        steps.end();
        // Rolled back is what was wanted here.
        if ended.status != "ROLLBACK_SUCCESSFUL" {
            bail!("the deployment ended as {}: {}", ended.status, ended.reason.unwrap_or_default());
        }
    }
    println!("{}", name(service));
    Ok(ExitCode::SUCCESS)
}

/// The revision that the service ran before the one that it runs now.
fn before<'a>(now: &str, deployments: &'a [ServiceDeploymentBrief]) -> Option<&'a str> {
    let succeeded = deployments.iter().filter(|one| one.status.as_deref() == Some("SUCCESSFUL"));
    let mut revisions = succeeded.filter_map(|one| one.target_service_revision_arn.as_deref());
    revisions.find(|arn| find::last(Some(arn)) != now)
}

async fn go_back(
    client: &Client,
    service: &Service,
    deployments: &[ServiceDeploymentBrief],
    detach: bool,
) -> Result<ExitCode> {
    let now = revision(service).unwrap_or_default();
    let Some(arn) = before(&now, deployments) else {
        bail!("{} has run nothing else yet: there is nothing to go back to", name(service))
    };
    let request = DescribeServiceRevisionsRequest { service_revision_arns: vec![arn.to_owned()] };
    let revisions = client.call::<DescribeServiceRevisions>(request).await?.service_revisions;
    let definition = revisions.into_iter().flatten().next().and_then(|one| one.task_definition);
    let definition = definition.with_context(|| format!("the revision {arn} is forgotten"))?;
    if service.task_definition.as_deref() == Some(definition.as_str()) {
        bail!(
            "{} ran the same task definition before ({}), of another image under the same name maybe: \
             push that image again and run `boxship restart {0}`",
            name(service),
            find::last(Some(&definition))
        );
    }
    let request = UpdateServiceRequest {
        cluster: Some(cluster_name(service).to_owned()),
        service: name(service).to_owned(),
        task_definition: Some(definition.clone()),
        ..Default::default()
    };
    let updated = client.call::<UpdateService>(request).await?.service.unwrap_or_default();
    if !detach {
        let watched = begun(client, &updated).await?;
        if let Err(code) = conclude(client, &watched, &Steps::new(false)).await? {
            return Ok(code);
        }
    }
    println!("{} {}", name(service), find::last(Some(&definition)));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_success_of_another_revision_is_gone_back_to() {
        let one = |status: &str, revision: &str| ServiceDeploymentBrief {
            status: Some(status.to_owned()),
            target_service_revision_arn: Some(format!("arn:x:service-revision/c/web/{revision}")),
            ..Default::default()
        };
        let history = [
            one("SUCCESSFUL", "4"),
            one("ROLLBACK_SUCCESSFUL", "3"),
            one("SUCCESSFUL", "2"),
            one("SUCCESSFUL", "1"),
        ];
        assert_eq!(before("4", &history), Some("arn:x:service-revision/c/web/2"));
        assert_eq!(before("2", &history[3..]), Some("arn:x:service-revision/c/web/1"));
        assert_eq!(before("1", &history[3..]), None);
    }
}
