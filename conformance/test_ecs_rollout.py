"""Services that live, seen through DescribeServices and ListTasks: rollouts, the breaker, throttle, balancers, events, ends.

Nothing runs; the clock is moved. What a task does is said by the label `boxship.simulate` of its container.
"""

import re

import pytest

from conftest import Server, define, network, wait_for


@pytest.fixture(scope="module")
def server():
    server = Server("simulated").start()
    server.client("ecs").create_cluster(clusterName="default")
    yield server
    server.down()


@pytest.fixture
def ecs(server):
    return server.client("ecs")


class Web:
    """A service and how it is looked at."""

    def __init__(self, server, name):
        self.server, self.name, self.ecs = server, name, server.client("ecs")

    def version(self, simulate=None, **container):
        labels = {"dockerLabels": {"boxship.simulate": simulate}} if simulate else {}
        return define(self.server, self.name, [{"image": "web", "portMappings": [{"containerPort": 80}], **labels, **container}])

    def create(self, definition, count, **members):
        self.ecs.create_service(serviceName=self.name, taskDefinition=definition, desiredCount=count, launchType="FARGATE",
                                networkConfiguration=network(self.server), **members)
        return self

    def update(self, **members):
        self.ecs.update_service(service=self.name, **members)

    def look(self):
        return self.ecs.describe_services(services=[self.name])["services"][0]

    def events(self):
        """Oldest first, without ids."""
        messages = [event["message"] for event in reversed(self.look()["events"])]
        return [re.sub(r"arn:aws:elasticloadbalancing:[^)]*", "GROUP", re.sub(r"[0-9a-f]{32}", "ID", re.sub(r"ecs-svc/\d+", "ecs-svc/N", m)))
                .replace(f"service {self.name}", "service web") for m in messages]

    def tasks(self, **members):
        arns = self.ecs.list_tasks(serviceName=self.name, **members)["taskArns"]
        return self.ecs.describe_tasks(tasks=arns)["tasks"] if arns else []

    def is_steady(self):
        """AWS's own condition: what the waiter services-stable looks at."""
        service = self.look()
        return len(service["deployments"]) == 1 and service["runningCount"] == service["desiredCount"]

    def steady(self):
        """Lets time pass until the last deployment is over and the service has said that it stands still."""
        def settled():
            if self.is_steady() and self.look()["events"] and self.look()["events"][0]["message"].endswith("has reached a steady state."):
                return True
            self.server.advance(1)
            return False
        wait_for(settled, 60, f"{self.name} to be steady")
        return self

    def delete(self):
        self.ecs.delete_service(service=self.name, force=True)
        wait_for(lambda: self.look()["status"] == "INACTIVE", 30, f"{self.name} to be gone")


def waves(web, definition):
    """How many tasks run, each time that changes, while a new version rolls out."""
    seen = [web.look()["runningCount"]]
    web.update(taskDefinition=definition)
    def over():
        service = web.look()
        if service["runningCount"] != seen[-1]:
            seen.append(service["runningCount"])
        if service["deployments"][0]["rolloutState"] == "COMPLETED":
            return True
        web.server.advance(1)
        return False
    wait_for(over, 60, "the rollout")
    return seen


@pytest.mark.parametrize("minimum, maximum, lowest, highest", [(50, 100, 2, 4), (100, 150, 4, 6)])
def test_four_tasks_roll(server, minimum, maximum, lowest, highest):
    web = Web(server, f"four-{minimum}")
    web.create(web.version(), 4, deploymentConfiguration={"minimumHealthyPercent": minimum, "maximumPercent": maximum}).steady()
    old = {task["taskArn"] for task in web.tasks()}
    seen = waves(web, web.version())
    assert min(seen) >= lowest and max(seen) <= highest, seen
    web.steady()
    assert {task["taskArn"] for task in web.tasks()}.isdisjoint(old)
    # What was done, in order: a look at the service may come too late to see it.
    moved = [re.match(r".*has (started|stopped) (\d+)", event) for event in web.events()]
    moved = [(m[1], int(m[2])) for m in moved if m][1:]
    first, second = ("stopped", "started") if minimum == 50 else ("started", "stopped")
    assert moved == [(first, 2), (second, 2), (first, 2), (second, 2)], moved
    web.delete()


