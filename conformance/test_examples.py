"""The scripts under examples/, as a reader would run them against a fresh server."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import AWS_CLI, Server, needs_root

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

pytestmark = [needs_root, pytest.mark.skipif(not AWS_CLI, reason="left out: no AWS CLI"),
              pytest.mark.skipif(shutil.which("curl") is None, reason="left out: curl is not installed")]


@pytest.fixture(scope="module")
def server():
    server = Server("linux").start()
    yield server
    server.down()


def script(server, name, tmp_path, **environment):
    """A script's output, with what `boxship env` says in its environment."""
    said = server.run("env").stdout
    lines = [line.removeprefix("export ") for line in said.splitlines() if "=" in line]
    pairs = dict(line.split("=", 1) for line in lines)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {
        **inherited, **{name: value.strip("'\"") for name, value in pairs.items()}, "HOME": str(tmp_path), "AWS_PAGER": "",
        "PATH": f"{Path(AWS_CLI).resolve().parent}:{os.environ['PATH']}", "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json"),
        "TMPDIR": str(tmp_path), **environment}
    done = subprocess.run([EXAMPLES / name], env=environment, cwd=tmp_path, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_push_pull_and_run(server, hello_archive, tmp_path):
    if shutil.which("skopeo") is None:
        pytest.skip("left out: skopeo is not installed")
    pushed = script(server, "02-push-and-pull.sh", tmp_path, IMAGE=str(hello_archive))
    assert "Login Succeeded!" in pushed
    digest, tag, size = pushed.splitlines()[-1].split()
    assert digest.startswith("sha256:")
    assert tag == "latest"
    assert int(size) > 100_000
    ran = script(server, "07-fargate-task.sh", tmp_path)
    assert "Hello from Boxship" in ran
    assert "listening on port 80" in ran
    assert "GET / HTTP/1.1 200" in ran
    assert ran.splitlines()[-1].split("\t") == ["STOPPED", "UserInitiated", "the scenario is over", "0"]
