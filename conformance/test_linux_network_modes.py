"""Network modes bridge, host and none on this machine as a container instance: addresses, published ports, names,
169.254.170.2 in each; and the faults that a task may ask for."""

import json
import os
import socket
import subprocess

import pytest

from conftest import Server, execution_role, fetch, log, needs_root, running, stopped, wait_for
from test_linux_network import identity
from toolbox import start

pytestmark = needs_root

WEB = "mkdir -p /www; echo %s > /www/index.html; trap 'exit 0' TERM; httpd -p %d -h /www; while :; do sleep 0.1; done"
EXIT = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def of_servers():
    """Pairs and tables of rules on this machine; each server's have names of its own."""
    links = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout
    rules = subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True).stdout
    return {line.split()[1] for line in links.splitlines() if line.split()[1].startswith("bx")} | {
        line for line in rules.splitlines() if "boxship" in line}


@pytest.fixture(scope="module")
def machine(toolbox_archive):
    """A server whose machine is a container instance of the cluster `default`."""
    server = Server("linux", "--instance", "default")
    before = of_servers()
    server.start()
    server.run("image", "load", str(toolbox_archive), "toolbox")
    yield server
    ours = of_servers() - before
    server.down()
    assert ours and not ours & of_servers(), "interfaces or rules are left behind"


def sh(script, name="c0", **members):
    """A container that runs a shell script."""
    return {"name": name, "image": "toolbox", "entryPoint": ["/bin/sh", "-c"], "command": [script], "memory": 32,
            "essential": True, **members}


def define(server, family, containers, mode="bridge", **members):
    for container in containers:
        container["logConfiguration"] = {"logDriver": "awslogs", "options": {
            "awslogs-group": "/test", "awslogs-region": "us-east-1", "awslogs-stream-prefix": family,
            "awslogs-create-group": "true"}}
    answer = server.client("ecs").register_task_definition(
        family=family, networkMode=mode, executionRoleArn=execution_role(server), containerDefinitions=containers, **members)
    return answer["taskDefinition"]["taskDefinitionArn"]


def run(server, definition, **members):
    answer = server.client("ecs").run_task(taskDefinition=definition, launchType="EC2", **members)
    assert not answer["failures"], answer["failures"]
    return [task["taskArn"] for task in answer["tasks"]]


def printed(server, script, mode="bridge", family="print", **members):
    """What a script prints in a container of a mode, once its task has ended."""
    [arn] = run(server, define(server, family, [sh(f"exec 2>&1\n{script}", **members)], mode))
    task = stopped(server, arn)
    assert task["containers"][0].get("exitCode") == 0, (task.get("stoppedReason"), task["containers"])
    return log(server, family, arn)


def bindings(task, container="c0"):
    [found] = [c for c in task["containers"] if c["name"] == container]
    return found.get("networkBindings", [])


def stop(server, *arns):
    for arn in arns:
        server.client("ecs").stop_task(task=arn)
    for arn in arns:
        stopped(server, arn)


def is_free(port, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("0.0.0.0", port))
            return True
        except OSError:
            return False


def test_the_same_container_port_many_times(machine):
    """Scenario: dynamic host ports. Each task has one of its own, free again once the task has gone."""
    definition = define(machine, "dynamic", [sh(WEB % ("$HOSTNAME", 80), portMappings=[{"containerPort": 80}])])
    arns = run(machine, definition, count=3)
    ports = {}
    for arn in arns:
        task = running(machine, arn)
        assert task["launchType"] == "EC2"
        [binding] = bindings(task)
        assert (binding["bindIP"], binding["containerPort"], binding["protocol"]) == ("0.0.0.0", 80, "tcp")
        assert 32768 <= binding["hostPort"] <= 60999
        assert not is_free(binding["hostPort"])
        ports[arn] = binding["hostPort"]
    assert len(set(ports.values())) == 3
    assert len({fetch(f"127.0.0.1:{port}") for port in ports.values()}) == 3, "three host names"
    stop(machine, *arns)
    for port in ports.values():
        assert is_free(port)


def test_a_fixed_port_is_the_machines(machine):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    definition = define(machine, "fixed", [sh(WEB % ("fixed", 80), portMappings=[{"containerPort": 80, "hostPort": port}])])
    [arn] = run(machine, definition)
    assert bindings(running(machine, arn)) == [
        {"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": port, "protocol": "tcp"}]
    assert fetch(f"127.0.0.1:{port}") == "fixed\n"
    answer = machine.client("ecs").run_task(taskDefinition=definition, launchType="EC2")
    assert [f["reason"] for f in answer["failures"]] == ["RESOURCE:PORTS"]
    stop(machine, arn)
    [again] = run(machine, definition)
    running(machine, again)
    assert fetch(f"127.0.0.1:{port}") == "fixed\n"
    stop(machine, again)


