//! CreateListener, DescribeListeners, ModifyListener, DeleteListener, and certificates.

use aws_elbv2 as aws;
use aws_elbv2::op;

use crate::peers::{CERTIFICATE, OTHER};
use crate::world::{World, fixed, forward, group, listener, refused, strings};

fn certificate(arn: &str) -> Vec<aws::Certificate> {
    vec![aws::Certificate { certificate_arn: Some(arn.into()), is_default: None }]
}

fn secure(balancer: &str, port: i32, group: &str) -> aws::CreateListenerInput {
    aws::CreateListenerInput {
        protocol: Some("HTTPS".into()),
        certificates: Some(certificate(CERTIFICATE)),
        ..listener(balancer, port, group)
    }
}

#[test]
fn listeners_come_with_their_default_action() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    let made = world
        .call::<op::CreateListener>(listener(&balancer, 80, &group))
        .unwrap()
        .listeners
        .unwrap()
        .remove(0);
    let arn = made.listener_arn.clone().unwrap();
    let start = balancer.replace(":loadbalancer/", ":listener/");
    assert!(arn.starts_with(&format!("{start}/")) && arn.len() == start.len() + 17, "{arn}");
    assert_eq!((made.port, made.protocol.as_deref()), (Some(80), Some("HTTP")));
    assert_eq!((&made.ssl_policy, &made.certificates, &made.mutual_authentication), (&None, &None, &None));
    let action = made.default_actions.clone().unwrap().remove(0);
    assert_eq!(action.target_group_arn.as_ref(), Some(&group));
    let config = action.forward_config.unwrap();
    assert_eq!(config.target_groups.unwrap()[0].weight, Some(1));
    assert_eq!(config.target_group_stickiness_config.unwrap().enabled, Some(false));
    let request =
        aws::DescribeListenersInput { load_balancer_arn: Some(balancer.clone()), ..Default::default() };
    let again = world.call::<op::CreateListener>(listener(&balancer, 80, &group)).unwrap();
    assert_eq!(again.listeners.as_deref(), Some(std::slice::from_ref(&made)), "the same settings, the same");
    assert_eq!(world.call::<op::DescribeListeners>(request).unwrap().listeners.unwrap(), [made]);
    let other = world.group("other");
    refused(
        world.call::<op::CreateListener>(listener(&balancer, 80, &other)),
        "DuplicateListener",
        &format!("A listener already exists on this port for this load balancer '{balancer}'"),
    );
}

#[test]
fn bad_requests_are_refused() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    let check = |code: &str, text: &str, change: &dyn Fn(&mut aws::CreateListenerInput)| {
        let mut request = listener(&balancer, 80, &group);
        change(&mut request);
        refused(world.call::<op::CreateListener>(request), code, text);
    };
    check("ValidationError", "not a valid load balancer ARN", &|r| r.load_balancer_arn = "x".into());
    check("ValidationError", "protocol must be specified", &|r| r.protocol = None);
    check("ValidationError", "port must be specified", &|r| r.port = None);
    check("ValidationError", "70000", &|r| r.port = Some(70000));
    check("UnsupportedProtocol", "TCP", &|r| r.protocol = Some("TCP".into()));
    check("ValidationError", "An action must be specified", &|r| r.default_actions.clear());
    check("ValidationError", "certificate must be specified", &|r| r.protocol = Some("HTTPS".into()));
    check("ValidationError", "HTTP listeners", &|r| r.certificates = Some(certificate(CERTIFICATE)));
    check("ValidationError", "HTTP listeners", &|r| r.ssl_policy = Some("ELBSecurityPolicy-2016-08".into()));
    check("ValidationError", "ALPN", &|r| r.alpn_policy = Some(strings(&["HTTP2Only"])));
    let mutual = |mode: &str| {
        Some(aws::MutualAuthenticationAttributes { mode: Some(mode.into()), ..Default::default() })
    };
    check("ValidationError", "HTTP", &|r| r.mutual_authentication = mutual("verify"));
    check("TargetGroupNotFound", "0000", &|r| {
        let mut gone = group.clone();
        gone.replace_range(gone.len() - 4.., "0000");
        r.default_actions = vec![forward(&gone)];
    });
    let https = |code: &str, text: &str, change: &dyn Fn(&mut aws::CreateListenerInput)| {
        check(code, text, &|r| {
            *r = secure(&balancer, 443, &group);
            change(r);
        });
    };
    https("CertificateNotFound", "certificate/none", &|r| {
        r.certificates = Some(certificate("arn:aws:acm:us-east-1:000000000000:certificate/none"));
    });
    https("ValidationError", "Up to '1'", &|r| {
        r.certificates = Some([certificate(CERTIFICATE), certificate(OTHER)].concat());
    });
    https("SSLPolicyNotFound", "'none'", &|r| r.ssl_policy = Some("none".into()));
    https("InvalidConfigurationRequest", "Mode=verify", &|r| r.mutual_authentication = mutual("verify"));
    https("InvalidConfigurationRequest", "MutualAuthentication.TrustStoreArn", &|r| {
        let trust_store_arn =
            Some(String::from("arn:aws:elasticloadbalancing:us-east-1:000000000000:truststore/a/1"));
        r.mutual_authentication = Some(aws::MutualAuthenticationAttributes {
            mode: Some("off".into()),
            trust_store_arn,
            ..Default::default()
        });
    });
    https("ValidationError", "sometimes", &|r| r.mutual_authentication = mutual("sometimes"));
}

