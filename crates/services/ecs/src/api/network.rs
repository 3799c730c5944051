//! A task's network: what the request asks for, checked with EC2, and an interface per task.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use aws_ec2::op as ec2;
use aws_ecs as aws;
use base::{AccountId, Fault, Region};
use core_lifecycle::Interface;
use service::{Caller, Tx};

use crate::faults::RunError;

/// Subnets and groups that exist and belong together.
pub struct Network {
    subnets: Vec<Subnet>,
    groups: Option<Vec<String>>,
    vpc: String,
    vpc_cidr: String,
    on_host: bool,
}

struct Subnet {
    id: String,
    cidr: String,
    zone: String,
    /// Its tasks have a public address, and a way out for it.
    is_public: bool,
}

/// An interface that was made, with the zone that it is in.
pub struct Made {
    pub interface: Interface,
    pub zone: String,
}

/// AWS: limits of an `awsvpcConfiguration`.
const MOST_SUBNETS: usize = 16;
const MOST_GROUPS: usize = 5;

/// ECS acts on its own for what a task needs, as AWS does with its service-linked role.
pub fn platform(caller: &Caller) -> Caller {
    Caller::platform("ecs.amazonaws.com", caller.account.clone(), caller.region.clone())
}

impl Network {
    /// The zones that its subnets are in, in their order.
    pub fn zones(&self) -> Vec<String> {
        let zones: BTreeSet<&String> = self.subnets.iter().map(|subnet| &subnet.zone).collect();
        zones.into_iter().cloned().collect()
    }

    /// Which of the subnets to take for the `nth` task, which should be in `zone`.
    pub fn nth_in(&self, zone: &str, nth: usize) -> usize {
        let of_zone = self.subnets.iter().enumerate().filter(|(_, subnet)| subnet.zone == zone);
        let places: Vec<usize> = of_zone.map(|(at, _)| at).collect();
        if places.is_empty() { nth } else { places[nth % places.len()] }
    }
}

/// Checks `asked` with EC2. Faults as AWS's, with EC2's own code inside.
pub fn check(tx: &mut Tx<'_>, asked: aws::AwsVpcConfiguration) -> Result<Network, Fault> {
    if asked.subnets.is_empty() {
        return Err(RunError::NoSubnets.into());
    }
    if asked.subnets.len() > MOST_SUBNETS {
        return Err(RunError::TooMany { list: "subnets", most: MOST_SUBNETS }.into());
    }
    let groups = asked.security_groups.filter(|groups| !groups.is_empty());
    if groups.as_ref().is_some_and(|groups| groups.len() > MOST_GROUPS) {
        return Err(RunError::TooMany { list: "securityGroups", most: MOST_GROUPS }.into());
    }
    let caller = platform(tx.caller);
    let found = subnets(tx, &caller, &asked.subnets)?;
    let vpc = found.first().and_then(|subnet| subnet.vpc_id.clone()).unwrap_or_default();
    if found.iter().any(|subnet| subnet.vpc_id.as_deref() != Some(vpc.as_str())) {
        return Err(RunError::SeveralVpcs.into());
    }
    if let Some(groups) = &groups {
        groups_in(tx, &caller, groups, &vpc)?;
    }
    let request = aws_ec2::DescribeVpcsRequest { vpc_ids: Some(vec![vpc.clone()]), ..Default::default() };
    let vpcs = tx.call_as::<ec2::DescribeVpcs>(&caller, request)?.vpcs.unwrap_or_default();
    let known = vpcs.first();
    let is_default = known.is_some_and(|vpc| vpc.is_default == Some(true));
    let wants_public = asked.assign_public_ip.as_deref() == Some("ENABLED");
    let routed = if wants_public { routed(tx, &caller, &vpc)? } else { Routed::default() };
    let subnets = found.into_iter().map(|subnet| Subnet {
        is_public: subnet.subnet_id.as_ref().is_some_and(|id| routed.leads_out(id)),
        id: subnet.subnet_id.unwrap_or_default(),
        cidr: subnet.cidr_block.unwrap_or_default(),
        zone: subnet.availability_zone.unwrap_or_default(),
    });
    Ok(Network {
        subnets: subnets.collect(),
        groups,
        vpc_cidr: known.and_then(|vpc| vpc.cidr_block.clone()).unwrap_or_default(),
        on_host: is_default
            && caller.account == AccountId::default_account()
            && caller.region == Region::default_region(),
        vpc,
    })
}

/// Which subnets of a VPC have a route to the internet.
#[derive(Default)]
struct Routed {
    /// By subnet: those with a table of their own.
    own: BTreeMap<String, bool>,
    /// Of the main table: all others.
    main: bool,
}

impl Routed {
    fn leads_out(&self, subnet: &str) -> bool {
        self.own.get(subnet).copied().unwrap_or(self.main)
    }
}

