"""What only launch type EC2 takes of a task definition, seen from inside real containers."""

from pathlib import Path

import pytest

from conftest import log, needs_root, network, running, stopped, wait_for

pytestmark = needs_root

LOG = {"logDriver": "awslogs", "options": {"awslogs-group": "/test", "awslogs-region": "us-east-1",
       "awslogs-stream-prefix": "fields", "awslogs-create-group": "true"}}


@pytest.fixture(scope="module")
def server(machine):
    return machine


def sh(name, script, **members):
    return {"name": name, "image": "toolbox", "memory": 32, "entryPoint": ["/bin/sh", "-c"], "logConfiguration": LOG, "stopTimeout": 2,
            "command": [f"exec 2>&1; {script}"], **members}


def start(server, *containers, run=None, **members):
    ecs = server.client("ecs")
    ecs.register_task_definition(family="fields", containerDefinitions=list(containers), executionRoleArn="execution",
                                 **members)
    answer = ecs.run_task(taskDefinition="fields", **(run or {}))
    assert answer["failures"] == []
    return answer["tasks"][0]["taskArn"]


def printed(server, *containers, name=None, exit_code=0, **members):
    """What the first container (or the one of this name) prints, as lines, once the task has ended."""
    arn = start(server, *containers, **members)
    task = stopped(server, arn)
    name = name or containers[0]["name"]
    [code] = [c.get("exitCode") for c in task["containers"] if c["name"] == name]
    lines = log(server, "fields", arn, name) if code is not None else []
    assert code == exit_code, (task.get("stoppedReason"), task["containers"], lines)
    return lines


ULIMITS = [{"name": "core", "softLimit": 0, "hardLimit": 0}, {"name": "nofile", "softLimit": 100, "hardLimit": 200}]

