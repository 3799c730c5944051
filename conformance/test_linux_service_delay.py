"""Services behind groups without a deregistration delay: planes hear first, and tasks stop then."""

import time

import pytest

from conftest import needs_root, wait_for
from service_load import Load
from service_web import Web, serve, version

pytestmark = needs_root


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = serve(tmp_path_factory.mktemp("images"))
    yield server
    server.down()


def test_no_request_is_lost_without_a_delay(server):
    web = Web(server, "hasty")
    web.elb.modify_target_group_attributes(TargetGroupArn=web.group, Attributes=[
        {"Key": "deregistration_delay.timeout_seconds", "Value": "0"}])
    web.stable()
    with Load(web.alias, processes=2) as load:
        for number in range(2, 6):
            web.update(taskDefinition=version(server, "hasty", f"v{number}"))
            web.stable()
            load.answers_with(f"v{number}")
        web.update(desiredCount=1)
        web.stable()
        load.goes_on()
    print(load.report())
    load.lost_nothing()


def test_new_tasks_are_healthy_soon(server):
    web = Web(server, "soon", has_service=False)
    began = time.monotonic()
    web.create(desired=3)
    wait_for(lambda: len(web.healthy()) == 3, 30, "three healthy targets")
    print(f"CreateService to three healthy targets: {(time.monotonic() - began) * 1000:.0f} ms")
    # Its checks are five seconds apart, and no task is told to be unhealthy meanwhile.
    assert not any("unhealthy" in event for event in web.events())
    web.delete()
