//! Target groups: CreateTargetGroup, DescribeTargetGroups, ModifyTargetGroup, DeleteTargetGroup.

use std::sync::Arc;

use aws_elbv2 as aws;
use base::Fault;
use core_routing::{GroupKind, Matcher, Protocol, Version};
use service::{Tx, View};
use store::{Record, Snapshot};

use super::{ec2, find, tag};
use crate::behaviour::name;
use crate::behaviour::page::Page;
use crate::convert;
use crate::faults::{self, Resource};
use crate::state::id::home_of;
use crate::state::{Check, Group, GroupId, Health, Rule, Target};
use crate::table::users;

/// What CreateTargetGroup acts on.
pub const CREATE: &[&str] = &[
    "Name",
    "Protocol",
    "ProtocolVersion",
    "Port",
    "VpcId",
    "HealthCheckProtocol",
    "HealthCheckPort",
    "HealthCheckEnabled",
    "HealthCheckPath",
    "HealthCheckIntervalSeconds",
    "HealthCheckTimeoutSeconds",
    "HealthyThresholdCount",
    "UnhealthyThresholdCount",
    "Matcher",
    "TargetType",
    "Tags",
    "IpAddressType",
];

/// AWS: of one account in a region.
const MOST: usize = 3000;

pub fn create(
    tx: &mut Tx<'_>,
    request: aws::CreateTargetGroupInput,
) -> Result<aws::CreateTargetGroupOutput, Fault> {
    name::group(&request.name)?;
    let kind = match request.target_type.as_deref() {
        None | Some("instance") => GroupKind::Instance,
        Some("ip") => GroupKind::Ip,
        Some(other) => return Err(faults::refuse(&format!("TargetType={other}"))),
    };
    if let Some(other) = request.ip_address_type.as_deref().filter(|kind| *kind != "ipv4") {
        return Err(faults::refuse(&format!("IpAddressType={other}")));
    }
    let protocol = request.protocol.as_deref();
    let protocol = protocol.ok_or_else(|| faults::invalid("A protocol must be specified"))?;
    let protocol = protocol_of(protocol)?;
    let version = version_of(request.protocol_version.as_deref())?;
    let port = request.port.and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or_else(|| faults::invalid("A port must be specified"))?;
    let vpc = request.vpc_id.filter(|vpc| !vpc.is_empty());
    let vpc = vpc.ok_or_else(|| faults::invalid("A VPC ID must be specified"))?;
    let asked = Asked {
        protocol: request.health_check_protocol,
        port: request.health_check_port,
        is_enabled: request.health_check_enabled,
        path: request.health_check_path,
        interval: request.health_check_interval_seconds,
        timeout: request.health_check_timeout_seconds,
        healthy_after: request.healthy_threshold_count,
        unhealthy_after: request.unhealthy_threshold_count,
        matcher: request.matcher,
    };
    let check = asked.over(default_check(version), version)?;
    let tags = tag::checked(request.tags)?;
    let vpc = ec2::vpc(tx, &vpc)?;
    let home = home_of(tx.caller);
    if let Some(known) = tx.get::<Group>(&home.child(&request.name)) {
        let is_same = known.kind == kind
            && known.protocol == protocol
            && known.version == version
            && known.port == port
            && known.vpc == vpc.id
            && known.check == check;
        // AWS: creating one again with the same settings answers with the one that is there.
        return if is_same {
            Ok(aws::CreateTargetGroupOutput { target_groups: Some(vec![convert::group(tx, &known)]) })
        } else {
            Err(faults::duplicate_group(&request.name))
        };
    }
    if tx.scan::<Group>(&home).count() >= MOST {
        return Err(faults::too_many("TooManyTargetGroups", "target groups", MOST));
    }
    let (account, region) = (tx.caller.account.clone(), tx.caller.region.clone());
    let at = GroupId { account, region, name: request.name, id: tx.chance.hex(16) };
    let group = Group {
        at,
        kind,
        protocol,
        version,
        port,
        vpc: vpc.id,
        check,
        attributes: Default::default(),
        tags,
        created_at: tx.now,
    };
    let shape = convert::group(tx, &group);
    tx.put(group);
    Ok(aws::CreateTargetGroupOutput { target_groups: Some(vec![shape]) })
}

pub fn protocol_of(text: &str) -> Result<Protocol, Fault> {
    match text {
        "HTTP" => Ok(Protocol::Http),
        "HTTPS" => Ok(Protocol::Https),
        other => Err(faults::refuse(&format!("Protocol={other}"))),
    }
}

fn version_of(text: Option<&str>) -> Result<Version, Fault> {
    match text {
        None | Some("HTTP1") => Ok(Version::Http1),
        Some("HTTP2") => Ok(Version::Http2),
        Some("GRPC") => Ok(Version::Grpc),
        Some(other) => Err(faults::invalid(format_args!(
            "Protocol version '{other}' must be one of '[HTTP1, HTTP2, GRPC]'"
        ))),
    }
}

