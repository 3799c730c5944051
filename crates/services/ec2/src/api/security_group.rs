//! Security groups: each VPC's own, and those that an account makes.

use aws_ec2::{DescribeSecurityGroupsRequest, DescribeSecurityGroupsResult};
use base::Fault;
use service::View;

use crate::behaviour::{Asked, Attributes, select};
use crate::convert;
use crate::faults::{self, Kind};
use crate::state::default::Home;
use crate::state::resource;
use crate::state::security_group::SecurityGroup;

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

pub fn describe(
    view: &View<'_>,
    request: DescribeSecurityGroupsRequest,
) -> Result<DescribeSecurityGroupsResult, Fault> {
    let home = Home::of(view.caller);
    let all = resource::list::<SecurityGroup>(view, &home);
    // AWS: names are those of the default VPC's groups.
    let vpc = home.vpc();
    let names = request.group_names.unwrap_or_default();
    for name in &names {
        if !all.iter().any(|group| group.vpc == vpc && group.name == *name) {
            return Err(faults::group_name_not_found(name, &vpc));
        }
    }
    let is_named =
        |group: &SecurityGroup| names.is_empty() || (group.vpc == vpc && names.contains(&group.name));
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.group_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let of = |id: &str| all.iter().find(|group| group.id == id).map(|group| group.name.clone());
    let candidates = all.iter().filter(|group| is_named(group)).map(|group| {
        let shown = convert::security_group(group);
        (group.id.clone(), attributes(&shown, of), group.tags.clone(), shown)
    });
    let page = select(Kind::SecurityGroup, FILTERS, asked, candidates)?;
    Ok(DescribeSecurityGroupsResult { security_groups: Some(page.items), next_token: page.next_token })
}

/// `name_of` knows the names of groups that rules refer to.
fn attributes(group: &aws_ec2::SecurityGroup, name_of: impl Fn(&str) -> Option<String>) -> Attributes {
    let mut attributes = Attributes::default()
        .with_some("description", group.description.as_ref())
        .with_some("group-id", group.group_id.as_ref())
        .with_some("group-name", group.group_name.as_ref())
        .with_some("owner-id", group.owner_id.as_ref())
        .with_some("vpc-id", group.vpc_id.as_ref());
    let both = [(&INGRESS, &group.ip_permissions), (&EGRESS, &group.ip_permissions_egress)];
    for (names, permissions) in both {
        for permission in permissions.iter().flatten() {
            attributes = attributes
                .with_some(names.protocol, permission.ip_protocol.as_ref())
                .with_some(names.from_port, permission.from_port)
                .with_some(names.to_port, permission.to_port);
            for range in permission.ip_ranges.iter().flatten() {
                attributes = attributes.with_some(names.cidr, range.cidr_ip.as_ref());
            }
            for pair in permission.user_id_group_pairs.iter().flatten() {
                attributes = attributes
                    .with_some(names.group_id, pair.group_id.as_ref())
                    .with_some(names.group_name, pair.group_id.as_deref().and_then(&name_of))
                    .with_some(names.user_id, pair.user_id.as_ref());
            }
        }
    }
    attributes
}

/// The filters about permissions in one direction.
struct PermissionFilters {
    protocol: &'static str,
    from_port: &'static str,
    to_port: &'static str,
    cidr: &'static str,
    group_id: &'static str,
    group_name: &'static str,
    user_id: &'static str,
}

const INGRESS: PermissionFilters = PermissionFilters {
    protocol: "ip-permission.protocol",
    from_port: "ip-permission.from-port",
    to_port: "ip-permission.to-port",
    cidr: "ip-permission.cidr",
    group_id: "ip-permission.group-id",
    group_name: "ip-permission.group-name",
    user_id: "ip-permission.user-id",
};

const EGRESS: PermissionFilters = PermissionFilters {
    protocol: "egress.ip-permission.protocol",
    from_port: "egress.ip-permission.from-port",
    to_port: "egress.ip-permission.to-port",
    cidr: "egress.ip-permission.cidr",
    group_id: "egress.ip-permission.group-id",
    group_name: "egress.ip-permission.group-name",
    user_id: "egress.ip-permission.user-id",
};
