"""Random requests for every operation of load balancers: each is answered, none breaks anything."""

import random

import botocore.exceptions
import pytest

from test_elb_balancers import elb, forward, make_balancer, make_group, make_listener  # noqa: F401

TEXTS = ["", "a", "x" * 5000, "ä€😀", "\x00", "a\tb", "../../etc", "${jndi:x}", "<&>\"'", "%00", "-1", "0", "1e400", "true", "null", "*" * 200,
         "(((((", "a{1000}{1000}", "(a+)+$", "10.0.0.0/8", "172.31.0.10", "::1", "i-0123456789abcdef0", "HTTP_301", "#{host}#{", "all",
         "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/a/0", "arn:aws:elasticloadbalancing:::x",
         "forward", "redirect", "fixed-response", "host-header", "path-pattern", "http-header", "query-string", "source-ip"]
NUMBERS = [-2**31, -1, 0, 1, 2, 80, 443, 400, 65535, 65536, 50000, 2**31 - 1]


class Dice:
    def __init__(self, seed, arns):
        self.random = random.Random(seed)
        self.arns = arns

    def value(self, shape, depth=0):
        kind = shape.type_name
        if kind == "structure":
            # Deep structures thin out.
            chance = 0.7 if depth < 3 else 0.4
            return {name: self.value(member, depth + 1) for name, member in shape.members.items()
                    if name in shape.required_members or self.random.random() < chance}
        if kind == "list":
            return [self.value(shape.member, depth + 1) for _ in range(self.random.choice([0, 1, 1, 2, 7]))]
        if kind == "map":
            return {self.random.choice(TEXTS): self.value(shape.value, depth + 1)}
        if kind == "string":
            if shape.enum and self.random.random() < 0.8:
                return self.random.choice(shape.enum)
            if shape.name.endswith("Arn") and self.random.random() < 0.8:
                return self.random.choice(self.arns)
            return self.random.choice(TEXTS)
        if kind in ("integer", "long"):
            return self.random.choice(NUMBERS)
        if kind == "boolean":
            return self.random.random() < 0.5
        raise AssertionError(kind)


def furnished(server):
    elb = server.client("elbv2")
    balancer, group = make_balancer(server)["LoadBalancerArn"], make_group(server)
    listener = make_listener(server, balancer, actions=forward(group))["ListenerArn"]
    rule = elb.create_rule(ListenerArn=listener, Priority=1, Actions=forward(group),
                           Conditions=[{"Field": "path-pattern", "Values": ["/a"]}])["Rules"][0]["RuleArn"]
    return [balancer, group, listener, rule]


@pytest.mark.parametrize("seed", range(4))
def test_random_requests(simulated, elb, seed):
    client = simulated.client("elbv2", parameter_validation=False)
    model = client.meta.service_model
    dice = Dice(seed, furnished(simulated))
    answered = {}
    for _ in range(12):
        for name in model.operation_names:
            shape = model.operation_model(name).input_shape
            members = dice.value(shape) if shape else {}
            try:
                client._make_api_call(name, members)
                answered[name] = "answered"
            except botocore.exceptions.ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                assert 400 <= status < 500, (name, members, error.response)
                answered.setdefault(name, "refused")
    assert "panicked" not in simulated.text()
    assert "answered" in answered.values() and "refused" in answered.values()
    # And it goes on.
    furnished(simulated)
