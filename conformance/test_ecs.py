"""ECS as boto3 and the AWS CLI see it: what is kept, what is answered, what is refused, and how tasks live."""

import concurrent.futures
import copy
import datetime
import json

import pytest

from conftest import TRUST, define, describe, execution_role, network, refused, run_task, running, stopped, subnet, wait_for

ROLE = "arn:aws:iam::000000000000:role/execution"


@pytest.fixture
def ecs(simulated):
    simulated.client("ecs").create_cluster(clusterName="default")
    execution_role(simulated)
    return simulated.client("ecs")


def container(**members):
    return {"name": "web", "image": "web:1", **members}


def fargate(*containers, **members):
    """A definition that registers and runs; `None` leaves a member out."""
    whole = {"family": "web", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256",
             "memory": "512", "containerDefinitions": list(containers) or [container()], **members}
    return {name: value for name, value in whole.items() if value is not None}


def simulated_task(server, direction=None, **members):
    """Starts a task of one container; answers its ARN."""
    labels = {"dockerLabels": {"boxship.simulate": direction}} if direction else {}
    return run_task(server, define(server, "simulated", [{"image": "web:1", **labels}]), **members)[0]


# Clusters


def test_clusters(simulated):
    ecs = simulated.client("ecs", region="eu-west-1")
    made = ecs.create_cluster(clusterName="blue", tags=[{"key": "team", "value": "a"}])["cluster"]
    assert made["clusterArn"] == "arn:aws:ecs:eu-west-1:000000000000:cluster/blue"
    assert made["status"] == "ACTIVE"
    assert made["runningTasksCount"] == made["pendingTasksCount"] == made["activeServicesCount"] == 0
    assert ecs.create_cluster(clusterName="blue")["cluster"]["clusterArn"] == made["clusterArn"]
    assert ecs.create_cluster()["cluster"]["clusterName"] == "default"
    assert ecs.list_clusters()["clusterArns"] == [
        made["clusterArn"], "arn:aws:ecs:eu-west-1:000000000000:cluster/default"]
    answer = ecs.describe_clusters(clusters=["blue", made["clusterArn"], "green"], include=["TAGS", "SETTINGS", "STATISTICS"])
    assert [c["clusterName"] for c in answer["clusters"]] == ["blue", "blue"]
    assert answer["clusters"][0]["tags"] == [{"key": "team", "value": "a"}]
    assert answer["clusters"][0]["settings"] == [{"name": "containerInsights", "value": "disabled"}]
    assert answer["failures"] == [
        {"arn": "arn:aws:ecs:eu-west-1:000000000000:cluster/green", "reason": "MISSING"}]
    assert ecs.describe_clusters()["clusters"][0]["clusterName"] == "default"
    assert ecs.delete_cluster(cluster="blue")["cluster"]["status"] == "INACTIVE"
    assert ecs.list_clusters()["clusterArns"] == ["arn:aws:ecs:eu-west-1:000000000000:cluster/default"]
    assert ecs.describe_clusters(clusters=["blue"])["clusters"][0]["status"] == "INACTIVE"
    refused("ClusterNotFoundException", ecs.delete_cluster, "Cluster not found.", cluster="green")
    refused("ClusterNotFoundException", ecs.run_task, cluster="blue", taskDefinition="x", launchType="FARGATE")
    refused("InvalidParameterException", ecs.create_cluster, clusterName="no spaces")
    refused("InvalidParameterException", ecs.create_cluster, clusterName="x" * 256)
    assert ecs.create_cluster(clusterName="blue")["cluster"]["status"] == "ACTIVE"


def test_cluster_pages(simulated):
    ecs = simulated.client("ecs", region="ap-south-1")
    names = [f"c{n:02}" for n in range(23)]
    for name in names:
        ecs.create_cluster(clusterName=name)
    pages = list(ecs.get_paginator("list_clusters").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["clusterArns"]) for page in pages] == [5, 5, 5, 5, 3]
    assert [arn.rsplit("/", 1)[1] for page in pages for arn in page["clusterArns"]] == names
    assert len(ecs.list_clusters()["clusterArns"]) == 23
    refused("InvalidParameterException", ecs.list_clusters, nextToken="bm9uc2Vuc2U")
    refused("InvalidParameterException", ecs.list_clusters, nextToken="!")
    refused("InvalidParameterException", ecs.list_clusters, maxResults=0)
    refused("InvalidParameterException", ecs.list_clusters, maxResults=101)


def test_cluster_with_tasks_stays(simulated, ecs):
    ecs.create_cluster(clusterName="busy")
    definition = define(simulated, "busy", [{"image": "web:1"}])
    arn = ecs.run_task(cluster="busy", taskDefinition=definition, launchType="FARGATE",
                       networkConfiguration=network(simulated))["tasks"][0]["taskArn"]
    refused("ClusterContainsTasksException", ecs.delete_cluster,
            "The Cluster cannot be deleted while Tasks are active.", cluster="busy")
    refused("InvalidParameterException", ecs.stop_task, "Identifier is for cluster busy", task=arn)
    ecs.get_waiter("tasks_running").wait(cluster="busy", tasks=[arn], WaiterConfig={"Delay": 0})
    assert ecs.describe_clusters(clusters=["busy"])["clusters"][0]["runningTasksCount"] == 1
    ecs.stop_task(cluster="busy", task=arn)
    wait_for(lambda: ecs.describe_tasks(cluster="busy", tasks=[arn])["tasks"][0]["lastStatus"] == "STOPPED", 10)
    assert ecs.delete_cluster(cluster="busy")["cluster"]["status"] == "INACTIVE"


# Task definitions

