"""Application load balancers through boto3 and the AWS CLI: what stands where, names, attributes, tags."""

import json
import re

import botocore.exceptions
import pytest

from conftest import refused

NAMES = iter(f"lb{number}" for number in range(1000))


def subnets(server, **where):
    found = server.client("ec2", **where).describe_subnets()["Subnets"]
    return [subnet["SubnetId"] for subnet in sorted(found, key=lambda subnet: subnet["AvailabilityZone"])]


def vpc(server, **where):
    return server.client("ec2", **where).describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]


def make_balancer(server, name=None, **members):
    elb = server.client("elbv2")
    members = {"Subnets": subnets(server)[:2], **members}
    [balancer] = elb.create_load_balancer(Name=name or next(NAMES), **members)["LoadBalancers"]
    return balancer


def make_group(server, name=None, **members):
    elb = server.client("elbv2")
    members = {"Protocol": "HTTP", "Port": 80, "TargetType": "ip", "VpcId": vpc(server), **members}
    return elb.create_target_group(Name=name or next(NAMES), **members)["TargetGroups"][0]["TargetGroupArn"]


def spare(server, zone=0):
    """An address of the zone's default subnet that no balancer will get."""
    interface = server.client("ec2").create_network_interface(SubnetId=subnets(server)[zone])["NetworkInterface"]
    return interface["PrivateIpAddress"]


def forward(group):
    return [{"Type": "forward", "TargetGroupArn": group}]


def make_listener(server, balancer, port=80, actions=None, **members):
    members = {"Protocol": "HTTP", **members}
    actions = actions or [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
    return server.client("elbv2").create_listener(
        LoadBalancerArn=balancer, Port=port, DefaultActions=actions, **members)["Listeners"][0]


@pytest.fixture
def elb(simulated):
    """Nothing of it is left for the next test."""
    client = simulated.client("elbv2")
    yield client
    for balancer in client.describe_load_balancers()["LoadBalancers"]:
        arn = balancer["LoadBalancerArn"]
        client.modify_load_balancer_attributes(
            LoadBalancerArn=arn, Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}])
        client.delete_load_balancer(LoadBalancerArn=arn)
    for group in client.describe_target_groups()["TargetGroups"]:
        client.delete_target_group(TargetGroupArn=group["TargetGroupArn"])
    ec2 = simulated.client("ec2")
    for interface in ec2.describe_network_interfaces()["NetworkInterfaces"]:
        ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])


def test_a_balancer_from_first_to_last(simulated, elb):
    balancer = make_balancer(simulated, "web", Tags=[{"Key": "team", "Value": "shop"}])
    arn = balancer["LoadBalancerArn"]
    assert re.fullmatch(r"arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/[0-9a-f]{16}", arn)
    assert balancer["State"]["Code"] == "provisioning"
    elb.get_waiter("load_balancer_exists").wait(Names=["web"])
    elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[arn])
    [shown] = elb.describe_load_balancers(Names=["web"])["LoadBalancers"]
    assert re.fullmatch(r"web-\d+\.us-east-1\.elb\.localhost", shown["DNSName"])
    assert (shown["Type"], shown["Scheme"], shown["IpAddressType"]) == ("application", "internet-facing", "ipv4")
    assert shown["CanonicalHostedZoneId"] == "Z35SXDOTRQ7X7K" and shown["VpcId"] == vpc(simulated)
    assert [zone["SubnetId"] for zone in shown["AvailabilityZones"]] == subnets(simulated)[:2]
    interfaces = simulated.client("ec2").describe_network_interfaces(
        Filters=[{"Name": "description", "Values": [f"ELB {arn.split('loadbalancer/')[1]}"]}])["NetworkInterfaces"]
    assert len(interfaces) == 2 and all(one["RequesterManaged"] and one["RequesterId"] == "amazon-elb" for one in interfaces)
    elb.delete_load_balancer(LoadBalancerArn=arn)
    elb.get_waiter("load_balancers_deleted").wait(LoadBalancerArns=[arn])
    elb.delete_load_balancer(LoadBalancerArn=arn)
    assert not simulated.client("ec2").describe_network_interfaces()["NetworkInterfaces"]