def test_what_a_service_tells(server):
    web = Web(server, "tells")
    web.create(web.version(), 2).steady()
    assert web.events() == [
        "(service web) has started 2 tasks: (task ID) (task ID).",
        "(service web) (deployment ecs-svc/N) deployment completed.",
        "(service web) has reached a steady state.",
    ]
    service = web.look()
    assert service["deployments"][0]["rolloutState"] == "COMPLETED"
    assert (service["runningCount"], service["pendingCount"]) == (2, 0)
    assert {task["startedBy"] for task in web.tasks()} == {service["deployments"][0]["id"]}
    assert {task["group"] for task in web.tasks()} == {"service:tells"}
    web.update(desiredCount=1)
    web.steady()
    assert web.events()[3:] == ["(service web) has stopped 1 running tasks: (task ID).", "(service web) has reached a steady state."]
    stopped = wait_for(lambda: web.tasks(desiredStatus="STOPPED"), 20)
    assert stopped[0]["stopCode"] == "ServiceSchedulerInitiated"
    assert stopped[0]["stoppedReason"] == f"Scaling activity initiated by (deployment {service['deployments'][0]['id']})"
    web.delete()


def test_a_task_that_is_stopped_is_replaced(server, ecs):
    web = Web(server, "replaced")
    web.create(web.version(), 2).steady()
    victim = web.tasks()[0]["taskArn"]
    ecs.stop_task(task=victim, reason="by hand")
    def whole():
        running = {task["taskArn"] for task in web.tasks() if task["lastStatus"] == "RUNNING"}
        return len(running) == 2 and victim not in running
    wait_for(whole, 10, "another task")
    web.delete()


def test_the_breaker_rolls_back(server, ecs):
    web = Web(server, "breaker")
    good = web.version()
    web.create(good, 2, deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}}).steady()
    before = {task["taskArn"] for task in web.tasks()}
    web.update(taskDefinition=web.version("exit=1"))
    def back():
        server.advance(1)
        return web.look()["taskDefinition"] == good and web.is_steady()
    wait_for(back, 60, "the rollback")
    web.steady()
    events = web.events()
    at = events.index("(service web) (deployment ecs-svc/N) deployment failed: tasks failed to start.")
    assert events[at + 1] == "(service web) rolling back to deployment ecs-svc/N."
    assert events[-2:] == ["(service web) (deployment ecs-svc/N) deployment completed.", "(service web) has reached a steady state."]
    assert {task["taskArn"] for task in web.tasks()} == before, "those that ran go on"
    newest = ecs.list_service_deployments(service="breaker")["serviceDeployments"][0]
    described = ecs.describe_service_deployments(serviceDeploymentArns=[newest["serviceDeploymentArn"]])["serviceDeployments"][0]
    assert described["status"] == "ROLLBACK_SUCCESSFUL"
    assert described["deploymentCircuitBreaker"]["status"] == "TRIGGERED"
    assert described["deploymentCircuitBreaker"]["failureCount"] >= 3
    assert described["rollback"]["serviceRevisionArn"].endswith(web.look()["deployments"][0]["id"].removeprefix("ecs-svc/"))
    web.delete()


