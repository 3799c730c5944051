"""An image to run anything in, and tasks that run a shell script in it."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from conftest import define, log, run_task, stopped

PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1234:1235:app:/home/app:/bin/sh\n"
GROUP = "root:x:0:\napp:x:1235:\nextra:x:1300:app\n"
CONFIG = {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin", "FROM_IMAGE=yes"]}


def busybox():
    """The path of a busybox that needs no library."""
    path = shutil.which("busybox")
    if path is None or not Path("/usr/share/doc/busybox-static").exists():
        pytest.skip("left out: busybox-static is not installed")
    return path


def archive(path, config=CONFIG, architecture="amd64", files=()):
    """Writes an OCI archive with busybox and its applets under /bin; `files` adds (name, mode, bytes)."""
    program = Path(busybox()).read_bytes()
    applets = subprocess.run([busybox(), "--list"], check=True, capture_output=True, text=True).stdout.split()
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, mode in [("bin", 0o755), ("etc", 0o755), ("home", 0o755), ("home/app", 0o755), ("tmp", 0o1777)]:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        content = [("bin/busybox", 0o755, program), ("etc/passwd", 0o644, PASSWD.encode()),
                   ("etc/group", 0o644, GROUP.encode()), *files]
        for name, mode, data in content:
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = mode, len(data)
            tar.addfile(entry, io.BytesIO(data))
        for applet in applets:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            if applet != "busybox":
                tar.addfile(entry)
    layer = layer.getvalue()
    blobs = {}

    def keep(data, kind):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    layers = [keep(layer, "layer.v1.tar")]
    configuration = keep({"architecture": architecture, "os": "linux", "config": config,
                          "rootfs": {"type": "layers", "diff_ids": [layers[0]["digest"]]}}, "config.v1+json")
    manifest = keep({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                     "config": configuration, "layers": layers}, "manifest.v1+json")
    index = {"schemaVersion": 2, "manifests": [manifest]}
    with tarfile.open(path, "w") as tar:
        members = [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", json.dumps(index).encode()),
                   *((f"blobs/sha256/{digest}", data) for digest, data in blobs.items())]
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def start(server, script, family="script", task=None, run=None, **container):
    """Runs a shell script as a task of one container; answers the task's ARN."""
    container = {"image": "toolbox", "entryPoint": ["/bin/sh", "-c"], "command": [script], **container}
    return run_task(server, define(server, family, [container], **(task or {})), **(run or {}))[0]


def printed(server, script, family="script", exit_code=0, **members):
    """What a script prints, as lines, once its task has ended.

    Output and errors go through one pipe: two pipes have no order between them that anyone could tell.
    """
    script = None if script is None else f"exec 2>&1\n{script}"
    arn = start(server, script, family, **members)
    task = stopped(server, arn)
    lines = log(server, family, arn) if "exitCode" in task["containers"][0] else []
    assert task["containers"][0].get("exitCode") == exit_code, (task.get("stoppedReason"), task["containers"], lines)
    return lines
