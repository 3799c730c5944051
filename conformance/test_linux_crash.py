"""What survives whom: the server killed at random moments, a supervisor killed, stops and starts.

BOXSHIP_LONG=1 kills more often; BOXSHIP_SEED=N repeats a run's moments.
"""

import concurrent.futures
import hashlib
import os
import random
import select
import signal
import time
from pathlib import Path

import botocore.exceptions
import pytest

from conftest import (
    Server, address, define, describe, fetch, leftovers, log, needs_root, run_task, running, signature, stopped, wait_for)

pytestmark = needs_root

ROUNDS = 200 if os.environ.get("BOXSHIP_LONG") else 10
LINES = 40
LIVES = "echo begins; trap 'exit 42' TERM; while :; do sleep 0.1; done"


@pytest.fixture
def server(toolbox_archive):
    server = Server("linux").start()
    server.run("image", "load", str(toolbox_archive), "toolbox")
    yield server
    server.down()


def define_script(server, family, script, **members):
    return define(server, family, [{"image": "toolbox", "entryPoint": ["/bin/sh", "-c"], "command": [script], **members}])


def run(server, definition, script=None):
    overrides = {"overrides": {"containerOverrides": [{"name": "c0", "command": [script]}]}} if script else {}
    return run_task(server, definition, **overrides)[0]


class Load:
    """Calls that go on while the server dies and comes back; remembers what was acknowledged."""

    def __init__(self, server, chance):
        self.server, self.chance = server, chance
        self.short = define_script(server, "short", "exit 99")
        self.long = define_script(server, "long", LIVES, stopTimeout=2)
        self.ends = {}       # ARN → exit code of tasks that end by themselves
        self.lives = set()   # ARNs that nobody has tried to stop
        self.stops = set()   # ARNs that were told to stop, perhaps
        self.is_over = False

    def work(self):
        while not self.is_over:
            try:
                self.step()
            except (botocore.exceptions.EndpointConnectionError, botocore.exceptions.HTTPClientError):
                time.sleep(0.02)  # the server is away, or died under this call
            time.sleep(self.chance.uniform(0, 0.15))

    def step(self):
        draw = self.chance.random()
        if draw < 0.5:
            code = self.chance.randrange(200)
            arn = run(self.server, self.short, f"seq 1 {LINES}; sleep {self.chance.choice([0, 0, 0.3, 1])}; exit {code}")
            self.ends[arn] = code
        elif not self.lives or (draw < 0.75 and len(self.lives) < 6):
            self.lives.add(run(self.server, self.long))
        else:
            arn = self.chance.choice(sorted(self.lives))
            self.lives.discard(arn)
            self.stops.add(arn)
            self.server.client("ecs").stop_task(task=arn)

    def check(self):
        """Every acknowledged task has ended as it should, with its whole log."""
        for arn in self.stops:
            self.server.client("ecs").stop_task(task=arn)
        for arn, code in self.ends.items():
            task = stopped(self.server, arn)
            [container] = task["containers"]
            assert container.get("exitCode") == code, task
            assert task["stopCode"] == "EssentialContainerExited"
            assert log(self.server, "short", arn) == [str(n) for n in range(1, LINES + 1)], arn
        for arn in self.stops:
            task = stopped(self.server, arn)
            assert task["stopCode"] == "UserInitiated", task
            [container] = task["containers"]
            # None: told to stop before its program began.
            assert container.get("exitCode") in (42, 137, None), task
            assert log(self.server, "long", arn) in ([], ["begins"])
        for arn in self.lives:
            assert running(self.server, arn)["desiredStatus"] == "RUNNING"


def test_kill_9_at_any_moment(server):
    """No task, exit code or line is lost, none is there twice, nothing is orphaned."""
    seed = int(os.environ.get("BOXSHIP_SEED", random.randrange(1 << 32)))
    print(f"BOXSHIP_SEED={seed}")
    chance = random.Random(seed)
    ticker = run(server, define_script(
        server, "ticker", "n=0; trap 'echo last $n; exit 0' TERM; while :; do n=$((n+1)); echo $n; sleep 0.02; done"))
    at = address(running(server, run(server, define_script(
        server, "web", "mkdir /www; echo up > /www/index.html; httpd -p 80 -h /www; " + LIVES))))
    load = Load(server, chance)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        work = pool.submit(load.work)
        try:
            rounds = 0
            # What the load does is drawn, too: kills go on until it has stopped a task.
            while rounds < ROUNDS or not (load.ends and load.stops):
                rounds += 1
                time.sleep(chance.choice([chance.uniform(0, 0.1), chance.uniform(0, 1)]))
                server.kill()
                fetch(at)
                time.sleep(chance.choice([0, 0, 0.5]))
                server.start()
                assert not work.done(), work.result()
        finally:
            load.is_over = True
        work.result()
    load.check()
    server.client("ecs").stop_task(task=ticker)
    stopped(server, ticker)
    lines = log(server, "ticker", ticker)
    assert lines == [str(n) for n in range(1, len(lines))] + [f"last {len(lines) - 1}"]
    check_nothing_is_orphaned(server)
    print(f"{rounds} kills, {len(load.ends)} tasks ended, {len(load.stops)} stopped, {len(lines)} lines of the ticker")