def test_the_breaker_without_rollback(server):
    web = Web(server, "stuck")
    web.create(web.version(), 2, deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": False}}).steady()
    web.update(taskDefinition=web.version("exit=1"))
    def failed():
        server.advance(1)
        return web.look()["deployments"][0]["rolloutState"] == "FAILED"
    wait_for(failed, 60, "the failure")
    count = len(web.events())
    for _ in range(10):
        server.advance(60)
    assert len(web.events()) == count, "nothing is started any more"
    assert web.look()["runningCount"] == 2
    web.update(taskDefinition=web.version())
    web.steady()
    assert web.look()["deployments"][0]["rolloutState"] == "COMPLETED"
    web.delete()


def test_tasks_that_never_run_come_ever_more_slowly(server):
    web = Web(server, "slow")
    # What must succeed before the task runs does not.
    definition = define(server, "slow", [
        {"image": "web", "dependsOn": [{"containerName": "c1", "condition": "SUCCESS"}]},
        {"image": "web", "essential": False, "dockerLabels": {"boxship.simulate": "exit=1"}}])
    web.create(definition, 1)
    def told():
        server.advance(1)
        return any("is unable to consistently start tasks successfully." in event for event in web.events())
    wait_for(told, 60, "the complaint")
    starts = lambda: sum("has started 1 tasks" in event for event in web.events())
    before = starts()
    for _ in range(60):
        server.advance(1)
    assert 1 <= starts() - before <= 8, "the wait between two grows"
    web.delete()


def test_targets_come_and_go(server):
    web = Web(server, "balanced")
    elb, ec2 = server.client("elbv2"), server.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    zones = {one["AvailabilityZone"]: one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]}
    balancer = elb.create_load_balancer(Name="rollout", Subnets=list(zones.values())[:2])["LoadBalancers"][0]["LoadBalancerArn"]
    group = elb.create_target_group(Name="rollout", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")["TargetGroups"][0]["TargetGroupArn"]
    elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])
    elb.modify_target_group_attributes(
        TargetGroupArn=group, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "100"}])
    states = lambda: sorted(it["TargetHealth"]["State"] for it in elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"])
    web.ecs.create_service(
        serviceName=web.name, taskDefinition=web.version(), desiredCount=2, launchType="FARGATE", networkConfiguration=network(server),
        loadBalancers=[{"targetGroupArn": group, "containerName": "c0", "containerPort": 80}])
    wait_for(lambda: states() == ["healthy", "healthy"], 20, "two healthy targets")
    web.steady()
    assert sum(int(m[1]) for m in map(re.compile(r".* registered (\d+) targets in \(target-group GROUP\)").match, web.events()) if m) == 2
    web.update(desiredCount=1)
    wait_for(lambda: states() == ["draining", "healthy"], 20, "a target that drains")
    leaving = [task for task in web.tasks(desiredStatus="STOPPED") if task["lastStatus"] == "DEACTIVATING"]
    assert len(leaving) == 1, "it is stopped only when it has drained"
    assert "(service web, taskSet ecs-svc/N) has begun draining connections on 1 tasks." in web.events()
    assert "(service web) deregistered 1 targets in (target-group GROUP)" in web.events()
    server.advance(101)
    wait_for(lambda: states() == ["healthy"], 20, "the end of the drain")
    wait_for(lambda: web.ecs.describe_tasks(tasks=[leaving[0]["taskArn"]])["tasks"][0]["lastStatus"] == "STOPPED", 20, "the stop")
    # A group that is deleted under its service: told once; nothing spins.
    listener = elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"][0]["ListenerArn"]
    elb.delete_listener(ListenerArn=listener)
    elb.delete_target_group(TargetGroupArn=group)
    web.update(desiredCount=2)
    wait_for(lambda: any("failed to register targets in (target-group GROUP)" in event for event in web.events()), 20, "the refusal")
    wait_for(lambda: web.look()["runningCount"] == 2, 20, "the second task")
    count = len(web.events())
    for _ in range(5):
        server.advance(10)
    assert len(web.events()) <= count + 1
    web.delete()


def test_what_cannot_be_placed_says_why(server):
    web = Web(server, "unplaced")
    definition = server.client("ecs").register_task_definition(
        family="unplaced", containerDefinitions=[{"name": "c0", "image": "web", "memory": 64}])["taskDefinition"]["taskDefinitionArn"]
    server.client("ecs").create_service(serviceName="unplaced", taskDefinition=definition, desiredCount=1)
    wait_for(lambda: web.look()["events"], 20, "an event")
    for _ in range(5):
        server.advance(60)
    assert web.events() == [
        "(service web) was unable to place a task because no container instance met all of its requirements. Reason: No Container "
        "Instances were found in your cluster. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."]
    web.delete()


def test_deleting_a_service(server, ecs):
    web = Web(server, "deleted")
    web.create(web.version(), 3).steady()
    arns = [task["taskArn"] for task in web.tasks()]
    web.delete()
    assert all(task["lastStatus"] == "STOPPED" for task in ecs.describe_tasks(tasks=arns)["tasks"])
    assert web.look()["runningCount"] == 0
    # The name is free again.
    web.create(web.version(), 1).steady()
    assert len(web.events()) == 3
    web.delete()


def test_protected_tasks_stay(server, ecs):
    web = Web(server, "protected")
    web.create(web.version(), 3).steady()
    kept = web.tasks()[0]["taskArn"]
    ecs.update_task_protection(cluster="default", tasks=[kept], protectionEnabled=True, expiresInMinutes=10)
    web.update(desiredCount=1)
    wait_for(lambda: [task["taskArn"] for task in web.tasks()] == [kept], 20, "the protected task alone")
    web.update(taskDefinition=web.version())
    for _ in range(10):
        server.advance(2)
    assert kept in [task["taskArn"] for task in web.tasks()], "a deployment leaves it alone"
    ecs.update_task_protection(cluster="default", tasks=[kept], protectionEnabled=False)
    web.steady()
    assert kept not in [task["taskArn"] for task in web.tasks()]
    web.delete()


def test_desired_zero_and_many(server):
    web = Web(server, "many")
    web.create(web.version(), 0).steady()
    assert web.events()[-1] == "(service web) has reached a steady state."
    web.update(desiredCount=120)
    wait_for(lambda: web.look()["runningCount"] == 120, 60, "120 tasks")
    web.steady()
    started = [int(m[1]) for m in map(re.compile(r".*has started (\d+) tasks").match, web.events()) if m]
    assert sum(started) == 120 and max(started) <= 50, started
    web.update(desiredCount=0)
    web.steady()
    assert web.look()["runningCount"] == 0
    web.delete()
