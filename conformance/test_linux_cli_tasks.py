"""What people watch tasks with: stats, logs of several containers, inspect, ps in color."""

import json
import os
import pty
import subprocess

import pytest

from conftest import BOXSHIP, Server, execution_role, needs_root, wait_for

pytestmark = needs_root


@pytest.fixture(scope="module")
def box(toolbox_archive):
    server = Server("linux", "--instance", "machines").start()
    server.run("image", "load", str(toolbox_archive), "toolbox")
    yield server
    server.down()


def lines_in_color(box, *arguments):
    """What a command prints to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([BOXSHIP, "--data-dir", box.data_dir, *arguments], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
                               env={**os.environ, "NO_COLOR": "", "TERM": "xterm"})
    os.close(theirs)
    text = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.close(ours)
    assert process.wait(30) == 0, text
    return text.decode()


def test_two_containers(box):
    """Stats, logs, inspect and ps of a task with two containers, each with its own log driver."""
    logs = [{"logDriver": "awslogs", "options": {"awslogs-group": "/two", "awslogs-region": "us-east-1", "awslogs-create-group": "true"}},
            {"logDriver": "json-file", "options": {"max-size": "1m"}}]
    containers = [
        {"name": name, "image": "toolbox", "logConfiguration": log,
         "healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 5}, "stopTimeout": 2,
         "command": ["/bin/sh", "-c", f"echo {name} one; echo {name} two; while :; do :; done" if name == "busy" else f"echo {name}; exec sleep 900"]}
        for name, log in zip(["busy", "quiet"], logs)]
    ecs = box.client("ecs")
    ecs.register_task_definition(family="pair", containerDefinitions=containers, executionRoleArn=execution_role(box), memory="256")
    [task] = ecs.run_task(taskDefinition="pair", cluster="machines", launchType="EC2")["tasks"]
    arn = task["taskArn"]
    wait_for(lambda: ecs.describe_tasks(tasks=[arn], cluster="machines")["tasks"][0].get("healthStatus") == "HEALTHY", 30)
    short = arn.rsplit("/", 1)[1]
    rows = {row["container"]: row for row in json.loads(box.run("stats", "pair", "--json").stdout)}
    assert set(rows) == {"busy", "quiet"}
    assert rows["busy"]["cpuPercent"] > 10 > rows["quiet"]["cpuPercent"]
    assert 0 < rows["quiet"]["memoryBytes"] < rows["quiet"]["memoryLimitBytes"] <= 256 << 20
    assert rows["quiet"]["pids"] == 1
    assert "busy" in box.run("top", "--no-stream").stdout
    wait_for(lambda: len(box.run("logs", short[:10]).stdout.splitlines()) == 3, 10, "both logs")
    assert sorted(box.run("logs", short[:10]).stdout.splitlines()) == ["busy  | busy one", "busy  | busy two", "quiet | quiet"]
    assert box.run("logs", "pair", "-c", "quiet").stdout == "quiet\n"
    [line] = box.run("logs", "pair", "-c", "quiet", "--json").stdout.splitlines()
    assert json.loads(line)["message"] == "quiet"
    seen = json.loads(box.run("inspect", "pair").stdout)
    assert seen["task"]["taskArn"] == arn
    assert seen["taskDefinition"]["containerDefinitions"][0]["name"] == "busy"
    [listed] = [task for task in json.loads(box.run("ps", "--json").stdout) if task["task"] == arn]
    assert listed["health"] == "HEALTHY"
    assert "\x1b[32mRUNNING\x1b[0m" in lines_in_color(box, "ps")
    assert "\x1b" not in box.run("ps").stdout
    ecs.stop_task(task=arn, cluster="machines")
    refused = box.run("inspect", "nothing", check=False)
    assert refused.returncode == 1
    assert "boxship ps --all" in refused.stderr
    wait_for(lambda: "has stopped" in box.run("stats", short, check=False).stderr, 60, "the end")
