"""Application load balancers with real tasks behind them: the main story, as a user walks it."""

import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from conftest import BOXSHIP, IS_ROOT, Server, address, define, needs_root, network, running, stopped, wait_for
from toolbox import printed, run_task

pytestmark = needs_root

WEB = ("mkdir -p /www/cgi-bin /www/slow; echo $NAME > /www/index.html; cp /www/index.html /www/health; "
       "printf '#!/bin/sh\\necho; sleep 3; echo $NAME slowly\\n' > /www/cgi-bin/slow; chmod +x /www/cgi-bin/slow; "
       "trap 'exit 0' TERM; httpd -p 80 -h /www; while :; do sleep 0.1; done")


@pytest.fixture(scope="module")
def server(toolbox_archive):
    if not IS_ROOT:
        pytest.skip("left out: real containers need root")
    server = Server("linux").start()
    server.run("image", "load", str(toolbox_archive), "toolbox")
    yield server
    server.down()


class Web:
    """Tasks behind a balancer, with what it takes."""

    def __init__(self, server, name, tasks=3, listener=80):
        self.server, self.name = server, name
        self.ec2, self.elb = server.client("ec2"), server.client("elbv2")
        self.vpc = self.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        subnets = [one["SubnetId"] for one in self.ec2.describe_subnets()["Subnets"]]
        self.front = self.group("front", {"CidrIp": "0.0.0.0/0"})
        self.tasks, self.addresses = [], []
        back = self.ec2.create_security_group(GroupName=f"{name}-back", Description="tasks", VpcId=self.vpc)["GroupId"]
        self.ec2.authorize_security_group_ingress(GroupId=back, IpPermissions=[{
            "IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": self.front}]}])
        self.back = back
        started = [self.run(f"{name}{number}") for number in range(tasks)]
        self.names = [f"{name}{number}" for number in range(tasks)]
        self.tasks = started
        self.addresses = [address(running(server, arn)) for arn in started]
        balancer = self.elb.create_load_balancer(Name=name, Subnets=subnets, SecurityGroups=[self.front])["LoadBalancers"][0]
        self.arn, self.dns = balancer["LoadBalancerArn"], balancer["DNSName"]
        self.target_group = self.elb.create_target_group(
            Name=name, Protocol="HTTP", Port=80, VpcId=self.vpc, TargetType="ip", HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2, UnhealthyThresholdCount=2,
            HealthCheckPath="/health")["TargetGroups"][0]["TargetGroupArn"]
        self.elb.modify_target_group_attributes(TargetGroupArn=self.target_group, Attributes=[
            {"Key": "deregistration_delay.timeout_seconds", "Value": "5"}])
        self.listener = self.elb.create_listener(
            LoadBalancerArn=self.arn, Protocol="HTTP", Port=listener,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.target_group}])["Listeners"][0]["ListenerArn"]
        self.elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[self.arn], WaiterConfig={"Delay": 1})
        self.targets = [{"Id": at} for at in self.addresses]
        self.elb.register_targets(TargetGroupArn=self.target_group, Targets=self.targets)
        self.elb.get_waiter("target_in_service").wait(TargetGroupArn=self.target_group, WaiterConfig={"Delay": 1})

    def group(self, name, source):
        made = self.ec2.create_security_group(GroupName=f"{self.name}-{name}", Description=name, VpcId=self.vpc)["GroupId"]
        self.ec2.authorize_security_group_ingress(GroupId=made, IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [source]}])
        return made

    def run(self, name):
        definition = define(self.server, name, [{"image": "toolbox", "entryPoint": ["/bin/sh", "-c"], "command": [WEB],
                                                 "environment": [{"name": "NAME", "value": name}], "stopTimeout": 2}])
        where = network(self.server)
        where["awsvpcConfiguration"]["securityGroups"] = [self.back]
        ecs = self.server.client("ecs")
        ecs.create_cluster(clusterName="default")
        return ecs.run_task(taskDefinition=definition, launchType="FARGATE",
                            networkConfiguration=where)["tasks"][0]["taskArn"]

    @property
    def shown(self):
        return next(one for one in json.loads(self.server.run("balancers", "--json").stdout) if one["arn"] == self.arn)

    def states(self):
        health = self.elb.describe_target_health(TargetGroupArn=self.target_group)["TargetHealthDescriptions"]
        return {one["Target"]["Id"]: one["TargetHealth"]["State"] for one in health}

    def delete(self):
        self.elb.delete_load_balancer(LoadBalancerArn=self.arn)
        self.elb.get_waiter("load_balancers_deleted").wait(LoadBalancerArns=[self.arn], WaiterConfig={"Delay": 1})
        self.elb.delete_target_group(TargetGroupArn=self.target_group)
        for arn in self.tasks:
            self.server.client("ecs").stop_task(task=arn)
        for arn in self.tasks:
            stopped(self.server, arn)
        # AWS: the balancer's interfaces, and with them the group's users, go a little later.
        def gone():
            try:
                self.ec2.delete_security_group(GroupId=self.back)
                self.ec2.delete_security_group(GroupId=self.front)
                return True
            except self.ec2.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] == "DependencyViolation", error
                return False
        wait_for(gone, 20, "the security groups going")


