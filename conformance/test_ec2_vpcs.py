"""VPCs of a user's own: subnets, gateways, routes, tags, and tasks that stand in them."""

import ipaddress

import pytest

from conftest import Server, define, refused, running, stopped


@pytest.fixture(scope="module")
def ec2(simulated):
    return simulated.client("ec2", account="820000000001")


def filters(**members):
    return [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in members.items()]


def tagged(kind, **tags):
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]


def test_a_vpc_from_cradle_to_grave(ec2):
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tagged("vpc", Name="mine"))["Vpc"]
    assert (vpc["State"], vpc["IsDefault"], vpc["InstanceTenancy"]) in [("pending", False, "default"), ("available", False, "default")]
    assert vpc["Tags"] == [{"Key": "Name", "Value": "mine"}]
    vpc = vpc["VpcId"]
    ec2.get_waiter("vpc_available").wait(VpcIds=[vpc])
    ec2.get_waiter("vpc_exists").wait(VpcIds=[vpc])
    [group] = ec2.describe_security_groups(Filters=filters(vpc_id=vpc))["SecurityGroups"]
    assert group["GroupName"] == "default"
    [main] = ec2.describe_route_tables(Filters=filters(vpc_id=vpc))["RouteTables"]
    assert main["Associations"][0]["Main"] is True
    assert [(r["DestinationCidrBlock"], r["GatewayId"], r["Origin"], r["State"]) for r in main["Routes"]] == [
        ("10.0.0.0/16", "local", "CreateRouteTable", "active")]

    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24")["Subnet"] for n in range(3)]
    ec2.get_waiter("subnet_available").wait(SubnetIds=[subnet["SubnetId"] for subnet in subnets])
    assert sorted(subnet["AvailabilityZone"] for subnet in subnets) == ["us-east-1a", "us-east-1b", "us-east-1c"]
    assert all(subnet["AvailableIpAddressCount"] == 251 and not subnet["MapPublicIpOnLaunch"] for subnet in subnets)

    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.get_waiter("internet_gateway_exists").wait(InternetGatewayIds=[gateway])
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    assert ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)["Return"] is True
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnets[0]["SubnetId"])["AssociationId"]
    [shown] = ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnets[0]["SubnetId"]]}])["RouteTables"]
    assert shown["RouteTableId"] == table
    assert shown["Routes"][1] == {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway, "Origin": "CreateRoute", "State": "active"}
    ec2.modify_subnet_attribute(SubnetId=subnets[0]["SubnetId"], MapPublicIpOnLaunch={"Value": True})
    [public] = ec2.describe_subnets(Filters=filters(vpc_id=vpc, map_public_ip_on_launch="true"))["Subnets"]
    assert public["SubnetId"] == subnets[0]["SubnetId"]

    message = refused("DependencyViolation", ec2.delete_vpc, VpcId=vpc)
    assert message == f"The vpc '{vpc}' has dependencies and cannot be deleted."
    refused("DependencyViolation", ec2.delete_route_table, RouteTableId=table)
    refused("DependencyViolation", ec2.delete_internet_gateway, InternetGatewayId=gateway)
    ec2.disassociate_route_table(AssociationId=association)
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    ec2.delete_route_table(RouteTableId=table)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    for subnet in subnets:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    ec2.delete_vpc(VpcId=vpc)
    refused("InvalidVpcID.NotFound", ec2.describe_vpcs, VpcIds=[vpc])
    assert ec2.describe_security_groups(Filters=filters(vpc_id=vpc))["SecurityGroups"] == []


@pytest.mark.parametrize("code,text,members", [
    ("InvalidVpc.Range", "The CIDR '10.0.0.0/8' is invalid.", {"CidrBlock": "10.0.0.0/8"}),
    ("InvalidVpc.Range", "The CIDR '10.0.0.0/29' is invalid.", {"CidrBlock": "10.0.0.0/29"}),
    ("InvalidParameterValue", "This is not a valid CIDR block", {"CidrBlock": "10.0.0.0"}),
    ("InvalidParameterValue", "This is not a valid CIDR block", {"CidrBlock": "nonsense"}),
    ("MissingParameter", "'cidrBlock' or 'ipv4IpamPoolId'", {}),
    ("UnsupportedOperation", "InstanceTenancy=dedicated", {"CidrBlock": "10.0.0.0/16", "InstanceTenancy": "dedicated"}),
    ("UnsupportedOperation", "AmazonProvidedIpv6CidrBlock", {"CidrBlock": "10.0.0.0/16", "AmazonProvidedIpv6CidrBlock": True}),
    ("UnsupportedOperation", "Ipv4IpamPoolId", {"Ipv4IpamPoolId": "ipam-pool-0123456789abcdef0", "Ipv4NetmaskLength": 24}),
    ("DryRunOperation", "would have succeeded", {"CidrBlock": "10.0.0.0/16", "DryRun": True}),
])
def test_bad_vpcs(ec2, code, text, members):
    refused(code, ec2.create_vpc, text, **members)


