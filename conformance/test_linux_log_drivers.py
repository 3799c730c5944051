"""Log drivers and modes: nothing lost where the container waits, what is lost counted where it does not, events
of several lines, and the drivers that send output elsewhere."""

import json
import re
import shutil
import socket
import threading

import pytest

from conftest import needs_root, stopped, wait_for
from test_linux_logs import events
from test_linux_stop_reasons import c, launch

pytestmark = needs_root


@pytest.fixture(scope="module")
def server(machine):
    return machine


def driver(name, **options):
    return {"logDriver": name, "options": {name.replace("_", "-"): value for name, value in options.items()}}


def awslogs(group, **options):
    return driver("awslogs", awslogs_group=group, awslogs_region="us-east-1", awslogs_stream_prefix="p",
                  awslogs_create_group="true", **options)


def run(server, script, log, on="EC2", **members):
    return launch(server, [c(script, logConfiguration=log, memory=128, **members)], on, family="drivers")


def messages(server, group, arn):
    return [event["message"] for event in events(server, group, arn)]


COUNT = 200_000


def test_blocking_loses_nothing(server):
    """200,000 lines as fast as they can be printed, through a buffer that waits: each once, in order."""
    arn = run(server, f"exec seq 1 {COUNT}", awslogs("/blocking", mode="blocking"))
    other = run(server, "for n in $(seq 1 50); do echo $n; sleep 0.05; done", awslogs("/beside"))
    assert stopped(server, arn)["containers"][0]["exitCode"] == 0
    found = messages(server, "/blocking", arn)
    assert len(found) == COUNT
    assert found == [str(n) for n in range(1, COUNT + 1)]
    # A neighbor's lines come whole meanwhile.
    stopped(server, other)
    assert messages(server, "/beside", other) == [str(n) for n in range(1, 51)]


def test_non_blocking_counts_what_it_drops(server):
    """A buffer that is much too small, and a container that goes on: what is kept is in order, the rest is counted."""
    script = f"seq 1 {COUNT}; echo done >> /v/done; while [ ! -e /v/go ]; do sleep 0.1; done"
    shared = server.data_dir / "shared"
    shared.mkdir(exist_ok=True)
    volume = {"volumes": [{"name": "v", "host": {"sourcePath": str(shared)}}]}
    arn = launch(server, [c(script, memory=128, logConfiguration=awslogs("/drops", mode="non-blocking", max_buffer_size="4k"),
                            mountPoints=[{"sourceVolume": "v", "containerPath": "/v"}])], family="drivers", **volume)
    task = arn.rsplit("/", 1)[1]
    wait_for(lambda: (shared / "done").exists(), 30, "the last line")
    [figures] = json.loads(server.run("stats", task, "--json").stdout)
    so_far = figures["droppedLines"]
    assert so_far > 0
    (shared / "go").touch()
    assert stopped(server, arn)["containers"][0]["exitCode"] == 0
    shutil.rmtree(shared)
    kept = [int(message) for message in messages(server, "/drops", arn)]
    assert kept == sorted(set(kept))
    told = [int(lines) for lines in re.findall(rf'lines of output were dropped.*?task="?{task}.*? lines=(\d+)', plain(server.text()))]
    assert told, "the server's log tells of it"
    assert told == sorted(told)
    assert told[-1] + len(kept) == COUNT, "each line is kept or counted"
    assert so_far <= told[-1]


def plain(text):
    """A log without its colors."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


STORY = r"""
printf '%s\n' 'INFO one' '  at a' '  at b' 'INFO two' 'INFO three' '  at c'"""
DATED = r"""
printf '%s\n' '[2026-11-21 10:00:01] one' 'more of one' '[2026-11-21 10:00:02] two' '[not a date] of two' '[2026-11-21 10:00:03] three'"""


@pytest.mark.parametrize("script, options, expected", [
    (STORY, {"awslogs_multiline_pattern": "^INFO"}, ["INFO one\n  at a\n  at b", "INFO two", "INFO three\n  at c"]),
    (DATED, {"awslogs_datetime_format": r"\[%Y-%m-%d %H:%M:%S\]"},
     ["[2026-11-21 10:00:01] one\nmore of one", "[2026-11-21 10:00:02] two\n[not a date] of two", "[2026-11-21 10:00:03] three"]),
], ids=["pattern", "datetime"])
def test_events_of_several_lines(server, script, options, expected):
    arn = run(server, script, awslogs("/several", **options), "FARGATE")
    stopped(server, arn)
    assert [message.rstrip("\n") for message in messages(server, "/several", arn)] == expected


def test_json_file(server):
    """Docker's files, which outlive their task; `boxship logs` reads all of one."""
    arn = run(server, "echo out; echo err >&2; seq 1 40000; printf 'no newline'; exit 3", driver("json-file"))
    task = arn.rsplit("/", 1)[1]
    assert stopped(server, arn)["containers"][0]["exitCode"] == 3
    wait_for(lambda: not (server.data_dir / "agent" / task / "task.json").exists(), 10, "the host's forgetting")
    shown = server.run("logs", task).stdout.splitlines()
    assert sorted(shown) == sorted(["out", "err", *(str(n) for n in range(1, 40001)), "no newline"])
    [path] = [path for path in (server.data_dir / "agent").rglob("*json.log") if task in str(path)]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["log"].rstrip("\n"): line["stream"] for line in lines}["err"] == "stderr"
    assert all(re.fullmatch(r"2\d{3}-\d\d-\d\dT[\d:.]+Z", line["time"]) for line in lines)


