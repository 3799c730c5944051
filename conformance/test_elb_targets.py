"""Target groups, their attributes, targets and health, through boto3."""

import pytest

from conftest import Server, refused, wait_for
from test_elb_balancers import elb, forward, make_balancer, make_group, make_listener, spare, subnets, vpc  # noqa: F401


def health(elb, group, **members):
    found = elb.describe_target_health(TargetGroupArn=group, **members)["TargetHealthDescriptions"]
    return {one["Target"]["Id"]: (one["TargetHealth"]["State"], one["TargetHealth"].get("Reason")) for one in found}


def test_defaults(simulated, elb):
    arn = make_group(simulated, "plain", TargetType="instance")
    [group] = elb.describe_target_groups(Names=["plain"])["TargetGroups"]
    assert group == {
        "TargetGroupArn": arn, "TargetGroupName": "plain", "Protocol": "HTTP", "Port": 80, "VpcId": vpc(simulated),
        "HealthCheckProtocol": "HTTP", "HealthCheckPort": "traffic-port", "HealthCheckEnabled": True,
        "HealthCheckIntervalSeconds": 30, "HealthCheckTimeoutSeconds": 5, "HealthyThresholdCount": 5,
        "UnhealthyThresholdCount": 2, "HealthCheckPath": "/", "Matcher": {"HttpCode": "200"}, "LoadBalancerArns": [],
        "TargetType": "instance", "ProtocolVersion": "HTTP1", "IpAddressType": "ipv4"}
    grpc = make_group(simulated, "grpc", ProtocolVersion="GRPC")
    [group] = elb.describe_target_groups(TargetGroupArns=[grpc])["TargetGroups"]
    assert (group["HealthCheckPath"], group["Matcher"]) == ("/AWS.ALB/healthcheck", {"GrpcCode": "12"})
    assert make_group(simulated, "plain", TargetType="instance") == arn
    refused("DuplicateTargetGroupName", make_group, "'plain'", server=simulated, name="plain", Port=81)


@pytest.mark.parametrize("members,code,text", [
    ({"Name": "a.b"}, "ValidationError", "alphanumeric"),
    ({"Name": "a" * 33}, "ValidationError", "'32' characters"),
    ({"Protocol": "TCP"}, "InvalidConfigurationRequest", "Protocol=TCP"),
    ({"Protocol": "SMTP"}, "ValidationError", "SMTP"),
    ({"TargetType": "lambda"}, "InvalidConfigurationRequest", "TargetType=lambda"),
    ({"TargetType": "alb"}, "InvalidConfigurationRequest", "TargetType=alb"),
    ({"IpAddressType": "ipv6"}, "InvalidConfigurationRequest", "IpAddressType=ipv6"),
    ({"TargetControlPort": 9000}, "InvalidConfigurationRequest", "TargetControlPort"),
    ({"ProtocolVersion": "HTTP3"}, "ValidationError", "HTTP3"),
    ({"VpcId": "vpc-0123456789abcdef0"}, "ValidationError", "vpc-0123456789abcdef0"),
    ({"Port": 0}, "ValidationError", "0"),
    ({"HealthCheckEnabled": False}, "ValidationError", "must be true"),
    ({"HealthCheckIntervalSeconds": 4}, "ValidationError", "5"),
    ({"HealthCheckTimeoutSeconds": 30}, "ValidationError", "must be smaller than the interval '30'"),
    ({"HealthCheckPath": "up"}, "ValidationError", "must begin with a '/'"),
    ({"HealthCheckPath": "/" * 1025}, "ValidationError", "1024"),
    ({"HealthCheckPort": "65536"}, "ValidationError", "traffic-port"),
    ({"HealthyThresholdCount": 1}, "ValidationError", "2"),
    ({"UnhealthyThresholdCount": 11}, "ValidationError", "10"),
    ({"Matcher": {"HttpCode": "100"}}, "ValidationError", "from 200 to 499"),
    ({"Matcher": {"HttpCode": "200-"}}, "ValidationError", "from 200 to 499"),
    ({"Matcher": {"GrpcCode": "0"}}, "ValidationError", "GrpcCode"),
])
def test_bad_groups_are_refused(simulated, elb, members, code, text):
    client = simulated.client("elbv2", parameter_validation=False)
    request = {"Name": "g", "Protocol": "HTTP", "Port": 80, "TargetType": "ip", "VpcId": vpc(simulated), **members}
    refused(code, client.create_target_group, text, **request)


