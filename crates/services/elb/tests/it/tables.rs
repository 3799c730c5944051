//! The table that a proxy is fed with, and which changes touch it.

use std::time::Duration;

use aws_elbv2 as aws;
use aws_elbv2::op;
use core_routing::{Action, Affinity, Algorithm, Desync, ForwardedFor, Matcher, Scheme};

use crate::world::{World, fixed, forward, path_is, rule};

fn set_balancer(world: &World, arn: &str, pairs: &[(&str, &str)]) {
    let attributes = pairs.iter().map(|(key, value)| aws::LoadBalancerAttribute {
        key: Some(String::from(*key)),
        value: Some(String::from(*value)),
    });
    let request = aws::ModifyLoadBalancerAttributesInput {
        load_balancer_arn: arn.into(),
        attributes: attributes.collect(),
    };
    world.call::<op::ModifyLoadBalancerAttributes>(request).unwrap();
}

#[test]
fn a_table_holds_all_that_a_proxy_needs() {
    let world = World::new();
    let (balancer, main, other) = (world.balancer("web"), world.group("main"), world.group("other"));
    world.group("unused");
    let listener = world.listener(&balancer, 80, &main);
    world.rule(&listener, 20, "/b", fixed("404"));
    world.rule(&listener, 10, "/a", forward(&other));
    world.register(&main, &["172.31.0.9", "172.31.16.9"]);
    let table = world.table(&balancer);
    assert_eq!((&*table.arn, table.scheme), (balancer.as_str(), Scheme::InternetFacing));
    assert_eq!(
        balancer.strip_suffix(&*table.id),
        Some("arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/")
    );
    assert_eq!(
        (table.place.vpc.as_str(), table.place.vpc_cidr.as_str(), table.place.on_host),
        ("vpc-main", "172.31.0.0/16", true)
    );
    assert_eq!(
        table.groups.keys().map(|arn| arn.to_string()).collect::<Vec<_>>(),
        [main.clone(), other.clone()]
    );
    let listener = &table.listeners[0];
    assert_eq!(listener.rules.iter().map(|rule| rule.priority).collect::<Vec<_>>(), [10, 20]);
    assert_eq!(listener.default.priority, 0);
    let Action::Forward { groups, sticky_for } = &listener.default.action else { panic!("{listener:?}") };
    assert_eq!((&*groups[0].group, groups[0].weight, *sticky_for), (main.as_str(), 1, None));
    let group = &table.groups[&*main];
    assert_eq!(group.targets.len(), 2);
    assert_eq!(group.check.matcher, Matcher::Http(vec![(200, 200)]));
    assert_eq!(group.deregistration_delay_for, Duration::from_secs(300));
    assert_eq!((group.healthy.dns_count, group.healthy.routing_count), (Some(1), Some(1)));
    assert_eq!((group.healthy.dns_percent, group.healthy.routing_percent), (None, None));
    assert!(group.cross_zone && group.stickiness.is_none() && group.slow_start_for.is_zero());
}

