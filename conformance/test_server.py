"""The server as a program: how it starts, what it refuses, how it ends, and what is there afterwards."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error

import pytest

from conftest import BOXSHIP, TRUST, Server, define, describe, execution_role, refused, run_task, running, stopped, wait_for
from images import Registry, digest


@pytest.fixture
def server():
    server = Server("simulated").start()
    yield server
    server.down()


def boxship(*arguments, environment=None, timeout=30):
    """A command that is expected to end by itself."""
    return subprocess.run([BOXSHIP, *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **(environment or {})})


def fails(*arguments, environment=None):
    """Expects a refusal: a code that is not 0, and one clear line. Answers it."""
    done = boxship(*arguments, environment=environment)
    assert done.returncode not in (0, 101), done
    assert "panicked" not in done.stderr
    assert done.stderr.strip(), "a refusal says why"
    return done.stderr


UP = ["up", "--runtime", "simulated", "--listen", "127.0.0.1:0"]


# What it refuses to start with


def test_two_servers_on_one_data_directory(server):
    text = fails(*UP, "--data-dir", server.data_dir)
    assert "in use" in text and str(server.data_dir) in text
    assert json.loads(server.get("/_boxship/health"))["status"] == "ready"
    assert json.loads((server.data_dir / "run.json").read_text())["pid"] == server.process.pid, "the first one's file stays"


def test_two_servers_on_one_port(server, tmp_path):
    text = fails("up", "--runtime", "simulated", "--listen", f"127.0.0.1:{server.port}", "--data-dir", tmp_path)
    assert f"cannot listen on 127.0.0.1:{server.port}" in text


@pytest.mark.parametrize("arguments,said", [
    (["--auth", "enforce"], "--auth enforce is not built yet"),
    (["--listen", "0.0.0.0:0"], "reachable from other machines"),
    (["--listen", "[::]:0"], "reachable from other machines"),
    (["--listen", "nonsense"], "nonsense"),
    (["--runtime", "docker"], "docker"),
    (["--registry-mirror", "nonsense"], "nonsense"),
    (["--ghost"], "--ghost"),
    (["--config", "/does/not/exist.toml"], "/does/not/exist.toml"),
    (["--data-dir", "/dev/null/x"], "/dev/null"),
])
def test_options_that_are_refused(tmp_path, arguments, said):
    base = {"--runtime": "simulated", "--listen": "127.0.0.1:0", "--data-dir": str(tmp_path)}
    base.update(zip(arguments[::2], arguments[1::2]))
    line = [part for pair in base.items() for part in pair]
    text = fails("up", *line, *([arguments[0]] if len(arguments) == 1 else []))
    assert said in text


@pytest.mark.parametrize("content,said", [
    ("listen = 7", "listen"), ("ghost = 1", "ghost"), ("[", "configuration"), ('auth = "enforce"', "not built yet"),
    ('listen = "0.0.0.0:0"', "reachable from other machines"), ('runtime = "docker"', "docker"), ("\0", "configuration"),
])
def test_configuration_files_that_are_refused(tmp_path, content, said):
    file = tmp_path / "boxship.toml"
    file.write_text(content)
    text = fails("up", "--data-dir", tmp_path / "data", "--config", file)
    assert said in text


def test_a_data_directory_belongs_to_one_runtime(server):
    if os.geteuid() != 0:
        pytest.skip("left out: the linux runtime needs root")
    server.process.terminate()
    assert server.process.wait(30) == 0
    text = fails("up", "--runtime", "linux", "--listen", "127.0.0.1:0", "--data-dir", server.data_dir)
    assert "belongs to the simulated runtime" in text
    server.start()


def test_a_foreign_file_is_no_database(tmp_path):
    (tmp_path / "records.db").write_bytes(b"not a database" * 1000)
    text = fails(*UP, "--data-dir", tmp_path)
    assert "records" in text
    assert (tmp_path / "records.db").read_bytes().startswith(b"not a database"), "it is left alone"


def test_a_read_only_data_directory(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    line = [BOXSHIP, *UP, "--data-dir", str(data)]
    if os.geteuid() == 0:
        script = f"mount --bind {data} {data} && mount -o remount,ro,bind {data} && exec \"$@\""
        line = ["unshare", "--mount", "sh", "-c", script, "sh", *line]
    else:
        data.chmod(0o500)
    done = subprocess.run(line, capture_output=True, text=True, timeout=30)
    assert done.returncode not in (0, 101), done
    assert str(data) in done.stderr and re.search("[Rr]ead-only|[Pp]ermission denied", done.stderr), done.stderr


# Options from everywhere


def health(data):
    run = json.loads((data / "run.json").read_text())
    port = int(run["listen"].rsplit(":", 1)[1])
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/_boxship/health")
    return json.loads(connection.getresponse().read())


def test_options_from_a_file_from_variables_and_from_the_command_line(tmp_path):
    file, data = tmp_path / "boxship.toml", tmp_path / "data"
    file.write_text(f'listen = "127.0.0.1:0"\ndata-dir = "{data}"\nruntime = "simulated"\nallow-reset = true\nlog = "debug"\n')
    found = ["--config", str(file)]
    done = boxship(*found, "up", "--detach")
    assert done.returncode == 0, done
    try:
        assert health(data)["data_dir"] == str(data)
        assert "DEBUG" in (data / "boxship.log").read_text()
        status = boxship(*found, "status")
        assert status.returncode == 0, "every command finds its server by the same file: " + status.stderr
        assert boxship("status", environment={"BOXSHIP_CONFIG": str(file)}).returncode == 0
        assert boxship("status", environment={"BOXSHIP_DATA_DIR": str(data)}).returncode == 0
    finally:
        assert boxship(*found, "down").returncode == 0
    assert not (data / "run.json").exists()

    other = tmp_path / "other"
    variables = {"BOXSHIP_CONFIG": str(file), "BOXSHIP_DATA_DIR": str(other), "BOXSHIP_LOG": "error"}
    done = boxship("up", "--detach", environment=variables)
    assert done.returncode == 0, done
    try:
        assert health(other)["data_dir"] == str(other), "a variable beats the file"
        assert "DEBUG" not in (other / "boxship.log").read_text()
    finally:
        assert boxship("down", environment=variables).returncode == 0

    third = tmp_path / "third"
    done = boxship("up", "--detach", "--data-dir", third, "--log", "debug", environment=variables)
    assert done.returncode == 0, done
    try:
        assert health(third)["data_dir"] == str(third), "an option beats a variable"
        assert "DEBUG" in (third / "boxship.log").read_text()
    finally:
        assert boxship("down", "--data-dir", third, environment=variables).returncode == 0


def test_detached_servers_that_do_not_start(server):
    done = boxship("up", "--detach", "--runtime", "simulated", "--listen", "127.0.0.1:0", "--data-dir", server.data_dir)
    assert done.returncode != 0
    assert "in use" in done.stderr


def test_everybody_may_be_let_in_in_so_many_words(tmp_path):
    server = Server("simulated", "--auth", "open", data_dir=tmp_path / "data", listen="0.0.0.0:0")
    server.data_dir.mkdir()
    server.start()
    try:
        assert any("open to everybody" in warning for warning in json.loads(server.get("/_boxship/health"))["warnings"])
        assert server.client("sts").get_caller_identity()
    finally:
        server.down()


def test_reset_only_where_it_is_allowed(server):
    server.client("ecs").create_cluster(clusterName="kept")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        server.post("/_boxship/reset", {})
    assert server.client("ecs").list_clusters()["clusterArns"]


def test_reset(tmp_path):
    server = Server("simulated", "--allow-reset").start()
    try:
        [arn] = run_task(server, define(server, "gone", [{"image": "web:1"}]))
        running(server, arn)
        server.client("logs", account="123456789012").create_log_group(logGroupName="/gone")
        server.client("ecr").create_repository(repositoryName="gone")
        assert server.post("/_boxship/reset", {}) == {"status": "wiped"}
        assert server.client("ecs").list_clusters()["clusterArns"] == []
        assert server.client("ecs").list_task_definitions()["taskDefinitionArns"] == []
        assert server.client("iam").list_roles()["Roles"] == []
        assert server.client("ecr").describe_repositories()["repositories"] == []
        assert server.client("logs", account="123456789012").describe_log_groups()["logGroups"] == []
        refused("ClusterNotFoundException", server.client("ecs").describe_tasks, tasks=[arn])
        assert server.client("ec2").describe_vpcs()["Vpcs"], "default networks are there without a record"
        [arn] = run_task(server, define(server, "again", [{"image": "web:1"}]))
        assert arn.startswith("arn:") and running(server, arn)
    finally:
        server.down()


# Commands


def test_env(server):
    done = server.run("env", "--region", "eu-west-1", "--account", "123456789012")
    script = done.stdout + "echo $AWS_ENDPOINT_URL $AWS_REGION $AWS_DEFAULT_REGION $AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY"
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert shell.stdout.split() == [server.url, "eu-west-1", "eu-west-1", "123456789012", "boxship"]


def test_status_ps_and_logs(server):
    status = server.run("status")
    assert str(server.port) in status.stdout and "simulated" in status.stdout.lower()
    [arn] = run_task(server, define(server, "seen", [{"image": "web:1"}]))
    running(server, arn)
    identity = arn.rsplit("/", 1)[1]
    listed = server.run("ps")
    assert identity in listed.stdout and "seen:1" in listed.stdout and "RUNNING" in listed.stdout
    [row] = json.loads(server.run("ps", "--json").stdout)
    assert (row["task"], row["status"]) == (arn, "RUNNING")
    server.client("ecs").stop_task(task=arn)
    stopped(server, arn)
    assert identity not in server.run("ps").stdout
    assert identity in server.run("ps", "--all").stdout
    now = int(time.time() * 1000)
    logs = server.client("logs")
    logs.put_log_events(logGroupName="/test", logStreamName=f"seen/c0/{identity}", logEvents=[
        {"timestamp": now, "message": "one"}, {"timestamp": now, "message": "two"}])
    assert server.run("logs", identity).stdout.splitlines() == ["one", "two"]
    assert server.run("logs", arn, "--follow").stdout.splitlines() == ["one", "two"]
    missing = server.run("logs", "0" * 32, check=False)
    assert missing.returncode != 0 and missing.stderr.strip()


def test_commands_without_a_server(tmp_path):
    free = socket.socket()
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
    for command in [["status"], ["ps"], ["logs", "x"]]:
        done = boxship("--data-dir", tmp_path, "--listen", address, *command)
        assert done.returncode != 0
        assert "boxship up" in done.stderr + done.stdout, done
    done = boxship("--data-dir", tmp_path / "never", "down")
    assert done.returncode == 0 and "nothing to stop" in done.stdout


def test_doctor(tmp_path):
    done = boxship("--data-dir", tmp_path, "--listen", "127.0.0.1:0", "doctor")
    assert done.returncode in (0, 1)
    assert "overlay" in done.stdout and "control groups" in done.stdout
    assert list(tmp_path.iterdir()) == [], "it looks only"


def test_down_after_the_server_was_killed():
    server = Server("simulated").start()
    [arn] = run_task(server, define(server, "orphan", [{"image": "web:1"}]))
    running(server, arn)
    server.kill()
    assert "boxship up" in (lambda d: d.stderr + d.stdout)(server.run("status", check=False))
    server.down()


def test_down_ends_no_other_process(server, tmp_path):
    """The process id of a server that died may be another's by now, even another server's."""
    dead = Server("simulated", data_dir=tmp_path / "dead")
    dead.data_dir.mkdir()
    dead.start()
    dead.kill()
    stale = json.loads((dead.data_dir / "run.json").read_text()) | {"pid": server.process.pid}
    (dead.data_dir / "run.json").write_text(json.dumps(stale))
    dead.down()
    assert json.loads(server.get("/_boxship/health"))["status"] == "ready"


def test_down_leaves_other_directories_alone(tmp_path):
    (tmp_path / "photo.jpg").write_text("x")
    done = boxship("--data-dir", tmp_path, "down")
    assert done.returncode == 0 and "nothing to stop" in done.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["photo.jpg"]


def test_version_and_help():
    assert re.match(r"boxship \d+\.\d+\.\d+", boxship("--version").stdout)
    text = boxship("--help").stdout
    for command in ["up", "down", "doctor", "status", "env", "run", "ps", "logs", "image"]:
        assert re.search(rf"^  {command}\b", text, re.M), command


# How it ends, and what is there afterwards


def test_sigterm_drains(server):
    """A request under way is answered; then the server ends with code 0."""
    server.client("ecr").create_repository(repositoryName="drain")
    registry = Registry(server)
    at = registry.begin("drain")
    content = os.urandom(100_000)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(f"PUT {at}?digest={digest(content)} HTTP/1.1\r\nhost: localhost\r\nauthorization: {registry.authorization}\r\n"
                       f"content-length: {len(content)}\r\n\r\n".encode() + content[:50_000])
        # The answer to a later request on another connection: the first has arrived by then.
        server.client("sts").get_caller_identity()
        server.process.send_signal(signal.SIGTERM)
        def is_closed():
            try:
                socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
            except OSError:
                return True
        wait_for(is_closed, 10, "the listener's end")
        assert server.process.poll() is None, "it waits for the request"
        client.sendall(content[50_000:])
        assert client.recv(1000).startswith(b"HTTP/1.1 201")
    assert server.process.wait(30) == 0
    assert not (server.data_dir / "run.json").exists()
    server.start()
    assert Registry(server).send("GET", f"/v2/drain/blobs/{digest(content)}").body == content


def test_sigint_ends_it_too(server):
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(30) == 0
    server.start()


def everything(server):
    """What every read operation of this slice answers, but for request ids."""
    found = {}
    for account in ["000000000000", "123456789012"]:
        ecs, ecr, logs, iam, ec2 = (server.client(name, account=account) for name in ["ecs", "ecr", "logs", "iam", "ec2"])
        clusters = ecs.list_clusters()["clusterArns"]
        answers = [ecs.describe_clusters(clusters=clusters, include=["TAGS", "SETTINGS", "STATISTICS"])["clusters"]]
        for status in ["ACTIVE", "INACTIVE", "DELETE_IN_PROGRESS"]:
            for arn in ecs.list_task_definitions(status=status)["taskDefinitionArns"]:
                answers.append(ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"]))
        for cluster in clusters:
            for status in ["RUNNING", "STOPPED"]:
                if tasks := ecs.list_tasks(cluster=cluster, desiredStatus=status)["taskArns"]:
                    answers.append(ecs.describe_tasks(cluster=cluster, tasks=tasks, include=["TAGS"])["tasks"])
        for repository in ecr.describe_repositories()["repositories"]:
            answers += [repository, ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"],
                        ecr.describe_images(repositoryName=repository["repositoryName"])["imageDetails"]]
        for group in logs.describe_log_groups()["logGroups"]:
            answers += [group, logs.describe_log_streams(logGroupName=group["logGroupName"])["logStreams"],
                        logs.filter_log_events(logGroupName=group["logGroupName"])["events"]]
        for role in iam.list_roles()["Roles"]:
            name = {"RoleName": role["RoleName"]}
            answers += [role, iam.list_role_policies(**name)["PolicyNames"], iam.list_attached_role_policies(**name)["AttachedPolicies"]]
        answers += [ec2.describe_vpcs()["Vpcs"], ec2.describe_subnets()["Subnets"],
                    ec2.describe_network_interfaces()["NetworkInterfaces"], ec2.describe_security_groups()["SecurityGroups"]]
        for answer in answers:
            if isinstance(answer, dict):
                answer.pop("ResponseMetadata", None)
        found[account] = answers
    return json.loads(json.dumps(found, default=str))


def fill(server):
    for account in ["000000000000", "123456789012"]:
        ecs, ecr, logs, iam = (server.client(name, account=account) for name in ["ecs", "ecr", "logs", "iam"])
        ecs.create_cluster(clusterName="default", tags=[{"key": "a", "value": "ä é"}])
        role = iam.create_role(RoleName="execution", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        iam.put_role_policy(RoleName="execution", PolicyName="p", PolicyDocument=TRUST.replace("Principal", "Resource").replace(
            '{"Service": "ecs-tasks.amazonaws.com"}', '"*"'))
        definition = {"family": "web", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256",
                      "memory": "512", "executionRoleArn": role}
        for n in range(3):
            ecs.register_task_definition(**definition, containerDefinitions=[
                {"name": "web", "image": f"web:{n}", "environment": [{"name": "N", "value": str(n)}]}])
        ecs.deregister_task_definition(taskDefinition="web:1")
        ecs.delete_task_definitions(taskDefinitions=["web:1"])
        ecs.deregister_task_definition(taskDefinition="web:2")
        subnet = server.client("ec2", account=account).describe_subnets()["Subnets"][0]["SubnetId"]
        tasks = [t["taskArn"] for t in ecs.run_task(
            taskDefinition="web", launchType="FARGATE", count=3, startedBy="me", tags=[{"key": "a", "value": "b"}],
            networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}})["tasks"]]
        ecs.stop_task(task=tasks[0], reason="enough")
        settled = lambda: sorted(t["lastStatus"] for t in ecs.describe_tasks(tasks=tasks)["tasks"])  # noqa: E731
        wait_for(lambda: settled() == ["RUNNING", "RUNNING", "STOPPED"], 20)
        ecr.create_repository(repositoryName="web", tags=[{"Key": "a", "Value": "b"}], imageTagMutability="IMMUTABLE")
        Registry(server, account=account).image("web", "v1", account)
        logs.create_log_group(logGroupName="/web", tags={"a": "b"})
        logs.put_retention_policy(logGroupName="/web", retentionInDays=30)
        logs.create_log_stream(logGroupName="/web", logStreamName="s")
        now = int(time.time() * 1000)
        for n in range(3):
            logs.put_log_events(logGroupName="/web", logStreamName="s", logEvents=[{"timestamp": now + n, "message": f"line {n} ☃"}])


def test_everything_is_there_after_a_restart(server):
    fill(server)
    before = everything(server)
    assert all(len(answers) > 15 for answers in before.values())
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    server.start()
    assert everything(server) == before
    server.kill()
    server.start()
    assert everything(server) == before


def test_simulated_time_is_kept_over_a_restart(server):
    [arn] = run_task(server, define(server, "later", [{"image": "web:1", "dockerLabels": {"boxship.simulate": "exit=9 after=2h"}}]))
    running(server, arn)
    server.advance(3600)
    server.kill()
    server.start()
    assert describe(server, arn)["lastStatus"] == "RUNNING"
    server.advance(3601)
    assert stopped(server, arn)["containers"][0]["exitCode"] == 9


def test_kill_9_in_a_storm_loses_nothing_that_was_answered(server):
    execution_role(server)
    names = []
    for round_ in range(4):
        answered, stop = [], threading.Event()

        def storm(worker, round_=round_, answered=answered, stop=stop):
            ecs = server.client("ecs")
            n = 0
            while not stop.is_set():
                try:
                    made = ecs.register_task_definition(
                        family=f"r{round_}-w{worker}", requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu="256", memory="512",
                        containerDefinitions=[{"name": "web", "image": f"web:{n}"}])["taskDefinition"]
                except Exception:  # the server is gone
                    return
                answered.append((made["taskDefinitionArn"], f"web:{n}"))
                n += 1

        threads = [threading.Thread(target=storm, args=[worker]) for worker in range(4)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(answered) > 20 * (round_ + 1), 30, "some answers")
        server.kill()
        stop.set()
        for thread in threads:
            thread.join()
        names += answered
        server.start()
        ecs = server.client("ecs")
        for arn, image in names:
            found = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
            assert found["containerDefinitions"][0]["image"] == image
    # What was not answered may be there, but whole and without a gap before it.
    for page in server.client("ecs").get_paginator("list_task_definitions").paginate():
        for arn in page["taskDefinitionArns"]:
            revision = int(arn.rsplit(":", 1)[1])
            found = server.client("ecs").describe_task_definition(taskDefinition=arn)["taskDefinition"]
            assert found["containerDefinitions"][0]["image"] == f"web:{revision - 1}"


# A disk that is full


class SmallDisk:
    """A file system of a few MiB in a mount namespace of its own, and servers on it."""

    def __init__(self, at, mib):
        at.mkdir()
        self.at = at
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs -o size={mib}m small {at} && echo ready && exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "ready\n":
            self.holder.wait()
            pytest.skip("left out: no tmpfs can be mounted in a mount namespace here")

    @property
    def seen(self):
        """The directory as seen from outside the namespace."""
        return self.at.__class__(f"/proc/{self.holder.pid}/root{self.at}")

    def fill(self):
        with open(self.seen / "fill", "wb", buffering=0) as file:
            try:
                while file.write(b"\0" * 65536) == 65536:
                    pass
            except OSError:
                pass

    def free(self):
        (self.seen / "fill").unlink()

    def close(self):
        self.holder.communicate("", timeout=30)


class OnSmallDisk(Server):
    """A server within the namespace of a small disk."""

    def __init__(self, disk):
        super().__init__("simulated", data_dir=disk.at / "data")
        self.disk = disk

    def start(self):
        seen = self.disk.seen / "data"
        seen.mkdir(exist_ok=True)
        (seen / "run.json").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            ["nsenter", f"--mount=/proc/{self.disk.holder.pid}/ns/mnt", os.path.abspath(BOXSHIP), "up", "--runtime", "simulated",
             "--data-dir", self.data_dir, "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=-1)
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()
        wait_for(lambda: (seen / "run.json").exists() or self.process.poll() is not None, 30)
        assert self.process.poll() is None, self.text()
        self.port = int(json.loads((seen / "run.json").read_text())["listen"].rsplit(":", 1)[1])
        return self

    def text(self):
        return "".join(self.lines)

    def end(self):
        self.process.terminate()
        return self.process.wait(30)


@pytest.fixture
def small(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("left out: mounting a small disk needs root")
    disk = SmallDisk(tmp_path / "small", 48)
    server = OnSmallDisk(disk).start()
    yield server
    if server.process.poll() is None:
        server.end()
    disk.close()


def test_a_full_disk_loses_nothing_that_was_answered(small):
    answered = []
    ecs = small.client("ecs")
    for n in range(20):
        answered.append(ecs.create_cluster(clusterName=f"before-{n}")["cluster"]["clusterArn"])
    small.disk.fill()
    with pytest.raises(Exception):
        for n in range(10_000):
            answered.append(ecs.create_cluster(clusterName=f"full-{n}", tags=[{"key": "x", "value": "x" * 200}])["cluster"]["clusterArn"])
    code = small.process.wait(30)
    small.reader.join(10)
    assert code not in (0, 101, -6), "better no answer than one that may be lost"
    assert "panicked" not in small.text()
    assert re.search("full|No space left", small.text()), small.text()
    small.disk.free()
    small.start()
    found = [arn for page in small.client("ecs").get_paginator("list_clusters").paginate() for arn in page["clusterArns"]]
    assert set(found) >= set(answered)
    assert small.client("ecs").create_cluster(clusterName="after")["cluster"]["status"] == "ACTIVE"
    assert small.end() == 0


def test_a_full_disk_refuses_layers_and_log_events(small):
    small.client("ecr").create_repository(repositoryName="web")
    logs = small.client("logs")
    logs.create_log_group(logGroupName="/g")
    logs.create_log_stream(logGroupName="/g", logStreamName="s")
    now = int(time.time() * 1000)
    put = lambda text: logs.put_log_events(logGroupName="/g", logStreamName="s", logEvents=[{"timestamp": now, "message": text}])  # noqa: E731
    put("before")
    registry = Registry(small)
    content = os.urandom(1 << 20)
    at = registry.begin("web")
    small.disk.fill()
    answer = registry.send("PATCH", at, content)
    assert answer.status in (500, 507) and answer.json()["errors"], answer
    with pytest.raises(Exception, match="ServiceUnavailable|InternalFailure|written"):
        for _ in range(100):
            put("x" * 200_000)
    assert small.process.poll() is None, "a layer or a line that does not fit ends nobody: " + small.text()
    small.disk.free()
    put("after")
    lines = [event["message"] for event in logs.get_log_events(logGroupName="/g", logStreamName="s", startFromHead=True)["events"]]
    assert lines[0] == "before" and lines[-1] == "after"
    assert registry.blob("web", content) == digest(content)
    assert registry.send("GET", f"/v2/web/blobs/{digest(content)}").body == content
    assert "panicked" not in small.text()

