"""A server per module, and clients that know nothing of Boxship but its endpoint."""

import fcntl
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
import typing
import urllib.error
import urllib.request
import xml.etree.ElementTree
from pathlib import Path

import boto3
import botocore.config
import botocore.exceptions
import pytest

BOXSHIP = os.environ.get("BOXSHIP", "target/debug/boxship")
HELLO = os.environ.get("HELLO")
AWS_CLI = os.environ.get("AWS_CLI")
IS_ROOT = os.geteuid() == 0

needs_root = pytest.mark.skipif(not IS_ROOT, reason="left out: real containers need root")

TRUST = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
})


class Answer(typing.NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self):
        return self.body.decode(errors="replace")

    def json(self):
        return json.loads(self.body)

    def xml(self, tag):
        """Text of the first element of this name; none if there is none."""
        found = [e for e in xml.etree.ElementTree.fromstring(self.body).iter() if e.tag.rsplit("}", 1)[-1] == tag]
        return found[0].text if found else None


def signature(service="ecs", key="000000000000", region="us-east-1"):
    """An Authorization header that is well formed; open mode does not verify it."""
    return (f"AWS4-HMAC-SHA256 Credential={key}/20260101/{region}/{service}/aws4_request, "
            f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}")


def lock_host():
    """One server at a time can have the host's route to the default VPC."""
    lock = open(os.environ.get("BOXSHIP_TEST_LOCK", "/run/lock/boxship-linux.lock"), "w")
    def taken():
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
    wait_for(taken, 600, "the lock that servers of the linux runtime share")
    return lock


