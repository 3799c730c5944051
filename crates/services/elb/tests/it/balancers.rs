//! CreateLoadBalancer, DescribeLoadBalancers, DeleteLoadBalancer, SetSubnets, SetSecurityGroups,
//! SetIpAddressType.

use aws_elbv2 as aws;
use aws_elbv2::op;
use store::Key;

use crate::peers::Made;
use crate::world::{World, balancer, refused, strings};

fn describe(world: &World, names: &[&str]) -> Vec<aws::LoadBalancer> {
    let names = Some(strings(names)).filter(|names| !names.is_empty());
    let request = aws::DescribeLoadBalancersInput { names, ..Default::default() };
    world.call::<op::DescribeLoadBalancers>(request).unwrap().load_balancers.unwrap()
}

fn interfaces(world: &World) -> Vec<Made> {
    world.records().scan::<Made>(&Key::all()).map(|made| (*made).clone()).collect()
}

#[test]
fn a_balancer_is_provisioned_then_active() {
    let world = World::new();
    let made =
        world.call::<op::CreateLoadBalancer>(balancer("web")).unwrap().load_balancers.unwrap().remove(0);
    assert_eq!(made.state.unwrap().code.as_deref(), Some("provisioning"));
    let arn = made.load_balancer_arn.unwrap();
    let id = arn
        .strip_prefix("arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/")
        .unwrap();
    assert!(id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    world.settle();
    let shown = describe(&world, &["web"]).remove(0);
    assert_eq!(shown.state.unwrap().code.as_deref(), Some("active"));
    let name = shown.dns_name.unwrap();
    let number = name.strip_prefix("web-").unwrap().strip_suffix(".us-east-1.elb.localhost").unwrap();
    assert!(number.parse::<u64>().is_ok(), "{name}");
    assert_eq!(shown.scheme.as_deref(), Some("internet-facing"));
    assert_eq!(shown.canonical_hosted_zone_id.as_deref(), Some("Z35SXDOTRQ7X7K"));
    assert_eq!(shown.vpc_id.as_deref(), Some("vpc-main"));
    assert_eq!(shown.security_groups, Some(strings(&["sg-main"])));
    let zones: Vec<_> =
        shown.availability_zones.unwrap().into_iter().filter_map(|zone| zone.zone_name).collect();
    assert_eq!(zones, ["us-east-1a", "us-east-1b"]);
    let made = interfaces(&world);
    assert_eq!(made.len(), 2);
    assert!(made.iter().all(|one| one.owner.contains("elasticloadbalancing.amazonaws.com")), "{made:?}");
}

#[test]
fn the_same_again_is_the_same_and_another_is_a_duplicate() {
    let world = World::new();
    let arn = world.balancer("web");
    let again =
        world.call::<op::CreateLoadBalancer>(balancer("web")).unwrap().load_balancers.unwrap().remove(0);
    assert_eq!(again.load_balancer_arn.unwrap(), arn);
    let internal = aws::CreateLoadBalancerInput { scheme: Some("internal".into()), ..balancer("web") };
    refused(
        world.call::<op::CreateLoadBalancer>(internal),
        "DuplicateLoadBalancerName",
        "A load balancer with the same name 'web' exists, but with different settings",
    );
    let elsewhere =
        aws::CreateLoadBalancerInput { subnets: Some(strings(&["subnet-a", "subnet-c"])), ..balancer("web") };
    refused(world.call::<op::CreateLoadBalancer>(elsewhere), "DuplicateLoadBalancerName", "'web'");
    assert_eq!(interfaces(&world).len(), 2);
}

#[test]
fn bad_requests_are_refused() {
    let world = World::new();
    let with = |change: &dyn Fn(&mut aws::CreateLoadBalancerInput)| {
        let mut request = balancer("web");
        change(&mut request);
        world.call::<op::CreateLoadBalancer>(request)
    };
    let subnets = |ids: &[&str]| Some(strings(ids));
    refused(with(&|r| r.name = "internal-web".into()), "ValidationError", "cannot begin with 'internal-'");
    refused(with(&|r| r.name = "a".repeat(33)), "ValidationError", "cannot be longer than '32' characters");
    refused(with(&|r| r.name = "a_b".into()), "ValidationError", "alphanumeric");
    refused(with(&|r| r.name = "-a".into()), "ValidationError", "cannot begin or end with");
    refused(with(&|r| r.r#type = Some("network".into())), "InvalidConfigurationRequest", "Type=network");
    refused(with(&|r| r.r#type = Some("gateway".into())), "InvalidConfigurationRequest", "Type=gateway");
    refused(with(&|r| r.r#type = Some("nonsense".into())), "ValidationError", "nonsense");
    let dual = with(&|r| r.ip_address_type = Some("dualstack".into()));
    refused(dual, "InvalidConfigurationRequest", "IpAddressType=dualstack");
    let two = "At least two subnets in two different Availability Zones must be specified";
    refused(with(&|r| r.subnets = None), "ValidationError", two);
    refused(with(&|r| r.subnets = subnets(&["subnet-a"])), "ValidationError", two);
    refused(with(&|r| r.subnets = subnets(&["subnet-a", "subnet-a"])), "ValidationError", two);
    let same_zone = "A load balancer cannot be attached to multiple subnets in the same Availability Zone";
    let answer = with(&|r| r.subnets = subnets(&["subnet-a", "subnet-a2"]));
    refused(answer, "InvalidConfigurationRequest", same_zone);
    refused(with(&|r| r.subnets = subnets(&["subnet-a", "subnet-z"])), "SubnetNotFound", "subnet-z");
    let answer = with(&|r| r.subnets = subnets(&["subnet-a", "subnet-y"]));
    refused(answer, "InvalidConfigurationRequest", "same VPC");
    let answer = with(&|r| r.subnets = subnets(&["subnet-x", "subnet-y"]));
    refused(answer, "InvalidSubnet", "VPC vpc-other has no internet gateway");
    refused(
        with(&|r| r.subnets = subnets(&["subnet-a", "subnet-tiny"])),
        "InvalidSubnet",
        "Not enough IP space",
    );
    refused(
        with(&|r| r.subnets = subnets(&["subnet-a", "subnet-full"])),
        "InvalidSubnet",
        "Not enough IP space",
    );
    refused(with(&|r| r.security_groups = subnets(&["sg-none"])), "InvalidSecurityGroup", "invalid");
    refused(with(&|r| r.security_groups = subnets(&["sg-other"])), "InvalidConfigurationRequest", "sg-other");
    let mapped = |r: &mut aws::CreateLoadBalancerInput| {
        let mapping = aws::SubnetMapping {
            subnet_id: Some("subnet-a".into()),
            allocation_id: Some("eipalloc-1".into()),
            ..Default::default()
        };
        r.subnet_mappings = Some(vec![mapping]);
    };
    refused(with(&mapped), "InvalidConfigurationRequest", "AllocationId");
    // Nothing of a refused request is left.
    assert!(interfaces(&world).is_empty() && describe(&world, &[]).is_empty());
}

#[test]
fn an_internal_balancer_needs_no_gateway() {
    let world = World::new();
    let request = aws::CreateLoadBalancerInput {
        scheme: Some("internal".into()),
        subnets: Some(strings(&["subnet-x", "subnet-y"])),
        ..balancer("inner")
    };
    let made = world.call::<op::CreateLoadBalancer>(request).unwrap().load_balancers.unwrap().remove(0);
    assert!(made.dns_name.unwrap().starts_with("internal-inner-"));
}

#[test]
fn lists_have_pages_and_say_what_is_missing() {
    let world = World::new();
    let arns: Vec<_> = ["a", "b", "c"].map(|name| world.balancer(name)).to_vec();
    let page = |marker| {
        let request = aws::DescribeLoadBalancersInput { page_size: Some(2), marker, ..Default::default() };
        let answer = world.call::<op::DescribeLoadBalancers>(request).unwrap();
        let names: Vec<_> =
            answer.load_balancers.unwrap().into_iter().map(|one| one.load_balancer_name.unwrap()).collect();
        (names, answer.next_marker)
    };
    let (first, marker) = page(None);
    assert_eq!(first, ["a", "b"]);
    let (second, end) = page(marker);
    assert_eq!((second, end), (strings(&["c"]), None));
    let by = |request| world.call::<op::DescribeLoadBalancers>(request);
    let nameless =
        aws::DescribeLoadBalancersInput { names: Some(strings(&["a", "z"])), ..Default::default() };
    refused(by(nameless), "LoadBalancerNotFound", "Load balancers '[z]' not found");
    let of_arns = |arns: Vec<String>| aws::DescribeLoadBalancersInput {
        load_balancer_arns: Some(arns),
        ..Default::default()
    };
    assert_eq!(by(of_arns(vec![arns[1].clone()])).unwrap().load_balancers.unwrap().len(), 1);
    refused(
        by(of_arns(strings(&["nonsense"]))),
        "ValidationError",
        "'nonsense' is not a valid load balancer ARN",
    );
    let mut gone = arns[0].clone();
    gone.replace_range(gone.len() - 4.., "0000");
    refused(by(of_arns(vec![gone])), "LoadBalancerNotFound", "One or more load balancers not found");
    let marked = aws::DescribeLoadBalancersInput { marker: Some("§".into()), ..Default::default() };
    refused(by(marked), "ValidationError", "marker");
    let abroad = world.call_in::<op::DescribeLoadBalancers>("eu-west-1", of_arns(vec![arns[0].clone()]));
    refused(abroad, "LoadBalancerNotFound", "not found");
}

#[test]
fn deletion_takes_all_with_it_unless_protected() {
    let world = World::new();
    let (arn, group) = (world.balancer("web"), world.group("g"));
    let listener = world.listener(&arn, 80, &group);
    let protect = |value: &str| {
        let attribute = aws::LoadBalancerAttribute {
            key: Some("deletion_protection.enabled".into()),
            value: Some(value.into()),
        };
        let request = aws::ModifyLoadBalancerAttributesInput {
            load_balancer_arn: arn.clone(),
            attributes: vec![attribute],
        };
        world.call::<op::ModifyLoadBalancerAttributes>(request).unwrap();
    };
    let delete = || {
        world.call::<op::DeleteLoadBalancer>(aws::DeleteLoadBalancerInput { load_balancer_arn: arn.clone() })
    };
    protect("true");
    refused(
        delete(),
        "OperationNotPermitted",
        &format!("Load balancer '{arn}' cannot be deleted because deletion protection is enabled"),
    );
    protect("false");
    delete().unwrap();
    delete().unwrap();
    assert!(interfaces(&world).is_empty());
    assert!(service_elb::table(&world.records(), &arn).is_none());
    assert!(service_elb::balancers(&world.records()).is_empty());
    let request = aws::DescribeListenersInput { listener_arns: Some(vec![listener]), ..Default::default() };
    refused(world.call::<op::DescribeListeners>(request), "ListenerNotFound", "not found");
    world.call::<op::DeleteTargetGroup>(aws::DeleteTargetGroupInput { target_group_arn: group }).unwrap();
}

#[test]
fn subnets_and_groups_can_change() {
    let world = World::new();
    let arn = world.balancer("web");
    let before = world.table(&arn);
    let set = |ids: &[&str]| {
        let request = aws::SetSubnetsInput {
            load_balancer_arn: arn.clone(),
            subnets: Some(strings(ids)),
            ..Default::default()
        };
        world.call::<op::SetSubnets>(request)
    };
    let zones = set(&["subnet-b", "subnet-c"]).unwrap().availability_zones.unwrap();
    assert_eq!(
        zones.iter().filter_map(|zone| zone.subnet_id.as_deref()).collect::<Vec<_>>(),
        ["subnet-b", "subnet-c"]
    );
    let after = world.table(&arn);
    assert_eq!(after.place.nodes[0], before.place.nodes[1], "a kept subnet keeps its interface");
    assert!(after.generation > before.generation);
    assert_eq!(interfaces(&world).len(), 2);
    refused(set(&["subnet-b"]), "ValidationError", "At least two subnets");
    refused(set(&["subnet-x", "subnet-y"]), "InvalidConfigurationRequest", "vpc-main");
    let regroup = |ids: &[&str]| {
        let request = aws::SetSecurityGroupsInput {
            load_balancer_arn: arn.clone(),
            security_groups: strings(ids),
            ..Default::default()
        };
        world.call::<op::SetSecurityGroups>(request)
    };
    assert_eq!(regroup(&["sg-web"]).unwrap().security_group_ids, Some(strings(&["sg-web"])));
    assert!(interfaces(&world).iter().all(|made| made.groups == ["sg-web"]));
    assert_eq!(world.table(&arn).place.security_groups, ["sg-web"]);
    refused(regroup(&["sg-other"]), "InvalidConfigurationRequest", "sg-other");
    refused(regroup(&["sg-none"]), "InvalidSecurityGroup", "invalid");
    refused(regroup(&[]), "InvalidConfigurationRequest", "At least one");
    let address = |kind: &str| {
        let request =
            aws::SetIpAddressTypeInput { load_balancer_arn: arn.clone(), ip_address_type: kind.into() };
        world.call::<op::SetIpAddressType>(request)
    };
    assert_eq!(address("ipv4").unwrap().ip_address_type.as_deref(), Some("ipv4"));
    refused(address("dualstack"), "InvalidConfigurationRequest", "dualstack");
}

#[test]
fn aliases_are_loopback_and_each_their_own() {
    let world = World::new();
    let aliases: std::collections::BTreeSet<_> =
        (0..20).map(|nth| world.table(&world.balancer(&format!("b{nth}"))).place.alias.unwrap()).collect();
    assert_eq!(aliases.len(), 20);
    for alias in aliases {
        assert!(alias.is_loopback() && alias.octets()[1] != 0, "{alias}");
    }
}

#[test]
fn mappings_name_subnets_too() {
    let world = World::new();
    let mapping = |id: &str| aws::SubnetMapping { subnet_id: Some(id.into()), ..Default::default() };
    let mappings = Some(vec![mapping("subnet-a"), mapping("subnet-b")]);
    let request =
        aws::CreateLoadBalancerInput { subnets: None, subnet_mappings: mappings.clone(), ..balancer("web") };
    let made =
        world.call::<op::CreateLoadBalancer>(request.clone()).unwrap().load_balancers.unwrap().remove(0);
    assert_eq!(made.availability_zones.unwrap().len(), 2);
    let both = aws::CreateLoadBalancerInput { subnets: balancer("web").subnets, ..request };
    refused(world.call::<op::CreateLoadBalancer>(both), "ValidationError", "not both");
    let arn = made.load_balancer_arn.unwrap();
    let request = aws::SetSubnetsInput {
        load_balancer_arn: arn,
        subnet_mappings: Some(vec![mapping("subnet-a"), mapping("subnet-c")]),
        ..Default::default()
    };
    assert_eq!(world.call::<op::SetSubnets>(request).unwrap().availability_zones.unwrap().len(), 2);
}

#[test]
fn an_account_has_fifty_balancers() {
    let world = World::new();
    for nth in 0..50 {
        world.call::<op::CreateLoadBalancer>(balancer(&format!("b{nth}"))).unwrap();
    }
    refused(world.call::<op::CreateLoadBalancer>(balancer("b50")), "TooManyLoadBalancers", "50");
    // One that is there is no further one.
    world.call::<op::CreateLoadBalancer>(balancer("b49")).unwrap();
    world.call_in::<op::CreateLoadBalancer>("eu-west-1", balancer("b50")).unwrap();
}
