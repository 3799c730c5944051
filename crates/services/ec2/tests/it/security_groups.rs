//! Security groups: names, rules, what stands on them, and what is published of them.

use aws_ec2::*;

use crate::{Bench, filter, refusal};

fn create(bench: &Bench, name: &str) -> String {
    let request = named(name, "d");
    bench.ask::<op::CreateSecurityGroup>(request).unwrap().group_id.unwrap()
}

fn named(name: &str, description: &str) -> CreateSecurityGroupRequest {
    CreateSecurityGroupRequest {
        group_name: name.into(),
        description: description.into(),
        ..Default::default()
    }
}

fn group(bench: &Bench, id: &str) -> SecurityGroup {
    let request = DescribeSecurityGroupsRequest { group_ids: Some(vec![id.into()]), ..Default::default() };
    bench.ask::<op::DescribeSecurityGroups>(request).unwrap().security_groups.unwrap().remove(0)
}

fn default_group(bench: &Bench) -> String {
    let filters = Some(vec![filter("group-name", &["default"])]);
    let request = DescribeSecurityGroupsRequest { filters, ..Default::default() };
    let found = bench.ask::<op::DescribeSecurityGroups>(request).unwrap().security_groups.unwrap();
    found[0].group_id.clone().unwrap()
}

fn tcp(port: i32, cidr: &str) -> IpPermission {
    IpPermission {
        ip_protocol: Some("tcp".into()),
        from_port: Some(port),
        to_port: Some(port),
        ip_ranges: Some(vec![IpRange { cidr_ip: Some(cidr.into()), description: None }]),
        ..Default::default()
    }
}

fn from_group(port: i32, group: &str) -> IpPermission {
    let pair = UserIdGroupPair { group_id: Some(group.into()), ..Default::default() };
    IpPermission { ip_ranges: None, user_id_group_pairs: Some(vec![pair]), ..tcp(port, "") }
}

fn ingress(group: &str, permissions: Vec<IpPermission>) -> AuthorizeSecurityGroupIngressRequest {
    AuthorizeSecurityGroupIngressRequest {
        group_id: Some(group.into()),
        ip_permissions: Some(permissions),
        ..Default::default()
    }
}

fn allow(bench: &Bench, group: &str, permissions: Vec<IpPermission>) -> Vec<SecurityGroupRule> {
    let answer = bench.ask::<op::AuthorizeSecurityGroupIngress>(ingress(group, permissions)).unwrap();
    answer.security_group_rules.unwrap()
}

fn revoke(group: &str, permissions: Vec<IpPermission>) -> RevokeSecurityGroupIngressRequest {
    RevokeSecurityGroupIngressRequest {
        group_id: Some(group.into()),
        ip_permissions: Some(permissions),
        ..Default::default()
    }
}

fn delete(group: &str) -> DeleteSecurityGroupRequest {
    DeleteSecurityGroupRequest { group_id: Some(group.into()), ..Default::default() }
}

#[test]
fn a_group_begins_with_a_way_out_and_can_be_found() {
    let bench = Bench::new();
    let id = create(&bench, "web");
    let shown = group(&bench, &id);
    assert!(id.starts_with("sg-") && id.len() == 20, "{id}");
    assert_eq!(
        shown.security_group_arn,
        Some(format!("arn:aws:ec2:us-east-1:000000000000:security-group/{id}"))
    );
    assert_eq!(shown.ip_permissions, Some(vec![]));
    let out = &shown.ip_permissions_egress.unwrap()[0];
    assert_eq!((out.ip_protocol.as_deref(), out.from_port), (Some("-1"), None));
    assert_eq!(out.ip_ranges.as_ref().unwrap()[0].cidr_ip.as_deref(), Some("0.0.0.0/0"));
    let names = DescribeSecurityGroupsRequest { group_names: Some(vec!["web".into()]), ..Default::default() };
    let found = bench.ask::<op::DescribeSecurityGroups>(names).unwrap().security_groups.unwrap();
    assert_eq!((found.len(), found[0].group_id.clone()), (1, Some(id.clone())));
    bench.ask::<op::DeleteSecurityGroup>(delete(&id)).unwrap();
    assert_eq!(refusal(bench.ask::<op::DeleteSecurityGroup>(delete(&id))).0, "InvalidGroup.NotFound");
}

