//! Subnets: each account's default ones, and those that it makes.

use aws_ec2 as api;
use aws_ec2::{DescribeSubnetsRequest, DescribeSubnetsResult};
use base::Fault;
use service::{Tx, View};
use store::Snapshot;
use wire::Empty;

use crate::api::vpc::range;
use crate::behaviour::{Asked, Attributes, select, tags};
use crate::convert;
use crate::faults::{self, Kind};
use crate::state::default::Home;
use crate::state::interface::Interface;
use crate::state::resource;
use crate::state::route_table::RouteTable;
use crate::state::vpc::{Subnet, Vpc};

/// AWS: the quota of a new account, in a VPC.
const MOST_SUBNETS: usize = 200;

const FILTERS: &[&str] = &[
    "availability-zone",
    "availability-zone-id",
    "availabilityZone",
    "available-ip-address-count",
    "cidr",
    "cidr-block",
    "cidrBlock",
    "customer-owned-ipv4-pool",
    "default-for-az",
    "defaultForAz",
    "enable-dns64",
    "enable-lni-at-device-index",
    "ipv6-cidr-block-association.association-id",
    "ipv6-cidr-block-association.ipv6-cidr-block",
    "ipv6-cidr-block-association.state",
    "ipv6-native",
    "map-customer-owned-ip-on-launch",
    "map-public-ip-on-launch",
    "outpost-arn",
    "owner-id",
    "private-dns-name-options-on-launch.enable-resource-name-dns-a-record",
    "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record",
    "private-dns-name-options-on-launch.hostname-type",
    "state",
    "subnet-arn",
    "subnet-id",
    "vpc-id",
];

