"""Security groups: made, filled, emptied and deleted as on AWS, through boto3 and the AWS CLI."""

import itertools

import pytest

from conftest import define, refused, run_task, stopped

NAMES = itertools.count()


@pytest.fixture(scope="module")
def ec2(simulated):
    return simulated.client("ec2", account="810000000001")


@pytest.fixture
def group(ec2):
    name = f"group-{next(NAMES)}"
    return ec2.create_security_group(GroupName=name, Description="of a test")["GroupId"]


def tcp(port, cidr, **members):
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": cidr, **members}]}


def from_group(port, group):
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [{"GroupId": group}]}


def shown(ec2, group):
    return ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]


def test_a_new_group(ec2):
    answer = ec2.create_security_group(
        GroupName="new", Description="for the new",
        TagSpecifications=[{"ResourceType": "security-group", "Tags": [{"Key": "Name", "Value": "new"}]}])
    group = answer["GroupId"]
    assert answer["SecurityGroupArn"] == f"arn:aws:ec2:us-east-1:810000000001:security-group/{group}"
    assert answer["Tags"] == [{"Key": "Name", "Value": "new"}]
    found = shown(ec2, group)
    assert (found["GroupName"], found["Description"], found["OwnerId"]) == ("new", "for the new", "810000000001")
    assert found["IpPermissions"] == []
    [egress] = found["IpPermissionsEgress"]
    assert (egress["IpProtocol"], egress["IpRanges"]) == ("-1", [{"CidrIp": "0.0.0.0/0"}])
    assert "FromPort" not in egress
    [vpc] = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    assert found["VpcId"] == vpc["VpcId"]
    [by_name] = ec2.describe_security_groups(GroupNames=["new"])["SecurityGroups"]
    [by_tag] = ec2.describe_security_groups(Filters=[{"Name": "tag:Name", "Values": ["new"]}])["SecurityGroups"]
    assert by_name == by_tag == found
    ec2.get_waiter("security_group_exists").wait(GroupIds=[group], WaiterConfig={"MaxAttempts": 1})
    answer = ec2.delete_security_group(GroupName="new")
    assert (answer["Return"], answer["GroupId"]) == (True, group)
    message = refused("InvalidGroup.NotFound", ec2.describe_security_groups, GroupIds=[group])
    assert message == f"The security group '{group}' does not exist"


@pytest.mark.parametrize("code,text,members", [
    ("InvalidGroup.Duplicate", "already exists for VPC 'vpc-", {"GroupName": "twice"}),
    ("InvalidParameterValue", "Cannot use reserved security group name: default", {"GroupName": "default"}),
    ("InvalidParameterValue", "sg-*", {"GroupName": "sg-mine"}),
    ("InvalidParameterValue", "Character sets beyond ASCII are not supported", {"GroupName": "Bürö"}),
    ("InvalidParameterValue", "less than 256 characters", {"GroupName": "x" * 256}),
    ("InvalidParameterValue", "Valid descriptions are strings", {"Description": "<script>"}),
    ("MissingParameter", "GroupName", {"GroupName": ""}),
    ("MissingParameter", "GroupDescription", {"Description": ""}),
    ("InvalidVpcID.NotFound", "does not exist", {"VpcId": "vpc-0123456789abcdef0"}),
    ("InvalidVpcID.Malformed", "expecting", {"VpcId": "nonsense"}),
    ("InvalidParameterValue", "not a valid taggable resource type",
     {"TagSpecifications": [{"ResourceType": "vpc", "Tags": [{"Key": "a", "Value": "b"}]}]}),
    ("DryRunOperation", "would have succeeded", {"DryRun": True}),
])
def test_bad_groups(ec2, code, text, members):
    if not ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["twice"]}])["SecurityGroups"]:
        ec2.create_security_group(GroupName="twice", Description="x")
    refused(code, ec2.create_security_group, text, **{"GroupName": "other", "Description": "x", **members})


