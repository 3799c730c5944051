"""The machine as an instance: `boxship up --instance CLUSTER`."""

import pytest

from conftest import Server, refused


@pytest.fixture(scope="module")
def server():
    server = Server("simulated", "--instance", "default").start()
    yield server
    server.down()


def instances(ec2, **members):
    return [one for page in ec2.get_paginator("describe_instances").paginate(**members)
            for reservation in page["Reservations"] for one in reservation["Instances"]]


def of_ecs(server):
    ecs = server.client("ecs")
    arns = ecs.list_container_instances(cluster="default")["containerInstanceArns"]
    [one] = ecs.describe_container_instances(cluster="default", containerInstances=arns)["containerInstances"]
    return one["ec2InstanceId"]


def test_ecs_and_ec2_mean_the_same_instance(server):
    ec2 = server.client("ec2")
    [one] = instances(ec2)
    assert one["InstanceId"] == of_ecs(server)
    assert one["State"] == {"Code": 16, "Name": "running"}
    assert one["PrivateIpAddress"].startswith("172.31.")
    assert one["Placement"]["AvailabilityZone"] == "us-east-1a"
    [vpc] = ec2.describe_vpcs()["Vpcs"]
    assert one["VpcId"] == vpc["VpcId"]
    [interface] = one["NetworkInterfaces"]
    [described] = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface["NetworkInterfaceId"]])["NetworkInterfaces"]
    assert (described["Attachment"]["InstanceId"], described["Attachment"]["DeviceIndex"]) == (one["InstanceId"], 0)
    assert described["PrivateIpAddress"] == one["PrivateIpAddress"]
    ec2.get_waiter("instance_running").wait(InstanceIds=[one["InstanceId"]])
    ec2.get_waiter("instance_status_ok").wait(InstanceIds=[one["InstanceId"]])
    refused("InvalidParameterValue", ec2.delete_network_interface, "in use", NetworkInterfaceId=interface["NetworkInterfaceId"])


@pytest.mark.parametrize("name,value", [
    ("instance-state-name", "running"), ("instance-type", "boxship.*"), ("availability-zone", "us-east-1a"),
    ("network-interface.addresses.private-ip-address", "172.31.*"), ("instance.group-name", "default"), ("tag:of", "test"),
])
def test_filters(server, name, value):
    ec2 = server.client("ec2")
    [one] = instances(ec2)
    ec2.create_tags(Resources=[one["InstanceId"]], Tags=[{"Key": "of", "Value": "test"}])
    assert len(instances(ec2, Filters=[{"Name": name, "Values": [value]}])) == 1
    assert instances(ec2, Filters=[{"Name": name, "Values": ["no-such"]}]) == []
    refused("InvalidParameterValue", ec2.describe_instances, "filter", Filters=[{"Name": "ghost", "Values": ["x"]}])


def test_missing_and_malformed_ids(server):
    ec2 = server.client("ec2")
    message = refused("InvalidInstanceID.NotFound", ec2.describe_instances, InstanceIds=["i-0123456789abcdef0"])
    assert "i-0123456789abcdef0" in message
    refused("InvalidInstanceID.Malformed", ec2.describe_instances, InstanceIds=["nonsense"])
    for call, members in [(ec2.run_instances, {"MinCount": 1, "MaxCount": 1}),
                          (ec2.terminate_instances, {"InstanceIds": ["i-0123456789abcdef0"]})]:
        refused("InvalidAction", call, "Boxship", **members)


def test_groups_change(server):
    ec2 = server.client("ec2")
    [one] = instances(ec2)
    group = ec2.create_security_group(GroupName="host", Description="x")["GroupId"]
    ec2.modify_instance_attribute(InstanceId=one["InstanceId"], Groups=[group])
    [after] = instances(ec2, Filters=[{"Name": "instance.group-id", "Values": [group]}])
    assert after["SecurityGroups"] == [{"GroupId": group, "GroupName": "host"}]
    refused("DependencyViolation", ec2.delete_security_group, GroupId=group)
    refused("UnsupportedOperation", ec2.modify_instance_attribute, "InstanceType", InstanceId=one["InstanceId"],
            InstanceType={"Value": "t3.micro"})
    [default] = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    interface = after["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[default["GroupId"]])
    groups = ec2.describe_network_interface_attribute(NetworkInterfaceId=interface, Attribute="groupSet")["Groups"]
    assert groups == [{"GroupId": default["GroupId"], "GroupName": "default"}]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Description={"Value": "the machine"})
    answer = ec2.describe_network_interface_attribute(NetworkInterfaceId=interface, Attribute="description")
    assert answer["Description"] == {"Value": "the machine"}
    ec2.delete_security_group(GroupId=group)


def test_it_keeps_its_id_and_its_address():
    server = Server("simulated", "--instance", "default").start()
    try:
        [before] = instances(server.client("ec2"))
        server.kill()
        server.arguments = ()
        server.start()
        [stopped] = instances(server.client("ec2"))
        assert (stopped["InstanceId"], stopped["State"]["Name"]) == (before["InstanceId"], "stopped")
        assert server.client("ec2").describe_instance_status()["InstanceStatuses"] == []
        assert len(server.client("ec2").describe_instance_status(IncludeAllInstances=True)["InstanceStatuses"]) == 1
        server.kill()
        server.arguments = ("--instance", "default")
        server.start()
        [after] = instances(server.client("ec2"))
        assert (after["InstanceId"], after["PrivateIpAddress"]) == (before["InstanceId"], before["PrivateIpAddress"])
        assert after["State"]["Name"] == "running"
        assert of_ecs(server) == after["InstanceId"]
    finally:
        server.down()
