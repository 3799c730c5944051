//! Which of a balancer's nodes its name leads to.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use core_routing::{Balancer, Target, TargetGroup};

/// The nodes of zones with enough healthy targets in every group that has targets.
///
/// AWS: the thresholds are `target_group_health.dns_failover.*`, and where no zone has enough the name
/// leads to all. Where a group's requests cross zones, its targets count in every zone. Targets that
/// drain, or are in a zone without a node, do not count.
pub fn answered(balancer: &Balancer, is_healthy: impl Fn(&TargetGroup, &Target) -> bool) -> Vec<Ipv4Addr> {
    let zones: BTreeSet<&str> = balancer.place.nodes.iter().map(|node| &*node.zone).collect();
    let is_used = |target: &Target| {
        target.draining_until.is_none() && target.zone.as_ref().is_none_or(|zone| zones.contains(&**zone))
    };
    let has_enough = |group: &TargetGroup, zone: &str| {
        let mut used = group.targets.iter().filter(|target| is_used(target)).peekable();
        if used.peek().is_none() {
            return true;
        }
        let is_here =
            |target: &&Target| group.cross_zone || target.zone.as_ref().is_none_or(|own| **own == *zone);
        let (mut total, mut healthy) = (0_u64, 0_u64);
        for target in used.filter(is_here) {
            total += 1;
            healthy += u64::from(is_healthy(group, target));
        }
        let least = group.healthy.dns_count.map_or(0, u64::from);
        let percent = group.healthy.dns_percent.map_or(0, u64::from);
        healthy >= least && healthy * 100 >= percent * total
    };
    let nodes = || balancer.place.nodes.iter();
    let well = nodes().filter(|node| balancer.groups.values().all(|group| has_enough(group, &node.zone)));
    let well: Vec<_> = well.map(|node| node.address).collect();
    if well.is_empty() { nodes().map(|node| node.address).collect() } else { well }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use base::Timestamp;
    use core_routing::{
        Algorithm, GroupCheck, GroupKind, Matcher, MinimumHealthy, Node, Protocol, Target, TargetGroup,
        Version,
    };

    use super::super::tests::balancer;
    use super::*;

    const START: Timestamp = Timestamp::from_millis(0);

    /// Targets by zone (`-`: all zones) and whether they are healthy, which their names say.
    fn group(name: &str, cross_zone: bool, healthy: MinimumHealthy, targets: &[(&str, &str)]) -> TargetGroup {
        let target = |(zone, id): &(&str, &str)| Target {
            id: Arc::from(*id),
            port: 80,
            address: [172, 31, 0, 5].into(),
            zone: (*zone != "-").then(|| Arc::from(*zone)),
            registered_at: START,
            draining_until: (*id == "draining").then_some(START),
        };
        TargetGroup {
            arn: name.into(),
            id: format!("targetgroup/{name}/1").into(),
            kind: GroupKind::Ip,
            protocol: Protocol::Http,
            version: Version::Http1,
            check: GroupCheck {
                protocol: Protocol::Http,
                port: None,
                path: "/".into(),
                interval: Duration::from_secs(30),
                timeout: Duration::from_secs(5),
                healthy_after: 5,
                unhealthy_after: 2,
                matcher: Matcher::Http(vec![(200, 200)]),
            },
            algorithm: Algorithm::RoundRobin,
            mitigates_anomalies: false,
            stickiness: None,
            slow_start_for: Duration::ZERO,
            deregistration_delay_for: Duration::ZERO,
            held_for: Duration::ZERO,
            cross_zone,
            healthy,
            targets: targets.iter().map(target).collect(),
        }
    }

    #[test]
    fn a_name_leads_to_zones_with_enough_healthy_targets() {
        let (a, b) = (Ipv4Addr::new(172, 31, 0, 9), Ipv4Addr::new(172, 31, 16, 9));
        let check = |groups: &[TargetGroup], want: &[Ipv4Addr]| {
            let mut table = balancer("web", &[]);
            table.place.nodes = [("a", a), ("b", b)]
                .map(|(zone, address)| Node {
                    zone: zone.into(),
                    subnet: zone.into(),
                    eni: zone.into(),
                    address,
                })
                .to_vec();
            table.groups = groups.iter().map(|one| (one.arn.clone(), Arc::new(one.clone()))).collect();
            assert_eq!(answered(&table, |_, target| &*target.id == "well"), want, "{groups:?}");
        };
        let least = |count, percent| MinimumHealthy {
            dns_count: count,
            dns_percent: percent,
            ..MinimumHealthy::default()
        };
        let one = least(Some(1), None);
        let apart = |targets| group("one", false, one, targets);
        check(&[], &[a, b]);
        check(&[apart(&[])], &[a, b]);
        check(&[apart(&[("a", "well"), ("b", "ill")])], &[a]);
        check(&[apart(&[("a", "well")])], &[a]);
        check(&[apart(&[("a", "well"), ("-", "well")])], &[a, b]);
        check(&[apart(&[("a", "draining"), ("b", "well")])], &[b]);
        check(&[apart(&[("a", "draining"), ("c", "well")])], &[a, b]);
        // None is well: all are asked.
        check(&[apart(&[("a", "ill"), ("b", "ill")])], &[a, b]);
        // Requests that cross zones find a healthy one from everywhere.
        check(&[group("one", true, one, &[("a", "well"), ("b", "ill")])], &[a, b]);
        // Every group counts.
        let other = group("other", false, one, &[("a", "ill"), ("b", "well")]);
        check(&[apart(&[("a", "well"), ("b", "well")]), other.clone()], &[b]);
        check(&[apart(&[("a", "well")]), other], &[a, b]);
        let targets = &[("a", "well"), ("a", "ill"), ("b", "well"), ("b", "well")];
        check(&[group("one", false, least(Some(2), None), targets)], &[b]);
        check(&[group("one", false, least(None, Some(51)), targets)], &[b]);
        check(&[group("one", false, least(None, Some(50)), targets)], &[a, b]);
        check(&[group("one", false, least(None, None), &[("a", "well"), ("b", "ill")])], &[a, b]);
    }
}
