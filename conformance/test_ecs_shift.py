"""Deployments that shift traffic, where nothing runs and the clock is moved: stages, weights, pauses, ways back."""

import itertools
import json

import botocore.exceptions
import pytest

from conftest import define, refused, wait_for
from test_elb_balancers import make_balancer, make_group, make_listener, subnets

NUMBERS = itertools.count()
MINUTE = 60


@pytest.fixture(scope="module")
def role(simulated):
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ecs.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    iam = simulated.client("iam")
    simulated.client("ecs").create_cluster(clusterName="default")
    return iam.create_role(RoleName="infrastructure", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]


def split(blue, green, *weights):
    weights = weights or (1, 0)
    groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in zip((blue, green), weights)]
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]


class Shifting:
    """A service of two groups behind a production rule and a test listener's rule."""

    def __init__(self, server, role, strategy="BLUE_GREEN", desired=2, production=None, has_test=True, bake=5,
                 breaker=None, is_awaited=True, **configuration):
        self.server, self.name = server, f"shift{next(NUMBERS)}"
        self.ecs, self.elb, self.role, self.breaker = server.client("ecs"), server.client("elbv2"), role, breaker
        self.balancer = make_balancer(server, self.name)["LoadBalancerArn"]
        self.blue, self.green = (make_group(server, f"{self.name}-{side}") for side in ("blue", "green"))
        for group in (self.blue, self.green):
            self.elb.modify_target_group_attributes(
                TargetGroupArn=group, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}])
        self.listener = make_listener(server, self.balancer, 80, split(self.blue, self.green))["ListenerArn"]
        self.rule = self.elb.create_rule(
            ListenerArn=self.listener, Priority=10, Conditions=[{"Field": "path-pattern", "Values": ["/api/*"]}],
            Actions=split(self.blue, self.green))["Rules"][0]["RuleArn"]
        self.test = None
        if has_test:
            tester = make_listener(server, self.balancer, 8080, split(self.blue, self.green))["ListenerArn"]
            self.test = self.elb.describe_rules(ListenerArn=tester)["Rules"][0]["RuleArn"]
        self.production = {None: self.rule, "listener": self.listener}.get(production, production)
        self.configuration = {"strategy": strategy, "bakeTimeInMinutes": bake, **configuration}
        if breaker:
            self.configuration["deploymentCircuitBreaker"] = breaker
        self.desired = desired
        advanced = {"alternateTargetGroupArn": self.green, "productionListenerRule": self.production, "roleArn": role}
        if self.test:
            advanced["testListenerRule"] = self.test
        self.ecs.create_service(
            serviceName=self.name, taskDefinition=self.version(), desiredCount=desired, launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": subnets(server)[:2]}},
            deploymentConfiguration=self.configuration,
            loadBalancers=[{"targetGroupArn": self.blue, "containerName": "web", "containerPort": 80,
                            "advancedConfiguration": advanced}])
        if is_awaited:
            self.comes_to("SUCCESSFUL")

    def version(self, simulate=None, **members):
        labels = {"dockerLabels": {"boxship.simulate": simulate}} if simulate else {}
        return define(self.server, self.name, [
            {"name": "web", "image": "web", "portMappings": [{"containerPort": 80}], **labels, **members}])

    def update(self, simulate=None, container=None, **members):
        self.ecs.update_service(service=self.name, taskDefinition=self.version(simulate, **container or {}), **members)

    @property
    def deployment(self):
        briefs = self.ecs.list_service_deployments(service=self.name)["serviceDeployments"]
        newest = max(briefs, key=lambda brief: brief["createdAt"])["serviceDeploymentArn"]
        return self.ecs.describe_service_deployments(serviceDeploymentArns=[newest])["serviceDeployments"][0]

    def service(self):
        return self.ecs.describe_services(services=[self.name])["services"][0]

    def events(self):
        return [event["message"] for event in reversed(self.service()["events"])]

    def weights(self, arn=None):
        """(blue, green) of a rule, or of a listener's default."""
        arn = arn or self.production
        if ":listener/" in arn:
            actions = self.elb.describe_listeners(ListenerArns=[arn])["Listeners"][0]["DefaultActions"]
        else:
            actions = self.elb.describe_rules(RuleArns=[arn])["Rules"][0]["Actions"]
        groups = {one["TargetGroupArn"]: one["Weight"] for one in actions[0]["ForwardConfig"]["TargetGroups"]}
        return groups.get(self.blue), groups.get(self.green)

    def counts(self):
        """Tasks that run, of the source and the target."""
        deployment = self.deployment
        sources = deployment.get("sourceServiceRevisions", [])
        return sum(one["runningTaskCount"] for one in sources), deployment["targetServiceRevision"]["runningTaskCount"]

    def stage(self):
        return self.deployment.get("lifecycleStage")

    def hooks(self):
        return self.deployment.get("lifecycleHookDetails", [])

    def until(self, condition, what, step=10, limit=600):
        """Moves the clock until something is so; answers how far, in seconds."""
        for passed in range(0, limit, step):
            value = condition()
            if value:
                return passed
            self.server.advance(step)
        raise AssertionError(f"{what} did not come in {limit} s: {self.deployment}\n" + "\n".join(self.events()))

    def comes_to(self, status, limit=900):
        return self.until(lambda: self.deployment["status"] == status, status, limit=limit)

    def is_at(self, stage, limit=600):
        return self.until(lambda: self.stage() == stage, stage, limit=limit)

    def answer(self, action):
        [hook] = [hook for hook in self.hooks() if hook["status"] == "AWAITING_ACTION"]
        self.ecs.continue_service_deployment(
            serviceDeploymentArn=self.deployment["serviceDeploymentArn"], hookId=hook["hookId"], action=action)

    def stop(self, **members):
        self.ecs.stop_service_deployment(serviceDeploymentArn=self.deployment["serviceDeploymentArn"], **members)

    def groups(self):
        """How many targets each group has that are not draining."""
        def of(group):
            found = self.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
            return len([one for one in found if one["TargetHealth"]["State"] != "draining"])
        return of(self.blue), of(self.green)