/// AWS: what a group of instances or addresses begins with.
fn default_check(version: Version) -> Check {
    let (path, matcher) = match version {
        Version::Http1 | Version::Http2 => ("/", "200"),
        Version::Grpc => ("/AWS.ALB/healthcheck", "12"),
    };
    Check {
        protocol: Protocol::Http,
        port: None,
        path: path.to_owned(),
        interval_seconds: 30,
        timeout_seconds: 5,
        healthy_after: 5,
        unhealthy_after: 2,
        matcher: matcher.to_owned(),
    }
}

/// Members of a request about a group's health check.
#[derive(Default)]
struct Asked {
    protocol: Option<String>,
    port: Option<String>,
    is_enabled: Option<bool>,
    path: Option<String>,
    interval: Option<i32>,
    timeout: Option<i32>,
    healthy_after: Option<i32>,
    unhealthy_after: Option<i32>,
    matcher: Option<aws::Matcher>,
}

impl Asked {
    /// The check that is meant, where `before` is what holds without. Ranges were checked with the
    /// model.
    fn over(self, before: Check, version: Version) -> Result<Check, Fault> {
        if self.is_enabled == Some(false) {
            return Err(faults::invalid(
                "Health check enabled must be true for target groups with target type 'instance' or 'ip'",
            ));
        }
        let mut check = before;
        if let Some(protocol) = self.protocol.as_deref() {
            check.protocol = match protocol {
                "HTTP" => Protocol::Http,
                "HTTPS" => Protocol::Https,
                other => {
                    return Err(faults::invalid(format_args!(
                        "Health check protocol '{other}' must be one of '[HTTP, HTTPS]'"
                    )));
                }
            };
        }
        if let Some(port) = self.port.as_deref() {
            check.port = check_port(port)?;
        }
        if let Some(path) = self.path {
            check_path(&path)?;
            check.path = path;
        }
        let set = |to: &mut u32, asked: Option<i32>| {
            if let Some(asked) = asked.and_then(|asked| u32::try_from(asked).ok()) {
                *to = asked;
            }
        };
        set(&mut check.interval_seconds, self.interval);
        set(&mut check.timeout_seconds, self.timeout);
        set(&mut check.healthy_after, self.healthy_after);
        set(&mut check.unhealthy_after, self.unhealthy_after);
        let (interval, timeout) = (check.interval_seconds, check.timeout_seconds);
        if timeout >= interval {
            return Err(faults::invalid(format_args!(
                "Health check timeout '{timeout}' must be smaller than the interval '{interval}'"
            )));
        }
        if let Some(asked) = self.matcher {
            check.matcher = matcher_of(asked, version)?;
        }
        Ok(check)
    }
}

fn check_port(text: &str) -> Result<Option<u16>, Fault> {
    if text == "traffic-port" {
        return Ok(None);
    }
    let port = text.parse::<u16>().ok().filter(|port| *port > 0 && text.bytes().all(|b| b.is_ascii_digit()));
    port.map(Some).ok_or_else(|| {
        faults::invalid(format_args!(
            "Health check port '{text}' must be 'traffic-port' or a number from 1 to 65535"
        ))
    })
}

fn check_path(path: &str) -> Result<(), Fault> {
    if path.starts_with('/') && path.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
        return Ok(());
    }
    Err(faults::invalid(format_args!(
        "Health check path '{path}' must begin with a '/' character, and can only contain printable ASCII characters, without spaces"
    )))
}

fn matcher_of(asked: aws::Matcher, version: Version) -> Result<String, Fault> {
    let is_grpc = version == Version::Grpc;
    let (text, other) =
        if is_grpc { (asked.grpc_code, asked.http_code) } else { (asked.http_code, asked.grpc_code) };
    let (member, wrong) = if is_grpc { ("GrpcCode", "HttpCode") } else { ("HttpCode", "GrpcCode") };
    if other.is_some() {
        return Err(faults::invalid(format_args!(
            "Matcher {wrong} is not supported with this protocol version; specify {member}"
        )));
    }
    let text = text.ok_or_else(|| faults::invalid(format_args!("A matcher must have a {member}")))?;
    // AWS: behind an application load balancer no code of a server's errors passes.
    let (from, to) = if is_grpc { (0, 99) } else { (200, 499) };
    let codes = if is_grpc { Matcher::grpc(&text) } else { Matcher::http(&text) };
    let is_within = codes.is_ok_and(|codes| {
        let (Matcher::Http(ranges) | Matcher::Grpc(ranges)) = codes;
        ranges.iter().all(|(_, last)| *last <= to)
    });
    if !is_within {
        return Err(faults::invalid(format_args!(
            "Health check matcher '{text}' must be codes from {from} to {to}: one, several ('{from},{}'), or a range ('{from}-{to}')",
            from + 2
        )));
    }
    Ok(text)
}

