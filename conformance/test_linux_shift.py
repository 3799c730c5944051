"""Blue/green, canary and linear deployments of real tasks behind a real balancer: who answers, and that nothing is lost."""

import collections
import json
import urllib.request

import pytest

from conftest import needs_root, wait_for
from service_load import Load
from service_web import Web, end, nothing_is_orphaned, proxy, serve, version

pytestmark = needs_root


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = serve(tmp_path_factory.mktemp("images"))
    yield server
    server.down()


@pytest.fixture(scope="module")
def web(server):
    return Shifting(server)


class Shifting(Web):
    """A service of two groups, whose listener on port 8080 shows what comes to testers."""

    def __init__(self, server):
        super().__init__(server, "shift", has_service=False)
        self.green = self.target_group("shift-green")
        self.ec2.authorize_security_group_ingress(GroupId=self.front, IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
        both = [{"Type": "forward", "ForwardConfig": {"TargetGroups": [
            {"TargetGroupArn": self.group, "Weight": 1}, {"TargetGroupArn": self.green, "Weight": 0}]}}]
        self.elb.modify_listener(ListenerArn=self.listener, DefaultActions=both)
        tester = self.elb.create_listener(
            LoadBalancerArn=self.arn, Protocol="HTTP", Port=8080, DefaultActions=both)["Listeners"][0]["ListenerArn"]
        trust = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ecs.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
        role = server.client("iam").create_role(RoleName="infrastructure", AssumeRolePolicyDocument=json.dumps(trust))
        self.create(desired=2, deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0}, loadBalancers=[{
            "targetGroupArn": self.group, "containerName": "web", "containerPort": 80,
            "advancedConfiguration": {
                "alternateTargetGroupArn": self.green, "roleArn": role["Role"]["Arn"],
                "productionListenerRule": self.default(self.listener), "testListenerRule": self.default(tester)}}])
        self.ends_as("SUCCESSFUL")
        self.stable()

    def default(self, listener):
        return self.elb.describe_rules(ListenerArn=listener)["Rules"][-1]["RuleArn"]

    def deploy(self, name, pauses=(), **configuration):
        """Brings a version; it waits at each of these stages."""
        hooks = [{"targetType": "PAUSE", "lifecycleStages": list(pauses)}] if pauses else []
        self.update(taskDefinition=version(self.server, "shift", name),
                    deploymentConfiguration={"bakeTimeInMinutes": 0, "lifecycleHooks": hooks, **configuration})

    @property
    def deployment(self):
        briefs = self.ecs.list_service_deployments(service=self.name)["serviceDeployments"]
        newest = max(briefs, key=lambda brief: brief["createdAt"])["serviceDeploymentArn"]
        return self.ecs.describe_service_deployments(serviceDeploymentArns=[newest])["serviceDeployments"][0]

    def ends_as(self, status):
        wait_for(lambda: self.deployment["status"] == status, 120, f"{status}: {self.deployment}")

    def waits(self):
        def awaiting():
            return [hook for hook in self.deployment.get("lifecycleHookDetails", []) if hook["status"] == "AWAITING_ACTION"]
        return wait_for(awaiting, 60, "a pause")[0]

    def goes_on(self):
        hook = self.waits()["hookId"]
        self.ecs.continue_service_deployment(
            serviceDeploymentArn=self.deployment["serviceDeploymentArn"], hookId=hook, action="CONTINUE")
        wait_for(lambda: all(one["status"] != "AWAITING_ACTION" or one["hookId"] != hook
                             for one in self.deployment["lifecycleHookDetails"]), 20, "the pause being over")

    def weights(self):
        [listener] = self.elb.describe_listeners(ListenerArns=[self.listener])["Listeners"]
        groups = {one["TargetGroupArn"]: one["Weight"] for one in listener["DefaultActions"][0]["ForwardConfig"]["TargetGroups"]}
        return groups[self.group], groups[self.green]

    def answers(self, count, port=80):
        """Who answers so many requests, each over a connection of its own."""
        found = collections.Counter()
        for _ in range(count):
            with urllib.request.urlopen(f"http://{self.alias}:{port}/", timeout=10) as answer:
                found[answer.read().decode().split()[0]] += 1
        return found