def test_a_port_that_another_program_has(machine):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        [arn] = run(machine, define(machine, "taken", [sh(EXIT, portMappings=[{"containerPort": 80, "hostPort": port}])]))
        task = stopped(machine, arn)
    assert task["stopCode"] == "TaskFailedToStart"
    [container] = task["containers"]
    assert container["reason"].startswith("CannotStartContainerError: "), container
    assert "driver failed programming external connectivity" in container["reason"]
    assert f"listen tcp4 0.0.0.0:{port}: bind: address already in use" in container["reason"]
    assert "exitCode" not in container


def test_a_range_of_ports(machine):
    mapping = {"containerPortRange": "8000-8003", "protocol": "tcp"}
    script = "mkdir -p /www; echo range > /www/index.html; trap 'exit 0' TERM; httpd -p 8002 -h /www; while :; do sleep 0.1; done"
    [arn] = run(machine, define(machine, "range", [sh(script, portMappings=[mapping])]))
    [binding] = bindings(running(machine, arn))
    assert (binding["bindIP"], binding["containerPortRange"], binding["protocol"]) == ("0.0.0.0", "8000-8003", "tcp")
    first, last = map(int, binding["hostPortRange"].split("-"))
    assert last - first == 3
    assert fetch(f"127.0.0.1:{first + 2}") == "range\n"
    stop(machine, arn)


def test_datagrams(machine):
    """Nobody listens in the container, so its kernel refuses what arrives; the machine itself would have kept it."""
    [arn] = run(machine, define(machine, "udp", [sh(EXIT, portMappings=[{"containerPort": 5300, "protocol": "udp"}])]))
    [binding] = bindings(running(machine, arn))
    assert (binding["containerPort"], binding["protocol"]) == (5300, "udp")
    assert not is_free(binding["hostPort"], socket.SOCK_DGRAM)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect(("127.0.0.1", binding["hostPort"]))
        client.send(b"ping")
        with pytest.raises(ConnectionRefusedError):
            client.recv(16)
    stop(machine, arn)
    assert is_free(binding["hostPort"], socket.SOCK_DGRAM)


def test_links_and_names(machine):
    names = sh("""exec 2>&1; hostname; cat /etc/hosts /etc/resolv.conf
for at in cache redis; do until wget -qO- http://$at/; do sleep 0.1; done; done""", "web", links=["redis:cache"],
               hostname="shop.example", extraHosts=[{"hostname": "db.example", "ipAddress": "10.1.1.1"}],
               dnsServers=["10.9.9.9"], dnsSearchDomains=["corp.example"],
               dependsOn=[{"containerName": "redis", "condition": "START"}])
    redis = sh(WEB % ("linked", 80), "redis")
    [arn] = run(machine, define(machine, "links", [names, redis]))
    stopped(machine, arn)
    lines = log(machine, "links", arn, "web")
    assert lines[0] == "shop.example"
    assert "10.1.1.1\tdb.example" in lines
    assert "nameserver 10.9.9.9" in lines and "search corp.example" in lines
    [link] = [line.split() for line in lines if line.endswith(" redis")]
    assert link[1] == "cache"
    own = [line.split() for line in lines if "shop.example" in line and "\t" in line]
    assert own[0][1:] == ["shop.example", "shop"] and own[0][0] != link[0]
    assert lines.count("linked") == 2


def test_a_container_without_network(machine):
    lines = printed(machine, "ip -o link show | grep -c .; hostname | grep -c '^[0-9a-f]\\{12\\}$'", disableNetworking=True)
    assert lines == ["1", "1"]


def test_mode_none(machine):
    [arn] = run(machine, define(machine, "none", [sh("exec 2>&1; ip -o link show | grep -c .; cat /etc/hosts")], "none"))
    task = stopped(machine, arn)
    lines = log(machine, "none", arn)
    assert lines[:2] == ["1", "127.0.0.1\tlocalhost"]
    assert bindings(task) == []


def test_mode_host(machine):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = f"exec 2>&1; hostname; ip -o link show | grep -o 'boxship[0-9]*' | head -n 1; {WEB % ('on the host', port)}"
    container = sh(script, portMappings=[{"containerPort": port, "hostPort": port}])
    [arn] = run(machine, define(machine, "host", [container], "host"))
    task = running(machine, arn)
    assert [b["hostPort"] for b in bindings(task)] == [port]
    assert fetch(f"127.0.0.1:{port}") == "on the host\n"
    stop(machine, arn)
    name, bridge = log(machine, "host", arn)[:2]
    assert name == os.uname().nodename and bridge.startswith("boxship")