def test_the_same_again_answers_with_the_same(simulated, elb):
    first, again = make_balancer(simulated, "web"), make_balancer(simulated, "web")
    assert first["LoadBalancerArn"] == again["LoadBalancerArn"]
    text = refused("DuplicateLoadBalancerName", make_balancer, server=simulated, name="web", Scheme="internal")
    assert text == "A load balancer with the same name 'web' exists, but with different settings"


def test_internal_balancers_and_other_regions(simulated, elb):
    internal = make_balancer(simulated, "in", Scheme="internal")
    assert internal["DNSName"].startswith("internal-in-") and internal["Scheme"] == "internal"
    abroad = simulated.client("elbv2", region="eu-central-1", account="123456789012")
    there = {"region": "eu-central-1", "account": "123456789012"}
    [balancer] = abroad.create_load_balancer(Name="in", Subnets=subnets(simulated, **there)[1:])["LoadBalancers"]
    assert balancer["CanonicalHostedZoneId"] == "Z215JYRZR1TBD5"
    assert balancer["LoadBalancerArn"].startswith("arn:aws:elasticloadbalancing:eu-central-1:123456789012:")
    refused("LoadBalancerNotFound", elb.describe_load_balancers, LoadBalancerArns=[balancer["LoadBalancerArn"]])
    abroad.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])


@pytest.mark.parametrize("members,code,text", [
    ({"Name": "internal-x"}, "ValidationError", "cannot begin with 'internal-'"),
    ({"Name": "x" * 33}, "ValidationError", "cannot be longer than '32' characters"),
    ({"Name": "x_y"}, "ValidationError", "can only contain characters that are alphanumeric characters and hyphens(-)"),
    ({"Name": "x-"}, "ValidationError", "cannot begin or end with hyphens(-)"),
    ({"Subnets": []}, "ValidationError", "At least two subnets in two different Availability Zones must be specified"),
    ({"Subnets": ["subnet-0", "subnet-1"]}, "SubnetNotFound", "subnet-"),
    ({"SecurityGroups": ["sg-0123456789abcdef0"]}, "InvalidSecurityGroup", "invalid"),
    ({"Type": "network"}, "InvalidConfigurationRequest", "Type=network"),
    ({"Type": "gateway"}, "InvalidConfigurationRequest", "Type=gateway"),
    ({"IpAddressType": "dualstack"}, "InvalidConfigurationRequest", "IpAddressType=dualstack"),
    ({"CustomerOwnedIpv4Pool": "ipv4pool-coip-1"}, "InvalidConfigurationRequest", "CustomerOwnedIpv4Pool"),
    ({"IpamPools": {"Ipv4IpamPoolId": "ipam-pool-1"}}, "InvalidConfigurationRequest", "IpamPools"),
    ({"Tags": [{"Key": "a", "Value": ""}] * 2}, "DuplicateTagKeys", "'a'"),
    ({"Tags": [{"Key": "aws:a", "Value": ""}]}, "ValidationError", "aws:"),
    ({"Scheme": "sideways"}, "ValidationError", "sideways"),
])
def test_bad_balancers_are_refused(simulated, elb, members, code, text):
    client = simulated.client("elbv2", parameter_validation=False)
    request = {"Name": "web", "Subnets": subnets(simulated)[:2], **members}
    refused(code, client.create_load_balancer, text, **request)
    assert not elb.describe_load_balancers()["LoadBalancers"]


def test_one_subnet_is_too_few(simulated, elb):
    one = subnets(simulated)[:1]
    for few in [one, one * 2]:
        refused("ValidationError", elb.create_load_balancer, "At least two subnets", Name="web", Subnets=few)


