//! VPCs: so far each account's default one.

use aws_ec2::{DescribeVpcsRequest, DescribeVpcsResult};
use base::{Fault, Tags};
use service::View;

use crate::behaviour::{Asked, Attributes, select};
use crate::convert;
use crate::faults::Resource;
use crate::state::default::Home;

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
    let home = Home::of(view.caller);
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.vpc_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let attributes = Attributes::default()
        .with("cidr", home.cidr())
        .with("cidr-block", home.cidr())
        .with("cidr-block-association.association-id", home.cidr_association())
        .with("cidr-block-association.cidr-block", home.cidr())
        .with("cidr-block-association.state", "associated")
        .with("dhcp-options-id", home.dhcp_options())
        .with("is-default", true)
        .with("isDefault", true)
        .with("owner-id", &home.account)
        .with("state", "available")
        .with("vpc-id", home.vpc());
    let all = [(home.vpc(), attributes, Tags::new(), convert::vpc(&home))];
    let page = select(Resource::Vpc, FILTERS, asked, all.into_iter())?;
    Ok(DescribeVpcsResult { vpcs: Some(page.items), next_token: page.next_token })
}
