"""How tasks of real containers end, and what DescribeTasks says of it."""

import time

import pytest

import toolbox
from conftest import define, describe, log, needs_root, network, refused, run_task, running, stopped, wait_for
from toolbox import start

pytestmark = needs_root

ESSENTIAL = "Essential container in task exited"


def end(task):
    """What a stopped task of one container says of its end."""
    [container] = task["containers"]
    return task.get("stopCode"), task.get("stoppedReason"), container.get("exitCode"), container.get("reason")


@pytest.mark.parametrize(("script", "code"), [
    ("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$; exit 9", 9), ("sh -c 'kill -9 $$'; exit $?", 137),
    ("sh -c 'kill -SEGV $$'; exit $?", 139)])
def test_exit_code(box, script, code):
    """A PID 1 is spared signals that it does not handle, also its own."""
    task = stopped(box, start(box, script))
    assert end(task) == ("EssentialContainerExited", ESSENTIAL, code, None)
    assert task["lastStatus"] == task["desiredStatus"] == "STOPPED"
    times = [task[name] for name in ["createdAt", "pullStartedAt", "pullStoppedAt", "startedAt", "stoppingAt", "stoppedAt"]]
    assert times == sorted(times)
    assert task["startedAt"] <= task["executionStoppedAt"] <= task["stoppedAt"]


def test_essential_of_two(box):
    """The essential one ends its task; the other one gets SIGTERM."""
    containers = [
        {"name": "sidecar", "image": "toolbox", "essential": False,
         "command": ["/bin/sh", "-c", "trap 'echo told; exit 5' TERM; echo ready >&2; while :; do sleep 0.1; done"]},
        {"name": "main", "image": "toolbox", "command": ["/bin/sh", "-c", "sleep 1; exit 4"]}]
    [arn] = run_task(box, define(box, "two", containers))
    task = stopped(box, arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("EssentialContainerExited", ESSENTIAL)
    assert {c["name"]: c["exitCode"] for c in task["containers"]} == {"main": 4, "sidecar": 5}
    assert log(box, "two", arn, "sidecar") == ["ready", "told"]


def test_an_inessential_one_ends_alone(box):
    containers = [
        {"name": "main", "image": "toolbox", "command": ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]},
        {"name": "setup", "image": "toolbox", "essential": False, "command": ["/bin/sh", "-c", "exit 6"]}]
    [arn] = run_task(box, define(box, "setup", containers))
    running(box, arn)

    def setup():
        [container] = [c for c in describe(box, arn)["containers"] if c["name"] == "setup"]
        return container if container["lastStatus"] == "STOPPED" else None
    assert wait_for(setup, 10)["exitCode"] == 6
    assert describe(box, arn)["lastStatus"] == "RUNNING"
    box.client("ecs").stop_task(task=arn)
    stopped(box, arn)


PULL = "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref "


@pytest.mark.parametrize(("image", "text"), [
    ("localhost:PORT/missing:1", PULL + "localhost:PORT/missing:1: "),
    ("localhost:PORT/missing@sha256:" + "0" * 64, PULL),
    ("000000000000.dkr.ecr.us-east-1.amazonaws.com/missing:1", PULL + "000000000000.dkr.ecr.us-east-1.amazonaws.com/missing:1: "),
    ("127.0.0.1:1/closed:1", PULL + "127.0.0.1:1/closed:1: failed to do request: "),
])
def test_failed_pull(box, image, text):
    image, text = image.replace("PORT", str(box.port)), text.replace("PORT", str(box.port))
    task = stopped(box, start(box, "true", image=image))
    code, reason, exit_code, container_reason = end(task)
    assert code == "TaskFailedToStart"
    assert reason.startswith(text)
    assert exit_code is None
    assert container_reason == reason
    assert "startedAt" not in task


def test_another_architecture(box, tmp_path):
    box.run("image", "load", str(toolbox.archive(tmp_path / "arm.tar", architecture="arm64")), "toolbox-arm")
    task = stopped(box, start(box, "true", image="toolbox-arm"))
    code, reason, exit_code, _ = end(task)
    assert code == "TaskFailedToStart"
    assert reason.startswith("CannotPullContainerError: ")
    assert reason.endswith("image Manifest does not contain descriptor matching platform 'linux/amd64'")
    assert exit_code is None


def test_out_of_memory(box):
    """Of the container's own limit, and of the task's; of the first process, and of a child that it outlives."""
    eat = "x=x; while :; do x=$x$x; done"
    own = start(box, eat, memory=64)
    whole = start(box, eat, family="whole")
    child = start(box, f"sh -c '{eat}'; exit 5", memory=64)
    task = stopped(box, own)
    assert end(task) == ("EssentialContainerExited", ESSENTIAL, 137, "OutOfMemoryError: Container killed due to memory usage")
    assert end(stopped(box, whole)) == end(task)
    assert end(stopped(box, child))[:3] == ("EssentialContainerExited", ESSENTIAL, 5)


@pytest.mark.parametrize(("script", "seconds", "code"), [
    ("trap 'echo bye; exit 42' TERM; echo ready; while :; do sleep 0.1; done", 30, 42),
    ("trap '' TERM; echo ready; while :; do sleep 0.1; done", 2, 137)])
