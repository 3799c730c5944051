//! Load balancers: CreateLoadBalancer, DescribeLoadBalancers, DeleteLoadBalancer, and where they
//! stand: SetSubnets, SetSecurityGroups, SetIpAddressType.

use std::net::Ipv4Addr;
use std::sync::Arc;

use aws_elbv2 as aws;
use base::{Chance, Fault};
use core_routing::{Node, Scheme};
use service::{Tx, View};
use store::{Record, Snapshot};

use super::{ec2, find, listener, tag};
use crate::behaviour::attribute::{self, BALANCER};
use crate::behaviour::name;
use crate::behaviour::page::Page;
use crate::convert;
use crate::faults::{self, Resource};
use crate::state::id::home_of;
use crate::state::{Balancer, BalancerId, Listener};

/// What CreateLoadBalancer acts on.
pub const CREATE: &[&str] = &[
    "Name",
    "Subnets",
    "SubnetMappings.SubnetId",
    "SecurityGroups",
    "Scheme",
    "Tags",
    "Type",
    "IpAddressType",
];
/// What SetSubnets acts on.
pub const SET_SUBNETS: &[&str] = &["LoadBalancerArn", "Subnets", "SubnetMappings.SubnetId", "IpAddressType"];

/// AWS: of one account in a region.
const MOST: usize = 50;

pub fn create(
    tx: &mut Tx<'_>,
    request: aws::CreateLoadBalancerInput,
) -> Result<aws::CreateLoadBalancerOutput, Fault> {
    name::balancer(&request.name)?;
    if let Some(kind @ ("network" | "gateway")) = request.r#type.as_deref() {
        return Err(faults::refuse(&format!("Type={kind}")));
    }
    check_address_type(request.ip_address_type.as_deref())?;
    let scheme = match request.scheme.as_deref() {
        Some("internal") => Scheme::Internal,
        _ => Scheme::InternetFacing,
    };
    let tags = tag::checked(request.tags)?;
    let asked = subnets_of(request.subnets, request.subnet_mappings)?;
    let groups = request.security_groups.filter(|groups| !groups.is_empty());
    let subnets = ec2::subnets(tx, &asked)?;
    if subnets.len() < 2 {
        return Err(too_few_zones());
    }
    let home = home_of(tx.caller);
    if let Some(known) = tx.get::<Balancer>(&home.child(&request.name)) {
        return again(&known, scheme, &asked, groups.as_deref());
    }
    if tx.scan::<Balancer>(&home).count() >= MOST {
        return Err(faults::too_many("TooManyLoadBalancers", "load balancers", MOST));
    }
    let vpc = ec2::vpc(tx, subnets[0].vpc_id.as_deref().unwrap_or_default())?;
    if let Some(groups) = &groups {
        ec2::check_groups(tx, &vpc.id, groups)?;
    }
    ec2::check_gateway(tx, &vpc.id, scheme)?;
    let (account, region) = (tx.caller.account.clone(), tx.caller.region.clone());
    let at = BalancerId { account, region, name: request.name, id: tx.chance.hex(16) };
    let (mut nodes, mut security_groups) = (Vec::new(), Vec::new());
    for subnet in &subnets {
        let description = format!("ELB {at}");
        let (node, of_it) = ec2::make_node(tx, subnet, groups.as_deref(), &description)?;
        nodes.push(node);
        security_groups = of_it;
    }
    let alias = alias_of(tx, at.arn().as_str());
    let balancer = Balancer {
        at,
        scheme,
        vpc: vpc.id,
        vpc_cidr: vpc.cidr,
        on_host: vpc.on_host,
        nodes,
        alias,
        security_groups,
        is_active: false,
        attributes: Default::default(),
        tags,
        created_at: tx.now,
    };
    let shape = convert::balancer(&balancer);
    tx.put(balancer);
    Ok(aws::CreateLoadBalancerOutput { load_balancers: Some(vec![shape]) })
}

