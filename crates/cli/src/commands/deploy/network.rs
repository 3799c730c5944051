//! Where a service's tasks and balancer are: the default VPC, and security groups of their own.

use anyhow::{Context, Result};
use aws_ec2::op::{
    AuthorizeSecurityGroupIngress, CreateSecurityGroup, DescribeSecurityGroups, DescribeSubnets, DescribeVpcs,
};
use aws_ec2::{
    AuthorizeSecurityGroupIngressRequest, CreateSecurityGroupRequest, DescribeSecurityGroupsRequest,
    DescribeSubnetsRequest, DescribeVpcsRequest, Filter, IpPermission, IpRange, SecurityGroup, Tag,
    TagSpecification, UserIdGroupPair,
};

use super::names::{Names, TAG};
use crate::client::{Client, refused_with};

pub struct Network {
    pub vpc: String,
    cidr: String,
    pub subnets: Vec<String>,
}

fn filter(name: &str, value: &str) -> Filter {
    Filter { name: Some(name.to_owned()), values: Some(vec![value.to_owned()]) }
}

/// The default VPC with the default subnet of each zone.
pub async fn network(client: &Client) -> Result<Network> {
    let request =
        DescribeVpcsRequest { filters: Some(vec![filter("is-default", "true")]), ..Default::default() };
    let vpc = client.call::<DescribeVpcs>(request).await?.vpcs.into_iter().flatten().next();
    let vpc = vpc.context("the region has no default VPC")?;
    let request = DescribeSubnetsRequest {
        filters: Some(vec![filter("default-for-az", "true")]),
        ..Default::default()
    };
    let subnets = client.call::<DescribeSubnets>(request).await?.subnets;
    let subnets = subnets.into_iter().flatten().filter_map(|subnet| subnet.subnet_id).collect();
    Ok(Network { vpc: vpc.vpc_id.unwrap_or_default(), cidr: vpc.cidr_block.unwrap_or_default(), subnets })
}

/// Who may come to a port.
pub enum Source<'a> {
    Everybody,
    Vpc,
    Group(&'a str),
}

/// The groups of the balancer and of the tasks.
pub struct Groups {
    pub front: Option<String>,
    pub tasks: String,
}

/// Makes the groups that are missing. `port` is the tasks' where no balancer stands before them.
pub async fn groups(
    client: &Client,
    names: &Names,
    network: &Network,
    is_public: bool,
    port: Option<u16>,
) -> Result<Groups> {
    if let Some(port) = port {
        let tasks = ensure(client, names, network, &names.tasks()).await?;
        open(client, &tasks, network, port, Source::Vpc).await?;
        return Ok(Groups { front: None, tasks });
    }
    let front = ensure(client, names, network, &names.front()).await?;
    let source = if is_public { Source::Everybody } else { Source::Vpc };
    open(client, &front, network, 80, source).await?;
    let tasks = ensure(client, names, network, &names.tasks()).await?;
    open(client, &tasks, network, 0, Source::Group(&front)).await?;
    Ok(Groups { front: Some(front), tasks })
}

/// The group of that name in the VPC.
pub async fn group(client: &Client, vpc: &str, name: &str) -> Result<Option<SecurityGroup>> {
    let filters = vec![filter("vpc-id", vpc), filter("group-name", name)];
    let request = DescribeSecurityGroupsRequest { filters: Some(filters), ..Default::default() };
    Ok(client.call::<DescribeSecurityGroups>(request).await?.security_groups.into_iter().flatten().next())
}

pub fn is_ours(group: &SecurityGroup, names: &Names) -> bool {
    let mut tags = group.tags.iter().flatten();
    tags.any(|tag| tag.key.as_deref() == Some(TAG) && tag.value == Some(names.owner()))
}

async fn ensure(client: &Client, names: &Names, network: &Network, name: &str) -> Result<String> {
    if let Some(group) = group(client, &network.vpc, name).await? {
        if !is_ours(&group, names) {
            return names.not_ours("a security group", name);
        }
        return group.group_id.context("a security group without an id");
    }
    let tag = Tag { key: Some(TAG.to_owned()), value: Some(names.owner()) };
    let tags =
        TagSpecification { resource_type: Some(String::from("security-group")), tags: Some(vec![tag]) };
    let request = CreateSecurityGroupRequest {
        description: format!("boxship deploy {}", names.owner()),
        group_name: name.to_owned(),
        vpc_id: Some(network.vpc.clone()),
        tag_specifications: Some(vec![tags]),
        ..Default::default()
    };
    let made = client.call::<CreateSecurityGroup>(request).await?;
    made.group_id.context("CreateSecurityGroup answered without an id")
}

/// Lets `source` in at a TCP port; 0 is every port.
async fn open(client: &Client, group: &str, network: &Network, port: u16, source: Source<'_>) -> Result<()> {
    let range = |cidr: &str| Some(vec![IpRange { cidr_ip: Some(cidr.to_owned()), ..Default::default() }]);
    let (ip_ranges, pairs) = match source {
        Source::Everybody => (range("0.0.0.0/0"), None),
        Source::Vpc => (range(&network.cidr), None),
        Source::Group(group) => {
            let pair = UserIdGroupPair { group_id: Some(group.to_owned()), ..Default::default() };
            (None, Some(vec![pair]))
        }
    };
    let (from, to) = if port == 0 { (0, 65535) } else { (i32::from(port), i32::from(port)) };
    let permission = IpPermission {
        ip_protocol: Some(String::from("tcp")),
        from_port: Some(from),
        to_port: Some(to),
        ip_ranges,
        user_id_group_pairs: pairs,
        ..Default::default()
    };
    let request = AuthorizeSecurityGroupIngressRequest {
        group_id: Some(group.to_owned()),
        ip_permissions: Some(vec![permission]),
        ..Default::default()
    };
    match client.call::<AuthorizeSecurityGroupIngress>(request).await {
        Err(error) if refused_with(&error, "InvalidPermission.Duplicate") => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}
