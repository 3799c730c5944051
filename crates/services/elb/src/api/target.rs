//! Targets: RegisterTargets, DeregisterTargets, DescribeTargetHealth.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use aws_elbv2 as aws;
use base::Fault;
use core_addresses::Cidr;
use core_routing::{Anomaly, GroupKind, TargetName, TargetStanding};
use service::{Tx, View};
use store::Snapshot;

use super::{ec2, find, group};
use crate::behaviour::attribute::{self, GROUP};
use crate::behaviour::health::{self, Standing};
use crate::faults;
use crate::state::{Balancer, BalancerId, Group, GroupId, Health, Rule, Target};
use crate::table::{seen_of, users};

/// A quota that AWS raises on request; it begins at 1,000.
pub const MOST: usize = 10_000;

/// A target drains for so long at least, whatever its group says: whoever serves has the table without
/// it by then, and no request is on its way to a target that somebody stops as soon as it is gone.
const LEAST_DELAY: Duration = Duration::from_millis(300);

/// A target that a request names, with its port.
struct Named {
    id: String,
    port: u16,
    zone: Option<String>,
}

fn named(group: &Group, targets: Vec<aws::TargetDescription>) -> Result<Vec<Named>, Fault> {
    if targets.is_empty() {
        return Err(faults::invalid("At least one target must be specified"));
    }
    let named = targets.into_iter().map(|target| {
        if target.id.is_empty() {
            return Err(faults::invalid("A target ID must be specified"));
        }
        if target.quic_server_id.is_some() {
            return Err(faults::refuse("Targets.QuicServerId"));
        }
        let port = target.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(group.port);
        Ok(Named { id: target.id, port, zone: target.availability_zone })
    });
    named.collect()
}

/// Where connections to a target go, and the zone that it is in.
type Place = (Ipv4Addr, Option<Arc<str>>);

pub fn register(
    tx: &mut Tx<'_>,
    request: aws::RegisterTargetsInput,
) -> Result<aws::RegisterTargetsOutput, Fault> {
    let group = find::group(tx, tx.caller, &request.target_group_arn)?;
    let named = named(&group, request.targets)?;
    let places = match group.kind {
        GroupKind::Ip => addresses(tx, &group, &named)?,
        GroupKind::Instance => instances(tx, &group, &named)?,
    };
    let at = Arc::new(group.at.clone());
    let used_by = users(tx, &at).into_iter().next();
    let mut count = count(tx, &at, used_by.as_ref());
    for (Named { id, port, .. }, (address, zone)) in named.into_iter().zip(places) {
        let known = tx.get::<Target>(&at.target(&id, port));
        // AWS: registering a target again changes nothing, unless it drains.
        let is_there = known.as_ref().is_some_and(|known| {
            known.draining_until.is_none() && known.address == address && known.zone == zone
        });
        if is_there {
            continue;
        }
        count += usize::from(known.is_none());
        if count > MOST {
            return Err(too_many(&at, used_by.as_ref()));
        }
        let (group, id) = (Arc::clone(&at), Arc::from(id));
        let registered_at = match known {
            // A registration is told from the one before by its instant.
            Some(known) => tx.now.max(known.registered_at + Duration::from_micros(1)),
            None => tx.now,
        };
        tx.put(Target { group, id, port, address, zone, registered_at, draining_until: None });
    }
    Ok(aws::RegisterTargetsOutput::default())
}

/// AWS: targets are counted over all groups of their load balancer.
fn count(records: &Snapshot, group: &GroupId, used_by: Option<&BalancerId>) -> usize {
    let Some(balancer) = used_by else { return records.scan::<Target>(&group.targets()).count() };
    let rules = records.scan::<Rule>(&balancer.key());
    let groups: BTreeSet<GroupId> =
        rules.flat_map(|rule| rule.groups().cloned().collect::<Vec<_>>()).collect();
    groups.iter().map(|group| records.scan::<Target>(&group.targets()).count()).sum()
}

