//! A service's load balancer: one listener on port 80, and the target groups that it forwards to.

use anyhow::{Context, Result, bail};
use aws_ecs::{AdvancedConfiguration, LoadBalancer};
use aws_elbv2 as elb;
use aws_elbv2::op::{
    CreateListener, CreateLoadBalancer, CreateRule, CreateTargetGroup, DescribeListeners,
    DescribeLoadBalancers, DescribeRules, DescribeTags, DescribeTargetGroups, ModifyTargetGroup,
    ModifyTargetGroupAttributes,
};

use super::names::{Names, TAG};
use super::network::Network;
use crate::client::{Client, refused_with};

/// Seconds between health checks. AWS: thirty.
const INTERVAL: i32 = 5;
const TIMEOUT: i32 = 2;
/// Checks in a row that make a target healthy, and unhealthy. AWS: five, and two.
const THRESHOLD: i32 = 2;

/// What is wanted of the balancer. What is not said stays as it is.
pub struct Wanted<'a> {
    pub front: &'a str,
    pub port: u16,
    pub health_path: Option<&'a str>,
    pub drain_seconds: Option<u32>,
    pub scheme: Option<&'a str>,
    /// Two target groups and a rule between them.
    pub is_shifting: bool,
    pub role: &'a str,
}

fn tags(names: &Names) -> Option<Vec<elb::Tag>> {
    Some(vec![elb::Tag { key: TAG.to_owned(), value: Some(names.owner()) }])
}

/// Makes what is missing; answers what the service says of its balancer.
pub async fn ensure(
    client: &Client,
    names: &Names,
    network: &Network,
    wanted: &Wanted<'_>,
) -> Result<LoadBalancer> {
    let balancer = balancer(client, names, network, wanted).await?;
    let blue = group(client, names, network, &names.service, wanted).await?;
    let listener = listener(client, names, &balancer, &blue).await?;
    let advanced = if wanted.is_shifting {
        let green = group(client, names, network, &names.green(), wanted).await?;
        let rule = rule(client, names, &listener, &blue, &green).await?;
        Some(AdvancedConfiguration {
            alternate_target_group_arn: Some(green),
            production_listener_rule: Some(rule),
            test_listener_rule: None,
            role_arn: Some(wanted.role.to_owned()),
        })
    } else {
        None
    };
    Ok(LoadBalancer {
        target_group_arn: Some(blue),
        container_name: Some(names.service.clone()),
        container_port: Some(i32::from(wanted.port)),
        advanced_configuration: advanced,
        ..Default::default()
    })
}

/// The balancer of the name, if there is one; also somebody else's.
pub async fn named(client: &Client, name: &str) -> Result<Option<elb::LoadBalancer>> {
    let request =
        elb::DescribeLoadBalancersInput { names: Some(vec![name.to_owned()]), ..Default::default() };
    match client.call::<DescribeLoadBalancers>(request).await {
        Err(error) if refused_with(&error, "LoadBalancerNotFound") => Ok(None),
        answer => Ok(answer?.load_balancers.into_iter().flatten().next()),
    }
}

/// The target group of the name, if there is one; also somebody else's.
pub async fn group_named(client: &Client, name: &str) -> Result<Option<elb::TargetGroup>> {
    let request = elb::DescribeTargetGroupsInput { names: Some(vec![name.to_owned()]), ..Default::default() };
    match client.call::<DescribeTargetGroups>(request).await {
        Err(error) if refused_with(&error, "TargetGroupNotFound") => Ok(None),
        answer => Ok(answer?.target_groups.into_iter().flatten().next()),
    }
}

/// Whether deploy made it for this service.
pub async fn is_ours(client: &Client, names: &Names, arn: &str) -> Result<bool> {
    let request = elb::DescribeTagsInput { resource_arns: vec![arn.to_owned()] };
    let found = client.call::<DescribeTags>(request).await?.tag_descriptions;
    let mut tags = found.into_iter().flatten().flat_map(|one| one.tags.unwrap_or_default());
    Ok(tags.any(|tag| tag.key == TAG && tag.value == Some(names.owner())))
}

async fn balancer(client: &Client, names: &Names, network: &Network, wanted: &Wanted<'_>) -> Result<String> {
    if let Some(found) = named(client, &names.service).await? {
        let arn = found.load_balancer_arn.context("a load balancer without an ARN")?;
        if !is_ours(client, names, &arn).await? {
            return names.not_ours("a load balancer", &names.service);
        }
        if wanted.scheme.is_some() && found.scheme.as_deref() != wanted.scheme {
            bail!("the load balancer {} stays as it was made: `boxship destroy` it first", names.service);
        }
        return Ok(arn);
    }
    let request = elb::CreateLoadBalancerInput {
        name: names.service.clone(),
        subnets: Some(network.subnets.clone()),
        security_groups: Some(vec![wanted.front.to_owned()]),
        scheme: Some(wanted.scheme.unwrap_or("internet-facing").to_owned()),
        tags: tags(names),
        ..Default::default()
    };
    let made = client.call::<CreateLoadBalancer>(request).await?.load_balancers;
    let arn = made.into_iter().flatten().find_map(|one| one.load_balancer_arn);
    arn.context("CreateLoadBalancer answered without a balancer")
}