def test_kill_9_in_a_flood_of_lines(server):
    """Thousands of lines a second through several kills: every one once, in order."""
    flood = "trap 'exit 0' TERM; n=1; while :; do seq $n $((n+499)); n=$((n+500)); sleep 0.05; done"
    arn = run(server, define_script(server, "flood", flood, logConfiguration={"logDriver": "awslogs", "options": {
        "awslogs-group": "/test", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "flood",
        "awslogs-create-group": "true", "mode": "blocking"}}))
    running(server, arn)
    for away in [0, 0.3, 0, 0.6, 0, 0]:
        time.sleep(random.uniform(0.05, 0.4))
        server.kill()
        time.sleep(away)
        server.start()
    server.client("ecs").stop_task(task=arn)
    stopped(server, arn)
    lines = log(server, "flood", arn)
    wrong = next((n for n, line in enumerate(lines, 1) if line != str(n)), None)
    assert wrong is None, f"{lines[max(0, wrong - 3):wrong + 3]} at line {wrong} of {len(lines)}"
    assert len(lines) > 5000


def check_nothing_is_orphaned(server):
    """Control groups are those of tasks that run, no more."""
    ecs = server.client("ecs")
    arns = [arn for page in ecs.get_paginator("list_tasks").paginate() for arn in page["taskArns"]]
    alive = {arn.rsplit("/", 1)[1] for arn in arns}

    def groups():
        found = set()
        # One in each hierarchy; those of tasks that end go while this looks.
        for root in [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*")]:
            group = root / group_of(server)
            if group.is_dir():
                found |= {name for name in os.listdir(group) if len(name) == 32 and (group / name).is_dir()}
        return found
    wait_for(lambda: groups() <= alive, 10, "the control groups of ended tasks going")


def group_of(server):
    return "boxship-" + hashlib.sha256(os.fsencode(server.data_dir.resolve())).hexdigest()[:8]


def supervisor(server, arn):
    """The process that supervises a task, and the program that it runs."""
    task = arn.rsplit("/", 1)[1]
    pids = {int(pid) for path in Path("/sys/fs/cgroup").glob(f"**/{group_of(server)}/{task}/**/cgroup.procs")
            for pid in path.read_text().split()}
    def parent(pid):
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return None  # a short-lived child of the program's
        return int(next(line.split()[1] for line in lines if line.startswith("PPid")))
    parents = {pid: found for pid in pids if (found := parent(pid))}
    [shim] = {parent for parent in parents.values() if parent not in pids}
    assert b"shim" in Path(f"/proc/{shim}/cmdline").read_bytes()
    return shim, pids


def test_everything_dies_at_once(server):
    """As with a machine that loses power: the next `up` knows that nothing runs, and starts anew."""
    containers = [{"name": name, "image": "toolbox", "command": ["/bin/sh", "-c", LIVES]} for name in ["a", "b"]]
    arns = run_task(server, define(server, "pair", containers), count=3)
    for arn in arns:
        running(server, arn)
    found = [supervisor(server, arn) for arn in arns]
    server.kill()
    for shim, _ in found:
        os.kill(shim, signal.SIGKILL)
    server.start()
    for arn in arns:
        task = stopped(server, arn, 20)
        assert task["stoppedReason"]
        assert [c["exitCode"] for c in task["containers"]] == [137, 137]
    programs = [pid for _, pids in found for pid in pids]
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in programs), 10, "the programs ending")
    check_nothing_is_orphaned(server)
    assert stopped(server, run(server, define_script(server, "next", "exit 3")))["containers"][0]["exitCode"] == 3


def test_what_tasks_use_comes_back(server):
    """The platform's API and the resolver inside a VPC answer running tasks again after a kill."""
    call = (f"timeout 2 wget -qO- --header 'Authorization: {signature('sts')}' --header 'X-Amz-Date: 20260101T000000Z' "
            "--post-data 'Action=GetCallerIdentity&Version=2011-06-15' http://169.254.170.2:4566/ 2>/dev/null | grep -q Account")
    look = "timeout 2 nslookup ip-172-31-0-9.ec2.internal 172.31.0.2 >/dev/null 2>&1"
    arn = run(server, define_script(server, "asks", (
        f"trap 'exit 0' TERM; while :; do {call} && api=up || api=away; {look} && dns=up || dns=away; echo $api $dns; sleep 0.1; done")))
    running(server, arn)
    wait_for(lambda: log(server, "asks", arn)[-2:] == ["up up"] * 2, 20, "answers")
    for _ in range(2):
        server.kill()
        time.sleep(0.5)
        server.start()
        before = len(log(server, "asks", arn))
        wait_for(lambda: len(log(server, "asks", arn)) > before + 5 and log(server, "asks", arn)[-2:] == ["up up"] * 2, 20,
                 "answers after a kill")
    assert {"away away"} & set(log(server, "asks", arn)), "they were away while the server was"