def get(host, path="/", port=80, name=None, timeout=10):
    """Status and body of one request on a connection of its own."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": name} if name else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def web(server):
    web = Web(server, "web")
    yield web
    web.delete()


def test_requests_reach_every_target_by_alias_name_and_port(server, web):
    alias = web.shown["alias"]
    assert alias.startswith("127.")
    seen = {get(alias) for _ in range(12)}
    assert seen == {(200, f"{name}\n") for name in web.names}
    for name in [web.dns, f"{web.dns}:4566", f"p80.{web.dns}", web.dns.upper()]:
        status, body = get("127.0.0.1", port=server.port, name=name)
        assert (status, body.strip() in web.names) == (200, True), name
    assert get("127.0.0.1", port=server.port, name=f"p81.{web.dns}")[0] == 404
    # Everything else is as it was.
    assert get("127.0.0.1", "/_boxship/health", server.port)[0] == 200


def test_a_listed_balancer_says_how_it_is_reached(server, web):
    shown = web.shown
    assert shown["url"] == f"http://{web.dns}:{server.port}/"
    assert shown["aliasUrl"] == f"http://{shown['alias']}/"
    assert shown["targetGroups"] == [{"name": "web", "arn": web.target_group, "healthy": 3, "targets": 3}]
    table = server.run("balancers").stdout
    assert "3/3" in table and shown["url"] in table


def test_tasks_reach_it_by_its_name(server, web):
    lines = printed(server, f"nslookup {web.dns} | grep -c Address; timeout 5 wget -qO- http://{web.dns}/", family="asker")
    assert lines[-1] in web.names


def test_tasks_admit_the_balancer_alone(server, web):
    at = web.addresses[0]
    lines = printed(server, f"timeout 2 wget -qO- http://{at}/ || echo kept out", family="stranger")
    assert lines[-1] == "kept out"


def test_the_alias_follows_the_security_group(server, web):
    alias = web.shown["alias"]
    rule = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]

    def is_open():
        try:
            return get(alias)[0] == 200
        except ConnectionRefusedError:
            return False
    web.ec2.revoke_security_group_ingress(GroupId=web.front, IpPermissions=rule)
    wait_for(lambda: not is_open(), 5, "the alias closing")
    # The one port is the operator's own way in.
    assert get("127.0.0.1", port=server.port, name=web.dns)[0] == 200
    web.ec2.authorize_security_group_ingress(GroupId=web.front, IpPermissions=rule)
    wait_for(is_open, 5, "the alias opening")


def test_rules_answer_and_go(server, web):
    alias = web.shown["alias"]
    rule = web.elb.create_rule(
        ListenerArn=web.listener, Priority=10, Conditions=[{"Field": "path-pattern", "Values": ["/fixed/*"]}],
        Actions=[{"Type": "fixed-response", "FixedResponseConfig": {
            "StatusCode": "418", "ContentType": "text/plain", "MessageBody": "teapot"}}])["Rules"][0]["RuleArn"]
    wait_for(lambda: get(alias, "/fixed/1") == (418, "teapot"), 5, "the rule")
    web.elb.delete_rule(RuleArn=rule)
    wait_for(lambda: get(alias, "/fixed/1")[0] == 404, 5, "the rule going")


def secured(host, port, name, ca):
    """The body of one request over TLS, for whom `name` is the server."""
    context = ssl.create_default_context(cafile=ca)
    with socket.create_connection((host, port), timeout=10) as plain, context.wrap_socket(plain, server_hostname=name) as tls:
        tls.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: tls.recv(4096), b"")).decode()


def test_https_by_alias_and_through_the_one_port(server, web, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("left out: openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=web", "-addext", f"subjectAltName=DNS:{web.dns},DNS:p443.{web.dns}", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    arn = server.client("acm").import_certificate(Certificate=certificate.read_bytes(), PrivateKey=key.read_bytes())["CertificateArn"]
    rule = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    web.ec2.authorize_security_group_ingress(GroupId=web.front, IpPermissions=rule)
    listener = web.elb.create_listener(
        LoadBalancerArn=web.arn, Protocol="HTTPS", Port=443, Certificates=[{"CertificateArn": arn}],
        DefaultActions=[{"Type": "forward", "TargetGroupArn": web.target_group}])["Listeners"][0]["ListenerArn"]
    wait_for(lambda: is_open(web.shown["alias"], 443), 5, "the listener")
    for host, port, name in [(web.shown["alias"], 443, web.dns), ("127.0.0.1", server.port, web.dns),
                             ("127.0.0.1", server.port, f"p443.{web.dns}")]:
        answer = secured(host, port, name, certificate)
        assert answer.startswith("HTTP/1.1 200") and answer.rsplit(None, 1)[1] in web.names, (host, answer)
    web.elb.delete_listener(ListenerArn=listener)
    wait_for(lambda: not is_open(web.shown["alias"], 443), 5, "the listener going")
    web.ec2.revoke_security_group_ingress(GroupId=web.front, IpPermissions=rule)
    server.client("acm").delete_certificate(CertificateArn=arn)


def is_open(host, port):
    try:
        socket.create_connection((host, port), timeout=2).close()
        return True
    except ConnectionRefusedError:
        return False


def test_access_logs_are_kept(server, web):
    enabled = [{"Key": "access_logs.s3.enabled", "Value": "true"}, {"Key": "access_logs.s3.bucket", "Value": "bucket"},
               {"Key": "access_logs.s3.prefix", "Value": "web"}]
    web.elb.modify_load_balancer_attributes(LoadBalancerArn=web.arn, Attributes=enabled)
    logs = server.client("logs")

    def lines():
        assert get(web.shown["alias"], "/asked?by=test")[0] == 404
        group = "/aws/elasticloadbalancing/bucket/web"
        try:
            streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
        except logs.exceptions.ResourceNotFoundException:
            return None
        events = [logs.get_log_events(logGroupName=group, logStreamName=one["logStreamName"])["events"] for one in streams]
        return [event["message"] for one in events for event in one]
    found = wait_for(lines, 10, "a line")
    assert found[0].startswith("http ") and f"http://{web.shown['alias']}:80/asked?by=test HTTP/1.1" in found[0], found[0]
    web.elb.modify_load_balancer_attributes(
        LoadBalancerArn=web.arn, Attributes=[{"Key": "access_logs.s3.enabled", "Value": "false"}])


def test_a_port_that_is_taken_is_a_warning_until_it_is_free(server, web):
    alias = web.shown["alias"]
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        rule = [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        web.ec2.authorize_security_group_ingress(GroupId=web.front, IpPermissions=rule)
        listener = web.elb.create_listener(
            LoadBalancerArn=web.arn, Protocol="HTTP", Port=port,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": web.target_group}])["Listeners"][0]["ListenerArn"]
        warning = f"{alias}:{port}"
        wait_for(lambda: warning in server.run("status").stdout, 5, "the warning")
        # Nothing else suffers.
        assert get(alias)[0] == 200
        assert get("127.0.0.1", port=server.port, name=f"p{port}.{web.dns}")[0] == 200
    wait_for(lambda: is_open(alias, port), 10, "the listener opening")
    assert get(alias, port=port)[0] == 200
    assert warning not in server.run("status").stdout
    web.elb.delete_listener(ListenerArn=listener)
    web.ec2.revoke_security_group_ingress(GroupId=web.front, IpPermissions=rule)


class Load:
    """Clients that ask without a pause; answers what failed."""

    def __init__(self, host, clients=4, keeps=False):
        self.host, self.keeps = host, keeps
        self.done, self.failed, self.is_over = 0, [], False
        self.longest = 0.0
        self.threads = [threading.Thread(target=self.ask) for _ in range(clients)]

    def ask(self):
        connection = None
        while not self.is_over:
            begun = time.monotonic()
            try:
                connection = connection or http.client.HTTPConnection(self.host, 80, timeout=10)
                connection.request("GET", "/")
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200:
                    self.failed.append((begun, answer.status, body[:80]))
                self.done += 1
                if not self.keeps:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                self.failed.append((begun, repr(error)))
                connection = None
                time.sleep(0.01)
            self.longest = max(self.longest, time.monotonic() - begun)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.goes_on()
        return self

    def __exit__(self, *_):
        self.is_over = True
        for thread in self.threads:
            thread.join()

    def goes_on(self):
        """Waits until requests have been answered that were not asked before."""
        before = self.done
        wait_for(lambda: self.done > before + 8, 10, "requests being answered")


def test_a_deregistered_target_drains(server, web):
    alias, gone = web.shown["alias"], web.targets[0]
    slow = []
    asking = threading.Thread(target=lambda: slow.extend(get(alias, "/cgi-bin/slow") for _ in range(1)))
    asking.start()
    time.sleep(0.5)
    with Load(alias) as load:
        web.elb.deregister_targets(TargetGroupArn=web.target_group, Targets=[gone])
        assert web.states()[gone["Id"]] == "draining"
        load.goes_on()
        assert {get(alias)[1].strip() for _ in range(8)} == set(web.names[1:])
        asking.join()
        web.elb.get_waiter("target_deregistered").wait(
            TargetGroupArn=web.target_group, Targets=[gone], WaiterConfig={"Delay": 1})
        web.elb.register_targets(TargetGroupArn=web.target_group, Targets=[gone])
        web.elb.get_waiter("target_in_service").wait(
            TargetGroupArn=web.target_group, Targets=[gone], WaiterConfig={"Delay": 1})
        wait_for(lambda: get(alias)[1].strip() == web.names[0], 5, "the target being asked again")
    assert slow[0][0] == 200 and "slowly" in slow[0][1]
    assert not load.failed, load.failed[:3]


def test_a_killed_server_comes_back_with_its_balancers(server, web):
    alias = web.shown["alias"]
    begun = time.monotonic()
    server.kill()
    server.start()
    wait_for(lambda: answers(alias), 20, "the balancer answering again")
    print(f"no balancer for {time.monotonic() - begun:.3f} s, of which the start is most")
    assert set(web.states().values()) == {"healthy"}


def answers(host):
    try:
        return get(host)[0] == 200
    except OSError:
        return False


def test_requests_fail_only_while_a_killed_server_is_away(server, web):
    alias = web.shown["alias"]
    with Load(alias) as load:
        server.kill()
        server.start()
        load.goes_on()
        load.goes_on()
    answered = [one for one in load.failed if len(one) == 3]
    # No answer of a balancer that does not know its targets yet.
    assert not answered, answered[:3]
    gap = load.failed[-1][0] - load.failed[0][0] if load.failed else 0
    print(f"requests failed for {gap:.3f} s")


@pytest.fixture
def proxy(server):
    """The plane in a process of its own."""
    before = server.text().count("a proxy serves load balancers")
    process = subprocess.Popen([BOXSHIP, "--data-dir", server.data_dir, "proxy"], stdin=subprocess.DEVNULL,
                               stdout=server.log, stderr=server.log)
    wait_for(lambda: server.text().count("a proxy serves load balancers") > before, 10, "the proxy serving")
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def test_a_proxy_serves_while_the_server_is_away(server, web, proxy):
    alias = web.shown["alias"]
    with Load(alias) as load, Load(alias, keeps=True) as kept:
        server.kill()
        load.goes_on()
        time.sleep(1)
        load.goes_on()
        assert not load.failed, load.failed[:3]
        before = server.text().count("a proxy serves load balancers")
        server.start()
        wait_for(lambda: server.text().count("a proxy serves load balancers") > before, 10, "the server being followed")
        load.goes_on()
        # A change reaches it.
        rule = web.elb.create_rule(
            ListenerArn=web.listener, Priority=11, Conditions=[{"Field": "path-pattern", "Values": ["/new"]}],
            Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}])["Rules"][0]["RuleArn"]
        wait_for(lambda: get(alias, "/new")[0] == 200, 5, "the rule")
        web.elb.delete_rule(RuleArn=rule)
        status, body = get("127.0.0.1", port=server.port, name=web.dns)
        assert (status, body.strip() in web.names) == (200, True)
    assert not load.failed and not kept.failed, (load.failed[:3], kept.failed[:3])
    # Only what it is just answering goes with it.
    with Load(alias) as load:
        proxy.kill()
        proxy.wait()
        load.goes_on()
        load.goes_on()
    assert len(load.failed) <= 4, load.failed


def test_a_proxy_that_is_told_to_end_loses_nothing(server, web, proxy):
    with Load(web.shown["alias"]) as load:
        proxy.send_signal(signal.SIGTERM)
        load.goes_on()
        proxy.wait(timeout=30)
        load.goes_on()
    assert not load.failed, load.failed[:3]


def test_nothing_of_a_deleted_balancer_is_left(server):
    web = Web(server, "brief", tasks=1)
    alias = web.shown["alias"]
    nodes = [one["PrivateIpAddress"] for one in web.ec2.describe_network_interfaces()["NetworkInterfaces"]
             if "ELB app/brief/" in one.get("Description", "")]
    assert len(nodes) == 3, nodes
    inside = addresses_inside(server, web.vpc)
    assert set(nodes) <= inside, (nodes, inside)
    assert answers(alias)
    web.delete()
    wait_for(lambda: not set(nodes) & addresses_inside(server, web.vpc), 10, "the addresses going")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((alias, 80), timeout=2)
    assert not [one for one in web.ec2.describe_network_interfaces()["NetworkInterfaces"]
                if "ELB app/brief/" in one.get("Description", "")]
    assert get("127.0.0.1", port=server.port, name=web.dns)[0] != 421


def addresses_inside(server, vpc):
    name = hashlib.sha256(os.fsencode(server.data_dir.resolve())).hexdigest()[:8]
    netns = f"/run/boxship/{name}/netns/vpc@000000000000@us-east-1@{vpc}"
    shown = subprocess.run(["nsenter", f"--net={netns}", "ip", "-json", "-4", "address"], check=True, capture_output=True)
    return {one["local"] for link in json.loads(shown.stdout) for one in link["addr_info"]}