def test_stop(box, script, seconds, code):
    arn = start(box, script, family="stop", stopTimeout=seconds)
    running(box, arn)
    wait_for(lambda: log(box, "stop", arn), 5, "the line that it is ready")
    began = time.monotonic()
    box.client("ecs").stop_task(task=arn, reason="it is time")
    task = stopped(box, arn)
    took = time.monotonic() - began
    assert end(task) == ("UserInitiated", "it is time", code, None)
    if code == 137:
        assert 2 <= took < 10, took
    else:
        assert took < 10, took
        assert log(box, "stop", arn) == ["ready", "bye"]


def test_stop_signal_of_the_image(box, tmp_path):
    config = {**toolbox.CONFIG, "StopSignal": "SIGUSR1"}
    box.run("image", "load", str(toolbox.archive(tmp_path / "signal.tar", config)), "toolbox-usr1")
    arn = start(box, "trap 'exit 9' TERM; trap 'exit 8' USR1; echo ready; while :; do sleep 0.1; done", family="usr1",
                image="toolbox-usr1")
    wait_for(lambda: describe(box, arn)["lastStatus"] == "RUNNING" and log(box, "usr1", arn), 20, "the line that it is ready")
    box.client("ecs").stop_task(task=arn)
    assert end(stopped(box, arn))[2] == 8


def test_stop_before_it_runs(box):
    """Whatever a task was at, it ends."""
    arns = [start(box, "trap 'exit 0' TERM; while :; do sleep 0.1; done", family="early") for _ in range(3)]
    for arn in arns:
        box.client("ecs").stop_task(task=arn)
    for arn in arns:
        task = stopped(box, arn)
        assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "Task stopped by user")


@pytest.mark.parametrize(("members", "text"), [
    ({"command": ["/missing"], "entryPoint": []}, "/missing"),
    ({"command": ["not-on-the-path"], "entryPoint": []}, "executable file not found in $PATH"),
    ({"command": ["/etc/passwd"], "entryPoint": []}, "permission denied"),
    ({"command": ["/etc"], "entryPoint": []}, ""),
    ({"user": "nobody-here"}, "nobody-here"),
    ({"user": "app:no-group"}, "no-group"),
    ({"workingDirectory": "/etc/passwd"}, "Not a directory"),
])
def test_cannot_start(box, members, text):
    task = stopped(box, start(box, "true", **members))
    code, reason, exit_code, container_reason = end(task)
    assert (code, reason, exit_code) == ("TaskFailedToStart", "Task failed to start", None)
    assert container_reason.startswith("CannotStartContainerError: ")
    assert text in container_reason
    assert "startedAt" not in task


def test_an_image_without_a_command(box, tmp_path):
    box.run("image", "load", str(toolbox.archive(tmp_path / "mute.tar", {"Env": ["PATH=/bin"]})), "mute")
    task = stopped(box, start(box, None, image="mute", entryPoint=[], command=[]))
    code, _, exit_code, reason = end(task)
    assert (code, exit_code) == ("TaskFailedToStart", None)
    assert reason == "CannotStartContainerError: no command specified"


def test_many_at_once(box):
    """More starts than processors, each with its own end, address and log."""
    definition = define(box, "many", [{"image": "toolbox", "entryPoint": ["/bin/sh", "-c"]}])
    arns = {}
    for code in range(1, 25):
        [arn] = run_task(box, definition, overrides={"containerOverrides": [
            {"name": "c0", "command": [f"echo I am {code}; sleep 0.5; exit {code}"]}]})
        arns[arn] = code
    addresses = set()
    for arn, code in arns.items():
        task = stopped(box, arn)
        assert end(task) == ("EssentialContainerExited", ESSENTIAL, code, None)
        assert log(box, "many", arn) == [f"I am {code}"]
        addresses.add(task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"])
    assert len(addresses) > 1


def test_what_a_program_leaves_behind_ends_with_it(box):
    """Children that outlive the first process are no reason to wait, and none of them stays."""
    task = stopped(box, start(box, "sleep 1000 & setsid sleep 1000 & (setsid sh -c 'sleep 1000; echo late' &); exit 3"), 20)
    assert end(task) == ("EssentialContainerExited", ESSENTIAL, 3, None)


def test_a_fork_bomb_is_contained(box):
    """It runs into the limit of processes, and the task can still be stopped."""
    arn = start(box, "bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done", stopTimeout=2)
    running(box, arn)
    other = start(box, "exit 3")
    assert end(stopped(box, other))[2] == 3
    box.client("ecs").stop_task(task=arn)
    assert stopped(box, arn, 40)["stopCode"] in ("UserInitiated", "EssentialContainerExited")


def test_roles_must_exist(box):
    ecs = box.client("ecs")
    ecs.create_cluster(clusterName="default")
    definition = define(box, "roles", [{"image": "toolbox"}], taskRoleArn="arn:aws:iam::000000000000:role/nobody")
    refused("ClientException", ecs.run_task, "nobody", taskDefinition=definition, launchType="FARGATE",
            networkConfiguration=network(box))


def test_waiters(box):
    ecs = box.client("ecs")
    arn = start(box, "trap 'exit 0' TERM; while :; do sleep 0.1; done")
    quick = {"Delay": 1, "MaxAttempts": 30}
    ecs.get_waiter("tasks_running").wait(tasks=[arn], WaiterConfig=quick)
    ecs.stop_task(task=arn)
    ecs.get_waiter("tasks_stopped").wait(tasks=[arn], WaiterConfig=quick)