def test_checks_change_and_lists_have_pages(simulated, elb):
    arns = [make_group(simulated, name) for name in ["a", "b", "c"]]
    [changed] = elb.modify_target_group(
        TargetGroupArn=arns[0], HealthCheckPath="/up", HealthCheckPort="8080", HealthCheckIntervalSeconds=10,
        HealthCheckTimeoutSeconds=2, HealthyThresholdCount=2, Matcher={"HttpCode": "200,301-399"})["TargetGroups"]
    assert (changed["HealthCheckPath"], changed["HealthCheckPort"], changed["Matcher"]) == ("/up", "8080", {"HttpCode": "200,301-399"})
    refused("ValidationError", elb.modify_target_group, "smaller", TargetGroupArn=arns[0], HealthCheckTimeoutSeconds=10)
    pages = list(elb.get_paginator("describe_target_groups").paginate(PaginationConfig={"PageSize": 2}))
    assert [[one["TargetGroupName"] for one in page["TargetGroups"]] for page in pages] == [["a", "b"], ["c"]]
    refused("TargetGroupNotFound", elb.describe_target_groups, "One or more target groups not found", Names=["z"])
    refused("ValidationError", elb.describe_target_groups, "is not a valid target group ARN", TargetGroupArns=["z"])


def test_a_group_in_use(simulated, elb):
    balancer, group = make_balancer(simulated)["LoadBalancerArn"], make_group(simulated)
    listener = make_listener(simulated, balancer, actions=forward(group))["ListenerArn"]
    [shown] = elb.describe_target_groups(LoadBalancerArn=balancer)["TargetGroups"]
    assert (shown["TargetGroupArn"], shown["LoadBalancerArns"]) == (group, [balancer])
    text = refused("ResourceInUse", elb.delete_target_group, TargetGroupArn=group)
    assert text == f"Target group '{group}' is currently in use by a listener or a rule"
    other = make_balancer(simulated)["LoadBalancerArn"]
    refused("TargetGroupAssociationLimit", make_listener, group, server=simulated, balancer=other, actions=forward(group))
    elb.delete_listener(ListenerArn=listener)
    elb.delete_target_group(TargetGroupArn=group)
    elb.delete_target_group(TargetGroupArn=group)


def attributes(elb, arn):
    return {one["Key"]: one["Value"] for one in elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]}


def test_attributes(simulated, elb):
    arn = make_group(simulated)
    assert attributes(elb, arn) == {
        "deregistration_delay.timeout_seconds": "300",
        "stickiness.enabled": "false",
        "stickiness.type": "lb_cookie",
        "stickiness.lb_cookie.duration_seconds": "86400",
        "stickiness.app_cookie.cookie_name": "",
        "stickiness.app_cookie.duration_seconds": "86400",
        "slow_start.duration_seconds": "0",
        "load_balancing.algorithm.type": "round_robin",
        "load_balancing.algorithm.anomaly_mitigation": "off",
        "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
        "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
        "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
    }
    set_all = lambda **pairs: elb.modify_target_group_attributes(
        TargetGroupArn=arn, Attributes=[{"Key": key, "Value": value} for key, value in pairs.items()])
    set_all(**{"stickiness.enabled": "true", "stickiness.type": "app_cookie", "stickiness.app_cookie.cookie_name": "SID"})
    assert attributes(elb, arn)["stickiness.app_cookie.cookie_name"] == "SID"
    set_all(**{"load_balancing.algorithm.type": "weighted_random", "load_balancing.algorithm.anomaly_mitigation": "on"})
    for pairs, code in [
        ({"slow_start.duration_seconds": "30"}, "InvalidConfigurationRequest"),
        ({"slow_start.duration_seconds": "29"}, "ValidationError"),
        ({"load_balancing.algorithm.type": "round_robin"}, "InvalidConfigurationRequest"),
        ({"stickiness.app_cookie.cookie_name": "AWSALBTG"}, "ValidationError"),
        ({"stickiness.app_cookie.cookie_name": ""}, "InvalidConfigurationRequest"),
        ({"deregistration_delay.timeout_seconds": "3601"}, "ValidationError"),
        ({"lambda.multi_value_headers.enabled": "true"}, "InvalidConfigurationRequest"),
        ({"preserve_client_ip.enabled": "true"}, "InvalidConfigurationRequest"),
        ({"no.such": "true"}, "ValidationError"),
    ]:
        refused(code, set_all, **pairs)


