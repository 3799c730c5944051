"""The API of ECS services: what each operation answers, and what it refuses and how."""

import datetime
import re

import pytest

from conftest import TRUST, define, network, refused, wait_for
from test_elb_balancers import make_balancer, make_group

INVALID = "InvalidParameterException"
ENUM = "Member must satisfy enum value set"
ECS_TRUST = TRUST.replace("ecs-tasks.amazonaws.com", "ecs.amazonaws.com")


@pytest.fixture(scope="module")
def ecs(simulated):
    client = simulated.client("ecs", parameter_validation=False)
    client.create_cluster(clusterName="default")
    client.create_cluster(clusterName="main")
    define(simulated, "web", [{"name": "web", "image": "busybox", "portMappings": [{"containerPort": 80}]}])
    define(simulated, "web", [{"name": "web", "image": "busybox:2", "portMappings": [{"containerPort": 80}]}])
    define(simulated, "broken", [{"name": "web", "image": "busybox", "dockerLabels": {"boxship.simulate": "exit=1"}}])
    client.register_task_definition(family="bridge", containerDefinitions=[
        {"name": "web", "image": "busybox", "memory": 64, "portMappings": [{"containerPort": 80}]}])
    return client


def asked(simulated, name, **members):
    request = {"cluster": "main", "serviceName": name, "taskDefinition": "web:1", "desiredCount": 1,
               "launchType": "FARGATE", "networkConfiguration": network(simulated), **members}
    return {key: value for key, value in request.items() if value is not None}


def create(ecs, simulated, name, **members):
    return ecs.create_service(**asked(simulated, name, **members))["service"]


def look(ecs, name, **members):
    answer = ecs.describe_services(cluster="main", services=[name], **members)
    assert not answer["failures"], answer["failures"]
    return answer["services"][0]


