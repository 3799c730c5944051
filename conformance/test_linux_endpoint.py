"""What a task finds at 169.254.170.2: metadata, figures, credentials, protection, faults."""

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from conftest import TRUST, Server, address, define, log, needs_root, refused, run_task, running, signature, stopped, wait_for

pytestmark = needs_root

# Asks over HTTP/1.0 and prints the status, then the body, on a line each: wget has no PUT and keeps bodies of errors.
ASK = r"""
ask() {
  printf '%s %s HTTP/1.0\r\nHost: 169.254.170.2\r\nContent-Length: %d\r\n\r\n%s' "$1" "$2" "${#3}" "$3" |
    timeout 20 nc 169.254.170.2 80 | tr -d '\r' > /tmp/answer
  head -n1 /tmp/answer | cut -d' ' -f2
  sed '1,/^$/d' /tmp/answer
  echo
}
path() { echo "${1#http://169.254.170.2}"; }
V4=$(path "$ECS_CONTAINER_METADATA_URI_V4"); V3=$(path "$ECS_CONTAINER_METADATA_URI"); API=$(path "$ECS_AGENT_URI")
"""


@pytest.fixture(scope="module")
def host(toolbox_archive):
    """A server whose machine is a container instance, with the role `app` for tasks."""
    server = Server("linux", "--instance", "default").start()
    server.run("image", "load", str(toolbox_archive), "toolbox")
    server.client("iam").create_role(RoleName="app", AssumeRolePolicyDocument=TRUST)
    yield server
    server.down()


ROLE = {"taskRoleArn": "arn:aws:iam::000000000000:role/app"}


def containers(script, **members):
    return [{"image": "toolbox", "entryPoint": ["/bin/sh", "-c"], "command": [ASK + script], "stopTimeout": 2, **members}]


def start(server, script, family="endpoint", run=None, **members):
    return run_task(server, define(server, family, containers(script), **members), **(run or {}))[0]


def start_on_instance(server, script, mode, **members):
    ecs = server.client("ecs")
    options = {"awslogs-group": "/test", "awslogs-region": "us-east-1", "awslogs-stream-prefix": mode, "awslogs-create-group": "true"}
    container = {"name": "c0", "memory": 64, "logConfiguration": {"logDriver": "awslogs", "options": options}, **containers(script)[0]}
    definition = ecs.register_task_definition(
        family=mode, networkMode=mode, requiresCompatibilities=["EC2"], containerDefinitions=[container], **members)
    answer = ecs.run_task(taskDefinition=definition["taskDefinition"]["taskDefinitionArn"], launchType="EC2")
    assert not answer["failures"], answer["failures"]
    return answer["tasks"][0]["taskArn"]


def answers(lines):
    """Pairs of status and body."""
    # The shell says so where a time is over.
    lines = [line for line in lines if line not in ("", "Terminated")]
    assert len(lines) % 2 == 0, lines
    return [(int(status), parsed(body)) for status, body in zip(lines[::2], lines[1::2])]


def parsed(body):
    try:
        return json.loads(body)
    except ValueError:
        return body


def ended(server, arn, family="endpoint"):
    """What a task printed, once it has ended well."""
    task = stopped(server, arn)
    lines = log(server, family, arn) if "exitCode" in task["containers"][0] else []
    assert task["containers"][0].get("exitCode") == 0, (task.get("stoppedReason"), task["containers"], lines)
    return lines


def asked(server, *requests, **members):
    """The answers to requests that a task makes, each (method, path and body in terms of the shell)."""
    script = "\n".join(f"ask {request}" for request in requests)
    return answers(ended(server, start(server, script, **members)))


