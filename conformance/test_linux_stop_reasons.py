"""Every stop code and reason that can be provoked with real containers, in AWS's words.

All tasks are started at once, since most of them wait for something; each case looks at its own.
"""

import concurrent.futures
import http.server
import json
import socket
import threading

import pytest

import toolbox
from conftest import IS_ROOT, Server, describe, execution_role, needs_root, network, running, stopped

pytestmark = needs_root

ESSENTIAL = "Essential container in task exited"
FAILED = "Task failed to start"
EAT = "x=x; while :; do x=$x$x; done"
WAITS = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
OCI = "application/vnd.oci.image.manifest.v1+json"


class Registry(http.server.BaseHTTPRequestHandler):
    """A registry whose answers are wrong, each repository's in its own way."""

    def do_GET(self):
        repository = self.path.split("/")[2] if self.path.count("/") > 2 else ""
        manifests = "/manifests/" in self.path
        status, body, headers = {
            "closed": (401, b"{}", {"www-authenticate": 'Basic realm="here"'}),
            "forbidden": (403, b'{"errors":[{"code":"DENIED","message":"requested access is denied"}]}', {}),
            "busy": (429, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}', {}),
            "ill": (500, b"out of order", {}),
            "garbage": (200, b"<html>not a manifest</html>", {"content-type": OCI}),
            "false": (200, self.manifest(), {"content-type": OCI}) if manifests else (200, b"something else", {}),
        }.get(repository, (200 if self.path == "/v2/" else 404, b"{}", {}))
        self.send_response(status)
        for name, value in {**headers, "content-length": len(body)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    @staticmethod
    def manifest():
        def blob(kind):
            return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": "sha256:" + "1" * 64, "size": 14}
        return json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": blob("config.v1+json"),
                           "layers": [blob("layer.v1.tar+gzip")]}).encode()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def registry():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


def c(script=None, name="c0", **members):
    """A container of the toolbox."""
    command = {} if script is None else {"entryPoint": ["/bin/sh", "-c"], "command": [script]}
    return {"name": name, "image": "toolbox", "memory": 64, **command, **members}


def after(name, condition):
    return {"dependsOn": [{"containerName": name, "condition": condition}]}


def pull(image):
    return [c("true", image=image)]


def logs(driver, **options):
    return {"logConfiguration": {"logDriver": driver, "options": {name.replace("_", "-"): text for name, text in options.items()}}}


def awslogs(group, **more):
    return logs("awslogs", awslogs_group=group, awslogs_region="us-east-1", awslogs_stream_prefix="p", **more)


def volume(**configuration):
    return {"volumes": [{"name": "v", "dockerVolumeConfiguration": configuration}]}


