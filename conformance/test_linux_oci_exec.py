"""Containers that another OCI runtime started are checked and entered as ours are."""

import subprocess

from conftest import BOXSHIP, define, describe, execution_role, needs_root, run_task, running, wait_for
from test_linux_oci_runtime import box  # noqa: F401  (runc, and `boxship oci`)

pytestmark = needs_root


def test_health_and_shells(box):  # noqa: F811
    [arn] = run_task(box, define(box, "oci", [
        {"name": "checked", "image": "toolbox", "command": ["/bin/sh", "-c", "touch /tmp/well; exec sleep 3600"],
         "healthCheck": {"command": ["CMD-SHELL", "test -e /tmp/well"], "interval": 5, "timeout": 5, "retries": 2}},
    ], taskRoleArn=execution_role(box)), enableExecuteCommand=True)
    running(box, arn)

    def health():
        return {c["name"]: c.get("healthStatus") for c in describe(box, arn)["containers"]}.get("checked") == "HEALTHY"

    wait_for(health, 30, "the health check")

    def shell(script):
        command = [BOXSHIP, "--data-dir", box.data_dir, "exec", "--container", "checked", arn.rsplit("/", 1)[1],
                   "sh", "-c", script]
        return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)

    ran = shell("cat /proc/1/comm; rm /tmp/well; exit 7")
    assert (ran.returncode, ran.stdout) == (7, b"sleep\n"), ran.stderr
    wait_for(lambda: not health(), 40, "the failure of the health check")
    box.client("ecs").stop_task(task=arn)
