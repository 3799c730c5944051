"""Containers that misbehave harm only themselves: their neighbor works on, the server answers, nothing stays behind."""

import concurrent.futures
import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from conftest import describe, log, needs_root, running, stopped, wait_for
from test_linux_stop_reasons import c, launch

pytestmark = needs_root

LOG = {"logDriver": "awslogs", "options": {"awslogs-group": "/test", "awslogs-region": "us-east-1",
       "awslogs-stream-prefix": "hostile", "awslogs-create-group": "true"}}
# Starts a process ten times a second.
NEIGHBOR = "trap 'echo fine; exit 0' TERM; n=0; while :; do n=$((n+1)); echo $n; /bin/sleep 0.1; done"
# Nine that end when their parent has gone and its place is taken by what does not wait for them.
ZOMBIES = ("for n in 1 2 3 4 5 6 7 8 9; do (while [ $(cat /proc/1/comm) = sh ]; do /bin/sleep 0.1; done &); done; "
           "(for n in $(seq 20); do sleep 0.1; z=$(cat /proc/[0-9]*/stat 2>/dev/null | grep -c ' Z '); [ $z = 9 ] && break; done; echo $z) & "
           "exec /bin/sleep 1000")
# 5,700 directories in each other, three times as deep as a path can say.
DEEP = "p=$(printf 'd/%.0s' $(seq 1900)); for k in 1 2 3; do mkdir -p /c$k/$p; [ $k = 1 ] || mv /c$((k-1)) /c$k/$p; done; exit 3"
# A shell that cannot fork ends, and another takes its place.
FORKS = "(while :; do (while :; do /bin/sleep 1000 & done) 2>/dev/null; done) 2>/dev/null & exec /bin/sleep 1000"

