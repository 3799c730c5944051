//! What a proxy is fed with: a balancer's table, made whole from one snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use core_routing as routing;
use core_routing::{Matcher, Protocol, Version};
use store::{Change, Key, Snapshot};

use crate::behaviour::attribute::{self, BALANCER, GROUP};
use crate::state::id::shared;
use crate::state::{Balancer, BalancerId, Does, Group, GroupId, Health, Listener, ListenerId, Rule, Target};

/// Every balancer's ARN.
pub fn balancers(records: &Snapshot) -> Vec<Arc<str>> {
    records.scan::<Balancer>(&Key::all()).map(|balancer| shared(&balancer.at.arn())).collect()
}

/// The balancers whose table may differ after `change`; `records` is as it was left, or later. What
/// was seen of targets changes no table.
pub fn touched(records: &Snapshot, change: &Change) -> Vec<Arc<str>> {
    let of = |at: &BalancerId| vec![shared(&at.arn())];
    if let Some(balancer) = either::<Balancer>(change) {
        return of(&balancer.at);
    }
    if let Some(listener) = either::<Listener>(change) {
        return of(&listener.at.balancer);
    }
    if let Some(rule) = either::<Rule>(change) {
        return of(&rule.at.listener.balancer);
    }
    if let Some(group) = either::<Group>(change) {
        return users(records, &group.at).iter().map(|at| shared(&at.arn())).collect();
    }
    match either::<Target>(change) {
        Some(target) => users(records, &target.group).iter().map(|at| shared(&at.arn())).collect(),
        None => Vec::new(),
    }
}

pub fn either<R: store::Record>(change: &Change) -> Option<Arc<R>> {
    change.after::<R>().or_else(|| change.before::<R>())
}

/// The balancers that send to `group`: one or none.
pub fn users(records: &Snapshot, group: &GroupId) -> BTreeSet<BalancerId> {
    let (index, prefix) = Rule::of_group(group);
    records.by::<Rule>(index, &prefix).map(|rule| rule.at.listener.balancer.clone()).collect()
}

/// The table of a balancer; `None` if there is none of this ARN, or it is not active yet. Its
/// generation is the snapshot's revision.
pub fn table(records: &Snapshot, arn: &str) -> Option<routing::Balancer> {
    let at = BalancerId::of_arn(arn)?;
    let balancer = records.get::<Balancer>(&at.key())?;
    if balancer.at != at || !balancer.is_active {
        return None;
    }
    let mut groups = BTreeSet::new();
    let mut listeners: Vec<_> =
        records.scan::<Listener>(&at.key()).filter_map(|one| listener(records, &one, &mut groups)).collect();
    listeners.sort_by_key(|listener| listener.port);
    let is_cross_zone =
        attribute::get(BALANCER, &balancer.attributes, "load_balancing.cross_zone.enabled") == "true";
    let group_of = |at: &GroupId| {
        let group = records.get::<Group>(&at.key())?;
        let made = make_group(records, &balancer, &group, is_cross_zone);
        Some((Arc::clone(&made.arn), Arc::new(made)))
    };
    let groups: BTreeMap<_, _> = groups.iter().filter_map(group_of).collect();
    Some(routing::Balancer {
        arn: shared(&at.arn()),
        generation: records.revision(),
        kind: routing::Kind::Application,
        id: Arc::from(at.to_string()),
        dns_name: Arc::from(balancer.dns_name().to_ascii_lowercase()),
        scheme: balancer.scheme,
        place: routing::Placed {
            account: at.account.to_string(),
            region: at.region.to_string(),
            vpc: balancer.vpc.clone(),
            vpc_cidr: balancer.vpc_cidr.clone(),
            on_host: balancer.on_host,
            nodes: balancer.nodes.clone(),
            alias: Some(balancer.alias),
            security_groups: balancer.security_groups.clone(),
        },
        attributes: attributes(&balancer.attributes),
        listeners,
        groups,
    })
}

fn listener(
    records: &Snapshot,
    listener: &Listener,
    groups: &mut BTreeSet<GroupId>,
) -> Option<routing::Listener> {
    let (default, rules) = rules(records, &listener.at);
    for rule in rules.iter().chain(&default) {
        groups.extend(rule.groups().cloned());
    }
    Some(routing::Listener {
        arn: shared(&listener.at.arn()),
        port: listener.port,
        protocol: listener.protocol,
        ssl_policy: listener.ssl_policy.as_deref().map(Arc::from),
        certificates: listener.certificates.iter().map(|arn| Arc::from(arn.as_str())).collect(),
        headers: headers(&listener.attributes),
        rules: rules.iter().map(|one| rule(one)).collect(),
        default: rule(&*default?),
    })
}

