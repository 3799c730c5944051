"""Push and pull of a 150 MB image, next to Debian's docker-registry (2.8).

Once with skopeo, whose own work is most of the time, and once with a client that only moves bytes.
Every round has an image of its own, so that nothing is there already. Layers are random bytes in gzip's
form: skopeo would compress anything else.
"""

import base64
import gzip
import hashlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from common import PLACE, Raw, Server, cpu_seconds, debian, free_port, json_request, row, sh, spread, title, wait_for

ROUNDS = int(os.environ.get("ROUNDS", 5))
LAYERS, LAYER = 3, 50_000_000
PULLS = 4


class Image:
    """An OCI layout with random layers."""

    def __init__(self, at):
        (at / "blobs/sha256").mkdir(parents=True)
        self.at, self.layers = at, []
        kind = "application/vnd.oci.image."
        for _ in range(LAYERS):
            self.layers.append(self.put(gzip.compress(os.urandom(LAYER), 0)))
        config = self.put(json.dumps({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest for digest, _ in self.layers]}}).encode())
        describe = lambda what, blob: {"mediaType": kind + what, "digest": blob[0], "size": blob[1]}
        manifest = self.put(json.dumps({
            "schemaVersion": 2, "mediaType": kind + "manifest.v1+json", "config": describe("config.v1+json", config),
            "layers": [describe("layer.v1.tar+gzip", layer) for layer in self.layers]}).encode())
        index = {"schemaVersion": 2, "manifests": [describe("manifest.v1+json", manifest)]}
        (at / "index.json").write_text(json.dumps(index))
        (at / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def put(self, content):
        digest = hashlib.sha256(content).hexdigest()
        (self.at / "blobs/sha256" / digest).write_bytes(content)
        return "sha256:" + digest, len(content)

    def read(self, digest):
        return (self.at / "blobs" / digest.replace(":", "/")).read_bytes()


class Registry:
    """A registry, its password if it wants one, and how to make a repository."""

    def __init__(self, name, port, pid, password=None, make=lambda name: None):
        self.name, self.port, self.pid, self.password, self.make = name, port, pid, password, make

    def skopeo(self, way, source, to):
        command = ["skopeo", "copy", "--quiet", f"--{way}-tls-verify=false"]
        if self.password:
            command += [f"--{way}-creds", f"AWS:{self.password}"]
        began = time.monotonic()
        sh(*command, source, to)
        return time.monotonic() - began

    def request(self, method, path, body=b"", sink=False):
        """Status, headers, and either the body or how long it was."""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost:{self.port}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        if self.password:
            head += "Authorization: Basic " + base64.b64encode(f"AWS:{self.password}".encode()).decode() + "\r\n"
        if body:
            head += "Content-Type: application/octet-stream\r\n"
        with socket.create_connection(("127.0.0.1", self.port)) as client:
            client.sendall(head.encode() + b"\r\n")
            client.sendall(body)
            buffer, got = bytearray(1 << 20), b""
            while b"\r\n\r\n" not in got:
                count = client.recv_into(buffer)
                if not count:
                    raise ConnectionError(f"{self.name}: closed in the middle of {got[:200]}")
                got += buffer[:count]
            head, rest = got.split(b"\r\n\r\n", 1)
            lines = head.decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
            status, length = int(lines[0].split()[1]), len(rest)
            # The kernel throws the rest away: the client costs nothing.
            while count := client.recv_into(buffer, len(buffer), socket.MSG_TRUNC):
                length += count
        assert status < 300, (self.name, lines, rest)
        return headers, length

    def push_raw(self, repository, content, digest):
        headers, _ = self.request("POST", f"/v2/{repository}/blobs/uploads/")
        at = headers["location"].removeprefix(f"http://localhost:{self.port}")
        at += ("&" if "?" in at else "?") + f"digest={digest}"
        self.request("PUT", at, content)

    def pull_raw(self, repository, digest, size):
        _, length = self.request("GET", f"/v2/{repository}/blobs/{digest}")
        assert length == size, (self.name, length)


@contextmanager
def docker_registry():
    program = shutil.which("docker-registry") or debian("docker-registry") / "usr/bin/docker-registry"
    place, port = Path(tempfile.mkdtemp(prefix="registry-", dir=PLACE)), free_port()
    (place / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{cache: {{blobdescriptor: inmemory}}, filesystem: {{rootdirectory: {place}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n")
    process = subprocess.Popen([program, "serve", place / "config.yml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    registry = Registry("docker-registry", port, process.pid)
    try:
        def answers():
            try:
                return registry.request("GET", "/v2/")
            except OSError:
                return None
        wait_for(answers, 30, "docker-registry")
        yield registry
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(place)


def ours(server):
    answer = json.loads(server.raw.call(json_request(server.port, "GetAuthorizationToken", {}, "ecr", "AmazonEC2ContainerRegistry_V20150921")))
    token = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode().split(":", 1)[1]
    # A connection of its own: one that says nothing during a round is closed.
    make = lambda name: Raw(server.port).call(json_request(
        server.port, "CreateRepository", {"repositoryName": name}, "ecr", "AmazonEC2ContainerRegistry_V20150921"))
    return Registry("boxship", server.port, server.pid, token, make)


def together(work):
    """Seconds until all of it is done, each on a thread."""
    failures = []

    def run(each):
        try:
            each()
        except Exception as error:
            failures.append(error)
    threads = [threading.Thread(target=run, args=[each]) for each in work]
    began = time.monotonic()
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    took = time.monotonic() - began
    if failures:
        raise failures[0]
    return took


def measure(registry, number, image, raw, place):
    """Seconds of the four ways, and the CPU that each cost the registry."""
    repository = f"bench-{number}"
    registry.make(repository)
    at = f"docker://localhost:{registry.port}/{repository}:1"
    to = place / "pulled"
    ways = {
        "push, skopeo": lambda: registry.skopeo("dest", f"oci:{image.at}", at),
        "pull, skopeo": lambda: registry.skopeo("src", at, f"dir:{to}"),
        "push, raw": lambda: together([lambda b=b: registry.push_raw(repository, *b) for b in raw]),
        f"pull, raw, {PULLS} times": lambda: together(
            [lambda b=b: registry.pull_raw(repository, b[1], len(b[0])) for b in raw] * PULLS),
    }
    figures = {}
    for name, way in ways.items():
        os.sync()
        cpu = cpu_seconds(registry.pid)
        figures[name] = (way(), cpu_seconds(registry.pid) - cpu)
        shutil.rmtree(to, ignore_errors=True)
    return figures


def main():
    title(f"Registry: {LAYERS * LAYER // 1_000_000} MB in {LAYERS} layers (server's CPU in brackets)")
    debian("skopeo", "skopeo")
    with Server("simulated") as server, docker_registry() as theirs:
        peers = [ours(server), theirs]
        all_figures = []
        for number in range(ROUNDS):
            with tempfile.TemporaryDirectory(dir=PLACE) as place:
                place = Path(place)
                image = Image(place / "image")
                raw = [(content, "sha256:" + hashlib.sha256(content).hexdigest())
                       for content in (os.urandom(LAYER) for _ in range(LAYERS))]
                order = peers if number % 2 == 0 else peers[::-1]
                all_figures.append({peer.name: measure(peer, number, image, raw, place) for peer in order})
        for way in all_figures[0]["boxship"]:
            wall, cpu = [{peer.name: statistics.median(f[peer.name][way][part] for f in all_figures) for peer in peers}
                         for part in (0, 1)]
            ratio = wall["docker-registry"] / wall["boxship"]
            row(way, " / ".join(f"{wall[p.name]:.2f} s ({cpu[p.name]:.2f})" for p in peers) + f" = {ratio:.2f} ×",
                "≥ 1.5 ×", ratio >= 1.5)
