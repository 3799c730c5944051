"""Order of containers, their health, their restarts and their shared files, with real processes."""

import os
import time

import pytest

from conftest import define, describe, log, needs_root, run_task, running, stopped, wait_for

pytestmark = needs_root

WAITS = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def shell(name, script, **members):
    return {"name": name, "image": "toolbox", "command": ["/bin/sh", "-c", script], **members}


def after(*dependencies):
    return [{"containerName": name, "condition": condition} for name, condition in dependencies]


def container(task, name):
    [found] = [c for c in task["containers"] if c["name"] == name]
    return found


def test_order_health_and_a_shared_volume(box):
    """The story of most task definitions with sidecars: set up, wait for a database, serve."""
    check = {"command": ["CMD-SHELL", "test -e /shared/db"], "interval": 5, "timeout": 2, "retries": 3}
    mounts = {"mountPoints": [{"sourceVolume": "shared", "containerPath": "/shared"}]}
    [arn] = run_task(box, define(box, "order", [
        shell("web", f"cat /shared/setup /shared/db; {WAITS}",
              dependsOn=after(("setup", "SUCCESS"), ("db", "HEALTHY")), **mounts),
        shell("setup", "sleep 1; echo set up > /shared/setup", essential=False, **mounts),
        shell("db", f"echo database > /shared/db; {WAITS}", healthCheck=check,
              dependsOn=after(("setup", "COMPLETE")), **mounts)], volumes=[{"name": "shared"}]))
    task = running(box, arn)
    assert container(task, "setup")["exitCode"] == 0
    assert container(task, "db")["healthStatus"] == "HEALTHY"
    assert wait_for(lambda: log(box, "order", arn, "web"), 10) == ["set up", "database"]
    box.client("ecs").stop_task(task=arn)
    assert {c["exitCode"] for c in stopped(box, arn)["containers"]} == {0}