# What a container says, its members, the task's.
INSIDE = {
    "capability added": ("grep CapEff /proc/self/status", ["CapEff:\t00000000a80435fb"],
                         {"linuxParameters": {"capabilities": {"add": ["NET_ADMIN"]}}}, {}),
    "capabilities dropped": ("grep CapEff /proc/self/status", ["CapEff:\t0000000000000001"],
                             {"linuxParameters": {"capabilities": {"add": ["CHOWN"], "drop": ["ALL"]}}}, {}),
    "privileged": ("[ -e /dev/loop-control ] && mkdir /m && mount -t tmpfs none /m && echo mounted", ["mounted"],
                   {"privileged": True}, {}),
    "no new privileges": ("grep NoNewPrivs /proc/self/status", ["NoNewPrivs:\t1"],
                          {"dockerSecurityOptions": ["no-new-privileges"]}, {}),
    "a device": ("ls /dev/mem-too && echo here", ["/dev/mem-too", "here"],
                 {"linuxParameters": {"devices": [{"hostPath": "/dev/fuse", "containerPath": "/dev/mem-too"}]}}, {}),
    "shared memory": ("mount | grep -o 'size=8192k'", ["size=8192k"], {"linuxParameters": {"sharedMemorySize": 8}}, {}),
    "tmpfs": ("mount | grep ' /t ' | grep -o noexec; echo x > /t/x && cat /t/x", ["noexec", "x"],
              {"readonlyRootFilesystem": True,
               "linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 1, "mountOptions": ["noexec"]}]}}, {}),
    "an init": ("cat /proc/1/comm | grep -c sh; [ $$ != 1 ] && echo child", ["0", "child"],
                {"linuxParameters": {"initProcessEnabled": True}}, {}),
    "a terminal": ("[ -t 0 ] && [ -t 1 ] && echo terminal", ["terminal"], {"pseudoTerminal": True}, {}),
    "system controls": ("cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax", ["99", "1000"],
                        {"systemControls": [{"namespace": "net.core.somaxconn", "value": "99"},
                                            {"namespace": "kernel.msgmax", "value": "1000"}]}, {}),
    "ulimits": ("ulimit -c; ulimit -Sn; ulimit -Hn", ["0", "100", "200"], {"ulimits": ULIMITS}, {}),
    "hostname": ("hostname; grep -c '\\bh1\\b' /etc/hosts", ["h1", "1"], {"hostname": "h1"}, {}),
    "extra hosts": ("grep other /etc/hosts", ["10.1.2.3\tother"],
                    {"extraHosts": [{"hostname": "other", "ipAddress": "10.1.2.3"}]}, {}),
    "name servers": ("cat /etc/resolv.conf | grep -v '^#'", ["nameserver 10.0.0.2", "search example.com"],
                     {"dnsServers": ["10.0.0.2"], "dnsSearchDomains": ["example.com"]}, {}),
    "networking disabled": ("ls /sys/class/net", ["lo"], {"disableNetworking": True}, {}),
    "no network": ("ls /sys/class/net", ["lo"], {}, {"networkMode": "none"}),
    "the host's processes": ("ls -d /proc/2", ["/proc/2"], {}, {"pidMode": "host"}),
    "a task's volume": ("echo x > /data/x && cat /data/x", ["x"],
                        {"mountPoints": [{"sourceVolume": "v", "containerPath": "/data"}]}, {"volumes": [{"name": "v"}]}),
}


@pytest.mark.parametrize("case", INSIDE)
def test_inside(server, case):
    script, expected, members, task = INSIDE[case]
    lines = [line.rstrip("\r") for line in printed(server, sh("web", script, **members), **task)]
    assert sorted(lines) == sorted(expected)


def test_host_paths(server, tmp_path):
    (tmp_path / "given").write_text("given")
    mount = {"sourceVolume": "v", "containerPath": "/data"}
    lines = printed(server, sh("web", "cat /data/given; echo; echo made > /data/made", mountPoints=[mount]),
                    volumes=[{"name": "v", "host": {"sourcePath": str(tmp_path)}}])
    assert lines == ["given"]
    assert (tmp_path / "made").read_text() == "made\n"
    missing = tmp_path / "missing" / "path"
    printed(server, sh("web", "echo made > /data/made", mountPoints=[mount]),
            volumes=[{"name": "v", "host": {"sourcePath": str(missing)}}])
    assert (missing / "made").exists()
    lines = printed(server, sh("web", "echo x > /data/x", mountPoints=[{**mount, "readOnly": True}]), exit_code=1,
                    volumes=[{"name": "v", "host": {"sourcePath": str(tmp_path)}}])
    assert "Read-only" in lines[0] and not (tmp_path / "x").exists()


def test_docker_volumes_outlive_their_task(server):
    shared = [{"name": "kept", "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": True, "driver": "local"}}]
    mount = [{"sourceVolume": "kept", "containerPath": "/k"}]
    assert printed(server, sh("web", "echo one >> /k/f; cat /k/f", mountPoints=mount), volumes=shared) == ["one"]
    assert printed(server, sh("web", "echo two >> /k/f; cat /k/f", mountPoints=mount), volumes=shared) == ["one", "two"]
    own = [{"name": "kept", "dockerVolumeConfiguration": {"scope": "task"}}]
    assert printed(server, sh("web", "ls /k", mountPoints=mount), volumes=own) == []


def test_volumes_from(server):
    lines = printed(
        server, sh("web", "cat /data/x; echo y > /data/y", volumesFrom=[{"sourceContainer": "side", "readOnly": True}],
                   dependsOn=[{"containerName": "side", "condition": "SUCCESS"}]),
        sh("side", "echo x > /data/x", essential=False, mountPoints=[{"sourceVolume": "v", "containerPath": "/data"}]),
        volumes=[{"name": "v"}], exit_code=1)
    assert lines[0] == "x" and "Read-only" in lines[1]


def test_links(server):
    """A linked container is there, under its name and its alias, when the one that links it starts."""
    lines = printed(
        server, sh("web", "i=0; until wget -q -O - http://database:8000/f; do i=$((i+1)); [ $i -gt 50 ] && exit 1; sleep 0.1; done",
                   links=["db:database"]),
        sh("db", "mkdir /w; echo linked > /w/f; httpd -f -p 8000 -h /w", essential=False))
    assert lines[-1] == "linked"


def test_ipc_of_the_task(server):
    lines = printed(server, sh("web", "cat /dev/shm/f", dependsOn=[{"containerName": "side", "condition": "SUCCESS"}]),
                    sh("side", "echo shared > /dev/shm/f", essential=False), ipcMode="task")
    assert lines == ["shared"]


def test_an_address_on_an_instance(server):
    """`awsvpc` on an instance: the task has its interface as on Fargate, without a public address."""
    private = {"awsvpcConfiguration": {"subnets": network(server)["awsvpcConfiguration"]["subnets"]}}
    arn = start(server, sh("web", "ip addr show eth1 2>/dev/null || ip addr; sleep 60"), networkMode="awsvpc",
                run={"networkConfiguration": private})
    task = running(server, arn)
    address = task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
    wait_for(lambda: any(address in line for line in log(server, "fields", arn, "web")), 10, "its own address")
    assert task["containers"][0]["networkBindings"] == []
    server.client("ecs").stop_task(task=arn)


def test_json_file(server):
    arn = start(server, sh("web", "echo kept", logConfiguration={"logDriver": "json-file", "options": {"max-size": "1m"}}))
    stopped(server, arn)
    found = [path for path in Path(server.data_dir).rglob("*json.log") if '"log":"kept\\n"' in path.read_text()]
    assert len(found) == 1


def test_health(server):
    check = {"command": ["CMD-SHELL", "[ -e /tmp/well ]"], "interval": 5, "timeout": 2, "retries": 1}
    arn = start(server, sh("web", "touch /tmp/well; while [ ! -e /tmp/go ]; do sleep 0.1; done", healthCheck=check))
    task = wait_for(lambda: (t := running(server, arn))["healthStatus"] == "HEALTHY" and t, 20, "healthy")
    assert task["containers"][0]["healthStatus"] == "HEALTHY"
    server.client("ecs").stop_task(task=arn)
