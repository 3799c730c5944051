"""A service of three tasks behind a target group, from CreateService to three healthy targets; and from a
task's end by `kill -9` to the next one that runs. Beside it MiniStack, which runs tasks by Docker.

Both are asked the same, every few milliseconds, by the same client. MiniStack's targets are healthy as soon
as they are registered: it never asks them. Its targets are taken for ours that were probed, in its favour.
"""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlencode

from bench_start import docker, unpack
from common import PLACE, Raw, Server, form_request, free_port, json_request, linux_lock, row, sh, spread, title, wait_for

ROUNDS = int(os.environ.get("ROUNDS", 10))
TASKS = 3
EVERY = 0.004
HERE = Path(__file__).resolve().parent


class Peer:
    """A server of the API with a cluster, a definition, and a balancer whose listeners are made per round."""

    def __init__(self, name, port, image, role=None):
        self.name, self.port, self.raw, self.number = name, port, Raw(port), 0
        self.ecs("CreateCluster", clusterName="services")
        self.definition(image, role)
        self.subnets = re.findall("<subnetId>(.*?)</subnetId>", self.form("ec2", Action="DescribeSubnets"))[:2]
        self.vpc = re.search("<vpcId>(.*?)</vpcId>", self.form("ec2", Action="DescribeVpcs"))[1]
        members = {f"Subnets.member.{n}": subnet for n, subnet in enumerate(self.subnets, 1)}
        answer = self.elb("CreateLoadBalancer", Name="bench", **members)
        self.balancer = re.search("<LoadBalancerArn>(.*?)</LoadBalancerArn>", answer)[1]

    def definition(self, image, role):
        members = {"executionRoleArn": role} if role else {}
        self.ecs("RegisterTaskDefinition", family="answer", requiresCompatibilities=["FARGATE"], networkMode="awsvpc",
                 cpu="256", memory="512", **members, containerDefinitions=[{
                     "name": "web", "image": image, "essential": True, "command": [self.name],
                     "portMappings": [{"containerPort": 80, "protocol": "tcp"}]}])

    def ecs(self, operation, **body):
        return json.loads(self.raw.call(json_request(self.port, operation, body)))

    def form(self, service, version="2016-11-15", **fields):
        return self.raw.call(form_request(self.port, service, urlencode({**fields, "Version": version}))).decode()

    def elb(self, action, **fields):
        return self.form("elasticloadbalancing", "2015-12-01", Action=action, **fields)

    def group(self):
        """A target group that a listener forwards to: only such targets are probed."""
        self.number += 1
        answer = self.elb("CreateTargetGroup", Name=f"bench-{self.number}", Protocol="HTTP", Port=80, VpcId=self.vpc,
                          TargetType="ip", HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2,
                          HealthyThresholdCount=2)
        group = re.search("<TargetGroupArn>(.*?)</TargetGroupArn>", answer)[1]
        self.elb("ModifyTargetGroupAttributes", TargetGroupArn=group, **{
            "Attributes.member.1.Key": "deregistration_delay.timeout_seconds", "Attributes.member.1.Value": 0})
        self.elb("CreateListener", LoadBalancerArn=self.balancer, Protocol="HTTP", Port=8000 + self.number, **{
            "DefaultActions.member.1.Type": "forward", "DefaultActions.member.1.TargetGroupArn": group})
        return group

    def create(self, group):
        network = {"subnets": self.subnets, "assignPublicIp": "ENABLED"}
        self.ecs("CreateService", cluster="services", serviceName=f"web-{self.number}", taskDefinition="answer",
                 desiredCount=TASKS, launchType="FARGATE", networkConfiguration={"awsvpcConfiguration": network},
                 loadBalancers=[{"targetGroupArn": group, "containerName": "web", "containerPort": 80}])

    def healthy(self, group):
        answer = self.elb("DescribeTargetHealth", TargetGroupArn=group)
        return answer.count("<State>healthy</State>")

    def running(self):
        arns = self.ecs("ListTasks", cluster="services", serviceName=f"web-{self.number}")["taskArns"]
        tasks = self.ecs("DescribeTasks", cluster="services", tasks=arns)["tasks"] if arns else []
        return {task["taskArn"] for task in tasks if task["lastStatus"] == "RUNNING"}

    def delete(self):
        self.ecs("DeleteService", cluster="services", service=f"web-{self.number}", force=True)
        wait_for(lambda: not programs(self.name), 90, f"the end of {self.name}'s tasks", 0.05)

    def round(self):
        """Seconds from CreateService to its answer, to all running, to all healthy; from a kill to the next."""
        group = self.group()
        began = time.monotonic()
        self.create(group)
        answered = time.monotonic()
        wait_for(lambda: len(self.running()) == TASKS, 90, "the tasks", EVERY)
        running = time.monotonic()
        wait_for(lambda: self.healthy(group) == TASKS, 90, "the targets", EVERY)
        healthy = time.monotonic()
        before = self.running()
        killed = programs(self.name)[0]
        began_again = time.monotonic()
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: self.running() - before, 90, "the replacement", EVERY)
        replaced = time.monotonic()
        wait_for(lambda: len(self.running()) == TASKS and self.healthy(group) == TASKS, 90, "the new target", EVERY)
        whole = time.monotonic()
        self.delete()
        return {"answered": answered - began, "running": running - began, "healthy": healthy - began,
                "replaced": replaced - began_again, "whole": whole - began_again}


