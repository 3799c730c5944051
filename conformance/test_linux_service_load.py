"""Services behind a balancer under load at full speed: what rollouts, scaling, kills and a dying server cost.

A short form in the gate; `BOXSHIP_LONG=1` does ten rollouts, five cycles of scaling and thirty kills.
"""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from conftest import needs_root, wait_for
from service_load import Load
from service_web import Web, end, nothing_is_orphaned, proxy, serve, version
from test_linux_crash import supervisor

pytestmark = needs_root

LONG = bool(os.environ.get("BOXSHIP_LONG"))
ROLLOUTS, CYCLES, KILLS = (10, 5, 30) if LONG else (2, 1, 3)
# Some ask what takes a second: it is on its way while tasks leave.
PATHS = ["/", "/", "/", "/slow"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = serve(tmp_path_factory.mktemp("images"))
    yield server
    server.down()


@pytest.fixture(scope="module")
def web(server):
    web = Web(server, "web", healthCheckGracePeriodSeconds=30)
    web.stable()
    return web


def test_rollouts_and_scaling_lose_nothing(web):
    with Load(web.alias, processes=2, paths=PATHS) as load:
        for number in range(2, 2 + ROLLOUTS):
            web.update(taskDefinition=version(web.server, "web", f"v{number}"))
            web.stable()
            load.answers_with(f"v{number}")
        for _ in range(CYCLES):
            for desired in [6, 2, 3]:
                web.update(desiredCount=desired)
                web.stable()
                load.goes_on()
    print(load.report())
    load.lost_nothing()
    assert set(load.versions) == {f"v{number}" for number in range(1, 2 + ROLLOUTS)}


def test_a_new_deployment_in_the_middle_of_another_loses_nothing(web):
    with Load(web.alias, processes=2, paths=PATHS) as load:
        for name in ["early", "later", "last"]:
            revision = web.update(taskDefinition=version(web.server, "web", name))["taskDefinition"]
            wait_for(lambda: any(task["taskDefinitionArn"] == revision for task in web.tasks()), 30, "a task of the newest")
        web.stable()
        load.answers_with("last")
    print(load.report())
    load.lost_nothing()


def test_a_killed_task_costs_what_it_was_answering(web):
    seed = int(os.environ.get("BOXSHIP_SEED", random.randrange(1 << 32)))
    print(f"BOXSHIP_SEED={seed}")
    chance, deaths = random.Random(seed), []
    web.stable()
    with Load(web.alias, processes=2) as load:
        for number in range(KILLS):
            if number % 3 == 1:
                web.update(taskDefinition=version(web.server, "web", f"k{number}"))
            deaths.append(kill_any(web, chance))
            wait_for(lambda: len(web.healthy()) >= 3, 60, "another task")
            load.goes_on()
        web.stable()
    print(load.report())
    for since, until in deaths:
        during = [one for one in load.failures if one.began <= until and one.ended >= since]
        assert len(during) == len({one.connection for one in during}), load.report()
        load.failures = [one for one in load.failures if one not in during]
    load.lost_nothing()


def kill_any(web, chance):
    """SIGKILL to the first process of one of the tasks; from when on until when requests to it fail."""
    tasks = [task["taskArn"] for task in web.tasks() if task["lastStatus"] == "RUNNING"]
    for arn in chance.sample(tasks, len(tasks)):
        try:
            death = kill(web.server, arn)
        except (ValueError, ProcessLookupError):
            continue  # a rollout was quicker
        wait_for(lambda: all(task["taskArn"] != arn for task in web.tasks()), 30, "the end being noticed")
        return death
    raise AssertionError(f"none of {tasks} could be killed")


def kill(server, arn):
    """SIGKILL to the first process of a task; from when on until when requests to it fail."""
    shim, pids = supervisor(server, arn)
    [first] = [pid for pid in pids if parent(pid) == shim]
    since = time.monotonic()
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 10, "its processes ending")
    return since, time.monotonic()


def parent(pid):
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(next(line.split()[1] for line in lines if line.startswith("PPid")))


def test_a_rollout_goes_on_after_the_server_was_killed(web):
    server, plane = web.server, None
    try:
        plane = proxy(server)
        with Load(web.alias, processes=2, paths=PATHS) as load:
            for name in ["while", "again"]:
                revision = web.update(taskDefinition=version(server, "web", name))["taskDefinition"]
                wait_for(lambda: any(task["taskDefinitionArn"] == revision for task in web.tasks()), 30, "the rollout beginning")
                server.kill()
                load.goes_on(more=200)
                before = server.text().count("a proxy serves load balancers")
                server.start()
                wait_for(lambda: server.text().count("a proxy serves load balancers") > before, 20, "the server being followed")
                web.stable()
                load.answers_with(name)
        print(load.report())
        load.lost_nothing()
    finally:
        if plane:
            end(plane)
    nothing_is_orphaned(server)
    assert len(web.tasks()) == 3 and len(web.healthy()) == 3


def test_the_end_of_a_service_leaves_nothing(web):
    web.delete()
    wait_for(lambda: web.elb.describe_target_health(TargetGroupArn=web.group)["TargetHealthDescriptions"] == [], 30, "the targets going")
    nothing_is_orphaned(web.server)
