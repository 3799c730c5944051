"""A web service behind a balancer, as the tests of services need it: the image, the way to it, and its service."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

import toolbox
from conftest import BOXSHIP, IS_ROOT, Server, define, execution_role, wait_for
from test_linux_crash import group_of

SOURCE = Path(__file__).parent / "data/keeps.rs"
# A shell is the first process: it hears SIGTERM.
RUNS = "trap 'exit 0' TERM; keeps & wait"


def image(directory):
    """An OCI archive of the toolbox with a web server that keeps its connections."""
    if shutil.which("rustc") is None:
        pytest.skip("left out: rustc is not installed")
    program = directory / "keeps"
    subprocess.run(["rustc", "--edition=2021", "-O", "-C", "target-feature=+crt-static", "-o", program, SOURCE], check=True,
                   cwd=Path(__file__).parent)
    return toolbox.archive(directory / "keeps.tar", files=[("bin/keeps", 0o755, program.read_bytes())])


def serve(directory, *arguments):
    """A server of the linux runtime that knows the image `keeps`."""
    if not IS_ROOT:
        pytest.skip("left out: real containers need root")
    archive = image(directory)
    server = Server("linux", *arguments).start()
    server.run("image", "load", str(archive), "keeps")
    server.client("ecs").create_cluster(clusterName="default")
    execution_role(server)
    return server


def version(server, family, name, **container):
    """A task definition whose answers begin with `name`; answers its ARN."""
    environment = [{"name": "NAME", "value": name}, *container.pop("environment", [])]
    container = {"name": "web", "image": "keeps", "entryPoint": ["/bin/sh", "-c"], "command": [RUNS], "stopTimeout": 2,
                 "portMappings": [{"containerPort": 80}], "environment": environment, **container}
    return define(server, family, [container])


class Web:
    """A balancer with one group, and a service of Fargate tasks in it."""

    def __init__(self, server, name, desired=3, definition=None, has_service=True, **members):
        self.server, self.name = server, name
        self.ec2, self.elb, self.ecs = server.client("ec2"), server.client("elbv2"), server.client("ecs")
        self.vpc = self.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        self.subnets = [one["SubnetId"] for one in self.ec2.describe_subnets()["Subnets"]]
        self.front = self.security_group("front", {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]})
        self.back = self.security_group("back", {"UserIdGroupPairs": [{"GroupId": self.front}]})
        balancer = self.elb.create_load_balancer(Name=name, Subnets=self.subnets, SecurityGroups=[self.front])["LoadBalancers"][0]
        self.arn, self.dns = balancer["LoadBalancerArn"], balancer["DNSName"]
        self.group = self.target_group(name)
        self.listener = self.elb.create_listener(
            LoadBalancerArn=self.arn, Protocol="HTTP", Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}])["Listeners"][0]["ListenerArn"]
        self.definition = definition or version(server, name, "v1")
        if has_service:
            self.create(desired=desired, **members)

    def security_group(self, name, source):
        made = self.ec2.create_security_group(GroupName=f"{self.name}-{name}", Description=name, VpcId=self.vpc)["GroupId"]
        self.ec2.authorize_security_group_ingress(GroupId=made, IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, **source}])
        return made

    def target_group(self, name):
        group = self.elb.create_target_group(
            Name=name, Protocol="HTTP", Port=80, VpcId=self.vpc, TargetType="ip", HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2, HealthyThresholdCount=2, UnhealthyThresholdCount=2,
            HealthCheckPath="/health")["TargetGroups"][0]["TargetGroupArn"]
        self.elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=[
            {"Key": "deregistration_delay.timeout_seconds", "Value": "5"}])
        return group

    @property
    def network(self):
        return {"awsvpcConfiguration": {"subnets": self.subnets, "securityGroups": [self.back], "assignPublicIp": "ENABLED"}}

    def create(self, desired, name=None, **members):
        members = {"loadBalancers": [{"targetGroupArn": self.group, "containerName": "web", "containerPort": 80}], **members}
        return self.ecs.create_service(
            serviceName=name or self.name, taskDefinition=self.definition, desiredCount=desired, launchType="FARGATE",
            networkConfiguration=self.network, **members)["service"]

    @property
    def alias(self):
        """The balancer's own address on this machine."""
        def listed():
            found = json.loads(self.server.run("balancers", "--json").stdout)
            return next((one["alias"] for one in found if one["arn"] == self.arn), None)
        return wait_for(listed, 20, "the balancer's address")

    def service(self):
        return self.ecs.describe_services(services=[self.name])["services"][0]

    def events(self):
        """What the service has said, oldest first."""
        return [event["message"] for event in reversed(self.service()["events"])]

    def tasks(self, status="RUNNING"):
        arns = [arn for page in self.ecs.get_paginator("list_tasks").paginate(serviceName=self.name, desiredStatus=status)
                for arn in page["taskArns"]]
        return self.ecs.describe_tasks(tasks=arns)["tasks"] if arns else []

    def update(self, **members):
        return self.ecs.update_service(service=self.name, **members)["service"]

    def stable(self, seconds=120):
        """Waits as the waiter `services-stable` does, only more often, and for the deployment to be over."""
        def is_stable():
            service = self.service()
            return (len(service["deployments"]) == 1 and service["deployments"][0]["rolloutState"] == "COMPLETED"
                    and service["runningCount"] == service["desiredCount"] and service["pendingCount"] == 0)
        wait_for(is_stable, seconds, f"{self.name} becoming stable: {self.events()[-5:]}")

    def healthy(self):
        health = self.elb.describe_target_health(TargetGroupArn=self.group)["TargetHealthDescriptions"]
        return [one["Target"]["Id"] for one in health if one["TargetHealth"]["State"] == "healthy"]

    def delete(self):
        self.ecs.delete_service(service=self.name, force=True)
        wait_for(lambda: self.service()["status"] == "INACTIVE", 60, "the service going")
        wait_for(lambda: not self.tasks(), 60, "its tasks going")


def proxy(server):
    """The balancers' plane in a process of its own."""
    before = server.text().count("a proxy serves load balancers")
    process = subprocess.Popen([BOXSHIP, "--data-dir", server.data_dir, "proxy"], stdin=subprocess.DEVNULL,
                               stdout=server.log, stderr=server.log)
    wait_for(lambda: server.text().count("a proxy serves load balancers") > before, 20, "the proxy serving")
    return process


def nothing_is_orphaned(server):
    """Control groups are those of tasks that have not stopped, no more."""
    ecs = server.client("ecs")

    def orphans():
        arns = [arn for status in ("RUNNING", "STOPPED") for page in ecs.get_paginator("list_tasks").paginate(desiredStatus=status)
                for arn in page["taskArns"]]
        tasks = [task for at in range(0, len(arns), 100) for task in ecs.describe_tasks(tasks=arns[at:at + 100])["tasks"]]
        alive = {task["taskArn"].rsplit("/", 1)[1] for task in tasks if task["lastStatus"] != "STOPPED"}
        roots = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*")]
        found = {path.name for root in roots for path in children(root / group_of(server)) if path.is_dir() and len(path.name) == 32}
        return found - alive
    try:
        wait_for(lambda: not orphans(), 30, "the control groups of ended tasks going")
    except AssertionError as error:
        raise AssertionError(f"{error}: {orphans()}") from None


def children(directory):
    try:
        return list(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def processor_seconds(pid):
    """What a process has used of the processors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
