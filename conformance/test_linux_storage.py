"""What a task writes: ephemeral storage with a bound, volumes of the task and of the image."""

import pytest

from conftest import IS_ROOT, Server, needs_root
from toolbox import CONFIG, archive, printed

pytestmark = needs_root


@pytest.fixture(scope="module")
def server(toolbox_archive, tmp_path_factory):
    if not IS_ROOT:
        pytest.skip("left out: real containers need root")
    server = Server("linux").start()
    server.run("image", "load", str(toolbox_archive), "toolbox")
    furnished = archive(tmp_path_factory.mktemp("image") / "furnished.tar", config={**CONFIG, "Volumes": {"/data": {}}},
                        files=[("data/a file", 0o640, b"from the image\n"), ("data/tool", 0o755, b"#!/bin/sh\necho ran\n")])
    server.run("image", "load", str(furnished), "furnished")
    yield server
    server.down()


GIB = 1 << 20


@pytest.mark.parametrize("asked, size", [(None, 20), (30, 30)])
def test_ephemeral_storage(server, asked, size):
    """A disk of its own, of the size that was asked for; a volume is on it too."""
    task = {"ephemeralStorage": {"sizeInGiB": asked}} if asked else {}
    lines = printed(server, f"df -k / | tail -n 1; df -k /v | tail -n 1; fallocate -l {size - 2}G /v/much && echo fits; "
                            "fallocate -l 3G /more || echo full", mountPoints=[{"sourceVolume": "v", "containerPath": "/v"}],
                    task={**task, "volumes": [{"name": "v"}]})
    for line in lines[:2]:
        assert (size - 1) * GIB < int(line.split()[1]) <= size * GIB, line
    assert lines[2] == "fits" and "No space left on device" in lines[3] and lines[4] == "full"


def test_a_volume_of_the_image(server):
    """It can be written below a read-only root, and has what the image has there."""
    lines = printed(server, "cat '/data/a file'; /data/tool; stat -c %a '/data/a file'; echo x > /data/x; cat /data/x",
                    image="furnished", readonlyRootFilesystem=True)
    assert lines == ["from the image", "ran", "640", "x"]


def test_an_empty_volume_gets_the_images_files(server):
    lines = printed(server, "ls /data", image="furnished", mountPoints=[{"sourceVolume": "v", "containerPath": "/data"}],
                    task={"volumes": [{"name": "v"}]})
    assert lines == ["a file", "tool"]
