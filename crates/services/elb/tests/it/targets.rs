//! RegisterTargets, DeregisterTargets, DescribeTargetHealth, and reports of health.

use std::time::Duration;

use aws_elbv2 as aws;
use aws_elbv2::op;
use core_routing::{Reason, State};

use crate::world::{World, group, refused, report, strings, target};

fn standing(world: &World, group: &str) -> (String, String) {
    let mut all = world.health(group);
    assert_eq!(all.len(), 1, "{all:?}");
    let (_, state, reason) = all.remove(0);
    (state, reason)
}

fn is(standing: &(String, String), state: &str, reason: &str) -> bool {
    (standing.0.as_str(), standing.1.as_str()) == (state, reason)
}

#[test]
fn a_target_goes_through_its_states() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    world.register(&group, &["172.31.0.9"]);
    assert!(is(&standing(&world, &group), "unused", "Target.NotInUse"));
    world.listener(&balancer, 80, &group);
    assert!(is(&standing(&world, &group), "initial", "Elb.RegistrationInProgress"));
    let see = |state, reason| {
        world.take_in(vec![report(&world.table(&balancer), &group, "172.31.0.9", state, reason)]);
        standing(&world, &group)
    };
    assert!(is(&see(State::Initial, Some(Reason::FirstChecks)), "initial", "Elb.InitialHealthChecking"));
    assert!(is(&see(State::Healthy, None), "healthy", ""));
    assert!(is(&see(State::Unhealthy, Some(Reason::Code(502))), "unhealthy", "Target.ResponseCodeMismatch"));
    let request = aws::DescribeTargetHealthInput { target_group_arn: group.clone(), ..Default::default() };
    let shown = world.call::<op::DescribeTargetHealth>(request).unwrap();
    let text = shown.target_health_descriptions.unwrap().remove(0).target_health.unwrap().description;
    assert_eq!(text.as_deref(), Some("Health checks failed with these codes: [502]"));
    assert!(is(&see(State::Unhealthy, Some(Reason::Timeout)), "unhealthy", "Target.Timeout"));
    assert!(is(&see(State::Unhealthy, Some(Reason::Failed)), "unhealthy", "Target.FailedHealthChecks"));
    assert!(is(&see(State::Unhealthy, Some(Reason::Internal)), "unhealthy", "Elb.InternalError"));
    world.deregister(&group, &["172.31.0.9"]);
    assert!(is(&standing(&world, &group), "draining", "Target.DeregistrationInProgress"));
    assert!(world.table(&balancer).groups[&*group].targets[0].draining_until.is_some());
    world.advance(Duration::from_secs(301));
    assert!(world.table(&balancer).groups[&*group].targets.is_empty());
    let asked = aws::DescribeTargetHealthInput {
        target_group_arn: group.clone(),
        targets: Some(vec![target("172.31.0.9")]),
        ..Default::default()
    };
    let shown = world.call::<op::DescribeTargetHealth>(asked).unwrap().target_health_descriptions.unwrap();
    let health = shown[0].target_health.clone().unwrap();
    assert_eq!(health.state.as_deref(), Some("unused"));
    assert_eq!(health.reason.as_deref(), Some("Target.NotRegistered"));
    assert!(world.health(&group).is_empty());
}

#[test]
fn reports_about_an_earlier_registration_are_void() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    world.listener(&balancer, 80, &group);
    world.register(&group, &["172.31.0.9"]);
    let old = report(&world.table(&balancer), &group, "172.31.0.9", State::Healthy, None);
    world.deregister(&group, &["172.31.0.9"]);
    world.take_in(vec![old.clone()]);
    assert!(is(&standing(&world, &group), "draining", "Target.DeregistrationInProgress"));
    world.register(&group, &["172.31.0.9"]);
    assert!(is(&standing(&world, &group), "initial", "Elb.RegistrationInProgress"));
    world.take_in(vec![old]);
    assert!(is(&standing(&world, &group), "initial", "Elb.RegistrationInProgress"));
    let new = report(&world.table(&balancer), &group, "172.31.0.9", State::Healthy, None);
    world.take_in(vec![new.clone()]);
    assert!(is(&standing(&world, &group), "healthy", ""));
    // What was seen is forgotten with the group's use.
    let listeners =
        aws::DescribeListenersInput { load_balancer_arn: Some(balancer.clone()), ..Default::default() };
    let arn =
        world.call::<op::DescribeListeners>(listeners).unwrap().listeners.unwrap().remove(0).listener_arn;
    world.call::<op::DeleteListener>(aws::DeleteListenerInput { listener_arn: arn.unwrap() }).unwrap();
    assert!(is(&standing(&world, &group), "unused", "Target.NotInUse"));
    world.listener(&balancer, 80, &group);
    assert!(is(&standing(&world, &group), "initial", "Elb.RegistrationInProgress"));
}