# What it does, members of its container, where it runs, how it ends by itself (`None`: it is stopped), what it prints.
MISDEEDS = {
    "burns the processors": ("for n in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; wait", {}, "EC2", None, None),
    "prints without end, and waits": ("exec yes", {"logConfiguration": {**LOG, "options": {**LOG["options"], "mode": "blocking"}}}, "EC2",
                                      None, None),
    "prints without a line's end": ("exec cat /dev/zero", {}, "FARGATE", None, None),
    "forks without end": (FORKS, {"memory": 2048}, "EC2", None, None),
    "forks what has left its session": (FORKS.replace("/bin/sleep", "setsid /bin/sleep", 1), {"memory": 256}, "EC2", None, None),
    "ignores every signal": ("trap '' TERM INT HUP QUIT USR1; while :; do /bin/sleep 0.1; done", {}, "EC2", None, None),
    "kills whatever it sees": ("kill -9 -1 2>/dev/null; echo alive; exit 6", {}, "EC2", 6, ["alive"]),
    "stops its child": ("sh -c 'kill -STOP $$'; exit 7", {}, "EC2", None, None),
    "closes its descriptors and goes on": ("exec 0<&- 1>&- 2>&-; /bin/sleep 2; exit 5", {}, "FARGATE", 5, []),
    "becomes a daemon": ("(setsid sh -c 'sleep 1000' < /dev/null > /dev/null 2>&1 &) ; exit 0", {}, "EC2", 0, []),
    "leaves zombies": (ZOMBIES, {}, "EC2", None, ["9"]),
    "leaves zombies to an init": (ZOMBIES, {"linuxParameters": {"initProcessEnabled": True}}, "EC2", None, ["0"]),
    "fills shared memory": ("dd if=/dev/zero of=/dev/shm/x bs=1M 2>&1 | grep -o 'No space left'; exit 4", {"memory": 256}, "FARGATE", 4,
                            ["No space left"]),
    "fills a tmpfs": ("dd if=/dev/zero of=/t/x bs=64k 2>&1 | grep -o 'No space left'; exit 4",
                      {"linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 2}]}}, "EC2", 4, ["No space left"]),
    "digs deep": (DEEP, {}, "EC2", 3, []),
    "digs deep on a disk of its own": (DEEP, {}, "FARGATE", 3, []),
    "makes what is no file": ("mknod /n c 1 3; mkfifo /f; ln -s / /l; ln -s /l /l/m; touch -- '-rf' \"$(printf 'a\\nb')\"; chmod 0 /bin; exit 3",
                              {}, "EC2", 3, []),
    "opens without end": ("i=3; while [ $i -lt 9000 ]; do eval \"exec $i</dev/null\" || exit 8; i=$((i+1)); done; exit 8", {}, "FARGATE", 8, None),
}


@pytest.fixture(scope="module")
def server(machine):
    return machine


@pytest.fixture(scope="module")
def neighbor(server):
    arn = launch(server, [c(NEIGHBOR, logConfiguration=LOG)], "FARGATE", family="neighbor")
    running(server, arn)
    return arn


@pytest.fixture(scope="module")
def tasks(server, neighbor):
    """All at once: what one does to the machine, the others feel."""
    def start(name):
        script, members, on, *_ = MISDEEDS[name]
        container = c(script, **{"logConfiguration": LOG, "stopTimeout": 2, **members})
        return name, launch(server, [container], on, family="hostile")
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        return dict(pool.map(start, MISDEEDS))


def remains(server, task_ids):
    """Whatever on this machine still names one of the tasks."""
    name = hashlib.sha256(os.fsencode(Path(server.data_dir).resolve())).hexdigest()[:8]
    texts = [line for line in Path("/proc/self/mounts").read_text().splitlines()]
    texts += subprocess.run(["losetup", "-a"], capture_output=True, text=True).stdout.splitlines()
    for root in [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*")]:
        texts += [str(path) for path in (root / f"boxship-{name}").glob("*")]
    texts += [str(path) for path in (server.data_dir / "tasks").glob("*")]
    texts += [str(path) for path in Path("/run/boxship").glob(f"{name}*/**/*")]
    return [text for text in texts if any(task in text for task in task_ids)]


def processes(server, arn):
    task = arn.rsplit("/", 1)[1]
    [figures] = json.loads(server.get(f"/_boxship/stats?task={task}"))["tasks"]
    return sum(container["pids"] for container in figures["containers"])


@pytest.mark.parametrize("case", MISDEEDS)
def test_only_itself(server, neighbor, tasks, case):
    _, _, _, code, lines = MISDEEDS[case]
    arn = tasks[case]
    if code is None:
        running(server, arn)
        if case == "forks without end":
            wait_for(lambda: processes(server, arn) > 4000, 60, "meeting the limit of 4,096 processes")
        if lines is not None:
            wait_for(lambda: log(server, "hostile", arn) == lines, 30, f"printing {lines}")
        server.client("ecs").stop_task(task=arn)
    task = stopped(server, arn)
    [container] = task["containers"]
    if code is None:
        assert task["stopCode"] == "UserInitiated"
        # By SIGKILL after its two seconds; by SIGTERM where it has no say in that.
        assert container["exitCode"] in (137, 143), container
    else:
        assert (task["stopCode"], container.get("exitCode")) == ("EssentialContainerExited", code), container
    if lines is not None:
        assert log(server, "hostile", arn) == lines


def test_the_neighbor_works_on(server, neighbor, tasks):
    """It is never held up for good, what it prints is whole, and a new task starts beside it."""
    before = len(log(server, "hostile", neighbor))
    wait_for(lambda: len(log(server, "hostile", neighbor)) > before, 20, "the neighbor's next line")
    new = launch(server, [c("echo new; exit 3", logConfiguration=LOG)], "FARGATE", family="hostile")
    assert stopped(server, new)["containers"][0]["exitCode"] == 3
    assert describe(server, neighbor)["lastStatus"] == "RUNNING"
    server.client("ecs").stop_task(task=neighbor)
    assert stopped(server, neighbor)["containers"][0]["exitCode"] == 0
    lines = log(server, "hostile", neighbor)
    assert lines == [*(str(n) for n in range(1, len(lines))), "fine"]


def test_nothing_stays_behind(server, tasks):
    """Neither processes nor groups, mounts, namespaces, loop devices or directories."""
    ids = [arn.rsplit("/", 1)[1] for arn in tasks.values()]
    for arn in tasks.values():
        stopped(server, arn)
    wait_for(lambda: not remains(server, ids), 20, "the end of what the tasks left")
