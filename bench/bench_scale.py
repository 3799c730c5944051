"""Ten thousand services of ten simulated tasks in one process: what they cost at rest, and all rolled out at once."""

import os
import re
import subprocess
import time
from contextlib import ExitStack

from common import ROOT, Raw, Server, cpu_seconds, json_request, memory, row, title

SERVICES = int(os.environ.get("SERVICES", 10_000))
TASKS = 10
CLUSTERS = 100
CLIENTS = 8
WATCH = float(os.environ.get("WATCH", 60))


class Fleet:
    """Services over a hundred clusters, in subnets large enough for twice their tasks."""

    def __init__(self, server):
        self.server = server
        self.places = [self.place(number) for number in range(-(-SERVICES * TASKS * 2 // 60_000))]
        for number in range(CLUSTERS):
            server.ecs("CreateCluster", clusterName=f"c{number}")
        self.began, self.cpu = time.monotonic(), cpu_seconds(server.pid)

    def place(self, number):
        text = self.server.form("ec2", f"Action=CreateVpc&Version=2016-11-15&CidrBlock=10.{number}.0.0%2F16")
        vpc = re.search("<vpcId>(.*?)</vpcId>", text)[1]
        text = self.server.form("ec2", f"Action=CreateSubnet&Version=2016-11-15&VpcId={vpc}&CidrBlock=10.{number}.0.0%2F16")
        return {"awsvpcConfiguration": {"subnets": [re.search("<subnetId>(.*?)</subnetId>", text)[1]]}}

    def define(self):
        container = {"name": "web", "image": "public.ecr.aws/docker/library/nginx:1.25", "essential": True}
        answer = self.server.ecs("RegisterTaskDefinition", family="web", requiresCompatibilities=["FARGATE"],
                                 networkMode="awsvpc", cpu="256", memory="512", containerDefinitions=[container])
        return answer["taskDefinition"]["taskDefinitionArn"]

    def each(self, operation, body):
        """Asks for every service, several at the same time."""
        numbers = range(SERVICES)
        # One that was idle for long may have been closed.
        self.connections = [Raw(self.server.port) for _ in range(CLIENTS)]
        for at in range(0, len(numbers), CLIENTS):
            some = numbers[at:at + CLIENTS]
            for connection, number in zip(self.connections, some):
                connection.send(json_request(self.server.port, operation, body(number)))
            for connection, _ in zip(self.connections, some):
                status, text = connection.receive()
                if status != 200:
                    raise RuntimeError(f"{operation}: {status} {text[:400]}")

    def create(self, definition):
        self.each("CreateService", lambda number: {
            "cluster": f"c{number % CLUSTERS}", "serviceName": f"s{number}", "taskDefinition": definition,
            "desiredCount": TASKS, "launchType": "FARGATE",
            "networkConfiguration": self.places[number % len(self.places)]})

    def update(self, definition):
        self.each("UpdateService", lambda number: {
            "cluster": f"c{number % CLUSTERS}", "service": f"s{number}", "taskDefinition": definition})

    def counts(self):
        answers = [self.server.ecs("DescribeClusters", clusters=[f"c{number}"])["clusters"][0] for number in range(CLUSTERS)]
        return sum(one["runningTasksCount"] for one in answers), sum(one["pendingTasksCount"] for one in answers)

    def settled(self, definition):
        """How many services are where their owners want them."""
        done = 0
        for cluster in range(CLUSTERS):
            names = [f"s{number}" for number in range(cluster, SERVICES, CLUSTERS)]
            for at in range(0, len(names), 10):
                answer = self.server.ecs("DescribeServices", cluster=f"c{cluster}", services=names[at:at + 10])
                done += sum(service["taskDefinition"] == definition and len(service["deployments"]) == 1
                            and service["deployments"][0]["rolloutState"] == "COMPLETED"
                            and service["runningCount"] == TASKS for service in answer["services"])
        return done

    def settle(self, definition, seconds=3600):
        end = time.monotonic() + seconds
        while (done := self.settled(definition)) < SERVICES:
            if time.monotonic() > end:
                raise TimeoutError(f"{done} services of {SERVICES} are settled")
            print(f"    {done} settled, {self.counts()} tasks running and coming, {self.spent()}", flush=True)
            time.sleep(10)

    def spent(self):
        return (f"{time.monotonic() - self.began:.0f} s, CPU {cpu_seconds(self.server.pid) - self.cpu:.0f} s, "
                f"RSS {memory(self.server.pid)[0] >> 10} MiB")

    def steps(self, what, work):
        self.began, self.cpu = time.monotonic(), cpu_seconds(self.server.pid)
        work()
        row(what, self.spent())


def describe(fleet, operation, body, rounds=400):
    """CPU of the server per request."""
    request = json_request(fleet.server.port, operation, body)
    raw, before = Raw(fleet.server.port), cpu_seconds(fleet.server.pid)
    for _ in range(rounds):
        raw.call(request)
    return (cpu_seconds(fleet.server.pid) - before) / rounds * 1000


def main():
    title(f"Scale: {SERVICES} services of {TASKS} simulated tasks")
    with ExitStack() as stack:
        fleet = Fleet(server := stack.enter_context(Server("simulated")))
        rest = memory(server.pid)[0]
        first = fleet.define()
        fleet.steps("CreateService of all", lambda: fleet.create(first))
        fleet.steps("until all are settled", lambda: fleet.settle(first))
        time.sleep(WATCH)
        at_rest(fleet, rest)
        services = describe(fleet, "DescribeServices", {"cluster": "c0", "services": [f"s{n * CLUSTERS}" for n in range(10)]})
        arns = server.ecs("ListTasks", cluster="c0", maxResults=10)["taskArns"]
        tasks = describe(fleet, "DescribeTasks", {"cluster": "c0", "tasks": arns})
        row("DescribeServices of 10, DescribeTasks of 10", f"{services:.2f} ms, {tasks:.2f} ms", "≤ 1 ×", services <= tasks)
        second = fleet.define()
        fleet.steps("UpdateService of all", lambda: fleet.update(second))
        fleet.steps("until the rollout of all has converged", lambda: fleet.settle(second))
    decide = subprocess.run(["cargo", "run", "-q", "--release", "-p", "core-rollout", "--example", "decide"], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout
    slowest = max(float(share) for share in re.findall(r"p99 ([\d.]+) µs", decide))
    row("one decision about ten tasks, p99", f"{slowest:.1f} µs", "≤ 100 µs", slowest <= 100)


def at_rest(fleet, rest):
    before = cpu_seconds(fleet.server.pid)
    time.sleep(WATCH)
    share = (cpu_seconds(fleet.server.pid) - before) / WATCH
    rss = memory(fleet.server.pid)[0]
    row("steady state, CPU", f"{share * 100:.2f} % of one processor", "≤ 5 %", share <= 0.05)
    each = (rss - rest) / (SERVICES * TASKS)
    row("memory, RSS", f"{rss >> 10} MiB ({each:.1f} KiB a task)", "≤ 300 MiB", rss <= 300 << 10)
