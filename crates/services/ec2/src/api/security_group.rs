//! Security groups: each VPC's own, and those that an account makes.

use std::sync::Arc;

use aws_ec2 as api;
use aws_ec2::{DescribeSecurityGroupsRequest, DescribeSecurityGroupsResult};
use base::{Fault, Tags};
use service::{Tx, View};
use store::Snapshot;

use crate::behaviour::permission::is_plain;
use crate::behaviour::{Asked, Attributes, select, tags};
use crate::convert;
use crate::faults::{self, Kind};
use crate::state::default::Home;
use crate::state::interface::Interface;
use crate::state::resource;
use crate::state::security_group::{DEFAULT, SecurityGroup};
use crate::state::vpc::Vpc;

/// AWS: the quota of a new account, in a region.
const MOST_GROUPS: usize = 2500;

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

pub fn create(
    tx: &mut Tx<'_>,
    request: api::CreateSecurityGroupRequest,
) -> Result<api::CreateSecurityGroupResult, Fault> {
    let home = Home::of(tx.caller);
    let (name, description) = (request.group_name, request.description);
    check_texts(&name, &description)?;
    let vpc = match request.vpc_id.filter(|id| !id.is_empty()) {
        Some(id) => resource::find::<Vpc>(tx, &home, &id)?.id.clone(),
        None => home.vpc(),
    };
    let tags = tags::of_specifications(Kind::SecurityGroup, request.tag_specifications)?;
    if SecurityGroup::of_vpc(tx, &home, &vpc).iter().any(|group| group.name == name) {
        return Err(faults::group_exists(&name, &vpc));
    }
    if resource::list::<SecurityGroup>(tx, &home).len() >= MOST_GROUPS {
        return Err(faults::limit("SecurityGroupLimitExceeded", "security groups"));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    let group = make(tx, home, Made { vpc, name, description, tags });
    let shown = convert::security_group(&group);
    tx.put(group);
    Ok(api::CreateSecurityGroupResult {
        group_id: shown.group_id,
        tags: shown.tags,
        security_group_arn: shown.security_group_arn,
    })
}

/// What a new group is asked to be.
pub struct Made {
    pub vpc: String,
    pub name: String,
    pub description: String,
    pub tags: Tags,
}

/// A group with the rules that it begins with.
pub fn make(tx: &mut Tx<'_>, home: Home, made: Made) -> SecurityGroup {
    let id = format!("sg-{}", tx.chance.hex(17));
    let Made { vpc, name, description, tags } = made;
    let rule_id = |_: &str| format!("sgr-{}", tx.chance.hex(17));
    let rules = SecurityGroup::beginning(&id, name == DEFAULT, rule_id);
    SecurityGroup { home, id, vpc, name, description, rules, tags }
}

const CHARACTERS: &str = "a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*";

fn check_texts(name: &str, description: &str) -> Result<(), Fault> {
    for (text, parameter, what, many) in [
        (name, "GroupName", "group name", "names"),
        (description, "GroupDescription", "security group description", "descriptions"),
    ] {
        if text.is_empty() {
            return Err(faults::missing(parameter));
        }
        if !text.is_ascii() {
            return Err(faults::invalid(format_args!(
                "Value ({text}) for parameter {parameter} is invalid. Character sets beyond ASCII are not \
                 supported."
            )));
        }
        if !is_plain(text) {
            return Err(faults::invalid(format_args!(
                "Invalid {what}. Valid {many} are strings less than 256 characters from the following set:  \
                 {CHARACTERS}"
            )));
        }
    }
    if name == DEFAULT {
        return Err(faults::invalid("Cannot use reserved security group name: default"));
    }
    if name.starts_with(Kind::SecurityGroup.prefix()) {
        return Err(faults::invalid("Invalid group name. Group names may not be in the format sg-*."));
    }
    Ok(())
}

/// The group that a request names: by id, or by its name in the default VPC.
pub fn named(tx: &Tx<'_>, id: Option<&str>, name: Option<&str>) -> Result<Arc<SecurityGroup>, Fault> {
    let home = Home::of(tx.caller);
    match (id.filter(|id| !id.is_empty()), name.filter(|name| !name.is_empty())) {
        (Some(id), _) => resource::find::<SecurityGroup>(tx, &home, id),
        (None, Some(name)) => {
            let vpc = home.vpc();
            let found = SecurityGroup::of_vpc(tx, &home, &vpc).into_iter().find(|group| group.name == name);
            found.ok_or_else(|| faults::group_name_not_found(name, &vpc))
        }
        (None, None) => Err(Fault::caller(
            "MissingParameter",
            "The request must contain the parameter groupName or groupId",
        )),
    }
}

pub fn delete(
    tx: &mut Tx<'_>,
    request: api::DeleteSecurityGroupRequest,
) -> Result<api::DeleteSecurityGroupResult, Fault> {
    let group = named(tx, request.group_id.as_deref(), request.group_name.as_deref())?;
    if group.is_default() {
        return Err(faults::default_group_stays(&group.id));
    }
    if is_used(tx, &group) {
        return Err(faults::has_dependent(&group.id));
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    tx.delete::<SecurityGroup>(&resource::key_of(&group.home, &group.id));
    Ok(api::DeleteSecurityGroupResult { r#return: Some(true), group_id: Some(group.id.clone()) })
}

/// Whether an interface is in it, or another group's rule names it.
fn is_used(records: &Snapshot, group: &SecurityGroup) -> bool {
    Interface::of_group(records, &group.home, &group.id).next().is_some()
        || !SecurityGroup::naming(records, &group.home, &group.id).is_empty()
}

/// AWS: lists groups of peered VPCs whose rules name these; VPCs have no peers here.
pub fn describe_references(
    view: &View<'_>,
    request: api::DescribeSecurityGroupReferencesRequest,
) -> Result<api::DescribeSecurityGroupReferencesResult, Fault> {
    let home = Home::of(view.caller);
    for id in &request.group_id {
        resource::find::<SecurityGroup>(view, &home, id)?;
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    Ok(api::DescribeSecurityGroupReferencesResult { security_group_reference_set: Some(Vec::new()) })
}

pub fn describe(
    view: &View<'_>,
    request: DescribeSecurityGroupsRequest,
) -> Result<DescribeSecurityGroupsResult, Fault> {
    let home = Home::of(view.caller);
    let all = resource::named::<SecurityGroup>(view, &home, request.group_ids.as_ref());
    // AWS: names are those of the default VPC's groups.
    let vpc = home.vpc();
    let names = request.group_names.unwrap_or_default();
    let of_default = if names.is_empty() { Vec::new() } else { SecurityGroup::of_vpc(view, &home, &vpc) };
    if let Some(name) = names.iter().find(|name| !of_default.iter().any(|group| group.name == **name)) {
        return Err(faults::group_name_not_found(name, &vpc));
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
    let of = |id: &str| resource::get::<SecurityGroup>(view, &home, id).map(|group| group.name.clone());
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