@pytest.fixture(scope="module")
def vpc(ec2):
    vpc = ec2.create_vpc(CidrBlock="10.1.2.3/16")["Vpc"]
    assert vpc["CidrBlock"] == "10.1.0.0/16"
    ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock="10.1.0.0/24")
    return vpc["VpcId"]


@pytest.mark.parametrize("code,text,members", [
    ("InvalidSubnet.Range", "The CIDR '10.2.0.0/24' is invalid.", {"CidrBlock": "10.2.0.0/24"}),
    ("InvalidSubnet.Range", "The CIDR '10.1.1.0/29' is invalid.", {"CidrBlock": "10.1.1.0/29"}),
    ("InvalidSubnet.Conflict", "The CIDR '10.1.0.128/25' conflicts with another subnet", {"CidrBlock": "10.1.0.128/25"}),
    ("InvalidSubnet.Conflict", "The CIDR '10.1.0.0/16' conflicts with another subnet", {"CidrBlock": "10.1.0.0/16"}),
    ("InvalidParameterValue", "This is not a valid CIDR block", {"CidrBlock": "nonsense"}),
    ("InvalidParameterValue", "us-east-1a, us-east-1b, us-east-1c", {"CidrBlock": "10.1.1.0/24", "AvailabilityZone": "eu-west-1a"}),
    ("InvalidVpcID.NotFound", "does not exist", {"CidrBlock": "10.1.1.0/24", "VpcId": "vpc-0123456789abcdef0"}),
    ("UnsupportedOperation", "Ipv6CidrBlock", {"CidrBlock": "10.1.1.0/24", "Ipv6CidrBlock": "2001:db8::/64"}),
])
def test_bad_subnets(ec2, vpc, code, text, members):
    refused(code, ec2.create_subnet, text, **{"VpcId": vpc, **members})


def test_zones_of_subnets(ec2, vpc):
    by_name = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.10.0/24", AvailabilityZone="us-east-1c")["Subnet"]
    by_id = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.11.0/24", AvailabilityZoneId="use1-az2")["Subnet"]
    assert (by_name["AvailabilityZone"], by_id["AvailabilityZone"]) == ("us-east-1c", "us-east-1b")


def test_attributes_of_a_vpc(ec2, vpc):
    of = lambda name: ec2.describe_vpc_attribute(VpcId=vpc, Attribute=name)  # noqa: E731
    assert of("enableDnsSupport")["EnableDnsSupport"]["Value"] is True
    assert of("enableDnsHostnames")["EnableDnsHostnames"]["Value"] is False
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert of("enableDnsHostnames")["EnableDnsHostnames"]["Value"] is True
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": True})
    refused("UnsupportedOperation", ec2.modify_vpc_attribute, "EnableDnsSupport", VpcId=vpc, EnableDnsSupport={"Value": False})
    [default] = ec2.describe_vpcs(Filters=filters(is_default="true"))["Vpcs"]
    answer = ec2.describe_vpc_attribute(VpcId=default["VpcId"], Attribute="enableDnsHostnames")
    assert answer["EnableDnsHostnames"]["Value"] is True