@pytest.mark.parametrize("is_up", [True, False], ids=["server up", "server away"])
def test_a_killed_supervisor_ends_its_task(server, is_up):
    arn = run(server, define_script(server, "orphan", LIVES))
    other = run(server, define_script(server, "other", LIVES))
    running(server, arn), running(server, other)
    shim, programs = supervisor(server, arn)
    if not is_up:
        server.kill()
    os.kill(shim, signal.SIGKILL)
    if not is_up:
        time.sleep(0.2)
        server.start()
    task = stopped(server, arn, 20)
    assert (task["stopCode"], task["stoppedReason"]) == ("EssentialContainerExited", "Essential container in task exited")
    [container] = task["containers"]
    assert (container["exitCode"], container["reason"]) == (
        137, "ContainerRuntimeError: the process that supervised the container died")
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in programs), 10, "the programs ending")
    assert describe(server, other)["lastStatus"] == "RUNNING"
    check_nothing_is_orphaned(server)
    # The place of the dead supervisor is usable again.
    assert stopped(server, run(server, define_script(server, "next", "exit 3")))["containers"][0]["exitCode"] == 3


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_leaves_tasks_running(server, how):
    """And says so, with the way to stop them."""
    arn = run(server, define_script(server, "stays", "n=0; trap 'exit 42' TERM; while :; do n=$((n+1)); echo $n; sleep 0.05; done"))
    running(server, arn)
    server.process.send_signal(how)
    assert server.process.wait(timeout=20) == 0
    assert "boxship down" in server.text()
    time.sleep(0.3)
    server.start()
    assert describe(server, arn)["lastStatus"] == "RUNNING"
    wait_for(lambda: len(log(server, "stays", arn)) > 8, 10, "more lines")
    server.client("ecs").stop_task(task=arn, reason="enough")
    task = stopped(server, arn)
    assert (task["stopCode"], task["containers"][0]["exitCode"]) == ("UserInitiated", 42)
    lines = log(server, "stays", arn)
    assert lines == [str(n) for n in range(1, len(lines) + 1)]


@pytest.mark.parametrize("is_killed", [False, True], ids=["down of a server", "down after a kill"])
def test_down_then_up(server, is_killed):
    """`down` ends everything, and the next `up` knows how tasks ended."""
    arn = run(server, define_script(server, "downed", LIVES))
    running(server, arn)
    early = run(server, define_script(server, "early", "exit 9"))
    if is_killed:
        server.kill()
    server.run("down", "--now")
    server.process.wait(timeout=20)
    assert leftovers(server.data_dir) == []
    server.start()
    task = stopped(server, arn)
    assert task["stoppedReason"]
    assert stopped(server, early)["stoppedReason"]
    assert stopped(server, run(server, define_script(server, "again", "exit 3")))["containers"][0]["exitCode"] == 3


def test_down_in_order(server):
    """Without `--now` a task has its stop signal and its time, and its record says who ended it."""
    arn = run(server, define_script(server, "ordered", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done"))
    running(server, arn)
    wait_for(lambda: log(server, "ordered", arn) == ["up"], 10, "the trap")
    server.run("down")
    server.process.wait(timeout=20)
    assert leftovers(server.data_dir) == []
    server.start()
    task = stopped(server, arn)
    assert (task["stopCode"], task["stoppedReason"], task["containers"][0]["exitCode"]) == ("UserInitiated", "boxship down", 3)
    assert log(server, "ordered", arn) == ["up", "bye"]


def test_down_keeps_what_was_said(server):
    """Lines and ends that came while the server was away outlive `down`."""
    talks = run(server, define_script(server, "talks", "n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done"))
    ends = run(server, define_script(server, "ends", "sleep 0.3; echo last words; exit 7"))
    running(server, talks), running(server, ends)
    server.kill()
    time.sleep(1)
    server.run("down")
    server.start()
    task = stopped(server, ends)
    assert (task["stopCode"], task["containers"][0]["exitCode"]) == ("EssentialContainerExited", 7)
    assert log(server, "ends", ends) == ["last words"]
    assert stopped(server, talks)["containers"][0]["exitCode"] == 137
    lines = log(server, "talks", talks)
    assert lines == [str(n) for n in range(1, len(lines) + 1)]
    assert len(lines) > 5, "about twenty came while the server was away"


def test_tasks_hold_nothing_of_who_started_the_server(toolbox_archive):
    """A pipe that the server inherited closes with the server, not with its tasks."""
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    server = Server("linux")
    server.inherit = (writer,)
    try:
        server.start()
        os.close(writer)
        server.run("image", "load", str(toolbox_archive), "toolbox")
        running(server, run(server, define_script(server, "holds", LIVES)))
        server.kill()
        assert select.select([reader], [], [], 5)[0], "nobody holds it"
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)
        server.down()


def test_two_servers_on_one_data_directory(server):
    """The second one says so and ends; the first goes on."""
    done = server.run("up", "--runtime", "linux", "--listen", "127.0.0.1:0", check=False)
    assert done.returncode != 0
    assert str(server.data_dir) in done.stderr
    assert "panicked" not in done.stderr
    assert stopped(server, run(server, define_script(server, "first", "exit 3")))["containers"][0]["exitCode"] == 3