fn too_many(group: &GroupId, used_by: Option<&BalancerId>) -> Fault {
    let (noun, arn) = match used_by {
        Some(balancer) => ("load balancer", balancer.arn()),
        None => ("target group", group.arn()),
    };
    faults::reached("TooManyTargets", "targets", noun, MOST, &arn)
}

/// AWS: private ranges (RFC 1918) and the shared one (RFC 6598).
fn is_private(address: Ipv4Addr) -> bool {
    address.is_private() || Cidr::new(Ipv4Addr::new(100, 64, 0, 0), 10).contains(address)
}

/// AWS: whether an address is in the VPC is a matter of its subnets, and its zone is the subnet's.
/// An address outside is private, and for all zones.
fn addresses(tx: &mut Tx<'_>, group: &Group, named: &[Named]) -> Result<Vec<Place>, Fault> {
    let subnets = ec2::zones_of(tx, &group.vpc)?;
    let place = |target: &Named| {
        let id = &target.id;
        let address: Ipv4Addr =
            id.parse().map_err(|_| faults::invalid(format_args!("'{id}' is not a valid IPv4 address")))?;
        let asked = target.zone.as_deref().filter(|zone| !zone.is_empty());
        let found = subnets.iter().find(|(range, _)| range.contains(address)).map(|(_, zone)| zone);
        match (found, asked) {
            (Some(zone), Some(asked)) if *asked != **zone => Err(faults::invalid(format_args!(
                "The IP address '{id}' is within the VPC, and cannot have its Availability Zone overridden to \
                 '{asked}' from '{zone}'"
            ))),
            (Some(zone), _) => Ok((address, Some(Arc::clone(zone)))),
            (None, _) if !is_private(address) => Err(faults::invalid(format_args!(
                "The IP address '{id}' is not in the VPC, nor in a private range (RFC 1918, RFC 6598)"
            ))),
            (None, None) => Err(faults::invalid(format_args!(
                "The Availability Zone is required for IP address '{id}' because it is not in the VPC"
            ))),
            (None, Some("all")) => Ok((address, None)),
            (None, Some(_)) => Err(faults::invalid(format_args!(
                "You must specify a valid Availability Zone or select 'all' for all enabled Availability zones, \
                 since the IP address '{id}' is outside the VPC"
            ))),
        }
    };
    named.iter().map(place).collect()
}

fn instances(tx: &mut Tx<'_>, group: &Group, named: &[Named]) -> Result<Vec<Place>, Fault> {
    for target in named {
        let id = &target.id;
        if !id.starts_with("i-") {
            return Err(faults::invalid(format_args!("Instance ID '{id}' is not valid")));
        }
        if target.zone.is_some() {
            return Err(faults::invalid(
                "You cannot specify an Availability Zone for targets with target type 'instance'",
            ));
        }
    }
    let ids: BTreeSet<String> = named.iter().map(|target| target.id.clone()).collect();
    let ids: Vec<String> = ids.into_iter().collect();
    let found = ec2::instances(tx, &ids)?;
    let list = |is_bad: &dyn Fn(&ec2::Instance) -> bool| {
        let bad = ids.iter().filter(|id| found.get(*id).is_some_and(is_bad));
        bad.map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ")
    };
    let missing: Vec<String> =
        ids.iter().filter(|id| !found.contains_key(*id)).map(|id| format!("'{id}'")).collect();
    if !missing.is_empty() {
        return Err(faults::invalid_target(format_args!(
            "The following targets do not exist: {}",
            missing.join(", ")
        )));
    }
    let stopped = list(&|one| !one.is_running || one.address.is_none());
    if !stopped.is_empty() {
        return Err(faults::invalid_target(format_args!(
            "The following targets are not in a running state and cannot be registered: {stopped}"
        )));
    }
    let elsewhere = list(&|one| one.vpc != group.vpc);
    if !elsewhere.is_empty() {
        return Err(faults::invalid_target(format_args!(
            "The following targets are not in the target group VPC '{}': {elsewhere}",
            group.vpc
        )));
    }
    let place = |target: &Named| {
        let instance = &found[&target.id];
        let address = instance.address.unwrap_or(Ipv4Addr::UNSPECIFIED);
        (address, Some(Arc::clone(&instance.zone)))
    };
    Ok(named.iter().map(place).collect())
}

