"""Container instances: this machine as one, StartTask and RunTask on it, attributes, settings, protection, sessions."""

import pytest

from conftest import Server, TRUST, define, refused, run_task, running, stopped

ABSENT = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def machine():
    server = Server("simulated", "--instance", "main", "--allow-reset").start()
    yield server
    server.down()


@pytest.fixture
def ecs(machine):
    """A cluster `main` with this machine and nothing on it."""
    machine.post("/_boxship/reset", {})
    return machine.client("ecs")


def own(ecs, cluster="main"):
    """The ARN of the machine's own instance."""
    arns = ecs.list_container_instances(cluster=cluster)["containerInstanceArns"]
    assert len(arns) == 1
    return arns[0]


def shown(ecs, arn, cluster="main", **members):
    return ecs.describe_container_instances(cluster=cluster, containerInstances=[arn], **members)["containerInstances"][0]


def left(instance, kind="remainingResources"):
    """What an instance has left: numbers, and ports as a set."""
    value = {"INTEGER": lambda r: r["integerValue"], "STRINGSET": lambda r: set(r["stringSetValue"])}
    return {r["name"]: value[r["type"]](r) for r in instance[kind]}


def bridge(ecs, family="web", cpu=128, memory=64, port=None, **members):
    """A definition for bridge mode; answers its ARN."""
    container = {"name": "web", "image": "web:1", "cpu": cpu, "memory": memory, **members}
    if port is not None:
        container["portMappings"] = [{"containerPort": 80, "hostPort": port}]
    answer = ecs.register_task_definition(family=family, networkMode="bridge", containerDefinitions=[container])
    return answer["taskDefinition"]["taskDefinitionArn"]


def reasons(answer):
    return [failure["reason"] for failure in answer["failures"]]


def test_the_machine_is_an_instance(machine, ecs):
    assert "instance  of the cluster main" in machine.run("status").stdout
    assert ecs.list_clusters()["clusterArns"] == ["arn:aws:ecs:us-east-1:000000000000:cluster/main"]
    arn = own(ecs)
    assert arn.startswith("arn:aws:ecs:us-east-1:000000000000:container-instance/main/")
    instance = shown(ecs, arn, include=["TAGS", "CONTAINER_INSTANCE_HEALTH"])
    assert (instance["status"], instance["agentConnected"]) == ("ACTIVE", True)
    assert instance["ec2InstanceId"].startswith("i-")
    assert instance["healthStatus"]["overallStatus"] == "OK"
    assert left(instance) == left(instance, "registeredResources")
    assert left(instance)["PORTS"] == {"22", "2375", "2376", "51678", "51679"}
    assert left(instance)["CPU"] >= 1024 and left(instance)["MEMORY"] > 64
    attributes = {a["name"]: a.get("value") for a in instance["attributes"]}
    assert attributes["ecs.os-type"] == "linux"
    assert "com.amazonaws.ecs.capability.docker-remote-api.1.18" in attributes
    cluster = ecs.describe_clusters(clusters=["main"])["clusters"][0]
    assert cluster["registeredContainerInstancesCount"] == 1


def test_the_same_instance_after_a_restart():
    server = Server("simulated", "--instance", "main").start()
    try:
        arn = own(server.client("ecs"))
        server.client("ecs").put_attributes(cluster="main", attributes=[
            {"name": "rack", "value": "7", "targetId": arn}])
        for _ in range(2):
            server.process.terminate()
            server.process.wait()
            server.start()
            assert own(server.client("ecs")) == arn
        found = server.client("ecs").list_attributes(cluster="main", targetType="container-instance", attributeName="rack")
        assert [(a["value"], a["targetId"]) for a in found["attributes"]] == [("7", arn)]
        # Without the option it stays registered, with nobody behind it.
        server.process.terminate()
        server.process.wait()
        server.arguments = ()
        server.start()
        ecs = server.client("ecs")
        assert shown(ecs, arn)["agentConnected"] is False
        definition = bridge(ecs)
        assert reasons(ecs.run_task(cluster="main", taskDefinition=definition)) == ["AGENT"]
    finally:
        server.down()