def pause(*stages, minutes=None, action=None):
    timeout = {"timeoutConfiguration": {"timeoutInMinutes": minutes, "action": action or "ROLLBACK"}} if minutes else {}
    return {"targetType": "PAUSE", "lifecycleStages": list(stages), **timeout}


def test_blue_green(simulated, role):
    it = Shifting(simulated, role, bake=5)
    # A first deployment has the traffic at once, and nothing to bake beside.
    assert it.weights() == (100, 0) and it.weights(it.test) == (100, 0) and it.groups() == (2, 0)
    it.update()
    it.is_at("BAKE_TIME")
    assert it.weights() == (0, 100) and it.weights(it.test) == (0, 100)
    assert it.counts() == (2, 2) and it.groups() == (2, 2)
    revision = it.deployment["targetServiceRevision"]
    assert revision["requestedProductionTrafficWeight"] == 100.0 and revision["requestedTestTrafficWeight"] == 100.0
    passed = it.comes_to("SUCCESSFUL")
    assert 4 * MINUTE <= passed <= 6 * MINUTE
    assert it.counts() == (0, 2) and it.groups() == (0, 2)
    # The next one goes the other way.
    it.update()
    it.comes_to("SUCCESSFUL")
    assert it.weights() == (100, 0) and it.weights(it.test) == (100, 0) and it.groups() == (2, 0)
    assert any("has reached a steady state" in event for event in it.events())
    # Its tasks are replaced where it is now.
    [arn, _] = it.ecs.list_tasks(serviceName=it.name)["taskArns"]
    it.ecs.stop_task(task=arn)
    it.until(lambda: it.service()["runningCount"] == 2 and it.groups() == (2, 0), "the replacement")