def test_rules_have_ids(ec2, group):
    answer = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[
        {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 81,
         "IpRanges": [{"CidrIp": "10.1.2.3/8", "Description": "inside"}, {"CidrIp": "192.0.2.1/32"}],
         "UserIdGroupPairs": [{"GroupId": group, "Description": "its own"}]},
    ], TagSpecifications=[{"ResourceType": "security-group-rule", "Tags": [{"Key": "of", "Value": "test"}]}])
    assert answer["Return"] is True
    rules = answer["SecurityGroupRules"]
    assert [rule.get("CidrIpv4") for rule in rules] == ["10.0.0.0/8", "192.0.2.1/32", None]
    assert rules[2]["ReferencedGroupInfo"] == {"GroupId": group, "UserId": "810000000001"}
    assert [rule.get("Description") for rule in rules] == ["inside", None, "its own"]
    assert all(rule["SecurityGroupRuleId"].startswith("sgr-") and rule["GroupId"] == group for rule in rules)
    assert all((rule["FromPort"], rule["ToPort"], rule["IsEgress"]) == (80, 81, False) for rule in rules)
    assert all(rule["Tags"] == [{"Key": "of", "Value": "test"}] for rule in rules)
    [permission] = shown(ec2, group)["IpPermissions"]
    assert permission["IpRanges"] == [{"CidrIp": "10.0.0.0/8", "Description": "inside"}, {"CidrIp": "192.0.2.1/32"}]
    assert permission["UserIdGroupPairs"] == [{"GroupId": group, "UserId": "810000000001", "Description": "its own"}]
    listed = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
    assert len(listed) == 4
    [egress] = [rule for rule in listed if rule["IsEgress"]]
    assert (egress["IpProtocol"], egress["FromPort"], egress["ToPort"], egress["CidrIpv4"]) == ("-1", -1, -1, "0.0.0.0/0")
    ids = [rule["SecurityGroupRuleId"] for rule in rules]
    by_id = ec2.describe_security_group_rules(SecurityGroupRuleIds=ids)["SecurityGroupRules"]
    assert {rule["SecurityGroupRuleId"] for rule in by_id} == set(ids)
    by_tag = ec2.describe_security_group_rules(Filters=[{"Name": "tag:of", "Values": ["test"]}])["SecurityGroupRules"]
    assert len(by_tag) == 3
    pages = ec2.get_paginator("describe_security_group_rules").paginate(
        Filters=[{"Name": "group-id", "Values": [group]}], PaginationConfig={"PageSize": 5})
    assert len([rule for page in pages for rule in page["SecurityGroupRules"]]) == 4


