"""A task in full as boto3 sees it: launch type EC2 on this machine, health, room, ports, overrides, refusals."""

import pytest

from conftest import Server, execution_role, network, refused, wait_for


@pytest.fixture(scope="module")
def server():
    server = Server("simulated", "--instance", "main").start()
    execution_role(server)
    yield server
    server.down()


@pytest.fixture
def ecs(server):
    return server.client("ecs")


def container(name, **members):
    return {"name": name, "image": "web:1", "memory": 64, **members}


def register(ecs, family, *containers, **members):
    definition = ecs.register_task_definition(
        family=family, containerDefinitions=list(containers) or [container("web")], **members)
    return definition["taskDefinition"]["taskDefinitionArn"]


def run(ecs, definition, **members):
    answer = ecs.run_task(cluster="main", taskDefinition=definition, **members)
    assert answer["failures"] == []
    return answer["tasks"][0]


def shown(ecs, task):
    return ecs.describe_tasks(cluster="main", tasks=[task["taskArn"]])["tasks"][0]


def test_on_this_machine(server, ecs):
    """What Fargate refuses runs here."""
    definition = register(
        ecs, "ec2",
        container("web", privileged=True, links=["db:database"], dnsServers=["10.0.0.2"], hostname="h",
                  extraHosts=[{"hostname": "a", "ipAddress": "10.0.0.3"}], portMappings=[{"containerPort": 80}],
                  dependsOn=[{"containerName": "db", "condition": "START"}],
                  restartPolicy={"enabled": True}, ulimits=[{"name": "core", "softLimit": 0, "hardLimit": 0}],
                  linuxParameters={"devices": [{"hostPath": "/dev/null"}], "sharedMemorySize": 8,
                                   "tmpfs": [{"containerPath": "/t", "size": 1}], "maxSwap": 0, "swappiness": 1},
                  mountPoints=[{"sourceVolume": "data", "containerPath": "/data"}]),
        container("db", logConfiguration={"logDriver": "json-file", "options": {"max-size": "1m"}}),
        volumes=[{"name": "data", "host": {"sourcePath": "/tmp"}},
                 {"name": "shared", "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": True}}])
    task = run(ecs, definition)
    assert (task["launchType"], task["attachments"]) == ("EC2", [])
    [instance] = ecs.list_container_instances(cluster="main")["containerInstanceArns"]
    assert task["containerInstanceArn"] == instance
    assert "platformVersion" not in task and "ephemeralStorage" not in task
    wait_for(lambda: shown(ecs, task)["lastStatus"] == "RUNNING", 10)
    assert ecs.list_tasks(cluster="main", containerInstance=instance, launchType="EC2")["taskArns"] == [task["taskArn"]]
    ecs.stop_task(cluster="main", task=task["taskArn"])
    wait_for(lambda: shown(ecs, task)["lastStatus"] == "STOPPED", 10)


def test_a_port_is_one_tasks(ecs):
    definition = register(ecs, "port", container("web", portMappings=[{"containerPort": 80, "hostPort": 18080}]))
    task = run(ecs, definition)
    answer = ecs.run_task(cluster="main", taskDefinition=definition)
    assert answer["tasks"] == []
    assert [failure["reason"] for failure in answer["failures"]] == ["RESOURCE:PORTS"]
    ecs.stop_task(cluster="main", task=task["taskArn"])
    wait_for(lambda: shown(ecs, task)["lastStatus"] == "STOPPED", 10)
    ecs.stop_task(cluster="main", task=run(ecs, definition)["taskArn"])


@pytest.mark.parametrize("members,reason", [({"memory": 2**30}, "RESOURCE:MEMORY"), ({"cpu": 2**30}, "RESOURCE:CPU"),
    ({"resourceRequirements": [{"type": "GPU", "value": "1"}]}, "RESOURCE:GPU")])
def test_no_room(ecs, members, reason):
    answer = ecs.run_task(cluster="main", taskDefinition=register(ecs, "large", container("web", **members)))
    assert [failure["reason"] for failure in answer["failures"]] == [reason]


def test_other_architectures_find_no_instance(ecs):
    other = "ARM64" if describe_architecture(ecs) == "x86_64" else "X86_64"
    definition = register(ecs, "foreign", runtimePlatform={"cpuArchitecture": other, "operatingSystemFamily": "LINUX"})
    answer = ecs.run_task(cluster="main", taskDefinition=definition)
    assert [failure["reason"] for failure in answer["failures"]] == ["ATTRIBUTE"]


def describe_architecture(ecs):
    [instance] = ecs.list_container_instances(cluster="main")["containerInstanceArns"]
    found = ecs.describe_container_instances(cluster="main", containerInstances=[instance])["containerInstances"][0]
    return next(a["value"] for a in found["attributes"] if a["name"] == "ecs.cpu-architecture")