#: Every member of RegisterTaskDefinition with a value of its own. Those of FARGATES cannot stand beside the others.
FARGATES = ["enableFaultInjection", "ephemeralStorage"]
EVERYTHING = {
    "family": "everything",
    "taskRoleArn": "arn:aws:iam::000000000000:role/task",
    "executionRoleArn": ROLE,
    "networkMode": "bridge",
    "requiresCompatibilities": ["EC2"],
    "cpu": "1024",
    "memory": "2048",
    "pidMode": "task",
    "ipcMode": "task",
    "ephemeralStorage": {"sizeInGiB": 42},
    "runtimePlatform": {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
    "enableFaultInjection": True,
    "trustedExecutionConfiguration": {"isolationMode": "SHARED", "attestationPolicy": "none"},
    "placementConstraints": [{"type": "memberOf", "expression": "attribute:ecs.instance-type == t3.micro"}],
    "inferenceAccelerators": [{"deviceName": "device_1", "deviceType": "eia2.medium"}],
    "proxyConfiguration": {"type": "APPMESH", "containerName": "first",
                           "properties": [{"name": "ProxyIngressPort", "value": "15000"}]},
    "volumes": [
        {"name": "host", "host": {"sourcePath": "/srv"}},
        {"name": "docker", "dockerVolumeConfiguration": {
            "scope": "shared", "autoprovision": True, "driver": "local", "driverOpts": {"type": "nfs"},
            "labels": {"a": "b"}}},
        {"name": "efs", "efsVolumeConfiguration": {
            "fileSystemId": "fs-1", "rootDirectory": "/", "transitEncryption": "ENABLED", "transitEncryptionPort": 2999,
            "authorizationConfig": {"accessPointId": "fsap-1", "iam": "ENABLED"}}},
        {"name": "s3", "s3filesVolumeConfiguration": {
            "fileSystemArn": "arn:aws:s3files:us-east-1:000000000000:file-system/fs-1", "rootDirectory": "/",
            "transitEncryptionPort": 3000,
            "accessPointArn": "arn:aws:s3files:us-east-1:000000000000:access-point/ap-1"}},
        {"name": "fsx", "fsxWindowsFileServerVolumeConfiguration": {
            "fileSystemId": "fs-2", "rootDirectory": "share",
            "authorizationConfig": {"credentialsParameter": "arn:aws:ssm:us-east-1:000000000000:parameter/x",
                                    "domain": "example.com"}}},
        {"name": "later", "configuredAtLaunch": True},
    ],
    "containerDefinitions": [
        {
            "name": "first",
            "image": "registry.example:5000/team/first:1",
            "repositoryCredentials": {"credentialsParameter": "arn:aws:secretsmanager:us-east-1:000000000000:secret:x"},
            "cpu": 512,
            "memory": 512,
            "memoryReservation": 256,
            "links": ["second:alias"],
            "portMappings": [
                {"containerPort": 80, "hostPort": 8080, "protocol": "tcp", "name": "http", "appProtocol": "http2"},
                {"containerPortRange": "9000-9010", "protocol": "udp"},
            ],
            "essential": True,
            "restartPolicy": {"enabled": True, "ignoredExitCodes": [3, 4], "restartAttemptPeriod": 120},
            "entryPoint": ["sh", "-c"],
            "command": ["echo", "$X"],
            "environment": [{"name": "X", "value": "1"}, {"name": "EMPTY", "value": ""}],
            "environmentFiles": [{"value": "arn:aws:s3:::bucket/file.env", "type": "s3"}],
            "mountPoints": [{"sourceVolume": "host", "containerPath": "/srv", "readOnly": True}],
            "volumesFrom": [{"sourceContainer": "second", "readOnly": False}],
            "linuxParameters": {
                "capabilities": {"add": ["SYS_PTRACE"], "drop": ["CHOWN"]},
                "devices": [{"hostPath": "/dev/fuse", "containerPath": "/dev/fuse", "permissions": ["read", "write"]}],
                "initProcessEnabled": True, "sharedMemorySize": 64,
                "tmpfs": [{"containerPath": "/run", "size": 16, "mountOptions": ["noexec"]}],
                "maxSwap": 10, "swappiness": 20,
            },
            "secrets": [{"name": "PASSWORD", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/x"}],
            "dependsOn": [{"containerName": "second", "condition": "HEALTHY"}],
            "startTimeout": 100,
            "stopTimeout": 110,
            "versionConsistency": "enabled",
            "hostname": "first",
            "user": "1000:1000",
            "workingDirectory": "/srv",
            "disableNetworking": False,
            "privileged": True,
            "readonlyRootFilesystem": True,
            "dnsServers": ["10.0.0.2"],
            "dnsSearchDomains": ["example.com"],
            "extraHosts": [{"hostname": "db", "ipAddress": "10.0.0.3"}],
            "dockerSecurityOptions": ["no-new-privileges"],
            "interactive": True,
            "pseudoTerminal": True,
            "dockerLabels": {"a": "b"},
            "ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": 2048},
                        {"name": "core", "softLimit": -1, "hardLimit": -1}],
            "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/x", "awslogs-region": "us-east-1"},
                                 "secretOptions": [{"name": "x", "valueFrom": "y"}]},
            "healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 5, "timeout": 2, "retries": 1, "startPeriod": 0},
            "systemControls": [{"namespace": "net.core.somaxconn", "value": "1024"}],
            "resourceRequirements": [{"type": "GPU", "value": "1", "sharingStrategy": {
                "nvidiaMps": {"memory": 1024, "maxComputePercent": 50}}}],
            "firelensConfiguration": {"type": "fluentbit", "options": {"a": "b"}},
            "credentialSpecs": ["credentialspecdomainless:arn:aws:s3:::bucket/spec"],
        },
        {"name": "second", "image": "second", "memory": 6, "healthCheck": {"command": ["CMD", "true"]}},
    ],
    "tags": [{"key": "team", "value": "a"}],
}

#: What the definition above gets beside what it says.
DEFAULTS_OF_SECOND = {
    "cpu": 0, "essential": True, "environment": [], "mountPoints": [], "volumesFrom": [], "portMappings": [],
    "systemControls": [], "healthCheck": {"command": ["CMD", "true"], "interval": 30, "timeout": 5, "retries": 3},
}


def test_every_member_of_the_model_is_in_the_round_trip(simulated):
    """So that a newer botocore with a new member fails here first."""
    def walk(shape, value, path):
        if shape.type_name == "list":
            for name, member in shape.member.members.items() if shape.member.type_name == "structure" else []:
                yield from present(name, member, value, f"{path}.{name}")
        elif shape.type_name == "structure":
            for name, member in shape.members.items():
                yield from present(name, member, [value], f"{path}.{name}")

    def present(name, member, values, path):
        found = [value[name] for value in values if name in value]
        if not found:
            yield path
            return
        for missing in [list(walk(member, value, path)) for value in found][:1] if len(found) == 1 else [
                set.intersection(*(set(walk(member, value, path)) for value in found))]:
            yield from missing

    shape = simulated.client("ecs").meta.service_model.operation_model("RegisterTaskDefinition").input_shape
    assert list(walk(shape, EVERYTHING, "")) == []


@pytest.mark.parametrize("answered", ["register", "describe"])
def test_every_member_is_kept(simulated, answered):
    ecs = simulated.client("ecs", region="eu-north-1")
    before = datetime.datetime.fromisoformat(simulated.advance(0)["now"].replace("Z", "+00:00"))
    others = {name: value for name, value in EVERYTHING.items() if name not in FARGATES}
    registered = ecs.register_task_definition(**others)
    name = registered["taskDefinition"]["taskDefinitionArn"]
    answer = registered if answered == "register" else ecs.describe_task_definition(taskDefinition=name, include=["TAGS"])
    found = answer["taskDefinition"]
    wanted = copy.deepcopy(others)
    assert answer["tags"] == wanted.pop("tags")
    wanted["containerDefinitions"][1] |= DEFAULTS_OF_SECOND
    given = {name: found[name] for name in wanted}
    for member, value in wanted.items():
        assert given[member] == value, member
    revision = found.pop("revision")
    assert found["taskDefinitionArn"] == f"arn:aws:ecs:eu-north-1:000000000000:task-definition/everything:{revision}"
    assert found["status"] == "ACTIVE"
    assert abs((found["registeredAt"] - before).total_seconds()) < 60
    assert found["registeredBy"] == "arn:aws:iam::000000000000:root"
    assert found["compatibilities"] == ["EXTERNAL", "EC2"]
    assert "com.amazonaws.ecs.capability.logging-driver.awslogs" in [a["name"] for a in found["requiresAttributes"]]
    of_fargate = {name: EVERYTHING[name] for name in FARGATES}
    found = ecs.register_task_definition(**fargate(**of_fargate))["taskDefinition"]
    assert {name: found[name] for name in FARGATES} == of_fargate


