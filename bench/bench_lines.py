"""Output: lines from many containers into the journal, next to Docker's json-file driver; and how much one container gets rid of."""

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from bench_rest import shims
from bench_start import docker, unpack
from common import PLACE, Server, cpu_seconds, linux_lock, row, sh, title, wait_for

HERE = Path(__file__).resolve().parent
CONTAINERS = int(os.environ.get("CONTAINERS", 100))
RATE = int(os.environ.get("RATE", 1000))
SECONDS = int(os.environ.get("SECONDS", 10))
BURST = 500
PER_TASK = 10


class Ours:
    def __init__(self, server, archive):
        self.server = server
        server.boxship("image", "push", archive, "lines:1")
        server.ecs("CreateCluster", clusterName="default")
        self.network, self.role = server.network(), server.role()

    def define(self, family, count, rate, seconds):
        log = {"logDriver": "awslogs", "options": {"awslogs-group": f"/{family}", "awslogs-region": "us-east-1", "mode": "blocking",
                                                   "awslogs-stream-prefix": "b", "awslogs-create-group": "true"}}
        image = f"000000000000.dkr.ecr.us-east-1.localhost:{self.server.port}/lines:1"
        containers = [{"name": f"c{n}", "image": image, "command": [str(rate), str(seconds)], "logConfiguration": log} for n in range(count)]
        self.server.ecs("RegisterTaskDefinition", family=family, requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu="2048",
                        memory="4096", executionRoleArn=self.role, containerDefinitions=containers)

    def run(self, family, count):
        answer = self.server.ecs("RunTask", taskDefinition=family, launchType="FARGATE", networkConfiguration=self.network, count=count)
        assert not answer["failures"], answer
        return [task["taskArn"] for task in answer["tasks"]]

    def running(self, arns):
        tasks = self.server.ecs("DescribeTasks", tasks=arns)["tasks"]
        assert not any(task["lastStatus"] == "STOPPED" for task in tasks), tasks
        return all(task["lastStatus"] == "RUNNING" for task in tasks)

    def cpu(self):
        return cpu_seconds(self.server.pid) + sum(cpu_seconds(pid) for pid in shims(self.server))

    def stored(self, family, arn, container):
        """Lines of one container; in order, or it is an error."""
        name = f"b/{container}/{arn.rsplit('/', 1)[1]}"
        count, token = 0, {}
        while True:
            page = self.server.logs("GetLogEvents", logGroupName=f"/{family}", logStreamName=name, startFromHead=True, limit=10000, **token)
            for event in page["events"]:
                assert event["message"].startswith(f"{count:09d} "), (name, count, event["message"][:20])
                count += 1
            if page["nextForwardToken"] == token.get("nextToken"):
                return count
            token = {"nextToken": page["nextForwardToken"]}

    def end(self, arns):
        for arn in arns:
            self.server.ecs("StopTask", task=arn)
        for arn in arns:
            wait_for(lambda arn=arn: self.server.ecs("DescribeTasks", tasks=[arn])["tasks"][0]["lastStatus"] == "STOPPED", 90, "the end", 0.1)


def many(ours):
    """CPU seconds per million lines, and whether all arrived."""
    ours.define("many", PER_TASK, RATE, SECONDS)
    before = ours.cpu()
    arns = ours.run("many", CONTAINERS // PER_TASK)
    wait_for(lambda: ours.running(arns), 60, "the tasks")
    started = ours.cpu()
    time.sleep(SECONDS + 3)
    used = ours.cpu() - before
    expected = RATE * SECONDS
    counts = [ours.stored("many", arn, f"c{n}") for arn in arns for n in range(PER_TASK)]
    lost = sum(expected - count for count in counts)
    ours.end(arns)
    return used, started - before, lost, sum(counts)


def one(ours):
    """Lines a second that one container gets rid of, up to the journal."""
    ours.define("one", 1, 0, BURST)
    began = time.time()
    [arn] = ours.run("one", 1)
    stream = f"b/c0/{arn.rsplit('/', 1)[1]}"

    def is_there():
        try:
            page = ours.server.logs("GetLogEvents", logGroupName="/one", logStreamName=stream, limit=1)
        except RuntimeError:
            return False
        return page["events"] and page["events"][-1]["message"].startswith(f"{BURST * 1000 - 1:09d}")
    wait_for(is_there, 120, "the last line", 0.02)
    took = time.time() - began
    assert ours.stored("one", arn, "c0") == BURST * 1000
    ours.end([arn])
    return BURST * 1000 / took


def descendants(root):
    """A process and all below it."""
    parents = {}
    for at in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(at.name)] = int((at / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def daemon_cpu(place):
    """dockerd, containerd and their shims: everything that runs from its directory, but the containers."""
    total = 0
    for at in Path("/proc").glob("[0-9]*"):
        try:
            command = (at / "cmdline").read_bytes()
            if place.encode() in command or (at / "comm").read_text().startswith("containerd"):
                total += cpu_seconds(int(at.name))
        except OSError:
            continue
    return total


def peer(rootfs, entry):
    with docker(rootfs, entry) as made:
        place = Path(made.command[2].removeprefix("unix://")).parent
        client = made.command[:3]
        before = daemon_cpu(str(place))
        start = lambda _: sh(*client, "run", "-d", "--log-driver", "json-file", "--network", "none", "stamp", str(RATE), str(SECONDS)).strip()
        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(start, range(CONTAINERS)))
        started = daemon_cpu(str(place))
        time.sleep(SECONDS + 3)
        used = daemon_cpu(str(place)) - before
        lines = 0
        for log in place.glob("data/containers/*/*-json.log"):
            lines += log.read_bytes().count(b"\n")
        sh(*client, "rm", "-f", *ids)
        return made.name, used, started - before, lines


def main():
    title(f"Output: {CONTAINERS} containers, {RATE} lines of 100 bytes a second each, for {SECONDS} s")
    with linux_lock(), ExitStack() as stack, Server("linux") as server:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=PLACE)))
        program, archive, rootfs = scratch / "lines", scratch / "lines.tar", scratch / "rootfs"
        sh("cc", "-O2", "-static", "-o", program, HERE / "lines.c")
        server.boxship("image", "make", program, archive)
        config = unpack(archive, rootfs)
        ours = Ours(server, archive)
        used, started, lost, total = many(ours)
        each = (used - started) / total * 1e6
        row("boxship: CPU per million lines", f"{each:.2f} s (start {started:.1f} s)")
        row("lines lost", f"{lost} of {total + lost}", "0", lost == 0)
        try:
            name, theirs, began, lines = peer(rootfs, config["Entrypoint"])
            other = (theirs - began) / max(lines, 1) * 1e6
            row(f"{name.replace('run', 'json-file')}: CPU per million lines", f"{other:.2f} s ({lines} lines)")
            row("ratio", f"{each / other:.2f} ×")
        except Exception as error:  # whatever it is, ours is still worth telling
            print(f"  docker is left out: {str(error)[-600:]}")
        rate = one(ours)
        row("one container, as fast as it can, stored", f"{rate:.0f} lines/s", "≥ 50000", rate >= 50_000)
