"""Version consistency on real tasks: a revision goes on with the image that its first task found, whatever the tag names by now."""

import pytest

import toolbox
from conftest import IS_ROOT, Server, define, network, wait_for

SAYS = "trap 'exit 0' TERM; while :; do sleep 1; done & wait"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if not IS_ROOT:
        pytest.skip("left out: real containers need root")
    server = Server("linux").start()
    server.client("ecs").create_cluster(clusterName="default")
    yield server
    server.down()


def load(server, directory, version):
    """Loads an image that is told from the one before by a file, under the one name."""
    archive = toolbox.archive(directory / f"{version}.tar", files=[("version", 0o644, version.encode())])
    server.run("image", "load", str(archive), "app:1")


def digests(server):
    ecs = server.client("ecs")
    arns = ecs.list_tasks(serviceName="app")["taskArns"]
    tasks = ecs.describe_tasks(tasks=arns)["tasks"] if arns else []
    running = [task["containers"][0] for task in tasks if task["lastStatus"] == "RUNNING"]
    assert {container["image"] for container in running} <= {"app:1"}, "what is shown is what was registered"
    return [container["imageDigest"] for container in running]


def count(server, number):
    return wait_for(lambda: len(digests(server)) == number and digests(server), 60, f"{number} tasks")


def test_a_tag_that_is_loaded_anew(server, tmp_path):
    ecs = server.client("ecs")
    load(server, tmp_path, "one")
    container = {"name": "app", "image": "app:1", "entryPoint": ["/bin/sh", "-c"], "command": [SAYS], "stopTimeout": 2}
    definition = define(server, "app", [dict(container)])
    ecs.create_service(serviceName="app", taskDefinition=definition, desiredCount=1, launchType="FARGATE",
                       networkConfiguration=network(server))
    [first] = count(server, 1)
    load(server, tmp_path, "two")
    ecs.update_service(service="app", desiredCount=2)
    assert set(count(server, 2)) == {first}, "the tag names another image, the revision does not"
    # A new deployment looks at the tag anew, and goes on with what it finds.
    ecs.update_service(service="app", forceNewDeployment=True)
    def moved():
        found = digests(server)
        return len(found) == 2 and first not in found and found
    second = wait_for(moved, 90, "the new deployment")
    assert len(set(second)) == 1
    # Switched off, every task looks for itself.
    ecs.update_service(service="app", desiredCount=1,
                       taskDefinition=define(server, "app", [{**container, "versionConsistency": "disabled"}]))
    wait_for(lambda: ecs.describe_services(services=["app"])["services"][0]["deployments"][0]["rolloutState"] == "COMPLETED", 90)
    load(server, tmp_path, "three")
    ecs.update_service(service="app", desiredCount=2)
    assert len(set(count(server, 2))) == 2
    ecs.delete_service(service="app", force=True)
    wait_for(lambda: ecs.describe_services(services=["app"])["services"][0]["status"] == "INACTIVE", 60)
