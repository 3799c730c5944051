"""What containers print: in order, whole, soon, and whatever its shape."""

import time

import pytest

from conftest import AWS_CLI, define, describe, execution_role, log, needs_root, run_task, running, stopped, wait_for
from toolbox import printed, start

pytestmark = needs_root

BLOCKING = {"mode": "blocking"}


def driver(group, prefix="p", **options):
    options = {name.replace("_", "-"): value for name, value in options.items()}
    return {"logDriver": "awslogs", "options": {
        "awslogs-group": group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": prefix, **options}}


def events(server, group, arn, prefix="p", container="c0"):
    """All events of a container's stream, oldest first."""
    logs = server.client("logs")
    found, token = [], {}
    while True:
        page = logs.get_log_events(logGroupName=group, logStreamName=f"{prefix}/{container}/{arn.rsplit('/', 1)[1]}",
                                   startFromHead=True, **token)
        found += page["events"]
        if not page["events"]:
            return found
        token = {"nextToken": page["nextForwardToken"]}


def test_many_lines_quickly(box):
    """20,000 lines as fast as a shell prints them: none lost, none twice, in order, their times never falling."""
    arn = start(box, "exec seq 1 20000", logConfiguration=driver("/many", awslogs_create_group="true", mode="blocking"))
    stopped(box, arn)
    found = events(box, "/many", arn)
    assert [event["message"] for event in found] == [str(n) for n in range(1, 20001)]
    times = [event["timestamp"] for event in found]
    assert times == sorted(times)
    page = box.client("logs").filter_log_events(logGroupName="/many", filterPattern="19999")["events"]
    assert [event["message"] for event in page] == ["19999"]


def test_readable_within_a_second(box):
    arn = start(box, "sleep 0.5; while read up rest < /proc/uptime; do echo at $up; sleep 0.25; done", family="soon")
    running(box, arn)
    wait_for(lambda: len(log(box, "soon", arn)) > 2, 10, "lines")
    lags = []
    for _ in range(8):
        last = float(log(box, "soon", arn)[-1].split()[1])
        with open("/proc/uptime") as uptime:
            lags.append(float(uptime.read().split()[0]) - last)
        time.sleep(0.1)
    box.client("ecs").stop_task(task=arn)
    assert max(lags) < 1.3, f"a line a quarter of a second, each readable within one: {lags}"


def test_shapes(box):
    """Standard error, tabs, no newline at the end, other alphabets, bytes that are no text, blank lines."""
    lines = printed(box, r"""printf 'tab\there\r\n'; printf 'grün 日本 🚢\n' >&2; sleep 0.1; echo; printf ' \n'; printf 'bad \377 byte\n'
sleep 0.1; printf 'no newline'""")
    assert lines == ["tab\there\r", "grün 日本 🚢", " ", "bad \ufffd byte", "no newline"]


def test_a_long_line(box):
    """A line of a megabyte comes in pieces that CloudWatch takes, in order, nothing missing."""
    arn = start(box, "seq 1 200000 | tr '\\n' ' ' | head -c 1048576; echo; echo after", logConfiguration=driver(
        "/long", awslogs_create_group="true", mode="blocking"))
    stopped(box, arn)
    messages = [event["message"] for event in events(box, "/long", arn)]
    expected = " ".join(str(n) for n in range(1, 200001))[:1048576]
    assert messages[-1] == "after"
    assert max(len(message) for message in messages) <= 256 * 1024
    assert "".join(messages[:-1]) == expected


def test_two_streams_of_two_containers(box):
    containers = [{"name": name, "image": "toolbox", "command": ["/bin/sh", "-c", f"for n in $(seq 1 500); do echo {name} $n; done; sleep 0.5"]}
                  for name in ["left", "right"]]
    [arn] = run_task(box, define(box, "pair", containers))
    stopped(box, arn)
    for name in ["left", "right"]:
        assert log(box, "pair", arn, name) == [f"{name} {n}" for n in range(1, 501)]


def test_non_blocking(box):
    """A container that prints without end is not held up, nor does it fill the disk; what is kept is in order."""
    script = "yes 0123456789012345678901234567890123456789 | head -n 200000; echo last"
    arn = start(box, script, logConfiguration=driver("/fast", awslogs_create_group="true", mode="non-blocking", max_buffer_size="1m"))
    task = stopped(box, arn)
    assert task["containers"][0]["exitCode"] == 0
    messages = [event["message"] for event in events(box, "/fast", arn)]
    assert messages
    assert set(messages) <= {"0123456789" * 4, "last"}


def test_without_a_group(box):
    """A group that is missing is not made unless told so; the task does not start."""
    arn = start(box, "echo unheard", logConfiguration=driver("/missing"))
    task = stopped(box, arn)
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("ResourceInitializationError: failed to validate logger args: ")
    assert "ResourceNotFoundException" in task["stoppedReason"]
    assert "The specified log group does not exist." in task["stoppedReason"]
    assert "startedAt" not in task
    groups = box.client("logs").describe_log_groups(logGroupNamePrefix="/missing")["logGroups"]
    assert groups == []


def test_with_a_group_that_is_there(box):
    box.client("logs").create_log_group(logGroupName="/there")
    arn = start(box, "echo heard", logConfiguration=driver("/there"))
    stopped(box, arn)
    assert [event["message"] for event in events(box, "/there", arn)] == ["heard"]


def test_another_region(box):
    options = driver("/far", awslogs_create_group="true")
    options["options"]["awslogs-region"] = "eu-west-1"
    arn = start(box, "echo far", logConfiguration=options)
    stopped(box, arn)
    logs = box.client("logs", region="eu-west-1")
    found = logs.get_log_events(logGroupName="/far", logStreamName=f"p/c0/{arn.rsplit('/', 1)[1]}")["events"]
    assert [event["message"] for event in found] == ["far"]
    assert box.client("logs").describe_log_groups(logGroupNamePrefix="/far")["logGroups"] == []


def test_without_a_driver(box):
    """Output without a log configuration goes nowhere, and holds nothing up."""
    ecs = box.client("ecs")
    definition = ecs.register_task_definition(
        family="silent", requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu="256", memory="512",
        executionRoleArn=execution_role(box), containerDefinitions=[
            {"name": "c0", "image": "toolbox", "command": ["/bin/sh", "-c", "seq 1 200000; exit 5"]}])
    [arn] = run_task(box, definition["taskDefinition"]["taskDefinitionArn"])
    assert stopped(box, arn)["containers"][0]["exitCode"] == 5
    assert describe(box, arn)["stopCode"] == "EssentialContainerExited"


@pytest.mark.skipif(not AWS_CLI, reason="left out: no AWS CLI")
def test_aws_cli(box):
    arn = start(box, "echo one; echo two", logConfiguration=driver("/cli", awslogs_create_group="true"))
    stopped(box, arn)
    answer = box.aws("logs", "get-log-events", "--log-group-name", "/cli", "--log-stream-name", f"p/c0/{arn.rsplit('/', 1)[1]}")
    assert [event["message"] for event in answer["events"]] == ["one", "two"]
