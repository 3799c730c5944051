//! Subnets: each account's default ones, and those that it makes.

use aws_ec2::{DescribeSubnetsRequest, DescribeSubnetsResult};
use base::Fault;
use service::View;

use crate::behaviour::{Asked, Attributes, select};
use crate::convert;
use crate::faults::Kind;
use crate::state::default::Home;
use crate::state::resource;
use crate::state::vpc::Subnet;

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

pub fn describe(view: &View<'_>, request: DescribeSubnetsRequest) -> Result<DescribeSubnetsResult, Fault> {
    let home = Home::of(view.caller);
    // The others need not be counted.
    let named = request.subnet_ids.clone().unwrap_or_default();
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.subnet_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let subnets = resource::list::<Subnet>(view, &home).into_iter();
    let subnets = subnets.filter(|subnet| named.is_empty() || named.contains(&subnet.id));
    let all = subnets.map(|subnet| {
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