#[test]
fn attributes_reach_the_table() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    assert_eq!(world.table(&balancer).attributes, core_routing::Attributes::default());
    set_balancer(
        &world,
        &balancer,
        &[
            ("idle_timeout.timeout_seconds", "5"),
            ("client_keep_alive.seconds", "120"),
            ("routing.http.desync_mitigation_mode", "strictest"),
            ("routing.http.drop_invalid_header_fields.enabled", "true"),
            ("routing.http.preserve_host_header.enabled", "true"),
            ("routing.http.xff_client_port.enabled", "true"),
            ("routing.http.xff_header_processing.mode", "remove"),
            ("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "true"),
            ("routing.http2.enabled", "false"),
            ("access_logs.s3.enabled", "true"),
            ("access_logs.s3.bucket", "logs"),
            ("access_logs.s3.prefix", "web"),
            ("connection_logs.s3.enabled", "true"),
            ("connection_logs.s3.bucket", "conns"),
        ],
    );
    let attributes = world.table(&balancer).attributes;
    assert_eq!(attributes.idle_timeout_for, Duration::from_secs(5));
    assert_eq!(attributes.client_keep_alive_for, Duration::from_secs(120));
    assert_eq!((attributes.desync, attributes.forwarded_for), (Desync::Strictest, ForwardedFor::Remove));
    assert!(attributes.drops_invalid_headers && attributes.preserves_host && attributes.forwards_client_port);
    assert!(attributes.tells_tls && !attributes.http2);
    assert_eq!(attributes.access_log.as_deref(), Some("logs/web"));
    assert_eq!((attributes.connection_log.as_deref(), attributes.health_log), (Some("conns"), None));
    world.listener(&balancer, 80, &group);
    for (key, value) in [
        ("load_balancing.algorithm.type", "weighted_random"),
        ("load_balancing.algorithm.anomaly_mitigation", "on"),
        ("load_balancing.cross_zone.enabled", "false"),
        ("stickiness.app_cookie.cookie_name", "SESSION"),
        ("stickiness.type", "app_cookie"),
        ("stickiness.enabled", "true"),
        ("stickiness.app_cookie.duration_seconds", "60"),
        ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "50"),
        ("target_group_health.dns_failover.minimum_healthy_targets.count", "off"),
    ] {
        world.set(&group, key, value).unwrap();
    }
    let table = world.table(&balancer);
    let made = &table.groups[&*group];
    assert_eq!(made.algorithm, Algorithm::WeightedRandom);
    assert!(made.mitigates_anomalies && !made.cross_zone);
    let stickiness = made.stickiness.clone().unwrap();
    assert_eq!(stickiness.by, Affinity::Application("SESSION".into()));
    assert_eq!(stickiness.lasts_for, Duration::from_secs(60));
    assert_eq!((made.healthy.dns_count, made.healthy.routing_percent), (None, Some(50)));
}

#[test]
fn a_change_touches_the_balancers_that_it_concerns() {
    let world = World::new();
    let (one, two) = (world.balancer("one"), world.balancer("two"));
    let (used, idle) = (world.group("used"), world.group("idle"));
    let listener = world.listener(&one, 80, &used);
    let mut watch = world.platform.store().watch();
    let touched = |watch: &mut store::Watch| {
        let mut arns = std::collections::BTreeSet::new();
        while let Some(store::Event::Commit(commit)) = watch.try_next() {
            for change in &commit.changes {
                arns.extend(service_elb::touched(&world.records(), change).iter().map(|arn| arn.to_string()));
            }
        }
        arns.into_iter().collect::<Vec<_>>()
    };
    world.register(&idle, &["172.31.0.9"]);
    assert!(touched(&mut watch).is_empty());
    world.register(&used, &["172.31.0.9"]);
    assert_eq!(touched(&mut watch), std::slice::from_ref(&one));
    let table = world.table(&one);
    let healthy = crate::world::report(&table, &used, "172.31.0.9", core_routing::State::Healthy, None);
    world.take_in(vec![healthy]);
    assert!(touched(&mut watch).is_empty(), "health changes no table");
    world.set(&used, "slow_start.duration_seconds", "30").unwrap();
    assert_eq!(touched(&mut watch), std::slice::from_ref(&one));
    world.call::<op::CreateRule>(rule(&listener, 1, vec![path_is("/x")], forward(&idle))).unwrap();
    assert_eq!(touched(&mut watch), std::slice::from_ref(&one));
    world.register(&idle, &["172.31.0.10"]);
    assert_eq!(touched(&mut watch), [one]);
    world
        .call::<op::DeleteLoadBalancer>(aws::DeleteLoadBalancerInput { load_balancer_arn: two.clone() })
        .unwrap();
    assert_eq!(touched(&mut watch), [two]);
}
