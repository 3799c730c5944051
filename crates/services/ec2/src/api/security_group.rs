//! Security groups: so far each default VPC's own.

use aws_ec2::{DescribeSecurityGroupsRequest, DescribeSecurityGroupsResult};
use base::{Fault, Tags};
use service::View;

use crate::behaviour::{Asked, Attributes, select};
use crate::convert;
use crate::faults::{self, Resource};
use crate::state::default::Home;

const FILTERS: &[&str] = &[
    "description",
    "egress.ip-permission.cidr",
    "egress.ip-permission.from-port",
    "egress.ip-permission.group-id",
    "egress.ip-permission.group-name",
    "egress.ip-permission.ipv6-cidr",
    "egress.ip-permission.prefix-list-id",
    "egress.ip-permission.protocol",
    "egress.ip-permission.to-port",
    "egress.ip-permission.user-id",
    "group-id",
    "group-name",
    "ip-permission.cidr",
    "ip-permission.from-port",
    "ip-permission.group-id",
    "ip-permission.group-name",
    "ip-permission.ipv6-cidr",
    "ip-permission.prefix-list-id",
    "ip-permission.protocol",
    "ip-permission.to-port",
    "ip-permission.user-id",
    "owner-id",
    "vpc-id",
];

/// The name of every default group.
const DEFAULT: &str = "default";

pub fn describe(
    view: &View<'_>,
    request: DescribeSecurityGroupsRequest,
) -> Result<DescribeSecurityGroupsResult, Fault> {
    let home = Home::of(view.caller);
    // AWS: names are those of the default VPC's groups.
    if let Some(name) = request.group_names.iter().flatten().find(|name| *name != DEFAULT) {
        return Err(faults::group_name_not_found(name, &home.vpc()));
    }
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.group_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let attributes = Attributes::default()
        .with("description", "default VPC security group")
        .with("egress.ip-permission.cidr", "0.0.0.0/0")
        .with("egress.ip-permission.protocol", "-1")
        .with("group-id", home.security_group())
        .with("group-name", DEFAULT)
        .with("ip-permission.group-id", home.security_group())
        .with("ip-permission.protocol", "-1")
        .with("ip-permission.user-id", &home.account)
        .with("owner-id", &home.account)
        .with("vpc-id", home.vpc());
    let all = [(home.security_group(), attributes, Tags::new(), convert::security_group(&home))];
    let page = select(Resource::SecurityGroup, FILTERS, asked, all.into_iter())?;
    Ok(DescribeSecurityGroupsResult { security_groups: Some(page.items), next_token: page.next_token })
}