def stable(ecs, *names):
    ecs.get_waiter("services_stable").wait(cluster="main", services=list(names),
                                           WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def remove(ecs, *names):
    for name in names:
        ecs.delete_service(cluster="main", service=name, force=True)
    ecs.get_waiter("services_inactive").wait(cluster="main", services=list(names),
                                             WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def test_a_new_service_shows_every_member(ecs, simulated):
    made = create(ecs, simulated, "whole", desiredCount=2, tags=[{"key": "team", "value": "blue"}])
    arn = "arn:aws:ecs:us-east-1:000000000000:service/main/whole"
    [deployment] = made["deployments"]
    assert re.fullmatch(r"ecs-svc/\d{19}", deployment["id"])
    revision = deployment["id"].partition("/")[2]
    [current] = made["currentServiceRevisions"]
    assert current["arn"] == f"arn:aws:ecs:us-east-1:000000000000:service-revision/main/whole/{revision}"
    assert current["requestedTaskCount"] == 2
    prefix = "arn:aws:ecs:us-east-1:000000000000:service-deployment/main/whole/"
    assert re.fullmatch(re.escape(prefix) + "[A-Za-z0-9]{21}", made["currentServiceDeployment"])
    assert deployment["status"] == "PRIMARY" and deployment["rolloutState"] == "IN_PROGRESS"
    assert deployment["rolloutStateReason"] == f"ECS deployment {deployment['id']} in progress."
    assert deployment["failedTasks"] == 0 and deployment["desiredCount"] == 2
    expected = {
        "serviceArn": arn, "serviceName": "whole", "status": "ACTIVE", "desiredCount": 2, "launchType": "FARGATE",
        "clusterArn": "arn:aws:ecs:us-east-1:000000000000:cluster/main", "loadBalancers": [], "serviceRegistries": [],
        "runningCount": 0, "pendingCount": 0, "platformVersion": "LATEST", "platformFamily": "Linux",
        "taskDefinition": "arn:aws:ecs:us-east-1:000000000000:task-definition/web:1",
        "deploymentConfiguration": {
            "deploymentCircuitBreaker": {"enable": False, "rollback": False}, "maximumPercent": 200,
            "minimumHealthyPercent": 100, "strategy": "ROLLING", "bakeTimeInMinutes": 0},
        "roleArn": "arn:aws:iam::000000000000:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
        "events": [], "placementConstraints": [], "placementStrategy": [], "healthCheckGracePeriodSeconds": 0,
        "schedulingStrategy": "REPLICA", "deploymentController": {"type": "ECS"},
        "tags": [{"key": "team", "value": "blue"}], "createdBy": "arn:aws:iam::000000000000:root",
        "enableECSManagedTags": False, "propagateTags": "NONE", "enableExecuteCommand": False,
        "availabilityZoneRebalancing": "ENABLED", "resourceManagementType": "CUSTOMER"}
    assert {key: made.get(key) for key in expected} == expected
    assert made["networkConfiguration"] == network(simulated)
    stable(ecs, "whole")
    seen = look(ecs, "whole")
    assert (seen["runningCount"], seen["pendingCount"], seen["tags"]) == (2, 0, [])
    assert look(ecs, "whole", include=["TAGS"])["tags"] == [{"key": "team", "value": "blue"}]
    # By each form of the ARN, too.
    for form in (arn, "arn:aws:ecs:us-east-1:000000000000:service/whole"):
        assert look(ecs, form)["serviceName"] == "whole"
    done = wait_for(lambda: [d for d in look(ecs, "whole")["deployments"] if d["rolloutState"] == "COMPLETED"], 30)
    assert done[0]["rolloutStateReason"] == f"ECS deployment {deployment['id']} completed."
    remove(ecs, "whole")


def test_its_tasks_are_those_of_the_service(ecs, simulated):
    create(ecs, simulated, "tasks", desiredCount=2)
    stable(ecs, "tasks")
    arns = ecs.list_tasks(cluster="main", serviceName="tasks")["taskArns"]
    assert len(arns) == 2
    assert ecs.list_tasks(cluster="main", serviceName=look(ecs, "tasks")["serviceArn"])["taskArns"] == arns
    tasks = ecs.describe_tasks(cluster="main", tasks=arns)["tasks"]
    [deployment] = look(ecs, "tasks")["deployments"]
    assert {(task["group"], task["startedBy"]) for task in tasks} == {("service:tasks", deployment["id"])}
    # Tasks of services can be protected.
    protected = ecs.update_task_protection(cluster="main", tasks=arns[:1], protectionEnabled=True)
    assert [task["protectionEnabled"] for task in protected["protectedTasks"]] == [True]
    shown = ecs.get_task_protection(cluster="main")["protectedTasks"]
    assert sorted(task["taskArn"] for task in shown) == sorted(arns)
    ecs.update_task_protection(cluster="main", tasks=arns[:1], protectionEnabled=False)
    refused("ServiceNotFoundException", ecs.list_tasks, "Service not found.", cluster="main", serviceName="nobody")
    remove(ecs, "tasks")


def test_tags_reach_the_tasks(ecs, simulated):
    web = ecs.list_task_definitions(familyPrefix="web", sort="DESC")["taskDefinitionArns"][0]
    ecs.tag_resource(resourceArn=web, tags=[{"key": "of", "value": "definition"}])
    ours = [{"key": "of", "value": "service"}]
    for name, members, expected in [
        ("no-tags", {"tags": ours}, {}),
        ("service-tags", {"tags": ours, "propagateTags": "SERVICE"}, {"of": "service"}),
        ("definition-tags", {"tags": ours, "propagateTags": "TASK_DEFINITION", "enableECSManagedTags": True},
         {"of": "definition", "aws:ecs:clusterName": "main", "aws:ecs:serviceName": "definition-tags"}),
    ]:
        create(ecs, simulated, name, taskDefinition=web, **members)
        [task] = wait_for(lambda: ecs.list_tasks(cluster="main", serviceName=name)["taskArns"], 30)
        [task] = ecs.describe_tasks(cluster="main", tasks=[task], include=["TAGS"])["tasks"]
        assert {tag["key"]: tag["value"] for tag in task["tags"]} == expected, name
    remove(ecs, "no-tags", "service-tags", "definition-tags")


@pytest.mark.parametrize("members,code,text", [
    ({"serviceName": "a.b"}, INVALID, "Service names take"),
    ({"cluster": "nowhere"}, "ClusterNotFoundException", "Cluster not found."),
    ({"taskDefinition": None}, INVALID, "TaskDefinition can not be blank."),
    ({"taskDefinition": "nobody"}, "ClientException", "TaskDefinition not found."),
    ({"desiredCount": None}, INVALID, "desiredCount is required"),
    ({"desiredCount": -1}, INVALID, "desiredCount must be between 0 and 5000."),
    ({"desiredCount": 10_000}, INVALID, "desiredCount must be between 0 and 5000."),
    ({"launchType": "LAMBDA"}, INVALID, ENUM),
    ({"taskDefinition": "bridge"}, INVALID, "Task definition does not support launch_type FARGATE."),
    ({"launchType": "EXTERNAL"}, INVALID, "Task definition does not support launch_type EXTERNAL."),
    ({"schedulingStrategy": "DAEMON"}, INVALID, "schedulingStrategy 'DAEMON' is not supported by Boxship yet."),
    ({"schedulingStrategy": "ODD"}, INVALID, ENUM),
    ({"deploymentController": {"type": "CODE_DEPLOY"}}, INVALID, "deploymentController 'CODE_DEPLOY' is not supported"),
    ({"deploymentController": {"type": "EXTERNAL"}}, INVALID, "deploymentController 'EXTERNAL' is not supported"),
    ({"capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]}, INVALID, "capacityProviderStrategy"),
    ({"placementStrategy": [{"type": "random"}]}, INVALID, "placementStrategy"),
    ({"placementConstraints": [{"type": "distinctInstance"}]}, INVALID, "placementConstraints"),
    ({"serviceRegistries": [{"registryArn": "arn:x"}]}, INVALID, "serviceRegistries"),
    ({"serviceConnectConfiguration": {"enabled": True}}, INVALID, "serviceConnectConfiguration"),
    ({"volumeConfigurations": [{"name": "v"}]}, INVALID, "volumeConfigurations"),
    ({"vpcLatticeConfigurations": [{"roleArn": "r", "targetGroupArn": "t", "portName": "p"}]}, INVALID,
     "vpcLatticeConfigurations"),
    ({"loadBalancers": [{"loadBalancerName": "old", "containerName": "web", "containerPort": 80}]}, INVALID,
     "loadBalancers.loadBalancerName is not supported by Boxship yet."),
    ({"role": "ecsServiceRole"}, INVALID, "You cannot specify an IAM role for services that require a service linked"),
    ({"healthCheckGracePeriodSeconds": -1}, INVALID, "healthCheckGracePeriodSeconds must be between"),
    ({"networkConfiguration": None}, INVALID, "Network Configuration must be provided when networkMode 'awsvpc'"),
    ({"networkConfiguration": {"awsvpcConfiguration": {"subnets": []}}}, INVALID, "subnets can not be empty."),
    ({"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-0123456789abcdef0"]}}}, INVALID,
     "InvalidSubnetID.NotFound"),
    ({"platformVersion": "9.9.9"}, "PlatformUnknownException", "The specified platform does not exist."),
    ({"enableExecuteCommand": True}, INVALID, "a valid taskRoleArn is not being used"),
    ({"propagateTags": "ODD"}, INVALID, ENUM),
    ({"tags": [{"key": "aws:x", "value": ""}]}, INVALID, "reserved"),
    ({"clientToken": "x" * 37}, INVALID, "clientToken"),
    ({"availabilityZoneRebalancing": "MAYBE"}, INVALID, ENUM),
    ({"availabilityZoneRebalancing": "ENABLED",
      "deploymentConfiguration": {"maximumPercent": 100, "minimumHealthyPercent": 50}}, INVALID,
     "availabilityZoneRebalancing cannot be ENABLED with a maximumPercent of 100"),
])
def test_bad_services_are_refused(ecs, simulated, members, code, text):
    request = asked(simulated, "bad", **members)
    refused(code, ecs.create_service, text, **request)
    failures = ecs.describe_services(cluster="main", services=["bad"])["failures"]
    assert failures == [{"arn": "arn:aws:ecs:us-east-1:000000000000:service/main/bad", "reason": "MISSING"}]


PAUSE = {"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}


@pytest.mark.parametrize("configuration,text", [
    ({"maximumPercent": 100, "minimumHealthyPercent": 100}, "cannot be 100 as this will block deployments."),
    ({"maximumPercent": 99}, "maximumPercent must be between 100 and 10000."),
    ({"maximumPercent": 10001}, "maximumPercent must be between 100 and 10000."),
    ({"minimumHealthyPercent": 101}, "minimumHealthyPercent must be between 0 and 100."),
    ({"minimumHealthyPercent": -1}, "minimumHealthyPercent must be between 0 and 100."),
    ({"strategy": "SIDEWAYS"}, ENUM),
    ({"bakeTimeInMinutes": 1441}, "bakeTimeInMinutes must be between 0 and 1440."),
    ({"linearConfiguration": {"stepPercent": 10.0}}, "linearConfiguration is only valid when the deployment strategy is"),
    ({"canaryConfiguration": {"canaryPercent": 10.0}}, "canaryConfiguration is only valid when the deployment strategy is"),
    ({"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 2.9}}, "stepPercent must be a multiple of 0.1"),
    ({"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 10.05}}, "stepPercent must be a multiple of 0.1"),
    ({"strategy": "LINEAR", "linearConfiguration": {"stepBakeTimeInMinutes": 1441}}, "stepBakeTimeInMinutes"),
    ({"strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 0.0}}, "canaryPercent must be a multiple of 0.1"),
    ({"strategy": "CANARY", "canaryConfiguration": {"canaryBakeTimeInMinutes": -1}}, "canaryBakeTimeInMinutes"),
    ({"strategy": "CANARY"}, "need a load balancer"),
    ({"alarms": {"alarmNames": ["a"], "enable": True, "rollback": True}},
     "deploymentConfiguration.alarms is not supported by Boxship yet."),
    ({"deploymentCircuitBreaker": {"enable": False, "rollback": True}}, "must be enabled to roll back"),
    ({"deploymentCircuitBreaker": {"enable": True, "rollback": True,
                                   "thresholdConfiguration": {"type": "ODD", "value": 1}}}, ENUM),
    ({"deploymentCircuitBreaker": {"enable": True, "rollback": True,
                                   "thresholdConfiguration": {"type": "COUNT", "value": 0}}}, "value must be between"),
    ({"lifecycleHooks": [{"hookTargetArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
                          "roleArn": "arn:aws:iam::000000000000:role/r", "lifecycleStages": ["PRE_SCALE_UP"]}]},
     "lifecycleHooks with targetType 'AWS_LAMBDA' is not supported by Boxship yet."),
    ({"strategy": "BLUE_GREEN", "lifecycleHooks": [{**PAUSE, "lifecycleStages": []}]}, "lifecycleStages cannot be empty."),
    ({"strategy": "BLUE_GREEN", "lifecycleHooks": [{**PAUSE, "lifecycleStages": ["SCALE_UP"]}]}, ENUM),
    ({"strategy": "BLUE_GREEN", "lifecycleHooks": [{**PAUSE, "lifecycleStages": ["TEST_TRAFFIC_SHIFT"]}]}, "cannot be configured at TEST_TRAFFIC_SHIFT"),
    ({"strategy": "BLUE_GREEN", "lifecycleHooks": [{**PAUSE, "hookTargetArn": "arn:x"}]}, "hookTargetArn is not used by PAUSE hooks."),
    ({"strategy": "BLUE_GREEN", "lifecycleHooks": [{**PAUSE, "timeoutConfiguration": {"timeoutInMinutes": 0}}]}, "greater than or equal to 1"),
    ({"strategy": "BLUE_GREEN", "lifecycleHooks": [{**PAUSE, "timeoutConfiguration": {"action": "WAIT"}}]}, ENUM),
    ({"lifecycleHooks": [PAUSE]}, "lifecycleHooks are only valid when the deployment strategy is BLUE_GREEN, LINEAR or"),
    ({"earlySuccessCriteria": {"enable": True, "healthyPercent": 50}}, "sourceServiceRevisionCleanup is required"),
    ({"earlySuccessCriteria": {"enable": True, "sourceServiceRevisionCleanup": "DEFERRED"}}, "healthyPercent is required"),
    ({"earlySuccessCriteria": {"enable": True, "healthyPercent": 50, "sourceServiceRevisionCleanup": "DEFERRED"}},
     "healthyPercent must not be less than minimumHealthyPercent."),
    ({"strategy": "BLUE_GREEN", "earlySuccessCriteria": {
        "enable": True, "healthyPercent": 100, "sourceServiceRevisionCleanup": "BLOCKING"}},
     "earlySuccessCriteria is only valid when the deployment strategy is ROLLING."),
])
def test_bad_deployment_configurations_are_refused(ecs, simulated, configuration, text):
    refused(INVALID, ecs.create_service, text, **asked(simulated, "bad", deploymentConfiguration=configuration))


def test_a_deployment_configuration_comes_back(ecs, simulated):
    configuration = {
        "deploymentCircuitBreaker": {"enable": True, "rollback": True, "resetOnHealthyTask": False,
                                     "thresholdConfiguration": {"type": "COUNT", "value": 5}},
        "maximumPercent": 150, "minimumHealthyPercent": 50, "strategy": "ROLLING", "bakeTimeInMinutes": 0,
        "alarms": {"alarmNames": ["a"], "enable": False, "rollback": False},
        "earlySuccessCriteria": {"enable": True, "healthyPercent": 80, "sourceServiceRevisionCleanup": "DEFERRED"}}
    made = create(ecs, simulated, "settings", desiredCount=0, deploymentConfiguration=configuration)
    assert made["deploymentConfiguration"] == configuration
    # What an update leaves out stays.
    changed = ecs.update_service(cluster="main", service="settings",
                                 deploymentConfiguration={"maximumPercent": 200})["service"]
    assert changed["deploymentConfiguration"] == {**configuration, "maximumPercent": 200}
    refused(INVALID, ecs.update_service, "availabilityZoneRebalancing cannot be ENABLED", cluster="main",
            service="settings", deploymentConfiguration={"maximumPercent": 100})
    off = ecs.update_service(cluster="main", service="settings", availabilityZoneRebalancing="DISABLED",
                             deploymentConfiguration={"maximumPercent": 100})["service"]
    assert off["availabilityZoneRebalancing"] == "DISABLED"
    remove(ecs, "settings")


def test_names_and_tokens(ecs, simulated):
    first = create(ecs, simulated, "named", desiredCount=0, clientToken="t1")
    again = create(ecs, simulated, "named", desiredCount=0, clientToken="t1")
    assert again["createdAt"] == first["createdAt"] and again["deployments"][0]["id"] == first["deployments"][0]["id"]
    text = "Creation of service was not idempotent."
    refused(INVALID, ecs.create_service, text, **asked(simulated, "named", desiredCount=1, clientToken="t1"))
    refused(INVALID, ecs.create_service, text, **asked(simulated, "other", desiredCount=0, clientToken="t1"))
    # AWS: the same again answers with the service that is there, whatever its token.
    same = create(ecs, simulated, "named", desiredCount=0)
    assert same["createdAt"] == first["createdAt"] and len(same["deployments"]) == 1
    refused(INVALID, ecs.create_service, text, **asked(simulated, "named", desiredCount=2))
    remove(ecs, "named")
    # A name is free once its service is INACTIVE; nothing of the old one shows.
    fresh = create(ecs, simulated, "named", desiredCount=0)
    assert fresh["createdAt"] > first["createdAt"] and len(fresh["deployments"]) == 1
    listed = ecs.list_service_deployments(cluster="main", service="named")["serviceDeployments"]
    assert [one["serviceDeploymentArn"] for one in listed] == [fresh["currentServiceDeployment"]]
    remove(ecs, "named")


def test_what_starts_a_deployment_and_what_does_not(ecs, simulated):
    create(ecs, simulated, "moves", desiredCount=1)
    stable(ecs, "moves")
    primary = lambda: look(ecs, "moves")["deployments"][0]["id"]  # noqa: E731
    before = primary()
    quiet = [{"desiredCount": 2}, {"healthCheckGracePeriodSeconds": 7}, {"propagateTags": "SERVICE"},
             {"enableECSManagedTags": True}, {"deploymentConfiguration": {"minimumHealthyPercent": 50}},
             {"taskDefinition": "web:1"}, {"networkConfiguration": network(simulated)},
             {"availabilityZoneRebalancing": "DISABLED"}, {"loadBalancers": []}, {"platformVersion": "LATEST"}]
    for members in quiet:
        ecs.update_service(cluster="main", service="moves", **members)
        assert primary() == before, members
    seen = look(ecs, "moves")
    assert (seen["desiredCount"], seen["healthCheckGracePeriodSeconds"], seen["propagateTags"]) == (2, 7, "SERVICE")
    assert seen["enableECSManagedTags"] and seen["availabilityZoneRebalancing"] == "DISABLED"
    private = {"awsvpcConfiguration": {**network(simulated)["awsvpcConfiguration"], "assignPublicIp": "DISABLED"}}
    for members in ({"forceNewDeployment": True}, {"taskDefinition": "web"}, {"platformVersion": "1.4.0"},
                    {"networkConfiguration": private}):
        stable(ecs, "moves")
        answer = ecs.update_service(cluster="main", service="moves", **members)["service"]
        assert primary() != before, members
        before = answer["deployments"][0]["id"]
        assert [one["status"] for one in answer["deployments"]] == ["PRIMARY", "ACTIVE"], members
        assert answer["currentServiceDeployment"] != seen["currentServiceDeployment"]
        seen = answer
    assert seen["taskDefinition"].endswith("/web:2") and seen["platformVersion"] == "1.4.0"
    stable(ecs, "moves")
    for members, text in [
        ({"deploymentController": {"type": "EXTERNAL"}}, "not supported"), ({"desiredCount": -1}, "desiredCount"),
        ({"taskDefinition": "bridge"}, "does not support launch_type FARGATE"),
        ({"capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]}, "capacityProviderStrategy"),
        ({"enableExecuteCommand": True}, "a valid taskRoleArn is not being used"),
    ]:
        refused(INVALID, ecs.update_service, text, cluster="main", service="moves", **members)
    refused("ClientException", ecs.update_service, "TaskDefinition not found.", cluster="main", service="moves",
            taskDefinition="web:99")
    remove(ecs, "moves")


def test_two_updates_at_once_leave_the_last(ecs, simulated):
    create(ecs, simulated, "twice", desiredCount=1)
    stable(ecs, "twice")
    first = ecs.update_service(cluster="main", service="twice", taskDefinition="web:2")["service"]
    last = ecs.update_service(cluster="main", service="twice", taskDefinition="web:1")["service"]
    old, new = first["currentServiceDeployment"], last["currentServiceDeployment"]
    found = ecs.describe_service_deployments(serviceDeploymentArns=[old, new])["serviceDeployments"]
    assert found[0]["status"] in ("STOPPED", "SUCCESSFUL") and found[0]["serviceDeploymentArn"] == old
    stable(ecs, "twice")
    assert look(ecs, "twice")["taskDefinition"].endswith("/web:1")
    remove(ecs, "twice")


def test_deleting(ecs, simulated):
    create(ecs, simulated, "gone", desiredCount=1)
    stable(ecs, "gone")
    refused(INVALID, ecs.delete_service, "The service cannot be stopped while it is scaled above 0.", cluster="main",
            service="gone")
    answer = ecs.delete_service(cluster="main", service="gone", force=True)["service"]
    assert (answer["status"], answer["desiredCount"]) == ("DRAINING", 0)
    assert "gone" not in " ".join(ecs.list_services(cluster="main")["serviceArns"])
    refused("ServiceNotActiveException", ecs.update_service, "Service was not ACTIVE.", cluster="main", service="gone",
            desiredCount=1)
    ecs.get_waiter("services_inactive").wait(cluster="main", services=["gone"],
                                             WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    seen = look(ecs, "gone")
    assert (seen["status"], seen["runningCount"], seen["pendingCount"]) == ("INACTIVE", 0, 0)
    # AWS: deleting it again changes nothing.
    assert ecs.delete_service(cluster="main", service="gone")["service"]["status"] == "INACTIVE"
    refused("ServiceNotFoundException", ecs.delete_service, "Service not found.", cluster="main", service="never")
    refused("ServiceNotFoundException", ecs.update_service, "Service not found.", cluster="main", service="never")
    refused("ServiceNotActiveException", ecs.update_service, "Service was not ACTIVE.", cluster="main", service="gone")


def test_describing_and_listing(ecs, simulated):
    ecs.create_cluster(clusterName="many")
    names = [f"s{number:02}" for number in range(12)]
    for name in names:
        create(ecs, simulated, name, cluster="many", desiredCount=0)
    refused(INVALID, ecs.describe_services, "services can have at most 10 items.", cluster="many", services=names[:11])
    refused(INVALID, ecs.describe_services, "Services cannot be empty.", cluster="many", services=[])
    found = ecs.describe_services(cluster="many", services=names[:10])["services"]
    assert [service["serviceName"] for service in found] == names[:10]
    other = "arn:aws:ecs:us-east-1:000000000000:service/main/x"
    refused(INVALID, ecs.describe_services, "Identifier is for cluster main. Your cluster is many", cluster="many",
            services=[other])
    # AWS: ten to a page where nothing is said.
    page = ecs.list_services(cluster="many")
    assert len(page["serviceArns"]) == 10
    rest = ecs.list_services(cluster="many", nextToken=page["nextToken"])
    assert len(rest["serviceArns"]) == 2 and "nextToken" not in rest
    arns = lambda **members: ecs.list_services(cluster="many", maxResults=100, **members)["serviceArns"]  # noqa: E731
    assert [arn.rsplit("/")[-1] for arn in arns()] == names
    assert len(arns(launchType="FARGATE", schedulingStrategy="REPLICA", resourceManagementType="CUSTOMER")) == 12
    assert arns(launchType="EC2") == arns(schedulingStrategy="DAEMON") == arns(resourceManagementType="ECS") == []
    refused(INVALID, ecs.list_services, "maxResults must be between 1 and 100.", cluster="many", maxResults=101)
    refused(INVALID, ecs.list_services, ENUM, cluster="many", launchType="X")
    refused(INVALID, ecs.list_services, "Invalid token.", cluster="many", nextToken="x")


def test_clusters_count_their_services(ecs, simulated):
    ecs.create_cluster(clusterName="counted")
    create(ecs, simulated, "one", cluster="counted", desiredCount=0)
    [cluster] = ecs.describe_clusters(clusters=["counted"], include=["STATISTICS"])["clusters"]
    statistics = {pair["name"]: pair["value"] for pair in cluster["statistics"]}
    assert cluster["activeServicesCount"] == 1
    assert (statistics["activeFargateServiceCount"], statistics["activeEC2ServiceCount"]) == ("1", "0")
    refused("ClusterContainsServicesException", ecs.delete_cluster,
            "The Cluster cannot be deleted while Services are active.", cluster="counted")
    ecs.delete_service(cluster="counted", service="one")
    ecs.get_waiter("services_inactive").wait(cluster="counted", services=["one"],
                                             WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    ecs.delete_cluster(cluster="counted")


def test_tags_of_services(ecs, simulated):
    arn = create(ecs, simulated, "tagged", desiredCount=0, tags=[{"key": "a", "value": "1"}])["serviceArn"]
    ecs.tag_resource(resourceArn=arn, tags=[{"key": "b", "value": "2"}])
    ecs.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert ecs.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "b", "value": "2"}]
    assert look(ecs, "tagged", include=["TAGS"])["tags"] == [{"key": "b", "value": "2"}]
    refused("ResourceNotFoundException", ecs.list_tags_for_resource, resourceArn=arn.replace("tagged", "nobody"))
    refused(INVALID, ecs.tag_resource, "Long arn format must be used for tagging operations",
            resourceArn=arn.replace("/main", ""), tags=[])
    remove(ecs, "tagged")


def test_deployments_and_revisions(ecs, simulated):
    made = create(ecs, simulated, "history", desiredCount=1)
    stable(ecs, "history")
    finished = lambda: [one for one in ecs.list_service_deployments(cluster="main", service="history")[  # noqa: E731
        "serviceDeployments"] if one["status"] == "SUCCESSFUL"]
    wait_for(finished, 30)
    # Clients send whole seconds.
    simulated.advance(10)
    moved = ecs.update_service(cluster="main", service="history", taskDefinition="web:2")["service"]
    stable(ecs, "history")
    wait_for(lambda: len(finished()) == 2, 30)
    newest, oldest = finished()
    assert newest["serviceDeploymentArn"] == moved["currentServiceDeployment"]
    assert oldest["serviceDeploymentArn"] == made["currentServiceDeployment"]
    assert newest["serviceArn"] == made["serviceArn"] and newest["clusterArn"] == made["clusterArn"]
    assert newest["createdAt"] <= newest["startedAt"] <= newest["finishedAt"]
    # A service's ARN says the cluster; filters and pages.
    listed = lambda **members: ecs.list_service_deployments(service=made["serviceArn"], **members)  # noqa: E731
    assert len(listed()["serviceDeployments"]) == 2
    assert listed(status=["IN_PROGRESS"])["serviceDeployments"] == []
    between = oldest["createdAt"] + datetime.timedelta(seconds=5)
    after = listed(createdAt={"after": between})["serviceDeployments"]
    assert [one["serviceDeploymentArn"] for one in after] == [newest["serviceDeploymentArn"]]
    before = listed(createdAt={"before": between})["serviceDeployments"]
    assert [one["serviceDeploymentArn"] for one in before] == [oldest["serviceDeploymentArn"]]
    page = listed(maxResults=1)
    assert page["serviceDeployments"][0]["serviceDeploymentArn"] == newest["serviceDeploymentArn"]
    rest = listed(maxResults=1, nextToken=page["nextToken"])
    assert rest["serviceDeployments"][0]["serviceDeploymentArn"] == oldest["serviceDeploymentArn"]
    assert "nextToken" not in rest
    refused("ServiceNotFoundException", ecs.list_service_deployments, cluster="main", service="nobody")
    refused(INVALID, ecs.list_service_deployments, ENUM, cluster="main", service="history", status=["ODD"])
    # One deployment in full.
    arns = [newest["serviceDeploymentArn"], newest["serviceDeploymentArn"] + "x"]
    answer = ecs.describe_service_deployments(serviceDeploymentArns=arns)
    assert answer["failures"] == [{"arn": arns[1], "reason": "MISSING"}]
    [whole] = answer["serviceDeployments"]
    assert whole["status"] == "SUCCESSFUL" and whole["targetServiceRevision"]["runningTaskCount"] == 1
    assert whole["targetServiceRevision"]["arn"] == newest["targetServiceRevisionArn"]
    assert [one["arn"] for one in whole["sourceServiceRevisions"]] == [oldest["targetServiceRevisionArn"]]
    assert whole["deploymentConfiguration"]["strategy"] == "ROLLING"
    assert whole["deploymentCircuitBreaker"] == {"status": "DISABLED", "failureCount": 0, "threshold": 3}
    assert whole["alarms"] == {"status": "DISABLED"}
    # And its revision.
    answer = ecs.describe_service_revisions(serviceRevisionArns=[newest["targetServiceRevisionArn"]])
    [revision] = answer["serviceRevisions"]
    assert revision["taskDefinition"].endswith("/web:2") and revision["launchType"] == "FARGATE"
    assert (revision["platformVersion"], revision["platformFamily"]) == ("1.4.0", "Linux")
    [image] = revision["containerImages"]
    assert (image["containerName"], image["image"]) == ("web", "busybox:2")
    assert revision["networkConfiguration"] == network(simulated)
    absent = newest["targetServiceRevisionArn"] + "0"
    answer = ecs.describe_service_revisions(serviceRevisionArns=[absent])
    assert answer["failures"] == [{"arn": absent, "reason": "MISSING"}]
    refused(INVALID, ecs.describe_service_revisions, "Invalid service revision ARN", serviceRevisionArns=["x"])
    refused(INVALID, ecs.describe_service_deployments, "cannot be empty", serviceDeploymentArns=[])
    refused(INVALID, ecs.describe_service_deployments, "at most 20", serviceDeploymentArns=[arns[0]] * 21)
    # What is over can be neither stopped nor continued.
    refused("ConflictException", ecs.stop_service_deployment, "cannot be stopped", serviceDeploymentArn=arns[0])
    refused("ServiceDeploymentNotFoundException", ecs.stop_service_deployment, serviceDeploymentArn=arns[1])
    refused("ServiceDeploymentNotFoundException", ecs.continue_service_deployment, serviceDeploymentArn=arns[1],
            hookId="h", action="CONTINUE")
    refused(INVALID, ecs.continue_service_deployment, "The lifecycle hook 'h' was not found.",
            serviceDeploymentArn=arns[0], hookId="h", action="CONTINUE")
    refused(INVALID, ecs.stop_service_deployment, ENUM, serviceDeploymentArn=arns[0], stopType="ODD")
    remove(ecs, "history")


def deployment(ecs, arn):
    return ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]


def state_of(ecs, arn, *states):
    return wait_for(lambda: (found := deployment(ecs, arn))["status"] in states and found, 30, f"{states} of {arn}")


def test_a_deployment_is_stopped(ecs, simulated):
    # Without an instance its task is never started.
    members = {"taskDefinition": "bridge", "launchType": "EC2", "networkConfiguration": None}
    first = create(ecs, simulated, "halt", **members)["currentServiceDeployment"]
    refused(INVALID, ecs.stop_service_deployment, "There is no service revision to roll back to.",
            serviceDeploymentArn=first, stopType="ROLLBACK")
    refused(INVALID, ecs.stop_service_deployment, ENUM, serviceDeploymentArn=first, stopType="ODD")
    answer = ecs.stop_service_deployment(serviceDeploymentArn=first, stopType="ABORT")
    assert answer["serviceDeploymentArn"] == first
    refused("ConflictException", ecs.stop_service_deployment, serviceDeploymentArn=first, stopType="ABORT")
    assert "stoppedAt" in state_of(ecs, first, "STOPPED")
    remove(ecs, "halt")


def test_a_deployment_is_rolled_back_by_hand(ecs, simulated):
    made = create(ecs, simulated, "back", desiredCount=1)
    stable(ecs, "back")
    state_of(ecs, made["currentServiceDeployment"], "SUCCESSFUL")
    before = look(ecs, "back")["deployments"][0]["id"]
    moved = ecs.update_service(cluster="main", service="back", taskDefinition="broken")["service"]
    arn = moved["currentServiceDeployment"]
    ecs.stop_service_deployment(serviceDeploymentArn=arn)
    over = state_of(ecs, arn, "ROLLBACK_SUCCESSFUL")
    assert over["rollback"]["serviceRevisionArn"] == made["currentServiceRevisions"][0]["arn"]
    stable(ecs, "back")
    [now] = look(ecs, "back")["deployments"]
    assert (now["id"], now["rolloutState"]) == (before, "COMPLETED")
    assert look(ecs, "back")["taskDefinition"].endswith("/web:1")
    remove(ecs, "back")


def test_a_pause_is_answered(ecs, simulated):
    hook = {"targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP"],
            "timeoutConfiguration": {"timeoutInMinutes": 60, "action": "CONTINUE"}}
    configuration = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0, "lifecycleHooks": [hook]}
    create(ecs, simulated, "pause", desiredCount=1)
    stable(ecs, "pause")
    for action, end in [("CONTINUE", "SUCCESSFUL"), ("ROLLBACK", "ROLLBACK_SUCCESSFUL")]:
        moved = ecs.update_service(cluster="main", service="pause", forceNewDeployment=True,
                                   deploymentConfiguration=configuration)["service"]
        arn = moved["currentServiceDeployment"]
        [run] = wait_for(lambda: deployment(ecs, arn).get("lifecycleHookDetails"), 30, "a pause")
        assert (run["status"], run["targetType"], run["timeoutAction"]) == ("AWAITING_ACTION", "PAUSE", "CONTINUE")
        assert deployment(ecs, arn)["lifecycleStage"] == "PRE_SCALE_UP" and "expiresAt" in run
        refused(INVALID, ecs.continue_service_deployment, "was not found", serviceDeploymentArn=arn, hookId="x")
        answer = ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId=run["hookId"], action=action)
        assert answer == {"serviceDeploymentArn": arn, "ResponseMetadata": answer["ResponseMetadata"]}
        refused(INVALID, ecs.continue_service_deployment, "does not await an action.", serviceDeploymentArn=arn,
                hookId=run["hookId"])
        state_of(ecs, arn, end)
        stable(ecs, "pause")
    remove(ecs, "pause")


def test_definitions_in_use(ecs, simulated):
    arn = define(simulated, "used", [{"name": "web", "image": "busybox"}])
    create(ecs, simulated, "uses", taskDefinition="used", desiredCount=0)
    ecs.deregister_task_definition(taskDefinition=arn)
    # AWS: what runs goes on, and scales; nothing new begins.
    ecs.update_service(cluster="main", service="uses", desiredCount=1)
    stable(ecs, "uses")
    refused("ClientException", ecs.create_service, "TaskDefinition is inactive",
            **asked(simulated, "new", taskDefinition=arn))
    refused("ClientException", ecs.update_service, "TaskDefinition is inactive", cluster="main", service="uses",
            taskDefinition=arn)
    remove(ecs, "uses")


@pytest.fixture(scope="module")
def balanced(ecs, simulated):
    """Two groups behind one listener, and one that hangs nowhere."""
    elb = simulated.client("elbv2")
    balancer = make_balancer(simulated, "services")["LoadBalancerArn"]
    blue, green = (make_group(simulated, name, TargetType="ip") for name in ("sblue", "sgreen"))
    loose, instance = make_group(simulated, "sloose", TargetType="ip"), make_group(simulated, "sinst", TargetType="instance")
    actions = [{"Type": "forward", "ForwardConfig": {"TargetGroups": [
        {"TargetGroupArn": blue, "Weight": 1}, {"TargetGroupArn": green, "Weight": 0}]}}]
    listener = elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=8090, DefaultActions=actions)
    listener = listener["Listeners"][0]["ListenerArn"]
    [rule] = elb.describe_rules(ListenerArn=listener)["Rules"]
    only = elb.create_rule(ListenerArn=listener, Priority=1, Actions=[{"Type": "forward", "TargetGroupArn": blue}],
                           Conditions=[{"Field": "path-pattern", "Values": ["/only"]}])["Rules"][0]["RuleArn"]
    hanging = elb.create_rule(ListenerArn=listener, Priority=2, Actions=[{"Type": "forward", "TargetGroupArn": instance}],
                              Conditions=[{"Field": "path-pattern", "Values": ["/inst"]}])["Rules"][0]["RuleArn"]
    role = simulated.client("iam").create_role(RoleName="shifter", AssumeRolePolicyDocument=ECS_TRUST)["Role"]["Arn"]
    other = simulated.client("iam").create_role(RoleName="nobodys", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    return {"blue": blue, "green": green, "loose": loose, "instance": instance, "rule": rule["RuleArn"], "only": only,
            "hanging": hanging, "role": role, "other": other}


def target(balanced, group="blue", **members):
    return {"targetGroupArn": balanced.get(group, group), "containerName": "web", "containerPort": 80, **members}


def test_load_balancers(ecs, simulated, balanced):
    missing = balanced["blue"].replace("sblue", "snone")
    for groups, text in [
        ([target(balanced, containerName="db")], "The container db does not exist in the task definition."),
        ([target(balanced, containerPort=81)], "The container web did not have a container port 81 defined."),
        ([target(balanced, missing)], "Unable to assume role and validate the specified targetGroupArn."),
        ([target(balanced, "loose")],
         f"The target group with targetGroupArn {balanced['loose']} does not have an associated load balancer."),
        ([target(balanced, "instance")], "has target type instance, which is incompatible with the awsvpc network mode"),
        ([target(balanced), target(balanced)], "is specified more than once."),
        ([{"targetGroupArn": balanced["blue"], "containerPort": 80}], "containerName can not be blank."),
        ([target(balanced)] * 6, "at most 5 target groups"),
    ]:
        refused(INVALID, ecs.create_service, text, **asked(simulated, "lb", loadBalancers=groups))
    bridge = asked(simulated, "lb", loadBalancers=[target(balanced)], taskDefinition="bridge", launchType="EC2",
                   networkConfiguration=None)
    refused(INVALID, ecs.create_service, "has target type ip, which is incompatible with the bridge network mode", **bridge)
    made = create(ecs, simulated, "lb", desiredCount=0, loadBalancers=[target(balanced)], healthCheckGracePeriodSeconds=9)
    assert made["loadBalancers"] == [target(balanced)] and made["healthCheckGracePeriodSeconds"] == 9
    before = made["deployments"][0]["id"]
    both = [target(balanced), target(balanced, "green")]
    more = ecs.update_service(cluster="main", service="lb", loadBalancers=both)["service"]
    assert more["loadBalancers"] == both and more["deployments"][0]["id"] != before
    none = ecs.update_service(cluster="main", service="lb", loadBalancers=[])["service"]
    assert none["loadBalancers"] == [] and none["deployments"][0]["id"] != more["deployments"][0]["id"]
    remove(ecs, "lb")


def test_advanced_configuration(ecs, simulated, balanced):
    advanced = {"alternateTargetGroupArn": balanced["green"], "productionListenerRule": balanced["rule"],
                "roleArn": balanced["role"]}
    for change, text in [
        ({"alternateTargetGroupArn": None}, "alternateTargetGroupArn can not be blank."),
        ({"productionListenerRule": None}, "productionListenerRule can not be blank."),
        ({"roleArn": None}, "roleArn can not be blank."),
        ({"alternateTargetGroupArn": balanced["blue"]}, "is specified more than once."),
        ({"alternateTargetGroupArn": balanced["loose"]}, "does not have an associated load balancer."),
        ({"productionListenerRule": balanced["rule"] + "0"}, "does not exist."),
        ({"productionListenerRule": balanced["only"]}, "does not forward to the target group"),
        ({"testListenerRule": balanced["hanging"]}, "does not forward to the target group"),
        ({"roleArn": balanced["other"]}, "ECS was unable to assume the role"),
        ({"roleArn": "arn:aws:iam::000000000000:role/none"}, "ECS was unable to assume the role"),
    ]:
        changed = {key: value for key, value in {**advanced, **change}.items() if value is not None}
        request = asked(simulated, "bg", loadBalancers=[target(balanced, advancedConfiguration=changed)],
                        deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0})
        refused(INVALID, ecs.create_service, text, **request)
    # Some clients send an empty text for a rule that is not there.
    empty = create(ecs, simulated, "bg-empty", desiredCount=0, deploymentConfiguration={"strategy": "BLUE_GREEN"},
                   loadBalancers=[target(balanced, advancedConfiguration={**advanced, "testListenerRule": ""})])
    assert empty["loadBalancers"] == [target(balanced, advancedConfiguration=advanced)]
    remove(ecs, "bg-empty")
    for strategy in ("BLUE_GREEN", "LINEAR", "CANARY"):
        refused(INVALID, ecs.create_service, f"advancedConfiguration is required for every load balancer with the {strategy}",
                **asked(simulated, "bg", loadBalancers=[target(balanced)], deploymentConfiguration={"strategy": strategy}))
    hook = {"targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP", "POST_SCALE_UP"],
            "timeoutConfiguration": {"timeoutInMinutes": 1440, "action": "ROLLBACK"}}
    groups = [target(balanced, advancedConfiguration={**advanced, "testListenerRule": balanced["only"]})]
    for strategy, extra in [
        ("LINEAR", {"linearConfiguration": {"stepPercent": 10.0, "stepBakeTimeInMinutes": 6}}),
        ("CANARY", {"canaryConfiguration": {"canaryPercent": 5.0, "canaryBakeTimeInMinutes": 10}}),
        ("BLUE_GREEN", {}),
    ]:
        made = create(ecs, simulated, f"bg-{strategy}", desiredCount=0, loadBalancers=groups, deploymentConfiguration={
            "strategy": strategy, "bakeTimeInMinutes": 3, "lifecycleHooks": [hook]})
        assert made["loadBalancers"] == groups
        assert made["deploymentConfiguration"] == {
            "strategy": strategy, "bakeTimeInMinutes": 3, "lifecycleHooks": [hook], "maximumPercent": 200,
            "minimumHealthyPercent": 100, "deploymentCircuitBreaker": {"enable": False, "rollback": False}, **extra}
        [revision] = ecs.describe_service_revisions(
            serviceRevisionArns=[made["currentServiceRevisions"][0]["arn"]])["serviceRevisions"]
        assert revision["resolvedConfiguration"]["loadBalancers"] == [
            {"targetGroupArn": balanced["blue"], "productionListenerRule": balanced["rule"]}]
        remove(ecs, f"bg-{strategy}")


def test_the_cli_waits(ecs, simulated):
    create(ecs, simulated, "cli", desiredCount=1)
    simulated.aws("ecs", "wait", "services-stable", "--cluster", "main", "--services", "cli")
    seen = simulated.aws("ecs", "describe-services", "--cluster", "main", "--services", "cli")["services"][0]
    assert seen["runningCount"] == 1
    simulated.aws("ecs", "delete-service", "--cluster", "main", "--service", "cli", "--force")
    simulated.aws("ecs", "wait", "services-inactive", "--cluster", "main", "--services", "cli")