MOUNT = {"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}
CHECK = {"command": ["CMD-SHELL", "false"], "interval": 5, "timeout": 2, "retries": 1}
MANIFEST = "CannotPullContainerError: pull image manifest has been retried 1 time(s): "
RESOLVE = MANIFEST + "failed to resolve ref "
LOGGER = "ResourceInitializationError: failed to validate logger args: "
STREAM = LOGGER + "create stream has been retried 1 times: failed to create Cloudwatch log stream: "
CANNOT = "CannotStartContainerError: "
RUNC = CANNOT + "ResourceInitializationError: failed to create new container runtime task: failed to create shim task: OCI " \
    "runtime create failed: "
ORDER = CANNOT + "dependency graph: "

# Containers, members of the task definition; what is told at the task (code, beginning of the reason), and of each
# container: its exit code, the beginning of its reason.
PULLS = {
    "no such repository": (pull("localhost:PORT/missing:1"), RESOLVE + "localhost:PORT/missing:1: localhost:PORT/missing:1: not found"),
    "no such tag": (pull("localhost:PORT/toolbox:nope"), RESOLVE + "localhost:PORT/toolbox:nope: "),
    "no such digest": (pull("localhost:PORT/missing@sha256:" + "0" * 64), RESOLVE),
    "no basic authentication": (pull("REGISTRY/closed:1"), RESOLVE + "REGISTRY/closed:1: pull access denied, repository does not "
                                "exist or may require authorization: authorization failed: no basic auth credentials"),
    "access denied": (pull("REGISTRY/forbidden:1"), RESOLVE + "REGISTRY/forbidden:1: pull access denied"),
    "another platform": (pull("toolbox-arm"), MANIFEST + "image Manifest does not contain descriptor matching platform 'linux/amd64'"),
    "nobody listens": (pull("127.0.0.1:1/closed:1"), RESOLVE + "127.0.0.1:1/closed:1: failed to do request: Get \"http://127.0.0.1:1/v2/closed/manifests/1\": dial tcp: "),
    "no such host": (pull("registry.invalid/web:1"), RESOLVE + "registry.invalid/web:1: failed to do request: Get "),
    "a malformed name": (pull("UPPER/Case:1"), "CannotPullContainerError: invalid reference format"),
    "too many requests": (pull("REGISTRY/busy:1"), RESOLVE + "REGISTRY/busy:1: unexpected status code http://REGISTRY/v2/busy/manifests/1: 429 "
                          "Too Many Requests"),
    "a server's error": (pull("REGISTRY/ill:1"), RESOLVE + "REGISTRY/ill:1: unexpected status code http://REGISTRY/v2/ill/manifests/1: 500 "),
    "a manifest that is none": (pull("REGISTRY/garbage:1"), "CannotPullContainerError: ref pull has been retried 1 time(s): "),
    "a blob of another digest": (pull("REGISTRY/false:1"), "CannotPullContainerError: ref pull has been retried 1 time(s): "),
}
INITIALIZATION = {
    "no log group": (awslogs("/nowhere"), STREAM + "ResourceNotFoundException: The specified log group does not exist."),
    "a pattern that is none": (awslogs("/made", awslogs_create_group="true", awslogs_multiline_pattern="(["),
                               LOGGER + 'awslogs could not parse awslogs-multiline-pattern option "([": '),
    "a log group's name that is none": (awslogs("bad group", awslogs_create_group="true"), STREAM + "InvalidParameterException"),
    "no fluentd": (logs("fluentd", fluentd_address="127.0.0.1:1"), LOGGER + "dial tcp 127.0.0.1:1: connect: connection refused"),
    "no syslog": (logs("syslog", syslog_address="tcp://127.0.0.1:1"), LOGGER + "dial tcp 127.0.0.1:1: connect: connection refused"),
    "no syslog socket": (logs("syslog", syslog_address="unixgram:///nowhere/log"), LOGGER + "dial unixgram /nowhere/log: connect: no such file or directory"),
}
# One container that cannot start on an instance, and what it says of it.
STARTS = {
    "no such command": (c(entryPoint=["/nope"]), {}, RUNC + 'unable to start container process: exec: "/nope": stat /nope: no such file'),
    "nothing on the path": (c(entryPoint=["nope"]), {}, RUNC + 'unable to start container process: exec: "nope": executable file not '
                            "found in $PATH: unknown"),
    "a command that is no program": (c(entryPoint=["/etc/passwd"]), {}, RUNC + 'unable to start container process: exec: "/etc/passwd": '
                                     "permission denied: unknown"),
    "no such user": (c("true", user="nobody-here"), {}, CANNOT + "unable to find user nobody-here: no matching entries in passwd file"),
    "no such group": (c("true", user="app:nobody-here"), {}, CANNOT + "unable to find group nobody-here: "),
    "a working directory that is a file": (c("true", workingDirectory="/etc/passwd"), {}, CANNOT),
    "a taken port": (c("true", portMappings=[{"containerPort": 80, "hostPort": "TAKEN"}]), {}, CANNOT + "Error response from daemon: driver "
                     "failed programming external connectivity"),
    "no such shared volume": (c("true", **MOUNT), volume(scope="shared", autoprovision=False), CANNOT + "get v: no such volume"),
    "no such device": (c("true", linuxParameters={"devices": [{"hostPath": "/dev/nope"}]}), {},
                       CANNOT + 'error gathering device information while adding custom device "/dev/nope": no such file'),
    "a file as a directory": (c("true", mountPoints=[{"sourceVolume": "v", "containerPath": "/etc/passwd/v"}]), {"volumes": [{"name": "v"}]},
                              RUNC + "mount /etc/passwd/v: not a directory: unknown"),
    "no such setting": (c("true", systemControls=[{"namespace": "net.core.nope", "value": "1"}]), {},
                        RUNC + "set sysctl /sys/net/core/nope: no such file or directory: unknown"),
}
# Containers, the stop code, its reason, and by container its exit code and the beginning of its reason.
ENDS = {
    "success": ([c("exit 0")], "EssentialContainerExited", ESSENTIAL, {"c0": (0, None)}),
    "failure": ([c("exit 3")], "EssentialContainerExited", ESSENTIAL, {"c0": (3, None)}),
    "a signal": ([c("sh -c 'kill -KILL $$'; exit $?")], "EssentialContainerExited", ESSENTIAL, {"c0": (137, None)}),
    "memory, its first process": ([c(EAT)], "EssentialContainerExited", ESSENTIAL,
                                  {"c0": (137, "OutOfMemoryError: Container killed due to memory usage")}),
    "memory, a child": ([c(f"sh -c '{EAT}'; exit 5")], "EssentialContainerExited", ESSENTIAL,
                        {"c0": (5, "OutOfMemoryError: Container killed due to memory usage")}),
    "memory, one that is not essential": ([c("sleep 4"), c(EAT, "side", essential=False)], "EssentialContainerExited", ESSENTIAL,
                                          {"c0": (0, None), "side": (137, "OutOfMemoryError: ")}),
    "the other is told to end": ([c("exit 4"), c(WAITS, "side", essential=False, memory=16)], "EssentialContainerExited", ESSENTIAL,
                                 {"c0": (4, None)}),
    "not complete in time": ([c("true", **after("slow", "COMPLETE")), c("sleep 60", "slow", essential=False, startTimeout=2, stopTimeout=2)],
                             "TaskFailedToStart", FAILED,
                             {"c0": (None, ORDER + "container ordering dependency [slow] for target [c0] "), "slow": (137, None)}),
    "not successful in time": ([c("true", **after("slow", "SUCCESS")), c("sleep 60", "slow", essential=False, startTimeout=2, stopTimeout=2)],
                               "TaskFailedToStart", FAILED,
                               {"c0": (None, ORDER + "container ordering dependency [slow] for target [c0] ")}),
    "not healthy in time": ([c("true", **after("ill", "HEALTHY")), c(WAITS, "ill", essential=False, startTimeout=3, healthCheck=CHECK)],
                            "TaskFailedToStart", FAILED,
                            {"c0": (None, ORDER + "container ordering dependency [ill] for target [c0] "), "ill": (0, None)}),
    "ended before it was healthy": ([c("true", **after("gone", "HEALTHY")), c("exit 0", "gone", essential=False, healthCheck=CHECK)],
                                    "TaskFailedToStart", FAILED, {"c0": (None, ORDER), "gone": (0, None)}),
    "a dependency that fails": ([c("true", **after("bad", "SUCCESS")), c("exit 9", "bad", essential=False)],
                                "TaskFailedToStart", FAILED,
                                {"c0": (None, ORDER + "failed to resolve container ordering dependency [bad] for target [c0] as "
                                              "dependency did not exit successfully."), "bad": (9, None)}),
    "a dependency that cannot start": ([c("true", **after("bad", "START")), c(None, "bad", essential=False, entryPoint=["/nope"])],
                                       "TaskFailedToStart", FAILED, {"c0": (None, ORDER), "bad": (None, RUNC)}),
    "one of two cannot start": ([c(WAITS), c(None, "bad", entryPoint=["/nope"])], "TaskFailedToStart", FAILED,
                                {"bad": (None, RUNC)}),
}


@pytest.fixture(scope="module")
def server(toolbox_archive, tmp_path_factory):
    if not IS_ROOT:
        pytest.skip("left out: real containers need root")
    server = Server("linux", "--instance", "default").start()
    server.run("image", "load", str(toolbox_archive), "toolbox")
    arm = toolbox.archive(tmp_path_factory.mktemp("arm") / "arm.tar", architecture="arm64")
    server.run("image", "load", str(arm), "toolbox-arm")
    execution_role(server)
    yield server
    server.down()


@pytest.fixture(scope="module")
def taken():
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        yield listener.getsockname()[1]


def launch(server, containers, on="EC2", family="reasons", **members):
    ecs = server.client("ecs")
    members.setdefault("networkMode", "awsvpc" if on == "FARGATE" else "bridge")
    if on == "FARGATE":
        members = {"cpu": "256", "memory": "512", "requiresCompatibilities": ["FARGATE"], **members}
    definition = ecs.register_task_definition(family=family, containerDefinitions=containers, executionRoleArn="execution", **members)
    more = {"networkConfiguration": network(server)} if members["networkMode"] == "awsvpc" else {}
    answer = ecs.run_task(taskDefinition=definition["taskDefinition"]["taskDefinitionArn"], launchType=on, **more)
    assert not answer["failures"], answer["failures"]
    return answer["tasks"][0]["taskArn"]


@pytest.fixture(scope="module")
def tasks(server, registry, taken):
    """Every task by its case's name; some on an instance, some on Fargate."""
    def put_in(value):
        text = json.dumps(value).replace('"TAKEN"', str(taken)).replace("localhost:PORT", server.registry)
        return json.loads(text.replace("REGISTRY", registry))
    orders = {name: (put_in(containers), "FARGATE", {}) for name, (containers, _) in PULLS.items()}
    for name, (options, _) in INITIALIZATION.items():
        orders[name] = ([c("true", **options)], "FARGATE" if "awslogs" in str(options) else "EC2", {})
    orders |= {name: (put_in([container]), "EC2", members) for name, (container, members, _) in STARTS.items()}
    orders |= {name: (containers, "FARGATE", {"cpu": "512", "memory": "1024"}) for name, (containers, *_) in ENDS.items()}
    def start(order):
        name, (containers, on, members) = order
        return name, launch(server, containers, on, **members)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        return dict(pool.map(start, orders.items()))


def told(task, container="c0"):
    [found] = [one for one in task["containers"] if one["name"] == container]
    return found.get("exitCode"), found.get("reason")


def begins(text, beginning):
    assert text is not None and text.startswith(beginning), (text, beginning)


@pytest.mark.parametrize("case", PULLS)
def test_cannot_pull(server, registry, tasks, case):
    reason = PULLS[case][1].replace("localhost:PORT", server.registry).replace("REGISTRY", registry)
    task = stopped(server, tasks[case])
    assert task["stopCode"] == "TaskFailedToStart"
    begins(task["stoppedReason"], reason)
    assert told(task) == (None, task["stoppedReason"])
    assert "startedAt" not in task


@pytest.mark.parametrize("case", INITIALIZATION)
def test_cannot_initialize(server, tasks, case):
    task = stopped(server, tasks[case])
    assert task["stopCode"] == "TaskFailedToStart"
    begins(task["stoppedReason"], INITIALIZATION[case][1])
    assert "\n" not in task["stoppedReason"]
    assert told(task)[0] is None
    assert "startedAt" not in task


@pytest.mark.parametrize("case", STARTS)
def test_cannot_start(server, tasks, case):
    task = stopped(server, tasks[case])
    assert (task["stopCode"], task["stoppedReason"]) == ("TaskFailedToStart", FAILED), told(task)
    code, reason = told(task)
    assert code is None
    begins(reason, STARTS[case][2])
    assert len(reason) > len(CANNOT) + 10
    assert "startedAt" not in task


@pytest.mark.parametrize("case", ENDS)
def test_ends(server, tasks, case):
    _, code, reason, containers = ENDS[case]
    task = stopped(server, tasks[case])
    assert (task["stopCode"], task["stoppedReason"]) == (code, reason), task["containers"]
    for name, (exit_code, beginning) in containers.items():
        found = told(task, name)
        assert found[0] == exit_code, (name, found)
        if beginning is None:
            assert found[1] is None, (name, found)
        else:
            begins(found[1], beginning)


def test_a_user_stops_it(server):
    ecs = server.client("ecs")
    plain, reasoned = (launch(server, [c(WAITS)], "FARGATE") for _ in range(2))
    for arn in (plain, reasoned):
        running(server, arn)
    ecs.stop_task(task=plain)
    ecs.stop_task(task=reasoned, reason="a word of why, ü")
    for arn, reason in ((plain, "Task stopped by user"), (reasoned, "a word of why, ü")):
        task = stopped(server, arn)
        assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", reason)
        assert told(task) == (0, None)


def test_an_instance_that_goes(server):
    """Deregistered by force, it takes its tasks along; this is the module's last task on it."""
    ecs = server.client("ecs")
    arn = launch(server, [c(WAITS)])
    running(server, arn)
    ecs.deregister_container_instance(containerInstance=describe(server, arn)["containerInstanceArn"], force=True)
    task = stopped(server, arn)
    assert task["stopCode"] in ("UserInitiated", "TerminationNotice")