def test_routes(ec2, vpc):
    [main] = ec2.describe_route_tables(Filters=[*filters(vpc_id=vpc), {"Name": "association.main", "Values": ["true"]}])["RouteTables"]
    table = main["RouteTableId"]
    gateway = ec2.create_internet_gateway(TagSpecifications=tagged("internet-gateway", of="routes"))["InternetGateway"]["InternetGatewayId"]
    route = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway}
    message = refused("InvalidParameterValue", ec2.create_route, **route)
    assert message == f"route table {table} and network gateway {gateway} belong to different networks"
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    refused("Resource.AlreadyAssociated", ec2.attach_internet_gateway, InternetGatewayId=gateway, VpcId=vpc)
    ec2.create_route(**route)
    assert refused("RouteAlreadyExists", ec2.create_route, **route) == "The route identified by 0.0.0.0/0 already exists."
    ec2.replace_route(**route)
    refused("InvalidParameterValue", ec2.create_route, "equal to or more specific", **{**route, "DestinationCidrBlock": "10.1.0.0/24"})
    refused("UnsupportedOperation", ec2.create_route, "NatGatewayId", RouteTableId=table,
            DestinationCidrBlock="0.0.0.0/0", NatGatewayId="nat-0123456789abcdef0")
    refused("InvalidInternetGatewayID.NotFound", ec2.replace_route, **{**route, "GatewayId": "igw-0123456789abcdef0"})
    refused("InvalidParameterValue", ec2.delete_route, "cannot remove local route", RouteTableId=table, DestinationCidrBlock="10.1.0.0/16")
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    [shown] = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    assert [route["State"] for route in shown["Routes"]] == ["active", "blackhole"]
    refused("Gateway.NotAttached", ec2.detach_internet_gateway, InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    refused("InvalidRoute.NotFound", ec2.delete_route, RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")


def test_the_main_table_moves(ec2, vpc):
    main = lambda: ec2.describe_route_tables(  # noqa: E731
        Filters=[*filters(vpc_id=vpc), {"Name": "association.main", "Values": ["true"]}])["RouteTables"][0]
    before = main()
    [association] = [one["RouteTableAssociationId"] for one in before["Associations"] if one["Main"]]
    refused("InvalidParameterValue", ec2.disassociate_route_table, "main route table association", AssociationId=association)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    new = ec2.replace_route_table_association(AssociationId=association, RouteTableId=table)["NewAssociationId"]
    assert (main()["RouteTableId"], new == association) == (table, False)
    ec2.replace_route_table_association(AssociationId=new, RouteTableId=before["RouteTableId"])
    ec2.delete_route_table(RouteTableId=table)


def test_tags(ec2, vpc):
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}])
    assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [vpc]}])["Tags"] == [
        {"Key": "a", "ResourceId": vpc, "ResourceType": "vpc", "Value": "1"},
        {"Key": "b", "ResourceId": vpc, "ResourceType": "vpc", "Value": ""}]
    assert [one["VpcId"] for one in ec2.describe_vpcs(Filters=[{"Name": "tag:a", "Values": ["1"]}])["Vpcs"]] == [vpc]
    ec2.delete_tags(Resources=[vpc], Tags=[{"Key": "a", "Value": "2"}, {"Key": "b"}])
    [left] = ec2.get_paginator("describe_tags").paginate(Filters=[{"Name": "resource-id", "Values": [vpc]}]).build_full_result()["Tags"]
    assert left["Key"] == "a"
    refused("InvalidID", ec2.create_tags, Resources=["nonsense"], Tags=[{"Key": "a", "Value": "1"}])
    refused("InvalidParameterValue", ec2.create_tags, "reserved", Resources=[vpc], Tags=[{"Key": "aws:a", "Value": "1"}])
    refused("TagLimitExceeded", ec2.create_tags, Resources=[vpc], Tags=[{"Key": str(n), "Value": ""} for n in range(51)])


def test_network_acls(ec2, vpc):
    [acl] = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc]}, {"Name": "default", "Values": ["true"]}])["NetworkAcls"]
    subnets = {one["SubnetId"] for one in ec2.describe_subnets(Filters=filters(vpc_id=vpc))["Subnets"]}
    assert {one["SubnetId"] for one in acl["Associations"]} == subnets
    assert [(one["RuleNumber"], one["RuleAction"], one["Egress"]) for one in acl["Entries"]] == [
        (100, "allow", True), (32767, "deny", True), (100, "allow", False), (32767, "deny", False)]
    refused("InvalidNetworkAclID.NotFound", ec2.describe_network_acls, NetworkAclIds=["acl-0123456789abcdef0"])
    refused("InvalidAction", ec2.create_network_acl, "Boxship", VpcId=vpc)


def test_what_was_answered_is_kept():
    """Also when the server is killed at once."""
    server = Server("simulated").start()
    try:
        ec2 = server.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        group = ec2.create_security_group(GroupName="kept", Description="x", VpcId=vpc)["GroupId"]
        [default] = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
        permission = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": group}]}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
        ec2.create_tags(Resources=[default["GroupId"]], Tags=[{"Key": "a", "Value": "b"}])
        everything = lambda: [  # noqa: E731
            ec2.describe_vpcs()["Vpcs"], ec2.describe_subnets()["Subnets"], ec2.describe_route_tables()["RouteTables"],
            ec2.describe_security_groups()["SecurityGroups"], ec2.describe_security_group_rules()["SecurityGroupRules"],
            ec2.describe_tags()["Tags"], ec2.describe_network_acls()["NetworkAcls"]]
        before = everything()
        server.kill()
        server.start()
        ec2 = server.client("ec2")
        assert everything() == before
        assert subnet in [one["SubnetId"] for one in before[1]]
    finally:
        server.down()


