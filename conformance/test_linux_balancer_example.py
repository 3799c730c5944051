"""Scenario 18, as a reader runs it."""

import shutil

import pytest

from conftest import AWS_CLI, IS_ROOT, Server, needs_root
from test_examples import script

pytestmark = [needs_root, pytest.mark.skipif(not AWS_CLI, reason="left out: no AWS CLI"),
              pytest.mark.skipif(shutil.which("curl") is None, reason="left out: curl is not installed"),
              pytest.mark.skipif(shutil.which("openssl") is None, reason="left out: openssl is not installed")]


@pytest.fixture(scope="module")
def server(toolbox_archive):
    if not IS_ROOT:
        pytest.skip("left out: real containers need root")
    server = Server("linux", "--instance", "DemoCluster").start()
    server.run("image", "load", str(toolbox_archive), "toolbox")
    yield server
    server.down()


def test_a_load_balancer_from_the_first_group_to_the_last(server, tmp_path):
    said = script(server, "18-load-balancer.sh", tmp_path, IMAGE="toolbox")
    lines = said.splitlines()
    assert "http:  2 of the web tasks answer" in lines, said
    assert "http:  3 of the api tasks answer under /api/" in lines, said
    secure = [line for line in lines if line.startswith("https:")]
    assert [line.split()[1] for line in secure] == ["web", "api", "api"], said
    moved = next(line for line in lines if line.startswith("moved:"))
    assert moved.split()[1] == "301" and moved.endswith("/secret"), said
    assert "http:  1 of the web tasks answers" in lines, said
