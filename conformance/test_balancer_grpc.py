"""gRPC's own implementation as client and as target, with the data plane alone between them.

The plane is `cargo build -p proxy --example plane`, beside the binary that is tested or at $PLANE.
"""

import json
import os
import socket
import subprocess
import threading
from concurrent import futures
from pathlib import Path

import grpc
import pytest

SERVICE = "echo.Echo"


def plane_program():
    beside = Path(os.environ.get("BOXSHIP", "target/debug/boxship")).parent / "examples" / "plane"
    return Path(os.environ.get("PLANE", beside))


pytestmark = pytest.mark.skipif(not plane_program().exists(), reason="the example `plane` of crate proxy is not built")


def seconds(whole):
    return {"secs": whole, "nanos": 0}


def table(port, target, version):
    rule = {"arn": "rule", "priority": 0, "conditions": [], "rewrites": [],
            "action": {"Forward": {"groups": [{"group": "group", "weight": 1}], "sticky_for": None}}}
    check = {"protocol": "Http", "port": None, "path": "/AWS.ALB/healthcheck", "interval": seconds(5), "timeout": seconds(2),
             "healthy_after": 2, "unhealthy_after": 2,
             "matcher": {"Grpc": [[12, 12]]} if version == "Grpc" else {"Http": [[200, 499]]}}
    group = {"arn": "group", "id": "targetgroup/group/0123456789abcdef", "kind": "Ip", "protocol": "Http", "version": version,
             "check": check, "algorithm": "RoundRobin", "mitigates_anomalies": False, "stickiness": None,
             "slow_start_for": seconds(0), "deregistration_delay_for": seconds(300), "cross_zone": True,
             "healthy": {"dns_count": None, "dns_percent": None, "routing_count": None, "routing_percent": None},
             "targets": [{"id": "127.0.0.1", "port": target, "address": "127.0.0.1", "zone": None, "registered_at": 0,
                          "draining_until": None}]}
    listener = {"arn": "listener", "port": port, "protocol": "Https", "ssl_policy": "ELBSecurityPolicy-TLS13-1-2-2021-06",
                "certificates": ["certificate"], "headers": {"renamed": {}, "set": {}, "hides_server": False},
                "rules": [], "default": rule}
    attributes = {"idle_timeout_for": seconds(60), "client_keep_alive_for": seconds(3600), "desync": "Defensive",
                  "drops_invalid_headers": False, "preserves_host": False, "forwards_client_port": False,
                  "forwarded_for": "Append", "tells_tls": False, "http2": True, "cross_zone": True,
                  "access_log": None, "connection_log": None, "health_log": None}
    place = {"account": "000000000000", "region": "us-east-1", "vpc": "vpc-1", "vpc_cidr": "127.0.0.0/8", "on_host": True,
             "nodes": [{"zone": "us-east-1a", "subnet": "subnet-1", "eni": "eni-1", "address": "127.0.0.1"}],
             "alias": None, "security_groups": []}
    return {"arn": "balancer", "generation": 1, "kind": "Application", "id": "app/web/0123456789abcdef",
            "dns_name": "web.elb.localhost", "scheme": "InternetFacing", "place": place, "attributes": attributes,
            "listeners": [listener], "groups": {"group": group}}


def raw(kind, method):
    makers = {"unary_unary": grpc.unary_unary_rpc_method_handler, "unary_stream": grpc.unary_stream_rpc_method_handler,
              "stream_unary": grpc.stream_unary_rpc_method_handler, "stream_stream": grpc.stream_stream_rpc_method_handler}
    return makers[kind](method)


