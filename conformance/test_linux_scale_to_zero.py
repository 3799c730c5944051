"""Services that sleep while nobody asks for them, and wake on a request (ours, not AWS's)."""

import concurrent.futures
import http.client
import time

import pytest

from conftest import needs_root, refused, wait_for
from service_web import Web, end, proxy, serve

pytestmark = needs_root

TAG = "boxship:scale-to-zero"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = serve(tmp_path_factory.mktemp("images"))
    yield server
    server.down()


@pytest.fixture(scope="module")
def web(server):
    web = Web(server, "idle", desired=1, tags=[{"key": TAG, "value": "1"}])
    web.stable()
    return web


def ask(web, path="/", timeout=60):
    connection = http.client.HTTPConnection(web.alias, 80, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def sleeps(web, seconds=60):
    wait_for(lambda: web.service()["runningCount"] == 0 and not web.tasks(), seconds, f"{web.name} going to sleep: {web.events()}")


def test_what_is_no_number_of_seconds_is_refused_by_name(web):
    for value in ["0", "86401", "soon", "", "-5"]:
        tags = [{"key": TAG, "value": value}]
        refused("InvalidParameterException", web.create, TAG, desired=1, name="never", tags=tags)
        refused("InvalidParameterException", web.ecs.tag_resource, TAG, resourceArn=web.service()["serviceArn"], tags=tags)
    tags = [{"key": TAG, "value": "60"}]
    refused("InvalidParameterException", web.create, "load balancer", desired=1, name="never", tags=tags, loadBalancers=[])


def test_it_sleeps_and_a_request_wakes_it(web):
    sleeps(web)
    service = web.service()
    assert (service["desiredCount"], service["status"]) == (1, "ACTIVE")
    assert f"(service {web.name}) has gone to sleep after 1 seconds without a request." in web.events()
    took = []
    for _ in range(3):
        began = time.monotonic()
        status, text = ask(web)
        took.append(time.monotonic() - began)
        assert (status, text[:2]) == (200, "v1")
        sleeps(web)
    print("cold wakes:", [f"{seconds * 1000:.0f} ms" for seconds in took])
    assert f"(service {web.name}) has been woken by a request." in web.events()
    assert web.service()["desiredCount"] == 1


def test_many_requests_wake_it_once_and_all_are_answered(web):
    sleeps(web)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: ask(web)[0], range(20)))
    assert answers == [200] * 20


def test_a_request_under_way_keeps_it_awake(web):
    sleeps(web)
    before = len([event for event in web.events() if "gone to sleep" in event])
    assert ask(web, "/slow/5")[0] == 200
    # It did not go while nothing but this one was under way.
    assert len([event for event in web.events() if "gone to sleep" in event]) == before
    sleeps(web)


def test_a_deployment_wakes_it(web):
    sleeps(web)
    web.update(forceNewDeployment=True)
    wait_for(lambda: any("deployment completed" in event for event in web.events()[-4:]), 60, "the deployment")
    sleeps(web)


def test_a_proxy_wakes_it(web):
    sleeps(web)
    role = proxy(web.server)
    try:
        assert ask(web)[0] == 200
        sleeps(web)
        assert ask(web)[0] == 200
    finally:
        end(role)
    # And the server does again.
    sleeps(web)
    assert ask(web)[0] == 200


def test_a_request_waits_while_the_server_restarts(web):
    sleeps(web)
    role = proxy(web.server)
    try:
        alias = web.alias
        web.server.kill()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            connection = http.client.HTTPConnection(alias, 80, timeout=60)
            connection.request("GET", "/")
            waiting = pool.submit(connection.getresponse)
            web.server.start()
            assert waiting.result(60).status == 200
        connection.close()
    finally:
        end(role)


def test_without_the_tag_it_stays_awake(web):
    sleeps(web)
    arn = web.service()["serviceArn"]
    web.ecs.untag_resource(resourceArn=arn, tagKeys=[TAG])
    web.stable()
    assert ask(web)[0] == 200
    until = time.monotonic() + 4
    wait_for(lambda: time.monotonic() > until, 10)
    assert web.service()["runningCount"] == 1
    web.ecs.tag_resource(resourceArn=arn, tags=[{"key": TAG, "value": "1"}])
    sleeps(web)
    web.delete()