/// AWS: creating one again with the same settings answers with the one that is there.
fn again(
    known: &Balancer,
    scheme: Scheme,
    subnets: &[String],
    groups: Option<&[String]>,
) -> Result<aws::CreateLoadBalancerOutput, Fault> {
    let is_same = known.scheme == scheme
        && same(subnets, known.nodes.iter().map(|node| &node.subnet))
        && groups.is_none_or(|groups| same(groups, known.security_groups.iter()));
    if !is_same {
        return Err(faults::duplicate_balancer(&known.at.name));
    }
    Ok(aws::CreateLoadBalancerOutput { load_balancers: Some(vec![convert::balancer(known)]) })
}

fn same<'a>(asked: &[String], known: impl Iterator<Item = &'a String>) -> bool {
    let mut asked: Vec<_> = asked.iter().collect();
    let mut known: Vec<_> = known.collect();
    asked.sort();
    asked.dedup();
    known.sort();
    asked == known
}

fn too_few_zones() -> Fault {
    faults::invalid("At least two subnets in two different Availability Zones must be specified")
}

fn check_address_type(kind: Option<&str>) -> Result<(), Fault> {
    match kind {
        None | Some("ipv4") => Ok(()),
        Some(other) => Err(faults::refuse(&format!("IpAddressType={other}"))),
    }
}

fn subnets_of(
    subnets: Option<Vec<String>>,
    mappings: Option<Vec<aws::SubnetMapping>>,
) -> Result<Vec<String>, Fault> {
    let subnets = subnets.unwrap_or_default();
    let mapped: Vec<_> =
        mappings.unwrap_or_default().into_iter().filter_map(|mapping| mapping.subnet_id).collect();
    if !subnets.is_empty() && !mapped.is_empty() {
        return Err(faults::invalid("You can specify either subnets or subnet mappings, not both"));
    }
    let mut asked = if subnets.is_empty() { mapped } else { subnets };
    asked.sort();
    asked.dedup();
    if asked.len() < 2 {
        return Err(too_few_zones());
    }
    Ok(asked)
}

/// An address of 127.0.0.0/8 that follows from the ARN, and that no other balancer has. Never one
/// that hosts use themselves: 127.0.0.1, 127.0.0.53 and the rest of 127.0.
fn alias_of(records: &Snapshot, arn: &str) -> Ipv4Addr {
    let mut chance = Chance::new(0).split(arn);
    loop {
        let mut part = |from: u8, to: u8| from + chance.below(u64::from(to - from) + 1) as u8;
        let alias = Ipv4Addr::new(127, part(1, 254), part(0, 255), part(1, 254));
        let (index, prefix) = Balancer::of_alias(alias);
        if records.by::<Balancer>(index, &prefix).next().is_none() {
            return alias;
        }
    }
}

pub fn describe(
    view: &View<'_>,
    request: aws::DescribeLoadBalancersInput,
) -> Result<aws::DescribeLoadBalancersOutput, Fault> {
    let page = Page::of(request.page_size, request.marker.as_deref())?;
    let arns = request.load_balancer_arns.unwrap_or_default();
    let names = request.names.unwrap_or_default();
    if !arns.is_empty() && !names.is_empty() {
        return Err(faults::invalid(
            "Load balancer names and load balancer ARNs cannot be specified together",
        ));
    }
    let home = home_of(view.caller);
    let found: Vec<Arc<Balancer>> = if !arns.is_empty() {
        find::balancers(view, view.caller, &arns)?
    } else if names.is_empty() {
        view.scan::<Balancer>(&home).collect()
    } else {
        let find = |name: &String| view.get::<Balancer>(&home.child(name));
        let missing: Vec<String> = names.iter().filter(|name| find(name).is_none()).cloned().collect();
        if !missing.is_empty() {
            return Err(faults::names_missing(Resource::Balancer, &missing));
        }
        names.iter().filter_map(find).collect()
    };
    let mut found: Vec<_> = found;
    found.sort_by_key(|balancer| balancer.key());
    found.dedup_by_key(|balancer| balancer.key());
    let shown = found.iter().map(|balancer| (balancer.at.name.clone(), convert::balancer(balancer)));
    let (load_balancers, next_marker) = page.take(shown);
    Ok(aws::DescribeLoadBalancersOutput { load_balancers: Some(load_balancers), next_marker })
}