class Target:
    """A gRPC server whose messages are plain bytes."""

    def __init__(self):
        self.cancelled = threading.Event()
        handlers = {
            "Say": raw("unary_unary", self.say), "Count": raw("unary_stream", self.count),
            "Sum": raw("stream_unary", lambda messages, _: str(sum(map(int, messages))).encode()),
            "Echo": raw("stream_stream", lambda messages, _: messages),
            "Fail": raw("unary_unary", self.fail), "Forever": raw("unary_stream", self.forever),
        }
        self.server = grpc.server(futures.ThreadPoolExecutor(64), options=[("grpc.max_receive_message_length", -1)])
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def say(self, message, context):
        context.send_initial_metadata([("x-first", "1")])
        context.set_trailing_metadata([("x-last", "2"), ("x-bin-bin", b"\x00\xff")])
        return message

    def count(self, message, _):
        for number in range(int(message)):
            yield str(number).encode()

    def fail(self, message, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, message.decode())

    def forever(self, _, context):
        context.add_callback(self.cancelled.set)
        yield b"begun"
        self.cancelled.wait(60)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    home = tmp_path_factory.mktemp("grpc")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", home / "key", "-out", home / "chain"],
                   check=True, capture_output=True)
    target = Target()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([plane_program(), "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def tell(what):
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer.startswith("ok"), answer

    tell({"certificate": {"arn": "certificate", "chain": (home / "chain").read_text(), "key": (home / "key").read_text()}})
    tell({"balancer": table(port, target.port, "Grpc")})
    trust = grpc.ssl_channel_credentials((home / "chain").read_bytes())
    with grpc.secure_channel(f"localhost:{port}", trust, [("grpc.max_receive_message_length", -1)]) as channel:
        yield channel, target
    process.stdin.close()
    process.wait(20)
    target.server.stop(None)


def call(stage, kind, method):
    return getattr(stage[0], kind)(f"/{SERVICE}/{method}")


def test_unary_calls_carry_metadata(stage):
    answer, details = call(stage, "unary_unary", "Say").with_call(b"hello", timeout=20, wait_for_ready=True,
                                                                  metadata=[("x-asked", "yes")])
    assert answer == b"hello"
    assert ("x-first", "1") in details.initial_metadata()
    assert {("x-last", "2"), ("x-bin-bin", b"\x00\xff")} <= set(details.trailing_metadata())


def test_large_messages_pass(stage):
    message = os.urandom(8 << 20)
    assert call(stage, "unary_unary", "Say")(message, timeout=60) == message


def test_streams_pass_in_each_direction(stage):
    counted = list(call(stage, "unary_stream", "Count")(b"10000", timeout=60))
    assert counted == [str(number).encode() for number in range(10_000)]
    assert call(stage, "stream_unary", "Sum")((str(number).encode() for number in range(10_000)), timeout=60) == b"49995000"


def test_ten_thousand_messages_go_to_and_fro(stage):
    asked, more = [], threading.Semaphore(0)

    def messages():
        for number in range(10_000):
            # Each waits for the echo of the one before it: nothing is kept back on the way.
            if number:
                assert more.acquire(timeout=20)
            asked.append(number)
            yield str(number).encode()

    for number, echo in enumerate(call(stage, "stream_stream", "Echo")(messages(), timeout=120)):
        assert echo == str(number).encode()
        more.release()
    assert len(asked) == 10_000


def test_statuses_pass(stage):
    with pytest.raises(grpc.RpcError) as failed:
        call(stage, "unary_unary", "Fail")("schön".encode(), timeout=20)
    assert failed.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert failed.value.details() == "schön"
    with pytest.raises(grpc.RpcError) as unknown:
        call(stage, "unary_unary", "Nothing")(b"", timeout=20)
    assert unknown.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_who_cancels_is_heard_by_the_target(stage):
    running = call(stage, "unary_stream", "Forever")(b"", timeout=60)
    assert next(running) == b"begun"
    running.cancel()
    assert stage[1].cancelled.wait(20)


def test_many_calls_at_once(stage):
    say = call(stage, "unary_unary", "Say")
    running = [say.future(str(number).encode(), timeout=60) for number in range(2_000)]
    assert [one.result() for one in running] == [str(number).encode() for number in range(2_000)]