def test_what_a_container_is_told(host):
    lines = ended(host, start(host, "env", **ROLE))
    told = dict(line.split("=", 1) for line in lines if "=" in line)
    for name, start_ in [("ECS_CONTAINER_METADATA_URI", "http://169.254.170.2/v3/"),
                         ("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/"),
                         ("ECS_AGENT_URI", "http://169.254.170.2/api/"),
                         ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/")]:
        assert told[name].startswith(start_) and len(told[name].removeprefix(start_)) == 36, told
    assert told["AWS_EXECUTION_ENV"] == "AWS_ECS_FARGATE"
    assert (told["AWS_REGION"], told["AWS_DEFAULT_REGION"]) == ("us-east-1", "us-east-1")
    assert told["AWS_ENDPOINT_URL"] == "http://169.254.170.2:4566"


def test_the_definitions_own_variables_win(host):
    own = [{"name": "AWS_ENDPOINT_URL", "value": "http://elsewhere"}, {"name": "AWS_REGION", "value": "eu-west-1"}]
    definition = define(host, "own", containers("echo $AWS_ENDPOINT_URL $AWS_REGION $AWS_DEFAULT_REGION $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI.",
                                                environment=own))
    assert ended(host, run_task(host, definition)[0], "own") == ["http://elsewhere eu-west-1 us-east-1 ."]


def test_metadata(host):
    script = "\n".join(f"ask GET {path}" for path in ["$V4", "$V4/task", "$V4/taskWithTags", "$V3", "$V3/task"]) + "\nwhile :; do sleep 1; done"
    arn = start(host, script, "meta", run={"tags": [{"key": "team", "value": "shop"}]})
    task = running(host, arn)
    lines = wait_for(lambda: (found := [line for line in log(host, "meta", arn) if line]) and len(found) == 10 and found, 30)
    host.client("ecs").stop_task(task=arn)
    assert all(status == 200 for status, _ in answers(lines)), lines
    container, whole, tagged, container3, whole3 = [value for _, value in answers(lines)]
    said = task["containers"][0]
    assert (container["DockerId"], container["ContainerARN"], container["ImageID"]) == (
        said["runtimeId"], said["containerArn"], said["imageDigest"])
    assert (container["Name"], container["Image"], container["KnownStatus"], container["Type"]) == ("c0", "toolbox", "RUNNING", "NORMAL")
    assert container["Labels"]["com.amazonaws.ecs.task-arn"] == arn
    assert container["LogOptions"]["awslogs-group"] == "/test"
    [network] = container["Networks"]
    assert (network["NetworkMode"], network["IPv4Addresses"]) == ("awsvpc", [address(task)])
    assert network["SubnetGatewayIpv4Address"].endswith("/20") and network["MACAddress"]
    assert (whole["Cluster"], whole["TaskARN"], whole["Family"], whole["Revision"]) == (task["clusterArn"], arn, "meta", "1")
    assert (whole["Limits"], whole["LaunchType"]) == ({"CPU": 0.25, "Memory": 512}, "FARGATE")
    assert whole["AvailabilityZone"] == task["availabilityZone"]
    storage = whole["EphemeralStorageMetrics"]
    assert storage["Reserved"] == 20 << 10 and 0 <= storage["Utilized"] < 1 << 10, storage
    assert [c["DockerId"] for c in whole["Containers"]] == [said["runtimeId"]]
    assert tagged["TaskTags"] == {"team": "shop"} and "TaskTags" not in whole
    assert container3["DockerId"] == said["runtimeId"] and "ContainerARN" not in container3
    assert whole3["TaskARN"] == arn and "LaunchType" not in whole3


def test_figures(host):
    burn = "( while :; do :; done ) & "
    [(status, stats), (task_status, of_task)] = answers(
        ended(host, start(host, f"{burn} ask GET $V4/stats; ask GET $V4/task/stats; kill $!")))
    assert (status, task_status) == (200, 200), (stats, of_task)
    cpu, before = stats["cpu_stats"], stats["precpu_stats"]
    used = cpu["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed = cpu["system_cpu_usage"] - before["system_cpu_usage"]
    percent = used / passed * cpu["online_cpus"] * 100
    # A quarter of a vCPU is its hard limit.
    assert 1 < percent < 40, percent
    memory = stats["memory_stats"]
    assert 0 < memory["usage"] < memory["limit"] <= 512 << 20
    assert stats["pids_stats"]["current"] >= 2
    assert sum(interface["rx_bytes"] for interface in stats["networks"].values()) > 0
    assert set(stats["network_rate_stats"]) == {"rx_bytes_per_sec", "tx_bytes_per_sec"}
    assert list(of_task) == [stats["id"]]


def credentials_of(server, **members):
    [(status, credentials)] = asked(server, "GET $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", **members)
    assert status == 200, credentials
    return credentials


def session(server, service, credentials, **other):
    keys = {"aws_access_key_id": credentials["AccessKeyId"], "aws_secret_access_key": credentials["SecretAccessKey"],
            "aws_session_token": credentials["Token"], **other}
    return boto3.client(service, endpoint_url=server.url, region_name="us-east-1", **keys)


def test_credentials_act_as_the_tasks_role(host):
    arn = start(host, "ask GET $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; ask GET $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", **ROLE)
    [(status, credentials), (_, again)] = answers(ended(host, arn))
    assert status == 200 and credentials == again
    assert set(credentials) == {"RoleArn", "AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
    assert credentials["RoleArn"] == ROLE["taskRoleArn"]
    who = session(host, "sts", credentials).get_caller_identity()
    task_id = arn.rsplit("/", 1)[1]
    assert who["Arn"] == f"arn:aws:sts::000000000000:assumed-role/app/{task_id}"
    role_id = host.client("iam").get_role(RoleName="app")["Role"]["RoleId"]
    assert (who["Account"], who["UserId"]) == ("000000000000", f"{role_id}:{task_id}")
    assert session(host, "ecs", credentials).list_clusters()["clusterArns"]
    # A token is of its key.
    refused("InvalidClientTokenId", session(host, "sts", credentials, aws_session_token="x").get_caller_identity)
    refused("UnrecognizedClientException", session(host, "ecs", credentials, aws_session_token="x").list_clusters)
    refused("AuthFailure", session(host, "ec2", credentials, aws_session_token="x").describe_vpcs)


def test_a_task_calls_as_its_role(host):
    script = r"""
    wget -qO /tmp/keys http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
    key() { sed -E "s/.*\"$1\":\"([^\"]*)\".*/\1/" /tmp/keys; }
    wget -qO- --header "X-Amz-Date: 20260101T000000Z" --header "X-Amz-Security-Token: $(key Token)" --header \
      "Authorization: AWS4-HMAC-SHA256 Credential=$(key AccessKeyId)/20260101/us-east-1/sts/aws4_request, SignedHeaders=host;x-amz-date, Signature=00" \
      --post-data 'Action=GetCallerIdentity&Version=2011-06-15' $AWS_ENDPOINT_URL/
    """
    arn = start(host, script, **ROLE)
    text = "".join(ended(host, arn))
    assert f"<Arn>arn:aws:sts::000000000000:assumed-role/app/{arn.rsplit('/', 1)[1]}</Arn>" in text, text


def environment(mark):
    """Process id and environment of a container, told by a variable of its own."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if f"MARK={mark}" in told:
            return process.name, dict(line.split("=", 1) for line in told if "=" in line)
    return None


def test_an_unmodified_sdk(host):
    """boto3 with nothing but the container's environment, in the container's network."""
    script = "while :; do sleep 1; done"
    mark = {"environment": [{"name": "MARK", "value": host.data_dir.name}]}
    arn = run_task(host, define(host, "sdk", containers(script, **mark), **ROLE))[0]
    running(host, arn)
    pid, told = wait_for(lambda: environment(host.data_dir.name), 10)
    program = """if True:
        import boto3
        print(boto3.client("sts").get_caller_identity()["Arn"])
        print(boto3.client("ecs").list_tasks(family="sdk")["taskArns"][0])
        print(boto3.client("ecs").meta.region_name)
    """
    done = subprocess.run(["nsenter", "-t", pid, "-n", sys.executable, "-c", program], text=True, capture_output=True, timeout=60,
                          env={**told, "PATH": os.environ["PATH"], "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [f"arn:aws:sts::000000000000:assumed-role/app/{arn.rsplit('/', 1)[1]}", arn, "us-east-1"]
    host.client("ecs").stop_task(task=arn)
    stopped(host, arn)


def test_no_other_task_is_answered(host):
    keep = "echo $V4; echo $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; echo $API; while :; do sleep 1; done"
    owner = start(host, keep, "owner", **ROLE)
    running(host, owner)
    v4, credentials, api = wait_for(lambda: (found := log(host, "owner", owner)) and len(found) == 3 and found, 30)
    for run in [lambda script: ended(host, start(host, script, "thief", **ROLE), "thief"),
                lambda script: ended(host, start_on_instance(host, script, "bridge"), "bridge"),
                lambda script: ended(host, start_on_instance(host, script, "host"), "host")]:
        (metadata, text), (keys, answer), (protection, _) = answers(
            run(f"ask GET {v4}; ask GET {credentials}; ask GET {api}/task-protection/v1/state"))
        assert (metadata, keys, protection) == (404, 400, 404), (text, answer)
        assert answer["code"] == "InvalidIdInRequest"
    host.client("ecs").stop_task(task=owner)
    stopped(host, owner)


def test_bridge_and_host(host):
    for mode in ["bridge", "host"]:
        script = "ask GET $V4; ask GET $V4/taskWithTags; ask GET $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; ask GET $V4/stats"
        arn = start_on_instance(host, script, mode, **ROLE)
        (one, container), (two, task), (three, credentials), (four, stats) = answers(ended(host, arn, mode))
        assert (one, two, three, four) == (200, 200, 200, 200), (mode, container, task, credentials, stats)
        assert container["Networks"][0]["NetworkMode"] == mode
        assert (task["LaunchType"], task["Cluster"], task["TaskARN"]) == ("EC2", "default", arn)
        assert container["DockerName"].startswith(f"ecs-{mode}-")
        assert session(host, "sts", credentials).get_caller_identity()["Arn"].endswith(arn.rsplit("/", 1)[1])
        assert stats["name"] == "/" + container["DockerName"]


def test_the_host_is_no_back_door(host):
    """169.254.170.2 answers on the host, too, once a task has run there, but not everybody on it."""
    stopped(host, start_on_instance(host, "true", "host"))

    def knock(user, key="000000000000", token="x"):
        """Status and body, as a process of this user sees them."""
        headers = {"authorization": signature("sts", key=key), "x-amz-date": "20260101T000000Z", "x-amz-security-token": token,
                   "content-type": "application/x-www-form-urlencoded"}
        (read, write), body = os.pipe(), "Action=GetCallerIdentity&Version=2011-06-15"
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setuid(user)
                connection = http.client.HTTPConnection("169.254.170.2", 4566, timeout=10)
                connection.request("POST", "/", body, headers)
                answer = connection.getresponse()
                os.write(write, f"{answer.status} {answer.read().decode()}".encode())
            finally:
                os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        with open(read) as told:
            return told.read()

    nobody, root = 65534, 0
    assert knock(nobody).startswith("403 Forbidden: on the host's network")
    assert "arn:aws:iam::000000000000:root" in knock(root)
    # A program of a task may be anybody; its credentials open the door.
    credentials = credentials_of(host, **ROLE)
    assert "assumed-role/app" in knock(nobody, credentials["AccessKeyId"], credentials["Token"])
    assert knock(nobody, credentials["AccessKeyId"], "x").startswith("403 Forbidden")


def test_protection(host):
    [(got, answer), (put, put_answer), (bad, error)] = asked(
        host, "GET $API/task-protection/v1/state", """PUT $API/task-protection/v1/state '{"ProtectionEnabled":true}'""",
        "PUT $API/task-protection/v1/state '{}'", **ROLE)
    # AWS: only tasks of services can be protected.
    assert (got, put) == (200, 200), (answer, put_answer)
    assert put_answer["failure"]["Reason"] == "TASK_NOT_VALID", put_answer
    assert (bad, error["error"]["Code"]) == (400, "InvalidParameterException")
    [(status, error)] = asked(host, "GET $API/task-protection/v1/state")
    assert (status, error["error"]["Code"]) == (403, "AccessDeniedException")


def test_a_fault_is_made_and_mended(host):
    # The resolver of the VPC listens there; 169.254.170.2 itself is spared, or nobody could mend a fault.
    body = """'{"Port":53,"Protocol":"tcp","TrafficType":"egress"}'"""
    fault = "$API/fault/v1/network-blackhole-port"
    script = (f"reach() {{ timeout 3 nc 172.31.0.2 53 < /dev/null && echo 200 || echo 504; echo reached; }}\n"
              f"reach\nask POST {fault}/status {body}\nask POST {fault}/start {body}\nreach\n"
              f"ask POST {fault}/start {body}\nask POST {fault}/stop {body}\nreach")
    arn = start(host, script, enableFaultInjection=True)
    assert answers(ended(host, arn)) == [
        (200, "reached"), (200, {"Status": "not-running"}), (200, {"Status": "running"}), (504, "reached"),
        (429, {"Error": "request throttled"}), (200, {"Status": "stopped"}), (200, "reached")]
    [(status, error)] = asked(host, f"POST {fault}/status {body}")
    assert status == 400 and error["Error"].startswith("enableFaultInjection is not enabled for task: arn:")


def test_containers_outlive_the_server(host):
    loop = "while :; do ask GET $V4; sleep 0.3; done"
    arn = start(host, loop, "restart", **ROLE)
    running(host, arn)
    wait_for(lambda: "200" in log(host, "restart", arn), 30)
    host.kill()
    host.arguments = (*host.arguments, "--task-endpoint-url", "off")
    host.start()
    seen = len(log(host, "restart", arn))
    wait_for(lambda: "200" in log(host, "restart", arn)[seen + 10:], 30, "the endpoint answering again")
    host.client("ecs").stop_task(task=arn)
    stopped(host, arn)
    assert ended(host, start(host, "echo .$AWS_ENDPOINT_URL")) == ["."]