def test_blue_green_under_load(web):
    with Load(web.alias, processes=2) as load:
        web.deploy("v2", pauses=["POST_TEST_TRAFFIC_SHIFT"], strategy="BLUE_GREEN")
        web.waits()
        # Testers see what comes, customers what is there.
        wait_for(lambda: set(web.answers(10, port=8080)) == {"v2"}, 10, "the test listener showing the new version")
        load.goes_on()
        assert set(load.versions) == {"v1"} and set(web.answers(20)) == {"v1"}
        web.goes_on()
        load.answers_with("v2")
        web.ends_as("SUCCESSFUL")
        load.goes_on()
        assert set(web.answers(20)) == {"v2"} and web.weights() == (0, 100)
    print(load.report())
    load.lost_nothing()


def test_canary_under_load(web):
    web.stable()
    before = web.weights()
    with Load(web.alias, processes=2) as load:
        web.deploy("v3", pauses=["PRE_PRODUCTION_TRAFFIC_SHIFT"], strategy="CANARY",
                   canaryConfiguration={"canaryPercent": 20, "canaryBakeTimeInMinutes": 0})
        web.waits()
        assert web.weights() == before and set(web.answers(20)) == {"v2"}
        web.goes_on()
        web.waits()
        assert web.weights() == (20, 80)
        found = wait_for(lambda: (lambda seen: seen if "v3" in seen else None)(web.answers(500)), 20, "the canary answering")
        assert 50 <= found["v3"] <= 150 and found["v2"] + found["v3"] == 500, found
        web.goes_on()
        web.ends_as("SUCCESSFUL")
        load.answers_with("v3")
        assert web.weights() == (100, 0) and set(web.answers(20)) == {"v3"}
    print(load.report())
    load.lost_nothing()


def test_linear_and_back_under_load(web):
    web.stable()
    with Load(web.alias, processes=2) as load:
        web.deploy("v4", pauses=["PRE_PRODUCTION_TRAFFIC_SHIFT"], strategy="LINEAR",
                   linearConfiguration={"stepPercent": 30, "stepBakeTimeInMinutes": 0})
        seen = []
        for _ in range(2):
            web.goes_on()
            web.waits()
            seen.append(web.weights())
        assert seen == [(70, 30), (40, 60)]
        load.answers_with("v3", "v4")
        web.ecs.stop_service_deployment(serviceDeploymentArn=web.deployment["serviceDeploymentArn"], stopType="ROLLBACK")
        web.ends_as("ROLLBACK_SUCCESSFUL")
        load.goes_on()
        assert web.weights() == (100, 0) and set(web.answers(20)) == {"v3"}
    print(load.report())
    load.lost_nothing()
    web.stable()
    assert {task["taskDefinitionArn"] for task in web.tasks()} == {web.service()["taskDefinition"]}


def test_a_server_that_dies_in_the_middle(web):
    server, plane = web.server, None
    web.stable()
    try:
        plane = proxy(server)
        with Load(web.alias, processes=2) as load:
            web.deploy("v5", pauses=["PRE_PRODUCTION_TRAFFIC_SHIFT"], strategy="CANARY",
                       canaryConfiguration={"canaryPercent": 50, "canaryBakeTimeInMinutes": 0})
            web.goes_on()
            web.waits()
            load.answers_with("v3", "v5")
            server.kill()
            load.answers_with("v3", "v5")
            before = server.text().count("a proxy serves load balancers")
            server.start()
            wait_for(lambda: server.text().count("a proxy serves load balancers") > before, 20, "the server being followed")
            assert web.weights() == (50, 50)
            web.goes_on()
            web.ends_as("SUCCESSFUL")
            load.answers_with("v5")
        print(load.report())
        load.lost_nothing()
    finally:
        if plane:
            end(plane)
    assert web.weights() == (0, 100)
    nothing_is_orphaned(server)


@pytest.mark.parametrize("early,last,members", [
    ("v6", "v7", {"strategy": "BLUE_GREEN"}), ("v8", "v9", {"strategy": "ROLLING"})])
def test_a_newer_deployment_in_the_middle(web, early, last, members):
    web.stable()
    [before] = web.answers(20)
    with Load(web.alias, processes=2) as load:
        web.deploy(early, pauses=["PRE_PRODUCTION_TRAFFIC_SHIFT"], strategy="CANARY",
                   canaryConfiguration={"canaryPercent": 50, "canaryBakeTimeInMinutes": 0})
        web.goes_on()
        web.waits()
        load.answers_with(before, early)
        web.deploy(last, **members)
        web.ends_as("SUCCESSFUL")
        load.answers_with(last)
    print(load.report())
    load.lost_nothing()
    web.stable()
    assert {task["taskDefinitionArn"] for task in web.tasks()} == {web.service()["taskDefinition"]}
