"""The registry under clients that people have: skopeo, podman, docker. None of them is changed or told of Boxship."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile

import pytest

import toolbox
from conftest import IS_ROOT, Server, leftovers, wait_for


@pytest.fixture(scope="module")
def server():
    server = Server("simulated").start()
    yield server
    server.down()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return toolbox.archive(tmp_path_factory.mktemp("image") / "image.tar")


def credentials(server):
    token = server.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    return base64.b64decode(token).decode()


def repository(server, name, **members):
    server.client("ecr").create_repository(repositoryName=name, **members)
    return f"{server.registry}/{name}"


def described(server, name):
    images = server.client("ecr").describe_images(repositoryName=name)["imageDetails"]
    return {tag: image for image in images for tag in image.get("imageTags", [])}


def command(*words, check=True, **options):
    done = subprocess.run([str(word) for word in words], text=True, capture_output=True, timeout=120, **options)
    assert not check or done.returncode == 0, done.stderr
    return done


# skopeo

needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="left out: skopeo is not installed")


def skopeo(server, *words, **options):
    kind, *rest = words
    flags = {"copy": ["--src-tls-verify=false", "--dest-tls-verify=false", "--quiet"]}.get(kind, ["--tls-verify=false"])
    if kind == "copy":
        source, destination = [word for word in rest if ":" in word]
        if source.startswith("docker://"):
            flags += ["--src-creds", credentials(server)]
        if destination.startswith("docker://"):
            flags += ["--dest-creds", credentials(server)]
    else:
        flags += ["--creds", credentials(server)]
    return command("skopeo", kind, *flags, *rest, **options)


def content(path):
    """Names and types of what the layers of an OCI directory hold."""
    names = []
    for blob in (path / "blobs/sha256").iterdir():
        if tarfile.is_tarfile(blob):
            names += tarfile.open(blob).getnames()
    return sorted(names)


@needs_skopeo
@pytest.mark.parametrize(("form", "media_type"), [
    ("oci", "application/vnd.oci.image.manifest.v1+json"), ("v2s2", "application/vnd.docker.distribution.manifest.v2+json")])
def test_skopeo_round_trip(server, image, tmp_path, form, media_type):
    """What comes back is what went in, and its digest is what ECR says."""
    to = repository(server, f"skopeo-{form}")
    skopeo(server, "copy", f"oci-archive:{image}", f"docker://{to}:1", "--format", form)
    [detail] = described(server, f"skopeo-{form}").values()
    assert detail["imageManifestMediaType"] == media_type
    skopeo(server, "copy", f"docker://{to}:1", f"oci:{tmp_path}/back:1")
    command("skopeo", "copy", "--quiet", f"oci-archive:{image}", f"oci:{tmp_path}/source:1")
    assert content(tmp_path / "back") == content(tmp_path / "source")
    raw = skopeo(server, "inspect", "--raw", f"docker://{to}:1").stdout
    assert json.loads(raw)["schemaVersion"] == 2
    inspected = json.loads(skopeo(server, "inspect", f"docker://{to}:1").stdout)
    assert inspected["Digest"] == detail["imageDigest"]
    assert inspected["RepoTags"] == ["1"]


@needs_skopeo
def test_skopeo_index(server, tmp_path):
    """An index with two architectures is copied whole, between registries' repositories too."""
    layout = tmp_path / "layout"
    for architecture in ["amd64", "arm64"]:
        archive = toolbox.archive(tmp_path / f"{architecture}.tar", architecture=architecture)
        command("skopeo", "copy", "--quiet", f"oci-archive:{archive}", f"oci:{layout}:{architecture}")
    index = json.loads((layout / "index.json").read_text())
    for manifest, architecture in zip(index["manifests"], ["amd64", "arm64"], strict=True):
        manifest.pop("annotations", None)
        manifest["platform"] = {"architecture": architecture, "os": "linux"}
    index["mediaType"] = "application/vnd.oci.image.index.v1+json"
    data = json.dumps(index).encode()
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(data)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [{
        "mediaType": index["mediaType"], "digest": f"sha256:{digest}", "size": len(data),
        "annotations": {"org.opencontainers.image.ref.name": "all"}}]}))
    one, two = repository(server, "index"), repository(server, "index-copy")
    skopeo(server, "copy", "--all", f"oci:{layout}:all", f"docker://{one}:all")
    assert described(server, "index")["all"]["imageDigest"] == f"sha256:{digest}"
    skopeo(server, "copy", "--all", f"docker://{one}:all", f"docker://{two}:all")
    assert described(server, "index-copy")["all"]["imageDigest"] == f"sha256:{digest}"
    for architecture in ["amd64", "arm64"]:
        found = skopeo(server, "inspect", "--override-arch", architecture, f"docker://{two}:all")
        assert json.loads(found.stdout)["Architecture"] == architecture
    assert len(server.client("ecr").list_images(repositoryName="index-copy")["imageIds"]) == 3