#[test]
fn names_and_descriptions_are_checked() {
    let bench = Bench::new();
    create(&bench, "web");
    let long = "a".repeat(256);
    for (name, description, code) in [
        ("web", "d", "InvalidGroup.Duplicate"),
        ("default", "d", "InvalidParameterValue"),
        ("sg-web", "d", "InvalidParameterValue"),
        ("", "d", "MissingParameter"),
        ("api", "", "MissingParameter"),
        ("Büro", "d", "InvalidParameterValue"),
        ("api", "<b>", "InvalidParameterValue"),
        (&long, "d", "InvalidParameterValue"),
        ("api", &long, "InvalidParameterValue"),
    ] {
        let (found, text) = refusal(bench.ask::<op::CreateSecurityGroup>(named(name, description)));
        assert_eq!(found, code, "{name} {description}: {text}");
    }
    let request = CreateSecurityGroupRequest { vpc_id: Some("vpc-1".into()), ..named("api", "d") };
    assert_eq!(refusal(bench.ask::<op::CreateSecurityGroup>(request)).0, "InvalidVpcID.NotFound");
    let request = CreateSecurityGroupRequest { dry_run: Some(true), ..named("api", "d") };
    assert_eq!(refusal(bench.ask::<op::CreateSecurityGroup>(request)).0, "DryRunOperation");
}

#[test]
fn rules_have_ids_and_are_shown_by_their_traffic() {
    let bench = Bench::new();
    let (web, lb) = (create(&bench, "web"), create(&bench, "lb"));
    let mut two = tcp(80, "10.0.0.5/8");
    two.ip_ranges
        .as_mut()
        .unwrap()
        .push(IpRange { cidr_ip: Some("192.168.0.0/16".into()), description: Some("office".into()) });
    let made = allow(&bench, &web, vec![two, from_group(80, &lb), tcp(443, "0.0.0.0/0")]);
    assert_eq!(made.len(), 4);
    assert!(made.iter().all(|rule| rule.security_group_rule_id.as_ref().unwrap().starts_with("sgr-")));
    assert_eq!(made[0].cidr_ipv4.as_deref(), Some("10.0.0.0/8"), "bits after the prefix are cleared");
    let shown = group(&bench, &web).ip_permissions.unwrap();
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0].ip_ranges.as_ref().unwrap().len(), 2);
    assert_eq!(shown[0].user_id_group_pairs.as_ref().unwrap()[0].group_id.as_ref(), Some(&lb));

    let request = DescribeSecurityGroupRulesRequest {
        filters: Some(vec![filter("group-id", &[&web])]),
        ..Default::default()
    };
    let rules = bench.ask::<op::DescribeSecurityGroupRules>(request).unwrap().security_group_rules.unwrap();
    assert_eq!(rules.len(), 5, "and the way out");
    for (name, value, count) in [
        ("ip-permission.cidr", "10.0.0.0/8", 1),
        ("ip-permission.to-port", "443", 1),
        ("ip-permission.group-id", lb.as_str(), 1),
        ("ip-permission.group-name", "lb", 1),
        ("egress.ip-permission.protocol", "-1", 3),
        ("egress.ip-permission.cidr", "10.*", 0),
    ] {
        let filters = Some(vec![filter(name, &[value])]);
        let request = DescribeSecurityGroupsRequest { filters, ..Default::default() };
        let found = bench.ask::<op::DescribeSecurityGroups>(request).unwrap().security_groups.unwrap();
        assert_eq!(found.len(), count, "{name} {value}");
    }
}

