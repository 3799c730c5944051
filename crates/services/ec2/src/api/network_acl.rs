//! Network ACLs: the one that every VPC has, which lets everything through.
//!
//! AWS: it has an id, is the subnets' that have no other, and allows all. Others cannot be made, so
//! what is shown follows from VPC and subnets alone.

use aws_ec2::{
    DescribeNetworkAclsRequest, DescribeNetworkAclsResult, NetworkAcl, NetworkAclAssociation, NetworkAclEntry,
};
use base::{Chance, Fault, Tags};
use service::View;

use crate::behaviour::{Asked, Attributes, select};
use crate::convert::text;
use crate::faults::Kind;
use crate::state::default::Home;
use crate::state::resource;
use crate::state::vpc::{Subnet, Vpc};

const FILTERS: &[&str] = &[
    "association.association-id",
    "association.network-acl-id",
    "association.subnet-id",
    "default",
    "entry.cidr",
    "entry.egress",
    "entry.icmp.code",
    "entry.icmp.type",
    "entry.ipv6-cidr",
    "entry.port-range.from",
    "entry.port-range.to",
    "entry.protocol",
    "entry.rule-action",
    "entry.rule-number",
    "network-acl-id",
    "owner-id",
    "vpc-id",
];

/// AWS: what every list ends with, for packets that no entry is about.
const LAST: i32 = 32767;

pub fn describe(
    view: &View<'_>,
    request: DescribeNetworkAclsRequest,
) -> Result<DescribeNetworkAclsResult, Fault> {
    let home = Home::of(view.caller);
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.network_acl_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let subnets = resource::list::<Subnet>(view, &home);
    let all = resource::list::<Vpc>(view, &home).into_iter().map(|vpc| {
        let inside = subnets.iter().filter(|subnet| subnet.vpc == vpc.id);
        let shown = of_vpc(&vpc, inside.map(|subnet| subnet.id.as_str()));
        (shown.network_acl_id.clone().unwrap_or_default(), attributes(&shown), Tags::new(), shown)
    });
    let page = select(Kind::NetworkAcl, FILTERS, asked, all)?;
    Ok(DescribeNetworkAclsResult { network_acls: Some(page.items), next_token: page.next_token })
}

/// Ids follow from those of the VPC and its subnets.
fn of_vpc<'a>(vpc: &Vpc, subnets: impl Iterator<Item = &'a str>) -> NetworkAcl {
    let derived = |prefix: &str, of: &str| {
        format!("{prefix}-{}", Chance::new(0).split(&format!("{prefix}/{of}")).hex(17))
    };
    let id = derived("acl", &vpc.id);
    let mut associations: Vec<_> = subnets
        .map(|subnet| NetworkAclAssociation {
            network_acl_association_id: Some(derived("aclassoc", subnet)),
            network_acl_id: text(&id),
            subnet_id: text(subnet),
        })
        .collect();
    associations.sort_by(|one, other| one.subnet_id.cmp(&other.subnet_id));
    let entry = |egress: bool, number: i32, action: &str| NetworkAclEntry {
        cidr_block: text("0.0.0.0/0"),
        egress: Some(egress),
        protocol: text("-1"),
        rule_action: text(action),
        rule_number: Some(number),
        ..Default::default()
    };
    let entries = [true, false].map(|egress| [entry(egress, 100, "allow"), entry(egress, LAST, "deny")]);
    NetworkAcl {
        associations: Some(associations),
        entries: Some(entries.concat()),
        is_default: Some(true),
        network_acl_id: Some(id),
        tags: Some(Vec::new()),
        vpc_id: text(&vpc.id),
        owner_id: text(&vpc.home.account),
    }
}

fn attributes(shown: &NetworkAcl) -> Attributes {
    let mut attributes = Attributes::default()
        .with_some("default", shown.is_default)
        .with_some("network-acl-id", shown.network_acl_id.as_ref())
        .with_some("owner-id", shown.owner_id.as_ref())
        .with_some("vpc-id", shown.vpc_id.as_ref());
    for one in shown.associations.iter().flatten() {
        attributes = attributes
            .with_some("association.association-id", one.network_acl_association_id.as_ref())
            .with_some("association.network-acl-id", one.network_acl_id.as_ref())
            .with_some("association.subnet-id", one.subnet_id.as_ref());
    }
    for entry in shown.entries.iter().flatten() {
        attributes = attributes
            .with_some("entry.cidr", entry.cidr_block.as_ref())
            .with_some("entry.egress", entry.egress)
            .with_some("entry.protocol", entry.protocol.as_ref())
            .with_some("entry.rule-action", entry.rule_action.as_ref())
            .with_some("entry.rule-number", entry.rule_number);
    }
    attributes
}
