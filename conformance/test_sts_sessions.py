"""Credentials for a while, through unmodified clients."""

import datetime
import json

import boto3
import pytest

from conftest import Server, refused

ACCOUNT = "710000000001"


def trust(principal, action="sts:AssumeRole", **members):
    statement = {"Effect": "Allow", "Principal": principal, "Action": action, **members}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def role(simulated, request):
    """Makes a role of the test's own that a principal may assume; answers its ARN."""
    def make(principal, **members):
        maximum = members.pop("maximum", 3600)
        iam = simulated.client("iam", account=ACCOUNT)
        name = request.node.name[5:60]
        made = iam.create_role(RoleName=name, MaxSessionDuration=maximum,
                               AssumeRolePolicyDocument=trust(principal, **members))
        return made["Role"]["Arn"]
    return make


def holder(server, service, credentials, **other):
    keys = {"aws_access_key_id": credentials["AccessKeyId"], "aws_secret_access_key": credentials["SecretAccessKey"],
            "aws_session_token": credentials["SessionToken"], **other}
    return boto3.client(service, endpoint_url=server.url, region_name="eu-west-1", **keys)


def test_assumed_role(simulated, role):
    sts = simulated.client("sts", account=ACCOUNT)
    arn = role({"AWS": ACCOUNT})
    answer = sts.assume_role(RoleArn=arn, RoleSessionName="me", DurationSeconds=900)
    name = arn.rsplit("/", 1)[1]
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/me"
    assert answer["AssumedRoleUser"]["Arn"] == session
    assert answer["AssumedRoleUser"]["AssumedRoleId"].startswith("AROA")
    credentials = answer["Credentials"]
    left = credentials["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    assert 880 < left.total_seconds() <= 900
    who = holder(simulated, "sts", credentials).get_caller_identity()
    assert (who["Account"], who["Arn"], who["UserId"]) == (ACCOUNT, session, answer["AssumedRoleUser"]["AssumedRoleId"])
    assert sts.get_access_key_info(AccessKeyId=credentials["AccessKeyId"])["Account"] == ACCOUNT
    # What it makes is its account's.
    ecs = holder(simulated, "ecs", credentials)
    made = ecs.create_cluster(clusterName="of-a-session")["cluster"]["clusterArn"]
    assert made == f"arn:aws:ecs:eu-west-1:{ACCOUNT}:cluster/of-a-session"
    definition = ecs.register_task_definition(family="of-a-session", containerDefinitions=[{"name": "a", "image": "a", "memory": 64}])
    assert definition["taskDefinition"]["registeredBy"] == session
    # A role may assume what trusts its account, for an hour at the most.
    again = holder(simulated, "sts", credentials)
    assert again.assume_role(RoleArn=arn, RoleSessionName="again")["Credentials"]["AccessKeyId"].startswith("ASIA")
    refused("ValidationError", again.assume_role, "role chaining", RoleArn=arn, RoleSessionName="me", DurationSeconds=3601)
    refused("AccessDenied", again.get_session_token)


def test_bad_tokens(simulated, role):
    sts = simulated.client("sts", account=ACCOUNT)
    credentials = sts.assume_role(RoleArn=role({"AWS": "*"}), RoleSessionName="me")["Credentials"]
    for token in ["x", None]:
        refused("InvalidClientTokenId", holder(simulated, "sts", credentials, aws_session_token=token).get_caller_identity)
        refused("UnrecognizedClientException", holder(simulated, "logs", credentials, aws_session_token=token).describe_log_groups)
        refused("AuthFailure", holder(simulated, "ec2", credentials, aws_session_token=token).describe_vpcs)


def test_who_may_not(simulated, role):
    sts = simulated.client("sts", account=ACCOUNT)
    arn = role({"Service": "ecs-tasks.amazonaws.com"})
    denied = f"User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: sts:AssumeRole on resource: "
    refused("AccessDenied", sts.assume_role, denied + arn, RoleArn=arn, RoleSessionName="me")
    refused("AccessDenied", sts.assume_role, denied + arn + "x", RoleArn=arn + "x", RoleSessionName="me")
    refused("ValidationError", sts.assume_role, RoleArn="arn:aws:iam::aws:role/not-a-role", RoleSessionName="me")
    refused("ValidationError", sts.assume_role, RoleArn=arn, RoleSessionName="not a name!")


def test_external_id(simulated, role):
    sts = simulated.client("sts", account=ACCOUNT)
    arn = role({"AWS": ACCOUNT}, Condition={"StringEquals": {"sts:ExternalId": "Sesame"}}, maximum=7200)
    assert sts.assume_role(RoleArn=arn, RoleSessionName="me", ExternalId="Sesame", DurationSeconds=7200)
    refused("AccessDenied", sts.assume_role, RoleArn=arn, RoleSessionName="me", ExternalId="other")
    refused("AccessDenied", sts.assume_role, RoleArn=arn, RoleSessionName="me")
    refused("ValidationError", sts.assume_role, "MaxSessionDuration", RoleArn=arn, RoleSessionName="me",
            ExternalId="Sesame", DurationSeconds=7201)


def test_what_is_not_acted_on_is_refused_by_name(simulated, role):
    sts = simulated.client("sts", account=ACCOUNT)
    arn = role({"AWS": ACCOUNT}, Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}})
    refused("ValidationError", sts.assume_role, "aws:MultiFactorAuthPresent", RoleArn=arn, RoleSessionName="me")
    for name, value in [("Policy", trust("*")), ("PolicyArns", [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]),
                        ("Tags", [{"Key": "a", "Value": "b"}]), ("SerialNumber", "GAHT12345678")]:
        refused("ValidationError", sts.assume_role, name, RoleArn=arn, RoleSessionName="me", **{name: value})
    refused("InvalidAction", sts.assume_role_with_web_identity, "AssumeRoleWithWebIdentity",
            RoleArn=arn, RoleSessionName="me", WebIdentityToken="token")


