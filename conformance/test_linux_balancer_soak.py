"""Load at a balancer of the real server, while the API changes targets, rules and certificates, and targets are killed.

Twenty seconds in the gate; `BOXSHIP_LONG=1` goes on for ten minutes. `crates/proxy/tests/it/soak` asks the same of the
data plane alone, faster and for longer.
"""

import collections
import contextlib
import http.client
import json
import os
import random
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from conftest import IS_ROOT, Server, needs_root

pytestmark = needs_root

SECONDS = 600 if os.environ.get("BOXSHIP_LONG") else 20
GROUPS, EACH = 2, 3


class Target:
    """Answers with its group's name; a kill resets every connection and leaves nobody at the port."""

    def __init__(self, group):
        self.group, self.port, self.streams = group, 0, set()
        self.start()

    def start(self):
        self.listener = socket.create_server(("0.0.0.0", self.port), backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                stream, _ = listener.accept()
                self.streams.add(stream)
                threading.Thread(target=self.serve, args=(stream,), daemon=True).start()

    def serve(self, stream):
        with stream, contextlib.suppress(OSError):
            buffer, body = b"", b"group %d\n" % self.group
            while got := stream.recv(65536):
                buffer += got
                while b"\r\n\r\n" in buffer:
                    _, buffer = buffer.split(b"\r\n\r\n", 1)
                    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        self.streams.discard(stream)

    def kill(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for stream in list(self.streams):
            with contextlib.suppress(OSError):
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stream.shutdown(socket.SHUT_RDWR)


class World:
    def __init__(self, server, home):
        self.server, self.home, self.chance = server, home, random.Random(os.environ.get("BOXSHIP_SEED", "1"))
        ec2, self.elb, self.acm = (server.client(name) for name in ("ec2", "elbv2", "acm"))
        self.vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        self.instance = ec2.describe_instances()["Reservations"][0]["Instances"][0]["InstanceId"]
        front = ec2.create_security_group(GroupName="front", Description="front", VpcId=self.vpc)["GroupId"]
        ec2.authorize_security_group_ingress(GroupId=front, IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]} for port in (80, 443)])
        inside = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
        balancer = self.elb.create_load_balancer(
            Name="soak", Subnets=[one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]],
            SecurityGroups=[front, inside])["LoadBalancers"][0]
        self.arn, self.name = balancer["LoadBalancerArn"], balancer["DNSName"]
        self.certificate = self.acm.import_certificate(**self.fresh())["CertificateArn"]
        nothing = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
        self.listeners = [self.elb.create_listener(LoadBalancerArn=self.arn, DefaultActions=nothing, **one)["Listeners"][0]["ListenerArn"]
                          for one in ({"Protocol": "HTTP", "Port": 80},
                                      {"Protocol": "HTTPS", "Port": 443, "Certificates": [{"CertificateArn": self.certificate}]})]
        self.groups, self.targets, self.rules, self.registered = [], [], [], set()
        for number in range(GROUPS):
            group = self.elb.create_target_group(
                Name=f"soak{number}", Protocol="HTTP", Port=80, VpcId=self.vpc, TargetType="instance", HealthCheckIntervalSeconds=5,
                HealthCheckTimeoutSeconds=2, UnhealthyThresholdCount=2, HealthyThresholdCount=2)["TargetGroups"][0]["TargetGroupArn"]
            self.elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=[
                {"Key": "deregistration_delay.timeout_seconds", "Value": "300"}])
            self.groups.append(group)
            self.targets += [Target(number) for _ in range(EACH)]
            for listener in self.listeners:
                self.rules.append(self.elb.create_rule(
                    ListenerArn=listener, Priority=1000 + number, Actions=[{"Type": "forward", "TargetGroupArn": group}],
                    Conditions=[{"Field": "path-pattern", "Values": [f"/g{number}/*"]}])["Rules"][0]["RuleArn"])
        for target in self.targets:
            self.register(target)
        self.elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[self.arn], WaiterConfig={"Delay": 1})
        for group in self.groups:
            self.elb.get_waiter("target_in_service").wait(TargetGroupArn=group, WaiterConfig={"Delay": 1})

    def fresh(self):
        """A new certificate of the same kind, with a new key."""
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3",
                        "-subj", "/CN=soak", "-keyout", "key.pem", "-out", "cert.pem"], cwd=self.home, check=True, capture_output=True)
        return {"Certificate": (self.home / "cert.pem").read_bytes(), "PrivateKey": (self.home / "key.pem").read_bytes()}

    def register(self, target):
        self.elb.register_targets(TargetGroupArn=self.groups[target.group], Targets=[{"Id": self.instance, "Port": target.port}])
        self.registered.add(target)

    def deregister(self, target):
        self.elb.deregister_targets(TargetGroupArn=self.groups[target.group], Targets=[{"Id": self.instance, "Port": target.port}])
        self.registered.discard(target)

    def move_a_target(self, dead):
        target = self.chance.choice(self.targets)
        if target not in self.registered:
            self.register(target)
        elif sum(one.group == target.group for one in self.registered - dead) == EACH:
            self.deregister(target)

    def change_rules(self):
        """More and fewer rules that fit nobody, in front; the others change places and are written again."""
        listener = self.chance.choice(self.listeners)
        rules = self.elb.describe_rules(ListenerArn=listener)["Rules"]
        others = [one for one in rules if one["Priority"] != "default" and one["RuleArn"] not in self.rules]
        taken = {one["Priority"] for one in rules}
        if len(others) > 8:
            self.elb.delete_rule(RuleArn=self.chance.choice(others)["RuleArn"])
        elif str(priority := self.chance.randrange(1, 900)) not in taken:
            self.elb.create_rule(ListenerArn=listener, Priority=priority, Actions=[{"Type": "fixed-response", "FixedResponseConfig": {
                "StatusCode": "418"}}], Conditions=[{"Field": "path-pattern", "Values": [f"/nobody{priority}/*"]}])
        rule = self.chance.choice(self.rules)
        with contextlib.suppress(self.elb.exceptions.PriorityInUseException):
            self.elb.set_rule_priorities(RulePriorities=[{"RuleArn": rule, "Priority": self.chance.randrange(1000, 2000)}])

    def change_certificate(self):
        self.acm.import_certificate(CertificateArn=self.certificate, **self.fresh())


