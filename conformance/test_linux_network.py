"""The network of tasks: addresses, names, the platform inside, and what they do not reach."""

import http.server
import ipaddress
import socket
import threading

import pytest

from conftest import TRUST, address, fetch, log, needs_root, running, signature, stopped, wait_for
from toolbox import define, printed, run_task, start

pytestmark = needs_root

WEB = "mkdir -p /www; echo %s > /www/index.html; trap 'exit 0' TERM; httpd -p 80 -h /www; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def web(box):
    """A task that answers "web" on port 80."""
    arn = start(box, WEB % "web", family="web", portMappings=[{"containerPort": 80}])
    task = running(box, arn)
    assert fetch(address(task)) == "web\n"
    return task


def get(at, port=80, seconds=2):
    return f"{{ timeout {seconds} wget -qO- http://{at}:{port}/ 2>&1 || echo no answer; }}"


def identity(**who):
    """A shell command that asks the platform for its caller's identity."""
    return (f"timeout 5 wget -qO- --header 'Authorization: {signature('sts', **who)}' --header 'X-Amz-Date: 20260101T000000Z' "
            "--post-data 'Action=GetCallerIdentity&Version=2011-06-15' http://169.254.170.2:4566/")


def private(server):
    """RunTask's members for a task without a public address."""
    [subnet] = server.client("ec2").describe_subnets()["Subnets"][:1]
    return {"networkConfiguration": {"awsvpcConfiguration": {"subnets": [subnet["SubnetId"]], "assignPublicIp": "DISABLED"}}}


def start_private(server, script):
    ecs = server.client("ecs")
    definition = define(server, "private", [{"image": "toolbox", "entryPoint": ["/bin/sh", "-c"], "command": [script]}])
    return ecs.run_task(taskDefinition=definition, launchType="FARGATE", **private(server))["tasks"][0]["taskArn"]


