//! The service itself: what there is, what is asked of ECS, and whether that needs a deployment.

use anyhow::{Context, Result, bail};
use aws_ecs as ecs;
use aws_ecs::op::{
    CreateService, DescribeServiceRevisions, DescribeTaskDefinition, RegisterTaskDefinition, TagResource,
    UntagResource, UpdateService,
};

use super::DeployArgs;
use super::balancer::named;
use super::names::{Names, TAG};
use super::network::{Groups, Network};
use super::program::Program;
use super::resources;
use crate::client::Client;
use crate::commands::find_service::{SCALE_TO_ZERO, look, status, tag};

/// AWS: zero, which fails every program that takes a moment to listen.
const GRACE: i32 = 30;

/// What there is before anything is asked.
pub struct Present {
    pub service: Option<ecs::Service>,
    definition: Option<ecs::TaskDefinition>,
}

impl Present {
    pub async fn look(client: &Client, names: &Names) -> Result<Present> {
        let service = look(client, &names.cluster, &names.service).await?;
        let Some(service) = service.filter(|one| status(one) != "INACTIVE") else {
            return Ok(Present { service: None, definition: None });
        };
        if tag(&service, TAG) != Some(&names.owner()) {
            return names.not_ours("a service", &names.service);
        }
        if status(&service) == "DRAINING" {
            bail!("the service {} is being deleted: deploy again once its tasks have stopped", names.service);
        }
        let request = ecs::DescribeTaskDefinitionRequest {
            task_definition: service.task_definition.clone().context("a service without a definition")?,
            ..Default::default()
        };
        let definition = client.call::<DescribeTaskDefinition>(request).await?.task_definition;
        Ok(Present { service: Some(service), definition })
    }

    pub fn program(&self, names: &Names) -> Result<Option<Program>> {
        self.definition.as_ref().map(|definition| Program::of(definition, &names.role())).transpose()
    }

    pub fn configuration(&self) -> Option<&ecs::DeploymentConfiguration> {
        self.service.as_ref().and_then(|service| service.deployment_configuration.as_ref())
    }

    fn balancer(&self) -> Option<&ecs::LoadBalancer> {
        self.service.as_ref().and_then(|service| service.load_balancers.iter().flatten().next())
    }

    /// Refuses what a service that is there cannot become.
    pub fn check(&self, args: &DeployArgs) -> Result<()> {
        if self.service.is_none() {
            return Ok(());
        }
        let has_balancer = self.balancer().is_some();
        if args.no_balancer && has_balancer {
            bail!("the service has a load balancer: `boxship destroy` it to deploy it without one");
        }
        let is_about_one = args.public || args.internal || args.health_path.is_some() || args.drain.is_some();
        if !has_balancer && (is_about_one || args.grace.is_some() || args.scale_to_zero.is_some()) {
            bail!("the service has no load balancer: `boxship destroy` it to deploy it with one");
        }
        Ok(())
    }

    /// Whether its balancer is for the VPC alone; refused where another kind is asked for.
    pub async fn is_internal(&self, client: &Client, names: &Names) -> Result<bool> {
        if self.balancer().is_none() {
            return Ok(false);
        }
        let found = named(client, &names.service).await?;
        Ok(found.is_some_and(|one| one.scheme.as_deref() == Some("internal")))
    }
}

/// What the service should be.
pub struct Told<'a> {
    pub names: &'a Names,
    /// The task definition, where it is another one than the service has.
    pub definition: Option<String>,
    pub configuration: ecs::DeploymentConfiguration,
    pub network: Network,
    pub groups: Groups,
    pub balancer: Option<ecs::LoadBalancer>,
    /// Of the image, where it is known.
    pub digest: Option<String>,
}

/// Registers what the service is to run, where it runs something else; answers its ARN then.
pub async fn register(
    client: &Client,
    present: &Present,
    names: &Names,
    program: &Program,
) -> Result<Option<String>> {
    if present.program(names)?.as_ref() == Some(program) {
        return Ok(None);
    }
    let role = resources::role_arn(client, names);
    let request = program.definition(names, &role, client.region().as_str());
    let made = client.call::<RegisterTaskDefinition>(request).await?.task_definition;
    let arn = made.and_then(|made| made.task_definition_arn);
    Ok(Some(arn.context("RegisterTaskDefinition answered without a definition")?))
}

