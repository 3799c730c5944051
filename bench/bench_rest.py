"""Cold start to the first answer, memory at rest, and what a running task adds."""

import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from bench_start import Ours, build
from common import BOXSHIP, PLACE, Server, free_port, json_request, linux_lock, memory, row, spread, title, wait_for

TASKS = int(os.environ.get("TASKS", 20))


def cold(data_dir, port):
    """From exec to the answer of ListClusters."""
    request = json_request(port, "ListClusters", {})
    began = time.monotonic()
    process = subprocess.Popen([BOXSHIP, "up", "--runtime", "simulated", "--data-dir", data_dir, "--listen", f"127.0.0.1:{port}"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(request)
                if client.recv(4096).startswith(b"HTTP/1.1 200"):
                    took = time.monotonic() - began
                    break
        except ConnectionRefusedError:
            time.sleep(0.0005)
    process.terminate()
    process.wait(30)
    return took


def shims(server):
    """Processes of the server's tasks."""
    found = []
    for at in Path("/proc").glob("[0-9]*"):
        try:
            if (at / "comm").read_text().startswith(("boxship-shim", "shim-")) and os.fsencode(server.data_dir.name) in b"".join(
                    os.fsencode(os.readlink(fd)) for fd in (at / "fd").iterdir()):
                found.append(int(at.name))
        except OSError:
            continue
    return found


def main():
    title("At rest")
    fresh, again = [], []
    for _ in range(10):
        place = Path(tempfile.mkdtemp(dir=PLACE))
        port = free_port()
        fresh.append(cold(place / "data", port))
        again.append(cold(place / "data", port))
        shutil.rmtree(place)
    for name, samples in [("cold start to first answer, new directory", fresh), ("the same, directory there", again)]:
        row(name, spread(samples), "≤ 50 ms", statistics.median(samples) <= 0.05)
    for runtime, lock in [("simulated", nullcontext), ("linux", linux_lock)]:
        with lock(), Server(runtime) as server:
            server.ecs("ListClusters")
            time.sleep(2)
            rss, pss, private = [kib / 1024 for kib in memory(server.pid)]
            row(f"memory, {runtime}: RSS", f"{rss:.1f} MiB (PSS {pss:.1f}, private {private:.1f})", "≤ 25 MiB", rss <= 25)
            if runtime == "linux":
                per_task(server)


def per_task(server):
    """Private memory of shims and growth of the server, per running task."""
    with tempfile.TemporaryDirectory(dir=PLACE) as scratch:
        archive = Path(scratch) / "stamp.tar"
        server.boxship("image", "make", build(), archive)
        ours = Ours(server, archive)

    def run(count):
        arns = [ours.run("stay") for _ in range(count)]
        running = lambda: all(task["lastStatus"] == "RUNNING" for task in server.ecs("DescribeTasks", tasks=arns)["tasks"])
        wait_for(running, 60, "the tasks", 0.05)
        time.sleep(2)
        return memory(server.pid)[2]

    # The first task makes what every other shares.
    before, spares = run(2), len(shims(server)) - 2
    after = run(TASKS)
    growth = (after - before) / TASKS / 1024
    each = sorted(memory(pid)[2] / 1024 for pid in shims(server))
    # A spare shim waits, smaller than those that own a task.
    own = statistics.mean(each[spares:])
    row(f"private memory per running task ({TASKS})", f"{own + growth:.2f} MiB (shim {own:.2f}, server {growth:.2f})",
        "≤ 2 MiB", own + growth <= 2)