def test_defaults(simulated):
    found = simulated.client("ecs").register_task_definition(**fargate(
        container(portMappings=[{"containerPort": 80}]), family="defaults", cpu=".25 vCPU", memory="0.5GB"))["taskDefinition"]
    assert (found["cpu"], found["memory"]) == ("256", "512")
    assert found["compatibilities"] == ["EC2", "FARGATE"]
    assert found["requiresCompatibilities"] == ["FARGATE"]
    assert found["volumes"] == found["placementConstraints"] == []
    assert found["containerDefinitions"] == [{
        "name": "web", "image": "web:1", "cpu": 0, "essential": True, "environment": [], "mountPoints": [],
        "volumesFrom": [], "systemControls": [],
        "portMappings": [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}]}]


def test_revisions(simulated):
    ecs = simulated.client("ecs", region="eu-west-2")
    for family in ["beta", "alpha"]:
        for _ in range(12 if family == "alpha" else 2):
            ecs.register_task_definition(**fargate(family=family))
    short = lambda arns: [arn.rsplit("/", 1)[1] for arn in arns]  # noqa: E731
    alphas = [f"alpha:{n}" for n in range(1, 13)]
    assert short(ecs.list_task_definitions()["taskDefinitionArns"]) == [*alphas, "beta:1", "beta:2"]
    assert short(ecs.list_task_definitions(sort="DESC")["taskDefinitionArns"]) == ["beta:2", "beta:1", *alphas[::-1]]
    assert short(ecs.list_task_definitions(familyPrefix="alpha")["taskDefinitionArns"]) == alphas
    assert short(ecs.list_task_definitions(familyPrefix="alp")["taskDefinitionArns"]) == []
    for order, wanted in [("ASC", alphas), ("DESC", alphas[::-1])]:
        pages = ecs.get_paginator("list_task_definitions").paginate(
            familyPrefix="alpha", sort=order, PaginationConfig={"PageSize": 5})
        assert [arn for page in pages for arn in short(page["taskDefinitionArns"])] == wanted
    assert ecs.describe_task_definition(taskDefinition="alpha")["taskDefinition"]["revision"] == 12
    assert ecs.describe_task_definition(taskDefinition="alpha:3")["taskDefinition"]["revision"] == 3
    assert ecs.list_task_definition_families()["families"] == ["alpha", "beta"]
    assert ecs.list_task_definition_families(familyPrefix="a")["families"] == ["alpha"]

    gone = ecs.deregister_task_definition(taskDefinition="alpha:12")["taskDefinition"]
    assert gone["status"] == "INACTIVE" and gone["deregisteredAt"]
    assert ecs.describe_task_definition(taskDefinition="alpha")["taskDefinition"]["revision"] == 11
    assert ecs.describe_task_definition(taskDefinition="alpha:12")["taskDefinition"]["status"] == "INACTIVE"
    assert short(ecs.list_task_definitions(status="INACTIVE")["taskDefinitionArns"]) == ["alpha:12"]
    assert ecs.register_task_definition(**fargate(family="alpha"))["taskDefinition"]["revision"] == 13

    for n in [1, 2]:
        ecs.deregister_task_definition(taskDefinition=f"beta:{n}")
    assert ecs.list_task_definition_families(status="ACTIVE")["families"] == ["alpha"]
    assert ecs.list_task_definition_families(status="INACTIVE")["families"] == ["beta"]
    assert ecs.list_task_definition_families(status="ALL")["families"] == ["alpha", "beta"]
    refused("ClientException", ecs.describe_task_definition, "Unable to describe task definition.", taskDefinition="beta")

    answer = ecs.delete_task_definitions(taskDefinitions=["beta:1", "alpha:3", "nothing:1"])
    assert [d["status"] for d in answer["taskDefinitions"]] == ["DELETE_IN_PROGRESS"]
    assert [f["reason"] for f in answer["failures"]] == [
        "The specified task definition is still in ACTIVE status. Please deregister the target and try again.",
        "TaskDefinition not found."]
    refused("InvalidParameterException", ecs.delete_task_definitions, taskDefinitions=[f"x:{n}" for n in range(1, 12)])


@pytest.mark.parametrize("name", ["nothing", "nothing:1", "web:0", "arn:aws:ecs:us-east-1:111111111111:task-definition/web:1"])
def test_a_definition_that_is_not_there(ecs, simulated, name):
    refused("ClientException", ecs.describe_task_definition, "Unable to describe task definition.", taskDefinition=name)
    refused("ClientException", ecs.run_task, "TaskDefinition not found.", taskDefinition=name, launchType="FARGATE",
            networkConfiguration=network(simulated))


def test_deregister_names_a_revision(simulated):
    ecs = simulated.client("ecs")
    refused("ClientException", ecs.deregister_task_definition, taskDefinition="nothing:1")
    refused("InvalidParameterException", ecs.deregister_task_definition, "revision", taskDefinition="nothing")


ROUND = [container(name="a", dependsOn=[{"containerName": "b", "condition": "START"}]),
         container(name="b", dependsOn=[{"containerName": "a", "condition": "START"}])]
BRIDGE = {"networkMode": "bridge", "requiresCompatibilities": ["EC2"]}

