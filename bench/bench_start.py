"""From the request to the first instruction of the program, next to `runc run` and `docker run`.

All three start the same root file system, in turn, and the program itself tells the time at which it
began: how fast its output arrives does not matter. runc gets the very specification that our launcher
got. docker runs with `--network none`, which favours it: we make a network interface.
"""

import io
import json
import os
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from common import PLACE, Server, debian, linux_lock, row, sh, spread, title, wait_for

ROUNDS = int(os.environ.get("ROUNDS", 40))
HERE = Path(__file__).resolve().parent


def build():
    """The program, its image as an archive, and the image's root file system."""
    stamp = PLACE / "stamp"
    sh("cc", "-nostdlib", "-static", "-o", stamp, HERE / "stamp.S")
    return stamp


def unpack(archive, to):
    """What is in the image, as a directory."""
    with tarfile.open(archive) as tar:
        read = lambda digest: tar.extractfile("blobs/" + digest.replace(":", "/")).read()
        manifest = json.loads(read(json.load(tar.extractfile("index.json"))["manifests"][0]["digest"]))
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(read(layer["digest"]))) as content:
                content.extractall(to)
        return json.loads(read(manifest["config"]["digest"]))["config"]


class Ours:
    name = "boxship RunTask"

    def __init__(self, server, archive):
        self.server = server
        server.boxship("image", "push", archive, "stamp:1")
        server.ecs("CreateCluster", clusterName="default")
        self.network, role = server.network(), server.role()
        log = {"logDriver": "awslogs", "options": {"awslogs-group": "/bench", "awslogs-region": "us-east-1",
                                                   "awslogs-stream-prefix": "b", "awslogs-create-group": "true"}}
        for family, command in [("stamp", []), ("stay", ["stay"])]:
            container = {"name": "c", "image": f"000000000000.dkr.ecr.us-east-1.localhost:{server.port}/stamp:1",
                         "essential": True, "logConfiguration": log}
            if command:
                container["command"] = command
            server.ecs("RegisterTaskDefinition", family=family, requiresCompatibilities=["FARGATE"], networkMode="awsvpc",
                       cpu="256", memory="512", executionRoleArn=role, containerDefinitions=[container])
        self.steps = {}

    def run(self, family="stamp", **members):
        answer = self.server.ecs("RunTask", taskDefinition=family, launchType="FARGATE",
                                 networkConfiguration=self.network, **members)
        assert not answer["failures"], answer
        return answer["tasks"][0]["taskArn"]

    def stopped(self, arn):
        task = self.server.ecs("DescribeTasks", tasks=[arn])["tasks"][0]
        return task if task["lastStatus"] == "STOPPED" else None

    def stamp(self, arn):
        stream = f"b/c/{arn.rsplit('/', 1)[1]}"
        events = self.server.logs("GetLogEvents", logGroupName="/bench", logStreamName=stream, startFromHead=True)["events"]
        return int(events[0]["message"]) / 1e9

    def start(self):
        """When it was asked for, and when the program began."""
        began = time.time()
        arn = self.run()
        answered = time.time()
        task = wait_for(lambda: self.stopped(arn), 30, "the task's end", 0.02)
        program = self.stamp(arn)
        marks = [began, answered, task["pullStartedAt"], task["pullStoppedAt"], program]
        for name, at, before in zip(["request answered (durable)", "agent takes the order (from the answer)", "image at hand",
                                     "network, shim and container"], marks[1:], marks):
            self.steps.setdefault(name, []).append(at - before)
        return began, program


class Runc:
    name = "runc run"

    def __init__(self, ours, rootfs, to):
        """The specification of a running container of ours, for runc."""
        arn = ours.run("stay")
        task = arn.rsplit("/", 1)[1]
        at = ours.server.data_dir / "tasks" / task
        config = wait_for(lambda: next(iter(at.glob("containers/*/config.json")), None), 10, "a container")
        wait_for(lambda: ours.server.ecs("DescribeTasks", tasks=[arn])["tasks"][0]["lastStatus"] == "RUNNING", 10)
        spec = json.loads(config.read_text())
        for mount in spec["mounts"]:
            source = Path(mount.get("source") or "/")
            if at in source.parents:
                shutil.copy(source, to / source.name)
                mount["source"] = str(to / source.name)
        ours.server.ecs("StopTask", task=arn)
        wait_for(lambda: ours.stopped(arn), 60, "the sample's end", 0.05)
        spec["root"] = {"path": str(rootfs)}
        spec["process"]["args"] = spec["process"]["args"][:1]
        # Its own limits of open files are above what runc may raise here.
        spec["process"].pop("rlimits", None)
        for namespace in spec["linux"]["namespaces"]:
            namespace.pop("path", None)
        spec["linux"]["cgroupsPath"] = "/boxship-bench/runc"
        (to / "config.json").write_text(json.dumps(spec))
        self.bundle, self.number = to, 0

    def start(self):
        self.number += 1
        began = time.time()
        out = sh("runc", "--root", self.bundle / "state", "run", "--bundle", self.bundle, f"bench-{os.getpid()}-{self.number}")
        return began, int(out) / 1e9


