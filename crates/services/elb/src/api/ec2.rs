//! What EC2 is asked: subnets, security groups, interfaces, instances. Nested, in the name of
//! Elastic Load Balancing, as AWS does with its service-linked role.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use aws_ec2 as ec2;
use aws_ec2::op;
use base::{AccountId, Fault, Region};
use core_addresses::Cidr;
use core_routing::{Node, Scheme};
use service::{Caller, Tx};

use crate::PRINCIPAL;
use crate::faults;

pub fn platform(caller: &Caller) -> Caller {
    Caller::platform(PRINCIPAL, caller.account.clone(), caller.region.clone())
}

/// A VPC as far as balancers and targets need it.
pub struct Vpc {
    pub id: String,
    pub cidr: String,
    pub on_host: bool,
}

pub fn vpc(tx: &mut Tx<'_>, id: &str) -> Result<Vpc, Fault> {
    let caller = platform(tx.caller);
    let request = ec2::DescribeVpcsRequest { vpc_ids: Some(vec![id.to_owned()]), ..Default::default() };
    let missing = || faults::invalid(format_args!("The VPC ID '{id}' is not found"));
    let answer = tx.call_as::<op::DescribeVpcs>(&caller, request).map_err(|_| missing())?;
    let found = answer.vpcs.unwrap_or_default().into_iter().next().ok_or_else(missing)?;
    let cidr = found.cidr_block.unwrap_or_default();
    let is_default = found.is_default == Some(true);
    let on_host = is_default
        && caller.account == AccountId::default_account()
        && caller.region == Region::default_region();
    Ok(Vpc { id: id.to_owned(), cidr, on_host })
}

/// AWS: a balancer needs so many free addresses in each subnet.
const FREE: i32 = 8;
/// AWS: a subnet of a balancer is no smaller.
const SMALLEST: u8 = 27;

/// Subnets that exist, in one VPC, each in a zone of its own, in the order of the zones.
pub fn subnets(tx: &mut Tx<'_>, ids: &[String]) -> Result<Vec<ec2::Subnet>, Fault> {
    let caller = platform(tx.caller);
    let request = ec2::DescribeSubnetsRequest { subnet_ids: Some(ids.to_vec()), ..Default::default() };
    let not_found = |fault: Fault| Fault::caller("SubnetNotFound", fault.message);
    let answer = tx.call_as::<op::DescribeSubnets>(&caller, request).map_err(not_found)?;
    let mut found = answer.subnets.unwrap_or_default();
    if let Some(id) = ids.iter().find(|id| !found.iter().any(|one| one.subnet_id.as_ref() == Some(id))) {
        let message = format_args!("The subnet ID '{id}' does not exist");
        return Err(Fault::caller("SubnetNotFound", message));
    }
    if found.windows(2).any(|two| two[0].vpc_id != two[1].vpc_id) {
        return Err(faults::configuration("The subnets must all be in the same VPC"));
    }
    found.sort_by(|one, other| one.availability_zone.cmp(&other.availability_zone));
    if found.windows(2).any(|two| two[0].availability_zone == two[1].availability_zone) {
        return Err(faults::configuration(
            "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
        ));
    }
    Ok(found)
}

/// AWS: a subnet must be able to take a balancer's addresses.
fn check_room(subnet: &ec2::Subnet) -> Result<(), Fault> {
    let id = subnet.subnet_id.as_deref().unwrap_or_default();
    let cidr: Option<Cidr> = subnet.cidr_block.as_deref().and_then(|cidr| cidr.parse().ok());
    let is_small = cidr.is_some_and(|cidr| cidr.prefix() > SMALLEST);
    if is_small || subnet.available_ip_address_count.is_some_and(|free| free < FREE) {
        return Err(faults::invalid_subnet(format_args!(
            "Not enough IP space available in {id}. ELB requires at least {FREE} free IP addresses in each subnet."
        )));
    }
    Ok(())
}

/// AWS: a balancer that faces the internet needs a VPC with a way there.
pub fn check_gateway(tx: &mut Tx<'_>, vpc: &str, scheme: Scheme) -> Result<(), Fault> {
    if scheme == Scheme::Internal {
        return Ok(());
    }
    let filter = ec2::Filter { name: Some("attachment.vpc-id".into()), values: Some(vec![vpc.to_owned()]) };
    let request = ec2::DescribeInternetGatewaysRequest { filters: Some(vec![filter]), ..Default::default() };
    let caller = platform(tx.caller);
    let answer = tx.call_as::<op::DescribeInternetGateways>(&caller, request)?;
    if answer.internet_gateways.unwrap_or_default().is_empty() {
        return Err(faults::invalid_subnet(format_args!("VPC {vpc} has no internet gateway")));
    }
    Ok(())
}

/// AWS: the quota of a new account.
const MOST_GROUPS: usize = 5;

/// Checks that security groups exist in the VPC.
pub fn check_groups(tx: &mut Tx<'_>, vpc: &str, ids: &[String]) -> Result<(), Fault> {
    let invalid = || Fault::caller("InvalidSecurityGroup", "One or more security groups are invalid");
    if ids.len() > MOST_GROUPS {
        return Err(faults::too_many(
            "InvalidConfigurationRequest",
            "security groups per load balancer",
            MOST_GROUPS,
        ));
    }
    let caller = platform(tx.caller);
    let request = ec2::DescribeSecurityGroupsRequest { group_ids: Some(ids.to_vec()), ..Default::default() };
    let answer = tx.call_as::<op::DescribeSecurityGroups>(&caller, request).map_err(|_| invalid())?;
    let found = answer.security_groups.unwrap_or_default();
    for id in ids {
        let group = found.iter().find(|group| group.group_id.as_ref() == Some(id)).ok_or_else(invalid)?;
        if group.vpc_id.as_deref() != Some(vpc) {
            return Err(faults::configuration(format_args!(
                "One or more security groups are invalid: '{id}' is not in the VPC '{vpc}'"
            )));
        }
    }
    Ok(())
}