class Server:
    """A `boxship up` of the test's own. One of the linux runtime has the machine's network to itself."""

    def __init__(self, runtime, *arguments, data_dir=None, environment=None, listen="127.0.0.1:0"):
        self.runtime = runtime
        self.arguments = arguments
        self.environment = environment or {}
        self.listen = listen
        self.data_dir = Path(data_dir or tempfile.mkdtemp(prefix="boxship-test-"))
        self.process = None
        self.port = None
        self.inherit = ()
        self.lock = lock_host() if runtime == "linux" else None

    def start(self):
        run_file = self.data_dir / "run.json"
        run_file.unlink(missing_ok=True)
        self.log = open(self.data_dir / "test.log", "ab")
        listen = f"127.0.0.1:{self.port}" if self.port else self.listen
        self.process = subprocess.Popen(
            [BOXSHIP, "up", "--runtime", self.runtime, "--data-dir", self.data_dir, "--listen", listen, *self.arguments],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, env={**os.environ, **self.environment},
            pass_fds=self.inherit)
        wait_for(lambda: run_file.exists() or self.process.poll() is not None, 30)
        assert self.process.poll() is None, self.text()
        self.port = int(json.loads(run_file.read_text())["listen"].rsplit(":", 1)[1])
        assert json.loads(self.get("/_boxship/health"))["status"] == "ready"
        return self

    def text(self):
        return (self.data_dir / "test.log").read_text(errors="replace")

    @property
    def url(self):
        return f"http://localhost:{self.port}"

    @property
    def registry(self):
        return f"localhost:{self.port}"

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return answer.read().decode()

    def post(self, path, value):
        request = urllib.request.Request(self.url + path, json.dumps(value).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def advance(self, seconds):
        return self.post("/_boxship/clock", {"advance_seconds": seconds})

    def client(self, service, region="us-east-1", account="000000000000", **config):
        """`parameter_validation=False` sends what botocore itself would refuse."""
        return boto3.client(
            service, endpoint_url=self.url, region_name=region, aws_access_key_id=account, aws_secret_access_key="x",
            config=botocore.config.Config(retries={"max_attempts": 0}, **config))

    def send(self, method, path, body=b"", headers=(), timeout=30):
        """One HTTP request as it is, and its answer whatever the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def json_call(self, target, body, **headers):
        """An awsJson1.1 request with a body of any bytes. `None` leaves a header out."""
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": target, "x-amz-date": "20260101T000000Z",
                   "authorization": signature(), **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.send("POST", "/", body, {name: value for name, value in headers.items() if value is not None})

    def form_call(self, service, body, **headers):
        """A request of the query or ec2 protocol with a body of any bytes."""
        headers = {"content-type": "application/x-www-form-urlencoded", "x-amz-date": "20260101T000000Z",
                   "authorization": signature(service), **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.send("POST", "/", body, {name: value for name, value in headers.items() if value is not None})

    def run(self, *arguments, check=True, **options):
        """A boxship command against this server."""
        return subprocess.run([BOXSHIP, "--data-dir", self.data_dir, *arguments], check=check, text=True,
                              capture_output=True, timeout=120, **options)

    def aws(self, *arguments, check=True):
        """The AWS CLI against this server; answers parsed JSON."""
        if AWS_CLI is None:
            pytest.skip("left out: the AWS CLI is not installed")
        environment = {**os.environ, "AWS_ENDPOINT_URL": self.url, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
                       "AWS_ACCESS_KEY_ID": "000000000000", "AWS_SECRET_ACCESS_KEY": "x", "AWS_PAGER": ""}
        done = subprocess.run([AWS_CLI, *arguments], env=environment, text=True, capture_output=True, timeout=120)
        assert not check or done.returncode == 0, done.stderr
        if not check:
            return done
        return json.loads(done.stdout) if done.stdout.strip() else None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def down(self):
        """Ends everything, also a server that was killed; nothing may be left."""
        done = self.run("down", "--now", check=False)
        if self.process and self.process.poll() is None:
            self.process.wait(timeout=30)
        if self.lock:
            self.lock.close()
        assert done.returncode == 0, done.stderr + self.text()
        assert "panicked" not in self.text(), self.text()
        left = leftovers(self.data_dir)
        assert not left, f"left behind: {left}"
        shutil.rmtree(self.data_dir, ignore_errors=True)


def leftovers(data_dir):
    """Processes, mounts, namespaces and control groups that name the data directory."""
    import hashlib
    name = hashlib.sha256(os.fsencode(Path(data_dir).resolve())).hexdigest()[:8]
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(str(data_dir)) in command and b"pytest" not in command:
            found.append(f"process {process.name}: {command}")
    mounts = Path("/proc/self/mounts").read_text()
    found += [line for line in mounts.splitlines() if str(data_dir) in line or f"boxship/{name}" in line]
    found += [str(at) for at in Path("/run/boxship").glob(f"{name}*")] if Path("/run/boxship").exists() else []
    for root in [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*")]:
        if (root / f"boxship-{name}").exists():
            found.append(f"cgroup {root}/boxship-{name}")
    return found


def refused(code, call, text=None, **members):
    """Calls, and expects an error of this code, with this text in its message. Answers the message."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**members)
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    assert text is None or text in error["Message"], error
    return error["Message"]


def wait_for(condition, seconds, what="a condition"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {seconds} s")


@pytest.fixture(scope="module")
def simulated():
    server = Server("simulated", "--allow-reset").start()
    yield server
    server.down()


@pytest.fixture(scope="module")
def linux():
    if not IS_ROOT:
        pytest.skip("left out: real containers need root")
    server = Server("linux").start()
    yield server
    server.down()


@pytest.fixture(scope="session")
def hello_archive(tmp_path_factory):
    """The example image as an OCI archive."""
    archive = tmp_path_factory.mktemp("hello") / "hello.tar"
    subprocess.run([BOXSHIP, "image", "make", HELLO, str(archive), "--port", "80"], check=True)
    return archive


@pytest.fixture(scope="session")
def busybox_archive(tmp_path_factory):
    """A shell to run anything in: busybox as the entry point."""
    busybox = shutil.which("busybox")
    if busybox is None or b"statically" not in subprocess.run(["file", "-L", busybox], capture_output=True).stdout \
            and not Path("/usr/share/doc/busybox-static").exists():
        pytest.skip("left out: busybox-static is not installed")
    archive = tmp_path_factory.mktemp("busybox") / "busybox.tar"
    subprocess.run([BOXSHIP, "image", "make", busybox, str(archive)], check=True)
    return archive


@pytest.fixture(scope="session")
def toolbox_archive(tmp_path_factory):
    """An image to run anything in."""
    import toolbox
    return toolbox.archive(tmp_path_factory.mktemp("toolbox") / "toolbox.tar")


@pytest.fixture(scope="module")
def box(linux, toolbox_archive):
    """A server of the linux runtime that knows the image `toolbox`."""
    linux.run("image", "load", str(toolbox_archive), "toolbox")
    return linux


@pytest.fixture(scope="module")
def machine(toolbox_archive):
    """A server whose machine is a container instance of the default cluster, with `toolbox` and an execution role."""
    if not IS_ROOT:
        pytest.skip("left out: real containers need root")
    server = Server("linux", "--instance", "default").start()
    server.run("image", "load", str(toolbox_archive), "toolbox")
    execution_role(server)
    yield server
    server.down()


def execution_role(server):
    iam = server.client("iam")
    try:
        return iam.create_role(RoleName="execution", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    except iam.exceptions.EntityAlreadyExistsException:
        return iam.get_role(RoleName="execution")["Role"]["Arn"]


def subnet(server):
    return server.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]


def network(server):
    return {"awsvpcConfiguration": {"subnets": [subnet(server)], "assignPublicIp": "ENABLED"}}


def define(server, family, containers, **members):
    """Registers a Fargate task definition; containers get a name and awslogs."""
    for number, container in enumerate(containers):
        container.setdefault("name", f"c{number}")
        container.setdefault("essential", True)
        container.setdefault("logConfiguration", {"logDriver": "awslogs", "options": {
            "awslogs-group": "/test", "awslogs-region": "us-east-1", "awslogs-stream-prefix": family,
            "awslogs-create-group": "true"}})
    members = {"cpu": "256", "memory": "512", **members}
    answer = server.client("ecs").register_task_definition(
        family=family, requiresCompatibilities=["FARGATE"], networkMode="awsvpc",
        executionRoleArn=execution_role(server), containerDefinitions=containers, **members)
    return answer["taskDefinition"]["taskDefinitionArn"]


def run_task(server, definition, **members):
    ecs = server.client("ecs")
    ecs.create_cluster(clusterName="default")
    answer = ecs.run_task(taskDefinition=definition, launchType="FARGATE", networkConfiguration=network(server), **members)
    assert not answer["failures"], answer["failures"]
    return [task["taskArn"] for task in answer["tasks"]]


def describe(server, arn):
    return server.client("ecs").describe_tasks(tasks=[arn])["tasks"][0]


def stopped(server, arn, seconds=60):
    """The task once it has stopped."""
    def state():
        task = describe(server, arn)
        return task if task["lastStatus"] == "STOPPED" else None
    return wait_for(state, seconds, f"{arn} stopping")


def running(server, arn, seconds=60):
    def state():
        task = describe(server, arn)
        assert task["lastStatus"] != "STOPPED", task.get("stoppedReason")
        return task if task["lastStatus"] == "RUNNING" else None
    return wait_for(state, seconds, f"{arn} running")


def address(task):
    """The task's address in its subnet."""
    details = {d["name"]: d["value"] for a in task["attachments"] for d in a["details"]}
    return details["privateIPv4Address"]


def fetch(at, path="/", seconds=5):
    """GET from a task. RUNNING says that the program runs, not that it listens yet."""
    def answer():
        try:
            with urllib.request.urlopen(f"http://{at}{path}", timeout=5) as answer:
                return answer.read().decode()
        except urllib.error.URLError as error:
            if isinstance(error.reason, ConnectionRefusedError):
                return None
            raise
    return wait_for(answer, seconds, f"an answer of {at}")


def log(server, family, arn, container="c0"):
    """Lines of a container's log, oldest first."""
    logs = server.client("logs")
    task_id = arn.rsplit("/", 1)[1]
    lines, token = [], {}
    while True:
        page = logs.get_log_events(logGroupName="/test", logStreamName=f"{family}/{container}/{task_id}",
                                   startFromHead=True, **token)
        lines += [event["message"] for event in page["events"]]
        if not page["events"]:
            return lines
        token = {"nextToken": page["nextForwardToken"]}
