//! VPCs: each account's default one, and those that it makes.

use std::net::Ipv4Addr;

use aws_ec2 as api;
use aws_ec2::{DescribeVpcsRequest, DescribeVpcsResult};
use base::{Fault, Tags};
use core_addresses::Cidr;
use service::{Tx, View};
use wire::Empty;

use crate::api::security_group::{self, Made};
use crate::behaviour::{Asked, Attributes, select, tags};
use crate::convert;
use crate::faults::{self, Kind};
use crate::state::default::Home;
use crate::state::interface::Interface;
use crate::state::resource;
use crate::state::route_table::{Association, InternetGateway, RouteTable};
use crate::state::security_group::{DEFAULT, SecurityGroup};
use crate::state::vpc::{Vpc, made_subnets};

/// AWS raises its quota of five that far without a question; here nobody could be asked.
const MOST_VPCS: usize = 100;
/// AWS: prefixes of VPCs and of subnets.
const PREFIXES: std::ops::RangeInclusive<u8> = 16..=28;

const FILTERS: &[&str] = &[
    "cidr",
    "cidr-block",
    "cidr-block-association.association-id",
    "cidr-block-association.cidr-block",
    "cidr-block-association.state",
    "dhcp-options-id",
    "ipv6-cidr-block-association.association-id",
    "ipv6-cidr-block-association.ipv6-cidr-block",
    "ipv6-cidr-block-association.ipv6-pool",
    "ipv6-cidr-block-association.state",
    "is-default",
    "isDefault",
    "owner-id",
    "state",
    "vpc-id",
];

