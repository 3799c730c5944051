"""What every benchmark needs: a server of ours, raw HTTP, what a process costs, how figures are shown."""

import fcntl
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "target" / "bench"
BOXSHIP = Path(os.environ.get("BOXSHIP", ROOT / "target" / "release" / "boxship"))
TICK = os.sysconf("SC_CLK_TCK")


def sh(*command, **options):
    """Runs to the end; its error output is in the exception."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def wait_for(condition, seconds=60, what="a condition", every=0.01):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(every)
    raise TimeoutError(f"{what} did not come true within {seconds} s")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def debian(package, *programs):
    """Where a Debian package lies: the machine, or its content below target/bench/deb, not installed."""
    if programs and all(shutil.which(program) for program in programs):
        return Path("/")
    to = PLACE / "deb" / package
    if not to.exists():
        with tempfile.TemporaryDirectory(dir=PLACE) as scratch:
            sh("apt-get", "download", package, cwd=scratch)
            sh("dpkg", "-x", next(Path(scratch).glob("*.deb")), to)
    return to


@contextmanager
def linux_lock():
    """One server with real containers at a time owns the machine's route to its subnets."""
    with open("/run/lock/boxship-linux.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cpu_seconds(pid):
    """User and system time of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid):
    """KiB: resident, proportional, private."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {name: int(kib) for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
    return found["Rss"], found["Pss"], found["Private_Clean"] + found["Private_Dirty"]


def signature(service, region="us-east-1"):
    """Well formed; neither our open mode nor moto verifies it."""
    return (f"AWS4-HMAC-SHA256 Credential=000000000000/20260101/{region}/{service}/aws4_request, "
            f"SignedHeaders=host;x-amz-date;x-amz-target, Signature={'0' * 64}")


def json_request(port, operation, body, service="ecs", prefix="AmazonEC2ContainerServiceV20141113"):
    """The bytes of one request, to be sent again and again."""
    body = json.dumps(body).encode()
    head = (f"POST / HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/x-amz-json-1.1\r\n"
            f"X-Amz-Target: {prefix}.{operation}\r\nX-Amz-Date: 20260101T000000Z\r\n"
            f"Authorization: {signature(service)}\r\nContent-Length: {len(body)}\r\n\r\n")
    return head.encode() + body


def form_request(port, service, body):
    body = body.encode()
    head = (f"POST / HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"X-Amz-Date: 20260101T000000Z\r\nAuthorization: {signature(service)}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n")
    return head.encode() + body


class Raw:
    """A keep-alive connection that costs next to nothing itself."""

    def __init__(self, port):
        self.port = port
        self.connect()

    def connect(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def send(self, request):
        self.socket.sendall(request)

    def receive(self):
        """Status and body; reconnects where the server closes."""
        while b"\r\n\r\n" not in self.buffer:
            self.fill()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").lower().split("\r\n")
        fields = dict(line.split(":", 1) for line in lines[1:])
        if "chunked" in fields.get("transfer-encoding", ""):
            body = self.chunks()
        else:
            length = int(fields["content-length"])
            while len(self.buffer) < length:
                self.fill()
            body, self.buffer = self.buffer[:length], self.buffer[length:]
        if "close" in fields.get("connection", ""):
            self.socket.close()
            self.connect()
        return int(lines[0].split()[1]), body

    def chunks(self):
        body = b""
        while True:
            while b"\r\n" not in self.buffer:
                self.fill()
            size, self.buffer = self.buffer.split(b"\r\n", 1)
            size = int(size, 16)
            while len(self.buffer) < size + 2:
                self.fill()
            body += self.buffer[:size]
            self.buffer = self.buffer[size + 2:]
            if not size:
                return body

    def fill(self):
        got = self.socket.recv(1 << 18)
        if not got:
            raise ConnectionError("the server closed the connection")
        self.buffer += got

    def call(self, request):
        try:
            self.send(request)
            status, body = self.receive()
        except ConnectionError:
            # One that was idle for long: the server may close it.
            self.socket.close()
            self.connect()
            self.send(request)
            status, body = self.receive()
        if status >= 300:
            raise RuntimeError(f"{status}: {body[:500]}")
        return body


class Server:
    """A `boxship up` with a data directory of its own."""

    def __init__(self, runtime, *arguments):
        self.data_dir = Path(tempfile.mkdtemp(prefix="boxship-bench-", dir=PLACE))
        self.runtime, self.arguments = runtime, arguments

    def start(self):
        log = open(self.data_dir / "bench.log", "ab")
        self.process = subprocess.Popen(
            [BOXSHIP, "up", "--runtime", self.runtime, "--data-dir", self.data_dir, "--listen", "127.0.0.1:0",
             *self.arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        run = self.data_dir / "run.json"
        wait_for(lambda: run.exists() or self.process.poll() is not None, 30, "the server's start", 0.001)
        if self.process.poll() is not None:
            raise RuntimeError((self.data_dir / "bench.log").read_text())
        self.pid = self.process.pid
        self.port = int(json.loads(run.read_text())["listen"].rsplit(":", 1)[1])
        self.raw = Raw(self.port)
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        subprocess.run([BOXSHIP, "--data-dir", self.data_dir, "down", "--now"], capture_output=True)
        self.process.wait(30)
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def boxship(self, *arguments):
        return sh(BOXSHIP, "--data-dir", self.data_dir, *arguments)

    def ecs(self, operation, **body):
        return json.loads(self.raw.call(json_request(self.port, operation, body)))

    def logs(self, operation, **body):
        return json.loads(self.raw.call(json_request(self.port, operation, body, "logs", "Logs_20140328")))

    def form(self, service, body):
        return self.raw.call(form_request(self.port, service, body)).decode()

    def subnet(self):
        text = self.form("ec2", "Action=DescribeSubnets&Version=2016-11-15")
        return re.search(r"<subnetId>(.*?)</subnetId>", text)[1]

    def network(self):
        return {"awsvpcConfiguration": {"subnets": [self.subnet()], "assignPublicIp": "ENABLED"}}

    def role(self):
        trust = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
        from urllib.parse import quote
        text = self.form("iam", f"Action=CreateRole&Version=2010-05-08&RoleName=execution&AssumeRolePolicyDocument={quote(trust)}")
        return re.search(r"<Arn>(.*?)</Arn>", text)[1]


def spread(samples, unit="ms", scale=1000):
    """`p50 (p90)` of seconds."""
    ordered = sorted(samples)
    p90 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))]
    return f"{statistics.median(ordered) * scale:.1f} (p90 {p90 * scale:.1f}) {unit}"


def row(name, value, goal="", verdict=None):
    mark = "" if verdict is None else ("met" if verdict else "MISSED")
    print(f"  {name:<44} {value:<34} {goal:<16} {mark}", flush=True)


def title(text):
    print(f"\n{text}", flush=True)