/// Makes a node in a subnet: its interface and address. Answers the interface's groups as well.
pub fn make_node(
    tx: &mut Tx<'_>,
    subnet: &ec2::Subnet,
    groups: Option<&[String]>,
    description: &str,
) -> Result<(Node, Vec<String>), Fault> {
    check_room(subnet)?;
    let id = subnet.subnet_id.clone().unwrap_or_default();
    let request = ec2::CreateNetworkInterfaceRequest {
        subnet_id: id.clone(),
        groups: groups.map(<[String]>::to_vec),
        description: Some(description.to_owned()),
        ..Default::default()
    };
    let caller = platform(tx.caller);
    let answer = tx.call_as::<op::CreateNetworkInterface>(&caller, request);
    let made = answer.map_err(|fault| match &*fault.code {
        "InsufficientFreeAddressesInSubnet" => faults::invalid_subnet(fault.message),
        _ => fault,
    })?;
    let made = made.network_interface.unwrap_or_default();
    let address: Ipv4Addr = made
        .private_ip_address
        .and_then(|address| address.parse().ok())
        .ok_or_else(|| Fault::server("InternalFailure", "EC2 gave an interface without an address."))?;
    let groups = made.groups.unwrap_or_default().into_iter().filter_map(|group| group.group_id);
    let zone = Arc::from(subnet.availability_zone.as_deref().unwrap_or_default());
    let eni = made.network_interface_id.unwrap_or_default();
    Ok((Node { zone, subnet: id, eni, address }, groups.collect()))
}

/// Gives a node's interface back. One that is gone already is as good.
pub fn give_back(tx: &mut Tx<'_>, node: &Node) -> Result<(), Fault> {
    let request =
        ec2::DeleteNetworkInterfaceRequest { network_interface_id: node.eni.clone(), ..Default::default() };
    let caller = platform(tx.caller);
    match tx.call_as::<op::DeleteNetworkInterface>(&caller, request) {
        Err(fault) if fault.code != "InvalidNetworkInterfaceID.NotFound" => Err(fault),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Puts a node's interface into other security groups.
pub fn regroup(tx: &mut Tx<'_>, node: &Node, groups: &[String]) -> Result<(), Fault> {
    let request = ec2::ModifyNetworkInterfaceAttributeRequest {
        network_interface_id: node.eni.clone(),
        groups: Some(groups.to_vec()),
        ..Default::default()
    };
    let caller = platform(tx.caller);
    tx.call_as::<op::ModifyNetworkInterfaceAttribute>(&caller, request).map(drop)
}

/// Ranges of a VPC's subnets, with their zones.
pub fn zones_of(tx: &mut Tx<'_>, vpc: &str) -> Result<Vec<(Cidr, Arc<str>)>, Fault> {
    let filter = ec2::Filter { name: Some("vpc-id".into()), values: Some(vec![vpc.to_owned()]) };
    let request = ec2::DescribeSubnetsRequest { filters: Some(vec![filter]), ..Default::default() };
    let caller = platform(tx.caller);
    let answer = tx.call_as::<op::DescribeSubnets>(&caller, request)?;
    let place = |subnet: ec2::Subnet| {
        let cidr = subnet.cidr_block?.parse().ok()?;
        Some((cidr, Arc::from(subnet.availability_zone?)))
    };
    Ok(answer.subnets.unwrap_or_default().into_iter().filter_map(place).collect())
}

/// An instance as a target.
pub struct Instance {
    pub vpc: String,
    pub address: Option<Ipv4Addr>,
    pub zone: Arc<str>,
    pub is_running: bool,
}

/// EC2 answers so many at once.
const INSTANCES: usize = 500;

/// Instances by their ids; those that do not exist are left out.
pub fn instances(tx: &mut Tx<'_>, ids: &[String]) -> Result<BTreeMap<String, Instance>, Fault> {
    let caller = platform(tx.caller);
    let mut found = BTreeMap::new();
    for some in ids.chunks(INSTANCES) {
        let filter = ec2::Filter { name: Some("instance-id".into()), values: Some(some.to_vec()) };
        let request = ec2::DescribeInstancesRequest { filters: Some(vec![filter]), ..Default::default() };
        let answer = tx.call_as::<op::DescribeInstances>(&caller, request)?;
        let reservations = answer.reservations.unwrap_or_default().into_iter();
        for one in reservations.flat_map(|reservation| reservation.instances.unwrap_or_default()) {
            let state = one.state.and_then(|state| state.name).unwrap_or_default();
            let instance = Instance {
                vpc: one.vpc_id.unwrap_or_default(),
                address: one.private_ip_address.and_then(|address| address.parse().ok()),
                zone: Arc::from(
                    one.placement.and_then(|placement| placement.availability_zone).unwrap_or_default(),
                ),
                is_running: state == "running",
            };
            found.insert(one.instance_id.unwrap_or_default(), instance);
        }
    }
    Ok(found)
}