def test_tasks_take_room_until_there_is_none(machine, ecs):
    arn = own(ecs)
    whole = left(shown(ecs, arn))
    definition = bridge(ecs, port=8080)
    task = ecs.run_task(cluster="main", taskDefinition=definition)["tasks"][0]
    assert (task["launchType"], task["containerInstanceArn"]) == ("EC2", arn)
    instance = shown(ecs, arn)
    assert left(instance)["CPU"] == whole["CPU"] - 128
    assert left(instance)["MEMORY"] == whole["MEMORY"] - 64
    assert left(instance)["PORTS"] == whole["PORTS"] | {"8080"}
    assert instance["runningTasksCount"] + instance["pendingTasksCount"] == 1
    answer = ecs.run_task(cluster="main", taskDefinition=definition)
    assert (answer["tasks"], answer["failures"][0]["arn"], reasons(answer)) == ([], arn, ["RESOURCE:PORTS"])
    assert reasons(ecs.run_task(cluster="main", taskDefinition=bridge(ecs, "ssh", port=22))) == ["RESOURCE:PORTS"]
    big = bridge(ecs, "cpu", cpu=whole["CPU"])
    assert reasons(ecs.run_task(cluster="main", taskDefinition=big)) == ["RESOURCE:CPU"]
    big = bridge(ecs, "memory", memory=whole["MEMORY"])
    assert reasons(ecs.run_task(cluster="main", taskDefinition=big)) == ["RESOURCE:MEMORY"]
    # Tasks of one request share what is left: some start, and the answer says why others do not.
    third = bridge(ecs, "third", cpu=left(shown(ecs, arn))["CPU"] // 3)
    answer = ecs.run_task(cluster="main", taskDefinition=third, count=5)
    assert len(answer["tasks"]) == 3
    assert set(reasons(answer)) == {"RESOURCE:CPU"}
    # Whatever stops gives its room back.
    for started in ecs.list_tasks(cluster="main")["taskArns"]:
        ecs.stop_task(cluster="main", task=started)
    machine.advance(60)
    assert left(shown(ecs, arn)) == whole


def test_start_task_names_its_instances(machine, ecs):
    arn = own(ecs)
    foreign = ecs.register_container_instance(cluster="main", totalResources=[
        {"name": "CPU", "type": "INTEGER", "integerValue": 1024},
        {"name": "MEMORY", "type": "INTEGER", "integerValue": 1024}])["containerInstance"]
    assert foreign["agentConnected"] is False
    definition = bridge(ecs)
    answer = ecs.start_task(cluster="main", taskDefinition=definition, startedBy="me", containerInstances=[
        arn.rsplit("/", 1)[1], foreign["containerInstanceArn"], ABSENT])
    assert [task["containerInstanceArn"] for task in answer["tasks"]] == [arn]
    assert answer["tasks"][0]["startedBy"] == "me"
    assert reasons(answer) == ["AGENT", "MISSING"]
    assert ecs.list_tasks(cluster="main", containerInstance=arn)["taskArns"] == [answer["tasks"][0]["taskArn"]]
    assert ecs.list_tasks(cluster="main", containerInstance=foreign["containerInstanceArn"])["taskArns"] == []
    refused("InvalidParameterException", ecs.start_task, cluster="main", taskDefinition=definition, containerInstances=[arn] * 11)
    refused("InvalidParameterException", ecs.start_task, cluster="main", taskDefinition=definition, containerInstances=["x"])
    refused("InvalidParameterException", ecs.list_tasks, cluster="main", containerInstance=ABSENT)


def test_an_instance_drains(ecs):
    arn = own(ecs)
    definition = bridge(ecs)
    assert ecs.run_task(cluster="main", taskDefinition=definition)["failures"] == []
    answer = ecs.update_container_instances_state(cluster="main", containerInstances=[arn, ABSENT], status="DRAINING")
    assert answer["containerInstances"][0]["status"] == "DRAINING"
    assert reasons(answer) == ["MISSING"]
    refused("InvalidParameterException", ecs.run_task, "No Container Instances were found in your cluster.",
            cluster="main", taskDefinition=definition)
    assert reasons(ecs.start_task(cluster="main", taskDefinition=definition, containerInstances=[arn])) == ["INACTIVE"]
    assert len(ecs.list_tasks(cluster="main")["taskArns"]) == 1
    assert ecs.list_container_instances(cluster="main", status="ACTIVE")["containerInstanceArns"] == []
    assert ecs.list_container_instances(cluster="main", status="DRAINING")["containerInstanceArns"] == [arn]
    ecs.update_container_instances_state(cluster="main", containerInstances=[arn], status="ACTIVE")
    assert ecs.run_task(cluster="main", taskDefinition=definition)["failures"] == []
    refused("InvalidParameterException", ecs.update_container_instances_state, cluster="main", containerInstances=[arn],
            status="DEREGISTERING")


def test_an_instance_leaves(machine, ecs):
    arn = own(ecs)
    task = ecs.run_task(cluster="main", taskDefinition=bridge(ecs))["tasks"][0]["taskArn"]
    refused("InvalidParameterException", ecs.deregister_container_instance, "Found running tasks on the instance.",
            cluster="main", containerInstance=arn)
    refused("ClusterContainsContainerInstancesException", ecs.delete_cluster, cluster="main")
    answer = ecs.deregister_container_instance(cluster="main", containerInstance=arn, force=True)
    assert answer["containerInstance"]["status"] == "INACTIVE"
    assert ecs.list_container_instances(cluster="main")["containerInstanceArns"] == []
    assert ecs.describe_clusters(clusters=["main"])["clusters"][0]["registeredContainerInstancesCount"] == 0
    found = ecs.describe_tasks(cluster="main", tasks=[task])["tasks"][0]
    assert (found["desiredStatus"], found["stopCode"]) == ("STOPPED", "UserInitiated")
    assert found["stoppedReason"] == "Container instance deregistration forced by user."
    machine.advance(3700)
    answer = ecs.describe_container_instances(cluster="main", containerInstances=[arn])
    assert reasons(answer) == ["MISSING"]
    ecs.delete_cluster(cluster="main")


def test_attributes(ecs):
    arn = own(ecs)
    put = [{"name": "stack", "value": "production", "targetId": arn},
           {"name": "ssd", "targetType": "container-instance", "targetId": arn.rsplit("/", 1)[1]}]
    assert [a["name"] for a in ecs.put_attributes(cluster="main", attributes=put)["attributes"]] == ["stack", "ssd"]

    def listed(**members):
        pages = ecs.get_paginator("list_attributes").paginate(
            cluster="main", targetType="container-instance", PaginationConfig={"PageSize": 20}, **members)
        return {a["name"]: a.get("value") for page in pages for a in page["attributes"]}

    assert listed(attributeName="stack") == {"stack": "production"}
    assert {"stack", "ssd", "ecs.os-type"} <= set(listed())
    gone = ecs.delete_attributes(cluster="main", attributes=[{"name": "ssd", "targetId": arn}])["attributes"]
    assert [a["name"] for a in gone] == ["ssd"]
    assert "ssd" not in listed()
    refused("TargetNotFoundException", ecs.put_attributes, cluster="main", attributes=[
        {"name": "x", "targetId": ABSENT, "targetType": "container-instance"}])
    refused("InvalidParameterException", ecs.put_attributes, cluster="main", attributes=[{"name": "x y", "targetId": arn}])
    refused("InvalidParameterException", ecs.put_attributes, "reserved", cluster="main", attributes=[
        {"name": "ecs.os-type", "value": "windows", "targetId": arn}])


def test_tags_of_an_instance(ecs):
    arn = own(ecs)
    ecs.tag_resource(resourceArn=arn, tags=[{"key": "team", "value": "blue"}])
    assert shown(ecs, arn, include=["TAGS"])["tags"] == [{"key": "team", "value": "blue"}]
    ecs.untag_resource(resourceArn=arn, tagKeys=["team"])
    assert ecs.list_tags_for_resource(resourceArn=arn)["tags"] == []


def test_instances_by_an_expression(ecs):
    arn = own(ecs)
    ecs.put_attributes(cluster="main", attributes=[{"name": "stack", "value": "production", "targetId": arn}])
    foreign = ecs.register_container_instance(cluster="main")["containerInstance"]["containerInstanceArn"]

    def listed(expression):
        return ecs.list_container_instances(cluster="main", filter=expression)["containerInstanceArns"]

    assert listed("attribute:stack == production") == [arn]
    assert listed("agentConnected == false") == [foreign]
    assert sorted(listed("runningTasksCount == 0")) == sorted([arn, foreign])
    assert listed("attribute:ecs.os-type exists and not attribute:stack in [test, staging]") == [arn]
    assert listed("task:group == family:web") == []
    ecs.run_task(cluster="main", taskDefinition=bridge(ecs))
    assert listed("task:group == family:web") == [arn]
    refused("InvalidParameterException", ecs.list_container_instances, "Invalid filter", cluster="main", filter="stack production")
    assert sorted(listed("registeredAt > 2018-06-18")) == sorted([arn, foreign])


# Account settings


def test_settings(ecs):
    pages = ecs.get_paginator("list_account_settings").paginate(effectiveSettings=True)
    default = {s["name"]: s["value"] for page in pages for s in page["settings"]}
    assert len(default) == 11
    assert default["taskLongArnFormat"] == "enabled"
    assert default["defaultLogDriverMode"] == "non-blocking"
    assert ecs.list_account_settings()["settings"] == []
    made = ecs.put_account_setting(name="defaultLogDriverMode", value="blocking")["setting"]
    assert made["principalArn"] == "arn:aws:iam::000000000000:root"
    ecs.put_account_setting_default(name="fargateTaskRetirementWaitPeriod", value="14")
    assert {s["name"] for s in ecs.list_account_settings()["settings"]} == {
        "defaultLogDriverMode", "fargateTaskRetirementWaitPeriod"}
    role = "arn:aws:iam::000000000000:role/deploy"
    assert ecs.list_account_settings(principalArn=role)["settings"] == []
    found = ecs.list_account_settings(principalArn=role, effectiveSettings=True, name="defaultLogDriverMode")["settings"]
    assert [s["value"] for s in found] == ["blocking"]
    ecs.delete_account_setting(name="defaultLogDriverMode")
    assert [s["name"] for s in ecs.list_account_settings()["settings"]] == ["fargateTaskRetirementWaitPeriod"]


@pytest.mark.parametrize("name, value", [
    ("containerInsights", "enabled"), ("tagResourceAuthorization", "on"), ("fargateFIPSMode", "enabled"),
    ("taskLongArnFormat", "disabled"), ("guardDutyActivate", "on"), ("awsvpcTrunking", "maybe"),
    ("fargateTaskRetirementWaitPeriod", "3")])
def test_settings_without_effect_are_refused(ecs, name, value):
    refused("InvalidParameterException", ecs.put_account_setting, name=name, value=value)


# Clusters


def test_a_cluster_changes(ecs):
    made = ecs.create_cluster(clusterName="c", configuration={"executeCommandConfiguration": {"logging": "NONE"}})["cluster"]
    assert made["configuration"]["executeCommandConfiguration"]["logging"] == "NONE"
    changed = ecs.update_cluster(cluster="c", configuration={"executeCommandConfiguration": {"logging": "DEFAULT"}})["cluster"]
    assert changed["configuration"]["executeCommandConfiguration"]["logging"] == "DEFAULT"
    found = ecs.describe_clusters(clusters=["c"], include=["CONFIGURATIONS"])["clusters"][0]
    assert found["configuration"] == changed["configuration"]
    changed = ecs.update_cluster_settings(cluster="c", settings=[{"name": "containerInsights", "value": "disabled"}])["cluster"]
    assert changed["settings"] == [{"name": "containerInsights", "value": "disabled"}]
    refused("InvalidParameterException", ecs.update_cluster_settings, "not supported by Boxship yet", cluster="c",
            settings=[{"name": "containerInsights", "value": "enabled"}])
    refused("InvalidParameterException", ecs.update_cluster, "OVERRIDE", cluster="c",
            configuration={"executeCommandConfiguration": {"logging": "OVERRIDE"}})
    refused("ClusterNotFoundException", ecs.update_cluster, cluster="d")


# Protection


def test_only_tasks_of_services_are_protected(machine, ecs):
    task = ecs.run_task(cluster="main", taskDefinition=bridge(ecs))["tasks"][0]["taskArn"]
    answer = ecs.update_task_protection(cluster="main", tasks=[task, ABSENT], protectionEnabled=True)
    assert (answer["protectedTasks"], reasons(answer)) == ([], ["TASK_NOT_VALID", "MISSING"])
    answer = ecs.get_task_protection(cluster="main", tasks=[task])
    assert (answer["protectedTasks"], reasons(answer)) == ([], ["TASK_NOT_VALID"])
    refused("InvalidParameterException", ecs.update_task_protection, cluster="main", tasks=[task], protectionEnabled=True,
            expiresInMinutes=2881)


# Sessions


def test_a_session_is_answered_with_its_channel(machine, ecs):
    role = machine.client("iam").create_role(RoleName="shell", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    definition = define(machine, "shell", [{"image": "web:1"}], taskRoleArn=role)
    task = run_task(machine, definition, enableExecuteCommand=True)[0]
    running(machine, task)
    answer = ecs.execute_command(task=task, command="/bin/sh", interactive=True)
    assert (answer["containerName"], answer["interactive"], answer["taskArn"]) == ("c0", True, task)
    session = answer["session"]
    assert session["sessionId"].startswith("ecs-execute-command-")
    assert session["streamUrl"] == (
        f"ws://localhost:{machine.port}/v1/data-channel/{session['sessionId']}?role=publish_subscribe")
    assert len(session["tokenValue"]) == 64
    refused("InvalidParameterException", ecs.execute_command, "Interactive is the only mode supported currently.",
            task=task, command="/bin/sh", interactive=False)
    refused("InvalidParameterException", ecs.execute_command, task=task, command="/bin/sh", interactive=True, container="db")
    refused("InvalidParameterException", ecs.execute_command, task=ABSENT, command="/bin/sh", interactive=True)
    plain = run_task(machine, definition)[0]
    running(machine, plain)
    refused("InvalidParameterException", ecs.execute_command, "execute command was not enabled",
            task=plain, command="/bin/sh", interactive=True)
    ecs.stop_task(task=task)
    stopped(machine, task)
    refused("InvalidParameterException", ecs.execute_command, task=task, command="/bin/sh", interactive=True)


# GPUs


def test_gpus_are_handed_out_once():
    server = Server("simulated", "--instance", "main", "--instance-gpu", "/dev/gpu0,/dev/gpu1").start()
    try:
        ecs = server.client("ecs")
        arn = own(ecs)
        assert left(shown(ecs, arn))["GPU"] == {"/dev/gpu0", "/dev/gpu1"}
        one = bridge(ecs, "one", resourceRequirements=[{"type": "GPU", "value": "1"}])
        two = bridge(ecs, "two", resourceRequirements=[{"type": "GPU", "value": "2"}])
        first = ecs.run_task(cluster="main", taskDefinition=one)["tasks"][0]
        assert len(first["containers"][0]["gpuIds"]) == 1
        assert reasons(ecs.run_task(cluster="main", taskDefinition=two)) == ["RESOURCE:GPU"]
        second = ecs.run_task(cluster="main", taskDefinition=one)["tasks"][0]
        assert {*first["containers"][0]["gpuIds"], *second["containers"][0]["gpuIds"]} == {"/dev/gpu0", "/dev/gpu1"}
        assert left(shown(ecs, arn))["GPU"] == set()
        assert left(shown(ecs, arn), "registeredResources")["GPU"] == {"/dev/gpu0", "/dev/gpu1"}
    finally:
        server.down()