#[test]
fn bad_permissions_are_refused_and_leave_nothing() {
    let bench = Bench::new();
    let web = create(&bench, "web");
    allow(&bench, &web, vec![tcp(22, "10.0.0.0/8")]);
    let with = |change: fn(&mut IpPermission)| {
        let mut permission = tcp(80, "10.0.0.0/8");
        change(&mut permission);
        vec![permission]
    };
    let duplicate =
        "the specified rule \"peer: 10.0.0.0/8, TCP, from port: 22, to port: 22, ALLOW\" already exists";
    for (permissions, code, text) in [
        (vec![tcp(80, "1.2.3.4/32"), tcp(22, "10.0.0.9/8")], "InvalidPermission.Duplicate", duplicate),
        (
            vec![tcp(80, "1.2.3.4/32"), tcp(80, "1.2.3.4/32")],
            "InvalidParameterValue",
            "The same permission must not appear multiple times",
        ),
        (vec![tcp(80, "1.2.3.4")], "InvalidParameterValue", "CIDR block 1.2.3.4 is malformed"),
        (vec![tcp(80, "1.2.3.4/33")], "InvalidParameterValue", "CIDR block 1.2.3.4/33 is malformed"),
        (
            with(|one| one.ip_ranges = None),
            "MissingParameter",
            "Missing source specification: include source security group or CIDR information",
        ),
        (vec![from_group(80, "sg-1")], "InvalidGroup.NotFound", "The security group 'sg-1' does not exist"),
        (
            with(|one| one.ip_protocol = Some("web".into())),
            "InvalidParameterValue",
            "Invalid value 'web' for IP protocol. Unknown protocol.",
        ),
        (
            with(|one| {
                one.ipv6_ranges = Some(vec![Ipv6Range { cidr_ipv6: Some("::/0".into()), description: None }])
            }),
            "UnsupportedOperation",
            "Boxship does not support 'IpPermissions.Ipv6Ranges' of Amazon EC2 yet.",
        ),
        (
            with(|one| {
                one.prefix_list_ids =
                    Some(vec![PrefixListId { prefix_list_id: Some("pl-1".into()), description: None }])
            }),
            "UnsupportedOperation",
            "Boxship does not support 'IpPermissions.PrefixListIds' of Amazon EC2 yet.",
        ),
    ] {
        let answer = bench.ask::<op::AuthorizeSecurityGroupIngress>(ingress(&web, permissions));
        assert_eq!(refusal(answer), (code.into(), text.into()));
    }
    assert_eq!(group(&bench, &web).ip_permissions.unwrap().len(), 1);
    let answer = bench.ask::<op::AuthorizeSecurityGroupIngress>(ingress(&web, vec![]));
    assert_eq!(refusal(answer).0, "MissingParameter");
    let mut both = ingress(&web, vec![tcp(80, "10.0.0.0/8")]);
    both.cidr_ip = Some("10.0.0.0/8".into());
    assert_eq!(
        refusal(bench.ask::<op::AuthorizeSecurityGroupIngress>(both)).0,
        "InvalidParameterCombination"
    );
    let many = (100..=160).map(|port| tcp(port, "10.0.0.0/8")).collect();
    let answer = bench.ask::<op::AuthorizeSecurityGroupIngress>(ingress(&web, many));
    assert_eq!(refusal(answer).0, "RulesPerSecurityGroupLimitExceeded");
}

#[test]
fn the_short_form_means_the_same() {
    let bench = Bench::new();
    let web = create(&bench, "web");
    let request = AuthorizeSecurityGroupIngressRequest {
        group_name: Some("web".into()),
        ip_protocol: Some("TCP".into()),
        from_port: Some(22),
        to_port: Some(22),
        cidr_ip: Some("0.0.0.0/0".into()),
        ..Default::default()
    };
    bench.ask::<op::AuthorizeSecurityGroupIngress>(request).unwrap();
    let from_default = AuthorizeSecurityGroupIngressRequest {
        group_id: Some(web.clone()),
        source_security_group_name: Some("default".into()),
        ..Default::default()
    };
    let answer = bench.ask::<op::AuthorizeSecurityGroupIngress>(from_default).unwrap();
    assert_eq!(answer.security_group_rules.unwrap().len(), 3, "TCP, UDP and ICMP");
    let shown = group(&bench, &web).ip_permissions.unwrap();
    let protocols: Vec<_> = shown.iter().map(|one| one.ip_protocol.clone().unwrap()).collect();
    assert_eq!(protocols, ["tcp", "tcp", "udp", "icmp"]);
    let egress = AuthorizeSecurityGroupEgressRequest {
        group_id: web,
        cidr_ip: Some("0.0.0.0/0".into()),
        ..Default::default()
    };
    let (code, text) = refusal(bench.ask::<op::AuthorizeSecurityGroupEgress>(egress));
    assert_eq!((code.as_str(), text.contains("CidrIp")), ("UnsupportedOperation", true));
}

