//! Attributes of balancers, groups and listeners.

use aws_elbv2 as aws;
use aws_elbv2::op;
use base::Fault;

use crate::peers::CERTIFICATE;
use crate::world::{World, listener, refused};

fn set_balancer(world: &World, arn: &str, key: &str, value: &str) -> Result<(), Fault> {
    let attribute = aws::LoadBalancerAttribute { key: Some(key.into()), value: Some(value.into()) };
    let request =
        aws::ModifyLoadBalancerAttributesInput { load_balancer_arn: arn.into(), attributes: vec![attribute] };
    world.call::<op::ModifyLoadBalancerAttributes>(request).map(drop)
}

#[test]
fn a_balancers_attributes_take_what_aws_takes() {
    let world = World::new();
    let arn = world.balancer("web");
    let request = aws::DescribeLoadBalancerAttributesInput { load_balancer_arn: arn.clone() };
    let shown = world.call::<op::DescribeLoadBalancerAttributes>(request).unwrap().attributes.unwrap();
    let get = |key: &str| {
        let found = shown.iter().find(|one| one.key.as_deref() == Some(key));
        found.and_then(|one| one.value.clone()).unwrap_or_else(|| panic!("no {key}"))
    };
    for (key, value) in [
        ("idle_timeout.timeout_seconds", "60"),
        ("client_keep_alive.seconds", "3600"),
        ("deletion_protection.enabled", "false"),
        ("load_balancing.cross_zone.enabled", "true"),
        ("routing.http2.enabled", "true"),
        ("routing.http.desync_mitigation_mode", "defensive"),
        ("routing.http.xff_header_processing.mode", "append"),
        ("waf.fail_open.enabled", "false"),
        ("access_logs.s3.bucket", ""),
    ] {
        assert_eq!(get(key), value, "{key}");
    }
    for (key, value, code, text) in [
        ("idle_timeout.timeout_seconds", "0", "ValidationError", "from 1 to 4000"),
        ("idle_timeout.timeout_seconds", "4001", "ValidationError", "from 1 to 4000"),
        ("idle_timeout.timeout_seconds", "+60", "ValidationError", "from 1 to 4000"),
        ("idle_timeout.timeout_seconds", "soon", "ValidationError", "from 1 to 4000"),
        ("client_keep_alive.seconds", "59", "ValidationError", "from 60 to 604800"),
        ("deletion_protection.enabled", "yes", "ValidationError", "'true' or 'false'"),
        ("routing.http.desync_mitigation_mode", "lax", "ValidationError", "monitor, defensive, strictest"),
        ("routing.http.xff_header_processing.mode", "", "ValidationError", "append, preserve, remove"),
        ("nonsense", "1", "ValidationError", "'nonsense' is not recognized"),
        (
            "dns_record.client_routing_policy",
            "x",
            "ValidationError",
            "not supported on load balancers with type",
        ),
        ("waf.fail_open.enabled", "true", "InvalidConfigurationRequest", "waf.fail_open.enabled=true"),
        ("zonal_shift.config.enabled", "true", "InvalidConfigurationRequest", "zonal_shift"),
        ("load_balancing.cross_zone.enabled", "false", "InvalidConfigurationRequest", "Cross-zone"),
        ("access_logs.s3.enabled", "true", "InvalidConfigurationRequest", "access_logs.s3.bucket"),
    ] {
        refused(set_balancer(&world, &arn, key, value), code, text);
    }
    set_balancer(&world, &arn, "waf.fail_open.enabled", "false").unwrap();
    set_balancer(&world, &arn, "idle_timeout.timeout_seconds", "4000").unwrap();
    let empty = aws::ModifyLoadBalancerAttributesInput { load_balancer_arn: arn, attributes: Vec::new() };
    refused(world.call::<op::ModifyLoadBalancerAttributes>(empty), "ValidationError", "At least one");
}

