"""The machine as an EC2 instance: in its VPC its private address leads to its ports, as its groups allow."""

import http.server
import json
import threading

import pytest

from conftest import IS_ROOT, Server, needs_root, running
from toolbox import printed, start

pytestmark = needs_root


@pytest.fixture(scope="module")
def server():
    if not IS_ROOT:
        pytest.skip("left out: real containers need root")
    server = Server("linux", "--instance", "default", "--allow-reset").start()
    yield server
    server.down()


@pytest.fixture
def port():
    """Of a web server on every address of the machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"machine\n")

        def log_message(self, *_):
            pass

    web = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield web.server_port
    web.shutdown()
    web.server_close()


def instance(server):
    [reservation] = server.client("ec2").describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": ["running"]}])["Reservations"]
    return reservation["Instances"][0]


def asked(server, port):
    """What a task of the default group gets at the machine's address."""
    at = instance(server)["PrivateIpAddress"]
    return printed(server, f"timeout 3 wget -qO- http://{at}:{port}/ 2>/dev/null || echo no answer")


def test_its_address_leads_to_it_as_its_groups_allow(server, toolbox_archive, port):
    server.run("image", "load", str(toolbox_archive), "toolbox")
    ec2 = server.client("ec2")
    one = instance(server)
    assert asked(server, port) == ["machine"]
    shut = ec2.create_security_group(GroupName="shut", Description="x")["GroupId"]
    ec2.modify_instance_attribute(InstanceId=one["InstanceId"], Groups=[shut])
    assert asked(server, port) == ["no answer"]
    [default] = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    ec2.authorize_security_group_ingress(GroupId=shut, IpPermissions=[
        {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [{"GroupId": default["GroupId"]}]}])
    assert asked(server, port) == ["machine"]
    # Its groups hold from the start of the next server on.
    ec2.revoke_security_group_ingress(GroupId=shut, SecurityGroupRuleIds=[
        rule["SecurityGroupRuleId"] for rule in ec2.describe_security_group_rules(
            Filters=[{"Name": "group-id", "Values": [shut]}])["SecurityGroupRules"] if not rule["IsEgress"]])
    server.kill()
    server.start()
    assert instance(server)["PrivateIpAddress"] == one["PrivateIpAddress"]
    assert asked(server, port) == ["no answer"]
    # Its own address in the VPC is no other network's.
    assert json.loads(server.get("/_boxship/health"))["warnings"] == []
    assert "does not reach this VPC" not in server.text()
    server.client("ec2").modify_instance_attribute(InstanceId=one["InstanceId"], Groups=[default["GroupId"]])
    server.kill()
    server.start()
    assert asked(server, port) == ["machine"]


def test_after_a_reset_it_is_there_again(server, toolbox_archive, port):
    before = instance(server)
    server.post("/_boxship/reset", {})
    after = instance(server)
    assert after["InstanceId"] != before["InstanceId"]
    server.run("image", "load", str(toolbox_archive), "toolbox")
    assert asked(server, port) == ["machine"]


def test_without_instance_it_leads_nowhere(server, toolbox_archive, port):
    server.run("image", "load", str(toolbox_archive), "toolbox")
    # A task that runs through the restart keeps the VPC where it is.
    arn = start(server, "sleep 600", family="through")
    running(server, arn)
    at = instance(server)["PrivateIpAddress"]
    ask = f"timeout 3 wget -qO- http://{at}:{port}/ 2>/dev/null || echo no answer"
    assert printed(server, ask) == ["machine"]
    server.kill()
    server.arguments = ("--allow-reset",)
    server.start()
    assert printed(server, ask) == ["no answer"]
    server.kill()
    server.arguments = ("--instance", "default", "--allow-reset")
    server.start()
    assert instance(server)["PrivateIpAddress"] == at
    assert printed(server, ask) == ["machine"]
