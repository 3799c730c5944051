"""Targets and clients that misbehave: each meets the answer that an ALB gives, and nobody else notices."""

import contextlib
import http.client
import os
import resource
import socket
import struct
import threading
from pathlib import Path

import pytest

from conftest import IS_ROOT, Server, needs_root, wait_for

pytestmark = needs_root

IS_LONG = bool(os.environ.get("BOXSHIP_LONG"))
IDLE_SECONDS = 3


class Target:
    """A target on the host that does to each request what `behave` says; health checks are answered as they should be."""

    def __init__(self, behave):
        self.behave = behave
        self.seen = []
        self.listener = socket.create_server(("0.0.0.0", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(stream,), daemon=True).start()

    def serve(self, stream):
        with stream, contextlib.suppress(OSError):
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    got = stream.recv(65536)
                    if not got:
                        return
                    buffer += got
                head, buffer = buffer.split(b"\r\n\r\n", 1)
                if head.startswith(b"GET /health"):
                    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    continue
                self.seen.append(head)
                if self.behave(stream, head, buffer) is False:
                    return
                buffer = b""

    def close(self):
        self.listener.close()


def good(stream, head, rest):
    length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(rest) < length:
        got = stream.recv(65536)
        if not got:
            return False
        rest += got
    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ngood\n")


def hang(stream, head, rest):
    stream.recv(1)
    return False


def garbage(stream, head, rest):
    stream.sendall(b"\x00\xffno such thing as a status line\r\n\r\n")
    return False


def early(stream, head, rest):
    return False


def reset(stream, head, rest):
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def short(stream, head, rest):
    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nnot so much")
    return False


def long(stream, head, rest):
    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ngood\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")


def two_lengths(stream, head, rest):
    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\ngood\n")
    return False


def endless_headers(stream, head, rest):
    """A GiB of them, or as much as is taken."""
    stream.sendall(b"HTTP/1.1 200 OK\r\n")
    line = b"".join(b"x-%d: %s\r\n" % (number, b"y" * 1000) for number in range(64))
    for _ in range((1 << 30) // len(line)):
        stream.sendall(line)
    return False


def endless_line(stream, head, rest):
    stream.sendall(b"HTTP/1.1 200 OK\r\nx: ")
    for _ in range(1024):
        stream.sendall(b"y" * (1 << 20))
    return False


def broken_chunks(stream, head, rest):
    stream.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ngood\n\r\nnonsense\r\n")
    return False


def many_hints(stream, head, rest):
    """Interim answers without end."""
    for _ in range(100_000):
        stream.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
    return False


BEHAVIORS = {one.__name__.replace("_", "-"): one for one in
             [good, hang, garbage, early, reset, short, long, two_lengths, endless_headers, endless_line, broken_chunks, many_hints]}


class Stage:
    """A balancer with one target per behavior, each under a path of its own."""

    def __init__(self, server):
        self.server = server
        ec2, self.elb = server.client("ec2"), server.client("elbv2")
        vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        instance = ec2.describe_instances()["Reservations"][0]["Instances"][0]["InstanceId"]
        subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]]
        front = ec2.create_security_group(GroupName="front", Description="front", VpcId=vpc)["GroupId"]
        ec2.authorize_security_group_ingress(GroupId=front, IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
        inside = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
        balancer = self.elb.create_load_balancer(Name="hostile", Subnets=subnets, SecurityGroups=[front, inside])["LoadBalancers"][0]
        self.arn, self.name = balancer["LoadBalancerArn"], balancer["DNSName"]
        self.elb.modify_load_balancer_attributes(LoadBalancerArn=self.arn, Attributes=[
            {"Key": "idle_timeout.timeout_seconds", "Value": str(IDLE_SECONDS)}])
        listener = self.elb.create_listener(
            LoadBalancerArn=self.arn, Protocol="HTTP", Port=80,
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}])["Listeners"][0]["ListenerArn"]
        self.targets, groups = {}, []
        for priority, (name, behave) in enumerate(BEHAVIORS.items(), 1):
            target = self.targets[name] = Target(behave)
            group = self.elb.create_target_group(Name=name, Protocol="HTTP", Port=target.port, VpcId=vpc, TargetType="instance",
                                                 HealthCheckPath="/health", HealthCheckIntervalSeconds=5,
                                                 HealthCheckTimeoutSeconds=2)["TargetGroups"][0]["TargetGroupArn"]
            self.elb.create_rule(ListenerArn=listener, Priority=priority,
                                 Conditions=[{"Field": "path-pattern", "Values": [f"/{name}*"]}],
                                 Actions=[{"Type": "forward", "TargetGroupArn": group}])
            self.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": instance, "Port": target.port}])
            groups.append(group)
        self.elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[self.arn], WaiterConfig={"Delay": 1})
        for group in groups:
            self.elb.get_waiter("target_in_service").wait(TargetGroupArn=group, WaiterConfig={"Delay": 1})

    def connect(self, timeout=20):
        """To the balancer, through the one port: its name is in the requests."""
        stream = socket.create_connection(("127.0.0.1", self.server.port), timeout=timeout)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream

    def head(self, path, *lines, method="GET"):
        return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {self.name}", *lines, "", ""]).encode()

    def get(self, path, timeout=20):
        """The status, and the body as far as it came."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Host": self.name})
            answer = connection.getresponse()
            try:
                return answer.status, answer.read()
            except http.client.IncompleteRead as cut:
                return answer.status, cut.partial + b"[cut]"
        finally:
            connection.close()


@pytest.fixture(scope="module")
def stage():
    if not IS_ROOT:
        pytest.skip("left out: real containers need root")
    server = Server("linux", "--instance", "default").start()
    stage = Stage(server)
    yield stage
    for target in stage.targets.values():
        target.close()
    server.down()


@contextlib.contextmanager
def others(stage):
    """Four clients ask meanwhile for what is well, over connections that stay; each must get it every time."""
    stop, counts, failures = threading.Event(), [0] * 4, []

    def ask(number):
        connection = http.client.HTTPConnection("127.0.0.1", stage.server.port, timeout=30)
        try:
            while not stop.is_set():
                connection.request("GET", "/good", headers={"Host": stage.name})
                answer = connection.getresponse()
                got = answer.status, answer.read()
                if got != (200, b"good\n"):
                    failures.append(got)
                counts[number] += 1
        except Exception as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: all(counts) or failures, 30, "every client's first answer")
    yield
    before = list(counts)
    wait_for(lambda: all(now > then for now, then in zip(counts, before)) or failures, 30, "every client's next answer")
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not failures, failures[:5]


def resident_mib(server):
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1]) >> 10


@pytest.mark.parametrize("name, status", [
    ("hang", 504), ("garbage", 502), ("early", 502), ("reset", 502), ("two-lengths", 502), ("endless-headers", 502),
    ("endless-line", 502)])
def test_targets_that_do_not_answer_as_they_should(stage, name, status):
    before = resident_mib(stage.server)
    with others(stage):
        results = [None] * 8

        def ask(number):
            results[number] = stage.get(f"/{name}")
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(results))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert [answer[0] for answer in results] == [status] * len(results), results
    assert resident_mib(stage.server) < before + 64


def test_a_body_that_stays_short_shows_as_cut(stage):
    with others(stage):
        for _ in range(5):
            assert stage.get("/short") == (200, b"not so much[cut]")
            status, body = stage.get("/broken-chunks")
            assert status == 200 and body in (b"good\n[cut]", b"[cut]")


def test_bytes_behind_an_answer_are_nobodys(stage):
    with others(stage):
        for _ in range(20):
            status, body = stage.get("/long")
            # Found at once, the answer is no good; found later, the connection is.
            assert (status, body) == (200, b"good\n") or status == 502, (status, body)
            assert b"evil" not in body


def test_interim_answers_without_end(stage):
    with others(stage):
        status, body = stage.get("/many-hints", timeout=60)
        assert status == 502 or (status == 103 and b"good" not in body), (status, body)


def test_slow_clients_are_cut_off(stage):
    """A head, byte by byte; one that stops half-way; a body that does not come."""
    with others(stage):
        heads = [stage.head("/good"), stage.head("/good", "Content-Length: 100", method="POST")]
        slow = [stage.connect() for _ in range(200)]
        for number, stream in enumerate(slow):
            stream.sendall(heads[number % 2][:-1] if number % 2 == 0 else heads[1])
        for number, stream in enumerate(slow):
            answer = b""
            with contextlib.suppress(ConnectionError):
                while got := stream.recv(65536):
                    answer += got
            # AWS: 408 if it came so far that it was a request, or the connection just ends.
            assert answer == b"" or answer.startswith(b"HTTP/1.1 408"), (number, answer)
            stream.close()


@pytest.mark.parametrize("lines, statuses", [
    (["x: " + "y" * 20_000], {400}),
    ([f"x-{number}: {'y' * 1000}" for number in range(80)], {400}),
    ([f"x-{number}: y" for number in range(20_000)], {400})])
def test_header_bombs(stage, lines, statuses):
    with others(stage):
        for _ in range(20):
            with stage.connect() as stream:
                answer = b""
                with contextlib.suppress(ConnectionError):
                    stream.sendall(stage.head("/good", *lines))
                with contextlib.suppress(ConnectionError):
                    while got := stream.recv(65536):
                        answer += got
                assert answer == b"" or int(answer.split(b" ")[1]) in statuses, answer[:200]
    assert not any(b"x-79" in head for head in stage.targets["good"].seen)


def test_a_long_line_is_refused(stage):
    with others(stage), stage.connect() as stream:
        with contextlib.suppress(ConnectionError):
            stream.sendall(stage.head("/good?" + "y" * 20_000))
        answer = b""
        with contextlib.suppress(ConnectionError):
            while got := stream.recv(65536):
                answer += got
        assert answer == b"" or answer.startswith((b"HTTP/1.1 414", b"HTTP/1.1 400")), answer[:200]


def test_clients_that_close_their_side(stage):
    """Gone or not is for the balancer to say: the answer comes whole, or not at all."""
    with others(stage):
        for _ in range(50):
            with stage.connect() as stream:
                stream.sendall(stage.head("/good"))
                stream.shutdown(socket.SHUT_WR)
                answer = b""
                while got := stream.recv(65536):
                    answer += got
                assert answer == b"" or (answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"good\n")), answer


def test_resets_within_a_body(stage):
    with others(stage):
        for number in range(200):
            stream = stage.connect()
            stream.sendall(stage.head("/good", "Content-Length: 1000000", method="POST") + b"x" * (number * 100))
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.close()


def test_clients_that_leave_before_the_answer(stage):
    with others(stage):
        for _ in range(100):
            with stage.connect() as stream:
                stream.sendall(stage.head("/hang"))


def test_idle_connections_cost_nobody_anything(stage):
    """They asked once and stay; new ones are served all the same."""
    count = 8_000 if IS_LONG else 1_000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = []
    before = resident_mib(stage.server)
    try:
        with others(stage):
            for _ in range(count):
                stream = stage.connect()
                held.append(stream)
                stream.sendall(stage.head("/good"))
                assert stream.recv(4096).startswith(b"HTTP/1.1 200")
            assert stage.get("/good") == (200, b"good\n")
            assert resident_mib(stage.server) < before + 64
    finally:
        for stream in held:
            stream.close()


def test_nothing_lingers(stage):
    """After all that the server has as many open files as a server with a few connections has."""
    descriptors = Path(f"/proc/{stage.server.process.pid}/fd")
    wait_for(lambda: len(list(descriptors.iterdir())) < 400, 30, "the connections' end")
    assert stage.get("/good") == (200, b"good\n")
    assert "panicked" not in stage.server.text()
