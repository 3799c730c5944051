"""Each member of a task definition that is acted upon, seen from inside the container."""

import platform
import resource
from pathlib import Path

import pytest

import toolbox
from conftest import define, log, needs_root, run_task, running, stopped
from toolbox import printed, start

pytestmark = needs_root


@pytest.mark.parametrize(("members", "expected"), [
    ({"entryPoint": ["/bin/echo", "a"], "command": ["b  c", ""]}, ["a b  c "]),
    ({"entryPoint": ["/bin/echo", "alone"], "command": []}, ["alone"]),
    ({"entryPoint": [], "command": ["/bin/echo", "no entry point"]}, ["no entry point"]),
    ({"entryPoint": [], "command": ["echo", "on the path"]}, ["on the path"]),
])
def test_command(box, members, expected):
    assert printed(box, None, **members) == expected


def test_image_defaults(box, tmp_path):
    """What the image says holds where the definition says nothing; its command goes with its entry point."""
    config = {"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["echo $0 $FROM_IMAGE $OTHER; pwd; id -u"], "User": "app",
              "WorkingDir": "/home/app", "Env": ["PATH=/bin", "FROM_IMAGE=yes", "OTHER=image's"]}
    box.run("image", "load", str(toolbox.archive(tmp_path / "image.tar", config)), "configured")
    first = printed(box, None, image="configured", entryPoint=[], command=[])
    assert first == ["/bin/sh yes image's", "/home/app", "1234"]
    assert printed(box, None, image="configured", entryPoint=[], command=["echo mine"]) == ["mine"]
    changed = printed(box, None, image="configured", entryPoint=["/bin/sh", "-c", "echo $OTHER; pwd; id -u"], command=[],
                      environment=[{"name": "OTHER", "value": "task's"}], workingDirectory="/tmp", user="0")
    assert changed == ["task's", "/tmp", "0"]


def test_environment(box):
    lines = printed(box, "env", environment=[
        {"name": "PLAIN", "value": "a b=c"}, {"name": "EMPTY", "value": ""}, {"name": "FROM_IMAGE", "value": "no"}])
    values = dict(line.split("=", 1) for line in lines)
    assert values["PLAIN"] == "a b=c"
    assert values["EMPTY"] == ""
    assert values["FROM_IMAGE"] == "no"
    assert values["PATH"] == "/bin"
    [host] = printed(box, "[ $HOSTNAME = $(hostname) ] && [ $HOSTNAME = $(cat /etc/hostname) ] && grep -c $HOSTNAME /etc/hosts")
    assert host == "1"


@pytest.mark.parametrize(("path", "owner"), [("/tmp", "0 1777"), ("/made/for/it", "0 755"), ("relative", "0 755")])
def test_working_directory(box, path, owner):
    lines = printed(box, "pwd; stat -c '%u %a' .", workingDirectory=path)
    assert lines == [path if path.startswith("/") else f"/{path}", owner]


@pytest.mark.parametrize(("user", "expected"), [
    ("app", "1234 1235 1235 1300 /home/app"), ("1234", "1234 1235 1235 1300 /home/app"), ("4321", "4321 0 0 /"),
    ("app:extra", "1234 1300 1300 /home/app"), ("4321:77", "4321 77 77 /"), ("root", "0 0 0 /root"), ("0:1235", "0 1235 1235 /root")])
def test_user(box, user, expected):
    [found] = printed(box, "echo $(id -u) $(id -g) $(id -G) $HOME", user=user)
    assert found == expected


def test_a_user_cannot_do_what_root_can(box):
    lines = printed(box, "touch /x; chown 0 /tmp; grep Cap /proc/self/status", user="app")
    assert "touch: /x: Permission denied" in lines
    caps = dict(line.split(":\t") for line in lines if line.startswith("Cap"))
    assert caps["CapEff"] == caps["CapPrm"] == caps["CapInh"] == caps["CapAmb"] == "0" * 16
    assert caps["CapBnd"] == "00000000a80425fb"


def cgroup_of(server, arn):
    """Directories of a running task's control group: of the task and of its container, by controller."""
    task = arn.rsplit("/", 1)[1]
    at = [path for path in Path("/sys/fs/cgroup").glob(f"**/boxship-*/*{task}*") if path.is_dir()]
    assert at, "no control group names the task"
    return at


def read(groups, name):
    return [(group / name).read_text().strip() for group in groups if (group / name).exists()]


def test_limits(box):
    """The task's cpu is a quota, a container's is its weight; memory is a limit of each."""
    arn = start(box, "echo up; exec sleep 100", task={"cpu": "512", "memory": "1024"}, cpu=128, memory=256,
                memoryReservation=128)
    running(box, arn)
    groups = cgroup_of(box, arn)
    inner = [child for group in groups for child in group.iterdir() if child.is_dir()]
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        assert read(groups, "cpu.max") == ["50000 100000"]
        assert read(groups, "memory.max") == [str(1024 << 20)]
        assert read(inner, "memory.max") == [str(256 << 20)]
        assert read(inner, "memory.low") == [str(128 << 20)]
    else:
        assert read(groups, "cpu.cfs_quota_us") == ["50000"]
        assert read(groups, "cpu.cfs_period_us") == ["100000"]
        assert read(groups, "cpu.shares") == ["512"]
        assert read(inner, "cpu.shares") == ["128"]
        assert read(groups, "memory.limit_in_bytes") == [str(1024 << 20)]
        assert read(inner, "memory.limit_in_bytes") == [str(256 << 20)]
        assert read(inner, "memory.soft_limit_in_bytes") == [str(128 << 20)]
    assert set(read(inner, "pids.max")) == {"4096"}
    box.client("ecs").stop_task(task=arn)


