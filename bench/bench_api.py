"""CPU of the server per request, next to moto's server; the same bytes are sent to both.

CPU is user and system time of the whole process from /proc, so that a task's later steps (controllers,
the simulated host) count as well. Ours is durable: every write waits for the disk. moto keeps nothing.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager

from common import PLACE, Raw, Server, cpu_seconds, form_request, free_port, json_request, row, sh, title, wait_for

SECONDS = float(os.environ.get("SECONDS_EACH", 2))
ROUNDS = 3

# CPU per request, ms: the best of the peers in findings.md, and a durable commit on top of a write.
GOALS = {"ListClusters": (0.024, 0), "RegisterTaskDefinition": (0.060, 1), "RunTask": (0.069, 1), "DescribeTasks of 100": (1.8, 0)}
COMMIT = {1: 0.3, 8: 0.1}

DEFINITION = {
    "family": "web", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512",
    # moto needs the container's memory too.
    "containerDefinitions": [{
        "name": "web", "image": "nginx:1.25", "essential": True, "cpu": 256, "memory": 512,
        "portMappings": [{"containerPort": 80, "protocol": "tcp"}],
        "environment": [{"name": f"KEY_{n}", "value": f"value {n}"} for n in range(5)],
    }],
}


@contextmanager
def moto():
    """moto's server in a virtual environment of its own; its pid and port."""
    venv = PLACE / "moto"
    if not (venv / "bin" / "moto_server").exists():
        sh(sys.executable, "-m", "venv", venv)
        sh(venv / "bin" / "pip", "install", "-q", "moto[server]")
    port = free_port()
    process = subprocess.Popen([venv / "bin" / "moto_server", "-H", "127.0.0.1", "-p", str(port)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        def answers():
            try:
                Raw(port).call(json_request(port, "ListClusters", {}))
                return True
            except OSError:
                return False
        wait_for(answers, 60, "moto's start")
        yield process.pid, port
    finally:
        process.terminate()
        process.wait(30)


class Peer:
    """Clusters, a definition and a hundred tasks, made through the API of either server."""

    def __init__(self, name, pid, port):
        self.name, self.pid, self.port = name, pid, port
        raw = Raw(port)
        call = lambda operation, body: json.loads(raw.call(json_request(port, operation, body)))
        describe = lambda what, tag: re.search(f"<{tag}>(.*?)</{tag}>", raw.call(
            form_request(port, "ec2", f"Action=Describe{what}&Version=2016-11-15")).decode())[1]
        # moto needs the group too.
        network = {"awsvpcConfiguration": {"subnets": [describe("Subnets", "subnetId")], "assignPublicIp": "ENABLED",
                                           "securityGroups": [describe("SecurityGroups", "groupId")]}}
        for name in ["default", "blue", "green"]:
            call("CreateCluster", {"clusterName": name})
        call("RegisterTaskDefinition", DEFINITION)
        run = {"cluster": "default", "taskDefinition": "web:1", "launchType": "FARGATE", "networkConfiguration": network}
        tasks = [call("RunTask", {**run, "count": 10})["tasks"] for _ in range(10)]
        arns = [task["taskArn"] for some in tasks for task in some]
        self.requests = {
            "ListClusters": json_request(port, "ListClusters", {}),
            "RegisterTaskDefinition": json_request(port, "RegisterTaskDefinition", {**DEFINITION, "family": "other"}),
            "DescribeTasks of 100": json_request(port, "DescribeTasks", {"cluster": "default", "tasks": arns}),
            "RunTask": json_request(port, "RunTask", {**run, "cluster": "blue"}),
        }
        self.connections = [Raw(port) for _ in range(8)]
        self.quiet()

    def quiet(self):
        """Until what earlier requests set off is done."""
        before = -1
        while (now := cpu_seconds(self.pid)) != before:
            before = now
            time.sleep(0.15)

    def measure(self, operation, clients, seconds):
        """CPU and wall seconds per request. Each client waits for its answer before it asks again."""
        request, connections = self.requests[operation], self.connections[:clients]
        count, before, began = 0, cpu_seconds(self.pid), time.monotonic()
        while time.monotonic() - began < seconds and count < 1500:
            for connection in connections:
                connection.send(request)
            for connection in connections:
                status, body = connection.receive()
                if status != 200 or b'"failures":[{' in body.replace(b" ", b""):
                    raise RuntimeError(f"{self.name}: {status} {body[:400]}")
            count += clients
        wall = time.monotonic() - began
        self.quiet()
        return (cpu_seconds(self.pid) - before) / count, wall / count


def main():
    title("CPU of the server per request, ms (wall time per request in brackets)")
    with Server("simulated") as server, moto() as (pid, port):
        peers = [Peer("boxship", server.pid, server.port), Peer("moto", pid, port)]
        for operation, (handler, is_write) in GOALS.items():
            for clients in [1, 8] if is_write else [1]:
                figures = {peer.name: [] for peer in peers}
                for _ in range(ROUNDS):
                    for peer in peers:
                        figures[peer.name].append(peer.measure(operation, clients, SECONDS))
                show(operation, clients, figures, handler + COMMIT[clients] * is_write)


def show(operation, clients, figures, goal):
    (ours, wall), (theirs, their_wall) = [
        [statistics.median(figure) * 1000 for figure in zip(*figures[name])] for name in ["boxship", "moto"]]
    who = operation + (f", {clients} clients" if clients > 1 else "")
    row(who, f"{ours:.3f} ({wall:.2f}), moto {theirs:.2f} ({their_wall:.2f})", f"≤ {goal:.3f}", ours <= goal)
    row("", f"{theirs / ours:.0f} times less than moto")
