"""Task definitions at random, each of many members: every container sees what was said of it, and each task ends as it must.

`BOXSHIP_SEED` chooses others than those of every run; a failure names its seed and definition.
"""

import concurrent.futures
import json
import os
import random

import pytest

from conftest import log, needs_root, network, stopped, wait_for
from test_linux_hostile import remains

pytestmark = needs_root

SEED = int(os.environ.get("BOXSHIP_SEED", "4"))
COUNT = 30
WAITS = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


class Made:
    """A task definition, and what becomes of it."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.family = f"random-{seed}"
        self.on = self.random.choice(["EC2", "EC2", "FARGATE"])
        self.mode = "awsvpc" if self.on == "FARGATE" else self.random.choice(["bridge", "bridge", "host", "none", "awsvpc"])
        self.task = {"networkMode": self.mode}
        self.run = {}
        self.code = self.random.choice([0, 0, 1, 3, 42, 255])
        self.starts = self.chance(0.9)
        # What the first container asserts, in the words of the shell.
        self.checks = []
        self.main = {"name": "main", "image": "toolbox", "cpu": self.random.choice([0, 64, 128]), "essential": True}
        self.helpers = []
        for add in (self.task_members, self.identity, self.limits, self.files, self.kernel, self.names, self.output, self.others, self.order):
            add()
        checks = "\n".join(f"{{ {check}; }} || {{ echo 'not so: '{json.dumps(check).replace(chr(39), '')!r}; exit 99; }}" for check in self.checks)
        self.main["command"] = ["/bin/sh", "-c", f"exec 2>&1\n{checks}\necho as it should be\nexit {self.code}"]
        if not self.starts:
            self.main["entryPoint"] = ["/nope"]

    def chance(self, share):
        return self.random.random() < share

    @property
    def is_ec2(self):
        return self.on == "EC2"

    def linux(self):
        return self.main.setdefault("linuxParameters", {})

    def task_members(self):
        if self.on == "FARGATE":
            self.task |= {"requiresCompatibilities": ["FARGATE"], "cpu": "512", "memory": "1024"}
            if self.chance(0.3):
                self.task["ephemeralStorage"] = {"sizeInGiB": self.random.randint(21, 40)}
        elif self.chance(0.5):
            self.task |= {"cpu": "256", "memory": "512"}
        if self.chance(0.2):
            self.task["pidMode"] = "task"
        if self.is_ec2 and self.chance(0.2):
            self.task["ipcMode"] = "task"
        if self.chance(0.3):
            self.task["runtimePlatform"] = {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"}
        if self.chance(0.3):
            self.run["tags"] = [{"key": "seed", "value": self.family}]

    def identity(self):
        if self.chance(0.5):
            value = self.random.choice(["plain", "a b", "x=y", "ü"])
            self.main["environment"] = [{"name": "FROM_TASK", "value": value}]
            if self.chance(0.3):
                value = "overridden"
                self.run["overrides"] = {"containerOverrides": [{"name": "main", "environment": [{"name": "FROM_TASK", "value": value}]}]}
            self.checks.append(f'[ "$FROM_TASK" = "{value}" ]')
        self.user = self.random.choice([None, None, "app", "4321", "0:1235"])
        if self.user:
            self.main["user"] = self.user
            self.checks.append("[ $(id -u):$(id -g) = %s ]" % {"app": "1234:1235", "4321": "4321:0", "0:1235": "0:1235"}[self.user])
        if self.chance(0.4):
            path = self.random.choice(["/tmp", "/made/here", "/home/app"])
            self.main["workingDirectory"] = path
            self.checks.append(f"[ $(pwd) = {path} ]")

    def limits(self):
        self.main["memory"] = self.random.choice([64, 128, 200])
        if self.chance(0.4):
            self.main["memoryReservation"] = 32
        if self.chance(0.4):
            soft, hard = sorted(self.random.sample(range(64, 4000), 2))
            self.main["ulimits"] = [{"name": "nofile", "softLimit": soft, "hardLimit": hard}]
            self.checks.append(f"[ $(ulimit -Sn) = {soft} ] && [ $(ulimit -Hn) = {hard} ]")

    def files(self):
        is_read_only = self.chance(0.3) and self.main.get("workingDirectory") != "/made/here"
        if is_read_only:
            self.main["readonlyRootFilesystem"] = True
            self.checks.append("! touch /x 2>/dev/null")
        if self.chance(0.4):
            mounts_read_only = self.chance(0.3)
            self.task["volumes"] = [{"name": "v"}]
            self.main["mountPoints"] = [{"sourceVolume": "v", "containerPath": "/v", "readOnly": mounts_read_only}]
            can_write = not mounts_read_only and self.user in (None, "0:1235")
            self.checks.append("echo x > /v/x && [ $(cat /v/x) = x ]" if can_write else "! touch /v/x 2>/dev/null")
        if self.is_ec2 and self.chance(0.3):
            self.linux()["tmpfs"] = [{"containerPath": "/t", "size": 2, "mountOptions": ["noexec"]}]
            self.checks.append("mount | grep ' /t ' | grep -q noexec")

    def kernel(self):
        if self.chance(0.3):
            self.linux()["initProcessEnabled"] = True
            self.checks.append("[ $$ != 1 ]")
        if self.is_ec2 and self.chance(0.3) and self.task.get("ipcMode") is None:
            self.linux()["sharedMemorySize"] = 8
            self.checks.append("mount | grep ' /dev/shm ' | grep -q size=8192k")
        self.is_privileged = self.is_ec2 and self.chance(0.15)
        if self.is_privileged:
            self.main["privileged"] = True
            self.checks.append("[ -e /dev/loop-control ]")
        elif self.chance(0.4):
            dropped = self.random.choice(["KILL", "CHOWN", "MKNOD"])
            self.linux()["capabilities"] = {"drop": [dropped]}
            bit = {"CHOWN": 0, "KILL": 5, "MKNOD": 27}[dropped]
            self.checks.append(f"[ $(( (0x$(sed -n 's/CapBnd:.//p' /proc/self/status) >> {bit}) & 1 )) = 0 ]")
        if self.chance(0.3) and self.mode in ("bridge", "awsvpc") and self.task.get("pidMode") is None and not self.is_privileged:
            self.main["systemControls"] = [{"namespace": "net.core.somaxconn", "value": "77"}]
            self.checks.append("[ $(cat /proc/sys/net/core/somaxconn) = 77 ]")

    def names(self):
        if self.mode == "bridge":
            if self.chance(0.4):
                self.main["hostname"] = "called"
                self.checks.append("[ $(hostname) = called ]")
            if self.chance(0.4):
                self.main["extraHosts"] = [{"hostname": "other", "ipAddress": "10.9.8.7"}]
                self.checks.append("grep -q '10.9.8.7.*other' /etc/hosts")
            if self.chance(0.4):
                self.main["dnsServers"] = ["10.0.0.53"]
                self.checks.append("grep -q 'nameserver 10.0.0.53' /etc/resolv.conf")
            if self.chance(0.4):
                self.main["portMappings"] = [{"containerPort": 80}]
        elif self.mode == "awsvpc" and self.chance(0.4):
            self.main["portMappings"] = [{"containerPort": 8080, "name": "web"}]
        if self.chance(0.3):
            self.main["dockerLabels"] = {"team": "red"}

    def output(self):
        self.is_kept = True
        options = {"awslogs-group": "/test", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "random", "awslogs-create-group": "true"}
        if self.chance(0.3):
            options |= self.random.choice([{"mode": "blocking"}, {"mode": "non-blocking", "max-buffer-size": "1m"}])
        self.main["logConfiguration"] = {"logDriver": "awslogs", "options": options}
        if self.is_ec2 and self.chance(0.2):
            self.is_kept = False
            self.main["logConfiguration"] = {"logDriver": self.random.choice(["json-file", "none"])}

    def others(self):
        if self.is_ec2 and self.chance(0.2):
            self.main["pseudoTerminal"] = True
            self.checks.append("[ -t 0 ]")
        if self.chance(0.2):
            self.main["interactive"] = True
        if self.chance(0.3):
            self.main["stopTimeout"] = self.random.randint(2, 30)
        if self.chance(0.3):
            self.main["healthCheck"] = {"command": ["CMD-SHELL", "true"], "interval": 5, "timeout": 2, "retries": 1}
        if self.chance(0.2):
            self.main["restartPolicy"] = {"enabled": True, "restartAttemptPeriod": 60, "ignoredExitCodes": [self.code]}

    def order(self):
        for number in range(self.random.choice([0, 0, 1, 2])):
            condition = self.random.choice(["START", "COMPLETE", "SUCCESS", "HEALTHY"])
            helper = {"name": f"helper{number}", "image": "toolbox", "memory": 32, "essential": False, "stopTimeout": 5,
                      "command": ["/bin/sh", "-c", WAITS if condition in ("START", "HEALTHY") else "exit 0"]}
            if condition == "HEALTHY":
                helper["healthCheck"] = {"command": ["CMD", "/bin/true"], "interval": 5, "timeout": 5, "retries": 2}
            self.main.setdefault("dependsOn", []).append({"containerName": helper["name"], "condition": condition})
            self.helpers.append(helper)

    def definition(self):
        return {"family": self.family, "executionRoleArn": "execution", "containerDefinitions": [self.main, *self.helpers], **self.task}


@pytest.fixture(scope="module")
def server(machine):
    return machine


MADE = {made.family: made for made in (Made(SEED * 1000 + n) for n in range(COUNT))}


@pytest.fixture(scope="module")
def tasks(server):
    ecs = server.client("ecs")
    def start(made):
        ecs.register_task_definition(**made.definition())
        more = {"networkConfiguration": network(server)} if made.mode == "awsvpc" else {}
        if made.mode == "awsvpc" and made.is_ec2:
            more["networkConfiguration"]["awsvpcConfiguration"].pop("assignPublicIp")
        def ran():
            answer = ecs.run_task(taskDefinition=made.family, launchType=made.on, **more, **made.run)
            reasons = {failure["reason"] for failure in answer["failures"]}
            # The instance is full until others have ended.
            assert reasons <= {"RESOURCE:MEMORY", "RESOURCE:CPU", "RESOURCE:ENI"}, reasons
            return answer["tasks"]
        return made.family, wait_for(ran, 60, "room on the instance")[0]["taskArn"]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        return dict(pool.map(start, MADE.values()))


@pytest.mark.parametrize("family", MADE)
def test_it_ends_as_it_must(server, tasks, family):
    made = MADE[family]
    task = stopped(server, tasks[family], 90)
    containers = {container["name"]: container for container in task["containers"]}
    main = containers["main"]
    story = json.dumps({"definition": made.definition(), "run": made.run, "reason": task["stoppedReason"], "ends": [
        (c["name"], c.get("exitCode"), c.get("reason")) for c in task["containers"]]}, indent=1)
    if made.starts:
        lines = log(server, "random", tasks[family], "main") if made.is_kept and "exitCode" in main else []
        assert (task["stopCode"], main.get("exitCode")) == ("EssentialContainerExited", made.code), (lines, story)
        assert not made.is_kept or [line.rstrip("\r") for line in lines] == ["as it should be"], (lines, story)
    else:
        assert task["stopCode"] == "TaskFailedToStart", story
        assert main["reason"].startswith("CannotStartContainerError: ") and "exitCode" not in main, story
    assert {containers[helper["name"]].get("exitCode") for helper in made.helpers} <= {0}, story


def test_nothing_stays_behind(server, tasks):
    for arn in tasks.values():
        stopped(server, arn)
    ids = [arn.rsplit("/", 1)[1] for arn in tasks.values()]
    wait_for(lambda: not remains(server, ids), 20, "the end of what the tasks left")
