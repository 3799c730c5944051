"""An image is pushed, a Fargate task runs it, its log is read."""

import shutil
import subprocess

import pytest

from conftest import address, define, fetch, log, needs_root, run_task, running, stopped, wait_for

pytestmark = needs_root


def skopeo_push(server, archive, name):
    if shutil.which("skopeo") is None:
        pytest.skip("left out: skopeo is not installed")
    token = server.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    import base64
    user, password = base64.b64decode(token).decode().split(":", 1)
    subprocess.run(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", "--dest-creds", f"{user}:{password}",
                    f"oci-archive:{archive}", f"docker://{server.registry}/{name}"], check=True, timeout=120)


def test_push_run_log(linux, hello_archive):
    linux.client("ecr").create_repository(repositoryName="hello")
    skopeo_push(linux, hello_archive, "hello:1")
    definition = define(linux, "hello", [{"image": f"{linux.registry}/hello:1", "portMappings": [{"containerPort": 80}]}])
    [arn] = run_task(linux, definition)
    task = running(linux, arn)
    assert "Hello from Boxship" in fetch(address(task))
    wait_for(lambda: "GET / HTTP/1.1 200" in log(linux, "hello", arn), 5, "the log line")
    linux.client("ecs").stop_task(task=arn, reason="enough")
    task = stopped(linux, arn)
    assert task["stopCode"] == "UserInitiated"
    assert task["stoppedReason"] == "enough"
    assert task["containers"][0]["exitCode"] == 0
