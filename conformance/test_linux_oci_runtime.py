"""Tasks through another OCI runtime: `boxship up --oci-runtime PROGRAM`."""

import shutil
from pathlib import Path

import pytest

from conftest import BOXSHIP, Server, needs_root, running, stopped
from toolbox import printed, start

pytestmark = needs_root


@pytest.fixture(scope="module", params=["runc", "boxship oci"])
def box(request, tmp_path_factory, toolbox_archive):
    """A server whose containers another program starts; our own launcher is one, too."""
    if request.param == "runc":
        program = shutil.which("runc", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin")
        if program is None:
            pytest.skip("left out: runc is not installed")
    else:
        program = tmp_path_factory.mktemp("oci") / "runtime"
        program.write_text(f'#!/bin/sh\nexec {Path(BOXSHIP).absolute()} oci "$@"\n')
        program.chmod(0o755)
    server = Server("linux", "--oci-runtime", str(program)).start()
    server.run("image", "load", str(toolbox_archive), "toolbox")
    yield server
    server.down()


def test_output_and_exit(box):
    assert printed(box, "echo out; exit 7", exit_code=7) == ["out"]


def test_network_and_confinement(box):
    lines = printed(box, "ip -o -4 addr | grep -c 172.31.; grep CapEff /proc/self/status; grep Seccomp: /proc/self/status")
    assert lines == ["1", "CapEff:\t00000000a80425fb", "Seccomp:\t2"]


def test_memory(box):
    arn = start(box, "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo unreached", memory=32)
    [container] = stopped(box, arn)["containers"]
    assert (container.get("exitCode"), container.get("reason")) == \
        (137, "OutOfMemoryError: Container killed due to memory usage")


def test_stop(box):
    arn = start(box, "trap 'exit 5' TERM; while :; do sleep 0.1; done")
    running(box, arn)
    box.client("ecs").stop_task(task=arn)
    assert stopped(box, arn)["containers"][0]["exitCode"] == 5


def test_a_program_that_is_not_there(box):
    arn = start(box, "", entryPoint=["/no/such"], command=[])
    task = stopped(box, arn)
    assert task["stopCode"] == "TaskFailedToStart"
    assert "/no/such" in task["containers"][0]["reason"], task