@pytest.fixture
def listener():
    """A web server of the host's at an address; answers its port."""
    servers = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"host\n")

        def log_message(self, *_):
            pass

    def listen(at):
        servers.append(http.server.ThreadingHTTPServer((at, 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1].server_port

    yield listen
    for server in servers:
        server.shutdown()
        server.server_close()


def host_address():
    """An address of this machine beside loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("left out: this machine has no network beside loopback")
        return probe.getsockname()[0]


def test_address(box, web):
    """Of its subnet, the same in API and container, and of an interface that EC2 describes."""
    details = {d["name"]: d["value"] for a in web["attachments"] for d in a["details"]}
    ec2 = box.client("ec2")
    [subnet] = ec2.describe_subnets(SubnetIds=[details["subnetId"]])["Subnets"]
    at = ipaddress.ip_address(details["privateIPv4Address"])
    assert at in ipaddress.ip_network(subnet["CidrBlock"])
    [interface] = ec2.describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])["NetworkInterfaces"]
    assert interface["PrivateIpAddress"] == str(at)
    assert interface["MacAddress"] == details["macAddress"]
    assert web["containers"][0]["networkInterfaces"][0]["privateIpv4Address"] == str(at)


def test_interface_inside(box):
    arn = start(box, "ip -4 -o addr show scope global; ip -o link show | grep -c .; ip route; sleep 1", family="inside")
    task = stopped(box, arn)
    details = {d["name"]: d["value"] for a in task["attachments"] for d in a["details"]}
    lines = log(box, "inside", arn)
    assert details["privateIPv4Address"] in lines[0]
    assert lines[1] == "2", "loopback and one interface"
    assert lines[2].startswith("default via ")


def test_an_interface_goes_with_its_task(box):
    arn = start(box, "true", family="gone")
    task = stopped(box, arn)
    interface = {d["name"]: d["value"] for a in task["attachments"] for d in a["details"]}["networkInterfaceId"]
    assert task["attachments"][0]["status"] == "DELETED"
    found = box.client("ec2").describe_network_interfaces(Filters=[{"Name": "network-interface-id", "Values": [interface]}])
    assert found["NetworkInterfaces"] == []


def test_tasks_reach_each_other(box, web):
    at = address(web)
    name = "ip-" + at.replace(".", "-")
    lines = printed(box, f"{get(at)}; {get(name + '.ec2.internal')}; {get(name)}; ping -c 1 -W 2 {at} | grep -c '1 packets received'")
    assert lines == ["web", "web", "web", "1"], lines


def test_names(box, web):
    at = address(web)
    name = "ip-" + at.replace(".", "-") + ".ec2.internal"
    lines = printed(box, f"""
cat /etc/resolv.conf
nslookup {name} 172.31.0.2 | grep -A1 {name} | grep Address
nslookup {at} 172.31.0.2 | grep -o 'name = .*'
nslookup localhost 172.31.0.2 >/dev/null && echo localhost
nslookup missing.ec2.internal 172.31.0.2 | grep -o NXDOMAIN
""")
    assert lines[:2] == ["search ec2.internal", "nameserver 172.31.0.2"]
    assert lines[2].split()[-1] == at
    assert lines[3] == f"name = {name}"
    assert "NXDOMAIN" in lines[4:]


def test_the_platform_inside(box):
    """The AWS APIs answer at 169.254.170.2:4566; the operator's endpoints do not, and nobody else's port is there."""
    script = f"""
{identity(key="111122223333")} | grep -o '<Account>.*</Account>'
timeout 5 wget -qO- http://169.254.170.2:4566/v2/ 2>&1 | tail -n 1
timeout 5 wget -qO- http://169.254.170.2:4566/_boxship/health 2>&1 | tail -n 1
timeout 5 wget -qO- --post-data '{{}}' http://169.254.170.2:4566/_boxship/reset 2>&1 | tail -n 1
"""
    account, registry, health, reset = printed(box, script)
    assert account.startswith("<Account>")
    assert "401" in registry
    assert "403" in health
    assert "403" in reset


def test_the_platform_inside_without_a_way_out(box):
    arn = start_private(box, identity() + " | grep -c GetCallerIdentityResult")
    stopped(box, arn)
    assert int(log(box, "private", arn)[0]) >= 1


def test_the_hosts_loopback_is_out_of_reach(box, listener):
    port = listener("127.0.0.1")
    gateway = "$(ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p')"
    lines = printed(box, f"""
for at in 127.0.0.1 localhost {gateway} 169.254.170.2 172.31.0.2; do {get('$at', port)}; done
for at in 127.0.0.1 {gateway} 172.31.0.2; do {get('$at', box.port)}; done
echo tried""")
    assert lines[-1] == "tried"
    assert "host" not in lines
    assert lines.count("no answer") == 8


def test_the_way_out_needs_a_public_address(box, listener):
    at = host_address()
    port = listener("0.0.0.0")
    script = get(at, port)
    inside = start_private(box, script + "; echo tried")
    assert printed(box, script) == ["host"]
    stopped(box, inside)
    lines = log(box, "private", inside)
    assert lines[-1] == "tried"
    assert "host" not in lines


def test_two_vpcs_do_not_meet(box, web):
    """Another account's default VPC has the same addresses: equal ones run side by side, and neither sees the other."""
    at = address(web)
    other = {"account": "222233334444"}
    ecs, iam, ec2 = (box.client(name, **other) for name in ["ecs", "iam", "ec2"])
    ecs.create_cluster(clusterName="default")
    role = iam.create_role(RoleName="execution", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    subnets = ec2.describe_subnets()["Subnets"]
    mine = {s["CidrBlock"] for s in box.client("ec2").describe_subnets()["Subnets"]}
    assert {s["CidrBlock"] for s in subnets} == mine, "the same ranges in every account"

    def run(script):
        definition = ecs.register_task_definition(
            family="other", requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu="256", memory="512",
            executionRoleArn=role, containerDefinitions=[{
                "name": "c0", "image": "toolbox", "entryPoint": ["/bin/sh", "-c"], "command": [script],
                "logConfiguration": {"logDriver": "awslogs", "options": {
                    "awslogs-group": "/other", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "o",
                    "awslogs-create-group": "true"}}}])["taskDefinition"]["taskDefinitionArn"]
        [task] = ecs.run_task(taskDefinition=definition, launchType="FARGATE", networkConfiguration={
            "awsvpcConfiguration": {"subnets": [subnets[0]["SubnetId"]], "assignPublicIp": "ENABLED"}})["tasks"]
        arn = task["taskArn"]

        def state():
            task = ecs.describe_tasks(tasks=[arn])["tasks"][0]
            return task if task["lastStatus"] == "STOPPED" else None
        task = wait_for(state, 30)
        events = box.client("logs", **other).get_log_events(
            logGroupName="/other", logStreamName=f"o/c0/{arn.rsplit('/', 1)[1]}", startFromHead=True)["events"]
        return [event["message"] for event in events]

    # The address of the first account's task means nothing here, or another task.
    assert "web" not in run(f"{get(at)}; ping -c 1 -W 1 {at} | grep received")
    assert run("nslookup localhost 172.31.0.2 >/dev/null; ip -4 -o addr show scope global | grep -c 172.31.") == ["1"]
    assert fetch(at) == "web\n", "the first is as it was"


def test_stopped_tasks_leave_no_route(box):
    arn = start(box, WEB % "short", family="short")
    at = address(running(box, arn))
    fetch(at)
    box.client("ecs").stop_task(task=arn)
    stopped(box, arn)
    with pytest.raises(OSError):
        socket.create_connection((at, 80), timeout=1).close()