BAD_DEFINITIONS = [
    ("Family contains invalid characters.", fargate(family="no spaces")),
    ("Family contains invalid characters.", fargate(family="")),
    ("Container list cannot be empty.", fargate(containerDefinitions=[])),
    ("Container.name should not be null or empty.", fargate(container(name=""))),
    ("Container.name contains invalid characters.", fargate(container(name="no spaces"))),
    ("Container.name contains invalid characters.", fargate(container(name="x" * 256))),
    ("Container.image should not be null or empty.", fargate({"name": "web"})),
    ("Container.image contains invalid characters.", fargate(container(image="a b"))),
    ("used twice", fargate(container(), container())),
    ("at most 10 container definitions", fargate(*[container(name=f"c{n}") for n in range(11)])),
    ("Task definition doesn't have any essential container.", fargate(container(essential=False))),
    ("Container dependencies should not have a cycle.", fargate(*ROUND)),
    ("cannot depend on itself", fargate(container(dependsOn=[{"containerName": "web", "condition": "START"}]))),
    ("does not exist", fargate(container(dependsOn=[{"containerName": "ghost", "condition": "START"}]))),
    ("cannot be an essential container", fargate(
        container(dependsOn=[{"containerName": "b", "condition": "SUCCESS"}]), container(name="b"))),
    ("must have health check configured", fargate(
        container(dependsOn=[{"containerName": "b", "condition": "HEALTHY"}]), container(name="b"))),
    ("Container links should not have a cycle.", fargate(
        container(name="a", links=["b"], memory=64), container(name="b", links=["a:x"], memory=64), **BRIDGE)),
    ("No Fargate configuration exists for given values: 300 CPU, 77 memory.", fargate(cpu="300", memory="77")),
    ("No Fargate configuration exists for given values: 256 CPU, 4096 memory.", fargate(memory="4096")),
    ("No Fargate configuration exists for given values: 8192 CPU, 17408 memory.", fargate(cpu="8 vCPU", memory="17 GB")),
    ("Fargate requires that 'cpu' be defined at the task level.", fargate(cpu=None)),
    ("Fargate requires that 'memory' be defined at the task level.", fargate(memory=None)),
    ("Fargate only supports network mode ‘awsvpc’.", fargate(networkMode=None)),
    ("Fargate only supports network mode ‘awsvpc’.", fargate(networkMode="host")),
    ("Invalid 'cpu' setting for task.", fargate(cpu="a lot")),
    ("Invalid 'memory' setting for task.", fargate(memory="-512")),
    ("sum of all container 'cpu'", fargate(container(cpu=200), container(name="b", cpu=57))),
    ("sum of all container 'memoryReservation'",
     fargate(container(memoryReservation=400), container(name="b", memoryReservation=113))),
    ("The 'memory' setting for container 'web' is greater than for the task.", fargate(container(memory=513))),
    ("'memory' must be greater than or equal to 'memoryReservation'", fargate(container(memory=100, memoryReservation=101))),
    ("'memory' must be at least 6 MiB", fargate(container(memory=5))),
    ("'cpu' must not be negative", fargate(container(cpu=-1))),
    ("At least one of 'memory' or 'memoryReservation' must be specified.", fargate(memory=None, cpu=None, **BRIDGE)),
    ("the host ports and container ports in port mappings must match", fargate(
        container(portMappings=[{"containerPort": 80, "hostPort": 81}]))),
    ("containerPort must be between 1 and 65535", fargate(container(portMappings=[{"containerPort": 65536}]))),
    ("containerPort must be between 1 and 65535", fargate(container(portMappings=[{"containerPort": 0}]))),
    ("containerPort or containerPortRange", fargate(container(portMappings=[{"protocol": "udp"}]))),
    ("container port is used multiple times in task", fargate(
        container(portMappings=[{"containerPort": 80}]), container(name="b", portMappings=[{"containerPort": 80}]))),
    ("at most 100", fargate(container(portMappings=[{"containerPort": n} for n in range(1, 102)]))),
    ("Unknown volume 'ghost'.", fargate(container(mountPoints=[{"sourceVolume": "ghost", "containerPath": "/x"}]))),
    ("Duplicate volume name: 'v'.", fargate(volumes=[{"name": "v"}, {"name": "v"}])),
    ("Volume name contains invalid characters", fargate(volumes=[{"name": "no spaces"}])),
    ("Only one volume configuration", fargate(volumes=[{
        "name": "v", "host": {"sourcePath": "/x"}, "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}])),
    ("Invalid 'volumesFrom' setting. Unknown container: 'ghost'", fargate(container(volumesFrom=[{"sourceContainer": "ghost"}]))),
    ("Links are not supported when networkMode=awsvpc", fargate(container(links=["b"]), container(name="b"))),
    ("hostname is not supported on container when networkMode=awsvpc", fargate(container(hostname="x"))),
    ("Fargate requires task definition to have execution role ARN to support log driver awslogs.", fargate(
        container(logConfiguration={"logDriver": "awslogs", "options": {
            "awslogs-group": "/x", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "x"}}))),
    ("Fargate requires task definition to have execution role ARN to support ECR images.", fargate(
        container(image="000000000000.dkr.ecr.us-east-1.amazonaws.com/web:1"))),
    ("Log driver awslogs requires options: awslogs-region, awslogs-group", fargate(
        container(logConfiguration={"logDriver": "awslogs"}), executionRoleArn=ROLE)),
    ("include awslogs-stream-prefix", fargate(container(logConfiguration={"logDriver": "awslogs", "options": {
        "awslogs-group": "/x", "awslogs-region": "us-east-1"}}), executionRoleArn=ROLE)),
    ("syslog is not a valid log driver. Must be one of [awslogs, splunk, awsfirelens]", fargate(container(logConfiguration={"logDriver": "syslog"}))),
    ("requires that the 'privileged' setting be 'false'", fargate(container(privileged=True))),
    ("do not support pidMode 'host'", fargate(pidMode="host")),
    ("do not support GPU resource requirements", fargate(container(resourceRequirements=[{"type": "GPU", "value": "1"}]))),
    ("do not support dockerSecurityOptions", fargate(container(dockerSecurityOptions=["no-new-privileges"]))),
    ("do not support ipcMode", fargate(ipcMode="task")),
    ("do not support constraints", fargate(placementConstraints=[{"type": "memberOf", "expression": "x"}])),
    ("do not support sourcePath", fargate(volumes=[{"name": "v", "host": {"sourcePath": "/x"}}])),
    ("Role is not valid", fargate(executionRoleArn="arn:aws:iam::1:role/x")),
    ("Role is not valid", fargate(taskRoleArn="arn:aws:s3:::bucket")),
    ("EphemeralStorage size should be at most 200", fargate(ephemeralStorage={"sizeInGiB": 201})),
    ("soft limit must not exceed the hard limit", fargate(
        container(ulimits=[{"name": "nofile", "softLimit": 2, "hardLimit": 1}]))),
    ("Duplicate ulimit 'nofile'", fargate(
        container(ulimits=[{"name": "nofile", "softLimit": 1, "hardLimit": 1}] * 2))),
    ("Environment variable names", fargate(container(environment=[{"name": "", "value": "x"}]))),
    ("health check is out of range", fargate(container(healthCheck={"command": ["CMD", "x"], "interval": 301}))),
    ("the 'restartAttemptPeriod' setting for container 'web' must be between 60 and 1800", fargate(
        container(restartPolicy={"enabled": True, "restartAttemptPeriod": 59}))),
]


@pytest.mark.parametrize("text,definition", BAD_DEFINITIONS, ids=[f"{n}-{text[:40]}" for n, (text, _) in enumerate(BAD_DEFINITIONS)])
def test_bad_definitions(simulated, text, definition):
    ecs = simulated.client("ecs", region="us-west-1", parameter_validation=False)
    refused("ClientException", ecs.register_task_definition, text, **definition)
    assert ecs.list_task_definitions()["taskDefinitionArns"] == []


@pytest.mark.parametrize("member,value", [
    ("family", 7), ("family", None), ("containerDefinitions", {}), ("containerDefinitions", "x"), ("cpu", 256),
    ("networkMode", "other"), ("networkMode", []), ("requiresCompatibilities", ["LAMBDA"]), ("volumes", "x"),
    ("containerDefinitions", [7]), ("containerDefinitions", [{"name": "web", "image": ["x"]}]),
    ("containerDefinitions", [{"name": "web", "image": "x", "memory": "lots"}]),
    ("containerDefinitions", [{"name": "web", "image": "x", "memory": 1e30}]),
    ("containerDefinitions", [{"name": "web", "image": "x", "essential": "yes"}]),
    ("containerDefinitions", [{"name": "web", "image": "x", "dependsOn": [{"containerName": "web"}]}]),
    ("containerDefinitions", [{"name": "web", "image": "x", "ulimits": [{"name": "ghost", "softLimit": 1, "hardLimit": 1}]}]),
    ("tags", [{"key": "a" * 129, "value": "x"}]), ("tags", [{"key": "aws:x", "value": "x"}]),
    ("tags", [{"key": "x", "value": "1"}, {"key": "x", "value": "2"}]),
    ("tags", [{"key": f"k{n}", "value": "x"} for n in range(51)]),
])
def test_members_of_the_wrong_kind(simulated, member, value):
    body = json.dumps(fargate() | {member: value})
    answer = simulated.json_call("AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition", body)
    assert answer.status == 400
    code = answer.json()["__type"].rsplit("#", 1)[-1]
    assert code in ("ClientException", "InvalidParameterException", "SerializationException", "ValidationException"), answer.text


# RunTask


def run_with(simulated, **members):
    whole = {"launchType": "FARGATE", "networkConfiguration": network(simulated), **members}
    return {name: value for name, value in whole.items() if value is not None}


def test_run_task_answers_what_will_be(simulated, ecs):
    definition = define(simulated, "answers", [{"image": "web:1", "cpu": 128, "memory": 300}, {"image": "side:1"}],
                        runtimePlatform={"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"})
    answer = ecs.run_task(**run_with(simulated, taskDefinition="answers", startedBy="tests", group="mine",
                                     tags=[{"key": "a", "value": "b"}], enableECSManagedTags=True))
    assert answer["failures"] == []
    [task] = answer["tasks"]
    identity = task["taskArn"].rsplit("/", 1)[1]
    assert task["taskArn"] == f"arn:aws:ecs:us-east-1:000000000000:task/default/{identity}"
    assert len(identity) == 32 and int(identity, 16)
    assert task["clusterArn"] == "arn:aws:ecs:us-east-1:000000000000:cluster/default"
    assert task["taskDefinitionArn"] == definition
    assert (task["lastStatus"], task["desiredStatus"]) == ("PROVISIONING", "RUNNING")
    assert (task["cpu"], task["memory"]) == ("256", "512")
    assert (task["group"], task["startedBy"]) == ("mine", "tests")
    assert (task["launchType"], task["platformVersion"], task["platformFamily"]) == ("FARGATE", "1.4.0", "Linux")
    assert {"key": "a", "value": "b"} in task["tags"]
    assert {"key": "aws:ecs:clusterName", "value": "default"} in task["tags"]
    assert task["availabilityZone"].startswith("us-east-1")
    assert [c["name"] for c in task["containers"]] == ["c0", "c1"]
    assert task["containers"][0]["lastStatus"] == "PENDING"
    assert task["overrides"]["containerOverrides"] == [{"name": "c0"}, {"name": "c1"}]
    [attachment] = task["attachments"]
    assert attachment["type"] == "ElasticNetworkInterface"
    assert "startedAt" not in task and "stopCode" not in task

    task = running(simulated, task["taskArn"])
    assert task["connectivity"] == "CONNECTED"
    times = [task[name] for name in ["createdAt", "connectivityAt", "pullStartedAt", "pullStoppedAt", "startedAt"]]
    assert times == sorted(times)
    assert "tags" not in task or task["tags"] == []
    details = {d["name"]: d["value"] for d in task["attachments"][0]["details"]}
    assert task["attachments"][0]["status"] == "ATTACHED"
    [interface] = simulated.client("ec2").describe_network_interfaces(
        NetworkInterfaceIds=[details["networkInterfaceId"]])["NetworkInterfaces"]
    assert interface["PrivateIpAddress"] == details["privateIPv4Address"]
    assert interface["MacAddress"] == details["macAddress"]
    assert interface["SubnetId"] == details["subnetId"]
    assert task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"] == details["privateIPv4Address"]
    assert task["containers"][0]["lastStatus"] == "RUNNING"
    tagged = ecs.describe_tasks(tasks=[task["taskArn"]], include=["TAGS"])["tasks"][0]
    assert {"key": "a", "value": "b"} in tagged["tags"]
    assert ecs.list_tags_for_resource(resourceArn=task["taskArn"])["tags"]

    ecs.stop_task(task=task["taskArn"])
    task = stopped(simulated, task["taskArn"])
    assert task["attachments"][0]["status"] == "DELETED"
    refused("InvalidNetworkInterfaceID.NotFound", simulated.client("ec2").describe_network_interfaces,
            NetworkInterfaceIds=[details["networkInterfaceId"]])


def test_group_and_default_values(simulated, ecs):
    task = describe(simulated, simulated_task(simulated))
    assert task["group"] == "family:simulated"
    assert "startedBy" not in task
    refused("InvalidParameterException", ecs.run_task, "Invalid namespace for group.",
            **run_with(simulated, taskDefinition="simulated", group="service:x"))


def test_count(simulated, ecs):
    definition = define(simulated, "many", [{"image": "web:1"}])
    arns = run_task(simulated, definition, count=10)
    assert len(set(arns)) == 10
    addresses = {d["value"] for task in ecs.describe_tasks(tasks=arns)["tasks"] for a in task["attachments"]
                 for d in a["details"] if d["name"] == "privateIPv4Address"}
    assert len(addresses) == 10
    for count in [0, 11, -1]:
        refused("InvalidParameterException", ecs.run_task, "count must be between 1 and 10",
                **run_with(simulated, taskDefinition=definition, count=count))


def test_client_token(simulated, ecs):
    definition = define(simulated, "tokens", [{"image": "web:1"}])
    request = run_with(simulated, taskDefinition=definition, clientToken="once", count=2)
    first = [task["taskArn"] for task in ecs.run_task(**request)["tasks"]]
    assert [task["taskArn"] for task in ecs.run_task(**request)["tasks"]] == first
    refused("ConflictException", ecs.run_task, **request | {"count": 1})
    other = ecs.run_task(**request | {"clientToken": "twice"})["tasks"]
    assert not set(first) & {task["taskArn"] for task in other}
    refused("InvalidParameterException", ecs.run_task, **request | {"clientToken": "x" * 65})


def test_client_tokens_in_parallel(simulated, ecs):
    """A client that tries again before the first answer gets the same tasks."""
    definition = define(simulated, "impatient", [{"image": "web:1"}])
    request = run_with(simulated, taskDefinition=definition, clientToken="impatient", count=3)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: [t["taskArn"] for t in ecs.run_task(**request)["tasks"]], range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert sorted(ecs.list_tasks(family="impatient")["taskArns"]) == sorted(answers[0])


def test_revisions_in_parallel(simulated):
    ecs = simulated.client("ecs", region="ap-northeast-1")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ecs.register_task_definition(**fargate(family="race"))["taskDefinition"]["revision"], range(40)))
    assert sorted(made) == list(range(1, 41))


def test_two_hundred_tasks(simulated, ecs):
    """Started and stopped by several clients at once; each has an address of its own, none is left behind."""
    definition = define(simulated, "crowd", [{"image": "web:1"}])
    ecs.create_cluster(clusterName="crowd")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda _: ecs.run_task(**run_with(
            simulated, cluster="crowd", taskDefinition=definition, count=10)), range(20))
        arns = [task["taskArn"] for answer in answers for task in answer["tasks"]]
        assert len(set(arns)) == 200
        def all_are(status):
            found = [t for n in (0, 100) for t in ecs.describe_tasks(cluster="crowd", tasks=arns[n:n + 100])["tasks"]]
            return found if all(task["lastStatus"] == status for task in found) else None
        found = wait_for(lambda: all_are("RUNNING"), 30, "200 tasks running")
        assert len({d["value"] for t in found for d in t["attachments"][0]["details"] if d["name"] == "privateIPv4Address"}) == 200
        assert ecs.describe_clusters(clusters=["crowd"])["clusters"][0]["runningTasksCount"] == 200
        list(pool.map(lambda arn: ecs.stop_task(cluster="crowd", task=arn), arns))
        wait_for(lambda: all_are("STOPPED"), 30, "200 tasks stopped")
    assert ecs.delete_cluster(cluster="crowd")["cluster"]["status"] == "INACTIVE"


def test_overrides(simulated, ecs):
    definition = define(simulated, "overrides", [{"image": "web:1", "environment": [{"name": "A", "value": "1"}]}])
    role = simulated.client("iam").create_role(RoleName="other", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    overrides = {
        "containerOverrides": [{"name": "c0", "command": ["x"], "environment": [{"name": "A", "value": "2"}], "cpu": 10,
                                "memory": 100, "memoryReservation": 50}],
        "cpu": "512", "memory": "1024", "executionRoleArn": role, "taskRoleArn": role}
    [arn] = run_task(simulated, definition, overrides=overrides)
    task = describe(simulated, arn)
    for member, value in overrides.items():
        assert task["overrides"][member] == value
    assert (task["cpu"], task["memory"]) == ("512", "1024")
    assert task["containers"][0]["cpu"] == "10"
    bad = [
        ("InvalidParameterException", "Override for container named ghost is not a container in the TaskDefinition.",
         {"containerOverrides": [{"name": "ghost"}]}),
        ("InvalidParameterException", "Container Overrides length must be at most 8192",
         {"containerOverrides": [{"name": "c0", "command": ["x" * 9000]}]}),
        ("ClientException", "No Fargate configuration exists", {"cpu": "300", "memory": "77"}),
        ("ClientException", "unable to assume the role", {"taskRoleArn": "arn:aws:iam::000000000000:role/ghost"}),
    ]
    for code, text, value in bad:
        refused(code, ecs.run_task, text, **run_with(simulated, taskDefinition=definition, overrides=value))


def test_tags_from_the_definition(simulated, ecs):
    definition = define(simulated, "tagged", [{"image": "web:1"}], tags=[{"key": "a", "value": "1"}, {"key": "b", "value": "1"}])
    [arn] = run_task(simulated, definition, propagateTags="TASK_DEFINITION", tags=[{"key": "b", "value": "2"}])
    tags = {tag["key"]: tag["value"] for tag in ecs.list_tags_for_resource(resourceArn=arn)["tags"]}
    assert tags == {"a": "1", "b": "2"}
    ecs.tag_resource(resourceArn=arn, tags=[{"key": "c", "value": "3"}])
    ecs.untag_resource(resourceArn=arn, tagKeys=["a"])
    tags = {tag["key"]: tag["value"] for tag in ecs.list_tags_for_resource(resourceArn=arn)["tags"]}
    assert tags == {"b": "2", "c": "3"}
    refused("InvalidParameterException", ecs.run_task, **run_with(simulated, taskDefinition=definition, propagateTags="SERVICE"))
    refused("InvalidParameterException", ecs.tag_resource, resourceArn="arn:aws:s3:::x", tags=[{"key": "a", "value": "b"}])


BAD_RUNS = [
    ("ClusterNotFoundException", "Cluster not found.", {"cluster": "ghost"}),
    ("InvalidParameterException", "Assign public IP is not supported for this launch type.", {"launchType": "EC2"}),
    ("InvalidParameterException", "Assign public IP is not supported for this launch type.", {"launchType": None}),
    ("InvalidParameterException", "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
     {"networkConfiguration": None}),
    ("InvalidParameterException", "subnets can not be empty.",
     {"networkConfiguration": {"awsvpcConfiguration": {"subnets": []}}}),
    ("InvalidParameterException", "InvalidSubnetID.NotFound",
     {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-0123456789abcdef0"]}}}),
    ("InvalidParameterException", "subnets can have at most 16 items.",
     {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-0123456789abcdef0"] * 17}}}),
    ("PlatformUnknownException", "The specified platform does not exist.", {"platformVersion": "9.9.9"}),
    ("InvalidParameterException", "startedBy", {"startedBy": "x" * 129}),
    ("InvalidParameterException", "valid taskRoleArn", {"enableExecuteCommand": True}),
    ("InvalidParameterException", "not supported by Boxship yet", {"platformVersion": "1.3.0"}),
    ("InvalidParameterException", "capacityProviderStrategy",
     {"launchType": None, "capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]}),
    ("InvalidParameterException", "placementConstraints", {"placementConstraints": [{"type": "distinctInstance"}]}),
    ("InvalidParameterException", "placementStrategy", {"placementStrategy": [{"type": "random"}]}),
    ("InvalidParameterException", "referenceId", {"referenceId": "x" * 1025}),
    ("InvalidParameterException", "volumeConfigurations", {"volumeConfigurations": [{"name": "x"}]}),
    ("ClientException", "at least 21", {"overrides": {"ephemeralStorage": {"sizeInGiB": 20}}}),
    ("InvalidParameterException", "inferenceAcceleratorOverrides",
     {"overrides": {"inferenceAcceleratorOverrides": [{"deviceName": "x", "deviceType": "y"}]}}),
    ("InvalidParameterException", "environmentFiles", {"overrides": {"containerOverrides": [
        {"name": "c0", "environmentFiles": [{"value": "arn:aws:s3:::x/y", "type": "s3"}]}]}}),
]


@pytest.mark.parametrize("code,text,members", BAD_RUNS, ids=[f"{n}-{text[:40]}" for n, (_, text, _) in enumerate(BAD_RUNS)])
def test_bad_runs(simulated, ecs, code, text, members):
    define(simulated, "bad-runs", [{"image": "web:1"}])
    before = ecs.list_tasks(family="bad-runs")["taskArns"]
    refused(code, ecs.run_task, text, **run_with(simulated, taskDefinition="bad-runs", **members))
    assert ecs.list_tasks(family="bad-runs")["taskArns"] == before == []


def test_security_groups(simulated, ecs):
    definition = define(simulated, "groups", [{"image": "web:1"}])
    [group] = simulated.client("ec2").describe_security_groups()["SecurityGroups"]
    configuration = network(simulated)
    configuration["awsvpcConfiguration"]["securityGroups"] = [group["GroupId"]]
    assert ecs.run_task(**run_with(simulated, taskDefinition=definition, networkConfiguration=configuration))["tasks"]
    configuration["awsvpcConfiguration"]["securityGroups"] = ["sg-0123456789abcdef0"]
    refused("InvalidParameterException", ecs.run_task, "InvalidGroup.NotFound",
            **run_with(simulated, taskDefinition=definition, networkConfiguration=configuration))


NOT_YET = [
    ("efsVolumeConfiguration", {"volumes": [{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]}, {}),
    ("configuredAtLaunch", {"volumes": [{"name": "v", "configuredAtLaunch": True}]}, {}),
    ("operatingSystemFamily", {"cpu": "1024", "memory": "2048", "runtimePlatform": {
        "operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}}, {}),
    ("repositoryCredentials", {}, {"repositoryCredentials": {"credentialsParameter": "x"}}),
    ("environmentFiles", {}, {"environmentFiles": [{"value": "arn:aws:s3:::x/y", "type": "s3"}]}),
    ("secrets", {}, {"secrets": [{"name": "X", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/x"}]}),
    ("firelensConfiguration", {}, {"firelensConfiguration": {"type": "fluentbit"}}),
    ("credentialSpecs", {}, {"credentialSpecs": ["credentialspec:arn:aws:s3:::x/y"]}),
    ("proxyConfiguration", {"proxyConfiguration": {"containerName": "c0"}}, {}),
    ("trustedExecutionConfiguration", {"trustedExecutionConfiguration": {"isolationMode": "ISOLATED_SANDBOX"}}, {}),
    ("secretOptions", {}, {"logConfiguration": {"logDriver": "awslogs", "options": {
        "awslogs-group": "/x", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "x"},
        "secretOptions": [{"name": "x", "valueFrom": "y"}]}}),
    ("logDriver splunk", {}, {"logConfiguration": {"logDriver": "splunk"}}),
    ("boxship.simulate: 'fly'", {}, {"dockerLabels": {"boxship.simulate": "fly"}}),
]


@pytest.mark.parametrize("text,members,inner", NOT_YET, ids=[text for text, _, _ in NOT_YET])
def test_what_is_not_acted_upon_is_refused_by_name(simulated, ecs, text, members, inner):
    definition = define(simulated, "not-yet", [{"image": "web:1", **inner}], **members)
    refused("InvalidParameterException", ecs.run_task, text, **run_with(simulated, taskDefinition=definition))


def test_inactive_definitions_do_not_run(simulated, ecs):
    definition = define(simulated, "inactive", [{"image": "web:1"}])
    ecs.deregister_task_definition(taskDefinition=definition)
    refused("ClientException", ecs.run_task, "TaskDefinition is inactive", **run_with(simulated, taskDefinition=definition))


def test_roles_must_exist(simulated, ecs):
    simulated.client("ecs").register_task_definition(**fargate(family="roleless", taskRoleArn="ghost"))
    refused("ClientException", ecs.run_task, "ECS was unable to assume the role 'arn:aws:iam::000000000000:role/ghost'",
            **run_with(simulated, taskDefinition="roleless"))


# A task's life


def test_stop(simulated, ecs):
    arn = simulated_task(simulated)
    running(simulated, arn)
    answer = ecs.stop_task(task=arn.rsplit("/", 1)[1], reason="enough")["task"]
    assert (answer["taskArn"], answer["desiredStatus"]) == (arn, "STOPPED")
    assert answer["lastStatus"] != "STOPPED", "StopTask answers before the containers have ended"
    task = stopped(simulated, arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")
    assert task["containers"][0]["exitCode"] == 143
    times = [task[name] for name in ["startedAt", "stoppingAt", "executionStoppedAt", "stoppedAt"]]
    assert times == sorted(times)
    again = ecs.stop_task(task=arn, reason="other")["task"]
    assert again["stoppedReason"] == "enough"
    arn = simulated_task(simulated)
    ecs.stop_task(task=arn)
    assert stopped(simulated, arn)["stoppedReason"] == "Task stopped by user"
    refused("InvalidParameterException", ecs.stop_task, "The referenced task was not found.", task="0" * 32)
    refused("InvalidParameterException", ecs.stop_task, "taskId length should be one of [32,36]", task="short")
    refused("InvalidParameterException", ecs.stop_task, task=arn, reason="x" * 1025)
    refused("ClusterNotFoundException", ecs.stop_task, cluster="ghost", task=arn)


@pytest.mark.parametrize("code", [0, 3])
def test_exit(simulated, code):
    arn = simulated_task(simulated, f"exit={code} after=10s")
    running(simulated, arn)
    simulated.advance(9)
    assert describe(simulated, arn)["lastStatus"] == "RUNNING"
    simulated.advance(2)
    task = stopped(simulated, arn)
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["stoppedReason"] == "Essential container in task exited"
    assert task["containers"][0]["exitCode"] == code
    assert 10 <= (task["executionStoppedAt"] - task["startedAt"]).total_seconds() < 12


def test_only_an_essential_container_ends_its_task(simulated):
    definition = define(simulated, "mixed", [
        {"image": "web:1"}, {"image": "side:1", "essential": False, "dockerLabels": {"boxship.simulate": "exit=5 after=10s"}}])
    [arn] = run_task(simulated, definition)
    running(simulated, arn)
    simulated.advance(11)
    wait_for(lambda: describe(simulated, arn)["containers"][1]["lastStatus"] == "STOPPED", 10)
    task = describe(simulated, arn)
    assert (task["lastStatus"], task["containers"][1]["exitCode"]) == ("RUNNING", 5)
    simulated.client("ecs").stop_task(task=arn)
    task = stopped(simulated, arn)
    assert [c["exitCode"] for c in task["containers"]] == [143, 5]
    assert task["stopCode"] == "UserInitiated"


def test_stopped_tasks_stay_an_hour(simulated, ecs):
    arn = simulated_task(simulated, "exit=0")
    stopped(simulated, arn)
    simulated.advance(3500)
    assert describe(simulated, arn)["lastStatus"] == "STOPPED"
    assert arn in ecs.list_tasks(desiredStatus="STOPPED")["taskArns"]
    simulated.advance(200)
    def is_gone():
        answer = ecs.describe_tasks(tasks=[arn])
        return not answer["tasks"] and answer["failures"] == [{"arn": arn, "reason": "MISSING"}]
    wait_for(is_gone, 10)
    assert arn not in ecs.list_tasks(desiredStatus="STOPPED")["taskArns"]
    refused("InvalidParameterException", ecs.stop_task, "The referenced task was not found.", task=arn)


def test_tasks_start_while_the_clock_jumps(simulated, ecs):
    """Whatever the clock does between two reports, each task tells a life in order, and of the right length."""
    definition = define(simulated, "jumpy", [{"image": "web:1", "dockerLabels": {"boxship.simulate": "exit=4 after=5s"}}])
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        clocks = [pool.submit(lambda: [simulated.advance(1) for _ in range(15)]) for _ in range(2)]
        started = [pool.submit(run_task, simulated, definition) for _ in range(30)]
        arns = [arn for run in started for arn in run.result()]
        for clock in clocks:
            clock.result()
    simulated.advance(6)
    for arn in arns:
        task = stopped(simulated, arn)
        assert task["containers"][0]["exitCode"] == 4
        times = [task[name] for name in ["createdAt", "connectivityAt", "pullStartedAt", "pullStoppedAt", "startedAt",
                                         "executionStoppedAt", "stoppingAt", "stoppedAt"]]
        assert times == sorted(times)
        assert (task["executionStoppedAt"] - task["startedAt"]).total_seconds() == pytest.approx(5, abs=0.002)


def test_what_was_deleted_goes_in_time(simulated):
    ecs = simulated.client("ecs", region="ca-central-1")
    ecs.create_cluster(clusterName="gone")
    ecs.delete_cluster(cluster="gone")
    ecs.register_task_definition(**fargate(family="gone"))
    ecs.deregister_task_definition(taskDefinition="gone:1")
    ecs.delete_task_definitions(taskDefinitions=["gone:1"])
    simulated.advance(48 * 3600)
    wait_for(lambda: ecs.describe_clusters(clusters=["gone"])["failures"], 10, "the cluster's end")
    wait_for(lambda: not ecs.list_task_definition_families(status="ALL")["families"], 10, "the definition's end")
    refused("ClientException", ecs.describe_task_definition, taskDefinition="gone:1")
    made = ecs.register_task_definition(**fargate(family="gone"))["taskDefinition"]
    assert made["revision"] == 2, "revisions are never used again"


def test_a_day_passes_in_one_call(simulated):
    arn = simulated_task(simulated, "exit=7 after=24h")
    running(simulated, arn)
    simulated.advance(24 * 3600 + 1)
    assert describe(simulated, arn)["containers"][0]["exitCode"] == 7


def test_waiters(simulated, ecs):
    arn = simulated_task(simulated)
    quick = {"Delay": 0, "MaxAttempts": 1000}
    ecs.get_waiter("tasks_running").wait(tasks=[arn], WaiterConfig=quick)
    assert describe(simulated, arn)["lastStatus"] == "RUNNING"
    ecs.stop_task(task=arn)
    ecs.get_waiter("tasks_stopped").wait(tasks=[arn], WaiterConfig=quick)
    assert describe(simulated, arn)["lastStatus"] == "STOPPED"


def test_waiters_of_the_aws_cli(simulated, ecs):
    arn = simulated_task(simulated)
    running(simulated, arn)
    simulated.aws("ecs", "wait", "tasks-running", "--tasks", arn)
    ecs.stop_task(task=arn)
    stopped(simulated, arn)
    simulated.aws("ecs", "wait", "tasks-stopped", "--tasks", arn)


def test_describe_many(simulated, ecs):
    definition = define(simulated, "hundred", [{"image": "web:1"}])
    arns = [arn for _ in range(3) for arn in run_task(simulated, definition, count=10)]
    assert [task["taskArn"] for task in ecs.describe_tasks(tasks=arns)["tasks"]] == arns
    missing = [f"{n:032}" for n in range(70)]
    answer = ecs.describe_tasks(tasks=arns + missing)
    assert (len(answer["tasks"]), len(answer["failures"])) == (30, 70)
    refused("InvalidParameterException", ecs.describe_tasks, tasks=arns + missing + ["1" * 32])
    refused("InvalidParameterException", ecs.describe_tasks, "Tasks cannot be empty.", tasks=[])


def test_list_tasks(simulated, ecs):
    ecs.create_cluster(clusterName="listed")
    for family in ["one", "two"]:
        define(simulated, f"list-{family}", [{"image": "web:1"}])
    run = lambda family, **members: [task["taskArn"] for task in ecs.run_task(**run_with(  # noqa: E731
        simulated, cluster="listed", taskDefinition=f"list-{family}", **members))["tasks"]]
    ones, twos, mine = run("one", count=7), run("two", count=4), run("one", startedBy="me", count=2)
    listed = lambda **members: sorted(ecs.list_tasks(cluster="listed", **members)["taskArns"])  # noqa: E731
    assert listed() == sorted(ones + twos + mine)
    assert listed(family="list-one") == sorted(ones + mine)
    assert listed(startedBy="me") == sorted(mine)
    assert listed(launchType="FARGATE") == sorted(ones + twos + mine)
    assert listed(launchType="EC2") == []
    assert listed(desiredStatus="STOPPED") == listed(desiredStatus="PENDING") == []
    ecs.stop_task(cluster="listed", task=mine[0])
    assert listed(desiredStatus="STOPPED") == [mine[0]]
    assert mine[0] not in listed()
    pages = list(ecs.get_paginator("list_tasks").paginate(cluster="listed", PaginationConfig={"PageSize": 5}))
    assert [len(page["taskArns"]) for page in pages] == [5, 5, 2]
    assert sorted(arn for page in pages for arn in page["taskArns"]) == listed()
    refused("ServiceNotFoundException", ecs.list_tasks, cluster="listed", serviceName="x")
    refused("InvalidParameterException", ecs.list_tasks, cluster="listed", containerInstance="x")
    refused("ClusterNotFoundException", ecs.list_tasks, cluster="ghost")
    refused("InvalidParameterException", ecs.list_tasks, cluster="default", nextToken=ecs.list_tasks(
        cluster="listed", maxResults=1)["nextToken"])


def test_aws_cli(simulated, ecs, tmp_path):
    (tmp_path / "task.json").write_text(json.dumps(fargate(family="cli")))
    registered = simulated.aws("ecs", "register-task-definition", "--cli-input-json", f"file://{tmp_path}/task.json")
    assert registered["taskDefinition"]["family"] == "cli"
    started = simulated.aws("ecs", "run-task", "--task-definition", "cli", "--launch-type", "FARGATE",
                            "--network-configuration", f"awsvpcConfiguration={{subnets=[{subnet(simulated)}]}}")
    arn = started["tasks"][0]["taskArn"]
    assert arn in simulated.aws("ecs", "list-tasks", "--family", "cli")["taskArns"]
    refusal = simulated.aws("ecs", "run-task", "--task-definition", "cli", "--launch-type", "FARGATE", check=False)
    assert refusal.returncode != 0
    assert "(InvalidParameterException) when calling the RunTask operation: Network Configuration must be" in refusal.stderr
    simulated.aws("ecs", "stop-task", "--task", arn)