@pytest.mark.parametrize("permission,shown_as", [
    ({"IpProtocol": "-1", "FromPort": 1, "ToPort": 2}, ("-1", None, None)),
    ({"IpProtocol": "TCP", "FromPort": 0, "ToPort": 65535}, ("tcp", 0, 65535)),
    ({"IpProtocol": "6", "FromPort": 22, "ToPort": 22}, ("tcp", 22, 22)),
    ({"IpProtocol": "17", "FromPort": 53, "ToPort": 53}, ("udp", 53, 53)),
    ({"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1}, ("icmp", -1, -1)),
    ({"IpProtocol": "1", "FromPort": 8, "ToPort": -1}, ("icmp", 8, -1)),
    ({"IpProtocol": "50"}, ("50", None, None)),
])
def test_protocols(ec2, group, permission, shown_as):
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[{**permission, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}])
    [found] = shown(ec2, group)["IpPermissions"]
    assert (found["IpProtocol"], found.get("FromPort"), found.get("ToPort")) == shown_as


PAIRED = "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange."


@pytest.mark.parametrize("code,text,permission", [
    ("InvalidParameterValue", PAIRED, {"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}),
    ("InvalidParameterValue", PAIRED, {"IpProtocol": "udp", "ToPort": 5, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}),
    ("InvalidParameterValue", "Must specify both from and to ports with ICMP.",
     {"IpProtocol": "icmp", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}),
    ("InvalidPermission.Malformed", "TCP/UDP port (-1) out of range", tcp(-1, "10.0.0.0/8")),
    ("InvalidPermission.Malformed", "TCP/UDP port (65536) out of range", tcp(65536, "10.0.0.0/8")),
    ("InvalidParameterValue", "Invalid TCP/UDP port range (9:8)", {**tcp(9, "10.0.0.0/8"), "ToPort": 8}),
    ("InvalidParameterValue", "Unknown protocol", {**tcp(9, "10.0.0.0/8"), "IpProtocol": "web"}),
    ("InvalidParameterValue", "CIDR block 10.0.0.0 is malformed", tcp(80, "10.0.0.0")),
    ("InvalidParameterValue", "CIDR block 10.0.0.0/33 is malformed", tcp(80, "10.0.0.0/33")),
    ("InvalidParameterValue", "CIDR block 300.0.0.0/8 is malformed", tcp(80, "300.0.0.0/8")),
    ("InvalidParameterValue", "Invalid rule description", tcp(80, "10.0.0.0/8", Description="<b>")),
    ("InvalidGroup.NotFound", "does not exist", from_group(80, "sg-0123456789abcdef0")),
    ("InvalidGroupId.Malformed", "expecting", from_group(80, "nonsense")),
    ("MissingParameter", "Missing source specification", {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}),
    ("UnsupportedOperation", "Ipv6Ranges",
     {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}),
    ("UnsupportedOperation", "PrefixListIds",
     {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "PrefixListIds": [{"PrefixListId": "pl-0123456789abcdef0"}]}),
])
def test_bad_permissions(ec2, group, code, text, permission):
    good = tcp(443, "10.0.0.0/8")
    refused(code, ec2.authorize_security_group_ingress, text, GroupId=group, IpPermissions=[good, permission])
    assert shown(ec2, group)["IpPermissions"] == []


def test_the_same_rule_twice(ec2, group):
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(22, "10.0.0.0/8")])
    message = refused("InvalidPermission.Duplicate", ec2.authorize_security_group_ingress, GroupId=group,
                      IpPermissions=[tcp(22, "10.0.0.1/8", Description="other words")])
    assert message == 'the specified rule "peer: 10.0.0.0/8, TCP, from port: 22, to port: 22, ALLOW" already exists'
    refused("InvalidParameterValue", ec2.authorize_security_group_ingress,
            "The same permission must not appear multiple times", GroupId=group,
            IpPermissions=[tcp(23, "10.0.0.0/8"), tcp(23, "10.0.0.0/8")])
    message = refused("InvalidPermission.Duplicate", ec2.authorize_security_group_egress, GroupId=group,
                      IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
    assert message == 'the specified rule "peer: 0.0.0.0/0, ALL, ALLOW" already exists'


def test_quota_of_rules(ec2, group):
    permissions = [tcp(port, "10.0.0.0/8") for port in range(1, 61)]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permissions)
    refused("RulesPerSecurityGroupLimitExceeded", ec2.authorize_security_group_ingress, GroupId=group,
            IpPermissions=[tcp(100, "10.0.0.0/8")])
    # The other direction counts on its own.
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[tcp(100, "10.0.0.0/8")])