def test_the_rest_of_a_rule_stays(simulated, role):
    it = Shifting(simulated, role)
    actions = [{"Type": "forward", "Order": 7, "ForwardConfig": {
        "TargetGroups": [{"TargetGroupArn": it.blue, "Weight": 100}, {"TargetGroupArn": it.green, "Weight": 0}],
        "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 60}}}]
    it.elb.modify_rule(RuleArn=it.rule, Actions=actions)
    it.update()
    it.is_at("BAKE_TIME")
    [rule] = it.elb.describe_rules(RuleArns=[it.rule])["Rules"]
    assert it.weights() == (0, 100)
    assert rule["Actions"][0]["ForwardConfig"]["TargetGroupStickinessConfig"] == {"Enabled": True, "DurationSeconds": 60}
    assert rule["Actions"][0]["Order"] == 7 and rule["Priority"] == "10"
    assert rule["Conditions"][0]["PathPatternConfig"]["Values"] == ["/api/*"]


def test_production_may_be_a_listeners_default(simulated, role):
    it = Shifting(simulated, role, production="listener", bake=0)
    assert it.production == it.listener
    it.update()
    it.comes_to("SUCCESSFUL")
    assert it.weights() == (0, 100)


def test_canary(simulated, role):
    it = Shifting(simulated, role, "CANARY", bake=5, canaryConfiguration={"canaryPercent": 2.5, "canaryBakeTimeInMinutes": 10})
    it.update()
    it.until(lambda: it.weights() != (100, 0), "the canary")
    assert it.weights() == (975, 25) and it.stage() == "PRODUCTION_TRAFFIC_SHIFT" and it.counts() == (2, 2)
    assert it.deployment["targetServiceRevision"]["requestedProductionTrafficWeight"] == 2.5
    passed = it.until(lambda: it.weights() == (0, 100), "the rest", limit=900)
    assert 9.5 * MINUTE <= passed <= 11 * MINUTE
    passed = it.comes_to("SUCCESSFUL")
    assert 4 * MINUTE <= passed <= 6 * MINUTE


def test_linear(simulated, role):
    it = Shifting(simulated, role, "LINEAR", bake=0, linearConfiguration={"stepPercent": 40, "stepBakeTimeInMinutes": 2})
    it.update()
    seen = []

    def is_over():
        if it.weights() not in seen:
            seen.append(it.weights())
        return it.deployment["status"] == "SUCCESSFUL"
    it.until(is_over, "the end", limit=900)
    assert seen == [(100, 0), (60, 40), (20, 80), (0, 100)]


def test_a_first_deployment_pauses_too(simulated, role):
    it = Shifting(simulated, role, bake=0, is_awaited=False, lifecycleHooks=[pause("POST_TEST_TRAFFIC_SHIFT", minutes=30)])
    it.is_at("POST_TEST_TRAFFIC_SHIFT")
    # There is nothing to go back to.
    refused("InvalidParameterException", it.stop, stopType="ROLLBACK")
    it.answer("ROLLBACK")
    it.comes_to("ROLLBACK_FAILED")


@pytest.fixture
def paused(simulated, role):
    """A service whose second deployment waits, with test traffic shifted."""
    def make(action="ROLLBACK"):
        it = Shifting(simulated, role, bake=0)
        hooks = [pause("POST_TEST_TRAFFIC_SHIFT", minutes=30, action=action)]
        it.update(deploymentConfiguration={**it.configuration, "lifecycleHooks": hooks})
        it.is_at("POST_TEST_TRAFFIC_SHIFT")
        [hook] = it.hooks()
        assert hook["status"] == "AWAITING_ACTION" and hook["targetType"] == "PAUSE" and hook["timeoutAction"] == action
        assert hook["hookId"].startswith("ecs-pause-") and hook["expiresAt"]
        assert it.weights() == (100, 0) and it.weights(it.test) == (0, 100) and it.counts() == (2, 2)
        return it
    return make


def test_a_pause_that_is_continued(paused):
    it = paused()
    it.server.advance(20 * MINUTE)
    assert it.stage() == "POST_TEST_TRAFFIC_SHIFT" and it.weights() == (100, 0)
    [hook] = it.hooks()
    arn = it.deployment["serviceDeploymentArn"]
    refused("InvalidParameterException", it.ecs.continue_service_deployment, serviceDeploymentArn=arn, hookId="ecs-pause-other")
    it.answer("CONTINUE")
    it.comes_to("SUCCESSFUL")
    assert it.weights() == (0, 100) and it.hooks()[0]["status"] == "SUCCEEDED"
    with pytest.raises(botocore.exceptions.ClientError):
        it.ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId=hook["hookId"])


def test_a_pause_that_is_rolled_back(paused):
    it = paused()
    it.answer("ROLLBACK")
    it.comes_to("ROLLBACK_SUCCESSFUL")
    assert it.weights() == (100, 0) and it.weights(it.test) == (100, 0) and it.groups() == (2, 0)
    assert it.hooks()[0]["status"] == "FAILED" and it.deployment["rollback"]["reason"]


@pytest.mark.parametrize("action,status,weights", [("ROLLBACK", "ROLLBACK_SUCCESSFUL", (100, 0)), ("CONTINUE", "SUCCESSFUL", (0, 100))])
def test_a_pause_that_nobody_answers(paused, action, status, weights):
    it = paused(action)
    it.server.advance(31 * MINUTE)
    it.comes_to(status)
    assert it.weights() == weights and it.hooks()[0]["status"] == "TIMED_OUT"


@pytest.mark.parametrize("stage,minutes", [("SCALE_UP", 0), ("PRODUCTION_TRAFFIC_SHIFT", 3), ("BAKE_TIME", 0)])
def test_stopped_and_rolled_back(simulated, role, stage, minutes):
    it = Shifting(simulated, role, "CANARY", bake=5, canaryConfiguration={"canaryPercent": 20, "canaryBakeTimeInMinutes": 10})
    before = it.service()["taskDefinition"]
    # Nobody knows for five minutes whether it is healthy.
    it.update(container={"healthCheck": {"command": ["CMD", "true"], "interval": 300}})
    it.until(lambda: it.stage() == stage, stage, limit=1800)
    it.server.advance(minutes * MINUTE)
    it.stop(stopType="ROLLBACK")
    it.comes_to("ROLLBACK_SUCCESSFUL")
    assert it.weights() == (100, 0) and it.weights(it.test) == (100, 0) and it.groups() == (2, 0)
    assert it.service()["taskDefinition"] == before and it.service()["runningCount"] == 2
    rollback = it.deployment["rollback"]
    assert rollback["serviceRevisionArn"] == it.deployment["sourceServiceRevisions"][0]["arn"]
    # What follows begins from there.
    it.update()
    it.comes_to("SUCCESSFUL", limit=1800)
    assert it.weights() == (0, 100) and it.groups() == (0, 2)


def test_the_circuit_breaker_rolls_back(simulated, role):
    it = Shifting(simulated, role, breaker={"enable": True, "rollback": True})
    it.update("exit=1")
    it.comes_to("ROLLBACK_SUCCESSFUL")
    assert it.weights() == (100, 0) and it.groups() == (2, 0)
    assert "circuit breaker" in it.deployment["statusReason"] and it.deployment["deploymentCircuitBreaker"]["status"] == "TRIGGERED"
    assert any("deployment failed: tasks failed to start" in event for event in it.events())


def test_weights_that_somebody_changes_are_set_again(simulated, role):
    it = Shifting(simulated, role, "CANARY", bake=0, canaryConfiguration={"canaryPercent": 20, "canaryBakeTimeInMinutes": 30})
    it.update()
    it.until(lambda: it.weights() == (80, 20), "the canary")
    it.elb.modify_rule(RuleArn=it.rule, Actions=split(it.blue, it.green, 1, 1))
    it.until(lambda: it.weights() == (80, 20), "the weights")
    assert len([event for event in it.events() if it.rule in event and "again" in event]) == 1
    # After the deployment they are their owner's.
    it.comes_to("SUCCESSFUL", limit=3600)
    it.elb.modify_rule(RuleArn=it.rule, Actions=split(it.blue, it.green, 5, 5))
    it.server.advance(MINUTE)
    assert it.weights() == (5, 5)


def test_a_rule_that_is_deleted(simulated, role):
    it = Shifting(simulated, role, "CANARY", canaryConfiguration={"canaryPercent": 20, "canaryBakeTimeInMinutes": 30})
    before = it.service()["taskDefinition"]
    it.update()
    it.until(lambda: it.weights() == (80, 20), "the canary")
    it.elb.delete_rule(RuleArn=it.rule)
    it.comes_to("ROLLBACK_FAILED")
    assert any(it.rule in event and "does not exist" in event for event in it.events())
    assert it.service()["taskDefinition"] == before and it.service()["runningCount"] == 2
    events = len(it.events())
    it.server.advance(5 * MINUTE)
    assert len(it.events()) <= events + 1


def test_scaling_in_the_middle(simulated, role):
    it = Shifting(simulated, role, bake=30)
    it.update()
    it.is_at("BAKE_TIME")
    it.ecs.update_service(service=it.name, desiredCount=4)
    it.until(lambda: it.counts() == (4, 4), "both sets growing")
    it.ecs.update_service(service=it.name, desiredCount=1)
    it.until(lambda: it.counts() == (1, 1), "both sets shrinking")
    [blue] = [arn for arn in it.ecs.list_tasks(serviceName=it.name)["taskArns"]][:1]
    it.ecs.stop_task(task=blue)
    it.until(lambda: it.counts() == (1, 1) and it.groups() == (1, 1), "the replacement")
    it.comes_to("SUCCESSFUL", limit=3600)
    assert it.counts()[1] == 1


def test_an_update_in_the_middle(simulated, role):
    it = Shifting(simulated, role, "CANARY", bake=0, canaryConfiguration={"canaryPercent": 20, "canaryBakeTimeInMinutes": 30})
    first = it.service()["taskDefinition"]
    it.update()
    it.until(lambda: it.weights() == (80, 20), "the canary")
    overtaken = it.deployment["serviceDeploymentArn"]
    it.update(deploymentConfiguration={**it.configuration, "lifecycleHooks": [pause("PRE_SCALE_UP")]})
    # The traffic goes back before anything of the overtaken revision goes.
    it.is_at("PRE_SCALE_UP")
    assert it.weights() == (100, 0) and it.weights(it.test) == (100, 0)
    it.answer("CONTINUE")
    it.until(lambda: it.weights() == (80, 20), "the canary of the second")
    [old] = it.ecs.describe_service_deployments(serviceDeploymentArns=[overtaken])["serviceDeployments"]
    assert old["status"] == "STOPPED"
    it.comes_to("SUCCESSFUL", limit=3600)
    assert it.weights() == (0, 100) and it.groups() == (0, 2) and it.service()["taskDefinition"] != first


def test_rolling_in_the_middle(simulated, role):
    it = Shifting(simulated, role, "CANARY", bake=0, canaryConfiguration={"canaryPercent": 20, "canaryBakeTimeInMinutes": 30})
    it.update()
    it.until(lambda: it.weights() == (80, 20), "the canary")
    it.update(deploymentConfiguration={"strategy": "ROLLING"})
    # No traffic goes where tasks only go from now on.
    it.until(lambda: it.weights() == (100, 0), "all on one side", step=1, limit=10)
    it.comes_to("SUCCESSFUL")
    assert it.weights() == (100, 0) and it.weights(it.test) == (100, 0) and it.groups() == (2, 0)


def test_rolling_after_a_shift_stays_where_the_traffic_is(simulated, role):
    it = Shifting(simulated, role, bake=0)
    it.update()
    it.comes_to("SUCCESSFUL")
    assert it.weights() == (0, 100)
    it.update(deploymentConfiguration={"strategy": "ROLLING"})
    it.comes_to("SUCCESSFUL")
    assert it.weights() == (0, 100) and it.groups() == (0, 2)


def test_without_a_balancer(simulated, role):
    ecs, name = simulated.client("ecs"), f"shift{next(NUMBERS)}"

    def version():
        return define(simulated, name, [{"name": "web", "image": "web"}])
    ecs.create_service(
        serviceName=name, taskDefinition=version(), desiredCount=2, launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": subnets(simulated)[:1]}},
        deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 2})

    def service():
        return ecs.describe_services(services=[name])["services"][0]

    def counts():
        return sorted(one["runningCount"] for one in service()["deployments"])

    def until(condition):
        for _ in range(200):
            if condition():
                return
            simulated.advance(2)
        raise AssertionError(service())
    until(lambda: counts() == [2] and "steady state" in service()["events"][0]["message"])
    ecs.update_service(service=name, taskDefinition=version())
    until(lambda: counts() == [2, 2])
    until(lambda: counts() == [2])
    assert service()["deployments"][0]["rolloutState"] == "COMPLETED"


def test_only_a_way_back_stops_a_shift(simulated, role):
    it = Shifting(simulated, role)
    it.update()
    it.is_at("BAKE_TIME")
    refused("InvalidParameterException", it.stop, "ROLLBACK", stopType="ABORT")
    it.stop()
    it.comes_to("ROLLBACK_SUCCESSFUL")
    with pytest.raises(botocore.exceptions.ClientError):
        it.stop()


def test_back_when_the_source_is_being_cleaned_up(simulated, role):
    it = Shifting(simulated, role, bake=0)
    [*blue] = it.ecs.list_tasks(serviceName=it.name)["taskArns"]
    it.ecs.update_task_protection(cluster="default", tasks=blue, protectionEnabled=True, expiresInMinutes=60)
    it.update()
    it.is_at("CLEAN_UP")
    assert it.weights() == (0, 100) and it.counts() == (2, 2)
    it.stop(stopType="ROLLBACK")
    it.comes_to("ROLLBACK_SUCCESSFUL")
    assert it.weights() == (100, 0) and set(it.ecs.list_tasks(serviceName=it.name)["taskArns"]) == set(blue)


def test_blue_green_after_rolling(simulated, role):
    it = Shifting(simulated, role, "ROLLING", bake=0)
    assert it.groups() == (2, 0)
    it.update(deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5})
    it.is_at("BAKE_TIME")
    assert it.weights() == (0, 100) and it.groups() == (2, 2)
    it.comes_to("SUCCESSFUL")
    assert it.groups() == (0, 2)


def test_a_balancer_that_is_deleted(simulated, role):
    it = Shifting(simulated, role, "CANARY", canaryConfiguration={"canaryPercent": 20, "canaryBakeTimeInMinutes": 30})
    it.update()
    it.until(lambda: it.weights() == (80, 20), "the canary")
    # The green group is kept in use for as long as the deployment is under way.
    it.elb.modify_rule(RuleArn=it.rule, Actions=[{"Type": "forward", "TargetGroupArn": it.blue}])
    it.until(lambda: it.weights() == (80, 20), "the weights")
    it.elb.delete_load_balancer(LoadBalancerArn=it.balancer)
    for group in (it.blue, it.green):
        it.elb.delete_target_group(TargetGroupArn=group)
    it.comes_to("ROLLBACK_FAILED")
    assert any("does not exist" in event for event in it.events())
    it.until(lambda: it.service()["runningCount"] == 2, "the service as it was")


def test_no_tasks_at_all(simulated, role):
    it = Shifting(simulated, role, desired=0, bake=0)
    it.update()
    it.comes_to("SUCCESSFUL")
    assert it.weights() == (0, 100)
    it.ecs.update_service(service=it.name, desiredCount=1)
    it.until(lambda: it.groups() == (0, 1), "a task where the traffic is")