pub fn describe(
    view: &View<'_>,
    request: aws::DescribeTargetGroupsInput,
) -> Result<aws::DescribeTargetGroupsOutput, Fault> {
    let page = Page::of(request.page_size, request.marker.as_deref())?;
    let arns = request.target_group_arns.unwrap_or_default();
    let names = request.names.unwrap_or_default();
    let ways = [!arns.is_empty(), !names.is_empty(), request.load_balancer_arn.is_some()];
    if ways.into_iter().filter(|way| *way).count() > 1 {
        return Err(faults::invalid(
            "Target group names, target group ARNs and a load balancer ARN cannot be specified together",
        ));
    }
    let home = home_of(view.caller);
    let mut found: Vec<Arc<Group>> = if let Some(arn) = request.load_balancer_arn {
        let balancer = find::balancer(view, view.caller, &arn)?;
        let rules = view.scan::<Rule>(&balancer.key());
        let groups = rules.flat_map(|rule| rule.groups().map(GroupId::key).collect::<Vec<_>>());
        groups.filter_map(|key| view.get::<Group>(&key)).collect()
    } else if !arns.is_empty() {
        find::groups(view, view.caller, &arns)?
    } else if names.is_empty() {
        view.scan::<Group>(&home).collect()
    } else {
        let find = |name: &String| {
            let found = view.get::<Group>(&home.child(name));
            found.ok_or_else(|| faults::some_missing(Resource::Group))
        };
        names.iter().map(find).collect::<Result<_, _>>()?
    };
    found.sort_by_key(|group| group.key());
    found.dedup_by_key(|group| group.key());
    let shown = found.iter().map(|group| (group.at.name.clone(), Arc::clone(group)));
    let (groups, next_marker) = page.take(shown);
    let target_groups = groups.iter().map(|group| convert::group(view, group)).collect();
    Ok(aws::DescribeTargetGroupsOutput { target_groups: Some(target_groups), next_marker })
}

pub fn modify(
    tx: &mut Tx<'_>,
    request: aws::ModifyTargetGroupInput,
) -> Result<aws::ModifyTargetGroupOutput, Fault> {
    let group = find::group(tx, tx.caller, &request.target_group_arn)?;
    let asked = Asked {
        protocol: request.health_check_protocol,
        port: request.health_check_port,
        is_enabled: request.health_check_enabled,
        path: request.health_check_path,
        interval: request.health_check_interval_seconds,
        timeout: request.health_check_timeout_seconds,
        healthy_after: request.healthy_threshold_count,
        unhealthy_after: request.unhealthy_threshold_count,
        matcher: request.matcher,
    };
    let check = asked.over(group.check.clone(), group.version)?;
    let changed = Group { check, ..(*group).clone() };
    let shape = convert::group(tx, &changed);
    tx.put(changed);
    Ok(aws::ModifyTargetGroupOutput { target_groups: Some(vec![shape]) })
}

/// AWS: one that is gone already is as good.
pub fn delete(
    tx: &mut Tx<'_>,
    request: aws::DeleteTargetGroupInput,
) -> Result<aws::DeleteTargetGroupOutput, Fault> {
    let arn = &request.target_group_arn;
    let group = match find::group(tx, tx.caller, arn) {
        Err(fault) if fault.code == "TargetGroupNotFound" => return Ok(Default::default()),
        found => found?,
    };
    if !users(tx, &group.at).is_empty() {
        return Err(faults::in_use(format_args!(
            "Target group '{arn}' is currently in use by a listener or a rule"
        )));
    }
    let targets: Vec<_> = tx.scan::<Target>(&group.at.targets()).map(|target| target.key()).collect();
    for key in targets {
        tx.delete::<Target>(&key);
        tx.delete::<Health>(&key);
    }
    tx.delete::<Group>(&group.key());
    Ok(aws::DeleteTargetGroupOutput::default())
}

/// What must go when rules stop sending to `groups`: of a group that nobody uses any more, nothing
/// that was seen holds, and what drained has drained.
pub fn settle(tx: &mut Tx<'_>, groups: impl IntoIterator<Item = GroupId>) {
    for group in groups {
        if is_used(tx, &group) {
            continue;
        }
        let seen: Vec<_> = tx.scan::<Health>(&group.targets()).map(|seen| seen.key()).collect();
        for key in seen {
            tx.delete::<Health>(&key);
        }
        let (index, prefix) = Target::draining(&group);
        let drained: Vec<_> = tx.by::<Target>(index, &prefix).map(|target| target.key()).collect();
        for key in drained {
            tx.delete::<Target>(&key);
        }
    }
}

pub fn is_used(records: &Snapshot, group: &GroupId) -> bool {
    let (index, prefix) = Rule::of_group(group);
    records.by::<Rule>(index, &prefix).next().is_some()
}
