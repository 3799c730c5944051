"""The operator's commands against real containers: run, ps, logs, status, doctor."""

import json
import signal
import subprocess
import urllib.request

import pytest

from conftest import BOXSHIP, fetch, needs_root, running, stopped, wait_for

pytestmark = needs_root

WEB = "mkdir /www; echo up > /www/index.html; trap 'exit 0' TERM; echo ready; httpd -p 80 -h /www; while :; do sleep 0.1; done"


@pytest.mark.parametrize(("script", "code"), [("echo one; echo two >&2; exit 0", 0), ("echo one; echo two; exit 7", 7)])
def test_run(box, script, code):
    """Prints what the container prints on either pipe (between the two there is no order), and ends as it does."""
    done = box.run("run", "--quiet", "toolbox", "--", "/bin/sh", "-c", script, check=False)
    assert done.returncode == code, done.stderr
    assert sorted(done.stdout.splitlines()) == ["one", "two"]


def test_run_with_members(box):
    done = box.run("run", "--quiet", "--env", "A=b c", "--cpu", "512", "--memory", "1024", "--name", "named", "toolbox", "--",
                   "/bin/sh", "-c", "echo $A; cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; hostname")
    assert done.stdout.splitlines()[0] == "b c"
    assert "named" in box.run("ps", "--all").stdout


def test_an_image_that_is_not_there(box):
    done = box.run("run", f"{box.registry}/missing:1", check=False)
    assert done.returncode not in (0, 101)
    assert "CannotPullContainerError" in done.stdout + done.stderr


def test_detach_ps_logs(box):
    box.run("run", "--detach", "--name", "web", "toolbox", "--", "/bin/sh", "-c", WEB)
    [arn] = box.client("ecs").list_tasks(family="web")["taskArns"]
    task = running(box, arn)
    at = task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
    assert fetch(at) == "up\n"
    short = arn.rsplit("/", 1)[1]
    listed = [line for line in box.run("ps").stdout.splitlines() if short[:8] in line]
    assert len(listed) == 1
    assert at in listed[0]
    wait_for(lambda: "ready" in box.run("logs", short).stdout, 5, "the log")
    page = urllib.request.urlopen(box.url + "/", timeout=5).read().decode()
    assert "web" in page
    assert "linux" in box.run("status").stdout.lower()
    following = subprocess.Popen([BOXSHIP, "--data-dir", box.data_dir, "logs", "--follow", short], stdout=subprocess.PIPE, text=True)
    box.client("ecs").stop_task(task=arn)
    assert following.communicate(timeout=30)[0].splitlines() == ["ready"]
    assert following.returncode == 0
    assert short[:8] not in box.run("ps").stdout
    assert short[:8] in box.run("ps", "--all").stdout


def test_interrupted(box):
    """Ctrl-C stops what the command runs."""
    process = subprocess.Popen(
        [BOXSHIP, "--data-dir", box.data_dir, "run", "--name", "held", "toolbox", "--", "/bin/sh", "-c", WEB],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    [arn] = wait_for(lambda: box.client("ecs").list_tasks(family="held")["taskArns"], 20)
    running(box, arn)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert stopped(box, arn)["stopCode"] == "UserInitiated"


def test_doctor(box):
    done = box.run("doctor", check=False)
    assert "panicked" not in done.stderr
    assert "overlay" in (done.stdout + done.stderr).lower()


def test_health(box):
    health = json.loads(box.get("/_boxship/health"))
    assert health["status"] == "ready"
    assert health["runtime"] == "linux"
