"""Services in trouble, on real tasks: each says what is wrong, goes on where it can, and costs next to nothing meanwhile."""

import concurrent.futures
import os
import random
import re
import time

import pytest

from conftest import needs_root, refused, wait_for
from service_web import RUNS, Web, nothing_is_orphaned, processor_seconds, serve, version

pytestmark = needs_root

KILLS = 20 if os.environ.get("BOXSHIP_LONG") else 3
IMPAIRED = "is unable to consistently start tasks successfully"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = serve(tmp_path_factory.mktemp("images"))
    yield server
    server.down()


@pytest.fixture(scope="module")
def front(server):
    """A balancer whose service is none; services of the tests stand alone or in its network."""
    return Web(server, "front", has_service=False)


class Alone:
    """A service without a balancer, in the network of `front`."""

    def __init__(self, front, name, desired=2, **members):
        self.front, self.name, self.ecs = front, name, front.ecs
        members = {"taskDefinition": members.pop("definition", None) or version(front.server, name, "v1"),
                   "networkConfiguration": front.network, **members}
        self.ecs.create_service(serviceName=name, desiredCount=desired, launchType="FARGATE", **members)

    service, events, tasks, update, stable, delete = Web.service, Web.events, Web.tasks, Web.update, Web.stable, Web.delete

    def says(self, text, seconds=60):
        """Waits for an event with this text; answers the newest one."""
        def said():
            return next((event for event in reversed(self.events()) if text in event), None)
        try:
            return wait_for(said, seconds, text)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.events()}") from None


def newest(ecs, name):
    arn = ecs.list_service_deployments(service=name)["serviceDeployments"][0]["serviceDeploymentArn"]
    return ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]


def deployment_is(ecs, name, status, seconds=60):
    wait_for(lambda: newest(ecs, name)["status"] == status, seconds, f"{status}, not {newest(ecs, name)['status']}")
    return newest(ecs, name)


def test_what_cannot_work_is_told_and_costs_nothing(server, front):
    """Six services that cannot get well, at once."""
    ecs, ec2, elb = front.ecs, front.ec2, front.elb
    missing = Alone(front, "missing", definition=version(server, "missing", "v1", image=f"{server.registry}/missing:1"))
    load_balancers = [{"targetGroupArn": front.group, "containerName": "web", "containerPort": 80}]
    sick = Alone(front, "sick", desired=1, loadBalancers=load_balancers, healthCheckGracePeriodSeconds=0, definition=version(
        server, "sick", "v1", environment=[{"name": "SICK", "value": "yes"}]))
    group = front.target_group("brief")
    rule = elb.create_rule(ListenerArn=front.listener, Priority=7, Actions=[{"Type": "forward", "TargetGroupArn": group}],
                           Conditions=[{"Field": "path-pattern", "Values": ["/brief"]}])["Rules"][0]["RuleArn"]
    ungrouped = Alone(front, "ungrouped", desired=1, loadBalancers=[{**load_balancers[0], "targetGroupArn": group}])
    ungrouped.stable()
    elb.delete_rule(RuleArn=rule)
    elb.delete_target_group(TargetGroupArn=group)
    ungrouped.update(desiredCount=2)
    subnet = ec2.create_subnet(VpcId=front.vpc, CidrBlock="172.31.240.0/24")["Subnet"]["SubnetId"]
    nowhere = Alone(front, "nowhere", desired=0, networkConfiguration={"awsvpcConfiguration": {
        "subnets": [subnet], "securityGroups": [front.back], "assignPublicIp": "ENABLED"}})
    ec2.delete_subnet(SubnetId=subnet)
    nowhere.update(desiredCount=1)
    stuck = Alone(front, "stuck", desired=1)
    stuck.stable()
    percents = {"minimumHealthyPercent": 100, "maximumPercent": 100}
    refused("InvalidParameterException", ecs.update_service, "cannot be 100", service="stuck", deploymentConfiguration=percents)
    # A half more than one is one.
    stuck.update(taskDefinition=version(server, "stuck", "v2"), deploymentConfiguration={**percents, "maximumPercent": 150})
    says = {
        "missing": missing.says(IMPAIRED), "sick": sick.says("is unhealthy in"), "ungrouped": ungrouped.says(group),
        "nowhere": nowhere.says(subnet), "stuck": stuck.says("because of the service deployment configuration")}
    print("\n".join(says.values()))
    assert re.search(r"^\(service sick\) \(port 80\) is unhealthy in \(target-group arn:\S+\) due to "
                     r"\(reason Health checks failed with these codes: \[503\]\)", says["sick"]), says
    assert stuck.service()["runningCount"] == 1 and len(stuck.service()["deployments"]) == 2

    # Nothing turns in circles.
    before, counts = processor_seconds(server.process.pid), {one: len(one.events()) for one in (missing, ungrouped, nowhere, stuck)}
    time.sleep(4)
    used = processor_seconds(server.process.pid) - before
    print(f"{used:.2f} s of the processor in 4 s")
    assert used < 2, used
    for one, count in counts.items():
        assert len(one.events()) <= count + 6, one.events()
    # The answer of each is as good as ever, and each can get well or go.
    stuck.update(deploymentConfiguration={"minimumHealthyPercent": 100, "maximumPercent": 200})
    stuck.stable()
    assert {task["taskDefinitionArn"] for task in stuck.tasks()} == {stuck.service()["taskDefinition"]}
    missing.update(taskDefinition=version(server, "missing", "v2"))
    missing.stable()
    for one in (missing, sick, ungrouped, nowhere, stuck):
        one.delete()


