"""An image that does not fit on the host's disk: its task says so, and smaller ones run on."""

import gzip
import hashlib
import http.server
import io
import json
import subprocess
import tarfile
import threading

import pytest

from conftest import IS_ROOT, Server, execution_role, needs_root, stopped
from test_linux_stop_reasons import c, launch

pytestmark = needs_root

OCI = "application/vnd.oci.image"


def image(mib):
    """Answers by path: an image with one layer of so many MiB, which are little on the wire."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        entry = tarfile.TarInfo("big")
        entry.size = mib << 20
        tar.addfile(entry, io.BytesIO(bytes(mib << 20)))
    packed = gzip.compress(layer.getvalue(), 1)
    diff = f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"
    answers = {}

    def keep(data, kind):
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        answers[f"/v2/big/blobs/{digest}"] = data
        return {"mediaType": f"{OCI}.{kind}", "digest": digest, "size": len(data)}

    config = keep(json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/big"]},
                              "rootfs": {"type": "layers", "diff_ids": [diff]}}).encode(), "config.v1+json")
    answers["/v2/big/manifests/1"] = json.dumps({
        "schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": config,
        "layers": [keep(packed, "layer.v1.tar+gzip")]}).encode()
    return answers


@pytest.fixture
def registry():
    answers = image(200)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("content-type", f"{OCI}.manifest.v1+json")
            self.send_header("content-length", str(len(body or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body or b"")
        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def server(toolbox_archive, tmp_path):
    if not IS_ROOT:
        pytest.skip("left out: real containers need root")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "small", disk], capture_output=True).returncode != 0:
        pytest.skip("left out: no tmpfs can be mounted here")
    try:
        (disk / "data").mkdir()
        server = Server("linux", "--instance", "default", data_dir=disk / "data").start()
        server.run("image", "load", str(toolbox_archive), "toolbox")
        execution_role(server)
        yield server
        server.down()
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_an_image_that_does_not_fit(server, registry):
    for _ in range(2):
        # The second time shows that the first left nothing half-made.
        task = stopped(server, launch(server, [c(None, image=f"{registry}/big:1")]))
        assert task["stopCode"] == "TaskFailedToStart"
        assert task["stoppedReason"].startswith("CannotPullContainerError: ref pull has been retried 1 time(s): failed to ")
        assert task["stoppedReason"].endswith("no space left on device"), task["stoppedReason"]
        small = stopped(server, launch(server, [c("exit 3")]))
        assert small["containers"][0]["exitCode"] == 3, small