#[test]
fn rules_go_by_permission_and_by_id() {
    let bench = Bench::new();
    let web = create(&bench, "web");
    let made =
        allow(&bench, &web, vec![tcp(80, "10.0.0.0/8"), tcp(443, "10.0.0.0/8"), tcp(22, "10.0.0.0/8")]);
    let answer = bench
        .ask::<op::RevokeSecurityGroupIngress>(revoke(
            &web,
            vec![tcp(80, "10.0.0.0/8"), tcp(81, "0.0.0.0/0")],
        ))
        .unwrap();
    // In a default VPC what is not there is told, not refused.
    assert_eq!(answer.unknown_ip_permissions.unwrap(), vec![tcp(81, "0.0.0.0/0")]);
    assert_eq!(answer.revoked_security_group_rules.unwrap().len(), 1);
    let id = made[1].security_group_rule_id.clone().unwrap();
    let by_id = RevokeSecurityGroupIngressRequest {
        group_id: Some(web.clone()),
        security_group_rule_ids: Some(vec![id.clone()]),
        ..Default::default()
    };
    bench.ask::<op::RevokeSecurityGroupIngress>(by_id.clone()).unwrap();
    let (code, text) = refusal(bench.ask::<op::RevokeSecurityGroupIngress>(by_id.clone()));
    assert_eq!(
        (code, text),
        (
            "InvalidSecurityGroupRuleId.NotFound".into(),
            format!("The security group rule ID '{id}' does not exist")
        )
    );
    let both =
        RevokeSecurityGroupIngressRequest { ip_permissions: Some(vec![tcp(1, "10.0.0.0/8")]), ..by_id };
    assert_eq!(refusal(bench.ask::<op::RevokeSecurityGroupIngress>(both)).0, "InvalidParameterCombination");
    let neither = RevokeSecurityGroupIngressRequest { group_id: Some(web.clone()), ..Default::default() };
    assert_eq!(refusal(bench.ask::<op::RevokeSecurityGroupIngress>(neither)).0, "MissingParameter");
    assert_eq!(
        group(&bench, &web).ip_permissions.unwrap(),
        vec![IpPermission {
            user_id_group_pairs: Some(vec![]),
            ipv6_ranges: Some(vec![]),
            prefix_list_ids: Some(vec![]),
            ..tcp(22, "10.0.0.0/8")
        }]
    );
    let out = RevokeSecurityGroupEgressRequest {
        group_id: web.clone(),
        ip_permissions: Some(vec![IpPermission {
            ip_protocol: Some("-1".into()),
            ip_ranges: Some(vec![IpRange { cidr_ip: Some("0.0.0.0/0".into()), description: None }]),
            ..Default::default()
        }]),
        ..Default::default()
    };
    bench.ask::<op::RevokeSecurityGroupEgress>(out).unwrap();
    assert_eq!(group(&bench, &web).ip_permissions_egress, Some(vec![]));
}