def test_a_dependency_that_fails(box):
    [arn] = run_task(box, define(box, "unmet", [
        shell("web", WAITS, dependsOn=after(("setup", "SUCCESS"))),
        shell("setup", "exit 3", essential=False)]))
    task = stopped(box, arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("TaskFailedToStart", "Task failed to start")
    assert container(task, "setup")["exitCode"] == 3
    web = container(task, "web")
    assert "exitCode" not in web
    assert web["reason"] == (
        "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency [setup] "
        "for target [web] as dependency did not exit successfully.")


def test_stops_run_backwards(box):
    """Each container is told to end once nothing depends on it any more."""
    script = "trap 'sleep 0.5; echo ended; exit 0' TERM; while :; do sleep 0.1; done"
    [arn] = run_task(box, define(box, "backwards", [
        shell("first", script), shell("last", script, dependsOn=after(("first", "START")))]))
    running(box, arn)
    time.sleep(1)
    box.client("ecs").stop_task(task=arn)
    stopped(box, arn)
    logs = box.client("logs")
    def at(name):
        [event] = logs.get_log_events(logGroupName="/test", logStreamName=f"backwards/{name}/{arn.rsplit('/')[-1]}")["events"]
        return event["timestamp"]
    assert at("first") - at("last") >= 400


def test_health(box):
    """A container that turns unwell is told of, and lives on: the task belongs to no service."""
    check = {"command": ["CMD", "/bin/sh", "-c", "echo looking; test ! -e /tmp/ill"], "interval": 5, "timeout": 2, "retries": 1}
    [arn] = run_task(box, define(box, "health", [shell("web", f"sleep 8; touch /tmp/ill; {WAITS}", healthCheck=check)]))
    assert running(box, arn)["healthStatus"] == "UNKNOWN"
    def has(status):
        return lambda: describe(box, arn)["healthStatus"] == status
    wait_for(has("HEALTHY"), 20)
    wait_for(has("UNHEALTHY"), 20)
    assert describe(box, arn)["lastStatus"] == "RUNNING"
    box.client("ecs").stop_task(task=arn)
    stopped(box, arn)


@pytest.mark.parametrize(("line", "status"), [
    ("sleep 1000", "UNHEALTHY"), ("yes", "UNHEALTHY"), ("nope", "UNHEALTHY"), ("yes & exit 0", "HEALTHY")])
def test_checks_that_misbehave(box, line, status):
    """One that hangs or talks without end is a failed one; what it leaves behind holds nobody up."""
    check = {"command": ["CMD-SHELL", line], "interval": 5, "timeout": 2, "retries": 1}
    [arn] = run_task(box, define(box, "misbehaves", [shell("web", WAITS, healthCheck=check)]))
    running(box, arn)
    wait_for(lambda: describe(box, arn)["healthStatus"] == status, 20)
    box.client("ecs").stop_task(task=arn)
    assert container(stopped(box, arn), "web")["exitCode"] == 0


def test_one_that_cannot_start_keeps_what_depends_on_it(box):
    [arn] = run_task(box, define(box, "missing", [
        {"name": "side", "image": "toolbox", "entryPoint": ["/nope"], "essential": False},
        shell("late", WAITS, essential=False, dependsOn=after(("side", "START"))),
        shell("web", WAITS)]))
    task = running(box, arn)
    assert container(task, "side")["reason"].startswith("CannotStartContainerError: ")
    assert "dependency [side] for target [late]" in container(task, "late")["reason"]
    assert container(task, "web")["lastStatus"] == "RUNNING"
    box.client("ecs").stop_task(task=arn)
    stopped(box, arn)


def test_ten_containers(box):
    """One essential, nine that help it: all start, and all end with it."""
    helpers = [shell(f"side{n}", WAITS, essential=False) for n in range(9)]
    [arn] = run_task(box, define(box, "ten", [shell("main", "sleep 3; exit 7"), *helpers], cpu="1024", memory="2048"))
    task = running(box, arn)
    assert {c["lastStatus"] for c in task["containers"]} == {"RUNNING"}
    task = stopped(box, arn)
    assert task["stopCode"] == "EssentialContainerExited"
    codes = {c["name"]: c["exitCode"] for c in task["containers"]}
    assert codes == {"main": 7, **{f"side{n}": 0 for n in range(9)}}


@pytest.mark.skipif(not os.environ.get("BOXSHIP_LONG"), reason="left out: AWS's shortest attempt period is a minute")
def test_restarts(box):
    """Files stay, lines of every run arrive once and in order, and a run that is too short is the last."""
    script = "echo run $(cat /n 2>/dev/null); echo x >> /n; [ $(wc -l < /n) -gt 2 ] && exit 5; sleep 61; exit 3"
    [arn] = run_task(box, define(box, "restarts", [
        shell("web", script, restartPolicy={"enabled": True, "restartAttemptPeriod": 60})]))
    running(box, arn)
    task = stopped(box, arn, 180)
    assert container(task, "web")["exitCode"] == 5
    assert log(box, "restarts", arn, "web") == ["run", "run x", "run x x"]


def test_a_wait_outlives_the_server(box):
    """What waits goes on waiting, what has run does not run again, and health is remembered."""
    check = {"command": ["CMD-SHELL", "test -e /shared/well"], "interval": 5, "timeout": 2, "retries": 1}
    mounts = {"mountPoints": [{"sourceVolume": "shared", "containerPath": "/shared"}]}
    [arn] = run_task(box, define(box, "outlives", [
        shell("web", f"cat /shared/runs; {WAITS}",
              dependsOn=after(("setup", "SUCCESS"), ("db", "HEALTHY")), **mounts),
        shell("setup", "echo set up >> /shared/runs; sleep 8", essential=False, **mounts),
        shell("db", f"echo database >> /shared/runs; touch /shared/well; {WAITS}", healthCheck=check,
              dependsOn=after(("setup", "START")), **mounts)], volumes=[{"name": "shared"}]))
    wait_for(lambda: describe(box, arn)["healthStatus"] == "HEALTHY", 20)
    box.kill()
    time.sleep(4)
    box.start()
    task = running(box, arn)
    assert container(task, "setup")["exitCode"] == 0
    assert container(task, "db")["healthStatus"] == "HEALTHY"
    assert wait_for(lambda: log(box, "outlives", arn, "web"), 10) == ["set up", "database"]
    box.client("ecs").stop_task(task=arn)
    stopped(box, arn)
