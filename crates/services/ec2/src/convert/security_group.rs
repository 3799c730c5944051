//! Security groups and their rules.

use aws_ec2 as api;
use core_security::Traffic;

use super::{arn, some_tags, tags, text};
use crate::state::default::Home;
use crate::state::security_group::{Peer, Rule, SecurityGroup};

pub fn security_group(group: &SecurityGroup) -> api::SecurityGroup {
    let towards = |is_egress: bool| {
        let rules: Vec<&Rule> = group.rules.iter().filter(|rule| rule.is_egress == is_egress).collect();
        permissions(&group.home, &rules)
    };
    api::SecurityGroup {
        group_id: text(&group.id),
        group_name: text(&group.name),
        description: text(&group.description),
        owner_id: text(&group.home.account),
        vpc_id: text(&group.vpc),
        security_group_arn: arn(&group.home, "security-group", &group.id),
        ip_permissions: Some(towards(false)),
        ip_permissions_egress: Some(towards(true)),
        tags: some_tags(&group.tags),
    }
}

/// AWS: rules for the same traffic are shown as one permission with several peers.
fn permissions(home: &Home, rules: &[&Rule]) -> Vec<api::IpPermission> {
    let mut shown: Vec<(Traffic, api::IpPermission)> = Vec::new();
    for rule in rules {
        let found = shown.iter().position(|(traffic, _)| *traffic == rule.traffic);
        let place = found.unwrap_or_else(|| {
            shown.push((rule.traffic, permission(rule.traffic)));
            shown.len() - 1
        });
        let permission = &mut shown[place].1;
        match &rule.peer {
            Peer::Range(range) => permission
                .ip_ranges
                .get_or_insert_default()
                .push(api::IpRange { cidr_ip: text(range), description: rule.description.clone() }),
            Peer::Group(group) => {
                permission.user_id_group_pairs.get_or_insert_default().push(api::UserIdGroupPair {
                    group_id: text(group),
                    user_id: text(&home.account),
                    description: rule.description.clone(),
                    ..Default::default()
                });
            }
        }
    }
    shown.into_iter().map(|(_, permission)| permission).collect()
}

fn permission(traffic: Traffic) -> api::IpPermission {
    let Bounds { protocol, ports } = bounds(traffic);
    api::IpPermission {
        ip_protocol: Some(protocol),
        from_port: ports.map(|(from, _)| from),
        to_port: ports.map(|(_, to)| to),
        user_id_group_pairs: Some(Vec::new()),
        ip_ranges: Some(Vec::new()),
        ipv6_ranges: Some(Vec::new()),
        prefix_list_ids: Some(Vec::new()),
    }
}

/// Traffic in the API's terms.
struct Bounds {
    /// A name, a number or `-1`.
    protocol: String,
    /// Or ICMP's type and code; `None` where the protocol has neither.
    ports: Option<(i32, i32)>,
}

fn bounds(traffic: Traffic) -> Bounds {
    let named = |name: &str, ports| Bounds { protocol: String::from(name), ports };
    let any = |value: Option<u8>| value.map_or(-1, i32::from);
    match traffic {
        Traffic::All => named("-1", None),
        Traffic::Tcp(from, to) => named("tcp", Some((i32::from(from), i32::from(to)))),
        Traffic::Udp(from, to) => named("udp", Some((i32::from(from), i32::from(to)))),
        Traffic::Icmp(kind, code) => named("icmp", Some((any(kind), any(code)))),
        Traffic::Protocol(number) => Bounds { protocol: number.to_string(), ports: None },
    }
}

/// AWS: a single rule always shows ports, -1 where there are none.
pub fn rule(group: &SecurityGroup, rule: &Rule) -> api::SecurityGroupRule {
    let Bounds { protocol, ports } = bounds(rule.traffic);
    let (from, to) = ports.unwrap_or((-1, -1));
    let (range, referenced) = match &rule.peer {
        Peer::Range(range) => (text(range), None),
        Peer::Group(peer) => {
            let of = api::ReferencedSecurityGroup {
                group_id: text(peer),
                user_id: text(&group.home.account),
                ..Default::default()
            };
            (None, Some(of))
        }
    };
    api::SecurityGroupRule {
        security_group_rule_id: text(&rule.id),
        group_id: text(&group.id),
        group_owner_id: text(&group.home.account),
        is_egress: Some(rule.is_egress),
        ip_protocol: Some(protocol),
        from_port: Some(from),
        to_port: Some(to),
        cidr_ipv4: range,
        referenced_group_info: referenced,
        description: rule.description.clone(),
        tags: Some(tags(&rule.tags)),
        security_group_rule_arn: arn(&group.home, "security-group-rule", &rule.id),
        ..Default::default()
    }
}

pub fn revoked(group: &str, rule: &Rule) -> api::RevokedSecurityGroupRule {
    let Bounds { protocol, ports } = bounds(rule.traffic);
    let (from, to) = ports.unwrap_or((-1, -1));
    let range = match &rule.peer {
        Peer::Range(range) => text(range),
        Peer::Group(_) => None,
    };
    api::RevokedSecurityGroupRule {
        security_group_rule_id: text(&rule.id),
        group_id: text(group),
        is_egress: Some(rule.is_egress),
        ip_protocol: Some(protocol),
        from_port: Some(from),
        to_port: Some(to),
        cidr_ipv4: range,
        referenced_group_id: rule.peer.group().map(String::from),
        description: rule.description.clone(),
        ..Default::default()
    }
}