def test_a_definition_that_is_gone_still_scales(server, front):
    """AWS: services go on with a definition that is INACTIVE, or being deleted."""
    one = Alone(front, "undefined", desired=1)
    one.stable()
    definition = one.service()["taskDefinition"]
    one.ecs.deregister_task_definition(taskDefinition=definition)
    one.update(desiredCount=2)
    one.stable()
    one.ecs.delete_task_definitions(taskDefinitions=[definition])
    one.update(desiredCount=3)
    one.stable()
    one.delete()


def test_updates_and_deletes_meet(server, front):
    one = Alone(front, "meets", desired=2)
    one.stable()
    # Two at once: both are accepted, and the service ends at the one that came last.
    definitions = [version(server, "meets", f"v{number}") for number in range(2, 6)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda definition: one.update(taskDefinition=definition), definitions))
    one.stable()
    assert {task["taskDefinitionArn"] for task in one.tasks()} == {one.service()["taskDefinition"]}
    # To nothing and back.
    one.update(desiredCount=0)
    wait_for(lambda: not one.tasks(), 60, "its tasks going")
    one.stable()
    one.update(desiredCount=2)
    one.stable()
    # A delete in the middle of a rollout, and an update in the middle of the delete.
    refused("InvalidParameterException", one.ecs.delete_service, "The service cannot be stopped while it is scaled above 0.", service="meets")
    definition = version(server, "meets", "v6")
    one.update(taskDefinition=definition)
    wait_for(lambda: any(task["taskDefinitionArn"] == definition for task in one.tasks()), 30, "the rollout beginning")
    one.ecs.delete_service(service="meets", force=True)
    refused("ServiceNotActiveException", one.ecs.update_service, service="meets", desiredCount=3)
    wait_for(lambda: one.service()["status"] == "INACTIVE", 60, "the service going")
    wait_for(lambda: not one.tasks(), 60, "its tasks going")
    nothing_is_orphaned(server)
    # The name is free again.
    again = Alone(front, "meets", desired=1)
    again.stable()
    again.delete()


def test_protected_tasks_stay(server, front):
    one = Alone(front, "protected", desired=3)
    one.stable()
    kept = one.tasks()[0]["taskArn"]
    one.ecs.update_task_protection(cluster="default", tasks=[kept], protectionEnabled=True)
    one.update(desiredCount=1)
    wait_for(lambda: [task["taskArn"] for task in one.tasks()] == [kept], 60, "the others going")
    definition = version(server, "protected", "v2")
    one.update(taskDefinition=definition)
    wait_for(lambda: {task["taskDefinitionArn"] for task in one.tasks() if task["lastStatus"] == "RUNNING"} > {definition}, 60,
             "a task of the new definition beside it")
    deployments = one.service()["deployments"]
    assert len(deployments) == 2, deployments
    assert kept in [task["taskArn"] for task in one.tasks()]
    one.ecs.update_task_protection(cluster="default", tasks=[kept], protectionEnabled=False)
    one.stable()
    assert [task["taskDefinitionArn"] for task in one.tasks()] == [definition]
    one.delete()


