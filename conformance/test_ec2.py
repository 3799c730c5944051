"""The default VPC of every account and region, and what describes it."""

import ipaddress

import pytest

from conftest import define, refused, run_task, running


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
@pytest.mark.parametrize("account", ["800000000000", "123456789012"])
def test_every_account_and_region_has_a_default_vpc(simulated, account, region):
    ec2 = simulated.client("ec2", account=account, region=region)
    [vpc] = ec2.describe_vpcs()["Vpcs"]
    assert (vpc["CidrBlock"], vpc["IsDefault"], vpc["State"]) == ("172.31.0.0/16", True, "available")
    assert vpc["OwnerId"] == account
    subnets = ec2.describe_subnets()["Subnets"]
    assert sorted(s["AvailabilityZone"] for s in subnets) == [f"{region}{zone}" for zone in "abc"]
    networks = [ipaddress.ip_network(s["CidrBlock"]) for s in subnets]
    assert all(network.prefixlen == 20 and network.subnet_of(ipaddress.ip_network("172.31.0.0/16")) for network in networks)
    assert len(set(networks)) == 3
    assert all(s["DefaultForAz"] and s["MapPublicIpOnLaunch"] and s["VpcId"] == vpc["VpcId"] for s in subnets)
    assert all(s["AvailableIpAddressCount"] == 4091 for s in subnets)
    [group] = ec2.describe_security_groups()["SecurityGroups"]
    assert (group["GroupName"], group["VpcId"], group["OwnerId"]) == ("default", vpc["VpcId"], account)
    assert group["IpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"] == group["GroupId"]
    assert group["IpPermissionsEgress"][0]["IpRanges"][0]["CidrIp"] == "0.0.0.0/0"
    [table] = ec2.describe_route_tables()["RouteTables"]
    assert any(route.get("GatewayId", "").startswith("igw-") for route in table["Routes"])
    [gateway] = ec2.describe_internet_gateways()["InternetGateways"]
    assert gateway["Attachments"][0]["VpcId"] == vpc["VpcId"]
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert [zone["ZoneName"] for zone in zones] == [f"{region}{zone}" for zone in "abc"]


def test_ids_differ(simulated):
    ids = {simulated.client("ec2", account=account, region=region).describe_vpcs()["Vpcs"][0]["VpcId"]
           for account in ["000000000000", "123456789012"] for region in ["us-east-1", "eu-central-1"]}
    assert len(ids) == 4


def test_filters(simulated):
    ec2 = simulated.client("ec2")
    [vpc] = ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])["Vpcs"]
    assert ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["false"]}])["Vpcs"] == []
    assert ec2.describe_vpcs(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"], "vpc-other"]}])["Vpcs"] == [vpc]
    of = lambda *filters: [s["AvailabilityZone"] for s in ec2.describe_subnets(  # noqa: E731
        Filters=[{"Name": name, "Values": list(values)} for name, *values in filters])["Subnets"]]
    assert of(("availability-zone", "us-east-1b")) == ["us-east-1b"]
    assert sorted(of(("availability-zone", "us-east-1b", "us-east-1c"))) == ["us-east-1b", "us-east-1c"]
    assert of(("availability-zone", "us-east-1b"), ("vpc-id", "vpc-other")) == []
    assert len(of(("vpc-id", vpc["VpcId"]))) == len(of(("cidr-block", "172.31.*"))) == 3
    assert of(("default-for-az", "false")) == []
    assert of(("tag:Name", "x")) == []
    refused("InvalidParameterValue", ec2.describe_vpcs, "The filter 'ghost' is invalid",
            Filters=[{"Name": "ghost", "Values": ["x"]}])


@pytest.mark.parametrize("operation,parameter,prefix,code", [
    ("describe_vpcs", "VpcIds", "vpc", "InvalidVpcID"),
    ("describe_subnets", "SubnetIds", "subnet", "InvalidSubnetID"),
    ("describe_security_groups", "GroupIds", "sg", "InvalidGroup"),
    ("describe_network_interfaces", "NetworkInterfaceIds", "eni", "InvalidNetworkInterfaceID"),
    ("describe_route_tables", "RouteTableIds", "rtb", "InvalidRouteTableID"),
    ("describe_internet_gateways", "InternetGatewayIds", "igw", "InvalidInternetGatewayID"),
])
def test_missing_and_malformed_ids(simulated, operation, parameter, prefix, code):
    call = getattr(simulated.client("ec2"), operation)
    missing = f"{prefix}-0123456789abcdef0"
    assert missing in refused(f"{code}.NotFound", call, "does not exist", **{parameter: [missing]})
    with pytest.raises(Exception, match="Malformed"):
        call(**{parameter: ["nonsense"]})


def test_pages(simulated):
    ec2 = simulated.client("ec2")
    first = ec2.describe_subnets(MaxResults=5)
    assert len(first["Subnets"]) == 3 and not first.get("NextToken")
    unchecked = simulated.client("ec2", parameter_validation=False)
    refused("InvalidParameterValue", unchecked.describe_subnets, "greater than or equal to 5", MaxResults=4)
    refused("InvalidParameterCombination", ec2.describe_network_interfaces, MaxResults=5,
            NetworkInterfaceIds=["eni-0123456789abcdef0"])
    refused("InvalidPaginationToken", ec2.describe_subnets, MaxResults=5, NextToken="nonsense")
    arns = run_task(simulated, define(simulated, "pages", [{"image": "web:1"}]), count=7)
    running(simulated, arns[-1])
    pages = list(ec2.get_paginator("describe_network_interfaces").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["NetworkInterfaces"]) for page in pages] == [5, 2]
    found = [eni for page in pages for eni in page["NetworkInterfaces"]]
    assert len({eni["PrivateIpAddress"] for eni in found}) == 7
    assert all(eni["Status"] == "in-use" and eni["InterfaceType"] == "interface" for eni in found)
    one = found[0]
    for name, value in [("subnet-id", one["SubnetId"]), ("private-ip-address", one["PrivateIpAddress"]),
                        ("addresses.private-ip-address", one["PrivateIpAddress"]), ("mac-address", one["MacAddress"])]:
        answer = ec2.describe_network_interfaces(Filters=[{"Name": name, "Values": [value]}])["NetworkInterfaces"]
        assert one["NetworkInterfaceId"] in [eni["NetworkInterfaceId"] for eni in answer], name


def test_dry_run(simulated):
    refused("DryRunOperation", simulated.client("ec2").describe_vpcs, DryRun=True)


def test_what_is_not_built_is_refused_by_name(simulated):
    message = refused("InvalidAction", simulated.client("ec2").run_instances, MinCount=1, MaxCount=1)
    assert "RunInstances" in message and "Boxship" in message


def test_aws_cli(simulated):
    [vpc] = simulated.aws("ec2", "describe-vpcs", "--filters", "Name=isDefault,Values=true", "--query", "Vpcs[].VpcId")
    subnets = simulated.aws("ec2", "describe-subnets", "--filters", f"Name=vpc-id,Values={vpc}", "--query", "Subnets[].SubnetId")
    assert len(subnets) == 3
    refusal = simulated.aws("ec2", "describe-subnets", "--subnet-ids", "subnet-0123456789abcdef0", check=False)
    assert "(InvalidSubnetID.NotFound)" in refusal.stderr