async fn group(
    client: &Client,
    names: &Names,
    network: &Network,
    name: &str,
    wanted: &Wanted<'_>,
) -> Result<String> {
    let path = wanted.health_path;
    if let Some(found) = group_named(client, name).await? {
        let arn = found.target_group_arn.context("a target group without an ARN")?;
        if !is_ours(client, names, &arn).await? {
            return names.not_ours("a target group", name);
        }
        if path.is_some_and(|path| found.health_check_path.as_deref() != Some(path)) {
            let request = elb::ModifyTargetGroupInput {
                target_group_arn: arn.clone(),
                health_check_path: path.map(str::to_owned),
                ..Default::default()
            };
            client.call::<ModifyTargetGroup>(request).await?;
        }
        drain(client, &arn, wanted.drain_seconds).await?;
        return Ok(arn);
    }
    let request = elb::CreateTargetGroupInput {
        name: name.to_owned(),
        protocol: Some(String::from("HTTP")),
        port: Some(i32::from(wanted.port)),
        vpc_id: Some(network.vpc.clone()),
        target_type: Some(String::from("ip")),
        health_check_path: Some(path.unwrap_or("/").to_owned()),
        health_check_interval_seconds: Some(INTERVAL),
        health_check_timeout_seconds: Some(TIMEOUT),
        healthy_threshold_count: Some(THRESHOLD),
        unhealthy_threshold_count: Some(THRESHOLD),
        tags: tags(names),
        ..Default::default()
    };
    let made = client.call::<CreateTargetGroup>(request).await?.target_groups;
    let arn = made.into_iter().flatten().find_map(|one| one.target_group_arn);
    let arn = arn.context("CreateTargetGroup answered without a group")?;
    drain(client, &arn, Some(wanted.drain_seconds.unwrap_or(super::DRAIN))).await?;
    Ok(arn)
}

/// How long a request under way may take once its task has to go.
async fn drain(client: &Client, group: &str, seconds: Option<u32>) -> Result<()> {
    let Some(seconds) = seconds else { return Ok(()) };
    let attribute = elb::TargetGroupAttribute {
        key: Some(String::from("deregistration_delay.timeout_seconds")),
        value: Some(seconds.to_string()),
    };
    let request = elb::ModifyTargetGroupAttributesInput {
        target_group_arn: group.to_owned(),
        attributes: vec![attribute],
    };
    client.call::<ModifyTargetGroupAttributes>(request).await?;
    Ok(())
}

async fn listener(client: &Client, names: &Names, balancer: &str, blue: &str) -> Result<String> {
    let request = elb::DescribeListenersInput {
        load_balancer_arn: Some(balancer.to_owned()),
        page_size: Some(400),
        ..Default::default()
    };
    let found = client.call::<DescribeListeners>(request).await?.listeners.unwrap_or_default();
    if let Some(listener) = found.into_iter().find(|one| one.port == Some(80)) {
        return listener.listener_arn.context("a listener without an ARN");
    }
    let action = elb::Action {
        r#type: String::from("forward"),
        target_group_arn: Some(blue.to_owned()),
        ..Default::default()
    };
    let request = elb::CreateListenerInput {
        load_balancer_arn: balancer.to_owned(),
        protocol: Some(String::from("HTTP")),
        port: Some(80),
        default_actions: vec![action],
        tags: tags(names),
        ..Default::default()
    };
    let made = client.call::<CreateListener>(request).await?.listeners;
    let arn = made.into_iter().flatten().find_map(|one| one.listener_arn);
    arn.context("CreateListener answered without a listener")
}

/// The rule whose weights ECS moves: all paths. It is ECS's once it is there.
async fn rule(client: &Client, names: &Names, listener: &str, blue: &str, green: &str) -> Result<String> {
    let request = elb::DescribeRulesInput {
        listener_arn: Some(listener.to_owned()),
        page_size: Some(400),
        ..Default::default()
    };
    let found = client.call::<DescribeRules>(request).await?.rules.unwrap_or_default();
    let mut own = found.into_iter().filter(|one| one.is_default != Some(true));
    if let Some(rule) = own.next() {
        if own.next().is_some() {
            bail!(
                "the listener of {} has rules that deploy did not make: shift its traffic through the API",
                names.service
            );
        }
        return rule.rule_arn.context("a rule without an ARN");
    }
    let weighted = |arn: &str, weight| elb::TargetGroupTuple {
        target_group_arn: Some(arn.to_owned()),
        weight: Some(weight),
    };
    let forward = elb::ForwardActionConfig {
        target_groups: Some(vec![weighted(blue, 100), weighted(green, 0)]),
        ..Default::default()
    };
    let action =
        elb::Action { r#type: String::from("forward"), forward_config: Some(forward), ..Default::default() };
    let condition = elb::RuleCondition {
        field: Some(String::from("path-pattern")),
        values: Some(vec![String::from("/*")]),
        ..Default::default()
    };
    let request = elb::CreateRuleInput {
        listener_arn: listener.to_owned(),
        priority: 1,
        conditions: vec![condition],
        actions: vec![action],
        tags: tags(names),
        ..Default::default()
    };
    let made = client.call::<CreateRule>(request).await?.rules;
    let arn = made.into_iter().flatten().find_map(|one| one.rule_arn);
    arn.context("CreateRule answered without a rule")
}