#[test]
fn groups_fit_their_listener() {
    let world = World::new();
    let balancer = world.balancer("web");
    let create = |request| {
        world
            .call::<op::CreateTargetGroup>(request)
            .unwrap()
            .target_groups
            .unwrap()
            .remove(0)
            .target_group_arn
            .unwrap()
    };
    let grpc = create(aws::CreateTargetGroupInput { protocol_version: Some("GRPC".into()), ..group("grpc") });
    let other = create(aws::CreateTargetGroupInput { vpc_id: Some("vpc-other".into()), ..group("other") });
    let text =
        "Listener protocol 'HTTP' is not supported with a target group with the protocol-version 'GRPC'";
    refused(
        world.call::<op::CreateListener>(listener(&balancer, 80, &grpc)),
        "InvalidConfigurationRequest",
        text,
    );
    refused(
        world.call::<op::CreateListener>(listener(&balancer, 80, &other)),
        "InvalidConfigurationRequest",
        "vpc-main",
    );
    let made =
        world.call::<op::CreateListener>(secure(&balancer, 443, &grpc)).unwrap().listeners.unwrap().remove(0);
    assert_eq!(made.ssl_policy.as_deref(), Some("ELBSecurityPolicy-2016-08"));
    assert_eq!(made.mutual_authentication.unwrap().mode.as_deref(), Some("off"));
    let request = aws::ModifyListenerInput {
        listener_arn: made.listener_arn.unwrap(),
        protocol: Some("HTTP".into()),
        ..Default::default()
    };
    refused(world.call::<op::ModifyListener>(request), "InvalidConfigurationRequest", text);
}

#[test]
fn listeners_can_be_modified_and_deleted() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    let one = world.listener(&balancer, 80, &group);
    world.listener(&balancer, 81, &group);
    let modify = |change: &dyn Fn(&mut aws::ModifyListenerInput)| {
        let mut request = aws::ModifyListenerInput { listener_arn: one.clone(), ..Default::default() };
        change(&mut request);
        world.call::<op::ModifyListener>(request)
    };
    refused(modify(&|r| r.port = Some(81)), "DuplicateListener", "already exists on this port");
    let changed = modify(&|r| {
        r.port = Some(8443);
        r.protocol = Some("HTTPS".into());
        r.certificates = Some(certificate(CERTIFICATE));
        r.ssl_policy = Some("ELBSecurityPolicy-TLS13-1-2-2021-06".into());
        r.default_actions = Some(vec![fixed("503")]);
    });
    let changed = changed.unwrap().listeners.unwrap().remove(0);
    assert_eq!((changed.port, changed.protocol.as_deref()), (Some(8443), Some("HTTPS")));
    assert_eq!(changed.default_actions.unwrap()[0].r#type, "fixed-response");
    let table = world.table(&balancer);
    let secure = table.listeners.iter().find(|one| one.port == 8443).unwrap();
    assert_eq!(secure.ssl_policy.as_deref(), Some("ELBSecurityPolicy-TLS13-1-2-2021-06"));
    assert_eq!(secure.certificates.iter().map(|arn| arn.to_string()).collect::<Vec<_>>(), [CERTIFICATE]);
    modify(&|r| r.protocol = Some("HTTP".into())).unwrap();
    refused(
        modify(&|r| r.protocol = Some("HTTPS".into())),
        "ValidationError",
        "certificate must be specified",
    );
    world.call::<op::DeleteListener>(aws::DeleteListenerInput { listener_arn: one.clone() }).unwrap();
    refused(
        world.call::<op::DeleteListener>(aws::DeleteListenerInput { listener_arn: one }),
        "ListenerNotFound",
        "not found",
    );
    assert_eq!(world.table(&balancer).listeners.len(), 1);
}

