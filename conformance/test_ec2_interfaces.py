"""Interfaces that services make: whose they are, and that they follow groups, subnets and their makers."""

import pytest

from conftest import refused, wait_for


@pytest.fixture
def place(simulated):
    """A VPC with two subnets and a way out."""
    ec2 = simulated.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.5.0.0/16")["Vpc"]["VpcId"]
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.5.{n}.0/24")["Subnet"]["SubnetId"] for n in range(2)]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    yield ec2, vpc, subnets
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    for subnet in subnets:
        ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)


def test_balancers_stand_in_a_vpc_of_a_users_own(simulated, place):
    ec2, vpc, subnets = place
    elb = simulated.client("elbv2")
    one, two = (ec2.create_security_group(GroupName=name, Description="x", VpcId=vpc)["GroupId"] for name in ["one", "two"])
    [balancer] = elb.create_load_balancer(Name="own", Subnets=subnets, SecurityGroups=[one])["LoadBalancers"]
    arn = balancer["LoadBalancerArn"]
    assert balancer["VpcId"] == vpc
    name = arn.split(":loadbalancer/")[1]
    of = lambda: ec2.describe_network_interfaces(  # noqa: E731
        Filters=[{"Name": "description", "Values": [f"ELB {name}"]}])["NetworkInterfaces"]
    interfaces = of()
    assert {one["SubnetId"] for one in interfaces} == set(subnets)
    for interface in interfaces:
        assert (interface["RequesterId"], interface["RequesterManaged"]) == ("amazon-elb", True)
        assert interface["Attachment"]["InstanceOwnerId"] == "amazon-elb"
        assert (interface["Status"], interface["InterfaceType"]) == ("in-use", "interface")
        assert [group["GroupId"] for group in interface["Groups"]] == [one]
        refused("InvalidParameterValue", ec2.delete_network_interface, NetworkInterfaceId=interface["NetworkInterfaceId"])
        refused("OperationNotPermitted", ec2.modify_network_interface_attribute,
                NetworkInterfaceId=interface["NetworkInterfaceId"], Groups=[two])
    found = ec2.describe_network_interfaces(Filters=[{"Name": "requester-id", "Values": ["amazon-elb"]},
                                                     {"Name": "vpc-id", "Values": [vpc]}])["NetworkInterfaces"]
    assert len(found) == 2
    refused("DependencyViolation", ec2.delete_security_group, GroupId=one)
    refused("DependencyViolation", ec2.delete_subnet, SubnetId=subnets[0])
    elb.set_security_groups(LoadBalancerArn=arn, SecurityGroups=[two])
    assert all([group["GroupId"] for group in interface["Groups"]] == [two] for interface in of())
    ec2.delete_security_group(GroupId=one)
    refused("DependencyViolation", ec2.delete_security_group, GroupId=two)
    elb.delete_load_balancer(LoadBalancerArn=arn)
    wait_for(lambda: not of(), 10)
    ec2.delete_security_group(GroupId=two)


def test_a_customers_interface(simulated, place):
    ec2, vpc, [subnet, _] = place
    group = ec2.create_security_group(GroupName="mine", Description="x", VpcId=vpc)["GroupId"]
    made = ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="10.5.0.9", Description="mine")["NetworkInterface"]
    eni = made["NetworkInterfaceId"]
    ec2.get_waiter("network_interface_available").wait(NetworkInterfaceIds=[eni])
    [default] = made["Groups"]
    assert default["GroupName"] == "default"
    refused("InvalidIPAddress.InUse", ec2.create_network_interface, SubnetId=subnet, PrivateIpAddress="10.5.0.9")
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Groups=[group, default["GroupId"]])
    groups = ec2.describe_network_interface_attribute(NetworkInterfaceId=eni, Attribute="groupSet")["Groups"]
    assert {one["GroupName"] for one in groups} == {"mine", "default"}
    assert ec2.describe_network_interface_attribute(NetworkInterfaceId=eni, Attribute="sourceDestCheck")["SourceDestCheck"] == {"Value": True}
    refused("UnsupportedOperation", ec2.modify_network_interface_attribute, "SourceDestCheck", NetworkInterfaceId=eni,
            SourceDestCheck={"Value": False})
    [elsewhere] = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    message = refused("InvalidParameter", ec2.modify_network_interface_attribute, NetworkInterfaceId=eni, Groups=[elsewhere["GroupId"]])
    assert message == f"Security group {elsewhere['GroupId']} and subnet {subnet} belong to different networks."
    refused("InvalidGroup.NotFound", ec2.authorize_security_group_ingress, "different networks", GroupId=group,
            IpPermissions=[{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": [{"GroupName": "mine"}]}])
    many = [ec2.create_security_group(GroupName=f"g{n}", Description="x", VpcId=vpc)["GroupId"] for n in range(6)]
    refused("SecurityGroupsPerInterfaceLimitExceeded", ec2.modify_network_interface_attribute, NetworkInterfaceId=eni, Groups=many)
    [subnet_shown] = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    assert subnet_shown["AvailableIpAddressCount"] == 250
    ec2.delete_network_interface(NetworkInterfaceId=eni)
    refused("InvalidNetworkInterfaceID.NotFound", ec2.describe_network_interfaces, NetworkInterfaceIds=[eni])
    for one in [*many, group]:
        ec2.delete_security_group(GroupId=one)