#[test]
fn rules_and_their_descriptions_change() {
    let bench = Bench::new();
    let web = create(&bench, "web");
    let made = allow(&bench, &web, vec![tcp(80, "10.0.0.0/8"), tcp(81, "10.0.0.0/8")]);
    let id = made[0].security_group_rule_id.clone().unwrap();
    let to = |port: i32| ModifySecurityGroupRulesRequest {
        group_id: web.clone(),
        security_group_rules: vec![SecurityGroupRuleUpdate {
            security_group_rule_id: id.clone(),
            security_group_rule: Some(SecurityGroupRuleRequest {
                ip_protocol: Some("tcp".into()),
                from_port: Some(port),
                to_port: Some(port),
                cidr_ipv4: Some("192.168.0.0/16".into()),
                description: Some("new".into()),
                ..Default::default()
            }),
        }],
        ..Default::default()
    };
    bench.ask::<op::ModifySecurityGroupRules>(to(8080)).unwrap();
    let rule = |id: &str| {
        let ids = Some(vec![id.to_owned()]);
        let request =
            DescribeSecurityGroupRulesRequest { security_group_rule_ids: ids, ..Default::default() };
        let found = bench.ask::<op::DescribeSecurityGroupRules>(request).unwrap();
        found.security_group_rules.unwrap().remove(0)
    };
    let shown = rule(&id);
    assert_eq!((shown.from_port, shown.cidr_ipv4.as_deref()), (Some(8080), Some("192.168.0.0/16")));
    assert_eq!(shown.description.as_deref(), Some("new"));
    let mut two = to(1);
    two.security_group_rules[0].security_group_rule.as_mut().unwrap().referenced_group_id = Some(web.clone());
    assert_eq!(refusal(bench.ask::<op::ModifySecurityGroupRules>(two)).0, "InvalidParameterCombination");
    let mut missing = to(1);
    missing.security_group_rules[0].security_group_rule_id = "sgr-1".into();
    assert_eq!(
        refusal(bench.ask::<op::ModifySecurityGroupRules>(missing)).0,
        "InvalidSecurityGroupRuleId.NotFound"
    );
    let second = made[1].security_group_rule_id.clone().unwrap();
    let describe = |text: &str| {
        let mut permission = tcp(81, "10.0.0.0/8");
        permission.ip_ranges.as_mut().unwrap()[0].description = Some(text.into());
        UpdateSecurityGroupRuleDescriptionsIngressRequest {
            group_id: Some(web.clone()),
            ip_permissions: Some(vec![permission]),
            ..Default::default()
        }
    };
    bench.ask::<op::UpdateSecurityGroupRuleDescriptionsIngress>(describe("office")).unwrap();
    assert_eq!(rule(&second).description.as_deref(), Some("office"));
    let bad = bench.ask::<op::UpdateSecurityGroupRuleDescriptionsIngress>(describe("<b>"));
    assert_eq!(refusal(bad).0, "InvalidParameterValue");
    let by_id = UpdateSecurityGroupRuleDescriptionsIngressRequest {
        group_id: Some(web.clone()),
        security_group_rule_descriptions: Some(vec![SecurityGroupRuleDescription {
            security_group_rule_id: Some(second.clone()),
            description: Some("home".into()),
        }]),
        ..Default::default()
    };
    bench.ask::<op::UpdateSecurityGroupRuleDescriptionsIngress>(by_id).unwrap();
    assert_eq!(rule(&second).description.as_deref(), Some("home"));
}

