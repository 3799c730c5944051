"""Where tasks' images come from: this registry under its names, archives, mirrors, digests."""

import shutil
import subprocess

import pytest

import toolbox
from conftest import describe, needs_root, stopped
from toolbox import printed, start

pytestmark = needs_root


def says(path, word):
    """An archive whose image says a word."""
    return toolbox.archive(path, {**toolbox.CONFIG, "Entrypoint": ["/bin/echo"], "Cmd": [word]})


def said(server, image):
    """What an image's own command prints."""
    return printed(server, None, image=image, entryPoint=[], command=[])


@pytest.mark.parametrize("name", [
    "nginx", "nginxdemos/hello", "public.ecr.aws/nginx/nginx:stable", "docker.io/library/redis:7", "quay.io/a/b/c:x_1.2-y",
    "registry.example.com:5000/team/app:v1"])
def test_loaded_under_any_name(box, tmp_path, name):
    """An archive stands in for an image of elsewhere: the task definition stays as it is."""
    box.run("image", "load", str(says(tmp_path / "image.tar", name)), name)
    assert said(box, name) == [name]


def test_names_of_one_image(box, tmp_path):
    """As Docker reads names: no registry means docker.io, no repository library, no tag latest."""
    box.run("image", "load", str(says(tmp_path / "image.tar", "busy")), "busy")
    for name in ["busy", "busy:latest", "docker.io/busy", "docker.io/library/busy:latest", "index.docker.io/library/busy"]:
        assert said(box, name) == ["busy"]


def test_loaded_by_digest(box, tmp_path):
    """The digest that DescribeTasks shows names the image too, but only in its own repository."""
    box.run("image", "load", str(says(tmp_path / "image.tar", "exact")), "acme/exact:1")
    assert said(box, "acme/exact:1") == ["exact"]
    digest = stopped(box, start(box, None, image="acme/exact:1", entryPoint=[], command=[]))["containers"][0]["imageDigest"]
    assert said(box, f"acme/exact@{digest}") == ["exact"]
    elsewhere = start(box, None, image=f"acme/other@{digest}", entryPoint=[], command=[])
    assert "CannotPullContainerError" in stopped(box, elsewhere)["stoppedReason"]


def test_loaded_again(box, tmp_path):
    """The newer archive has the name, the older one its digest."""
    digests = {}
    for word in ["older", "newer"]:
        box.run("image", "load", str(says(tmp_path / f"{word}.tar", word)), "again:1")
        assert said(box, "again:1") == [word]
        task = stopped(box, start(box, None, image="again:1", entryPoint=[], command=[]))
        digests[word] = task["containers"][0]["imageDigest"]
    for word, digest in digests.items():
        assert said(box, f"again@{digest}") == [word]


def test_docker_archive(box, tmp_path):
    """As `docker save` writes it."""
    if shutil.which("skopeo") is None:
        pytest.skip("left out: skopeo is not installed")
    subprocess.run(["skopeo", "copy", "--quiet", f"oci-archive:{says(tmp_path / 'oci.tar', 'docker')}",
                    f"docker-archive:{tmp_path}/docker.tar:named:by-archive"], check=True)
    box.run("image", "load", str(tmp_path / "docker.tar"))
    assert said(box, "named:by-archive") == ["docker"]


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00rest"])
def test_a_broken_archive(box, tmp_path, content):
    (tmp_path / "broken.tar").write_bytes(content)
    done = box.run("image", "load", str(tmp_path / "broken.tar"), "broken", check=False)
    assert done.returncode != 0
    assert done.stderr.strip()
    assert "panicked" not in done.stderr


def test_names_of_the_registry(box, tmp_path):
    """One repository under localhost, under AWS's name, by tag and by digest; the task shows the digest."""
    box.run("image", "push", str(says(tmp_path / "image.tar", "pushed")), "app:1")
    [image] = box.client("ecr").describe_images(repositoryName="app")["imageDetails"]
    digest = image["imageDigest"]
    aws = "000000000000.dkr.ecr.us-east-1.amazonaws.com"
    for name in [f"{box.registry}/app:1", f"{aws}/app:1", f"000000000000.dkr.ecr.us-east-1.localhost:{box.port}/app:1",
                 f"{box.registry}/app@{digest}", f"{aws}/app@{digest}", f"{box.registry}/app:other@{digest}"]:
        assert said(box, name) == ["pushed"], name
    arn = start(box, None, image=f"{box.registry}/app:1", entryPoint=[], command=[])
    stopped(box, arn)
    assert describe(box, arn)["containers"][0]["imageDigest"] == digest
    assert describe(box, arn)["containers"][0]["image"] == f"{box.registry}/app:1"


def test_a_moved_tag(box, tmp_path):
    """The next task runs what the tag says then."""
    for word in ["first", "second"]:
        box.run("image", "push", str(says(tmp_path / f"{word}.tar", word)), "moved:1")
        assert said(box, f"{box.registry}/moved:1") == [word]