@pytest.mark.parametrize("mode", ["bridge", "host"])
def test_the_platform_and_the_endpoint(machine, mode):
    """169.254.170.2 answers: the APIs at 4566 as to a task, metadata at 80."""
    script = f"""
{identity()} | grep -c GetCallerIdentityResult
timeout 5 wget -qO- --post-data '{{}}' http://169.254.170.2:4566/_boxship/reset 2>&1 | tail -n 1
wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task | grep -o '"LaunchType":"[A-Z0-9]*"'
"""
    lines = printed(machine, script, mode, f"platform-{mode}")
    assert int(lines[0]) >= 1
    assert "403" in lines[1]
    assert lines[2] == '"LaunchType":"EC2"'


def test_the_machines_loopback_is_out_of_reach(machine):
    server = socket.create_server(("127.0.0.1", 0))
    server.setblocking(False)
    port = server.getsockname()[1]
    lines = printed(machine, f"""
gateway=$(ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p')
for at in 127.0.0.1 $gateway 169.254.170.2; do nc -w 1 $at {port} </dev/null && echo heard; done
echo tried""")
    assert lines[-1] == "tried" and not any("heard" == line for line in lines)
    with pytest.raises(BlockingIOError):
        server.accept()
    server.close()


def test_containers_reach_tasks_with_interfaces(machine):
    """As an instance does that lies in the task's VPC."""
    arn = start(machine, WEB % ("in the VPC", 80), family="beside")
    task = running(machine, arn)
    at = {d["name"]: d["value"] for a in task["attachments"] for d in a["details"]}["privateIPv4Address"]
    fetch(at)
    assert printed(machine, f"timeout 5 wget -qO- http://{at}/") == ["in the VPC"]
    stop(machine, arn)


def test_published_ports_outlive_the_server(machine):
    """Killed, the server leaves packets to the kernel; started again it knows what is whose."""
    definition = define(machine, "outlives", [sh(WEB % ("still here", 80), portMappings=[{"containerPort": 80}])])
    [arn] = run(machine, definition)
    before = bindings(running(machine, arn))
    port = before[0]["hostPort"]
    assert fetch(f"127.0.0.1:{port}") == "still here\n"
    machine.kill()
    assert fetch(f"127.0.0.1:{port}") == "still here\n"
    machine.start()
    assert bindings(running(machine, arn)) == before
    assert fetch(f"127.0.0.1:{port}") == "still here\n"
    assert not is_free(port)
    [other] = run(machine, definition)
    assert bindings(running(machine, other))[0]["hostPort"] != port
    stop(machine, arn, other)
    assert is_free(port)


def test_faults(machine):
    """A black hole for a port from inside the task, felt by others and taken back."""
    hole = json.dumps({"Port": 80, "Protocol": "tcp", "TrafficType": "ingress"})
    loss = json.dumps({"LossPercent": 100, "Sources": ["0.0.0.0/0"]})
    late = json.dumps({"DelayMilliseconds": 10, "JitterMilliseconds": 0, "Sources": ["0.0.0.0/0"]})

    def ask(kind, action, body):
        return f"wget -qO- --post-data '{body}' $ECS_AGENT_URI/fault/v1/network-{kind}/{action} 2>&1; echo"
    script = f"""exec 2>&1
mkdir -p /www; echo web > /www/index.html; httpd -p 80 -h /www
{ask('blackhole-port', 'start', hole)}
{ask('blackhole-port', 'status', hole)}
timeout 1 wget -qO- http://127.0.0.1/ || echo unreachable
{ask('blackhole-port', 'stop', hole)}
timeout 1 wget -qO- http://127.0.0.1/ || echo unreachable
{ask('packet-loss', 'start', loss)}
timeout 1 wget -qO- http://169.254.170.2:4566/v2/ 2>&1 | grep -o 401
{ask('packet-loss', 'stop', loss)}
{ask('latency', 'start', late)}
"""
    arn = start(machine, script, family="faults", task={"enableFaultInjection": True})
    stopped(machine, arn)
    lines = [line for line in log(machine, "faults", arn) if line.strip() not in ("", "Terminated")]
    expected = ['{"Status":"running"}', '{"Status":"running"}', "unreachable", '{"Status":"stopped"}', "web",
                '{"Status":"running"}', "401", '{"Status":"stopped"}']
    assert [line.replace(" ", "") for line in lines[:8]] == expected, lines
    # Whether late or refused depends on the kernel; silence would be a lie.
    assert "running" in lines[8] or "400" in lines[8], lines