class Docker:
    def __init__(self, client, socket, version):
        self.command = [client, "-H", f"unix://{socket}", "run", "--rm", "--network", "none", "stamp"]
        self.name = f"docker run ({version})"

    def start(self):
        began = time.time()
        return began, int(sh(*self.command)) / 1e9


@contextmanager
def docker(rootfs, entry, image="stamp", has_network=False):
    """Debian's dockerd in mount and network namespaces of its own, so that it changes nothing of the machine's.
    With a network, its bridge is in that namespace too, and leads nowhere."""
    path = [debian(package, "dockerd") for package in ["docker.io", "containerd"]]
    place = Path(tempfile.mkdtemp(prefix="docker-", dir=PLACE))
    binaries = [str(p / "usr" / part) for p in path for part in ["bin", "sbin"]]
    environment = {**os.environ, "PATH": ":".join([*binaries, os.environ["PATH"]]), "DOCKER_RAMDISK": "1", "HOME": str(place)}
    client = shutil.which("docker", path=environment["PATH"])
    socket = place / "docker.sock"
    bridge = "--bip 10.254.0.1/16 --host-gateway-ip 10.254.0.1" if has_network else "--bridge=none"
    command = (f"ip link set lo up && exec dockerd -H unix://{socket} --data-root {place}/data --exec-root {place}/run "
               f"--pidfile {place}/pid --iptables=false --ip6tables=false {bridge}")
    daemon = subprocess.Popen(["unshare", "-m", "-n", "--propagation", "private", "sh", "-c", command], env=environment,
                              stdout=open(place / "log", "wb"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: socket.exists() or daemon.poll() is not None, 60, "dockerd")
        wait_for(lambda: subprocess.run([client, "-H", f"unix://{socket}", "version"], capture_output=True).returncode == 0
                 or daemon.poll() is not None, 60, "dockerd", 0.2)
        if daemon.poll() is not None:
            raise RuntimeError((place / "log").read_text()[-2000:])
        version = sh(client, "-H", f"unix://{socket}", "version", "--format", "{{.Server.Version}}").strip()
        driver = sh(client, "-H", f"unix://{socket}", "info", "--format", "{{.Driver}}").strip()
        tar = place / "rootfs.tar"
        sh("tar", "-cf", tar, "-C", rootfs, ".")
        sh(client, "-H", f"unix://{socket}", "import", "--change", f"ENTRYPOINT {json.dumps(entry)}", tar, image)
        yield Docker(client, socket, f"{version}, {driver}")
    finally:
        daemon.terminate()
        daemon.wait(60)
        shutil.rmtree(place, ignore_errors=True)


def main():
    title("Start: request → first instruction of the program, image present")
    with linux_lock(), ExitStack() as stack, Server("linux") as server:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=PLACE)))
        archive, rootfs, bundle = scratch / "stamp.tar", scratch / "rootfs", scratch / "bundle"
        bundle.mkdir()
        server.boxship("image", "make", build(), archive)
        config = unpack(archive, rootfs)
        ours = Ours(server, archive)
        peers = [ours, Runc(ours, rootfs, bundle)]
        try:
            peers.append(stack.enter_context(docker(rootfs, config["Entrypoint"])))
        except Exception as error:  # whatever it is, the others are still worth measuring
            print(f"  docker is left out: {str(error)[-600:]}")
        times = {peer.name: [] for peer in peers}
        for number in range(ROUNDS + 3):
            for peer in peers:
                began, program = peer.start()
                if number >= 3:
                    times[peer.name].append(program - began)
        report(ours, times)
        burst(ours)


def report(ours, times):
    medians = {name: statistics.median(samples) for name, samples in times.items()}
    for name, samples in times.items():
        row(name, spread(samples))
    first = medians[ours.name]
    for (name, median), goal in zip(list(medians.items())[1:], [0.6, 0.1]):
        row(f"ratio to {name}", f"{first / median:.2f} ×", f"≤ {goal} ×", first / median <= goal)
    for name, samples in ours.steps.items():
        row(f"  of ours: {name}", spread(samples[3:]))


def burst(ours, count=8):
    """One request for several tasks: the last to begin."""
    samples = []
    for _ in range(5):
        began = time.time()
        answer = ours.server.ecs("RunTask", taskDefinition="stamp", launchType="FARGATE",
                                 networkConfiguration=ours.network, count=count)
        arns = [task["taskArn"] for task in answer["tasks"]]
        for arn in arns:
            wait_for(lambda: ours.stopped(arn), 60, "the task's end", 0.05)
        samples.append(max(ours.stamp(arn) for arn in arns) - began)
    row(f"boxship, {count} tasks in one request: the last", spread(samples))
