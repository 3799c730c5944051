"""Many tasks at once: 200 by 20 requests for ten, next to `docker run -d`; what each keeps in memory, and what idle ones cost."""

import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from bench_rest import shims
from bench_start import Ours, build, docker, unpack
from common import PLACE, Raw, Server, cpu_seconds, json_request, linux_lock, memory, row, sh, title, wait_for

REQUESTS = int(os.environ.get("REQUESTS", 20))
EACH = 10
IDLE = int(os.environ.get("IDLE", 500))
WATCH = 30


def start(ours, requests):
    """Runs `requests` times ten tasks, each request on a connection of its own; answers seconds and ARNs."""
    body = {"taskDefinition": "stay", "launchType": "FARGATE", "networkConfiguration": ours.network, "count": EACH}
    request = json_request(ours.server.port, "RunTask", body)
    connections = [Raw(ours.server.port) for _ in range(requests)]
    began = time.monotonic()
    with ThreadPoolExecutor(requests) as pool:
        answers = [json.loads(text) for text in pool.map(lambda raw: raw.call(request), connections)]
    arns = [task["taskArn"] for answer in answers for task in answer["tasks"]]
    assert len(arns) == requests * EACH, [answer["failures"] for answer in answers]
    waiting = list(arns)
    while waiting:
        tasks = ours.server.ecs("DescribeTasks", tasks=waiting[:100])["tasks"]
        assert not any(task["lastStatus"] == "STOPPED" for task in tasks), tasks
        done = {task["taskArn"] for task in tasks if task["lastStatus"] == "RUNNING"}
        waiting = [arn for arn in waiting if arn not in done]
        time.sleep(0.02)
    return time.monotonic() - began, arns


def private(pids):
    total = 0
    for pid in pids:
        try:
            total += memory(pid)[2]
        except OSError:
            continue
    return total / 1024


def idle(ours, count):
    """CPU of the server and all shims while nothing happens, as a share of one processor."""
    more = count - len(shims(ours.server))
    if more > 0:
        start(ours, -(-more // EACH))
    time.sleep(5)
    pids = [ours.server.pid, *shims(ours.server)]
    before = sum(cpu_seconds(pid) for pid in pids)
    time.sleep(WATCH)
    return (sum(cpu_seconds(pid) for pid in pids) - before) / WATCH, len(pids) - 1


def daemons(place):
    found = []
    for at in Path("/proc").glob("[0-9]*"):
        try:
            if str(place).encode() in (at / "cmdline").read_bytes() or (at / "comm").read_text().startswith("containerd"):
                found.append(int(at.name))
        except OSError:
            continue
    return found


def peer(rootfs, entry):
    with docker(rootfs, entry) as made:
        client = made.command[:3]
        place = Path(client[2].removeprefix("unix://")).parent
        one = lambda _: sh(*client, "run", "-d", "--network", "none", "stamp", "stay").strip()
        first = one(0)
        before = private(daemons(place))
        began = time.monotonic()
        with ThreadPoolExecutor(REQUESTS) as pool:
            ids = list(pool.map(one, range(REQUESTS * EACH)))
        took = time.monotonic() - began
        time.sleep(2)
        each = (private(daemons(place)) - before) / len(ids)
        for at in range(0, len(ids), 50):
            sh(*client, "rm", "-f", *ids[at:at + 50])
        sh(*client, "rm", "-f", first)
        return made.name, took, each


def main():
    count = REQUESTS * EACH
    title(f"Many: {count} tasks by {REQUESTS} requests for {EACH}, all running")
    with linux_lock(), ExitStack() as stack, Server("linux") as server:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=PLACE)))
        archive, rootfs = scratch / "stamp.tar", scratch / "rootfs"
        server.boxship("image", "make", build(), archive)
        config = unpack(archive, rootfs)
        ours = Ours(server, archive)
        ours.run("stay")
        time.sleep(2)
        before = private([server.pid, *shims(server)])
        took, _ = start(ours, REQUESTS)
        row("boxship: request → all RUNNING", f"{took:.2f} s ({took / count * 1000:.1f} ms a task)")
        time.sleep(2)
        each = (private([server.pid, *shims(server)]) - before) / count
        row("boxship: private memory per task", f"{each:.2f} MiB", "≤ 2 MiB", each <= 2)
        share, there = idle(ours, IDLE)
        row(f"CPU of {there} idle tasks and the server", f"{share * 100:.2f} % of one processor", "≤ 3 %", share <= 0.03)
        sh_down(server)
        try:
            name, theirs, docker_each = peer(rootfs, config["Entrypoint"])
            row(f"{name} -d, {REQUESTS} at a time", f"{theirs:.2f} s")
            row("ratio", f"{took / theirs:.2f} ×", "≤ 0.2 ×", took / theirs <= 0.2)
            row("docker: private memory per container", f"{docker_each:.2f} MiB")
        except Exception as error:  # whatever it is, ours is still worth telling
            print(f"  docker is left out: {str(error)[-600:]}")


def sh_down(server):
    """Ends the tasks, so that they do not stand in the peer's way."""
    for arn in server.ecs("ListTasks", maxResults=100)["taskArns"]:
        server.ecs("StopTask", task=arn)
    while arns := server.ecs("ListTasks", maxResults=100)["taskArns"]:
        for arn in arns:
            server.ecs("StopTask", task=arn)
        time.sleep(0.5)
    wait_for(lambda: len(shims(server)) < 20, 120, "the tasks' end", 0.5)