def test_limits_seen_inside(box):
    """A program finds its own limit at /sys/fs/cgroup."""
    [limit] = printed(box, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max", memory=96)
    assert limit == str(96 << 20)


def test_cpu_is_limited(box):
    """A quarter of a processor: at most so much time of it, with room for the period's edges."""
    script = ("read up rest </proc/uptime; end=$(( ${up%.*} + 3 )); while read up rest </proc/uptime; [ ${up%.*} -lt $end ]; do :; done; "
              "cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null || sed -n 's/usage_usec //p' /sys/fs/cgroup/cpu.stat")
    [used] = printed(box, script)
    seconds = int(used) / (1e9 if len(used) > 8 else 1e6)
    assert 0.2 < seconds < 1.1, seconds


def test_read_only_root(box):
    script = "touch /x; touch /etc/x; touch /tmp/x; touch /dev/shm/ok && echo shm; grep ' / ' /proc/mounts | grep -c '[ ,]ro[ ,]'"
    lines = printed(box, script, readonlyRootFilesystem=True)
    assert lines == ["touch: /x: Read-only file system", "touch: /etc/x: Read-only file system",
                     "touch: /tmp/x: Read-only file system", "shm", "1"]
    assert printed(box, "touch /x && echo written; cat /x", readonlyRootFilesystem=False) == ["written"]


def test_each_has_its_own_root(box):
    containers = [
        {"name": name, "image": "toolbox", "command": ["/bin/sh", "-c", f"ls /*-was-here 2>&1; touch /{name}-was-here; sleep 1"]}
        for name in ["a", "b"]]
    [arn] = run_task(box, define(box, "roots", containers))
    stopped(box, arn)
    for name in ["a", "b"]:
        assert log(box, "roots", arn, name) == ["ls: /*-was-here: No such file or directory"]
    [again] = run_task(box, define(box, "roots", containers))
    stopped(box, again)
    assert log(box, "roots", again, "a") == ["ls: /*-was-here: No such file or directory"]


def test_ulimits(box):
    lines = printed(box, "ulimit -Sn; ulimit -Hn", ulimits=[{"name": "nofile", "softLimit": 1000, "hardLimit": 2000}])
    assert lines == ["1000", "2000"]


def test_open_files_by_default(box):
    """Fargate's 65,535, or what this machine allows."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    expected = 65535 if most == resource.RLIM_INFINITY else min(65535, most)
    lines = printed(box, "ulimit -Sn; ulimit -Hn")
    assert [int(line) for line in lines] in ([expected] * 2, [65535] * 2)


def test_an_ulimit_that_cannot_be_is_told(box):
    """What the user asked for is given or refused, never lowered."""
    arn = start(box, "ulimit -Hn", ulimits=[{"name": "nofile", "softLimit": 1000, "hardLimit": 1048577 * 1000}])
    task = stopped(box, arn)
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["containers"][0]["reason"].startswith("CannotStartContainerError: ")
    assert "nofile" in task["containers"][0]["reason"].lower()


def test_containers_share_the_network(box):
    """Several containers of a task meet at localhost, and see nothing else of each other."""
    containers = [
        {"name": "server", "image": "toolbox", "essential": False, "stopTimeout": 2, "portMappings": [{"containerPort": 8080}],
         "command": ["/bin/sh", "-c", "mkdir /www; echo shared > /www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /www"]},
        {"name": "client", "image": "toolbox", "command": ["/bin/sh", "-c", (
            "for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://localhost:8080/ && break; sleep 0.3; done; "
            "ps | grep -c '[h]ttpd'; ls -d /www")]}]
    [arn] = run_task(box, define(box, "shared", containers))
    stopped(box, arn)
    lines = [line for line in log(box, "shared", arn, "client") if not line.startswith("wget")]
    assert lines == ["shared", "0", "ls: /www: No such file or directory"]


def test_overrides(box):
    """RunTask's changes, down to the container."""
    definition = define(box, "overridden", [{
        "image": "toolbox", "command": ["/bin/sh", "-c", "echo $A $B"], "memory": 128,
        "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}])
    script = "echo $A $B $C; cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
    [arn] = run_task(box, definition, overrides={"cpu": "512", "memory": "1024", "containerOverrides": [{
        "name": "c0", "command": ["/bin/sh", "-c", script], "memory": 64,
        "environment": [{"name": "B", "value": "two"}, {"name": "C", "value": "3"}]}]})
    task = stopped(box, arn)
    assert log(box, "overridden", arn) == ["1 two 3", str(64 << 20)]
    assert (task["cpu"], task["memory"]) == ("512", "1024")


def test_architecture(box):
    machine = platform.machine()
    name = {"x86_64": "X86_64", "aarch64": "ARM64"}[machine]
    assert printed(box, "uname -m", task={"runtimePlatform": {"cpuArchitecture": name}}) == [machine]