/// The default rule, and the others in the order of their priorities.
pub fn rules(records: &Snapshot, listener: &ListenerId) -> (Option<Arc<Rule>>, Vec<Arc<Rule>>) {
    let (default, mut rules): (Vec<_>, Vec<_>) =
        records.scan::<Rule>(&listener.key()).partition(|rule| rule.is_default());
    rules.sort_by_key(|rule| rule.priority);
    (default.into_iter().next(), rules)
}

fn rule(rule: &Rule) -> routing::Rule {
    let action = match &rule.action.does {
        Does::Forward { groups, is_sticky, sticky_for_seconds } => routing::Action::Forward {
            groups: groups
                .iter()
                .map(|one| routing::WeightedGroup { group: shared(&one.group.arn()), weight: one.weight })
                .collect(),
            sticky_for: sticky_for_seconds.filter(|_| *is_sticky).map(seconds),
        },
        Does::Redirect(redirect) => routing::Action::Redirect(redirect.clone()),
        Does::Fixed { status, content_type, body } => routing::Action::Fixed {
            status: *status,
            content_type: content_type.clone(),
            body: body.clone().unwrap_or_default(),
        },
    };
    routing::Rule {
        arn: shared(&rule.at.arn()),
        priority: rule.priority,
        conditions: rule.conditions.clone(),
        rewrites: rule.rewrites.clone(),
        action,
    }
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(u64::from(count))
}

type Set = BTreeMap<String, String>;

fn attributes(set: &Set) -> routing::Attributes {
    let get = |key| attribute::get(BALANCER, set, key);
    let is_on = |key| get(key) == "true";
    let count = |key| seconds(get(key).parse().unwrap_or_default());
    let log = |name: &str| {
        let get = |part: &str| attribute::get(BALANCER, set, &format!("{name}.s3.{part}")).to_owned();
        let (bucket, prefix) = (get("bucket"), get("prefix"));
        let place = if prefix.is_empty() { bucket } else { format!("{bucket}/{prefix}") };
        (get("enabled") == "true").then_some(place)
    };
    routing::Attributes {
        idle_timeout_for: count("idle_timeout.timeout_seconds"),
        client_keep_alive_for: count("client_keep_alive.seconds"),
        desync: match get("routing.http.desync_mitigation_mode") {
            "monitor" => routing::Desync::Monitor,
            "strictest" => routing::Desync::Strictest,
            _ => routing::Desync::Defensive,
        },
        drops_invalid_headers: is_on("routing.http.drop_invalid_header_fields.enabled"),
        preserves_host: is_on("routing.http.preserve_host_header.enabled"),
        forwards_client_port: is_on("routing.http.xff_client_port.enabled"),
        forwarded_for: match get("routing.http.xff_header_processing.mode") {
            "preserve" => routing::ForwardedFor::Preserve,
            "remove" => routing::ForwardedFor::Remove,
            _ => routing::ForwardedFor::Append,
        },
        tells_tls: is_on("routing.http.x_amzn_tls_version_and_cipher_suite.enabled"),
        http2: is_on("routing.http2.enabled"),
        cross_zone: is_on("load_balancing.cross_zone.enabled"),
        access_log: log("access_logs"),
        connection_log: log("connection_logs"),
        health_log: log("health_check_logs"),
    }
}

/// AWS: `x_amzn_tls_version` in a key is the header `X-Amzn-Tls-Version`.
fn header_of(name: &str) -> String {
    let capital = |part: &str| {
        let mut letters = part.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    };
    name.split('_').map(capital).collect::<Vec<_>>().join("-")
}

fn headers(set: &Set) -> routing::HeaderRules {
    let mut rules = routing::HeaderRules::default();
    for (key, value) in set.iter().filter(|(_, value)| !value.is_empty()) {
        let part = |start: &str, end: &str| key.strip_prefix(start)?.strip_suffix(end).map(header_of);
        if let Some(name) = part("routing.http.request.", ".header_name") {
            rules.renamed.insert(name, value.clone());
        } else if let Some(name) = part("routing.http.response.", ".header_value") {
            rules.set.insert(name, value.clone());
        }
    }
    rules.hides_server = set.get("routing.http.response.server.enabled").is_some_and(|set| set == "false");
    rules
}