def test_health_of_containers_alone(server, front):
    """Checks of a container keep a rollout back, and have a task replaced once they fail."""
    check = {"command": ["CMD-SHELL", "test ! -e /tmp/sick"], "interval": 5, "retries": 1, "timeout": 2}
    one = Alone(front, "checked", desired=1, enableExecuteCommand=False, definition=version(
        server, "checked", "v1", healthCheck=check, command=[f"( sleep 3; test $NAME = v1 || touch /tmp/sick ) & {RUNS}"]))
    wait_for(lambda: [task["healthStatus"] for task in one.tasks()] == ["HEALTHY"], 60, "the check passing")
    [first] = one.tasks()
    # It gets sick after a while: another comes, and it goes.
    bad = version(server, "checked", "v2", healthCheck=check, command=[f"touch /tmp/sick; {RUNS}"])
    one.update(taskDefinition=bad, deploymentConfiguration={
        "minimumHealthyPercent": 100, "maximumPercent": 200,
        "deploymentCircuitBreaker": {"enable": True, "rollback": True, "thresholdConfiguration": {"type": "COUNT", "value": 2}}})
    over = deployment_is(one.ecs, "checked", "ROLLBACK_SUCCESSFUL", 90)
    assert over["deploymentCircuitBreaker"]["status"] == "TRIGGERED", over
    one.stable()
    assert first["taskArn"] in [task["taskArn"] for task in one.tasks()], "the old one never left"
    one.says("failed container health checks")
    one.delete()


def test_the_grace_period(server, front):
    """What checks say in it does not count; what they say after it does."""
    group = front.target_group("slow")
    front.elb.create_rule(ListenerArn=front.listener, Priority=8, Actions=[{"Type": "forward", "TargetGroupArn": group}],
                          Conditions=[{"Field": "path-pattern", "Values": ["/slow"]}])
    load_balancers = [{"targetGroupArn": group, "containerName": "web", "containerPort": 80}]
    slow = version(server, "slow", "v1", environment=[{"name": "SICK", "value": "/tmp/sick"}],
                   command=[f"touch /tmp/sick; ( sleep 12; rm /tmp/sick ) & {RUNS}"])
    one = Alone(front, "slow", desired=1, definition=slow, loadBalancers=load_balancers, healthCheckGracePeriodSeconds=120)
    wait_for(lambda: one.tasks() and one.tasks()[0]["lastStatus"] == "RUNNING", 60, "the task running")
    [task] = one.tasks()
    def states():
        health = front.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return [found["TargetHealth"]["State"] for found in health]
    wait_for(lambda: "unhealthy" in states(), 60, "the balancer finding it sick")
    wait_for(lambda: states() == ["healthy"], 60, "the balancer finding it well")
    one.stable()
    assert [found["taskArn"] for found in one.tasks()] == [task["taskArn"]]
    one.delete()


def test_crashes_are_not_throttled_but_failed_starts_are(server, front):
    crashes = Alone(front, "crashes", desired=1, definition=version(server, "crashes", "v1", command=["sleep 0.2; exit 3"]))
    starts = Alone(front, "starts", desired=1, definition=version(server, "starts", "v1", image=f"{server.registry}/missing:2"))
    starts.says(IMPAIRED)
    def started(one):
        return sum("has started" in event for event in one.events())
    wait_for(lambda: started(crashes) >= 12, 120, "a dozen starts")
    assert IMPAIRED not in " ".join(crashes.events())
    assert started(starts) < started(crashes), (started(starts), started(crashes))
    crashes.delete()
    starts.delete()


def test_kill_9_of_the_server_in_rollouts(server, front):
    """At random moments: nothing is orphaned, nothing runs twice, and the counts are right."""
    seed = int(os.environ.get("BOXSHIP_SEED", random.randrange(1 << 32)))
    print(f"BOXSHIP_SEED={seed}")
    chance = random.Random(seed)
    one = Alone(front, "killed", desired=3)
    one.stable()
    for number in range(KILLS):
        definition = version(server, "killed", f"k{number}")
        desired = chance.choice([2, 3, 5])
        one.update(taskDefinition=definition, desiredCount=desired)
        time.sleep(chance.choice([0, chance.uniform(0, 0.2), chance.uniform(0, 2)]))
        server.kill()
        server.start()
        one.stable()
        service, tasks = one.service(), one.tasks()
        assert len(tasks) == desired == service["runningCount"], (len(tasks), service)
        assert {task["taskDefinitionArn"] for task in tasks} == {definition}
        assert service["deployments"][0]["runningCount"] == desired
        addresses = [detail["value"] for task in tasks for detail in task["attachments"][0]["details"] if detail["name"] == "privateIPv4Address"]
        assert len(set(addresses)) == desired
        # Each start is told once, and no other task is there.
        told = re.findall(r"\(task ([0-9a-f]{32})\)", " ".join(event for event in one.events() if "has started" in event))
        assert len(told) == len(set(told)), told
        assert {task["taskArn"].rsplit("/", 1)[1] for task in tasks} <= set(told)
    nothing_is_orphaned(server)
    one.delete()
    nothing_is_orphaned(server)
