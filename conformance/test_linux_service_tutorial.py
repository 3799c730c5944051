"""Services as readers make them: the developer guide's tutorial for Fargate, and scenarios 7, 8, 21 and 22."""

import json
import os
import re
import shutil
import subprocess

import pytest

import toolbox
from conftest import AWS_CLI, IS_ROOT, Server, fetch, needs_root, wait_for
from service_web import RUNS, image
from test_examples import script
from test_linux_exec import plugin

pytestmark = [needs_root, pytest.mark.skipif(not AWS_CLI, reason="left out: no AWS CLI"),
              pytest.mark.skipif(shutil.which("curl") is None, reason="left out: curl is not installed")]

HTTPD = "public.ecr.aws/docker/library/httpd:latest"
FOREGROUND = b"#!/bin/sh\ntrap 'exit 0' TERM\nhttpd -f -p 80 -h /usr/local/apache2/htdocs &\nwait\n"


@pytest.fixture(scope="module")
def server(toolbox_archive, tmp_path_factory):
    if not IS_ROOT:
        pytest.skip("left out: real containers need root")
    home = tmp_path_factory.mktemp("images")
    keeps = image(home)
    web = [("bin/keeps", 0o755, (home / "keeps").read_bytes())]
    hello = toolbox.archive(home / "hello.tar", {**toolbox.CONFIG, "Cmd": ["/bin/sh", "-c", RUNS]}, files=web)
    httpd = toolbox.archive(home / "httpd.tar", {**toolbox.CONFIG, "Cmd": ["httpd-foreground"]}, files=[
        ("bin/httpd-foreground", 0o755, FOREGROUND), ("usr/local/apache2/htdocs/index.html", 0o644, b"It works!\n")])
    server = Server("linux").start()
    for archive, name in [(toolbox_archive, "toolbox"), (keeps, "keeps"), (hello, "nginxdemos/hello"), (httpd, HTTPD)]:
        server.run("image", "load", str(archive), name)
    yield server
    server.down()


# AWS: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ECS_AWSCLI_Fargate.html
def test_the_guides_tutorial(server, tmp_path):
    """Step by step, with what the page leaves to the reader: a subnet, a security group, and the role of its sessions."""
    aws = server.aws
    vpc = aws("ec2", "describe-vpcs")["Vpcs"][0]["VpcId"]
    subnet = aws("ec2", "describe-subnets")["Subnets"][0]["SubnetId"]
    group = aws("ec2", "create-security-group", "--group-name", "tutorial", "--description", "tutorial", "--vpc-id", vpc)["GroupId"]
    aws("ec2", "authorize-security-group-ingress", "--group-id", group, "--protocol", "tcp", "--port", "80", "--cidr", "0.0.0.0/0")
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    role = aws("iam", "create-role", "--role-name", "tutorial", "--assume-role-policy-document", json.dumps(trust))["Role"]["Arn"]
    channels = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", "Action": [
        f"ssmmessages:{verb}{channel}Channel" for verb in ("Create", "Open") for channel in ("Control", "Data")]}]}
    aws("iam", "put-role-policy", "--role-name", "tutorial", "--policy-name", "exec", "--policy-document", json.dumps(channels))

    cluster = aws("ecs", "create-cluster", "--cluster-name", "fargate-cluster")["cluster"]
    assert (cluster["clusterName"], cluster["status"]) == ("fargate-cluster", "ACTIVE")
    page = "<html> <head> <title>Amazon ECS Sample App</title> </head><body> <h1>Amazon ECS Sample App</h1> </body></html>"
    definition = {
        "family": "sample-fargate", "networkMode": "awsvpc", "taskRoleArn": role,
        "containerDefinitions": [{
            "name": "fargate-app", "image": HTTPD, "essential": True,
            "portMappings": [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}], "entryPoint": ["sh", "-c"],
            "command": [f"/bin/sh -c \"echo '{page}' >  /usr/local/apache2/htdocs/index.html && httpd-foreground\""]}],
        "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"}
    file = tmp_path / "fargate-task.json"
    file.write_text(json.dumps(definition))
    assert aws("ecs", "register-task-definition", "--cli-input-json", f"file://{file}")["taskDefinition"]["revision"] == 1
    assert [arn.rsplit("/", 1)[1] for arn in aws("ecs", "list-task-definitions")["taskDefinitionArns"]] == ["sample-fargate:1"]

    made = aws("ecs", "create-service", "--cluster", "fargate-cluster", "--service-name", "fargate-service",
               "--task-definition", "sample-fargate:1", "--desired-count", "1", "--launch-type", "FARGATE",
               "--network-configuration", f"awsvpcConfiguration={{subnets=[{subnet}],securityGroups=[{group}],assignPublicIp=ENABLED}}",
               "--enable-execute-command")["service"]
    assert (made["status"], made["desiredCount"], made["schedulingStrategy"]) == ("ACTIVE", 1, "REPLICA")
    listed = aws("ecs", "list-services", "--cluster", "fargate-cluster")["serviceArns"]
    assert listed == [made["serviceArn"]] and listed[0].endswith(":service/fargate-cluster/fargate-service")

    def described():
        return aws("ecs", "describe-services", "--cluster", "fargate-cluster", "--services", "fargate-service")["services"][0]
    service = wait_for(lambda: (now := described())["runningCount"] == 1 and now, 60, "the task running")
    assert service["deployments"][0]["status"] == "PRIMARY" and service["platformFamily"] == "Linux"
    wait_for(lambda: any("has reached a steady state" in event["message"] for event in described()["events"]), 60, "a steady state")

    [task] = aws("ecs", "list-tasks", "--cluster", "fargate-cluster", "--service", "fargate-service")["taskArns"]
    [shown] = aws("ecs", "describe-tasks", "--cluster", "fargate-cluster", "--tasks", task)["tasks"]
    assert (shown["lastStatus"], shown["group"]) == ("RUNNING", "service:fargate-service")
    details = {one["name"]: one["value"] for one in shown["attachments"][0]["details"]}
    [interface] = aws("ec2", "describe-network-interfaces", "--network-interface-id", details["networkInterfaceId"])["NetworkInterfaces"]
    assert "Amazon ECS Sample App" in fetch(interface["PrivateIpAddress"])

    if shutil.which("openssl"):
        assert "inside" in execute(server, tmp_path, "fargate-cluster", task, "/bin/sh -c 'echo inside'")

    updated = aws("ecs", "update-service", "--cluster", "fargate-cluster", "--service", "fargate-service", "--desired-count", "2")
    assert updated["service"]["desiredCount"] == 2
    wait_for(lambda: described()["runningCount"] == 2, 60, "the second task")

    gone = aws("ecs", "delete-service", "--cluster", "fargate-cluster", "--service", "fargate-service", "--force")["service"]
    assert gone["status"] == "DRAINING"
    wait_for(lambda: described()["status"] == "INACTIVE", 60, "the service going")
    wait_for(lambda: not aws("ecs", "list-tasks", "--cluster", "fargate-cluster")["taskArns"], 60, "its tasks going")
    assert aws("ecs", "delete-cluster", "--cluster", "fargate-cluster")["cluster"]["status"] == "INACTIVE"


