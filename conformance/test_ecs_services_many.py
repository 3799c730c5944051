"""Two hundred services of five tasks, all rolled out at once: every one converges, and all counts are right."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import Server, network, wait_for

SERVICES, TASKS = 200, 5
NAMES = [f"many-{number:03}" for number in range(SERVICES)]


@pytest.fixture
def server():
    server = Server("simulated").start()
    yield server
    server.down()


def register(ecs):
    container = {"name": "web", "image": "public.ecr.aws/docker/library/nginx:1.25", "essential": True}
    answer = ecs.register_task_definition(family="many", requiresCompatibilities=["FARGATE"], networkMode="awsvpc",
                                          cpu="256", memory="512", containerDefinitions=[container])
    return answer["taskDefinition"]["taskDefinitionArn"]


def described(ecs):
    services = []
    for at in range(0, SERVICES, 10):
        answer = ecs.describe_services(cluster="many", services=NAMES[at:at + 10])
        assert answer["failures"] == []
        services += answer["services"]
    return services


def is_settled(service, definition):
    deployments = service["deployments"]
    return (service["taskDefinition"] == definition and len(deployments) == 1
            and deployments[0]["rolloutState"] == "COMPLETED" and service["runningCount"] == TASKS
            and service["pendingCount"] == 0)


def settle(server, ecs, definition):
    """Advances the clock until every service is where its owner wants it."""
    def is_there():
        server.advance(5)
        return all(is_settled(service, definition) for service in described(ecs))
    wait_for(is_there, 300, "every service's steadiness")


def tasks(ecs, **members):
    pages = ecs.get_paginator("list_tasks").paginate(cluster="many", **members)
    return [arn for page in pages for arn in page["taskArns"]]


def each(work):
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, NAMES))


def test_all_are_rolled_out_at_once(server):
    ecs = server.client("ecs")
    ecs.create_cluster(clusterName="many")
    first, place = register(ecs), network(server)
    each(lambda name: ecs.create_service(
        cluster="many", serviceName=name, taskDefinition=first, desiredCount=TASKS, launchType="FARGATE",
        networkConfiguration=place))
    settle(server, ecs, first)
    before = set(tasks(ecs))
    assert len(before) == SERVICES * TASKS

    second = register(ecs)
    each(lambda name: ecs.update_service(cluster="many", service=name, taskDefinition=second))
    settle(server, ecs, second)

    after = tasks(ecs)
    assert len(set(after)) == len(after) == SERVICES * TASKS
    assert not before & set(after), "a task outlived the update"
    [cluster] = ecs.describe_clusters(clusters=["many"])["clusters"]
    assert (cluster["runningTasksCount"], cluster["pendingTasksCount"]) == (SERVICES * TASKS, 0)
    assert cluster["activeServicesCount"] == SERVICES
    for name in NAMES[::20]:
        own = tasks(ecs, serviceName=name)
        assert len(own) == TASKS
        answer = ecs.describe_tasks(cluster="many", tasks=own)["tasks"]
        assert {task["taskDefinitionArn"] for task in answer} == {second}
        assert {task["group"] for task in answer} == {f"service:{name}"}
    for service in described(ecs):
        said = [event["message"] for event in service["events"]]
        assert said[0].endswith("has reached a steady state."), said
        assert not any("unable" in line for line in said), said

    each(lambda name: ecs.delete_service(cluster="many", service=name, force=True))

    def are_gone():
        server.advance(5)
        return not tasks(ecs)
    wait_for(are_gone, 300, "the end of every task")
    interfaces = server.client("ec2").describe_network_interfaces()["NetworkInterfaces"]
    assert interfaces == []
