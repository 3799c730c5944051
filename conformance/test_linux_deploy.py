"""boxship deploy on real containers: live updates, rollbacks that say why, and nothing left."""

import json
import os
import pty
import re
import subprocess
import threading
import urllib.request

import pytest

from conftest import BOXSHIP, HELLO, needs_root, wait_for
from test_cli_services import everything

pytestmark = needs_root

# A web server that says its version; `fail` is a program that does not start.
SERVE = "mkdir -p /www; echo $VERSION > /www/index.html; trap 'exit 0' TERM; echo serving $VERSION; httpd -p ${PORT:-80} -h /www; while :; do sleep 0.1; done"
FAIL = "echo about to fail; echo no such setting >&2; exit 3"


@pytest.fixture
def clean(box):
    """The server, and afterwards as it was before."""
    before = everything(box)
    yield box
    box.run("destroy", "web", "--yes", check=False)
    assert everything(box) == before


def deploy(box, *arguments, script=SERVE, check=True):
    return box.run("deploy", "toolbox", "--name", "web", *arguments, "--", "/bin/sh", "-c", script, check=check)


def links(said):
    return re.findall(r"http://[^ \n]+", said)


def ask(box, link):
    """Names under localhost are this machine: curl and browsers know it, glibc does not."""
    host = link.removeprefix("http://").rstrip("/")
    request = urllib.request.Request(box.url + "/", headers={"Host": host})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode().strip()


class Load:
    """Requests without a pause; every one has to be answered."""

    def __init__(self, box, link):
        self.answers, self.lost, self.over = [], [], threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(box, link)) for _ in range(2)]

    def work(self, box, link):
        while not self.over.is_set():
            try:
                self.answers.append(ask(box, link))
            except Exception as error:
                self.lost.append(repr(error))

    def __enter__(self):
        [thread.start() for thread in self.threads]
        return self

    def __exit__(self, *_):
        self.over.set()
        [thread.join() for thread in self.threads]


def test_a_service_is_updated_live_and_a_mistake_is_rolled_back(clean):
    box = clean
    first = deploy(box, "--count", "3", "--env", "VERSION=one", "--drain", "1")
    by_name, alias = links(first.stdout)
    assert ask(box, by_name) == "one"
    assert urllib.request.urlopen(alias, timeout=10).read() == b"one\n"
    with Load(box, by_name) as load:
        deploy(box, "--env", "VERSION=two")
        wait_for(lambda: load.answers[-1] == "two", 10)
        wrong = deploy(box, "--env", "VERSION=three", script=FAIL, check=False)
    assert load.lost == [], load.lost
    assert {"one", "two"} == set(load.answers)
    assert wrong.returncode == 1
    assert "ended as ROLLBACK_SUCCESSFUL" in wrong.stderr, wrong.stderr
    # Why, in the failing program's own words.
    assert "(exit code 3)" in wrong.stderr
    assert "| no such setting" in wrong.stderr and "| about to fail" in wrong.stderr
    assert "rolling back to deployment" in box.run("events", "web").stdout
    assert ask(box, by_name) == "two"


def test_a_version_that_never_gets_well_is_rolled_back(clean):
    deploy(clean, "--env", "VERSION=one", "--drain", "0", "--grace", "2")
    wrong = deploy(clean, "--env", "PORT=81", "--env", "VERSION=deaf", check=False)
    assert wrong.returncode == 1
    assert "is unhealthy in (target-group web)" in wrong.stderr, wrong.stderr
    assert "Task failed ELB health checks" in wrong.stderr
    assert "| serving deaf" in wrong.stderr


def test_blue_green(clean):
    box = clean
    first = deploy(box, "--env", "VERSION=one", "--strategy", "blue-green", "--bake", "0", "--drain", "0")
    by_name = links(first.stdout)[0]
    for version in ["two", "three"]:
        with Load(box, by_name) as load:
            done = deploy(box, "--env", f"VERSION={version}")
        assert load.lost == []
        assert "100% of traffic" in done.stderr
        assert ask(box, by_name) == version


def test_the_same_image_is_no_new_version(clean, hello_archive):
    box = clean
    image = box.run("image", "push", str(hello_archive), "hello:latest").stdout.split()[-1]
    try:
        box.run("deploy", image, "--name", "web", "--drain", "0")
        again = box.run("deploy", image, "--name", "web")
        assert "runs this already" in again.stderr, again.stderr
        forced = box.run("deploy", image, "--name", "web", "--force")
        assert "has started 1 tasks" in forced.stderr
        assert len(box.client("ecs").list_service_deployments(service="web")["serviceDeployments"]) == 2
    finally:
        box.client("ecr").delete_repository(repositoryName="hello", force=True)


def test_a_service_sleeps_and_wakes(clean):
    box = clean
    first = deploy(box, "--env", "VERSION=one", "--drain", "0", "--scale-to-zero", "1")
    by_name = links(first.stdout)[0]
    now = lambda: json.loads(box.run("services", "web", "--json").stdout)[0]
    wait_for(lambda: now()["asleep"], 30, "the service's sleep")
    assert "0 of 1, asleep" in box.run("services").stdout
    assert ask(box, by_name) == "one"
    # A new version comes to a service that sleeps.
    wait_for(lambda: now()["asleep"], 30, "the service's sleep")
    deploy(box, "--env", "VERSION=two", "--scale-to-zero", "0")
    assert ask(box, by_name) == "two"


def test_bars_on_a_terminal(clean):
    box = clean
    deploy(box, "--env", "VERSION=one", "--count", "2", "--drain", "1")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    command = [BOXSHIP, "--data-dir", box.data_dir, "deploy", "toolbox", "--name", "web", "--env", "VERSION=two", "--", "/bin/sh", "-c", SERVE]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert process.wait(timeout=60) == 0
    text = said.decode()
    assert "█" in text and "of 2" in text and "targets: 2 healthy, 2 draining" in text, text
    assert "web is up at http://" in text


def test_the_main_job(box):
    """What `cargo xtask demo` shows, twice: the second time the service is there already."""
    before = everything(box)
    for _ in range(2):
        done = box.run("demo", "--binary", HELLO)
        said = done.stdout + done.stderr
        assert re.findall(r"[1-9]\d* requests, (\d+) lost", said) == ["0", "0"], said
        assert "rolled back by the circuit breaker" in said and "(service hello) has reached a steady state." in said
        link = re.search(r"open it: (\S+)", said)[1]
        assert ask(box, link).startswith("Hello from version 2")
    box.run("destroy", "hello", "--yes")
    box.client("ecr").delete_repository(repositoryName="hello", force=True)
    assert everything(box) == before