/// AWS: a public address is of use where the subnet's table leads to an internet gateway.
fn routed(tx: &mut Tx<'_>, caller: &Caller, vpc: &str) -> Result<Routed, Fault> {
    let in_vpc =
        aws_ec2::Filter { name: Some(String::from("vpc-id")), values: Some(vec![String::from(vpc)]) };
    let request = aws_ec2::DescribeRouteTablesRequest { filters: Some(vec![in_vpc]), ..Default::default() };
    let tables = tx.call_as::<ec2::DescribeRouteTables>(caller, request)?.route_tables.unwrap_or_default();
    let mut routed = Routed::default();
    for table in tables {
        let leads_out = table.routes.iter().flatten().any(|route| {
            route.destination_cidr_block.as_deref() == Some("0.0.0.0/0")
                && route.state.as_deref() == Some("active")
                && route.gateway_id.as_deref().is_some_and(|id| id.starts_with("igw-"))
        });
        for association in table.associations.into_iter().flatten() {
            match association.subnet_id {
                Some(subnet) => drop(routed.own.insert(subnet, leads_out)),
                None => routed.main = leads_out,
            }
        }
    }
    Ok(routed)
}

fn subnets(tx: &mut Tx<'_>, caller: &Caller, ids: &[String]) -> Result<Vec<aws_ec2::Subnet>, Fault> {
    let failed = |code: String, message: String| RunError::Subnets { ids: ids.join(", "), code, message };
    let request = aws_ec2::DescribeSubnetsRequest { subnet_ids: Some(ids.to_vec()), ..Default::default() };
    let answer = tx.call_as::<ec2::DescribeSubnets>(caller, request);
    let found =
        answer.map_err(|fault| failed(fault.code.into_owned(), fault.message))?.subnets.unwrap_or_default();
    // In the order of the request, whatever EC2's is.
    let find = |id: &String| {
        let subnet = found.iter().find(|subnet| subnet.subnet_id.as_ref() == Some(id));
        subnet.cloned().ok_or_else(|| {
            let message = format!("The subnet ID '{id}' does not exist");
            Fault::from(failed(String::from("InvalidSubnetID.NotFound"), message))
        })
    };
    ids.iter().map(find).collect()
}

fn groups_in(tx: &mut Tx<'_>, caller: &Caller, ids: &[String], vpc: &str) -> Result<(), Fault> {
    let failed =
        |code: String, message: String| RunError::SecurityGroups { ids: ids.join(", "), code, message };
    let request =
        aws_ec2::DescribeSecurityGroupsRequest { group_ids: Some(ids.to_vec()), ..Default::default() };
    let answer = tx.call_as::<ec2::DescribeSecurityGroups>(caller, request);
    let answer = answer.map_err(|fault| failed(fault.code.into_owned(), fault.message))?;
    let found = answer.security_groups.unwrap_or_default();
    for id in ids {
        let Some(group) = found.iter().find(|group| group.group_id.as_ref() == Some(id)) else {
            let message = format!("The security group '{id}' does not exist");
            return Err(failed(String::from("InvalidGroup.NotFound"), message).into());
        };
        if group.vpc_id.as_deref() != Some(vpc) {
            return Err(RunError::GroupElsewhere { group: id.clone() }.into());
        }
    }
    Ok(())
}

/// Makes an interface in the `nth` of the subnets, counted around.
pub fn make(tx: &mut Tx<'_>, network: &Network, nth: usize, description: String) -> Result<Made, Fault> {
    let subnet = &network.subnets[nth % network.subnets.len()];
    let request = aws_ec2::CreateNetworkInterfaceRequest {
        subnet_id: subnet.id.clone(),
        groups: network.groups.clone(),
        description: Some(description),
        ..Default::default()
    };
    let caller = platform(tx.caller);
    let answer = tx.call_as::<ec2::CreateNetworkInterface>(&caller, request)?;
    let made = answer.network_interface.unwrap_or_default();
    let address = made.private_ip_address.unwrap_or_default();
    let address: Ipv4Addr = address
        .parse()
        .map_err(|_| Fault::server("ServerException", "EC2 gave an interface without an address."))?;
    let groups = made.groups.unwrap_or_default().into_iter().filter_map(|group| group.group_id);
    let interface = Interface {
        eni: made.network_interface_id.unwrap_or_default(),
        vpc: network.vpc.clone(),
        vpc_cidr: network.vpc_cidr.clone(),
        subnet: subnet.id.clone(),
        subnet_cidr: subnet.cidr.clone(),
        security_groups: groups.collect(),
        address,
        mac: made.mac_address.unwrap_or_default(),
        public: subnet.is_public,
        on_host: network.on_host,
        private_dns_name: made.private_dns_name.unwrap_or_default(),
    };
    Ok(Made { interface, zone: subnet.zone.clone() })
}