def test_health_from_registration_to_the_end_of_draining(simulated, elb):
    balancer, group = make_balancer(simulated)["LoadBalancerArn"], make_group(simulated)
    address = spare(simulated)
    target = [{"Id": address}]
    elb.register_targets(TargetGroupArn=group, Targets=target)
    assert health(elb, group) == {address: ("unused", "Target.NotInUse")}
    make_listener(simulated, balancer, actions=forward(group))
    elb.get_waiter("target_in_service").wait(TargetGroupArn=group, Targets=target, WaiterConfig={"Delay": 1})
    assert health(elb, group) == {address: ("healthy", None)}
    elb.register_targets(TargetGroupArn=group, Targets=target * 2)
    assert health(elb, group) == {address: ("healthy", None)}
    elb.deregister_targets(TargetGroupArn=group, Targets=target)
    [one] = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    assert one["TargetHealth"] == {
        "State": "draining", "Reason": "Target.DeregistrationInProgress",
        "Description": "Target deregistration is in progress"}
    assert one["Target"] == {"Id": address, "Port": 80, "AvailabilityZone": "us-east-1a"}
    simulated.advance(299)
    assert health(elb, group) == {address: ("draining", "Target.DeregistrationInProgress")}
    simulated.advance(2)
    assert health(elb, group) == {}
    elb.get_waiter("target_deregistered").wait(TargetGroupArn=group, Targets=target, WaiterConfig={"Delay": 1})
    assert health(elb, group, Targets=target) == {address: ("unused", "Target.NotRegistered")}
    elb.deregister_targets(TargetGroupArn=group, Targets=target)


def test_a_draining_target_can_come_back(simulated, elb):
    balancer, group = make_balancer(simulated)["LoadBalancerArn"], make_group(simulated)
    make_listener(simulated, balancer, actions=forward(group))
    address = spare(simulated)
    for call in [elb.register_targets, elb.deregister_targets, elb.register_targets]:
        call(TargetGroupArn=group, Targets=[{"Id": address}])
    elb.get_waiter("target_in_service").wait(TargetGroupArn=group, WaiterConfig={"Delay": 1})
    simulated.advance(400)
    assert health(elb, group) == {address: ("healthy", None)}


def test_zones_and_includes(simulated, elb):
    balancer, group = make_balancer(simulated)["LoadBalancerArn"], make_group(simulated)
    make_listener(simulated, balancer, actions=forward(group))
    third = spare(simulated, zone=2)
    elb.register_targets(TargetGroupArn=group, Targets=[{"Id": third}, {"Id": "10.1.1.1", "AvailabilityZone": "all"}])
    wait_for(lambda: health(elb, group)["10.1.1.1"] == ("healthy", None), 10)
    assert health(elb, group)[third] == ("unused", "Target.NotInUse")
    everything = elb.describe_target_health(TargetGroupArn=group, Include=["All"])["TargetHealthDescriptions"]
    by_id = {one["Target"]["Id"]: one for one in everything}
    assert by_id["10.1.1.1"]["AnomalyDetection"] == {"Result": "normal", "MitigationInEffect": "no"}
    assert by_id["10.1.1.1"]["Target"]["AvailabilityZone"] == "all"
    assert by_id[third]["AdministrativeOverride"]["State"] == "no_override"
    elb.set_subnets(LoadBalancerArn=balancer, Subnets=subnets(simulated))
    wait_for(lambda: health(elb, group)[third] == ("healthy", None), 10)