pub fn create(tx: &mut Tx<'_>, request: api::CreateSubnetRequest) -> Result<api::CreateSubnetResult, Fault> {
    let home = Home::of(tx.caller);
    let vpc = resource::find::<Vpc>(tx, &home, &request.vpc_id)?;
    let text = request.cidr_block.filter(|text| !text.is_empty()).ok_or_else(|| {
        Fault::caller("MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.")
    })?;
    let cidr = range(Kind::Subnet, &text)?;
    if !vpc.cidr.covers(cidr) {
        return Err(faults::range(Kind::Subnet, &text));
    }
    let others = of_vpc(tx, &home, &vpc.id);
    if others.iter().any(|other| other.cidr.overlaps(cidr)) {
        return Err(faults::subnet_conflict(&text));
    }
    let asked = (request.availability_zone, request.availability_zone_id);
    let (zone, zone_id) = zone(&home, asked, &others)?;
    let tags = tags::of_specifications(Kind::Subnet, request.tag_specifications)?;
    if others.len() >= MOST_SUBNETS {
        return Err(faults::limit("SubnetLimitExceeded", "subnets"));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    let subnet = Subnet {
        home,
        id: format!("subnet-{}", tx.chance.hex(17)),
        vpc: vpc.id.clone(),
        cidr,
        zone,
        zone_id,
        is_default: false,
        maps_public_address: false,
        tags,
    };
    let shown = convert::subnet(tx, &subnet);
    tx.put(subnet);
    Ok(api::CreateSubnetResult { subnet: Some(shown) })
}

/// Default ones included.
fn of_vpc(records: &Snapshot, home: &Home, vpc: &str) -> Vec<std::sync::Arc<Subnet>> {
    let all = resource::list::<Subnet>(records, home).into_iter();
    all.filter(|subnet| subnet.vpc == vpc).collect()
}

/// The asked for zone by name or id, or that with the fewest subnets: two subnets that do not care
/// are in two zones.
fn zone(
    home: &Home,
    (name, id): (Option<String>, Option<String>),
    others: &[std::sync::Arc<Subnet>],
) -> Result<(String, String), Fault> {
    let zones = home.zones();
    let (parameter, asked) = match (name, id) {
        (Some(_), Some(_)) => {
            return Err(faults::combination(
                "The parameters 'availabilityZone' and 'availabilityZoneId' cannot be used together.",
            ));
        }
        (Some(name), None) => ("availabilityZone", name),
        (None, Some(id)) => ("availabilityZoneId", id),
        (None, None) => {
            let used = |zone: &String| others.iter().filter(|subnet| subnet.zone == *zone).count();
            let emptiest = zones.into_iter().min_by_key(|(zone, _)| used(zone));
            return Ok(emptiest.expect("a region has zones"));
        }
    };
    let known = zones.iter().map(|(name, id)| if parameter == "availabilityZone" { name } else { id });
    let list = known.cloned().collect::<Vec<_>>().join(", ");
    let found = zones.into_iter().find(|(name, id)| match parameter {
        "availabilityZone" => *name == asked,
        _ => *id == asked,
    });
    found.ok_or_else(|| {
        faults::invalid(format_args!(
            "Value ({asked}) for parameter {parameter} is invalid. Subnets can currently only be created in \
             the following availability zones: {list}."
        ))
    })
}

pub fn delete(tx: &mut Tx<'_>, request: api::DeleteSubnetRequest) -> Result<Empty, Fault> {
    let home = Home::of(tx.caller);
    let subnet = resource::find::<Subnet>(tx, &home, &request.subnet_id)?;
    if subnet.is_default {
        return Err(faults::refuse("DeleteSubnet of a default subnet"));
    }
    if Interface::count_of_subnet(tx, &home, &subnet.id) > 0 {
        return Err(faults::has_dependencies("subnet", &subnet.id));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    for table in RouteTable::of_vpc(tx, &home, &subnet.vpc) {
        let is_of = |one: &crate::state::route_table::Association| one.subnet.as_ref() == Some(&subnet.id);
        if table.associations.iter().any(is_of) {
            let mut left = (*table).clone();
            left.associations.retain(|one| !is_of(one));
            tx.put(left);
        }
    }
    tx.delete::<Subnet>(&resource::key_of(&home, &subnet.id));
    Ok(Empty::default())
}

pub fn modify_attribute(tx: &mut Tx<'_>, request: api::ModifySubnetAttributeRequest) -> Result<Empty, Fault> {
    let subnet = resource::find::<Subnet>(tx, &Home::of(tx.caller), &request.subnet_id)?;
    let maps = request.map_public_ip_on_launch.and_then(|value| value.value);
    let maps_public_address = maps.ok_or_else(faults::no_attribute)?;
    tx.put(Subnet { maps_public_address, ..(*subnet).clone() });
    Ok(Empty::default())
}

pub fn describe(view: &View<'_>, request: DescribeSubnetsRequest) -> Result<DescribeSubnetsResult, Fault> {
    let home = Home::of(view.caller);
    let subnets = resource::named::<Subnet>(view, &home, request.subnet_ids.as_ref());
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.subnet_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let all = subnets.into_iter().map(|subnet| {
        let shown = convert::subnet(view, &subnet);
        (subnet.id.clone(), attributes(&shown), subnet.tags.clone(), shown)
    });
    let page = select(Kind::Subnet, FILTERS, asked, all)?;
    Ok(DescribeSubnetsResult { subnets: Some(page.items), next_token: page.next_token })
}

fn attributes(subnet: &aws_ec2::Subnet) -> Attributes {
    Attributes::default()
        .with_some("availability-zone", subnet.availability_zone.as_ref())
        .with_some("availabilityZone", subnet.availability_zone.as_ref())
        .with_some("availability-zone-id", subnet.availability_zone_id.as_ref())
        .with_some("available-ip-address-count", subnet.available_ip_address_count)
        .with_some("cidr", subnet.cidr_block.as_ref())
        .with_some("cidr-block", subnet.cidr_block.as_ref())
        .with_some("cidrBlock", subnet.cidr_block.as_ref())
        .with_some("default-for-az", subnet.default_for_az)
        .with_some("defaultForAz", subnet.default_for_az)
        .with_some("enable-dns64", subnet.enable_dns64)
        .with_some("ipv6-native", subnet.ipv6_native)
        .with_some("map-customer-owned-ip-on-launch", subnet.map_customer_owned_ip_on_launch)
        .with_some("map-public-ip-on-launch", subnet.map_public_ip_on_launch)
        .with_some("owner-id", subnet.owner_id.as_ref())
        .with("private-dns-name-options-on-launch.enable-resource-name-dns-a-record", false)
        .with("private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record", false)
        .with("private-dns-name-options-on-launch.hostname-type", "ip-name")
        .with_some("state", subnet.state.as_ref())
        .with_some("subnet-arn", subnet.subnet_arn.as_ref())
        .with_some("subnet-id", subnet.subnet_id.as_ref())
        .with_some("vpc-id", subnet.vpc_id.as_ref())
}
