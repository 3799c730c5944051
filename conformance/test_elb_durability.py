"""What load balancers are after a kill, a reset, and many clients at once."""

from concurrent.futures import ThreadPoolExecutor

import botocore.exceptions

from conftest import Server, wait_for
from test_elb_balancers import elb, forward, make_balancer, make_group, make_listener, spare, subnets  # noqa: F401


def everything(server):
    """All that the API shows, but for what changes by itself."""
    elb = server.client("elbv2")
    shown = {"balancers": elb.describe_load_balancers()["LoadBalancers"], "groups": elb.describe_target_groups()["TargetGroups"]}
    shown["listeners"] = [
        listener for balancer in shown["balancers"]
        for listener in elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]]
    shown["rules"] = [rule for listener in shown["listeners"]
                      for rule in elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]]
    shown["health"] = [
        (one["Target"], one["TargetHealth"]) for group in shown["groups"]
        for one in elb.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]]
    shown["attributes"] = [elb.describe_load_balancer_attributes(LoadBalancerArn=one["LoadBalancerArn"])["Attributes"]
                           for one in shown["balancers"]]
    return shown


def furnish(server):
    elb = server.client("elbv2")
    balancer, group = make_balancer(server, "web")["LoadBalancerArn"], make_group(server, "g")
    elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[balancer], WaiterConfig={"Delay": 1})
    listener = make_listener(server, balancer, actions=forward(group))["ListenerArn"]
    elb.create_rule(ListenerArn=listener, Priority=7, Actions=forward(group),
                    Conditions=[{"Field": "host-header", "HostHeaderConfig": {"RegexValues": ["^a+$"]}}])
    targets = [{"Id": spare(server)} for _ in range(10)]
    elb.register_targets(TargetGroupArn=group, Targets=targets)
    elb.modify_load_balancer_attributes(
        LoadBalancerArn=balancer, Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "7"}])
    elb.get_waiter("target_in_service").wait(TargetGroupArn=group, WaiterConfig={"Delay": 1})
    elb.deregister_targets(TargetGroupArn=group, Targets=targets[:1])
    return balancer, group, listener


def test_a_kill_loses_nothing_that_was_answered():
    server = Server("simulated").start()
    try:
        _, group, _ = furnish(server)
        before = everything(server)
        assert [len(before[kind]) for kind in ["balancers", "groups", "listeners", "rules", "health"]] == [1, 1, 1, 2, 10]
        server.kill()
        server.start()
        assert everything(server) == before
        server.advance(301)
        health = server.client("elbv2").describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        assert len(health) == 9, "what drained has drained"
    finally:
        server.down()


def test_a_reset_takes_everything(simulated):
    furnish(simulated)
    simulated.post("/_boxship/reset", {})
    wait_for(lambda: not any(everything(simulated).values()), 10, "an empty account")
    assert not simulated.client("ec2").describe_network_interfaces()["NetworkInterfaces"]
    furnish(simulated)
    simulated.post("/_boxship/reset", {})


def test_of_many_who_want_the_same_one_gets_it(simulated, elb):
    listener = make_listener(simulated, make_balancer(simulated)["LoadBalancerArn"])["ListenerArn"]
    clients = [simulated.client("elbv2") for _ in range(8)]

    def want(client):
        try:
            client.create_rule(ListenerArn=listener, Priority=1, Conditions=[{"Field": "path-pattern", "Values": ["/a"]}],
                               Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}])
            return "made"
        except botocore.exceptions.ClientError as error:
            return error.response["Error"]["Code"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(want, clients))
    assert sorted(answers) == ["PriorityInUse"] * 7 + ["made"]
    with ThreadPoolExecutor(8) as pool:
        made = pool.map(lambda client: client.create_load_balancer(Name="same", Subnets=subnets(simulated)[:2]), clients)
        assert len({answer["LoadBalancers"][0]["LoadBalancerArn"] for answer in made}) == 1
    assert len(elb.describe_load_balancers(Names=["same"])["LoadBalancers"]) == 1
    assert len(simulated.client("ec2").describe_network_interfaces()["NetworkInterfaces"]) == 4