def test_health(server, ecs):
    check = {"command": ["CMD-SHELL", "true"], "interval": 5, "timeout": 2, "retries": 1}
    definition = register(
        ecs, "health", container("web", healthCheck=check, dockerLabels={"boxship.simulate": "unhealthy after=60s"}),
        container("side", essential=False))
    task = run(ecs, definition)
    assert task["healthStatus"] == "UNKNOWN"
    server.advance(10)
    wait_for(lambda: shown(ecs, task)["healthStatus"] == "HEALTHY", 10, "healthy")
    server.advance(120)
    found = wait_for(lambda: (t := shown(ecs, task))["healthStatus"] == "UNHEALTHY" and t, 10, "unhealthy")
    assert [c["healthStatus"] for c in found["containers"]] == ["UNHEALTHY", "UNKNOWN"]
    assert found["lastStatus"] == "RUNNING", "a task without a service stays"
    ecs.stop_task(cluster="main", task=task["taskArn"])


def test_fargate_in_full(server, ecs):
    definition = register(
        ecs, "fargate",
        container("web", dependsOn=[{"containerName": "init", "condition": "SUCCESS"}], pseudoTerminal=True,
                  interactive=True, startTimeout=20, stopTimeout=120, dockerLabels={"team": "a"},
                  portMappings=[{"containerPort": 80, "name": "http", "appProtocol": "http"}, {"containerPortRange": "90-99"}],
                  linuxParameters={"initProcessEnabled": True, "capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]}},
                  systemControls=[{"namespace": "net.core.somaxconn", "value": "99"}],
                  mountPoints=[{"sourceVolume": "scratch", "containerPath": "/s", "readOnly": True}]),
        container("init", essential=False, dockerLabels={"boxship.simulate": "exit=0 after=5s"},
                  mountPoints=[{"sourceVolume": "scratch", "containerPath": "/s"}]),
        container("side", essential=False, volumesFrom=[{"sourceContainer": "init", "readOnly": True}]),
        requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu="256", memory="512", pidMode="task",
        ephemeralStorage={"sizeInGiB": 30}, enableFaultInjection=True, volumes=[{"name": "scratch"}],
        taskRoleArn="execution", executionRoleArn="execution", tags=[{"key": "a", "value": "1"}])
    task = run(ecs, definition, launchType="FARGATE", networkConfiguration=network(server), enableExecuteCommand=True,
               propagateTags="TASK_DEFINITION", referenceId="x")
    assert task["ephemeralStorage"] == {"sizeInGiB": 30}
    assert task["fargateEphemeralStorage"]["sizeInGiB"] == 30
    assert task["tags"] == [{"key": "a", "value": "1"}]
    server.advance(6)
    task = wait_for(lambda: (t := shown(ecs, task))["lastStatus"] == "RUNNING" and t, 10, "running")
    assert task["enableExecuteCommand"] is True
    agents = {c["name"]: c["managedAgents"][0]["lastStatus"] for c in task["containers"]}
    assert agents["web"] == "RUNNING" and agents["init"] == "STOPPED"
    assert task["containers"][1]["exitCode"] == 0
    ecs.stop_task(cluster="main", task=task["taskArn"])


def test_what_does_not_go_together(server, ecs):
    plain = register(ecs, "plain")
    vpc = register(ecs, "vpc", networkMode="awsvpc")
    private = {"awsvpcConfiguration": {"subnets": network(server)["awsvpcConfiguration"]["subnets"]}}
    for text, members in [
        ("Network Configuration is not valid", {"taskDefinition": plain, "networkConfiguration": private}),
        ("Network Configuration must be provided", {"taskDefinition": vpc}),
        ("Assign public IP is not supported", {"taskDefinition": vpc, "networkConfiguration": network(server)}),
        ("platform version must be null", {"taskDefinition": plain, "platformVersion": "LATEST"}),
        ("does not support launch_type FARGATE", {"taskDefinition": plain, "launchType": "FARGATE"}),
        ("No Container Instances were found", {"taskDefinition": plain, "launchType": "EXTERNAL"}),
    ]:
        refused("InvalidParameterException", ecs.run_task, text, cluster="main", **members)
    ecs.create_cluster(clusterName="empty")
    refused("InvalidParameterException", ecs.run_task, "No Container Instances were found in your cluster.",
            cluster="empty", taskDefinition=plain)
    task = run(ecs, vpc, networkConfiguration=private)
    assert len(task["attachments"]) == 1 and task["launchType"] == "EC2"
    ecs.stop_task(cluster="main", task=task["taskArn"])