/// AWS: without a port, the target with the group's is meant; a target that is not registered is as
/// good as deregistered, if it could be one.
pub fn deregister(
    tx: &mut Tx<'_>,
    request: aws::DeregisterTargetsInput,
) -> Result<aws::DeregisterTargetsOutput, Fault> {
    let group = find::group(tx, tx.caller, &request.target_group_arn)?;
    let named = named(&group, request.targets)?;
    let delay = attribute::get(GROUP, &group.attributes, "deregistration_delay.timeout_seconds");
    let delay = Duration::from_secs(delay.parse().unwrap_or_default());
    let is_used = group::is_used(tx, &group.at);
    for target in named {
        check_id(&group, &target.id)?;
        let key = group.at.target(&target.id, target.port);
        let known = tx.get::<Target>(&key).filter(|known| known.draining_until.is_none());
        let Some(known) = known else { continue };
        if is_used && is_zone_enabled(tx, &group.at, &known) {
            let draining_until = Some(tx.now + delay.max(LEAST_DELAY));
            tx.put(Target { draining_until, ..(*known).clone() });
        } else {
            tx.delete::<Target>(&key);
        }
        tx.delete::<Health>(&key);
    }
    Ok(aws::DeregisterTargetsOutput::default())
}

fn check_id(group: &Group, id: &str) -> Result<(), Fault> {
    let is_id = match group.kind {
        GroupKind::Ip => id.parse::<Ipv4Addr>().is_ok(),
        GroupKind::Instance => id.starts_with("i-"),
    };
    match group.kind {
        _ if is_id => Ok(()),
        GroupKind::Ip => Err(faults::invalid(format_args!("'{id}' is not a valid IPv4 address"))),
        GroupKind::Instance => Err(faults::invalid(format_args!("Instance ID '{id}' is not valid"))),
    }
}

fn is_zone_enabled(records: &Snapshot, group: &GroupId, target: &Target) -> bool {
    let Some(zone) = &target.zone else { return true };
    let balancers = users(records, group).into_iter().filter_map(|at| records.get::<Balancer>(&at.key()));
    balancers.flat_map(|balancer| balancer.nodes.clone()).any(|node| node.zone == *zone)
}

/// What a group's use says about all its targets.
struct Use {
    is_used: bool,
    zones: BTreeSet<Arc<str>>,
    /// Of the balancers' nodes.
    addresses: BTreeSet<Ipv4Addr>,
}

impl Use {
    fn of(records: &Snapshot, group: &GroupId) -> Use {
        let balancers: Vec<_> =
            users(records, group).iter().filter_map(|at| records.get::<Balancer>(&at.key())).collect();
        let nodes = || balancers.iter().flat_map(|balancer| &balancer.nodes);
        Use {
            is_used: !balancers.is_empty(),
            zones: nodes().map(|node| Arc::clone(&node.zone)).collect(),
            addresses: nodes().map(|node| node.address).collect(),
        }
    }

    fn standing(&self, records: &Snapshot, target: &Target) -> Standing {
        if !self.is_used {
            return health::not_in_use();
        }
        if target.draining_until.is_some() {
            return health::draining();
        }
        if target.zone.as_ref().is_some_and(|zone| !self.zones.contains(zone)) {
            return health::zone_not_enabled();
        }
        if self.addresses.contains(&target.address) {
            return health::address_unusable();
        }
        let seen = seen_of(records, target);
        health::seen(seen.as_ref().map(|seen| (seen.state, seen.reason.as_ref())))
    }
}

/// What is published of a target.
pub fn published(records: &Snapshot, name: &TargetName) -> TargetStanding {
    let Some(group) = GroupId::of_arn(&name.group) else { return TargetStanding { state: None, text: None } };
    match records.get::<Target>(&group.target(&name.id, name.port)) {
        None => TargetStanding { state: None, text: None },
        Some(target) => {
            let Standing { state, text, .. } = Use::of(records, &group).standing(records, &target);
            TargetStanding { state: Some(state), text }
        }
    }
}