def test_revoke(ec2, group):
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[
        tcp(80, "10.0.0.0/8"), tcp(81, "10.0.0.0/8"), from_group(82, group)])["SecurityGroupRules"]
    answer = ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[tcp(80, "10.0.0.0/8")])
    assert answer["Return"] is True
    [gone] = answer["RevokedSecurityGroupRules"]
    assert (gone["SecurityGroupRuleId"], gone["CidrIpv4"]) == (made[0]["SecurityGroupRuleId"], "10.0.0.0/8")
    answer = ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[made[2]["SecurityGroupRuleId"]])
    assert answer["RevokedSecurityGroupRules"][0]["ReferencedGroupId"] == group
    missing = made[2]["SecurityGroupRuleId"]
    message = refused("InvalidSecurityGroupRuleId.NotFound", ec2.revoke_security_group_ingress, GroupId=group,
                      SecurityGroupRuleIds=[missing])
    assert message == f"The security group rule ID '{missing}' does not exist"
    refused("InvalidSecurityGroupRuleId.NotFound", ec2.revoke_security_group_egress, GroupId=group,
            SecurityGroupRuleIds=[made[1]["SecurityGroupRuleId"]])
    refused("MissingParameter", ec2.revoke_security_group_ingress, GroupId=group)
    refused("InvalidParameterCombination", ec2.revoke_security_group_ingress, GroupId=group,
            SecurityGroupRuleIds=[missing], IpPermissions=[tcp(81, "10.0.0.0/8")])
    # In a default VPC what is not there is told; elsewhere it is refused.
    answer = ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[tcp(99, "10.0.0.0/8")])
    assert answer["UnknownIpPermissions"][0]["FromPort"] == 99
    assert not answer.get("RevokedSecurityGroupRules")
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
    assert shown(ec2, group)["IpPermissionsEgress"] == []
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    other = ec2.create_security_group(GroupName="other", Description="x", VpcId=vpc)["GroupId"]
    message = refused("InvalidPermission.NotFound", ec2.revoke_security_group_ingress, GroupId=other,
                      IpPermissions=[tcp(99, "10.0.0.0/8")])
    assert message == "The specified rule does not exist in this security group."
    # Terraform asks for this, and expects it not to be there.
    refused("InvalidPermission.NotFound", ec2.revoke_security_group_egress, GroupId=other,
            IpPermissions=[{"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}])
    refused("InvalidGroup.NotFound", ec2.authorize_security_group_ingress, "belong to different networks",
            GroupId=other, IpPermissions=[from_group(80, group)])


def test_rules_change(ec2, group):
    [rule] = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(80, "10.0.0.0/8")])["SecurityGroupRules"]
    rule = rule["SecurityGroupRuleId"]
    of = lambda: ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule])["SecurityGroupRules"][0]  # noqa: E731
    ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=[{"SecurityGroupRuleId": rule, "SecurityGroupRule": {
        "IpProtocol": "udp", "FromPort": 53, "ToPort": 54, "CidrIpv4": "192.0.2.0/24", "Description": "names"}}])
    found = of()
    assert (found["IpProtocol"], found["FromPort"], found["ToPort"]) == ("udp", 53, 54)
    assert (found["CidrIpv4"], found["Description"]) == ("192.0.2.0/24", "names")
    permission = {"IpProtocol": "udp", "FromPort": 53, "ToPort": 54,
                  "IpRanges": [{"CidrIp": "192.0.2.0/24", "Description": "more names"}]}
    ec2.update_security_group_rule_descriptions_ingress(GroupId=group, IpPermissions=[permission])
    assert of()["Description"] == "more names"
    ec2.update_security_group_rule_descriptions_ingress(
        GroupId=group, SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": rule, "Description": "x"}])
    assert of()["Description"] == "x"
    refused("InvalidPermission.NotFound", ec2.update_security_group_rule_descriptions_egress, GroupId=group,
            IpPermissions=[permission])
    [egress] = [one for one in ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
                ["SecurityGroupRules"] if one["IsEgress"]]
    ec2.update_security_group_rule_descriptions_egress(GroupId=group, SecurityGroupRuleDescriptions=[
        {"SecurityGroupRuleId": egress["SecurityGroupRuleId"], "Description": "out"}])
    assert shown(ec2, group)["IpPermissionsEgress"][0]["IpRanges"][0]["Description"] == "out"
    refused("InvalidParameterCombination", ec2.modify_security_group_rules, GroupId=group, SecurityGroupRules=[
        {"SecurityGroupRuleId": rule, "SecurityGroupRule": {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1}}])
    assert ec2.describe_security_group_references(GroupId=[group])["SecurityGroupReferenceSet"] == []


def test_what_stands_on_a_group_keeps_it(simulated):
    ec2, account = simulated.client("ec2"), "000000000000"
    lb = ec2.create_security_group(GroupName="lb", Description="x")["GroupId"]
    web = ec2.create_security_group(GroupName="web", Description="x")["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=[from_group(80, lb)])
    message = refused("DependencyViolation", ec2.delete_security_group, GroupId=lb)
    assert message == f"resource {lb} has a dependent object"
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    definition = define(simulated, "grouped", [{"image": "web:1"}])
    [arn] = run_task(simulated, definition)
    simulated.client("ecs").stop_task(task=arn)
    stopped(simulated, arn)
    answer = simulated.client("ecs").run_task(
        taskDefinition=definition, launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [web, lb]}})
    arn = answer["tasks"][0]["taskArn"]
    [interface] = ec2.describe_network_interfaces(Filters=[{"Name": "group-id", "Values": [web]}])["NetworkInterfaces"]
    assert {group["GroupName"] for group in interface["Groups"]} == {"web", "lb"}
    assert interface["OwnerId"] == account
    refused("DependencyViolation", ec2.delete_security_group, GroupId=web)
    refused("OperationNotPermitted", ec2.modify_network_interface_attribute,
            NetworkInterfaceId=interface["NetworkInterfaceId"], Groups=[web])
    simulated.client("ecs").stop_task(task=arn)
    stopped(simulated, arn)
    ec2.delete_security_group(GroupId=web)
    ec2.delete_security_group(GroupId=lb)
    [default] = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    refused("CannotDelete", ec2.delete_security_group, "cannot be deleted by a user", GroupId=default["GroupId"])