#[test]
fn what_something_stands_on_stays() {
    let bench = Bench::new();
    let (web, lb) = (create(&bench, "web"), create(&bench, "lb"));
    allow(&bench, &web, vec![from_group(80, &lb), from_group(80, &web)]);
    let (code, text) = refusal(bench.ask::<op::DeleteSecurityGroup>(delete(&lb)));
    assert_eq!(
        (code.as_str(), text),
        ("DependencyViolation", format!("resource {lb} has a dependent object"))
    );
    bench.ask::<op::RevokeSecurityGroupIngress>(revoke(&web, vec![from_group(80, &lb)])).unwrap();
    bench.ask::<op::DeleteSecurityGroup>(delete(&lb)).unwrap();
    // Its own rule does not keep it, an interface does.
    let subnets = bench.ask::<op::DescribeSubnets>(DescribeSubnetsRequest::default()).unwrap();
    let subnet_id = subnets.subnets.unwrap()[0].subnet_id.clone().unwrap();
    let groups = Some(vec![web.clone()]);
    let request = CreateNetworkInterfaceRequest { subnet_id, groups, ..Default::default() };
    let made = bench.ask::<op::CreateNetworkInterface>(request).unwrap().network_interface.unwrap();
    assert_eq!(made.groups.unwrap()[0].group_name.as_deref(), Some("web"));
    assert_eq!(refusal(bench.ask::<op::DeleteSecurityGroup>(delete(&web))).0, "DependencyViolation");
    let request = DeleteNetworkInterfaceRequest {
        network_interface_id: made.network_interface_id.unwrap(),
        dry_run: None,
    };
    bench.ask::<op::DeleteNetworkInterface>(request).unwrap();
    bench.ask::<op::DeleteSecurityGroup>(delete(&web)).unwrap();
    let default = default_group(&bench);
    let (code, text) = refusal(bench.ask::<op::DeleteSecurityGroup>(delete(&default)));
    assert_eq!(
        (code.as_str(), text),
        (
            "CannotDelete",
            format!("the specified group: \"{default}\" name: \"default\" cannot be deleted by a user")
        )
    );
}

#[test]
fn rules_of_the_default_group_change_under_its_id() {
    let bench = Bench::new();
    let default = default_group(&bench);
    allow(&bench, &default, vec![tcp(80, "0.0.0.0/0")]);
    assert_eq!(default_group(&bench), default);
    assert_eq!(group(&bench, &default).ip_permissions.unwrap().len(), 2);
    let all = bench.ask::<op::DescribeSecurityGroups>(DescribeSecurityGroupsRequest::default()).unwrap();
    assert_eq!(all.security_groups.unwrap().len(), 1);
}

#[test]
fn filters_of_packets_see_groups_and_members() {
    use core_security::{Peer, Traffic};
    let bench = Bench::new();
    assert_eq!(service_ec2::security(&bench.platform.store().snapshot()), []);
    let mut watch = bench.platform.store().watch();
    let web = create(&bench, "web");
    allow(&bench, &web, vec![tcp(80, "10.0.0.0/8"), from_group(443, &default_group(&bench))]);
    let subnets = bench.ask::<op::DescribeSubnets>(DescribeSubnetsRequest::default()).unwrap();
    let subnet_id = subnets.subnets.unwrap()[0].subnet_id.clone().unwrap();
    let groups = Some(vec![web.clone()]);
    let request = CreateNetworkInterfaceRequest { subnet_id, groups, ..Default::default() };
    let made = bench.ask::<op::CreateNetworkInterface>(request).unwrap().network_interface.unwrap();

    let all = service_ec2::security(&bench.platform.store().snapshot());
    let [vpc] = &all[..] else { panic!("{all:?}") };
    assert_eq!((vpc.account.as_str(), vpc.region.as_str()), ("000000000000", "us-east-1"));
    assert_eq!(Some(&vpc.vpc), made.vpc_id.as_ref());
    assert_eq!(vpc.groups.len(), 2, "the default one as well: rules may name it");
    let ours = vpc.groups.iter().find(|group| group.id == web).unwrap();
    assert_eq!(ours.ingress.len(), 2);
    assert_eq!(ours.ingress[0].traffic, Traffic::Tcp(80, 80));
    assert_eq!(ours.ingress[1].peer, Peer::Group(default_group(&bench)));
    assert_eq!(ours.egress[0].traffic, Traffic::All);
    let member = &vpc.members[0];
    assert_eq!(Some(member.address.to_string()), made.private_ip_address);
    assert_eq!(member.groups, [web]);
    let mut touched = 0;
    while let Some(event) = watch.try_next() {
        let store::Event::Commit(commit) = event else { continue };
        for change in &commit.changes {
            let keys = service_ec2::touched(change);
            assert_eq!(keys.iter().map(|key| &key.vpc).collect::<Vec<_>>(), [&vpc.vpc], "{}", change.kind);
            touched += 1;
        }
    }
    assert_eq!(touched, 3);
}
