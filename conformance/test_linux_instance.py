"""This machine as a container instance: real tasks on it have what it has, and no more."""

import socket

import pytest

from conftest import IS_ROOT, Server, fetch, needs_root, wait_for
from test_ecs_instances import left, own, reasons, shown

pytestmark = needs_root

WEB = "mkdir -p /www; echo %s > /www/index.html; trap 'exit 0' TERM; httpd -p 80 -h /www; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def server(toolbox_archive):
    if not IS_ROOT:
        pytest.skip("left out: real containers need root")
    server = Server("linux", "--instance", "main").start()
    server.run("image", "load", str(toolbox_archive), "toolbox")
    yield server
    server.down()


@pytest.fixture
def ecs(server):
    """Nothing runs when a test begins."""
    ecs = server.client("ecs")
    for task in ecs.list_tasks(cluster="main")["taskArns"]:
        ecs.stop_task(cluster="main", task=task)
    arn = own(ecs)
    wait_for(lambda: left(shown(ecs, arn)) == left(shown(ecs, arn), "registeredResources"), 60, "an empty instance")
    return ecs


def define(ecs, family, script, port=None, cpu=128, memory=64):
    container = {"name": "web", "image": "toolbox", "cpu": cpu, "memory": memory, "entryPoint": ["/bin/sh", "-c"],
                 "command": [script], "stopTimeout": 2}
    if port is not None:
        container["portMappings"] = [{"containerPort": 80, "hostPort": port}]
    return ecs.register_task_definition(family=family, networkMode="bridge", containerDefinitions=[container])[
        "taskDefinition"]["taskDefinitionArn"]


def run(ecs, definition):
    answer = ecs.run_task(cluster="main", taskDefinition=definition)
    assert answer["failures"] == []
    return answer["tasks"][0]["taskArn"]


def reaches(ecs, task, status):
    def state():
        found = ecs.describe_tasks(cluster="main", tasks=[task])["tasks"][0]
        assert status == "STOPPED" or found["lastStatus"] != "STOPPED", (found.get("stoppedReason"), found["containers"])
        return found if found["lastStatus"] == status else None
    return wait_for(state, 60, f"{task} {status}")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_a_fixed_port_is_one_tasks_until_it_has_stopped(ecs):
    port = free_port()
    first = run(ecs, define(ecs, "first", WEB % "first", port))
    reaches(ecs, first, "RUNNING")
    assert fetch(f"127.0.0.1:{port}") == "first\n"
    second = define(ecs, "second", WEB % "second", port)
    answer = ecs.run_task(cluster="main", taskDefinition=second)
    assert (answer["tasks"], reasons(answer)) == ([], ["RESOURCE:PORTS"])
    assert reasons(ecs.start_task(cluster="main", taskDefinition=second, containerInstances=[own(ecs)])) == ["RESOURCE:PORTS"]
    assert str(port) in left(shown(ecs, own(ecs)))["PORTS"]
    ecs.stop_task(cluster="main", task=first)
    reaches(ecs, first, "STOPPED")
    reaches(ecs, run(ecs, second), "RUNNING")
    assert fetch(f"127.0.0.1:{port}") == "second\n"


def test_a_port_that_the_host_chose_is_taken(ecs):
    task = run(ecs, define(ecs, "dynamic", WEB % "dynamic", 0))
    [binding] = reaches(ecs, task, "RUNNING")["containers"][0]["networkBindings"]
    assert 32768 <= binding["hostPort"] <= 60999
    assert fetch(f"127.0.0.1:{binding['hostPort']}") == "dynamic\n"
    fixed = define(ecs, "fixed", WEB % "fixed", binding["hostPort"])
    assert reasons(ecs.run_task(cluster="main", taskDefinition=fixed)) == ["RESOURCE:PORTS"]


def test_tasks_share_the_machine(ecs):
    whole = left(shown(ecs, own(ecs)))
    half = define(ecs, "half", "sleep 600", cpu=whole["CPU"] // 2)
    tasks = [run(ecs, half), run(ecs, half)]
    answer = ecs.run_task(cluster="main", taskDefinition=half)
    assert (answer["tasks"], reasons(answer)) == ([], ["RESOURCE:CPU"])
    for task in tasks:
        reaches(ecs, task, "RUNNING")
    instance = shown(ecs, own(ecs))
    assert (instance["runningTasksCount"], instance["pendingTasksCount"]) == (2, 0)
    cluster = ecs.describe_clusters(clusters=["main"], include=["STATISTICS"])["clusters"][0]
    assert {"name": "runningEC2TasksCount", "value": "2"} in cluster["statistics"]
    ecs.stop_task(cluster="main", task=tasks[0])
    reaches(ecs, tasks[0], "STOPPED")
    reaches(ecs, run(ecs, half), "RUNNING")


def test_tasks_outlive_the_server_on_the_same_instance(server, ecs):
    arn = own(ecs)
    task = run(ecs, define(ecs, "stays", "sleep 600"))
    reaches(ecs, task, "RUNNING")
    before = left(shown(ecs, arn))
    server.kill()
    server.start()
    ecs = server.client("ecs")
    assert own(ecs) == arn
    assert reaches(ecs, task, "RUNNING")["containerInstanceArn"] == arn
    assert left(shown(ecs, arn)) == before