def test_a_tasks_roles_trust_tasks(simulated, role):
    ecs, ec2 = simulated.client("ecs", account=ACCOUNT), simulated.client("ec2", account=ACCOUNT)
    ecs.create_cluster(clusterName="default")
    subnets = [ec2.describe_subnets()["Subnets"][0]["SubnetId"]]
    wrong = role({"Service": "ec2.amazonaws.com"})
    for name in ["taskRoleArn", "executionRoleArn"]:
        ecs.register_task_definition(
            family="trust", requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu="256", memory="512",
            containerDefinitions=[{"name": "web", "image": "web"}], **{name: wrong})
        refused("ClientException", ecs.run_task, f"ECS was unable to assume the role '{wrong}' that was provided for this task.",
                taskDefinition="trust", launchType="FARGATE", networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}})
    tasks = trust({"Service": "ecs-tasks.amazonaws.com"}, Condition={
        "ArnLike": {"aws:SourceArn": f"arn:aws:ecs:us-east-1:{ACCOUNT}:*"}, "StringEquals": {"aws:SourceAccount": ACCOUNT}})
    simulated.client("iam", account=ACCOUNT).update_assume_role_policy(RoleName=wrong.rsplit("/", 1)[1], PolicyDocument=tasks)
    answer = ecs.run_task(taskDefinition="trust", launchType="FARGATE",
                          networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}})
    assert not answer["failures"] and answer["tasks"]


def test_an_accounts_own_session(simulated):
    credentials = simulated.client("sts", account=ACCOUNT).get_session_token()["Credentials"]
    assert holder(simulated, "sts", credentials).get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"


def test_sessions_outlive_the_server():
    server = Server("simulated").start()
    credentials = server.client("sts", account=ACCOUNT).get_session_token()["Credentials"]
    server.kill()
    server.start()
    assert holder(server, "sts", credentials).get_caller_identity()["Account"] == ACCOUNT
    server.down()