@needs_skopeo
def test_skopeo_delete_and_tags(server, image):
    to = repository(server, "tags")
    for tag in ["a", "b"]:
        skopeo(server, "copy", f"oci-archive:{image}", f"docker://{to}:{tag}")
    assert json.loads(skopeo(server, "list-tags", f"docker://{to}").stdout)["Tags"] == ["a", "b"]


@needs_skopeo
def test_skopeo_is_told_why_not(server, image):
    to = repository(server, "immutable", imageTagMutability="IMMUTABLE")
    other = toolbox.archive(image.parent / "other.tar", {**toolbox.CONFIG, "Env": ["OTHER=1"]})
    skopeo(server, "copy", f"oci-archive:{image}", f"docker://{to}:1")
    again = skopeo(server, "copy", f"oci-archive:{other}", f"docker://{to}:1", check=False)
    assert again.returncode != 0
    assert "immutable" in again.stderr.lower(), again.stderr
    missing = skopeo(server, "copy", f"oci-archive:{image}", f"docker://{server.registry}/nowhere:1", check=False)
    assert missing.returncode != 0
    assert "does not exist" in missing.stderr or "name unknown" in missing.stderr, missing.stderr
    stranger = command("skopeo", "inspect", "--tls-verify=false", "--creds", "AWS:wrong", f"docker://{to}:1", check=False)
    assert stranger.returncode != 0
    assert "Your authorization token is not valid or has expired" in stranger.stderr


# podman

@pytest.fixture
def podman(tmp_path):
    """podman with a store of its own."""
    if shutil.which("podman") is None:
        pytest.skip("left out: podman is not installed")
    if not IS_ROOT:
        pytest.skip("left out: podman's store needs root here")
    policy = tmp_path / "policy.json"
    policy.write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    environment = {**os.environ, "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json"), "HOME": str(tmp_path)}

    def run(*words, **options):
        return command("podman", "--root", tmp_path / "root", "--runroot", tmp_path / "run", "--tmpdir", tmp_path / "tmp",
                       "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", *words, env=environment, **options)

    run.policy = ["--signature-policy", str(policy)]
    yield run
    run("rmi", "--all", "--force", check=False)


def test_podman(server, image, podman):
    to = repository(server, "podman")
    user, secret = credentials(server).split(":", 1)
    podman("login", "--tls-verify=false", "--username", user, "--password-stdin", server.registry, input=secret)
    loaded = podman("load", "--quiet", *podman.policy, "--input", image).stdout.strip().rsplit(" ", 1)[-1].removeprefix("sha256:")
    podman("tag", loaded, f"{to}:1")
    podman("push", "--quiet", "--tls-verify=false", *podman.policy, f"{to}:1")
    digest = described(server, "podman")["1"]["imageDigest"]
    podman("rmi", "--force", loaded)
    podman("pull", "--quiet", "--tls-verify=false", *podman.policy, f"{to}:1")
    podman("pull", "--quiet", "--tls-verify=false", *podman.policy, f"{to}@{digest}")
    [config] = json.loads(podman("image", "inspect", f"{to}:1").stdout)
    assert "FROM_IMAGE=yes" in config["Config"]["Env"]
    assert digest in config["RepoDigests"][0]
    podman("logout", server.registry)
    refused = podman("pull", "--tls-verify=false", *podman.policy, f"{to}:1", check=False)
    assert refused.returncode != 0


