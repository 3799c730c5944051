"""The scripts of a task in full under examples/, as a reader would run them against a fresh server."""

import shutil

import pytest

from conftest import AWS_CLI, IS_ROOT, Server, needs_root
from test_examples import script
from test_linux_instance import free_port

pytestmark = [needs_root, pytest.mark.skipif(not AWS_CLI, reason="left out: no AWS CLI"),
              pytest.mark.skipif(shutil.which("curl") is None, reason="left out: curl is not installed")]


@pytest.fixture(scope="module")
def server(toolbox_archive):
    if not IS_ROOT:
        pytest.skip("left out: real containers need root")
    server = Server("linux", "--instance", "DemoCluster").start()
    server.run("image", "load", str(toolbox_archive), "toolbox")
    yield server
    server.down()


def test_room_on_an_instance(server, tmp_path):
    said = script(server, "10-ec2-room.sh", tmp_path, IMAGE="toolbox", PORT=str(free_port()))
    for line in ["Hello from an instance", "too much cpu: RESOURCE:CPU", "too much memory: RESOURCE:MEMORY",
                 "the same port: RESOURCE:PORTS", "and again: RUNNING"]:
        assert line in said.splitlines()


def test_ten_containers(server, tmp_path):
    said = script(server, "15-ten-containers.sh", tmp_path, IMAGE="toolbox").splitlines()
    assert [line for line in said if line.startswith("worker")] == [f"worker{n} load={n}" for n in range(1, 9)]
    assert said[-1].split("\t") == ["EssentialContainerExited", "Essential container in task exited", "10"]


def test_volumes(server, tmp_path):
    said = script(server, "16-volumes.sh", tmp_path, IMAGE="toolbox", HOST_PATH=str(tmp_path / "host")).splitlines()
    assert "host path: 1, then 2" in said
    assert "Docker volume: 1, then 2" in said
    assert "Fargate: 1, then 1" in said
    assert "25" in said
    assert [line.rsplit(" ", 1)[-1] for line in said[-2:]] == ["sourcePath", "dockerVolumeConfiguration"]


def test_health_and_logs(server, tmp_path):
    said = script(server, "30-health-and-logs.sh", tmp_path, IMAGE="toolbox").splitlines()
    assert "the task is HEALTHY" in said
    assert "exit codes: app 137 db 0" in said
    assert "events of app: 2" in said, "a stack trace is one event"
    assert "events of db: 4" in said
    assert said[-1] == "TaskFailedToStart"