/// AWS: one that is gone already is as good.
pub fn delete(
    tx: &mut Tx<'_>,
    request: aws::DeleteLoadBalancerInput,
) -> Result<aws::DeleteLoadBalancerOutput, Fault> {
    let arn = &request.load_balancer_arn;
    let balancer = match find::balancer(tx, tx.caller, arn) {
        Err(fault) if fault.code == "LoadBalancerNotFound" => return Ok(Default::default()),
        found => found?,
    };
    if attribute::get(BALANCER, &balancer.attributes, "deletion_protection.enabled") == "true" {
        return Err(faults::not_permitted(format_args!(
            "Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
        )));
    }
    let listeners: Vec<_> = tx.scan::<Listener>(&balancer.at.key()).collect();
    for one in listeners {
        listener::remove(tx, &one);
    }
    for node in &balancer.nodes {
        ec2::give_back(tx, node)?;
    }
    tx.delete::<Balancer>(&balancer.key());
    Ok(aws::DeleteLoadBalancerOutput::default())
}

pub fn set_subnets(tx: &mut Tx<'_>, request: aws::SetSubnetsInput) -> Result<aws::SetSubnetsOutput, Fault> {
    let balancer = find::balancer(tx, tx.caller, &request.load_balancer_arn)?;
    check_address_type(request.ip_address_type.as_deref())?;
    let asked = subnets_of(request.subnets, request.subnet_mappings)?;
    let subnets = ec2::subnets(tx, &asked)?;
    if subnets.iter().any(|subnet| subnet.vpc_id.as_ref() != Some(&balancer.vpc)) {
        return Err(faults::configuration(format_args!(
            "The subnets must be in the VPC '{}' of the load balancer",
            balancer.vpc
        )));
    }
    let (kept, gone): (Vec<Node>, Vec<Node>) =
        balancer.nodes.iter().cloned().partition(|node| asked.contains(&node.subnet));
    for node in &gone {
        ec2::give_back(tx, node)?;
    }
    let mut nodes = kept;
    for subnet in &subnets {
        if nodes.iter().any(|node| Some(&node.subnet) == subnet.subnet_id.as_ref()) {
            continue;
        }
        let description = format!("ELB {}", balancer.at);
        let (node, _) = ec2::make_node(tx, subnet, Some(&balancer.security_groups), &description)?;
        nodes.push(node);
    }
    nodes.sort_by(|one, other| one.zone.cmp(&other.zone));
    let changed = Balancer { nodes, ..(*balancer).clone() };
    let zones = convert::zones(&changed);
    tx.put(changed);
    Ok(aws::SetSubnetsOutput {
        availability_zones: Some(zones),
        ip_address_type: convert::text("ipv4"),
        ..Default::default()
    })
}

pub fn set_security_groups(
    tx: &mut Tx<'_>,
    request: aws::SetSecurityGroupsInput,
) -> Result<aws::SetSecurityGroupsOutput, Fault> {
    let balancer = find::balancer(tx, tx.caller, &request.load_balancer_arn)?;
    let mut groups = request.security_groups;
    groups.sort();
    groups.dedup();
    if groups.is_empty() {
        return Err(faults::configuration("At least one security group must be specified"));
    }
    ec2::check_groups(tx, &balancer.vpc, &groups)?;
    for node in &balancer.nodes {
        ec2::regroup(tx, node, &groups)?;
    }
    tx.put(Balancer { security_groups: groups.clone(), ..(*balancer).clone() });
    Ok(aws::SetSecurityGroupsOutput { security_group_ids: Some(groups), ..Default::default() })
}

pub fn set_address_type(
    tx: &mut Tx<'_>,
    request: aws::SetIpAddressTypeInput,
) -> Result<aws::SetIpAddressTypeOutput, Fault> {
    find::balancer(tx, tx.caller, &request.load_balancer_arn)?;
    check_address_type(Some(&request.ip_address_type))?;
    Ok(aws::SetIpAddressTypeOutput { ip_address_type: Some(request.ip_address_type) })
}