#[test]
fn registering_again_changes_nothing() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    world.listener(&balancer, 80, &group);
    world.register(&group, &["172.31.0.9", "172.31.0.9"]);
    world.take_in(vec![report(&world.table(&balancer), &group, "172.31.0.9", State::Healthy, None)]);
    world.advance(Duration::from_secs(10));
    world.register(&group, &["172.31.0.9"]);
    assert!(is(&standing(&world, &group), "healthy", ""));
}

#[test]
fn zones_that_are_not_enabled_are_not_used() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    world.listener(&balancer, 80, &group);
    // subnet-c's zone is not among the balancer's.
    world.register(&group, &["172.31.32.9"]);
    assert!(is(&standing(&world, &group), "unused", "Target.NotInUse"));
    assert!(world.table(&balancer).groups[&*group].targets.is_empty());
    let request = aws::SetSubnetsInput {
        load_balancer_arn: balancer.clone(),
        subnets: Some(strings(&["subnet-a", "subnet-b", "subnet-c"])),
        ..Default::default()
    };
    world.call::<op::SetSubnets>(request).unwrap();
    assert!(is(&standing(&world, &group), "initial", "Elb.RegistrationInProgress"));
    assert_eq!(world.table(&balancer).groups[&*group].targets[0].zone.as_deref(), Some("us-east-1c"));
}

#[test]
fn a_balancers_own_address_is_no_target() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    world.listener(&balancer, 80, &group);
    let own = world.table(&balancer).place.nodes[0].address.to_string();
    world.register(&group, &[&own]);
    assert!(is(&standing(&world, &group), "unused", "Target.IpUnusable"));
    assert!(world.table(&balancer).groups[&*group].targets.is_empty());
}

#[test]
fn addresses_are_in_the_vpc_or_private_and_for_all_zones() {
    let world = World::new();
    let group = world.group("g");
    let register = |id: &str, zone: Option<&str>| {
        let target = aws::TargetDescription { availability_zone: zone.map(Into::into), ..target(id) };
        let request = aws::RegisterTargetsInput { target_group_arn: group.clone(), targets: vec![target] };
        world.call::<op::RegisterTargets>(request)
    };
    register("10.1.2.3", Some("all")).unwrap();
    register("100.64.1.1", Some("all")).unwrap();
    register("192.168.1.1", Some("all")).unwrap();
    register("172.31.0.2", Some("us-east-1a")).unwrap();
    register("172.31.16.2", None).unwrap();
    let within =
        "The IP address '172.31.0.3' is within the VPC, and cannot have its Availability Zone overridden to";
    refused(register("172.31.0.3", Some("us-east-1b")), "ValidationError", within);
    refused(register("172.31.0.3", Some("all")), "ValidationError", within);
    let text = "The Availability Zone is required for IP address '10.1.2.3' because it is not in the VPC";
    refused(register("10.1.2.3", None), "ValidationError", text);
    let text = "You must specify a valid Availability Zone or select 'all'";
    refused(register("10.1.2.3", Some("us-east-1a")), "ValidationError", text);
    refused(register("8.8.8.8", Some("all")), "ValidationError", "private range");
    // In the VPC's range, but in none of its subnets.
    refused(register("172.31.255.1", None), "ValidationError", "is not in the VPC");
    refused(register("::1", None), "ValidationError", "'::1' is not a valid IPv4 address");
    refused(register("i-one", None), "ValidationError", "not a valid IPv4 address");
    refused(register("", None), "ValidationError", "target ID");
    let request = aws::RegisterTargetsInput { target_group_arn: group.clone(), targets: Vec::new() };
    refused(world.call::<op::RegisterTargets>(request), "ValidationError", "At least one target");
    assert_eq!(world.health(&group).len(), 5);
}

