"""What is changed by the API is soon what a balancer does: real listeners, asked through the one port."""

import pytest

from conftest import IS_ROOT, Server, wait_for
from test_elb_balancers import make_balancer, make_listener, subnets

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="left out: real containers need root")


def answer(status, body="", kind="text/plain"):
    return [{"Type": "fixed-response", "FixedResponseConfig": {
        "StatusCode": str(status), "MessageBody": body, "ContentType": kind}}]


def path(*values):
    return [{"Field": "path-pattern", "PathPatternConfig": {"Values": list(values)}}]


@pytest.fixture(scope="module")
def server():
    server = Server("linux").start()
    yield server
    server.down()


@pytest.fixture
def web(server):
    """A balancer with a listener on port 80 that says no."""
    elb = server.client("elbv2")
    balancer = make_balancer(server)
    arn = balancer["LoadBalancerArn"]
    elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[arn], WaiterConfig={"Delay": 1})
    listener = make_listener(server, arn, actions=answer(404, "no"))["ListenerArn"]
    web = Web(server, arn, balancer["DNSName"], listener)
    web.soon("/", 404, b"no")
    yield web
    elb.delete_load_balancer(LoadBalancerArn=arn)


class Web:
    def __init__(self, server, arn, name, listener):
        self.server, self.arn, self.name, self.listener = server, arn, name, listener
        self.elb = server.client("elbv2")

    def ask(self, path, name=None, **headers):
        headers = {"Host": name or self.name, **{key.replace("_", "-"): value for key, value in headers.items()}}
        return self.server.send("GET", path, headers=headers)

    def soon(self, path, status, body=None, name=None, **headers):
        def is_it():
            got = self.ask(path, name, **headers)
            return got if got.status == status and (body is None or got.body == body) else None
        return wait_for(is_it, 10, f"{path} answered {status} {body}")

    def rule(self, priority, conditions, actions, **members):
        return self.elb.create_rule(
            ListenerArn=self.listener, Priority=priority, Conditions=conditions, Actions=actions, **members)["Rules"][0]["RuleArn"]


def test_rules_come_change_places_and_go(web):
    first = web.rule(1, path("/a*"), answer(200, "first"))
    second = web.rule(2, path("/ab"), answer(200, "second"))
    web.soon("/ab", 200, b"first")
    web.elb.set_rule_priorities(RulePriorities=[{"RuleArn": first, "Priority": 2}, {"RuleArn": second, "Priority": 1}])
    web.soon("/ab", 200, b"second")
    assert web.ask("/ac").body == b"first"
    web.elb.modify_rule(RuleArn=first, Conditions=path("/b"), Actions=answer(201, "moved"))
    web.soon("/b", 201, b"moved")
    assert web.ask("/ac").status == 404
    web.elb.delete_rule(RuleArn=first)
    web.soon("/b", 404, b"no")
    web.elb.modify_listener(ListenerArn=web.listener, DefaultActions=answer(503, "later"))
    web.soon("/b", 503, b"later")


@pytest.mark.parametrize("condition,fits,fits_not", [
    ({"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Env", "Values": ["t*t"]}},
     ("/", {"X_Env": "TEST"}), ("/", {"X_Env": "dev"})),
    ({"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Env", "RegexValues": ["^v[0-9]+$"]}},
     ("/", {"X_Env": "v12"}), ("/", {"X_Env": "v"})),
    ({"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "k", "Value": "v?"}]}}, ("/?k=v1", {}), ("/?k=v", {})),
    ({"Field": "path-pattern", "RegexValues": ["^/v[12]/"]}, ("/v2/x", {}), ("/v3/x", {})),
    ({"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET"]}}, ("/", {}), None),
    ({"Field": "host-header", "Values": ["*.elb.localhost", "x.localhost"]}, ("/", {}), None),
])
def test_conditions_are_the_proxys(web, condition, fits, fits_not):
    web.rule(1, [condition], answer(200, "fits"))
    web.soon(fits[0], 200, b"fits", **fits[1])
    if fits_not:
        assert web.ask(fits_not[0], **fits_not[1]).status == 404


def test_redirects_say_where(web):
    web.rule(1, path("/old/*"), [{"Type": "redirect", "RedirectConfig": {
        "Protocol": "HTTPS", "Port": "8443", "Host": "new.#{host}", "Path": "/new/#{path}", "Query": "from=#{port}&#{query}",
        "StatusCode": "HTTP_302"}}])
    got = web.soon("/old/page?a=1", 302)
    assert got.headers["location"] == f"https://new.{web.name}:8443/new/old/page?from=80&a=1"


def test_attributes_of_listeners_are_headers(web):
    def set_one(key, value):
        web.elb.modify_listener_attributes(ListenerArn=web.listener, Attributes=[{"Key": key, "Value": value}])
    assert web.ask("/").headers["server"].startswith("awselb")
    set_one("routing.http.response.server.enabled", "false")
    wait_for(lambda: web.ask("/").headers["server"] is None, 10, "no server header")
    set_one("routing.http.response.x_frame_options.header_value", "DENY")
    set_one("routing.http.response.access_control_allow_origin.header_value", "https://a.example")
    wait_for(lambda: web.ask("/").headers["access-control-allow-origin"] == "https://a.example", 10, "a header")
    assert web.ask("/").headers["x-frame-options"] == "DENY"


def test_listeners_move_and_go(web):
    web.elb.modify_listener(ListenerArn=web.listener, Port=8081)
    other = make_listener(web.server, web.arn, 9091, answer(202, "other"))["ListenerArn"]
    web.soon("/", 202, b"other", name=f"p9091.{web.name}")
    web.soon("/", 404, b"no", name=f"p8081.{web.name}")
    assert web.ask("/").body == b"no", "the bare name is the first listener of HTTP"
    web.elb.delete_listener(ListenerArn=other)
    wait_for(lambda: web.ask("/", name=f"p9091.{web.name}").body != b"other", 10, "no listener")


def test_a_balancer_can_stand_elsewhere_and_goes_on(web):
    [a, b, c] = subnets(web.server)
    web.elb.set_subnets(LoadBalancerArn=web.arn, Subnets=[b, c])
    web.soon("/", 404, b"no")
    web.elb.set_subnets(LoadBalancerArn=web.arn, Subnets=[a, b, c])
    web.soon("/", 404, b"no")
    interfaces = web.server.client("ec2").describe_network_interfaces()["NetworkInterfaces"]
    assert len(interfaces) == 3


def test_strictness_is_an_attribute(web):
    def statuses():
        """A GET without a body, and one that says it has none: the latter is acceptable, not compliant."""
        headers = {"Host": web.name}
        return [web.server.send("GET", "/", body=body, headers=headers).status for body in [None, b""]]
    def set_mode(mode):
        web.elb.modify_load_balancer_attributes(LoadBalancerArn=web.arn, Attributes=[
            {"Key": "routing.http.desync_mitigation_mode", "Value": mode}])
    assert statuses() == [404, 404]
    set_mode("strictest")
    wait_for(lambda: statuses() == [404, 400], 10, "strictness")
    set_mode("monitor")
    wait_for(lambda: statuses() == [404, 404], 10, "leniency")
