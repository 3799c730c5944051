"""Roles as records, and who a caller is."""

import json

import pytest

from conftest import TRUST, refused

POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})
MANAGED = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"


@pytest.fixture
def iam(simulated, request):
    """An account of the test's own."""
    number = sum(map(ord, request.node.name)) % 10**9
    return simulated.client("iam", account=f"7{number:011}")


def test_who_am_i(simulated):
    assert simulated.client("sts").get_caller_identity()["Arn"] == "arn:aws:iam::000000000000:root"
    answer = simulated.client("sts", account="123456789012").get_caller_identity()
    assert (answer["Account"], answer["Arn"]) == ("123456789012", "arn:aws:iam::123456789012:root")
    assert answer["UserId"]
    assert simulated.client("sts", account="AKIAIOSFODNN7EXAMPLE").get_caller_identity()["Account"] == "000000000000"
    assert simulated.aws("sts", "get-caller-identity")["Account"] == "000000000000"


def test_the_life_of_a_role(iam):
    made = iam.create_role(RoleName="task", Path="/app/", AssumeRolePolicyDocument=TRUST, Description="a role",
                           MaxSessionDuration=7200, Tags=[{"Key": "a", "Value": "b"}])["Role"]
    assert made["Arn"].endswith(":role/app/task")
    assert made["RoleId"].startswith("AROA") and len(made["RoleId"]) == 21
    found = iam.get_role(RoleName="task")["Role"]
    assert found["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert (found["Description"], found["MaxSessionDuration"], found["Path"]) == ("a role", 7200, "/app/")
    assert found["Tags"] == [{"Key": "a", "Value": "b"}]
    assert found["CreateDate"] == made["CreateDate"]
    refused("EntityAlreadyExists", iam.create_role, "Role with name task already exists.",
            RoleName="task", AssumeRolePolicyDocument=TRUST)
    other = json.loads(TRUST)
    other["Statement"][0]["Principal"]["Service"] = "ec2.amazonaws.com"
    iam.update_assume_role_policy(RoleName="task", PolicyDocument=json.dumps(other))
    assert iam.get_role(RoleName="task")["Role"]["AssumeRolePolicyDocument"] == other
    iam.tag_role(RoleName="task", Tags=[{"Key": "c", "Value": "d"}])
    iam.untag_role(RoleName="task", TagKeys=["a"])
    assert iam.list_role_tags(RoleName="task")["Tags"] == [{"Key": "c", "Value": "d"}]
    iam.delete_role(RoleName="task")
    for call in [iam.get_role, iam.delete_role, iam.list_role_policies, iam.list_attached_role_policies, iam.list_role_tags]:
        refused("NoSuchEntity", call, "The role with name task cannot be found.", RoleName="task")


def test_policies(iam):
    iam.create_role(RoleName="task", AssumeRolePolicyDocument=TRUST)
    iam.attach_role_policy(RoleName="task", PolicyArn=MANAGED)
    iam.attach_role_policy(RoleName="task", PolicyArn=MANAGED)
    assert iam.list_attached_role_policies(RoleName="task")["AttachedPolicies"] == [
        {"PolicyName": "AmazonECSTaskExecutionRolePolicy", "PolicyArn": MANAGED}]
    iam.put_role_policy(RoleName="task", PolicyName="inline", PolicyDocument=POLICY)
    assert iam.list_role_policies(RoleName="task")["PolicyNames"] == ["inline"]
    assert iam.get_role_policy(RoleName="task", PolicyName="inline")["PolicyDocument"] == json.loads(POLICY)
    refused("DeleteConflict", iam.delete_role, RoleName="task")
    iam.detach_role_policy(RoleName="task", PolicyArn=MANAGED)
    refused("NoSuchEntity", iam.detach_role_policy, RoleName="task", PolicyArn=MANAGED)
    refused("DeleteConflict", iam.delete_role, RoleName="task")
    iam.delete_role_policy(RoleName="task", PolicyName="inline")
    refused("NoSuchEntity", iam.delete_role_policy, RoleName="task", PolicyName="inline")
    refused("NoSuchEntity", iam.get_role_policy, RoleName="task", PolicyName="inline")
    iam.delete_role(RoleName="task")


def test_bad_input(iam):
    refused("MalformedPolicyDocument", iam.create_role, RoleName="a", AssumeRolePolicyDocument="{")
    refused("MalformedPolicyDocument", iam.create_role, RoleName="a", AssumeRolePolicyDocument="{}")
    refused("ValidationError", iam.create_role, RoleName="no spaces", AssumeRolePolicyDocument=TRUST)
    refused("ValidationError", iam.create_role, RoleName="x" * 65, AssumeRolePolicyDocument=TRUST)
    refused("ValidationError", iam.create_role, "PermissionsBoundary", RoleName="a", AssumeRolePolicyDocument=TRUST,
            PermissionsBoundary="arn:aws:iam::aws:policy/ReadOnlyAccess")
    assert iam.list_roles()["Roles"] == []


def test_pages(iam):
    names = sorted(f"r{n}" for n in range(12))
    for name in names:
        iam.create_role(RoleName=name, Path="/x/" if name == "r1" else "/", AssumeRolePolicyDocument=TRUST)
    pages = list(iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["Roles"]) for page in pages] == [5, 5, 2]
    assert [role["RoleName"] for page in pages for role in page["Roles"]] == names
    assert [role["RoleName"] for role in iam.list_roles(PathPrefix="/x/")["Roles"]] == ["r1"]
    assert pages[0]["IsTruncated"] and not pages[-1]["IsTruncated"]


def test_aws_cli(simulated, tmp_path):
    (tmp_path / "trust.json").write_text(TRUST)
    made = simulated.aws("iam", "create-role", "--role-name", "cli", "--assume-role-policy-document", f"file://{tmp_path}/trust.json")
    assert made["Role"]["Arn"] == "arn:aws:iam::000000000000:role/cli"
    simulated.aws("iam", "attach-role-policy", "--role-name", "cli", "--policy-arn", MANAGED)
    assert simulated.aws("iam", "list-attached-role-policies", "--role-name", "cli")["AttachedPolicies"][0]["PolicyArn"] == MANAGED
    refusal = simulated.aws("iam", "get-role", "--role-name", "ghost", check=False)
    assert "(NoSuchEntity)" in refusal.stderr


def test_what_is_not_built_is_refused_by_name(iam):
    message = refused("InvalidAction", iam.create_user, UserName="x")
    assert "CreateUser" in message and "Boxship" in message