#[test]
fn instances_are_asked_of_ec2() {
    let world = World::new();
    let request = aws::CreateTargetGroupInput { target_type: None, ..group("g") };
    let made = world.call::<op::CreateTargetGroup>(request).unwrap().target_groups.unwrap().remove(0);
    let group = made.target_group_arn.unwrap();
    let register = |ids: &[(&str, Option<i32>)]| {
        let targets = ids.iter().map(|(id, port)| aws::TargetDescription { port: *port, ..target(id) });
        let targets = targets.collect();
        world.call::<op::RegisterTargets>(aws::RegisterTargetsInput {
            target_group_arn: group.clone(),
            targets,
        })
    };
    register(&[("i-one", None), ("i-one", Some(32768)), ("i-two", Some(32769))]).unwrap();
    refused(register(&[("i-none", None)]), "InvalidTarget", "do not exist: 'i-none'");
    refused(
        register(&[("i-stopped", None)]),
        "InvalidTarget",
        "not in a running state and cannot be registered: 'i-stopped'",
    );
    refused(
        register(&[("i-other", None)]),
        "InvalidTarget",
        "not in the target group VPC 'vpc-main': 'i-other'",
    );
    refused(register(&[("10.0.0.1", None)]), "ValidationError", "Instance ID '10.0.0.1' is not valid");
    assert_eq!(world.health(&group).len(), 3);
    let balancer = world.balancer("web");
    world.listener(&balancer, 80, &group);
    let table = world.table(&balancer);
    let mut ports: Vec<_> =
        table.groups[&*group].targets.iter().map(|one| (one.port, one.address.to_string())).collect();
    ports.sort();
    let address = String::from("172.31.0.77");
    assert_eq!(ports, [(80, address.clone()), (32768, address.clone()), (32769, address)]);
    // Without a port, the one with the group's is meant.
    let draining = |id: &str, port| {
        let targets = vec![aws::TargetDescription { port, ..target(id) }];
        let request = aws::DeregisterTargetsInput { target_group_arn: group.clone(), targets };
        world.call::<op::DeregisterTargets>(request).unwrap();
        world.health(&group).into_iter().filter(|one| one.1 == "draining").count()
    };
    assert_eq!(draining("i-two", None), 0);
    assert_eq!(draining("i-one", None), 1);
    assert_eq!(draining("i-one", Some(32768)), 2);
    assert_eq!(draining("i-two", Some(32769)), 3);
}

#[test]
fn what_is_not_in_use_leaves_at_once_and_what_is_has_a_moment() {
    let world = World::new();
    let group = world.group("g");
    world.register(&group, &["172.31.0.9"]);
    world.deregister(&group, &["172.31.0.9", "172.31.0.10"]);
    assert!(world.health(&group).is_empty());
    let balancer = world.balancer("web");
    world.listener(&balancer, 80, &group);
    world.set(&group, "deregistration_delay.timeout_seconds", "0").unwrap();
    world.register(&group, &["172.31.0.9"]);
    world.deregister(&group, &["172.31.0.9"]);
    // A moment, in which whoever serves hears of it.
    assert!(is(&standing(&world, &group), "draining", "Target.DeregistrationInProgress"));
    world.advance(Duration::from_secs(1));
    assert!(world.health(&group).is_empty());
    let nonsense = aws::DeregisterTargetsInput { target_group_arn: group, targets: vec![target("x")] };
    refused(world.call::<op::DeregisterTargets>(nonsense), "ValidationError", "'x'");
}

#[test]
fn answers_include_what_is_asked() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    world.listener(&balancer, 80, &group);
    world.register(&group, &["172.31.0.9", "172.31.0.10"]);
    let reports = ["172.31.0.9", "172.31.0.10"]
        .map(|id| report(&world.table(&balancer), &group, id, State::Healthy, None));
    world.take_in(reports.to_vec());
    let ask = |include: &[&str], targets: Option<Vec<aws::TargetDescription>>| {
        let include = Some(strings(include)).filter(|include| !include.is_empty());
        let request = aws::DescribeTargetHealthInput { target_group_arn: group.clone(), include, targets };
        world
            .call::<op::DescribeTargetHealth>(request)
            .map(|answer| answer.target_health_descriptions.unwrap())
    };
    let plain = ask(&[], None).unwrap();
    assert!(plain.iter().all(|one| one.anomaly_detection.is_none() && one.administrative_override.is_none()));
    assert_eq!(plain[0].health_check_port.as_deref(), Some("80"));
    assert_eq!(plain[0].target.clone().unwrap().availability_zone.as_deref(), Some("us-east-1a"));
    let anomalies = ask(&["AnomalyDetection"], None).unwrap();
    assert!(anomalies.iter().all(|one| one.anomaly_detection.is_some()));
    assert!(ask(&["All"], None).unwrap()[0].administrative_override.is_some());
    refused(ask(&["Everything"], None), "ValidationError", "Everything");
    assert_eq!(ask(&[], Some(vec![target("172.31.0.10")])).unwrap().len(), 1);
    let other_port = aws::TargetDescription { port: Some(81), ..target("172.31.0.10") };
    let missing = ask(&[], Some(vec![other_port])).unwrap().remove(0).target_health.unwrap();
    assert_eq!(missing.reason.as_deref(), Some("Target.NotRegistered"));
}

#[test]
fn without_proxies_targets_in_use_are_healthy() {
    let world = World::simulated();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    world.register(&group, &["172.31.0.9"]);
    assert!(is(&standing(&world, &group), "unused", "Target.NotInUse"));
    world.listener(&balancer, 80, &group);
    world.settle();
    assert!(is(&standing(&world, &group), "healthy", ""));
    world.register(&group, &["172.31.0.10"]);
    world.settle();
    assert!(world.health(&group).iter().all(|one| one.1 == "healthy"));
}

