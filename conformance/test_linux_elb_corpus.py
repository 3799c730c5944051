"""The corpus of requests (`data/balancer`) through the API: rules made by boto3, requests at the alias."""

import json
import pathlib
import socket

import pytest

from conftest import IS_ROOT, Server, needs_root, wait_for

pytestmark = needs_root

DATA = pathlib.Path(__file__).parent / "data" / "balancer"
# Forwards and transforms need targets; they are replayed in crates/proxy.
FILES = ["hosts", "paths", "headers", "queries", "sources", "priorities", "redirects"]
PORT = 8080


def tables():
    for name in FILES:
        for table in json.loads((DATA / f"{name}.json").read_text())["tables"]:
            if table["listener"]["Protocol"] == "HTTP":
                yield pytest.param(table, id=f"{name}: {table['about']}")


class Front:
    """A balancer that anyone may reach."""

    def __init__(self, server):
        self.server, self.elb = server, server.client("elbv2")
        ec2 = server.client("ec2")
        vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        group = ec2.create_security_group(GroupName="corpus", Description="corpus", VpcId=vpc)["GroupId"]
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[
            {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
        subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]]
        made = self.elb.create_load_balancer(Name="corpus", Subnets=subnets, SecurityGroups=[group])
        self.arn = made["LoadBalancers"][0]["LoadBalancerArn"]
        self.elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[self.arn], WaiterConfig={"Delay": 1})

    @property
    def alias(self):
        rows = json.loads(self.server.run("balancers", "--json").stdout)
        return next(row["alias"] for row in rows if row["arn"] == self.arn)

    def serve(self, shape):
        for listener in self.elb.describe_listeners(LoadBalancerArn=self.arn)["Listeners"]:
            self.elb.delete_listener(ListenerArn=listener["ListenerArn"])
        listener = self.elb.create_listener(
            LoadBalancerArn=self.arn, Protocol="HTTP", Port=PORT,
            DefaultActions=shape["DefaultActions"])["Listeners"][0]["ListenerArn"]
        refused = {}
        for rule in shape["Rules"]:
            try:
                self.elb.create_rule(ListenerArn=listener, **rule)
            except self.elb.exceptions.ClientError as error:
                refused[rule["Priority"]] = str(error)
        return refused


@pytest.fixture(scope="module")
def front():
    if not IS_ROOT:
        pytest.skip("left out: a balancer's addresses need root")
    server = Server("linux").start()
    try:
        yield Front(server)
    finally:
        server.down()


def ask(at, request):
    """Status, headers and body of the first answer."""
    with socket.create_connection((at, PORT), timeout=20) as stream:
        stream.sendall(request.encode())
        data = b""
        while b"\r\n\r\n" not in data:
            more = stream.recv(65536)
            assert more, f"no answer to {request!r}, but {data!r}"
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
        length = 0 if request.startswith("HEAD ") else int(headers.get("content-length", 0))
        while len(body) < length:
            more = stream.recv(65536)
            assert more, f"half an answer to {request!r}"
            body += more
        return int(lines[0].split(" ")[1]), headers, body.decode()


@pytest.mark.parametrize("table", tables())
def test_every_request_comes_to_its_rule(front, table):
    shape = table["listener"]
    refused = front.serve(shape)
    assert not refused, refused
    at = front.alias
    actions = {rule["Priority"]: rule["Actions"][0] for rule in shape["Rules"]}
    actions[0] = shape["DefaultActions"][0]
    # A table is in force a moment after the answer to the call that made it.
    failures = []

    def all_fit():
        failures[:] = [failure for case in table["cases"] if (failure := fits(at, actions, case))]
        return not failures

    try:
        wait_for(all_fit, 10)
    except AssertionError:
        raise AssertionError("\n".join(failures)) from None


def fits(at, actions, case):
    """None, or what is wrong."""
    if case.get("from", "127.0.0.1") != "127.0.0.1":
        return None
    try:
        status, headers, body = ask(at, case["request"])
    except (OSError, AssertionError) as error:
        return f"{case['name']}: {error}"
    expect = case["expect"]
    action = actions[expect["rule"]]
    wanted = {"status": expect.get("status"), "location": expect.get("location"), "body": expect.get("body")}
    if action["Type"] == "fixed-response":
        fixed = action["FixedResponseConfig"]
        wanted["status"] = int(fixed["StatusCode"])
        wanted["body"] = "" if case["request"].startswith("HEAD ") else fixed["MessageBody"]
    got = {"status": status, "location": headers.get("location"), "body": body}
    wrong = {what: (got[what], value) for what, value in wanted.items() if value is not None and got[what] != value}
    return f"{case['name']}: {wrong}" if wrong else None
