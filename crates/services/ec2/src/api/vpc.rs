//! VPCs: each account's default one, and those that it makes.

use aws_ec2::{DescribeVpcsRequest, DescribeVpcsResult};
use base::Fault;
use service::View;

use crate::behaviour::{Asked, Attributes, select};
use crate::convert;
use crate::faults::Kind;
use crate::state::default::Home;
use crate::state::resource;
use crate::state::vpc::Vpc;

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

pub fn describe(view: &View<'_>, request: DescribeVpcsRequest) -> Result<DescribeVpcsResult, Fault> {
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.vpc_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let all = resource::list::<Vpc>(view, &Home::of(view.caller)).into_iter();
    let all = all.map(|vpc| (vpc.id.clone(), attributes(&vpc), vpc.tags.clone(), convert::vpc(&vpc)));
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