#[test]
fn without_proxies_a_target_fails_its_checks_when_it_was_told_to() {
    let world = World::simulated();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    world.listener(&balancer, 80, &group);
    world.register(&group, &["172.31.0.66"]);
    world.settle();
    assert!(is(&standing(&world, &group), "healthy", ""));
    world.advance(Duration::from_secs(61));
    assert!(is(&standing(&world, &group), "unhealthy", "Target.ResponseCodeMismatch"));
    // The other one is not concerned, nor is one that comes when its time is over.
    world.register(&group, &["172.31.0.10"]);
    world.settle();
    let states: Vec<_> = world.health(&group).into_iter().map(|one| one.1).collect();
    assert_eq!(states, ["healthy", "unhealthy"]);
}

#[test]
fn ten_thousand_targets_are_taken_and_no_more() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    world.listener(&balancer, 80, &group);
    let targets =
        |count: u32| (0..count).map(|n| target(&format!("172.31.{}.{}", n / 200, n % 200 + 11))).collect();
    let register = |count| {
        let request = aws::RegisterTargetsInput { target_group_arn: group.clone(), targets: targets(count) };
        world.call::<op::RegisterTargets>(request)
    };
    register(4_000).unwrap();
    assert_eq!(world.health(&group).len(), 4_000);
    let more: Vec<_> =
        (0..6_001).map(|n| aws::TargetDescription { port: Some(1000 + n), ..target("172.31.0.1") }).collect();
    let request = aws::RegisterTargetsInput { target_group_arn: group.clone(), targets: more };
    let text = format!(
        "The maximum number of targets per load balancer '10000' has been reached on load balancer '{balancer}'"
    );
    refused(world.call::<op::RegisterTargets>(request), "TooManyTargets", &text);
    assert_eq!(world.health(&group).len(), 4_000);
    assert_eq!(world.table(&balancer).groups[&*group].targets.len(), 4_000);
}

#[test]
fn anomalies_are_told_of_healthy_targets_alone() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    world.listener(&balancer, 80, &group);
    world.register(&group, &["172.31.0.9"]);
    let anomaly = || {
        let include = Some(strings(&["AnomalyDetection"]));
        let request =
            aws::DescribeTargetHealthInput { target_group_arn: group.clone(), include, targets: None };
        let answer = world.call::<op::DescribeTargetHealth>(request).unwrap();
        let found = answer.target_health_descriptions.unwrap().remove(0).anomaly_detection;
        found.map(|found| (found.result.unwrap(), found.mitigation_in_effect.unwrap()))
    };
    let told = |state: State, is_anomalous: bool, is_mitigated: bool| {
        let reason = Some(Reason::Timeout).filter(|_| state == State::Unhealthy);
        let seen = report(&world.table(&balancer), &group, "172.31.0.9", state, reason);
        let anomaly = core_routing::Anomaly { is_anomalous, is_mitigated };
        world.take_in(vec![core_routing::HealthReport { anomaly, ..seen }]);
    };
    let said = |result: &str, mitigation: &str| Some((result.to_owned(), mitigation.to_owned()));
    assert_eq!(anomaly(), None);
    told(State::Healthy, false, false);
    assert_eq!(anomaly(), said("normal", "no"));
    told(State::Healthy, true, true);
    assert_eq!(anomaly(), said("anomalous", "yes"));
    told(State::Healthy, false, true);
    assert_eq!(anomaly(), said("normal", "yes"));
    told(State::Unhealthy, true, true);
    assert_eq!(anomaly(), said("normal", "no"));
}

#[test]
fn a_proxy_that_begins_anew_takes_no_verdict_back() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g"));
    world.listener(&balancer, 80, &group);
    world.register(&group, &["172.31.0.9"]);
    let told = |state: State, reason: Option<Reason>| {
        world.take_in(vec![report(&world.table(&balancer), &group, "172.31.0.9", state, reason)]);
        standing(&world, &group)
    };
    assert!(is(&told(State::Initial, Some(Reason::FirstChecks)), "initial", "Elb.InitialHealthChecking"));
    assert!(is(&told(State::Healthy, None), "healthy", ""));
    assert!(is(&told(State::Initial, Some(Reason::FirstChecks)), "healthy", ""));
    assert!(is(&told(State::Unhealthy, Some(Reason::Timeout)), "unhealthy", "Target.Timeout"));
    assert!(is(&told(State::Initial, Some(Reason::FirstChecks)), "unhealthy", "Target.Timeout"));
    assert!(is(&told(State::Healthy, None), "healthy", ""));
}