def test_pages_names_and_arns(simulated, elb):
    arns = [make_balancer(simulated, name)["LoadBalancerArn"] for name in "abc"]
    pages = list(elb.get_paginator("describe_load_balancers").paginate(PaginationConfig={"PageSize": 2}))
    assert [[one["LoadBalancerName"] for one in page["LoadBalancers"]] for page in pages] == [["a", "b"], ["c"]]
    [one] = elb.describe_load_balancers(LoadBalancerArns=[arns[1]])["LoadBalancers"]
    assert one["LoadBalancerName"] == "b"
    assert refused("LoadBalancerNotFound", elb.describe_load_balancers, Names=["a", "z"]) == "Load balancers '[z]' not found"
    refused("LoadBalancerNotFound", elb.describe_load_balancers, "not found", LoadBalancerArns=[arns[0][:-1] + "x"])
    refused("ValidationError", elb.describe_load_balancers, "'x' is not a valid load balancer ARN", LoadBalancerArns=["x"])
    refused("ValidationError", elb.describe_load_balancers, "marker", Marker="no marker of ours!")
    unchecked = simulated.client("elbv2", parameter_validation=False)
    refused("ValidationError", unchecked.describe_load_balancers, "401", PageSize=401)


def test_subnets_and_security_groups_change(simulated, elb):
    balancer = make_balancer(simulated)
    arn, [a, b, c] = balancer["LoadBalancerArn"], subnets(simulated)
    zones = elb.set_subnets(LoadBalancerArn=arn, Subnets=[b, c])["AvailabilityZones"]
    assert [zone["SubnetId"] for zone in zones] == [b, c]
    assert len(simulated.client("ec2").describe_network_interfaces()["NetworkInterfaces"]) == 2
    refused("ValidationError", elb.set_subnets, "At least two subnets", LoadBalancerArn=arn, Subnets=[a])
    ec2 = simulated.client("ec2")
    group = ec2.create_security_group(GroupName="elb", Description="d", VpcId=balancer["VpcId"])["GroupId"]
    assert elb.set_security_groups(LoadBalancerArn=arn, SecurityGroups=[group])["SecurityGroupIds"] == [group]
    interfaces = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert all([one["GroupId"] for one in interface["Groups"]] == [group] for interface in interfaces)
    with pytest.raises(botocore.exceptions.ClientError, match="DependencyViolation"):
        ec2.delete_security_group(GroupId=group)
    refused("InvalidSecurityGroup", elb.set_security_groups, LoadBalancerArn=arn, SecurityGroups=["sg-1"])
    elb.delete_load_balancer(LoadBalancerArn=arn)
    ec2.delete_security_group(GroupId=group)


def test_address_types(simulated, elb):
    arn = make_balancer(simulated)["LoadBalancerArn"]
    assert elb.set_ip_address_type(LoadBalancerArn=arn, IpAddressType="ipv4")["IpAddressType"] == "ipv4"
    refused("InvalidConfigurationRequest", elb.set_ip_address_type, LoadBalancerArn=arn, IpAddressType="dualstack")


def test_a_vpc_of_ones_own(simulated, elb):
    ec2 = simulated.client("ec2")
    own = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    made = [ec2.create_subnet(VpcId=own, CidrBlock=f"10.7.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]["SubnetId"]
            for n, zone in enumerate("ab")]
    refused("InvalidSubnet", elb.create_load_balancer, f"VPC {own} has no internet gateway", Name="own", Subnets=made)
    internal = make_balancer(simulated, "own", Subnets=made, Scheme="internal")
    assert internal["VpcId"] == own
    refused("InvalidConfigurationRequest", elb.set_subnets, LoadBalancerArn=internal["LoadBalancerArn"],
            Subnets=subnets(simulated)[:2])
    elb.delete_load_balancer(LoadBalancerArn=internal["LoadBalancerArn"])
    for subnet in made:
        ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=own)


def attributes(elb, arn):
    return {one["Key"]: one["Value"] for one in elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]}


