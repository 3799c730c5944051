//! CreateTargetGroup, DescribeTargetGroups, ModifyTargetGroup, DeleteTargetGroup.

use aws_elbv2 as aws;
use aws_elbv2::op;

use crate::world::{World, fixed, forward, group, refused, strings};

#[test]
fn defaults_are_as_aws_has_them() {
    let world = World::new();
    let create =
        |request| world.call::<op::CreateTargetGroup>(request).unwrap().target_groups.unwrap().remove(0);
    let plain = create(aws::CreateTargetGroupInput { target_type: None, ..group("plain") });
    let arn = plain.target_group_arn.unwrap();
    let id =
        arn.strip_prefix("arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/plain/").unwrap();
    assert!(id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_eq!(plain.target_type.as_deref(), Some("instance"));
    assert_eq!(plain.protocol_version.as_deref(), Some("HTTP1"));
    assert_eq!(plain.health_check_port.as_deref(), Some("traffic-port"));
    assert_eq!(plain.health_check_path.as_deref(), Some("/"));
    assert_eq!(plain.health_check_protocol.as_deref(), Some("HTTP"));
    let numbers = (plain.health_check_interval_seconds, plain.health_check_timeout_seconds);
    assert_eq!(numbers, (Some(30), Some(5)));
    assert_eq!((plain.healthy_threshold_count, plain.unhealthy_threshold_count), (Some(5), Some(2)));
    assert_eq!(plain.matcher.unwrap().http_code.as_deref(), Some("200"));
    assert_eq!(plain.load_balancer_arns, Some(Vec::new()));
    assert_eq!(plain.ip_address_type.as_deref(), Some("ipv4"));
    let grpc = create(aws::CreateTargetGroupInput { protocol_version: Some("GRPC".into()), ..group("grpc") });
    assert_eq!(grpc.health_check_path.as_deref(), Some("/AWS.ALB/healthcheck"));
    let matcher = grpc.matcher.unwrap();
    assert_eq!((matcher.grpc_code.as_deref(), matcher.http_code), (Some("12"), None));
}

#[test]
fn the_same_again_is_the_same_and_another_is_a_duplicate() {
    let world = World::new();
    let arn = world.group("web");
    assert_eq!(world.group("web"), arn);
    let other = aws::CreateTargetGroupInput { port: Some(81), ..group("web") };
    refused(
        world.call::<op::CreateTargetGroup>(other),
        "DuplicateTargetGroupName",
        "A target group with the same name 'web' exists, but with different settings",
    );
}

#[test]
fn bad_requests_are_refused() {
    let world = World::new();
    let check = |code: &str, text: &str, change: &dyn Fn(&mut aws::CreateTargetGroupInput)| {
        let mut request = group("web");
        change(&mut request);
        refused(world.call::<op::CreateTargetGroup>(request), code, text);
    };
    let invalid = |text: &str, change: &dyn Fn(&mut aws::CreateTargetGroupInput)| {
        check("ValidationError", text, change);
    };
    let not_here = |text: &str, change: &dyn Fn(&mut aws::CreateTargetGroupInput)| {
        check("InvalidConfigurationRequest", text, change);
    };
    invalid("cannot be longer", &|r| r.name = "a".repeat(33));
    invalid("hyphens", &|r| r.name = "a-".into());
    invalid("alphanumeric", &|r| r.name = "a.b".into());
    invalid("A protocol must be specified", &|r| r.protocol = None);
    invalid("A port must be specified", &|r| r.port = None);
    invalid("A VPC ID must be specified", &|r| r.vpc_id = None);
    invalid("vpc-none", &|r| r.vpc_id = Some("vpc-none".into()));
    invalid("FTP", &|r| r.protocol = Some("FTP".into()));
    invalid("HTTP3", &|r| r.protocol_version = Some("HTTP3".into()));
    not_here("Protocol=TCP", &|r| r.protocol = Some("TCP".into()));
    not_here("TargetType=lambda", &|r| r.target_type = Some("lambda".into()));
    not_here("TargetType=alb", &|r| r.target_type = Some("alb".into()));
    not_here("IpAddressType=ipv6", &|r| r.ip_address_type = Some("ipv6".into()));
    not_here("TargetControlPort", &|r| r.target_control_port = Some(3000));
    invalid("65536", &|r| r.port = Some(65536));
    invalid("must be true", &|r| r.health_check_enabled = Some(false));
    invalid("must be smaller than the interval '30'", &|r| r.health_check_timeout_seconds = Some(30));
    invalid("timeout '5' must be smaller than the interval '5'", &|r| {
        r.health_check_interval_seconds = Some(5)
    });
    invalid("Interval", &|r| r.health_check_interval_seconds = Some(301));
    invalid("imeout", &|r| r.health_check_timeout_seconds = Some(1));
    invalid("hreshold", &|r| r.healthy_threshold_count = Some(1));
    invalid("hreshold", &|r| r.unhealthy_threshold_count = Some(11));
    invalid("must begin with a '/'", &|r| r.health_check_path = Some("health".into()));
    invalid("traffic-port", &|r| r.health_check_port = Some("0".into()));
    invalid("traffic-port", &|r| r.health_check_port = Some("http".into()));
    invalid("[HTTP, HTTPS]", &|r| r.health_check_protocol = Some("TCP".into()));
    let matcher = |http: Option<&str>, grpc: Option<&str>| {
        Some(aws::Matcher { http_code: http.map(Into::into), grpc_code: grpc.map(Into::into) })
    };
    for codes in ["", "199", "500", "200-", "abc", "200;201", "300-200"] {
        invalid("from 200 to 499", &|r| r.matcher = matcher(Some(codes), None));
    }
    invalid("GrpcCode is not supported", &|r| r.matcher = matcher(None, Some("0")));
    invalid("from 0 to 99", &|r| {
        r.protocol_version = Some("GRPC".into());
        r.matcher = matcher(None, Some("100"));
    });
}

#[test]
fn checks_can_be_modified() {
    let world = World::new();
    let arn = world.group("web");
    let modify = |change: &dyn Fn(&mut aws::ModifyTargetGroupInput)| {
        let mut request = aws::ModifyTargetGroupInput { target_group_arn: arn.clone(), ..Default::default() };
        change(&mut request);
        world.call::<op::ModifyTargetGroup>(request)
    };
    let changed = modify(&|r| {
        r.health_check_path = Some("/up".into());
        r.health_check_port = Some("8080".into());
        r.health_check_interval_seconds = Some(10);
        r.matcher = Some(aws::Matcher { http_code: Some("200-299,401".into()), grpc_code: None });
    });
    let changed = changed.unwrap().target_groups.unwrap().remove(0);
    assert_eq!(changed.health_check_path.as_deref(), Some("/up"));
    assert_eq!(changed.health_check_port.as_deref(), Some("8080"));
    assert_eq!(changed.matcher.unwrap().http_code.as_deref(), Some("200-299,401"));
    refused(
        modify(&|r| r.health_check_timeout_seconds = Some(10)),
        "ValidationError",
        "smaller than the interval '10'",
    );
    refused(
        modify(&|r| r.target_group_arn = "nonsense".into()),
        "ValidationError",
        "not a valid target group ARN",
    );
}

#[test]
fn lists_by_name_balancer_and_arn() {
    let world = World::new();
    let (one, two) = (world.group("one"), world.group("two"));
    let balancer = world.balancer("web");
    world.listener(&balancer, 80, &one);
    let names = |request: aws::DescribeTargetGroupsInput| {
        let found = world.call::<op::DescribeTargetGroups>(request)?.target_groups.unwrap();
        Ok::<_, base::Fault>(
            found.into_iter().filter_map(|group| group.target_group_name).collect::<Vec<_>>(),
        )
    };
    let none = aws::DescribeTargetGroupsInput::default;
    assert_eq!(names(none()).unwrap(), ["one", "two"]);
    let by_balancer = aws::DescribeTargetGroupsInput { load_balancer_arn: Some(balancer.clone()), ..none() };
    assert_eq!(names(by_balancer).unwrap(), ["one"]);
    let by_arn = aws::DescribeTargetGroupsInput { target_group_arns: Some(vec![two.clone()]), ..none() };
    assert_eq!(names(by_arn).unwrap(), ["two"]);
    let by_name = aws::DescribeTargetGroupsInput { names: Some(strings(&["nope"])), ..none() };
    refused(names(by_name), "TargetGroupNotFound", "One or more target groups not found");
    let first = aws::DescribeTargetGroupsInput { page_size: Some(1), ..none() };
    assert_eq!(names(first).unwrap(), ["one"]);
    let request = aws::DescribeTargetGroupsInput { target_group_arns: Some(vec![one]), ..none() };
    let shown = world.call::<op::DescribeTargetGroups>(request).unwrap().target_groups.unwrap().remove(0);
    assert_eq!(shown.load_balancer_arns, Some(vec![balancer]));
}

#[test]
fn a_group_in_use_stays() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    let listener = world.listener(&balancer, 80, &group);
    let delete = || {
        let request = aws::DeleteTargetGroupInput { target_group_arn: group.clone() };
        world.call::<op::DeleteTargetGroup>(request)
    };
    let text = format!("Target group '{group}' is currently in use by a listener or a rule");
    refused(delete(), "ResourceInUse", &text);
    let rule = world.rule(&listener, 1, "/a", forward(&group));
    let request = aws::ModifyListenerInput {
        listener_arn: listener,
        default_actions: Some(vec![fixed("404")]),
        ..Default::default()
    };
    world.call::<op::ModifyListener>(request).unwrap();
    refused(delete(), "ResourceInUse", &text);
    world.call::<op::DeleteRule>(aws::DeleteRuleInput { rule_arn: rule }).unwrap();
    world.register(&group, &["172.31.0.9"]);
    delete().unwrap();
    delete().unwrap();
    world.group("g");
}

#[test]
fn a_group_serves_one_balancer() {
    let world = World::new();
    let (one, two, group) = (world.balancer("one"), world.balancer("two"), world.group("g"));
    world.listener(&one, 80, &group);
    let request = crate::world::listener(&two, 80, &group);
    refused(world.call::<op::CreateListener>(request), "TargetGroupAssociationLimit", &group);
}