class Clients:
    """Ask for both groups over HTTP and HTTPS, and note when each asked and what came."""

    def __init__(self, host, name):
        self.host, self.name = host, name
        self.stop, self.wrong, self.counts = threading.Event(), [], collections.Counter()
        self.threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(6)]
        for thread in self.threads:
            thread.start()

    def connect(self, is_tls):
        if not is_tls:
            return http.client.HTTPConnection(self.host, 80, timeout=60)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(self.host, 443, timeout=60, context=context)

    def ask(self, number):
        chance, connection = random.Random(number), None
        while not self.stop.is_set():
            connection = connection or self.connect(number % 2 == 1)
            group, began = chance.randrange(GROUPS), time.monotonic()
            try:
                connection.request("GET", f"/g{group}/page", headers={"Host": self.name})
                answer = connection.getresponse()
                got = answer.status, answer.read()
            except Exception as error:
                got = repr(error), b""
            self.counts[number % 2] += 1
            if got != (200, b"group %d\n" % group):
                self.wrong.append((group, began, time.monotonic(), got))
            if got[0] != 200 or chance.random() < 0.02:
                connection.close()
                connection = None

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(90)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    if not IS_ROOT:
        pytest.skip("left out: real containers need root")
    server = Server("linux", "--instance", "default").start()
    world = World(server, tmp_path_factory.mktemp("soak"))
    yield world
    server.down()


def resident_mib(server):
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def test_only_requests_to_killed_targets_fail(world):
    alias = next(one for one in json.loads(world.server.run("balancers", "--json").stdout) if one["arn"] == world.arn)["alias"]
    clients, deaths, changes = Clients(alias, world.name), [], 0
    began, resident = time.monotonic(), None
    try:
        while time.monotonic() < began + SECONDS:
            changes += 1
            dead = {target for target, _, until in deaths if until is None}
            what = world.chance.randrange(10)
            if what < 4:
                world.move_a_target(dead)
            elif what < 7:
                world.change_rules()
            elif what < 9:
                world.change_certificate()
            elif dead:
                target = dead.pop()
                target.start()
                at = next(at for at, death in enumerate(deaths) if death[0] is target and death[2] is None)
                # Requests that met the closed port may still be on their way to an answer.
                time.sleep(0.2)
                deaths[at] = (target, deaths[at][1], time.monotonic())
            else:
                target = world.chance.choice(world.targets)
                if target in world.registered:
                    deaths.append((target, time.monotonic(), None))
                    target.kill()
            if resident is None and time.monotonic() > began + SECONDS / 5:
                resident = resident_mib(world.server)
            assert not (unexplained := list(not_killed(clients.wrong, deaths))), unexplained[:5]
    finally:
        clients.end()
    print(f"{dict(clients.counts)} requests, {changes} changes, {len(deaths)} kills; failed at killed targets: {len(clients.wrong)}; "
          f"resident {resident:.0f} → {resident_mib(world.server):.0f} MiB")
    assert not (unexplained := list(not_killed(clients.wrong, deaths))), unexplained[:5]
    assert min(clients.counts[0], clients.counts[1]) > 100
    if SECONDS > 60:
        assert resident_mib(world.server) < resident + 24


def not_killed(wrong, deaths):
    """What failed while no target of its group was dead, or in another way than a killed target explains."""
    for group, began, ended, got in list(wrong):
        was_dead = any(target.group == group and since <= ended and (until is None or until >= began)
                       for target, since, until in deaths)
        is_explained = got[0] in (502, 503, 504) or "IncompleteRead" in str(got[0])
        if not (was_dead and is_explained):
            yield group, began, ended, got