#[test]
fn a_groups_attributes_take_what_aws_takes() {
    let world = World::new();
    let arn = world.group("g");
    for (key, value, code, text) in [
        ("deregistration_delay.timeout_seconds", "3601", "ValidationError", "from 0 to 3600"),
        ("slow_start.duration_seconds", "29", "ValidationError", "0, or a number from 30 to 900"),
        ("stickiness.type", "source_ip", "ValidationError", "lb_cookie, app_cookie"),
        ("stickiness.lb_cookie.duration_seconds", "0", "ValidationError", "from 1 to 604800"),
        ("stickiness.app_cookie.cookie_name", "AWSALBX", "ValidationError", "AWSALB"),
        ("stickiness.app_cookie.cookie_name", "a b", "ValidationError", "not valid"),
        ("load_balancing.algorithm.type", "random", "ValidationError", "round_robin"),
        (
            "load_balancing.algorithm.anomaly_mitigation",
            "on",
            "InvalidConfigurationRequest",
            "weighted_random",
        ),
        ("load_balancing.cross_zone.enabled", "maybe", "ValidationError", "use_load_balancer_configuration"),
        ("target_group_health.dns_failover.minimum_healthy_targets.count", "0", "ValidationError", "'off'"),
        (
            "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count",
            "off",
            "ValidationError",
            "number from 1",
        ),
        ("proxy_protocol_v2.enabled", "true", "InvalidConfigurationRequest", "not supported"),
        ("nonsense", "1", "ValidationError", "not recognized"),
    ] {
        refused(world.set(&arn, key, value), code, text);
    }
    world.set(&arn, "slow_start.duration_seconds", "30").unwrap();
    let answer = world.set(&arn, "load_balancing.algorithm.type", "least_outstanding_requests");
    refused(answer, "InvalidConfigurationRequest", "Slow start");
    world.set(&arn, "slow_start.duration_seconds", "0").unwrap();
    world.set(&arn, "load_balancing.algorithm.type", "least_outstanding_requests").unwrap();
    let request = aws::DescribeTargetGroupAttributesInput { target_group_arn: arn.clone() };
    let shown = world.call::<op::DescribeTargetGroupAttributes>(request).unwrap().attributes.unwrap();
    assert_eq!(shown.len(), 14);
    world.set(&arn, "stickiness.type", "app_cookie").unwrap();
    refused(world.set(&arn, "stickiness.enabled", "true"), "InvalidConfigurationRequest", "cookie_name");
    let twice = |key: &str| aws::TargetGroupAttribute { key: Some(key.into()), value: Some("1".into()) };
    let key = "deregistration_delay.timeout_seconds";
    let request = aws::ModifyTargetGroupAttributesInput {
        target_group_arn: arn,
        attributes: vec![twice(key), twice(key)],
    };
    refused(world.call::<op::ModifyTargetGroupAttributes>(request), "ValidationError", "more than once");
}

#[test]
fn a_listeners_attributes_are_headers() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    let plain = world.listener(&balancer, 80, &group);
    let request = aws::CreateListenerInput {
        protocol: Some("HTTPS".into()),
        certificates: Some(vec![aws::Certificate {
            certificate_arn: Some(CERTIFICATE.into()),
            is_default: None,
        }]),
        ..listener(&balancer, 443, &group)
    };
    let secure =
        world.call::<op::CreateListener>(request).unwrap().listeners.unwrap().remove(0).listener_arn.unwrap();
    let set = |arn: &str, key: &str, value: &str| {
        let attribute = aws::ListenerAttribute { key: Some(key.into()), value: Some(value.into()) };
        let request =
            aws::ModifyListenerAttributesInput { listener_arn: arn.into(), attributes: vec![attribute] };
        world.call::<op::ModifyListenerAttributes>(request)
    };
    let tls = "routing.http.request.x_amzn_tls_version.header_name";
    let hsts = "routing.http.response.strict_transport_security.header_value";
    refused(set(&plain, tls, "X-Tls"), "ValidationError", "not supported with this configuration");
    refused(set(&secure, tls, "X Tls"), "ValidationError", "header name");
    refused(set(&plain, hsts, "a\nb"), "ValidationError", "printable");
    refused(set(&plain, "tcp.idle_timeout.seconds", "60"), "ValidationError", "not supported");
    refused(set(&plain, "nonsense", "60"), "ValidationError", "not recognized");
    let options = "routing.http.response.x_content_type_options.header_value";
    refused(set(&plain, options, "sniff"), "ValidationError", "nosniff");
    set(&secure, tls, "X-Tls").unwrap();
    set(&plain, hsts, "max-age=1").unwrap();
    set(&plain, "routing.http.response.server.enabled", "false").unwrap();
    let table = world.table(&balancer);
    let headers = |port: u16| table.listeners.iter().find(|one| one.port == port).unwrap().headers.clone();
    assert_eq!(headers(443).renamed["X-Amzn-Tls-Version"], "X-Tls");
    assert_eq!(headers(80).set["Strict-Transport-Security"], "max-age=1");
    assert!(headers(80).hides_server && !headers(443).hides_server);
    let count = |arn: &str| {
        let request = aws::DescribeListenerAttributesInput { listener_arn: arn.into() };
        world.call::<op::DescribeListenerAttributes>(request).unwrap().attributes.unwrap().len()
    };
    assert_eq!((count(&plain), count(&secure)), (11, 19));
    set(&plain, hsts, "").unwrap();
    assert!(!world.table(&balancer).listeners[0].headers.set.contains_key("Strict-Transport-Security"));
}