def programs(whose):
    """The processes that answer for one of the peers."""
    found = []
    for at in Path("/proc").glob("[0-9]*"):
        try:
            line = (at / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if line[0].endswith(b"/answer") and line[1:2] == [whose.encode()]:
            found.append(int(at.name))
    return found


@contextmanager
def ministack(client):
    """MiniStack in a virtual environment of its own, which runs tasks by the given Docker; its port."""
    venv = PLACE / "ministack"
    if not (venv / "bin" / "ministack").exists():
        sh(sys.executable, "-m", "venv", venv)
        sh(venv / "bin" / "pip", "install", "-q", "ministack", "docker")
    port = free_port()
    environment = {**os.environ, "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "DOCKER_HOST": client,
                   "LOG_LEVEL": "WARNING"}
    log = open(PLACE / "ministack.log", "wb")
    process = subprocess.Popen([venv / "bin" / "ministack"], env=environment, stdout=log, stderr=log, cwd=PLACE)
    try:
        def answers():
            try:
                Raw(port).call(json_request(port, "ListClusters", {}))
                return True
            except OSError:
                return False
        wait_for(answers, 60, "MiniStack's start", 0.1)
        version = sh(venv / "bin" / "pip", "show", "ministack").split("Version: ")[1].split()[0]
        yield port, version
    finally:
        process.terminate()
        process.wait(30)


def main():
    title(f"Services: CreateService → {TASKS} healthy targets; kill -9 → the replacement RUNNING")
    with linux_lock(), ExitStack() as stack, Server("linux") as server:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=PLACE)))
        program, archive, rootfs = scratch / "answer", scratch / "answer.tar", scratch / "rootfs"
        sh("cc", "-O2", "-static", "-o", program, HERE / "answer.c")
        server.boxship("image", "make", program, archive)
        server.boxship("image", "push", archive, "answer:1")
        config = unpack(archive, rootfs)
        image = f"000000000000.dkr.ecr.us-east-1.localhost:{server.port}/answer:1"
        peers = [Peer("boxship", server.port, image, server.role())]
        name = "MiniStack"
        try:
            made = stack.enter_context(docker(rootfs, config["Entrypoint"], "answer", has_network=True))
            port, version = stack.enter_context(ministack(made.command[2]))
            name = f"MiniStack {version}, {made.name.removeprefix('docker run ')}"
            peers.append(Peer("ministack", port, "answer"))
        except Exception as error:  # whatever it is, ours is still worth measuring
            print(f"  MiniStack is left out: {str(error)[-600:]}")
        samples = {peer.name: [] for peer in peers}
        for number in range(ROUNDS + 1):
            for peer in peers:
                sample = peer.round()
                if number:
                    samples[peer.name].append(sample)
        report(samples, name)


STEPS = [("answered", "CreateService answered", None), ("running", f"{TASKS} tasks RUNNING", None),
         ("healthy", f"{TASKS} targets healthy", 0.5), ("replaced", "kill -9 → replacement RUNNING", 0.2),
         ("whole", "kill -9 → three healthy again", None)]


def report(samples, theirs):
    for step, what, goal in STEPS:
        ours = [sample[step] for sample in samples["boxship"]]
        median = statistics.median(ours)
        row(f"boxship: {what}", spread(ours), f"≤ {goal} s" if goal else "", median <= goal if goal else None)
        if peers := [sample[step] for sample in samples.get("ministack", [])]:
            row(f"{theirs}", spread(peers))
            row("  ratio", f"{median / statistics.median(peers):.2f} ×")