def test_the_default_group_takes_rules_under_its_id(simulated):
    ec2 = simulated.client("ec2", account="810000000002", region="eu-west-1")
    [before] = ec2.describe_security_groups()["SecurityGroups"]
    ec2.authorize_security_group_ingress(GroupId=before["GroupId"], IpPermissions=[tcp(80, "0.0.0.0/0")])
    ec2.create_tags(Resources=[before["GroupId"]], Tags=[{"Key": "Name", "Value": "mine"}])
    [after] = ec2.describe_security_groups()["SecurityGroups"]
    assert after["GroupId"] == before["GroupId"]
    assert len(after["IpPermissions"]) == 2
    assert after["Tags"] == [{"Key": "Name", "Value": "mine"}]


@pytest.mark.parametrize("name,value", [
    ("description", "of the filters"), ("group-name", "filtered"), ("ip-permission.cidr", "198.51.100.0/24"),
    ("ip-permission.from-port", "7777"), ("ip-permission.to-port", "7778"), ("egress.ip-permission.cidr", "203.0.113.0/24"),
    ("egress.ip-permission.from-port", "8888"), ("egress.ip-permission.protocol", "udp"), ("tag:only", "here"), ("tag-key", "only"),
])
def test_filters(simulated, name, value):
    ec2 = simulated.client("ec2", account="810000000003")
    if len(ec2.describe_security_groups()["SecurityGroups"]) == 1:
        group = ec2.create_security_group(GroupName="filtered", Description="of the filters", TagSpecifications=[
            {"ResourceType": "security-group", "Tags": [{"Key": "only", "Value": "here"}]}])["GroupId"]
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[{**tcp(7777, "198.51.100.0/24"), "ToPort": 7778}])
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[
            {**tcp(8888, "203.0.113.0/24"), "IpProtocol": "udp"}])
    found = ec2.describe_security_groups(Filters=[{"Name": name, "Values": [value]}])["SecurityGroups"]
    assert [group["GroupName"] for group in found] == ["filtered"]
    assert ec2.describe_security_groups(Filters=[{"Name": name, "Values": ["no-such"]}])["SecurityGroups"] == []


def test_pages(simulated):
    ec2 = simulated.client("ec2", account="810000000004")
    for number in range(6):
        ec2.create_security_group(GroupName=f"page-{number}", Description="x")
    pages = list(ec2.get_paginator("describe_security_groups").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["SecurityGroups"]) for page in pages] == [5, 2]


def test_aws_cli(simulated):
    aws = lambda *arguments, **options: simulated.aws("ec2", *arguments, **options)  # noqa: E731
    group = aws("create-security-group", "--group-name", "cli", "--description", "of the CLI")["GroupId"]
    made = aws("authorize-security-group-ingress", "--group-id", group, "--protocol", "tcp", "--port", "8000-8080",
               "--cidr", "0.0.0.0/0")
    assert made["SecurityGroupRules"][0]["ToPort"] == 8080
    aws("authorize-security-group-ingress", "--group-name", "cli", "--protocol", "all", "--source-group", group)
    aws("authorize-security-group-ingress", "--group-id", group, "--protocol", "icmp", "--port", "-1", "--cidr", "10.0.0.0/8")
    assert len(aws("describe-security-groups", "--group-names", "cli")["SecurityGroups"][0]["IpPermissions"]) == 3
    again = aws("authorize-security-group-ingress", "--group-id", group, "--protocol", "tcp", "--port", "8000-8080",
                "--cidr", "0.0.0.0/0", check=False)
    assert "(InvalidPermission.Duplicate)" in again.stderr
    aws("revoke-security-group-ingress", "--group-id", group, "--protocol", "tcp", "--port", "8000-8080", "--cidr", "0.0.0.0/0")
    aws("authorize-security-group-egress", "--group-id", group, "--ip-permissions",
        "IpProtocol=tcp,FromPort=443,ToPort=443,IpRanges=[{CidrIp=10.0.0.0/8,Description=inside}]")
    aws("delete-security-group", "--group-id", group)