fn make_group(
    records: &Snapshot,
    balancer: &Balancer,
    group: &Group,
    is_cross_zone: bool,
) -> routing::TargetGroup {
    let get = |key| attribute::get(GROUP, &group.attributes, key);
    let count = |key| seconds(get(key).parse().unwrap_or_default());
    let least = |kind: &str, unit: &str| {
        let key = format!("target_group_health.{kind}.minimum_healthy_targets.{unit}");
        attribute::get(GROUP, &group.attributes, &key).parse().ok()
    };
    let zones: BTreeSet<&str> = balancer.nodes.iter().map(|node| &*node.zone).collect();
    let is_usable = |target: &Target| {
        let is_enabled = target.zone.as_deref().is_none_or(|zone| zones.contains(zone));
        // AWS: a balancer's own addresses are none of its targets'.
        is_enabled && balancer.nodes.iter().all(|node| node.address != target.address)
    };
    let targets = records.scan::<Target>(&group.at.targets()).filter(|target| is_usable(target));
    routing::TargetGroup {
        arn: shared(&group.at.arn()),
        id: Arc::from(group.at.to_string()),
        kind: group.kind,
        protocol: group.protocol,
        version: group.version,
        check: check(group),
        algorithm: match get("load_balancing.algorithm.type") {
            "least_outstanding_requests" => routing::Algorithm::LeastOutstanding,
            "weighted_random" => routing::Algorithm::WeightedRandom,
            _ => routing::Algorithm::RoundRobin,
        },
        mitigates_anomalies: get("load_balancing.algorithm.anomaly_mitigation") == "on",
        stickiness: (get("stickiness.enabled") == "true").then(|| match get("stickiness.type") {
            "app_cookie" => routing::Stickiness {
                by: routing::Affinity::Application(get("stickiness.app_cookie.cookie_name").to_owned()),
                lasts_for: count("stickiness.app_cookie.duration_seconds"),
            },
            _ => routing::Stickiness {
                by: routing::Affinity::Balancer,
                lasts_for: count("stickiness.lb_cookie.duration_seconds"),
            },
        }),
        slow_start_for: count("slow_start.duration_seconds"),
        deregistration_delay_for: count("deregistration_delay.timeout_seconds"),
        held_for: Duration::ZERO,
        cross_zone: match get("load_balancing.cross_zone.enabled") {
            "true" => true,
            "false" => false,
            _ => is_cross_zone,
        },
        healthy: routing::MinimumHealthy {
            dns_count: least("dns_failover", "count"),
            dns_percent: least("dns_failover", "percentage"),
            routing_count: least("unhealthy_state_routing", "count"),
            routing_percent: least("unhealthy_state_routing", "percentage"),
        },
        targets: targets
            .map(|target| routing::Target {
                id: Arc::clone(&target.id),
                port: target.port,
                address: target.address,
                zone: target.zone.clone(),
                registered_at: target.registered_at,
                draining_until: target.draining_until,
            })
            .collect(),
    }
}

fn check(group: &Group) -> routing::GroupCheck {
    let check = &group.check;
    routing::GroupCheck {
        protocol: check.protocol,
        port: check.port,
        path: check.path.clone(),
        interval: seconds(check.interval_seconds),
        timeout: seconds(check.timeout_seconds),
        healthy_after: check.healthy_after,
        unhealthy_after: check.unhealthy_after,
        matcher: match group.version {
            Version::Http1 | Version::Http2 => Matcher::http(&check.matcher),
            Version::Grpc => Matcher::grpc(&check.matcher),
        }
        .expect("a group's matcher was read before it was kept"),
    }
}

/// Whether a proxy can act on a rule: its expressions compile, its ranges are some.
pub fn compiles(rule: &Rule) -> bool {
    let made = routing::Listener {
        arn: shared(&rule.at.listener.arn()),
        port: 80,
        protocol: Protocol::Http,
        ssl_policy: None,
        certificates: Vec::new(),
        headers: routing::HeaderRules::default(),
        rules: vec![self::rule(rule)],
        default: self::rule(rule),
    };
    routing::Router::compile(&made).is_ok()
}

/// What was last seen of a target as it is registered now.
pub fn seen_of(records: &Snapshot, target: &Target) -> Option<Arc<Health>> {
    let seen = records.get::<Health>(&target.group.target(&target.id, target.port))?;
    Some(seen).filter(|seen| seen.registered_at == target.registered_at)
}

/// As AWS writes it.
pub fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "HTTP",
        Protocol::Https => "HTTPS",
    }
}