# docker

@pytest.fixture
def docker(tmp_path):
    """docker with a daemon of its own: no bridge, no firewall rules, its own directories."""
    daemon = shutil.which("dockerd")
    if daemon is None or shutil.which("docker") is None:
        pytest.skip("left out: docker and dockerd are not installed")
    if not IS_ROOT:
        pytest.skip("left out: dockerd needs root")
    socket = tmp_path / "docker.sock"
    log = open(tmp_path / "dockerd.log", "wb")
    # A mount namespace of its own takes the daemon's mounts away with it.
    process = subprocess.Popen(
        ["unshare", "--mount", daemon, "--bridge=none", "--iptables=false", "--ip6tables=false", "--host", f"unix://{socket}",
         "--data-root", tmp_path / "data", "--exec-root", tmp_path / "exec", "--pidfile", tmp_path / "docker.pid",
         "--storage-driver", "vfs"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    environment = {**os.environ, "DOCKER_HOST": f"unix://{socket}", "DOCKER_CONFIG": str(tmp_path / "config")}

    def run(*words, **options):
        return command("docker", *words, env=environment, **options)

    def is_up():
        assert process.poll() is None, (tmp_path / "dockerd.log").read_text()[-2000:]
        return socket.exists() and run("version", check=False).returncode == 0
    try:
        wait_for(is_up, 30, "dockerd")
        yield run
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
        assert leftovers(tmp_path) == []


def test_docker(server, image, docker):
    """`aws ecr get-login-password | docker login`, push, pull: by tag and by digest."""
    to = repository(server, "docker")
    user, secret = credentials(server).split(":", 1)
    done = docker("login", "--username", user, "--password-stdin", server.registry, input=secret)
    assert "Login Succeeded" in done.stdout
    loaded = docker("load", "--quiet", "--input", image, check=False)
    if loaded.returncode:
        # Daemons before 25 do not read OCI archives.
        if shutil.which("skopeo") is None:
            pytest.skip("left out: this docker reads no OCI archive, and skopeo is not installed")
        archive = image.parent / "docker.tar"
        archive.unlink(missing_ok=True)
        command("skopeo", "copy", "--quiet", f"oci-archive:{image}", f"docker-archive:{archive}:loaded:1")
        loaded = docker("load", "--quiet", "--input", archive)
    name = loaded.stdout.strip().split(": ", 1)[-1]
    docker("tag", name, f"{to}:1")
    docker("push", f"{to}:1")
    digest = described(server, "docker")["1"]["imageDigest"]
    docker("rmi", "--force", f"{to}:1", name)
    pulled = docker("pull", f"{to}:1").stdout
    assert digest in pulled
    docker("pull", f"{to}@{digest}")
    [config] = json.loads(docker("image", "inspect", f"{to}:1").stdout)
    assert "FROM_IMAGE=yes" in config["Config"]["Env"]
    docker("push", f"{to}:1")  # everything exists already
    wrong = docker("login", "--username", user, "--password-stdin", server.registry, input="wrong", check=False)
    assert wrong.returncode != 0
    assert "403" in wrong.stderr or "authorization token" in wrong.stderr, wrong.stderr
    docker("login", "--username", user, "--password-stdin", server.registry, input=secret)
    docker("tag", f"{to}:1", f"{server.registry}/nowhere:1")
    missing = docker("push", f"{server.registry}/nowhere:1", check=False)
    assert missing.returncode != 0
    assert "does not exist" in missing.stderr, missing.stderr
