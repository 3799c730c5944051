"""Targets of simulated tasks: healthy until their directions say otherwise."""

import pytest

from conftest import Server, execution_role, wait_for


@pytest.fixture(scope="module")
def server():
    server = Server("simulated").start()
    server.client("ecs").create_cluster(clusterName="default")
    yield server
    server.down()


def web(server, name, direction, desired=1, **members):
    """A service behind a balancer whose one container has this direction; answers its group."""
    ec2, elb, ecs = server.client("ec2"), server.client("elbv2"), server.client("ecs")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]][:2]
    balancer = elb.create_load_balancer(Name=name, Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    group = elb.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")["TargetGroups"][0]["TargetGroupArn"]
    elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80,
                        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])
    ecs.register_task_definition(
        family=name, requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu="256", memory="512",
        executionRoleArn=execution_role(server),
        containerDefinitions=[
            {"name": "web", "image": "web", "portMappings": [{"containerPort": 80}], "dockerLabels": {"boxship.simulate": direction}},
            {"name": "aside", "image": "aside", "essential": False, "dockerLabels": {"boxship.simulate": "unhealthy"}}])
    ecs.create_service(
        serviceName=name, taskDefinition=name, desiredCount=desired, launchType="FARGATE",
        loadBalancers=[{"targetGroupArn": group, "containerName": "web", "containerPort": 80}],
        networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}}, **members)
    return group


def health(server, group):
    found = server.client("elbv2").describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return sorted((one["TargetHealth"]["State"], one["TargetHealth"].get("Reason", "")) for one in found)


def test_a_target_is_healthy_until_it_is_told_otherwise(server):
    group = web(server, "turns", "unhealthy after=600s", healthCheckGracePeriodSeconds=3600)
    wait_for(lambda: health(server, group) == [("healthy", "")], 20, "a healthy target")
    server.advance(590)
    assert health(server, group) == [("healthy", "")]
    server.advance(20)
    assert health(server, group) == [("unhealthy", "Target.ResponseCodeMismatch")]


def test_a_task_whose_target_is_unhealthy_is_replaced(server):
    group = web(server, "replaced", "unhealthy after=60s")
    wait_for(lambda: health(server, group) == [("healthy", "")], 20, "a healthy target")
    first = server.client("ecs").list_tasks(serviceName="replaced")["taskArns"]
    server.advance(70)
    wait_for(lambda: set(server.client("ecs").list_tasks(serviceName="replaced")["taskArns"]) - set(first), 20, "another task")
    wait_for(lambda: any("is unhealthy in (target-group" in event["message"] and "[503]" in event["message"] for event in
                         server.client("ecs").describe_services(services=["replaced"])["services"][0]["events"]), 20, "its event")
