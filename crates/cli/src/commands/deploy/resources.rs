//! What a service stands on beside its network: image, cluster, role and log group.

use anyhow::{Context, Result, bail};
use aws_ecr::op::DescribeImages;
use aws_ecr::{DescribeImagesRequest, ImageIdentifier};
use aws_ecs as ecs;
use aws_ecs::op::{CreateCluster, DescribeClusters};
use aws_iam::op::{AttachRolePolicy, CreateRole, ListRoleTags};
use aws_iam::{AttachRolePolicyRequest, CreateRoleRequest, ListRoleTagsRequest};
use aws_logs::op::{CreateLogGroup, ListTagsLogGroup};
use aws_logs::{CreateLogGroupRequest, ListTagsLogGroupRequest};

use super::names::{Names, TAG};
use crate::client::{Client, refused_with};
use crate::http;

/// What the role may do: pull and log, and shift the balancer's traffic for ECS.
pub const POLICIES: [&str; 2] = [
    "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy",
    "arn:aws:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers",
];

/// The digest behind an image's name in this ECR; `None` for an image that is elsewhere. An image
/// of this ECR that is not there is refused.
pub async fn digest(client: &Client, image: &str) -> Result<Option<String>> {
    let registry = format!("{}/", http::host(client.address()));
    let Some(name) = image.strip_prefix(&registry) else { return Ok(None) };
    if let Some((_, digest)) = name.split_once('@') {
        return Ok(Some(digest.to_owned()));
    }
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
    let id = ImageIdentifier { image_tag: Some(tag.to_owned()), ..Default::default() };
    let request = DescribeImagesRequest {
        repository_name: repository.to_owned(),
        image_ids: Some(vec![id]),
        ..Default::default()
    };
    match client.call::<DescribeImages>(request).await {
        Ok(found) => Ok(found.image_details.into_iter().flatten().find_map(|one| one.image_digest)),
        Err(error)
            if refused_with(&error, "ImageNotFoundException")
                || refused_with(&error, "RepositoryNotFoundException") =>
        {
            bail!("there is no image {image}: push it first, for instance with `boxship image push`")
        }
        Err(error) => Err(error),
    }
}

/// Whether the cluster is there, and with deploy's tag.
pub async fn cluster_of(client: &Client, names: &Names) -> Result<Option<bool>> {
    let request = ecs::DescribeClustersRequest {
        clusters: Some(vec![names.cluster.clone()]),
        include: Some(vec![String::from("TAGS")]),
    };
    let found = client.call::<DescribeClusters>(request).await?.clusters.unwrap_or_default();
    let active = found.into_iter().find(|one| one.status.as_deref() == Some("ACTIVE"));
    let has_tag = |one: &ecs::Cluster| one.tags.iter().flatten().any(|tag| tag.key.as_deref() == Some(TAG));
    Ok(active.as_ref().map(has_tag))
}

pub async fn cluster(client: &Client, names: &Names) -> Result<()> {
    if cluster_of(client, names).await?.is_some() {
        return Ok(());
    }
    let request = ecs::CreateClusterRequest {
        cluster_name: Some(names.cluster.clone()),
        // The cluster may come to hold several services of deploy's.
        tags: Some(vec![ecs::Tag { key: Some(TAG.to_owned()), value: Some(names.cluster.clone()) }]),
        ..Default::default()
    };
    client.call::<CreateCluster>(request).await?;
    Ok(())
}

/// Whether a role of the name is there, and ours.
pub async fn role_of(client: &Client, names: &Names) -> Result<Option<bool>> {
    let request = ListRoleTagsRequest { role_name: names.role(), ..Default::default() };
    match client.call::<ListRoleTags>(request).await {
        Err(error) if refused_with(&error, "NoSuchEntity") => Ok(None),
        answer => {
            let tags = answer?.tags;
            Ok(Some(tags.iter().any(|tag| tag.key == TAG && tag.value == names.owner())))
        }
    }
}

pub fn role_arn(client: &Client, names: &Names) -> String {
    format!("arn:aws:iam::{}:role/{}", client.account(), names.role())
}

/// The ARN of the role that pulls, logs and shifts traffic; made where it is missing.
pub async fn role(client: &Client, names: &Names) -> Result<String> {
    let arn = role_arn(client, names);
    match role_of(client, names).await? {
        Some(true) => return Ok(arn),
        Some(false) => return names.not_ours("a role", &names.role()),
        None => {}
    }
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":["ecs-tasks.amazonaws.com","ecs.amazonaws.com"]},"Action":"sts:AssumeRole"}]}"#;
    let request = CreateRoleRequest {
        role_name: names.role(),
        assume_role_policy_document: trust.to_owned(),
        tags: Some(vec![aws_iam::Tag { key: TAG.to_owned(), value: names.owner() }]),
        ..Default::default()
    };
    client.call::<CreateRole>(request).await.context("the role of the service")?;
    for policy in POLICIES {
        let request = AttachRolePolicyRequest { role_name: names.role(), policy_arn: policy.to_owned() };
        client.call::<AttachRolePolicy>(request).await?;
    }
    Ok(arn)
}

/// Whether the log group is there, and ours.
pub async fn log_group_of(client: &Client, names: &Names) -> Result<Option<bool>> {
    let request = ListTagsLogGroupRequest { log_group_name: names.log_group() };
    match client.call::<ListTagsLogGroup>(request).await {
        Err(error) if refused_with(&error, "ResourceNotFoundException") => Ok(None),
        answer => Ok(Some(answer?.tags.unwrap_or_default().get(TAG) == Some(&names.owner()))),
    }
}

pub async fn log_group(client: &Client, names: &Names) -> Result<()> {
    match log_group_of(client, names).await? {
        Some(true) => return Ok(()),
        Some(false) => return names.not_ours("a log group", &names.log_group()),
        None => {}
    }
    let request = CreateLogGroupRequest {
        log_group_name: names.log_group(),
        tags: Some([(TAG.to_owned(), names.owner())].into()),
        ..Default::default()
    };
    client.call::<CreateLogGroup>(request).await?;
    Ok(())
}