pub fn create(tx: &mut Tx<'_>, request: api::CreateVpcRequest) -> Result<api::CreateVpcResult, Fault> {
    let home = Home::of(tx.caller);
    let text = request.cidr_block.filter(|text| !text.is_empty()).ok_or_else(|| {
        Fault::caller("MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.")
    })?;
    let cidr = range(Kind::Vpc, &text)?;
    if let Some(other) = request.instance_tenancy.filter(|tenancy| tenancy != "default") {
        return Err(faults::refuse(&format!("InstanceTenancy={other}")));
    }
    if request.amazon_provided_ipv6_cidr_block == Some(true) {
        return Err(faults::refuse("AmazonProvidedIpv6CidrBlock"));
    }
    let tags = tags::of_specifications(Kind::Vpc, request.tag_specifications)?;
    if resource::list::<Vpc>(tx, &home).len() >= MOST_VPCS {
        return Err(faults::limit("VpcLimitExceeded", "VPCs"));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    let vpc = Vpc {
        id: format!("vpc-{}", tx.chance.hex(17)),
        cidr,
        cidr_association: format!("vpc-cidr-assoc-{}", tx.chance.hex(17)),
        is_default: false,
        has_dns_hostnames: false,
        tags,
        home,
    };
    furnish(tx, &vpc);
    let shown = convert::vpc(&vpc);
    tx.put(vpc);
    Ok(api::CreateVpcResult { vpc: Some(shown) })
}

/// AWS: a VPC has a security group and a main route table from the start.
fn furnish(tx: &mut Tx<'_>, vpc: &Vpc) {
    let group = Made {
        vpc: vpc.id.clone(),
        name: String::from(DEFAULT),
        description: String::from("default VPC security group"),
        tags: Tags::new(),
    };
    let group = security_group::make(tx, vpc.home.clone(), group);
    tx.put(group);
    let main = Association { id: format!("rtbassoc-{}", tx.chance.hex(17)), subnet: None };
    let table = RouteTable {
        home: vpc.home.clone(),
        id: format!("rtb-{}", tx.chance.hex(17)),
        vpc: vpc.id.clone(),
        routes: Vec::new(),
        associations: vec![main],
        client_token: None,
        tags: Tags::new(),
    };
    tx.put(table);
}

/// A VPC's or a subnet's range. Bits after the prefix are cleared.
pub fn range(kind: Kind, text: &str) -> Result<Cidr, Fault> {
    let range = Cidr::canonical(text).map_err(|_| faults::not_a_range("cidrBlock", text))?;
    let is_special = SPECIAL.iter().any(|special| special.overlaps(range));
    if !PREFIXES.contains(&range.prefix()) || is_special {
        return Err(faults::range(kind, text));
    }
    Ok(range)
}

/// AWS: ranges that mean something else to every host.
const SPECIAL: [Cidr; 4] = [
    Cidr::new(Ipv4Addr::new(0, 0, 0, 0), 8),
    Cidr::new(Ipv4Addr::new(127, 0, 0, 0), 8),
    Cidr::new(Ipv4Addr::new(169, 254, 0, 0), 16),
    Cidr::new(Ipv4Addr::new(224, 0, 0, 0), 4),
];

pub fn delete(tx: &mut Tx<'_>, request: api::DeleteVpcRequest) -> Result<Empty, Fault> {
    let home = Home::of(tx.caller);
    let vpc = resource::find::<Vpc>(tx, &home, &request.vpc_id)?;
    if vpc.is_default {
        return Err(faults::refuse("DeleteVpc of a default VPC"));
    }
    let groups = SecurityGroup::of_vpc(tx, &home, &vpc.id);
    let tables = RouteTable::of_vpc(tx, &home, &vpc.id);
    let gateways = resource::list::<InternetGateway>(tx, &home);
    let is_used = !made_subnets(tx, &home, &vpc.id).is_empty()
        || groups.iter().any(|group| !group.is_default())
        || tables.iter().any(|table| !table.is_main())
        || gateways.iter().any(|gateway| gateway.vpc.as_ref() == Some(&vpc.id))
        || Interface::of_vpc(tx, &home, &vpc.id).next().is_some();
    if is_used {
        return Err(faults::has_dependencies("vpc", &vpc.id));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    for group in groups {
        tx.delete::<SecurityGroup>(&resource::key_of(&home, &group.id));
    }
    for table in tables {
        tx.delete::<RouteTable>(&resource::key_of(&home, &table.id));
    }
    tx.delete::<Vpc>(&resource::key_of(&home, &vpc.id));
    Ok(Empty::default())
}

pub fn modify_attribute(tx: &mut Tx<'_>, request: api::ModifyVpcAttributeRequest) -> Result<Empty, Fault> {
    let vpc = resource::find::<Vpc>(tx, &Home::of(tx.caller), &request.vpc_id)?;
    let support = request.enable_dns_support.and_then(|value| value.value);
    let hostnames = request.enable_dns_hostnames.and_then(|value| value.value);
    let metrics = request.enable_network_address_usage_metrics.and_then(|value| value.value);
    match (support, hostnames, metrics) {
        // The resolver of a VPC always answers.
        (Some(false), None, None) => Err(faults::refuse("EnableDnsSupport=false")),
        (None, None, Some(true)) => Err(faults::refuse("EnableNetworkAddressUsageMetrics=true")),
        (Some(true), None, None) | (None, None, Some(false)) => Ok(Empty::default()),
        (None, Some(has_dns_hostnames), None) => {
            tx.put(Vpc { has_dns_hostnames, ..(*vpc).clone() });
            Ok(Empty::default())
        }
        (None, None, None) => Err(faults::no_attribute()),
        _ => Err(faults::several_attributes()),
    }
}

pub fn describe_attribute(
    view: &View<'_>,
    request: api::DescribeVpcAttributeRequest,
) -> Result<api::DescribeVpcAttributeResult, Fault> {
    let vpc = resource::find::<Vpc>(view, &Home::of(view.caller), &request.vpc_id)?;
    let value = |value: bool| Some(api::AttributeBooleanValue { value: Some(value) });
    let mut shown = api::DescribeVpcAttributeResult { vpc_id: convert::text(&vpc.id), ..Default::default() };
    match request.attribute.as_str() {
        "enableDnsSupport" => shown.enable_dns_support = value(true),
        "enableDnsHostnames" => shown.enable_dns_hostnames = value(vpc.has_dns_hostnames),
        "enableNetworkAddressUsageMetrics" => shown.enable_network_address_usage_metrics = value(false),
        other => return Err(faults::unknown_attribute(other)),
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    Ok(shown)
}

pub fn describe(view: &View<'_>, request: DescribeVpcsRequest) -> Result<DescribeVpcsResult, Fault> {
    let all = resource::named::<Vpc>(view, &Home::of(view.caller), request.vpc_ids.as_ref());
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.vpc_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let all =
        all.into_iter().map(|vpc| (vpc.id.clone(), attributes(&vpc), vpc.tags.clone(), convert::vpc(&vpc)));
    let page = select(Kind::Vpc, FILTERS, asked, all)?;
    Ok(DescribeVpcsResult { vpcs: Some(page.items), next_token: page.next_token })
}

fn attributes(vpc: &Vpc) -> Attributes {
    Attributes::default()
        .with("cidr", vpc.cidr)
        .with("cidr-block", vpc.cidr)
        .with("cidr-block-association.association-id", &vpc.cidr_association)
        .with("cidr-block-association.cidr-block", vpc.cidr)
        .with("cidr-block-association.state", "associated")
        .with("dhcp-options-id", vpc.home.dhcp_options())
        .with("is-default", vpc.is_default)
        .with("isDefault", vpc.is_default)
        .with("owner-id", &vpc.home.account)
        .with("state", "available")
        .with("vpc-id", &vpc.id)
}