pub fn describe_health(
    view: &View<'_>,
    request: aws::DescribeTargetHealthInput,
) -> Result<aws::DescribeTargetHealthOutput, Fault> {
    let group = find::group(view, view.caller, &request.target_group_arn)?;
    let include: BTreeSet<String> = request.include.unwrap_or_default().into_iter().collect();
    let shows = |what: &str| include.contains(what) || include.contains("All");
    let shown = Shown { anomalies: shows("AnomalyDetection"), overrides: shows("All") };
    let used = Use::of(view, &group.at);
    let asked = request.targets.filter(|targets| !targets.is_empty());
    let describe = |target: &Target| {
        let standing = used.standing(view, target);
        let anomaly = seen_of(view, target).map(|seen| seen.anomaly).unwrap_or_default();
        shown.describe(&group, target, standing, anomaly)
    };
    let descriptions = match asked {
        None => {
            let targets: Vec<_> = view.scan::<Target>(&group.at.targets()).collect();
            targets.iter().map(|target| describe(target)).collect()
        }
        Some(targets) => {
            let mut descriptions = Vec::new();
            for target in named(&group, targets)? {
                check_id(&group, &target.id)?;
                let found = view.get::<Target>(&group.at.target(&target.id, target.port));
                descriptions.push(match found {
                    Some(found) => describe(&found),
                    None => shown.missing(&group, &target),
                });
            }
            descriptions
        }
    };
    Ok(aws::DescribeTargetHealthOutput { target_health_descriptions: Some(descriptions) })
}

/// What an answer includes besides health.
struct Shown {
    anomalies: bool,
    overrides: bool,
}

impl Shown {
    fn describe(
        &self,
        group: &Group,
        target: &Target,
        standing: Standing,
        anomaly: Anomaly,
    ) -> aws::TargetHealthDescription {
        // AWS: an instance's zone is the instance's business.
        let zone = match group.kind {
            GroupKind::Ip => Some(target.zone.as_deref().unwrap_or("all").to_owned()),
            GroupKind::Instance => None,
        };
        // AWS: detected among healthy targets; of others that are checked it is told as normal.
        let is_told = standing.state == "healthy" || standing.state == "unhealthy";
        let anomaly = if standing.state == "healthy" { anomaly } else { Anomaly::default() };
        let target = aws::TargetDescription {
            id: target.id.to_string(),
            port: Some(i32::from(target.port)),
            availability_zone: zone,
            quic_server_id: None,
        };
        let anomaly = aws::AnomalyDetection {
            result: Some(String::from(if anomaly.is_anomalous { "anomalous" } else { "normal" })),
            mitigation_in_effect: Some(String::from(if anomaly.is_mitigated { "yes" } else { "no" })),
        };
        aws::TargetHealthDescription {
            anomaly_detection: Some(anomaly).filter(|_| self.anomalies && is_told),
            ..self.whole(group, target, standing)
        }
    }

    fn missing(&self, group: &Group, target: &Named) -> aws::TargetHealthDescription {
        let target = aws::TargetDescription {
            id: target.id.clone(),
            port: Some(i32::from(target.port)),
            ..Default::default()
        };
        self.whole(group, target, health::not_registered())
    }

    fn whole(
        &self,
        group: &Group,
        target: aws::TargetDescription,
        standing: Standing,
    ) -> aws::TargetHealthDescription {
        let port = group.check.port.map(i32::from).or(target.port).unwrap_or_default();
        let no_override = aws::AdministrativeOverride {
            state: Some(String::from("no_override")),
            reason: Some(String::from("AdministrativeOverride.NoOverride")),
            description: Some(String::from("No override is currently active on target")),
        };
        aws::TargetHealthDescription {
            target: Some(target),
            health_check_port: Some(port.to_string()),
            target_health: Some(aws::TargetHealth {
                state: Some(String::from(standing.state)),
                reason: standing.reason.map(String::from),
                description: standing.text,
            }),
            anomaly_detection: None,
            administrative_override: Some(no_override).filter(|_| self.overrides),
        }
    }
}