def test_attributes(simulated, elb):
    arn = make_balancer(simulated)["LoadBalancerArn"]
    before = attributes(elb, arn)
    assert before["idle_timeout.timeout_seconds"] == "60" and before["client_keep_alive.seconds"] == "3600"
    assert before["routing.http.desync_mitigation_mode"] == "defensive" and before["load_balancing.cross_zone.enabled"] == "true"
    set_one = lambda key, value: elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[{"Key": key, "Value": value}])
    answer = set_one("idle_timeout.timeout_seconds", "5")["Attributes"]
    assert {"Key": "idle_timeout.timeout_seconds", "Value": "5"} in answer
    assert attributes(elb, arn) == {**before, "idle_timeout.timeout_seconds": "5"}
    for key, value, code in [
        ("idle_timeout.timeout_seconds", "4001", "ValidationError"),
        ("deletion_protection.enabled", "on", "ValidationError"),
        ("routing.http.xff_header_processing.mode", "drop", "ValidationError"),
        ("no.such.key", "1", "ValidationError"),
        ("dns_record.client_routing_policy", "any_availability_zone", "ValidationError"),
        ("waf.fail_open.enabled", "true", "InvalidConfigurationRequest"),
        ("zonal_shift.config.enabled", "true", "InvalidConfigurationRequest"),
        ("load_balancing.cross_zone.enabled", "false", "InvalidConfigurationRequest"),
        ("access_logs.s3.enabled", "true", "InvalidConfigurationRequest"),
    ]:
        assert key in refused(code, set_one, key=key, value=value) or key == "load_balancing.cross_zone.enabled"
    set_one("deletion_protection.enabled", "true")
    text = refused("OperationNotPermitted", elb.delete_load_balancer, LoadBalancerArn=arn)
    assert text == f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled"


def test_tags_of_every_resource(simulated, elb):
    balancer = make_balancer(simulated)["LoadBalancerArn"]
    group = make_group(simulated)
    listener = make_listener(simulated, balancer, actions=forward(group))["ListenerArn"]
    rule = elb.create_rule(
        ListenerArn=listener, Priority=1, Actions=forward(group), Conditions=[{"Field": "path-pattern", "Values": ["/a"]}],
        Tags=[{"Key": "own", "Value": "1"}])["Rules"][0]["RuleArn"]
    arns = [balancer, group, listener, rule]
    elb.add_tags(ResourceArns=arns, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}])
    elb.remove_tags(ResourceArns=arns[:1], TagKeys=["a"])
    shown = elb.describe_tags(ResourceArns=arns)["TagDescriptions"]
    assert [one["ResourceArn"] for one in shown] == arns
    assert [sorted(tag["Key"] for tag in one["Tags"]) for one in shown] == [["b"], ["a", "b"], ["a", "b"], ["a", "b", "own"]]
    refused("DuplicateTagKeys", elb.add_tags, ResourceArns=arns, Tags=[{"Key": "x", "Value": ""}] * 2)
    refused("TooManyTags", elb.add_tags, ResourceArns=arns, Tags=[{"Key": f"k{n}", "Value": ""} for n in range(51)])
    refused("ValidationError", elb.describe_tags, ResourceArns=["nonsense"])
    refused("ValidationError", elb.describe_tags, ResourceArns=arns * 6)
    refused("RuleNotFound", elb.describe_tags, ResourceArns=[rule[:-1] + "x"])


def test_limits_policies_and_reservations(simulated, elb):
    limits = {one["Name"]: one["Max"] for page in elb.get_paginator("describe_account_limits").paginate(
        PaginationConfig={"PageSize": 3}) for one in page["Limits"]}
    assert limits["rules-per-application-load-balancer"] == "100"
    policies = [one for page in elb.get_paginator("describe_ssl_policies").paginate(PaginationConfig={"PageSize": 10})
                for one in page["SslPolicies"]]
    assert len({one["Name"] for one in policies}) == len(policies) > 20
    [modern] = elb.describe_ssl_policies(Names=["ELBSecurityPolicy-TLS13-1-2-2021-06"])["SslPolicies"]
    assert set(modern["SslProtocols"]) == {"TLSv1.2", "TLSv1.3"}
    assert modern["Ciphers"][0] == {"Name": "TLS_AES_128_GCM_SHA256", "Priority": 1}
    refused("SSLPolicyNotFound", elb.describe_ssl_policies, Names=["none"])
    arn = make_balancer(simulated)["LoadBalancerArn"]
    assert "MinimumLoadBalancerCapacity" not in elb.describe_capacity_reservation(LoadBalancerArn=arn)