@pytest.mark.parametrize("target,code,text", [
    ({"Id": "10.1.2.3"}, "ValidationError", "The Availability Zone is required for IP address '10.1.2.3'"),
    ({"Id": "8.8.8.8", "AvailabilityZone": "all"}, "ValidationError", "RFC 1918"),
    ({"Id": "172.31.0.10", "AvailabilityZone": "all"}, "ValidationError", "overridden to 'all' from 'us-east-1a'"),
    ({"Id": "nonsense"}, "ValidationError", "nonsense"),
    ({"Id": "2001:db8::1"}, "ValidationError", "2001:db8::1"),
    ({"Id": "172.31.0.10", "Port": 0}, "ValidationError", "0"),
    ({"Id": "172.31.0.10", "AvailabilityZone": "us-east-1z"}, "ValidationError", "us-east-1z"),
    ({"Id": "172.31.0.10", "QuicServerId": "0x0"}, "InvalidConfigurationRequest", "QuicServerId"),
])
def test_bad_targets_are_refused(simulated, elb, target, code, text):
    group = make_group(simulated)
    client = simulated.client("elbv2", parameter_validation=False)
    refused(code, client.register_targets, text, TargetGroupArn=group, Targets=[{"Id": "172.31.0.11"}, target])
    assert health(elb, group) == {}, "all of a request happens, or nothing"


def test_instances_must_exist(simulated, elb):
    group = make_group(simulated, TargetType="instance")
    register = lambda target: refused("InvalidTarget", elb.register_targets, TargetGroupArn=group, Targets=[target])
    assert "i-0123456789abcdef0" in register({"Id": "i-0123456789abcdef0"})
    refused("ValidationError", elb.register_targets, "Instance ID '10.0.0.1' is not valid", TargetGroupArn=group,
            Targets=[{"Id": "10.0.0.1"}])


def test_an_instance_with_dynamic_ports():
    server = Server("simulated", "--instance", "main").start()
    try:
        elb = server.client("elbv2")
        [reservation] = server.client("ec2").describe_instances()["Reservations"]
        instance = reservation["Instances"][0]["InstanceId"]
        group = make_group(server, TargetType="instance")
        make_listener(server, make_balancer(server, Subnets=subnets(server))["LoadBalancerArn"], actions=forward(group))
        elb.register_targets(TargetGroupArn=group, Targets=[{"Id": instance, "Port": port} for port in [32768, 32769]])
        elb.get_waiter("target_in_service").wait(TargetGroupArn=group, WaiterConfig={"Delay": 1})
        shown = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        assert sorted(one["Target"]["Port"] for one in shown) == [32768, 32769]
        assert all("AvailabilityZone" not in one["Target"] for one in shown)
    finally:
        server.down()


def test_many_targets(simulated, elb):
    balancer, group = make_balancer(simulated)["LoadBalancerArn"], make_group(simulated)
    make_listener(simulated, balancer, actions=forward(group))
    targets = [{"Id": f"172.31.{n // 240}.{n % 240 + 4}", "Port": 1000 + n % 7} for n in range(10_000)]
    for start in range(0, len(targets), 2500):
        elb.register_targets(TargetGroupArn=group, Targets=targets[start:start + 2500])
    shown = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    assert len(shown) == len(targets)
    refused("TooManyTargets", elb.register_targets, TargetGroupArn=group, Targets=[{"Id": "172.31.0.4", "Port": 1}])
    elb.deregister_targets(TargetGroupArn=group, Targets=targets[:100])
    states = [one["TargetHealth"]["State"] for one in elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]]
    assert states.count("draining") == 100