/// Creates or updates it. Answers the service, whether it is new, and whether a deployment has begun.
pub async fn ask(
    client: &Client,
    present: &Present,
    told: Told<'_>,
    args: &DeployArgs,
) -> Result<(ecs::Service, bool, bool)> {
    let Some(service) = &present.service else {
        return Ok((create(client, told, args).await?, true, true));
    };
    let balancer = told.balancer.clone().filter(|wanted| !is_like(present.balancer(), wanted));
    // The same name may stand for another image now.
    let is_same = told.definition.is_none();
    let is_other = is_same && !is_image_of(client, service, told.digest.as_deref()).await?;
    let is_forced = args.force || is_other;
    let has_begun = !is_same || balancer.is_some() || is_forced;
    let request = ecs::UpdateServiceRequest {
        cluster: Some(told.names.cluster.clone()),
        service: told.names.service.clone(),
        desired_count: args.count,
        task_definition: told.definition,
        deployment_configuration: Some(told.configuration),
        load_balancers: balancer.map(|one| vec![one]),
        health_check_grace_period_seconds: args.grace,
        force_new_deployment: is_forced.then_some(true),
        ..Default::default()
    };
    scale_to_zero(client, service, args.scale_to_zero).await?;
    let updated = client.call::<UpdateService>(request).await?.service;
    Ok((updated.context("UpdateService answered without a service")?, false, has_begun))
}

async fn create(client: &Client, told: Told<'_>, args: &DeployArgs) -> Result<ecs::Service> {
    let network = ecs::AwsVpcConfiguration {
        subnets: told.network.subnets,
        security_groups: Some(vec![told.groups.tasks]),
        assign_public_ip: Some(String::from("ENABLED")),
    };
    let tag = |key: &str, value: String| ecs::Tag { key: Some(key.to_owned()), value: Some(value) };
    let idle = args.scale_to_zero.filter(|seconds| *seconds > 0);
    let tags =
        [Some(tag(TAG, told.names.owner())), idle.map(|seconds| tag(SCALE_TO_ZERO, seconds.to_string()))];
    let request = ecs::CreateServiceRequest {
        cluster: Some(told.names.cluster.clone()),
        service_name: told.names.service.clone(),
        task_definition: told.definition,
        desired_count: Some(args.count.unwrap_or(1)),
        launch_type: Some(String::from("FARGATE")),
        deployment_configuration: Some(told.configuration),
        network_configuration: Some(ecs::NetworkConfiguration { awsvpc_configuration: Some(network) }),
        health_check_grace_period_seconds: told.balancer.is_some().then_some(args.grace.unwrap_or(GRACE)),
        load_balancers: told.balancer.map(|one| vec![one]),
        tags: Some(tags.into_iter().flatten().collect()),
        // So that `boxship exec` works.
        enable_execute_command: Some(true),
        ..Default::default()
    };
    let created = client.call::<CreateService>(request).await?.service;
    created.context("CreateService answered without a service")
}

/// Whether the service says the same of its balancer. Which of two groups is the first one changes
/// with every deployment that shifts traffic.
fn is_like(present: Option<&ecs::LoadBalancer>, wanted: &ecs::LoadBalancer) -> bool {
    present.is_some_and(|present| {
        present.container_port == wanted.container_port
            && present.advanced_configuration.is_some() == wanted.advanced_configuration.is_some()
    })
}

/// Whether the service's newest revision runs the image with this digest. Unknown is no.
async fn is_image_of(client: &Client, service: &ecs::Service, digest: Option<&str>) -> Result<bool> {
    let Some(digest) = digest else { return Ok(false) };
    let revisions = service.current_service_revisions.iter().flatten();
    let arns: Vec<_> = revisions.filter_map(|one| one.arn.clone()).collect();
    if arns.is_empty() {
        return Ok(false);
    }
    let request = ecs::DescribeServiceRevisionsRequest { service_revision_arns: arns };
    let found = client.call::<DescribeServiceRevisions>(request).await?.service_revisions;
    let mut revisions: Vec<_> = found.unwrap_or_default();
    revisions.sort_by_key(|one| std::cmp::Reverse(one.created_at));
    let images = revisions.first().and_then(|one| one.container_images.as_deref()).unwrap_or_default();
    Ok(images.iter().any(|image| image.image_digest.as_deref() == Some(digest)))
}

async fn scale_to_zero(client: &Client, service: &ecs::Service, seconds: Option<u32>) -> Result<()> {
    let resource_arn = service.service_arn.clone().unwrap_or_default();
    match seconds {
        None => {}
        Some(0) => {
            let request =
                ecs::UntagResourceRequest { resource_arn, tag_keys: vec![SCALE_TO_ZERO.to_owned()] };
            client.call::<UntagResource>(request).await?;
        }
        Some(seconds) => {
            let tag = ecs::Tag { key: Some(SCALE_TO_ZERO.to_owned()), value: Some(seconds.to_string()) };
            let request = ecs::TagResourceRequest { resource_arn, tags: vec![tag] };
            client.call::<TagResource>(request).await?;
        }
    }
    Ok(())
}