def execute(server, directory, cluster, task, command):
    """What `aws ecs execute-command` shows, with the stand-in for the session manager's plugin."""
    environment = {**os.environ, "AWS_ENDPOINT_URL": server.url, "AWS_DEFAULT_REGION": "us-east-1", "AWS_PAGER": "",
                   "AWS_ACCESS_KEY_ID": "000000000000", "AWS_SECRET_ACCESS_KEY": "x", "PATH": f"{plugin(directory)}:{os.environ['PATH']}"}
    done = subprocess.run([AWS_CLI, "ecs", "execute-command", "--cluster", cluster, "--task", task, "--container", "fargate-app",
                           "--interactive", "--command", command], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_service_in_a_browser_and_its_end(server, tmp_path):
    """Scenarios 7 and 8."""
    said = script(server, "07-service.sh", tmp_path).splitlines()
    assert said[-1].startswith("keeps "), said
    said = script(server, "08-scale-and-delete.sh", tmp_path)
    assert "3 different answers" in said
    story = said.split("== what the service says\n")[1].split("== what became")[0].splitlines()
    assert all(line.startswith("(service hello") for line in story), story
    shape = [re.sub(r"\(task [0-9a-f]{32}\)", "(task)", re.sub(r"arn:[^\s)]+", "ARN", line)) for line in story]
    for line in ["(service hello) has started 1 tasks: (task).", "(service hello) registered 1 targets in (target-group ARN)",
                 "(service hello) has reached a steady state.", "(service hello) has started 2 tasks: (task) (task)."]:
        assert line in shape, (line, shape)
    lived = [line.split("\t") for line in said.split("== what became of each task\n")[1].split("== nobody")[0].splitlines()]
    assert [line[:2] for line in lived if line[0] == "RUNNING"] == [["RUNNING", "service:hello"]] * 3
    ended = [line for line in said.splitlines() if line.startswith("STOPPED")]
    assert len(ended) == 3 and all(line.split("\t")[1] == "ServiceSchedulerInitiated" for line in ended), ended
    assert said.splitlines()[-1] == "INACTIVE"


def test_rolling_updates(server, tmp_path):
    """Scenario 21."""
    said = script(server, "21-rolling-updates.sh", tmp_path, IMAGE="toolbox").splitlines()
    stories = [line.removeprefix("tasks: ") for line in said if line.startswith("tasks: ")]
    assert stories[:2] == ["4 → 2 → 4 → 2 → 4", "4 → 6 → 4 → 6 → 4"], stories
    counts = [int(count) for count in stories[2].split(" → ")]
    assert counts[0] == counts[-1] == 9 and max(counts) == 18 and min(counts) == 9, stories
    [requests] = [line for line in said if line.startswith("requests answered")]
    assert requests.endswith("clients that lost one: 0"), requests
    assert int(requests.split()[4].rstrip(",")) > 1000, requests


def test_rollback_and_shift(server, tmp_path):
    """Scenario 22."""
    said = script(server, "22-rollback-and-shift.sh", tmp_path, IMAGE="toolbox").splitlines()
    over = [line for line in said if ", production: " in line and "waits" not in line]
    assert over == ["SUCCESSFUL, production: v1, weights 100", "ROLLBACK_SUCCESSFUL, production: v1, weights 100",
                    "SUCCESSFUL, production: v3, weights 100", "SUCCESSFUL, production: v4, weights 100",
                    "SUCCESSFUL, production: v5, weights 100"], said
    assert "production: v1, test: v3" in said
    waits = [line.rsplit(" ", 1)[1] for line in said if line.startswith("waits at PRE_PRODUCTION_TRAFFIC_SHIFT")]
    assert waits == ["100", "10/90", "100", "50/50"], said
