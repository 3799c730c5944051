//! Which service a user means, and how its deployment stands.

use anyhow::{Result, bail};
use aws_ecs::op::{DescribeServices, ListServices};
use aws_ecs::{DescribeServicesRequest, ListServicesRequest, Service};

use super::find;
use crate::client::{Client, refused_with};

/// AWS: services in one DescribeServices.
const AT_ONCE: usize = 10;

/// A cluster's services, or those of all clusters.
pub async fn all(client: &Client, cluster: Option<&str>) -> Result<Vec<Service>> {
    let mut services = Vec::new();
    for cluster in find::clusters(client, cluster).await? {
        services.extend(of_cluster(client, &cluster).await?);
    }
    services.sort_by(|a, b| (&a.cluster_arn, &a.service_name).cmp(&(&b.cluster_arn, &b.service_name)));
    Ok(services)
}

async fn of_cluster(client: &Client, cluster: &str) -> Result<Vec<Service>> {
    let (mut services, mut next_token) = (Vec::new(), None);
    loop {
        let request = ListServicesRequest {
            cluster: Some(cluster.to_owned()),
            max_results: Some(100),
            next_token,
            ..Default::default()
        };
        let page = match client.call::<ListServices>(request).await {
            // A cluster that went since it was listed has none.
            Err(error) if refused_with(&error, "ClusterNotFoundException") => return Ok(services),
            page => page?,
        };
        let arns = page.service_arns.unwrap_or_default();
        for some in arns.chunks(AT_ONCE) {
            services.extend(described(client, cluster, some.to_vec()).await?);
        }
        next_token = page.next_token;
        if next_token.is_none() {
            return Ok(services);
        }
    }
}

/// The service of that name or ARN, in the cluster that is named or in the only one that has it.
pub async fn find(client: &Client, named: &str, cluster: Option<&str>) -> Result<Service> {
    let in_arn = named.split(":service/").nth(1).and_then(|resource| resource.split('/').next());
    let mut meant = Vec::new();
    for cluster in find::clusters(client, cluster.or(in_arn)).await? {
        meant.extend(described(client, &cluster, vec![named.to_owned()]).await?);
    }
    meant.retain(|service| status(service) != "INACTIVE");
    match meant.len() {
        0 => bail!("no service {named}: `boxship services` lists those that there are"),
        1 => Ok(meant.remove(0)),
        _ => {
            let clusters: Vec<_> = meant.iter().map(cluster_name).collect();
            bail!("{named} is in several clusters ({}): name one with --cluster", clusters.join(", "))
        }
    }
}

/// The service as it is now, deleted ones included; `None` where there never was one, or no longer.
pub async fn look(client: &Client, cluster: &str, named: &str) -> Result<Option<Service>> {
    Ok(described(client, cluster, vec![named.to_owned()]).await?.pop())
}

async fn described(client: &Client, cluster: &str, services: Vec<String>) -> Result<Vec<Service>> {
    let request = DescribeServicesRequest {
        cluster: Some(cluster.to_owned()),
        services,
        include: Some(vec![String::from("TAGS")]),
    };
    match client.call::<DescribeServices>(request).await {
        Ok(answer) => Ok(answer.services.unwrap_or_default()),
        Err(error) if refused_with(&error, "ClusterNotFoundException") => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

pub fn status(service: &Service) -> &str {
    service.status.as_deref().unwrap_or_default()
}

pub fn name(service: &Service) -> &str {
    service.service_name.as_deref().unwrap_or_default()
}

pub fn cluster_name(service: &Service) -> &str {
    find::last(service.cluster_arn.as_deref())
}

/// The digits of the revision that a service's newest deployment brings.
pub fn revision(service: &Service) -> Option<String> {
    let newest = service.deployments.iter().flatten().find(|one| one.status.as_deref() == Some("PRIMARY"))?;
    Some(find::last(newest.id.as_deref()).to_owned())
}

/// What is said of the newest deployment: `COMPLETED`, `IN_PROGRESS`, `FAILED`.
pub fn rollout(service: &Service) -> &str {
    let mut deployments = service.deployments.iter().flatten();
    let newest = deployments.find(|one| one.status.as_deref() == Some("PRIMARY"));
    newest.and_then(|one| one.rollout_state.as_deref()).unwrap_or_default()
}

pub fn tag<'a>(service: &'a Service, key: &str) -> Option<&'a str> {
    let mut tags = service.tags.iter().flatten();
    tags.find(|tag| tag.key.as_deref() == Some(key)).and_then(|tag| tag.value.as_deref())
}

/// AWS: what the waiter `services-stable` waits for. A service that sleeps has what it wants, too.
pub fn is_stable(service: &Service) -> bool {
    let is_whole = service.running_count == service.desired_count || is_asleep(service);
    service.deployments.iter().flatten().count() == 1 && is_whole
}

/// Ours: a service with this tag keeps no task while nobody asks for it.
pub const SCALE_TO_ZERO: &str = "boxship:scale-to-zero";

pub fn is_asleep(service: &Service) -> bool {
    let tasks = service.running_count.unwrap_or_default() + service.pending_count.unwrap_or_default();
    tasks == 0 && tag(service, SCALE_TO_ZERO).is_some() && rollout(service) == "COMPLETED"
}
