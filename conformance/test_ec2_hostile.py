"""Every operation of EC2 with every member that it knows, filled with what it does not expect: an answer, and no panic."""

import random

import botocore.exceptions
import pytest

OPERATIONS = """
AssociateRouteTable AttachInternetGateway AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress CreateInternetGateway
CreateNetworkInterface CreateRoute CreateRouteTable CreateSecurityGroup CreateSubnet CreateTags CreateVpc DeleteInternetGateway
DeleteNetworkInterface DeleteRoute DeleteRouteTable DeleteSecurityGroup DeleteSubnet DeleteTags DeleteVpc DescribeAccountAttributes
DescribeAvailabilityZones DescribeInstanceStatus DescribeInstances DescribeInternetGateways DescribeNetworkAcls
DescribeNetworkInterfaceAttribute DescribeNetworkInterfaces DescribeRegions DescribeRouteTables DescribeSecurityGroupReferences
DescribeSecurityGroupRules DescribeSecurityGroups DescribeSubnets DescribeTags DescribeVpcAttribute DescribeVpcs
DetachInternetGateway DisassociateRouteTable ModifyInstanceAttribute ModifyNetworkInterfaceAttribute ModifySecurityGroupRules
ModifySubnetAttribute ModifyVpcAttribute ReplaceRoute ReplaceRouteTableAssociation RevokeSecurityGroupEgress
RevokeSecurityGroupIngress UpdateSecurityGroupRuleDescriptionsEgress UpdateSecurityGroupRuleDescriptionsIngress
""".split()

TEXTS = ["", "x", "-1", "0", "99999999999999999999", "a" * 300, "sg-", "vpc-1", "subnet-*", "eni-\t", "rtb-é", "0.0.0.0/0", "10.0.0.0/33",
         "::/0", "1.2.3.4/-1", "\\", "*" * 50, "aws:x", "tcp", "-1", "icmp", "None", "enableDnsSupport", "💥", "<&>", "%00", "i-", "default"]
NUMBERS = [-2147483648, -1, 0, 1, 5, 255, 256, 65535, 65536, 2147483647]


def ids(ec2):
    """Some that are there."""
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/28")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    groups = ec2.describe_security_groups()["SecurityGroups"]
    rules = ec2.describe_security_group_rules()["SecurityGroupRules"]
    eni = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    return [vpc, gateway, subnet, table, eni, groups[0]["GroupId"], groups[-1]["GroupId"], rules[0]["SecurityGroupRuleId"]]


def value(shape, chance, known, depth=0):
    match shape.type_name:
        case "structure":
            names = [name for name in shape.members if chance.random() < (0.5 if depth else 0.35) or name in shape.required_members]
            return {name: value(shape.members[name], chance, known, depth + 1) for name in names}
        case "list":
            return [value(shape.member, chance, known, depth + 1) for _ in range(chance.choice([0, 1, 1, 2, 3]))]
        case "integer" | "long":
            return chance.choice(NUMBERS)
        case "boolean":
            return chance.random() < 0.5
        case "blob":
            return b"\x00\xff"
        case "timestamp":
            return 0
        case _:
            if getattr(shape, "enum", None) and chance.random() < 0.5:
                return chance.choice(shape.enum)
            return chance.choice(known if chance.random() < 0.4 else TEXTS)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_anything(simulated, operation):
    ec2 = simulated.client("ec2", account="830000000000", parameter_validation=False)
    chance = random.Random(operation)
    known = ids(ec2) if not ec2.describe_network_interfaces()["NetworkInterfaces"] else [
        *[one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"]], *[one["GroupId"] for one in ec2.describe_security_groups()["SecurityGroups"]],
        *[one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]],
        *[one["RouteTableId"] for one in ec2.describe_route_tables()["RouteTables"]],
        *[one["NetworkInterfaceId"] for one in ec2.describe_network_interfaces()["NetworkInterfaces"]],
        *[one["SecurityGroupRuleId"] for one in ec2.describe_security_group_rules()["SecurityGroupRules"]],
        *[one["InternetGatewayId"] for one in ec2.describe_internet_gateways()["InternetGateways"]]]
    shape = ec2.meta.service_model.operation_model(operation).input_shape
    statuses = set()
    for _ in range(60):
        members = value(shape, chance, known)
        try:
            answer = ec2._make_api_call(operation, members)
        except botocore.exceptions.ClientError as error:
            answer = error.response
            assert answer["Error"]["Code"] and answer["Error"]["Message"], (members, answer)
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
        assert status in (200, 400, 412), (members, answer)
        statuses.add(status)
    assert statuses
    # What always holds, holds.
    assert len(ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]) == 1
    vpcs = sorted(one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"])
    defaults = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])["SecurityGroups"]
    assert sorted(one["VpcId"] for one in defaults) == vpcs
    tables = ec2.describe_route_tables()["RouteTables"]
    assert sorted(table["VpcId"] for table in tables for one in table["Associations"] if one["Main"]) == vpcs
    subnets = [one.get("SubnetId") for table in tables for one in table["Associations"] if not one["Main"]]
    assert len(subnets) == len(set(subnets))
    assert len(ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]) == 3