def test_default_resources_stay(ec2):
    [default] = ec2.describe_vpcs(Filters=filters(is_default="true"))["Vpcs"]
    refused("UnsupportedOperation", ec2.delete_vpc, VpcId=default["VpcId"])
    [subnet, *_] = ec2.describe_subnets(Filters=filters(default_for_az="true"))["Subnets"]
    refused("UnsupportedOperation", ec2.delete_subnet, SubnetId=subnet["SubnetId"])
    ec2.create_tags(Resources=[default["VpcId"], subnet["SubnetId"]], Tags=[{"Key": "kept", "Value": "here"}])
    [again] = ec2.describe_subnets(Filters=[{"Name": "tag:kept", "Values": ["here"]}])["Subnets"]
    assert again["SubnetId"] == subnet["SubnetId"]
    assert len(ec2.describe_subnets(Filters=filters(default_for_az="true"))["Subnets"]) == 3


def test_tasks_stand_in_an_own_vpc(simulated):
    ec2, ecs = simulated.client("ec2"), simulated.client("ecs")
    ecs.create_cluster(clusterName="default")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="web", Description="x", VpcId=vpc)["GroupId"]
    definition = define(simulated, "own-vpc", [{"image": "web:1"}])
    run = lambda **network: ecs.run_task(  # noqa: E731
        taskDefinition=definition, launchType="FARGATE", networkConfiguration={"awsvpcConfiguration": network})
    [task] = run(subnets=[subnet], securityGroups=[group], assignPublicIp="ENABLED")["tasks"]
    task = running(simulated, task["taskArn"])
    details = {one["name"]: one["value"] for one in task["attachments"][0]["details"]}
    assert ipaddress.ip_address(details["privateIPv4Address"]) in ipaddress.ip_network("10.7.1.0/24")
    [interface] = ec2.describe_network_interfaces(Filters=filters(vpc_id=vpc))["NetworkInterfaces"]
    assert (interface["SubnetId"], interface["Groups"]) == (subnet, [{"GroupId": group, "GroupName": "web"}])
    refused("DependencyViolation", ec2.delete_subnet, SubnetId=subnet)
    [default] = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    refused("InvalidParameterException", lambda **members: run(**members), "same VPC", subnets=[subnet],
            securityGroups=[default["GroupId"]])
    ecs.stop_task(task=task["taskArn"])
    stopped(simulated, task["taskArn"])
    ec2.delete_security_group(GroupId=group)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)


def test_aws_cli(simulated):
    aws = lambda *arguments, **options: simulated.aws("ec2", *arguments, **options)  # noqa: E731
    vpc = aws("create-vpc", "--cidr-block", "10.8.0.0/16", "--tag-specifications", "ResourceType=vpc,Tags=[{Key=Name,Value=cli}]")
    vpc = vpc["Vpc"]["VpcId"]
    aws("modify-vpc-attribute", "--vpc-id", vpc, "--enable-dns-hostnames")
    subnet = aws("create-subnet", "--vpc-id", vpc, "--cidr-block", "10.8.1.0/24", "--availability-zone", "us-east-1b")
    subnet = subnet["Subnet"]["SubnetId"]
    aws("modify-subnet-attribute", "--subnet-id", subnet, "--map-public-ip-on-launch")
    gateway = aws("create-internet-gateway")["InternetGateway"]["InternetGatewayId"]
    aws("attach-internet-gateway", "--vpc-id", vpc, "--internet-gateway-id", gateway)
    table = aws("create-route-table", "--vpc-id", vpc)["RouteTable"]["RouteTableId"]
    aws("create-route", "--route-table-id", table, "--destination-cidr-block", "0.0.0.0/0", "--gateway-id", gateway)
    association = aws("associate-route-table", "--route-table-id", table, "--subnet-id", subnet)["AssociationId"]
    wrong = aws("delete-vpc", "--vpc-id", vpc, check=False)
    assert "(DependencyViolation)" in wrong.stderr
    aws("disassociate-route-table", "--association-id", association)
    aws("delete-route-table", "--route-table-id", table)
    aws("detach-internet-gateway", "--vpc-id", vpc, "--internet-gateway-id", gateway)
    aws("delete-internet-gateway", "--internet-gateway-id", gateway)
    aws("delete-subnet", "--subnet-id", subnet)
    aws("delete-vpc", "--vpc-id", vpc)
