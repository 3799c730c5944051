//! Rules of security groups: authorize, revoke, describe, change.

use aws_ec2 as api;
use base::{Fault, Tags};
use core_security::Traffic;
use service::{Tx, View};
use store::Snapshot;

use crate::api::security_group::named;
use crate::behaviour::permission::{self, Named, Permission};
use crate::behaviour::{Asked, Attributes, select, tags};
use crate::convert;
use crate::faults::{self, Kind};
use crate::state::default::Home;
use crate::state::resource;
use crate::state::security_group::{Peer, Rule, SecurityGroup};

/// AWS: the quota of a new account, for each direction.
const MOST_RULES: usize = 60;

const FILTERS: &[&str] = &["group-id", "security-group-rule-id"];

/// One direction, with its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    fn is_egress(self) -> bool {
        self == Direction::Egress
    }

    fn peer(self) -> &'static str {
        match self {
            Direction::Ingress => "source",
            Direction::Egress => "destination",
        }
    }
}

pub fn authorize_ingress(
    tx: &mut Tx<'_>,
    request: api::AuthorizeSecurityGroupIngressRequest,
) -> Result<api::AuthorizeSecurityGroupIngressResult, Fault> {
    let group = named(tx, request.group_id.as_deref(), request.group_name.as_deref())?;
    let short = Short {
        protocol: request.ip_protocol,
        from_port: request.from_port,
        to_port: request.to_port,
        cidr: request.cidr_ip,
        group_name: request.source_security_group_name,
        group_owner: request.source_security_group_owner_id,
    };
    let permissions = asked(short, request.ip_permissions)?;
    let new = Authorize { group: &group, direction: Direction::Ingress, permissions };
    let rules = authorize(tx, new, request.tag_specifications, request.dry_run)?;
    Ok(api::AuthorizeSecurityGroupIngressResult { r#return: Some(true), security_group_rules: Some(rules) })
}

pub fn authorize_egress(
    tx: &mut Tx<'_>,
    request: api::AuthorizeSecurityGroupEgressRequest,
) -> Result<api::AuthorizeSecurityGroupEgressResult, Fault> {
    let group = named(tx, Some(&request.group_id), None)?;
    let permissions = asked(Short::default(), request.ip_permissions)?;
    let new = Authorize { group: &group, direction: Direction::Egress, permissions };
    let rules = authorize(tx, new, request.tag_specifications, request.dry_run)?;
    Ok(api::AuthorizeSecurityGroupEgressResult { r#return: Some(true), security_group_rules: Some(rules) })
}

/// A permission as requests spelled it before there were lists of them.
#[derive(Default)]
struct Short {
    protocol: Option<String>,
    from_port: Option<i32>,
    to_port: Option<i32>,
    cidr: Option<String>,
    group_name: Option<String>,
    group_owner: Option<String>,
}

impl Short {
    fn is_empty(&self) -> bool {
        self.protocol.is_none()
            && self.from_port.is_none()
            && self.to_port.is_none()
            && self.cidr.is_none()
            && self.group_name.is_none()
            && self.group_owner.is_none()
    }

    /// AWS: a group named in the short form stands for all of TCP, UDP and ICMP, unless the request
    /// names a protocol.
    fn permissions(self) -> Vec<api::IpPermission> {
        let range = self.cidr.map(|cidr| api::IpRange { cidr_ip: Some(cidr), description: None });
        let pair = self.group_name.map(|group_name| api::UserIdGroupPair {
            group_name: Some(group_name),
            user_id: self.group_owner,
            ..Default::default()
        });
        let one = |protocol: Option<String>, from_port, to_port| api::IpPermission {
            ip_protocol: protocol,
            from_port,
            to_port,
            ip_ranges: range.clone().map(|range| vec![range]),
            user_id_group_pairs: pair.clone().map(|pair| vec![pair]),
            ..Default::default()
        };
        if self.protocol.is_none() && pair.is_some() {
            let all = [("tcp", 0, 65535), ("udp", 0, 65535), ("icmp", -1, -1)];
            return all.map(|(name, from, to)| one(convert::text(name), Some(from), Some(to))).into();
        }
        vec![one(self.protocol, self.from_port, self.to_port)]
    }
}

/// The permissions of a request, in one of the two forms.
fn asked(short: Short, permissions: Option<Vec<api::IpPermission>>) -> Result<Vec<api::IpPermission>, Fault> {
    let permissions = permissions.unwrap_or_default();
    match (permissions.is_empty(), short.is_empty()) {
        (false, true) => Ok(permissions),
        (true, false) => Ok(short.permissions()),
        (true, true) => Err(faults::missing("ipPermissions")),
        (false, false) => Err(faults::combination(
            "The parameter 'ipPermissions' may not be used in combination with 'ipProtocol', 'fromPort', \
             'toPort', 'cidrIp' or 'sourceSecurityGroupName'.",
        )),
    }
}

struct Authorize<'a> {
    group: &'a SecurityGroup,
    direction: Direction,
    permissions: Vec<api::IpPermission>,
}

fn authorize(
    tx: &mut Tx<'_>,
    new: Authorize<'_>,
    specifications: Option<Vec<api::TagSpecification>>,
    dry_run: Option<bool>,
) -> Result<Vec<api::SecurityGroupRule>, Fault> {
    let tags = tags::of_specifications(Kind::SecurityGroupRule, specifications)?;
    let permissions = permission::read(new.permissions, new.direction.peer())?;
    // As many are too many whatever they are.
    if permissions.len() > MOST_RULES {
        return Err(too_many_rules());
    }
    let mut group = new.group.clone();
    let first = group.rules.len();
    for permission in permissions {
        let id = format!("sgr-{}", tx.chance.hex(17));
        let rule = Rule { id, tags: tags.clone(), ..rule(tx, &group, new.direction, permission)? };
        match group.rules.iter().position(|known| known.is_same(&rule)) {
            Some(place) if place >= first => return Err(faults::same_permission_twice()),
            Some(_) => return Err(faults::duplicate_permission(&told(&rule))),
            None => group.rules.push(rule),
        }
    }
    within_quota(&group, new.direction)?;
    if dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    let shown = group.rules[first..].iter().map(|rule| convert::rule(&group, rule)).collect();
    tx.put(group);
    Ok(shown)
}

fn within_quota(group: &SecurityGroup, direction: Direction) -> Result<(), Fault> {
    let is_counted = |rule: &&Rule| rule.is_egress == direction.is_egress();
    if group.rules.iter().filter(is_counted).count() > MOST_RULES {
        return Err(too_many_rules());
    }
    Ok(())
}

fn too_many_rules() -> Fault {
    faults::limit("RulesPerSecurityGroupLimitExceeded", "rules per security group")
}

/// A permission as a rule without an id: its group is looked up.
fn rule(
    records: &Snapshot,
    group: &SecurityGroup,
    direction: Direction,
    permission: Permission,
) -> Result<Rule, Fault> {
    let peer = match permission.peer {
        Named::Range(range) => Peer::Range(range),
        Named::Group { id, name, owner } => Peer::Group(peer(records, group, id, name, owner)?),
        Named::Ipv6(_) => return Err(faults::refuse("IpPermissions.Ipv6Ranges")),
        Named::PrefixList(_) => return Err(faults::refuse("IpPermissions.PrefixListIds")),
    };
    Ok(Rule {
        id: String::new(),
        is_egress: direction.is_egress(),
        traffic: permission.traffic,
        peer,
        description: permission.description,
        tags: Tags::new(),
    })
}

/// The id of the group that a rule of `group` refers to: one of the same VPC.
fn peer(
    records: &Snapshot,
    group: &SecurityGroup,
    id: Option<String>,
    name: Option<String>,
    owner: Option<String>,
) -> Result<String, Fault> {
    if owner.is_some_and(|owner| owner != group.home.account.as_str()) {
        return Err(faults::different_networks());
    }
    let Some(id) = id else {
        // AWS: names are those of the default VPC's groups.
        let (name, vpc) = (name.unwrap_or_default(), group.home.vpc());
        if group.vpc != vpc {
            return Err(faults::different_networks());
        }
        let mut of_vpc = SecurityGroup::of_vpc(records, &group.home, &vpc).into_iter();
        let found = of_vpc.find(|other| other.name == name);
        return found.map(|found| found.id.clone()).ok_or_else(|| faults::group_name_not_found(&name, &vpc));
    };
    let found = resource::find::<SecurityGroup>(records, &group.home, &id)?;
    if found.vpc == group.vpc { Ok(id) } else { Err(faults::different_networks()) }
}

/// AWS: how messages describe a rule.
fn told(rule: &Rule) -> String {
    let peer = match &rule.peer {
        Peer::Range(range) => range.to_string(),
        Peer::Group(group) => group.clone(),
    };
    let any = |value: Option<u8>| value.map_or_else(|| String::from("ALL"), |value| value.to_string());
    let traffic = match rule.traffic {
        Traffic::All => String::from("ALL"),
        Traffic::Tcp(from, to) => format!("TCP, from port: {from}, to port: {to}"),
        Traffic::Udp(from, to) => format!("UDP, from port: {from}, to port: {to}"),
        Traffic::Icmp(kind, code) => format!("ICMP, type: {}, code: {}", any(kind), any(code)),
        Traffic::Protocol(number) => format!("protocol: {number}"),
    };
    format!("peer: {peer}, {traffic}, ALLOW")
}

pub fn revoke_ingress(
    tx: &mut Tx<'_>,
    request: api::RevokeSecurityGroupIngressRequest,
) -> Result<api::RevokeSecurityGroupIngressResult, Fault> {
    let group = named(tx, request.group_id.as_deref(), request.group_name.as_deref())?;
    let short = Short {
        protocol: request.ip_protocol,
        from_port: request.from_port,
        to_port: request.to_port,
        cidr: request.cidr_ip,
        group_name: request.source_security_group_name,
        group_owner: request.source_security_group_owner_id,
    };
    let which = Which::of(request.security_group_rule_ids, short, request.ip_permissions)?;
    let gone = revoke(tx, &group, Direction::Ingress, which, request.dry_run)?;
    Ok(api::RevokeSecurityGroupIngressResult {
        r#return: Some(true),
        unknown_ip_permissions: gone.unknown,
        revoked_security_group_rules: Some(gone.revoked),
    })
}

pub fn revoke_egress(
    tx: &mut Tx<'_>,
    request: api::RevokeSecurityGroupEgressRequest,
) -> Result<api::RevokeSecurityGroupEgressResult, Fault> {
    let group = named(tx, Some(&request.group_id), None)?;
    let which = Which::of(request.security_group_rule_ids, Short::default(), request.ip_permissions)?;
    let gone = revoke(tx, &group, Direction::Egress, which, request.dry_run)?;
    Ok(api::RevokeSecurityGroupEgressResult {
        r#return: Some(true),
        unknown_ip_permissions: gone.unknown,
        revoked_security_group_rules: Some(gone.revoked),
    })
}

/// Which rules a request is about.
enum Which {
    Ids(Vec<String>),
    Permissions(Vec<api::IpPermission>),
}

impl Which {
    fn of(
        ids: Option<Vec<String>>,
        short: Short,
        permissions: Option<Vec<api::IpPermission>>,
    ) -> Result<Which, Fault> {
        let ids = ids.unwrap_or_default();
        let has_permissions = permissions.as_ref().is_some_and(|all| !all.is_empty()) || !short.is_empty();
        match (ids.is_empty(), has_permissions) {
            (false, false) => Ok(Which::Ids(ids)),
            (true, true) => asked(short, permissions).map(Which::Permissions),
            (true, false) => Err(Fault::caller(
                "MissingParameter",
                "Either 'ipPermissions' or 'securityGroupRuleIds' should be provided.",
            )),
            (false, true) => Err(faults::combination(
                "The parameter 'securityGroupRuleIds' may not be used in combination with 'ipPermissions'.",
            )),
        }
    }
}

struct Gone {
    revoked: Vec<api::RevokedSecurityGroupRule>,
    /// What was asked for and is not there, where that is no error.
    unknown: Option<Vec<api::IpPermission>>,
}

fn revoke(
    tx: &mut Tx<'_>,
    group: &SecurityGroup,
    direction: Direction,
    which: Which,
    dry_run: Option<bool>,
) -> Result<Gone, Fault> {
    let mut gone = Vec::new();
    let mut unknown = Vec::new();
    match which {
        Which::Ids(ids) => {
            for id in &ids {
                gone.push(of_id(group, direction, id)?);
            }
        }
        Which::Permissions(permissions) => {
            let vpc = resource::get::<crate::state::vpc::Vpc>(tx, &group.home, &group.vpc);
            // AWS: a default VPC's groups take it calmly, and say which they have not.
            let is_calm = vpc.is_some_and(|vpc| vpc.is_default);
            for one in apart(permissions) {
                let [permission] = &permission::read(vec![one.clone()], direction.peer())?[..] else {
                    continue;
                };
                match of_permission(tx, group, direction, permission)? {
                    Some(place) => gone.push(place),
                    None if is_calm => unknown.push(one),
                    None => return Err(faults::permission_not_found()),
                }
            }
        }
    }
    if dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    gone.sort_unstable();
    gone.dedup();
    let revoked = gone.iter().map(|place| convert::revoked(&group.id, &group.rules[*place])).collect();
    if !gone.is_empty() {
        let mut left = group.clone();
        let mut place = 0..;
        left.rules.retain(|_| place.next().is_none_or(|place: usize| !gone.contains(&place)));
        tx.put(left);
    }
    let unknown = (!unknown.is_empty()).then_some(unknown);
    Ok(Gone { revoked, unknown })
}

/// Each peer as a permission of its own.
fn apart(permissions: Vec<api::IpPermission>) -> Vec<api::IpPermission> {
    let mut all = Vec::new();
    for permission in permissions {
        let bare = api::IpPermission {
            ip_protocol: permission.ip_protocol.clone(),
            from_port: permission.from_port,
            to_port: permission.to_port,
            ..Default::default()
        };
        let before = all.len();
        all.extend(
            permission
                .ip_ranges
                .into_iter()
                .flatten()
                .map(|one| api::IpPermission { ip_ranges: Some(vec![one]), ..bare.clone() }),
        );
        all.extend(
            permission
                .user_id_group_pairs
                .into_iter()
                .flatten()
                .map(|one| api::IpPermission { user_id_group_pairs: Some(vec![one]), ..bare.clone() }),
        );
        all.extend(
            permission
                .ipv6_ranges
                .into_iter()
                .flatten()
                .map(|one| api::IpPermission { ipv6_ranges: Some(vec![one]), ..bare.clone() }),
        );
        all.extend(
            permission
                .prefix_list_ids
                .into_iter()
                .flatten()
                .map(|one| api::IpPermission { prefix_list_ids: Some(vec![one]), ..bare.clone() }),
        );
        if all.len() == before {
            // Without a peer: refused where it is read.
            all.push(bare);
        }
    }
    all
}

fn of_id(group: &SecurityGroup, direction: Direction, id: &str) -> Result<usize, Fault> {
    if !id.starts_with(Kind::SecurityGroupRule.prefix()) {
        return Err(faults::malformed(Kind::SecurityGroupRule, id));
    }
    let is_it = |rule: &Rule| rule.id == id && rule.is_egress == direction.is_egress();
    let place = group.rules.iter().position(is_it);
    place.ok_or_else(|| faults::not_found(Kind::SecurityGroupRule, &[id]))
}

/// Where the rule is that permits exactly this, if there is one.
fn of_permission(
    records: &Snapshot,
    group: &SecurityGroup,
    direction: Direction,
    permission: &Permission,
) -> Result<Option<usize>, Fault> {
    // No rule has such a peer.
    if matches!(permission.peer, Named::Ipv6(_) | Named::PrefixList(_)) {
        return Ok(None);
    }
    let wanted = rule(records, group, direction, permission.clone())?;
    Ok(group.rules.iter().position(|known| known.is_same(&wanted)))
}

pub fn describe(
    view: &View<'_>,
    request: api::DescribeSecurityGroupRulesRequest,
) -> Result<api::DescribeSecurityGroupRulesResult, Fault> {
    let asked = Asked {
        dry_run: request.dry_run,
        ids: request.security_group_rule_ids,
        filters: request.filters,
        max_results: request.max_results,
        next_token: request.next_token,
    };
    let groups = resource::list::<SecurityGroup>(view, &Home::of(view.caller));
    let all = groups.iter().flat_map(|group| {
        group.rules.iter().map(|rule| {
            let attributes =
                Attributes::default().with("group-id", &group.id).with("security-group-rule-id", &rule.id);
            (rule.id.clone(), attributes, rule.tags.clone(), convert::rule(group, rule))
        })
    });
    let page = select(Kind::SecurityGroupRule, FILTERS, asked, all)?;
    Ok(api::DescribeSecurityGroupRulesResult {
        security_group_rules: Some(page.items),
        next_token: page.next_token,
    })
}

pub fn modify(
    tx: &mut Tx<'_>,
    request: api::ModifySecurityGroupRulesRequest,
) -> Result<api::ModifySecurityGroupRulesResult, Fault> {
    let mut group = (*named(tx, Some(&request.group_id), None)?).clone();
    for update in request.security_group_rules {
        let id = update.security_group_rule_id;
        let known = group.rules.iter().find(|rule| rule.id == id);
        let direction = match known.map(|rule| rule.is_egress) {
            Some(true) => Direction::Egress,
            Some(false) | None => Direction::Ingress,
        };
        let place = of_id(&group, direction, &id)?;
        let asked = update.security_group_rule.ok_or_else(|| faults::missing("SecurityGroupRule"))?;
        let permission = permission::of_rule(asked)?;
        let new = rule(tx, &group, direction, permission)?;
        let is_there = |(other, rule): (usize, &Rule)| other != place && rule.is_same(&new);
        if group.rules.iter().enumerate().any(is_there) {
            return Err(faults::duplicate_permission(&told(&new)));
        }
        let old = &mut group.rules[place];
        *old = Rule { id, tags: std::mem::take(&mut old.tags), ..new };
    }
    if request.dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    tx.put(group);
    Ok(api::ModifySecurityGroupRulesResult { r#return: Some(true) })
}

pub fn describe_ingress_rules(
    tx: &mut Tx<'_>,
    request: api::UpdateSecurityGroupRuleDescriptionsIngressRequest,
) -> Result<api::UpdateSecurityGroupRuleDescriptionsIngressResult, Fault> {
    let group = named(tx, request.group_id.as_deref(), request.group_name.as_deref())?;
    let new = (request.ip_permissions, request.security_group_rule_descriptions);
    redescribe(tx, &group, Direction::Ingress, new, request.dry_run)?;
    Ok(api::UpdateSecurityGroupRuleDescriptionsIngressResult { r#return: Some(true) })
}

pub fn describe_egress_rules(
    tx: &mut Tx<'_>,
    request: api::UpdateSecurityGroupRuleDescriptionsEgressRequest,
) -> Result<api::UpdateSecurityGroupRuleDescriptionsEgressResult, Fault> {
    let group = named(tx, request.group_id.as_deref(), request.group_name.as_deref())?;
    let new = (request.ip_permissions, request.security_group_rule_descriptions);
    redescribe(tx, &group, Direction::Egress, new, request.dry_run)?;
    Ok(api::UpdateSecurityGroupRuleDescriptionsEgressResult { r#return: Some(true) })
}

/// New descriptions by permission, or by rule. One that is left out goes.
type Descriptions = (Option<Vec<api::IpPermission>>, Option<Vec<api::SecurityGroupRuleDescription>>);

fn redescribe(
    tx: &mut Tx<'_>,
    group: &SecurityGroup,
    direction: Direction,
    (permissions, descriptions): Descriptions,
    dry_run: Option<bool>,
) -> Result<(), Fault> {
    let (permissions, descriptions) = (permissions.unwrap_or_default(), descriptions.unwrap_or_default());
    if permissions.is_empty() == descriptions.is_empty() {
        return Err(faults::combination(
            "Exactly one of 'ipPermissions' and 'securityGroupRuleDescriptions' should be provided.",
        ));
    }
    let mut new = group.clone();
    for permission in permission::read(permissions, direction.peer())? {
        let place = of_permission(tx, group, direction, &permission)?;
        let place = place.ok_or_else(faults::permission_not_found)?;
        new.rules[place].description = permission.description;
    }
    for one in descriptions {
        let id = one.security_group_rule_id.unwrap_or_default();
        let place = of_id(group, direction, &id)?;
        new.rules[place].description = permission::checked(one.description)?;
    }
    if dry_run == Some(true) {
        return Err(faults::dry_run());
    }
    tx.put(new);
    Ok(())
}
