"""A registry's pulls sent to another. A module of its own: its server is started with options."""

import socket

from conftest import Server, needs_root, stopped
from test_linux_images import said, says
from toolbox import start

pytestmark = needs_root


def test_mirror(tmp_path):
    """Pulls of a registry go to another; digests too. Others do not."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mirror = f"public.ecr.aws=localhost:{port}/mirror"
    server = Server("linux", "--registry-mirror", mirror, listen=f"127.0.0.1:{port}")
    server.start()
    try:
        server.run("image", "push", str(says(tmp_path / "image.tar", "mirrored")), "mirror/nginx/nginx:stable")
        assert said(server, "public.ecr.aws/nginx/nginx:stable") == ["mirrored"]
        task = stopped(server, start(server, None, image="public.ecr.aws/nginx/other:1", entryPoint=[], command=[]))
        assert task["stoppedReason"].startswith("CannotPullContainerError: ")
        assert "mirror/nginx/other:1: not found" in task["stoppedReason"]
    finally:
        server.down()
