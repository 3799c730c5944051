"""Scenarios 21 and 22 where nothing runs and the clock is moved: plain boto3 scripts, as a reader runs them."""

import os
import re
import subprocess
import sys

import pytest

from conftest import Server, define, network, refused, wait_for
from test_examples import EXAMPLES


@pytest.fixture
def server():
    server = Server("simulated").start()
    yield server
    server.down()


def told(server, name):
    environment = {**os.environ, "AWS_ENDPOINT_URL": server.url, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "000000000000",
                   "AWS_SECRET_ACCESS_KEY": "x", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, EXAMPLES / name], env=environment, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_rolling_updates(server):
    said = told(server, "21-simulated.py")
    assert said[:2] == ["4 tasks at 50 and 100 percent: 4 → 2 → 4 → 2 → 4", "4 tasks at 100 and 150 percent: 4 → 6 → 4 → 6 → 4"]
    assert said[2] == "9 tasks at 100 and 200 percent: 9 → 18 → 9"


def test_rollback_and_shift(server):
    said = told(server, "22-simulated.py")
    assert "ROLLBACK_SUCCESSFUL TRIGGERED 1" in said
    over = [re.fullmatch(r"(\w+) after (\d+) minutes, weights (.*)", line) for line in said if ", weights " in line]
    assert [(one[1], one[3]) for one in over] == [
        ("SUCCESSFUL", "100/0 0/100"), ("ROLLBACK_SUCCESSFUL", "0/100"), ("SUCCESSFUL", "0/100 10/90 100/0"),
        ("SUCCESSFUL", "100/0 75/25 50/50 25/75 0/100")], said
    for one, least in zip(over, [10, 30, 15, 17]):
        assert least <= int(one[2]) <= least + 8, one[0]
    assert "somebody looks: production (100, 0), test (0, 100)" in said


def test_many_tasks(server):
    """Up and back to none, with the counts right; `BOXSHIP_LONG=1`: as many as there may be."""
    most = 5_000 if os.environ.get("BOXSHIP_LONG") else 300
    ecs = server.client("ecs")
    ecs.create_cluster(clusterName="default")
    definition = define(server, "many", [{"image": "web:1"}])
    members = {"serviceName": "many", "taskDefinition": definition, "launchType": "FARGATE", "networkConfiguration": network(server)}
    # AWS: the quota of tasks of a service.
    refused("InvalidParameterException", ecs.create_service, "desiredCount", desiredCount=10_000, **members)
    ecs.create_service(desiredCount=most, **members)

    def service():
        return ecs.describe_services(services=["many"])["services"][0]

    def counts():
        now = service()
        return now["runningCount"], now["pendingCount"]
    wait_for(lambda: counts() == (most, 0), 400, f"{most} tasks")
    ecs.update_service(service="many", desiredCount=0)
    wait_for(lambda: counts() == (0, 0), 400, "none")
    assert 1 < len(service()["events"]) <= 100
    ecs.delete_service(service="many")
    wait_for(lambda: service()["status"] == "INACTIVE", 60, "the service going")
