"""What a running balancer tells: its name's addresses, by the health of zones, and what was counted."""

import json

import pytest

from conftest import needs_root, wait_for
from test_linux_balancer import Web, get, proxy, server  # noqa: F401 (fixtures)
from toolbox import printed

pytestmark = needs_root


@pytest.fixture(scope="module")
def web(server):  # noqa: F811
    web = Web(server, "told", tasks=1)
    yield web
    web.delete()


def counted(server):  # noqa: F811
    return json.loads(server.get("/_boxship/balancers/metrics"))["metrics"]


def total(server, web, metric):  # noqa: F811
    return sum(one["metrics"][metric] for one in counted(server) if one["balancer"] == web.arn and one["group"] is None)


def test_a_name_leads_to_zones_with_healthy_targets(server, web):  # noqa: F811
    nodes = set(next(one for one in json.loads(server.get("/_boxship/balancers"))["balancers"] if one["arn"] == web.arn)["nodes"])
    assert len(nodes) > 1

    def led_to():
        lines = printed(server, f"nslookup {web.dns}", family="asker")
        return {line.split()[-1] for line in lines if line.startswith("Address")} & nodes

    def cross_zone(value):
        web.elb.modify_target_group_attributes(TargetGroupArn=web.target_group, Attributes=[
            {"Key": "load_balancing.cross_zone.enabled", "Value": value}])

    assert led_to() == nodes
    # Its target is in one zone, and serves no other.
    cross_zone("false")
    [only] = led_to()
    target, check = web.targets[0], web.elb.modify_target_group
    # Where none is healthy, all are asked.
    check(TargetGroupArn=web.target_group, HealthCheckPath="/nowhere")
    wait_for(lambda: web.states()[target["Id"]] == "unhealthy", 30, "the target failing")
    assert led_to() == nodes
    check(TargetGroupArn=web.target_group, HealthCheckPath="/health", HealthyThresholdCount=2)
    wait_for(lambda: web.states()[target["Id"]] == "healthy", 30, "the target recovering")
    assert led_to() == {only}
    cross_zone("true")
    assert led_to() == nodes


def test_what_was_counted_can_be_read(server, web):  # noqa: F811
    before = total(server, web, "RequestCount")
    for _ in range(5):
        assert get(web.shown["alias"])[0] == 200
    wait_for(lambda: total(server, web, "RequestCount") == before + 5, 5, "the requests being counted")
    # By the zone of the target.
    [group] = [one for one in counted(server) if one["group"] == web.target_group and one["response_time"]]
    assert group["zone"] and group["metrics"]["HTTPCode_Target_2XX_Count"] >= 5
    times = group["response_time"]
    assert 0 < times["minimum"] <= times["percentiles"]["p50"] <= times["percentiles"]["p99.9"] <= times["maximum"]


def test_a_proxy_tells_what_it_has_counted(server, web, proxy):  # noqa: F811
    before = total(server, web, "RequestCount")
    for _ in range(3):
        assert get(web.shown["alias"])[0] == 200
    wait_for(lambda: total(server, web, "RequestCount") == before + 3, 5, "the requests being counted")