def test_json_file_is_rotated(server):
    arn = run(server, "seq 1 5000", driver("json-file", max_size="50k", max_file="3", compress="true"))
    stopped(server, arn)
    task = arn.rsplit("/", 1)[1]
    files = {path.name.split("json.log")[1]: path.stat().st_size for path in (server.data_dir / "agent").rglob("*json.log*") if task in str(path)}
    assert set(files) == {"", ".1.gz", ".2.gz"}, files
    assert max(files.values()) <= 50 * 1024 + 200


def test_none(server):
    arn = run(server, "seq 1 100000; exit 3", {"logDriver": "none"})
    assert stopped(server, arn)["containers"][0]["exitCode"] == 3
    shown = server.run("logs", arn.rsplit("/", 1)[1], check=False)
    assert shown.returncode != 0 or shown.stdout == ""
    assert "panicked" not in shown.stderr


def received(receiver, count):
    """So many datagrams."""
    receiver.settimeout(20)
    return [receiver.recv(65536).decode() for _ in range(count)]


SYSLOG = "echo one; sleep 0.3; echo two >&2"


def test_syslog_datagrams(server):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        at = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
        arn = run(server, SYSLOG, driver("syslog", syslog_address=at, syslog_facility="local0", syslog_format="rfc5424", tag="{{.Name}}"))
        lines = received(receiver, 2)
        stopped(server, arn)
    # local0 is 16: 16 × 8 + 6 and + 3.
    for line, (priority, text) in zip(lines, [(134, "one"), (131, "two")]):
        assert re.fullmatch(rf"<{priority}>1 2\S+Z \S+ (ecs-drivers-\d+-c0-\S+) \d+ \1 - {text}\n", line), line


@pytest.mark.parametrize("scheme, kind", [("unix", socket.SOCK_STREAM), ("unixgram", socket.SOCK_DGRAM), ("unix", socket.SOCK_DGRAM)])
def test_syslog_sockets(server, tmp_path, scheme, kind):
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, kind) as receiver:
        receiver.bind(str(path))
        if kind == socket.SOCK_STREAM:
            receiver.listen()
        arn = run(server, SYSLOG, driver("syslog", syslog_address=f"{scheme}://{path}", tag="web"))
        if kind == socket.SOCK_STREAM:
            lines = accepted(receiver, lambda data: data.count(b"\n") == 2).decode().splitlines()
        else:
            lines = [line.rstrip("\n") for line in received(receiver, 2)]
        stopped(server, arn)
    assert re.fullmatch(r"<30>[A-Z][a-z]{2} [ \d]\d [\d:]{8} web\[\d+\]: one", lines[0]), lines
    assert re.fullmatch(r"<27>[A-Z][a-z]{2} [ \d]\d [\d:]{8} web\[\d+\]: two", lines[1]), lines


def accepted(listener, is_whole):
    """What comes over all connections until it is whole: a driver may try its collector before it uses it."""
    listener.settimeout(20)
    data, done = bytearray(), threading.Event()
    def read(stream):
        while part := stream.recv(65536):
            data.extend(part)
            if is_whole(bytes(data)):
                done.set()
        stream.close()
    def serve():
        try:
            while not done.is_set():
                stream, _ = listener.accept()
                threading.Thread(target=read, args=(stream,), daemon=True).start()
        except OSError:
            pass
    threading.Thread(target=serve, daemon=True).start()
    assert done.wait(20), bytes(data)
    return bytes(data)


@pytest.mark.parametrize("is_unix", [False, True], ids=["tcp", "unix"])
def test_fluentd(server, tmp_path, is_unix):
    msgpack = pytest.importorskip("msgpack", reason="left out: msgpack is not installed")
    family = socket.AF_UNIX if is_unix else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind(str(tmp_path / "fluent") if is_unix else ("127.0.0.1", 0))
        listener.listen()
        at = f"unix://{tmp_path / 'fluent'}" if is_unix else f"127.0.0.1:{listener.getsockname()[1]}"
        log = driver("fluentd", fluentd_address=at, tag="app.{{.Name}}", labels="team", env="COLOR", fluentd_sub_second_precision="true")
        arn = run(server, SYSLOG, log, dockerLabels={"team": "red"}, environment=[{"name": "COLOR", "value": "blue"}])
        def read(data):
            unpacker = msgpack.Unpacker()
            unpacker.feed(data)
            return list(unpacker)
        found = read(accepted(listener, lambda data: len(read(data)) == 2))
        stopped(server, arn)
    assert [(source["source"], source["log"]) for _, _, source in found] == [("stdout", "one"), ("stderr", "two")]
    for tag, time, record in found:
        assert re.fullmatch(r"app\.ecs-drivers-\d+-c0-\S+", tag)
        assert (time.code, len(time.data)) == (0, 8)
        assert (record["team"], record["COLOR"], record["container_name"]) == ("red", "blue", f"/{tag[4:]}")


def test_the_accounts_default_mode(server):
    """Where a definition names no mode, the account's setting at the time of the run decides."""
    ecs = server.client("ecs")
    def dropped(mode):
        ecs.put_account_setting(name="defaultLogDriverMode", value=mode)
        arn = run(server, f"exec seq 1 {COUNT}", awslogs(f"/default-{mode}", max_buffer_size="4k"))
        stopped(server, arn)
        return COUNT - len(messages(server, f"/default-{mode}", arn))
    try:
        assert dropped("blocking") == 0
        assert dropped("non-blocking") > 0
    finally:
        ecs.delete_account_setting(name="defaultLogDriverMode")