#[test]
fn lists_ask_for_one_thing() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    for port in [82, 80, 81] {
        world.listener(&balancer, port, &group);
    }
    let ports = |request: aws::DescribeListenersInput| {
        world.call::<op::DescribeListeners>(request).map(|answer| {
            let ports = answer.listeners.unwrap().into_iter().filter_map(|one| one.port).collect::<Vec<_>>();
            (ports, answer.next_marker)
        })
    };
    let of = |marker| aws::DescribeListenersInput {
        load_balancer_arn: Some(balancer.clone()),
        page_size: Some(2),
        marker,
        ..Default::default()
    };
    let (first, marker) = ports(of(None)).unwrap();
    assert_eq!(first, [80, 81]);
    assert_eq!(ports(of(marker)).unwrap(), (vec![82], None));
    refused(ports(Default::default()), "ValidationError", "You must specify either");
    let unknown = aws::DescribeListenersInput { listener_arns: Some(strings(&["x"])), ..Default::default() };
    refused(ports(unknown), "ValidationError", "'x' is not a valid listener ARN");
}

#[test]
fn certificates_are_added_and_removed() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    let plain = world.listener(&balancer, 80, &group);
    let made = world
        .call::<op::CreateListener>(secure(&balancer, 443, &group))
        .unwrap()
        .listeners
        .unwrap()
        .remove(0);
    let arn = made.listener_arn.unwrap();
    let add = |listener: &str, certificates| {
        let request = aws::AddListenerCertificatesInput { listener_arn: listener.into(), certificates };
        world.call::<op::AddListenerCertificates>(request)
    };
    let shown = || {
        let request =
            aws::DescribeListenerCertificatesInput { listener_arn: arn.clone(), ..Default::default() };
        let all = world.call::<op::DescribeListenerCertificates>(request).unwrap().certificates.unwrap();
        all.into_iter().map(|one| (one.certificate_arn.unwrap(), one.is_default.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(shown(), [(String::from(CERTIFICATE), true)]);
    add(&arn, certificate(OTHER)).unwrap();
    add(&arn, certificate(OTHER)).unwrap();
    assert_eq!(shown(), [(String::from(CERTIFICATE), true), (String::from(OTHER), false)]);
    assert_eq!(service_elb::users_of_certificate(&world.records(), OTHER), [balancer]);
    refused(add(&plain, certificate(OTHER)), "ValidationError", "HTTP listeners");
    refused(add(&arn, Vec::new()), "ValidationError", "At least one");
    refused(add(&arn, certificate("arn:aws:acm:none")), "CertificateNotFound", "not found");
    let remove = |certificates| {
        let request = aws::RemoveListenerCertificatesInput { listener_arn: arn.clone(), certificates };
        world.call::<op::RemoveListenerCertificates>(request)
    };
    refused(remove(certificate(CERTIFICATE)), "OperationNotPermitted", "Default certificate");
    // The other one as the default: what was the default goes, what was added stays.
    let request = aws::ModifyListenerInput {
        listener_arn: arn.clone(),
        certificates: Some(certificate(OTHER)),
        ..Default::default()
    };
    world.call::<op::ModifyListener>(request).unwrap();
    assert_eq!(shown(), [(String::from(OTHER), true)]);
    add(&arn, certificate(CERTIFICATE)).unwrap();
    remove(certificate(CERTIFICATE)).unwrap();
    remove(certificate(CERTIFICATE)).unwrap();
    assert_eq!(shown().len(), 1);
    assert!(service_elb::users_of_certificate(&world.records(), CERTIFICATE).is_empty());
}

#[test]
fn a_balancer_has_fifty_listeners() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    for port in 1..=50 {
        world.listener(&balancer, port, &group);
    }
    refused(world.call::<op::CreateListener>(listener(&balancer, 51, &group)), "TooManyListeners", "'50'");
}