def test_what_is_not_there_is_refused_by_name(simulated, elb):
    arn = make_balancer(simulated)["LoadBalancerArn"]
    for name, members in [
        ("create_trust_store", {"Name": "t", "CaCertificatesBundleS3Bucket": "b", "CaCertificatesBundleS3Key": "k"}),
        ("modify_capacity_reservation", {"LoadBalancerArn": arn, "ResetCapacityReservation": True}),
        ("modify_ip_pools", {"LoadBalancerArn": arn}),
        ("describe_trust_stores", {}),
    ]:
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            getattr(elb, name)(**members)
        assert "".join(part.title() for part in name.split("_")) in str(caught.value)


def test_the_aws_cli(simulated, elb):
    [a, b, _] = subnets(simulated)
    made = simulated.aws("elbv2", "create-load-balancer", "--name", "cli", "--subnets", a, b)["LoadBalancers"][0]
    arn = made["LoadBalancerArn"]
    simulated.aws("elbv2", "wait", "load-balancer-available", "--load-balancer-arns", arn)
    group = simulated.aws("elbv2", "create-target-group", "--name", "cli", "--protocol", "HTTP", "--port", "8080",
                          "--vpc-id", vpc(simulated), "--target-type", "ip")["TargetGroups"][0]["TargetGroupArn"]
    one, other = spare(simulated), spare(simulated)
    simulated.aws("elbv2", "register-targets", "--target-group-arn", group, "--targets", f"Id={one}", f"Id={other},Port=81")
    listener = simulated.aws("elbv2", "create-listener", "--load-balancer-arn", arn, "--protocol", "HTTP", "--port", "80",
                             "--default-actions", f"Type=forward,TargetGroupArn={group}")["Listeners"][0]["ListenerArn"]
    simulated.aws("elbv2", "create-rule", "--listener-arn", listener, "--priority", "5", "--conditions",
                  "Field=path-pattern,Values=/old/*", "--actions", json.dumps([{"Type": "redirect", "RedirectConfig": {
                      "Path": "/new/#{path}", "StatusCode": "HTTP_302"}}]))
    simulated.aws("elbv2", "wait", "target-in-service", "--target-group-arn", group)
    rules = simulated.aws("elbv2", "describe-rules", "--listener-arn", listener)["Rules"]
    assert [rule["Priority"] for rule in rules] == ["5", "default"]
    simulated.aws("elbv2", "deregister-targets", "--target-group-arn", group, "--targets", f"Id={other},Port=81")
    health = simulated.aws("elbv2", "describe-target-health", "--target-group-arn", group)["TargetHealthDescriptions"]
    assert sorted(one["TargetHealth"]["State"] for one in health) == ["draining", "healthy"]
    simulated.aws("elbv2", "modify-target-group-attributes", "--target-group-arn", group, "--attributes",
                  "Key=stickiness.enabled,Value=true")
    simulated.aws("elbv2", "delete-listener", "--listener-arn", listener)
    simulated.aws("elbv2", "delete-load-balancer", "--load-balancer-arn", arn)
    simulated.aws("elbv2", "wait", "load-balancers-deleted", "--load-balancer-arns", arn)
    failed = simulated.aws("elbv2", "describe-load-balancers", "--names", "cli", check=False)
    assert failed.returncode != 0 and "LoadBalancerNotFound" in failed.stderr


def test_hostile_requests_are_answered(simulated, elb):
    for body in [
        b"Action=CreateLoadBalancer&Version=2015-12-01",
        b"Action=CreateLoadBalancer&Version=2015-12-01&Name=" + b"x" * 100_000,
        b"Action=CreateListener&Version=2015-12-01&LoadBalancerArn=x&Port=abc&DefaultActions.member.1.Type=forward",
        b"Action=RegisterTargets&Version=2015-12-01&TargetGroupArn=x&Targets.member.99999999.Id=1",
        b"Action=DescribeRules&Version=2015-12-01&PageSize=99999999999999999999",
        b"Action=CreateRule&Version=2015-12-01&ListenerArn=%00&Priority=1&Conditions.member.1.Field=%ff",
        b"Action=Nonsense&Version=2015-12-01",
    ]:
        answer = simulated.form_call("elasticloadbalancing", body)
        assert answer.status == 400, answer.text
        assert answer.xml("Code"), answer.text
    assert elb.describe_load_balancers()["LoadBalancers"] == []
