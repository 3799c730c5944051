"""boxship deploy, destroy, services, events, scale, rollback and restart, where nothing runs."""

import json
import re
import signal
import subprocess

import pytest

from conftest import BOXSHIP, HELLO, Server, network, run_task, define, wait_for


@pytest.fixture
def server():
    server = Server("simulated").start()
    yield server
    server.down()


def everything(server):
    """All that an account has and deploy could make."""
    ecs, elb, ec2 = server.client("ecs"), server.client("elbv2"), server.client("ec2")
    clusters = [c["clusterName"] for c in ecs.describe_clusters(clusters=ecs.list_clusters()["clusterArns"])["clusters"] if c["status"] == "ACTIVE"]
    return {
        "clusters": clusters,
        "definitions": ecs.list_task_definitions(status="ACTIVE")["taskDefinitionArns"],
        "old definitions": ecs.list_task_definitions(status="INACTIVE")["taskDefinitionArns"],
        "services": [arn for cluster in clusters for arn in ecs.list_services(cluster=cluster)["serviceArns"]],
        "tasks": [arn for cluster in clusters for arn in ecs.list_tasks(cluster=cluster)["taskArns"]],
        "balancers": [one["LoadBalancerName"] for one in elb.describe_load_balancers()["LoadBalancers"]],
        "groups": [one["TargetGroupName"] for one in elb.describe_target_groups()["TargetGroups"]],
        "security groups": sorted(one["GroupName"] for one in ec2.describe_security_groups()["SecurityGroups"]),
        "interfaces": [one["NetworkInterfaceId"] for one in ec2.describe_network_interfaces()["NetworkInterfaces"]],
        "roles": [one["RoleName"] for one in server.client("iam").list_roles()["Roles"]],
        "logs": [one["logGroupName"] for one in server.client("logs").describe_log_groups()["logGroups"]],
    }


def service(server, name="web", cluster="default"):
    return server.client("ecs").describe_services(cluster=cluster, services=[name], include=["TAGS"])["services"][0]


def container(server, name="web"):
    definition = service(server, name)["taskDefinition"]
    return server.client("ecs").describe_task_definition(taskDefinition=definition)["taskDefinition"]["containerDefinitions"][0]


def fails(server, *arguments):
    done = server.run(*arguments, check=False)
    assert done.returncode not in (0, 101), done.stdout
    assert "panicked" not in done.stderr
    return done.stderr


def test_first_next_and_no_more(server):
    before = everything(server)
    done = server.run("deploy", "web:1", "--count", "2", "--port", "8080", "--env", "A=b=c", "--health-path", "/well", "--drain", "7")
    assert "has reached a steady state" in done.stderr, done.stderr
    assert "SIMULATED" in done.stdout
    first = service(server)
    assert (first["desiredCount"], first["runningCount"], first["launchType"]) == (2, 2, "FARGATE")
    breaker = first["deploymentConfiguration"]["deploymentCircuitBreaker"]
    assert breaker["enable"] and breaker["rollback"]
    assert first["deploymentConfiguration"]["strategy"] == "ROLLING"
    [group] = server.client("elbv2").describe_target_groups(Names=["web"])["TargetGroups"]
    assert (group["Port"], group["HealthCheckPath"]) == (8080, "/well")
    attributes = server.client("elbv2").describe_target_group_attributes(TargetGroupArn=group["TargetGroupArn"])["Attributes"]
    assert {"Key": "deregistration_delay.timeout_seconds", "Value": "7"} in attributes
    health = server.client("elbv2").describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
    assert [one["TargetHealth"]["State"] for one in health] == ["healthy", "healthy"]

    # What is not said stays; and nothing comes that would have to be drained for.
    server.run("deploy", "web:2", "--env", "D=e", "--drain", "0")
    second = service(server)
    assert second["taskDefinition"].endswith("web:2") and second["desiredCount"] == 2
    assert container(server)["image"] == "web:2"
    assert {pair["name"]: pair["value"] for pair in container(server)["environment"]} == {"A": "b=c", "D": "e"}
    assert container(server)["portMappings"][0]["containerPort"] == 8080
    assert len(server.client("ecs").list_service_deployments(service="web")["serviceDeployments"]) == 2

    # An image elsewhere may be another one under the same name: it is rolled out; the definition stays.
    server.run("deploy", "web:2")
    assert service(server)["taskDefinition"].endswith("web:2")
    assert len(server.client("ecs").list_service_deployments(service="web")["serviceDeployments"]) == 3

    asked = server.run("destroy", "web", check=False)
    assert asked.returncode == 1 and "--yes" in asked.stderr
    assert service(server)["status"] == "ACTIVE", "nobody has said yes"
    removed = server.run("destroy", "web", "--yes")
    assert removed.stdout == "web\n"
    after = everything(server)
    # Definitions that tasks of the last hour were of are on their way out.
    assert before == after


def test_reading(server):
    server.run("deploy", "web:1", "--count", "3")
    server.run("deploy", "api:1", "--name", "api", "--no-balancer")
    [api, web] = json.loads(server.run("services", "--json").stdout)
    assert (web["service"], web["desired"], web["running"], web["pending"]) == ("web", 3, 3, 0)
    assert web["deployments"][0]["rolloutState"] == "COMPLETED"
    assert api["url"] is None
    table = server.run("services").stdout.splitlines()
    assert re.split(r"\s{2,}", table[0])[:4] == ["SERVICE", "CLUSTER", "DEFINITION", "STATUS"]
    assert re.split(r"\s{2,}", table[2])[:7] == ["web", "default", "web:1", "ACTIVE", "3 of 3", "0", "COMPLETED"]
    assert "no service wep" in fails(server, "services", "wep")

    story = server.run("events", "web").stdout.splitlines()
    texts = [line.split(" ", 1)[1] for line in story]
    told = [event["message"] for event in reversed(service(server)["events"])]
    short = lambda text: re.sub(r"arn:[^ ]*:targetgroup/(\w+)/\w+", r"\1", re.sub(r"\(task (\w{8})\w+", r"(task \1", text))
    assert texts == [short(text) for text in told]
    assert texts[0].startswith("(service web) has started 3 tasks") and "steady state" in texts[-1]
    lines = [json.loads(line) for line in server.run("events", "--json").stdout.splitlines()]
    assert [line["message"] for line in lines if line["service"] == "web"] == told
    assert {line["service"] for line in lines} == {"api", "web"}
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)

    define(server, "alone", [{"image": "x"}])
    run_task(server, "alone")
    tasks = json.loads(server.run("ps", "--json").stdout)
    assert sorted(str(task["service"]) for task in tasks) == ["None", "api", "web", "web", "web"]
    assert len(json.loads(server.run("ps", "--json", "--service", "web").stdout)) == 3
    page = server.get("/")
    assert "<h2>Services</h2>" in page and "3 of 3" in page and "has reached a steady state" in page


def test_services_end_with_the_server_and_come_back(server):
    """`down` neither starts tasks again nor waits for balancers, and is nobody's failure."""
    server.run("deploy", "web:1", "--count", "3", "--drain", "300")
    old = set(server.client("ecs").list_tasks(serviceName="web")["taskArns"])
    server.run("down")
    server.process.wait(timeout=30)
    server.start()
    wait_for(lambda: service(server)["runningCount"] == 3, 20, "the service's return")
    assert not old & set(server.client("ecs").list_tasks(serviceName="web")["taskArns"])
    [deployment] = service(server)["deployments"]
    assert deployment["failedTasks"] == 0 and deployment["rolloutState"] == "COMPLETED"


def test_events_are_followed(server):
    server.run("deploy", "web:1")
    following = subprocess.Popen([BOXSHIP, "--data-dir", server.data_dir, "events", "web", "--follow"], stdout=subprocess.PIPE, text=True)
    server.run("scale", "web", "2")
    lines = []
    while sum("steady state" in line for line in lines) < 2:
        lines.append(following.stdout.readline())
        assert lines[-1], lines
    following.send_signal(signal.SIGINT)
    assert following.wait(timeout=10) == 0
    following.stdout.close()
    assert len(lines) == len(set(lines))


def test_scale_restart_and_back(server):
    server.run("deploy", "web:1", "--count", "1", "--drain", "0")
    scaled = server.run("scale", "web", "4")
    assert scaled.stdout == "web 4\n" and "has started 3 tasks" in scaled.stderr
    assert service(server)["runningCount"] == 4
    assert "nothing to go back to" in fails(server, "rollback", "web")
    old = set(server.client("ecs").list_tasks(serviceName="web")["taskArns"])
    server.run("restart", "web")
    new = set(server.client("ecs").list_tasks(serviceName="web")["taskArns"])
    assert len(new) == 4 and not new & old
    assert "same task definition" in fails(server, "rollback", "web")
    server.run("deploy", "web:2")
    assert server.run("rollback", "web").stdout == "web web:1\n"
    assert container(server)["image"] == "web:1"
    server.run("scale", "web", "0")
    assert service(server)["runningCount"] == 0
    assert "no service" in fails(server, "scale", "other", "1")
    assert "invalid value" in fails(server, "scale", "web", "many")


def test_a_canary_is_left_alone_and_undone(server):
    server.run("deploy", "web:1", "--count", "2", "--strategy", "canary", "--bake", "5", "--drain", "0")
    configuration = service(server)["deploymentConfiguration"]
    assert configuration["strategy"] == "CANARY"
    assert configuration["canaryConfiguration"] == {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 5}
    process = subprocess.Popen([BOXSHIP, "--data-dir", server.data_dir, "deploy", "web:2"], stderr=subprocess.PIPE, text=True)
    said = []
    while not any("10% of traffic" in line for line in said):
        said.append(process.stderr.readline())
        assert said[-1], said
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(timeout=10) == 130
    assert "goes on without this command" in rest and "boxship rollback web" in rest
    process.stderr.close()
    ecs = server.client("ecs")
    assert ecs.list_service_deployments(service="web", status=["IN_PROGRESS"])["serviceDeployments"]
    server.run("rollback", "web")
    newest = ecs.list_service_deployments(service="web")["serviceDeployments"][0]
    assert newest["status"] == "ROLLBACK_SUCCESSFUL"
    assert container(server)["image"] == "web:1"
    assert "stays" in fails(server, "deploy", "web:1", "--internal")
    assert "two target groups" in fails(server, "deploy", "web:1", "--strategy", "rolling")
    server.run("destroy", "web", "--yes")
    assert everything(server)["groups"] == [] and everything(server)["balancers"] == []


def test_somebodys_word_is_waited_for(server):
    """Hooks and percents that were set through the API stay, and a deployment that waits says how it goes on."""
    server.run("deploy", "web:1", "--strategy", "blue-green", "--bake", "0", "--drain", "0")
    ecs = server.client("ecs")
    hook = {"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"], "timeoutConfiguration": {"timeoutInMinutes": 60, "action": "ROLLBACK"}}
    configuration = service(server)["deploymentConfiguration"]
    ecs.update_service(service="web", deploymentConfiguration={**configuration, "maximumPercent": 150, "lifecycleHooks": [hook]})
    process = subprocess.Popen([BOXSHIP, "--data-dir", server.data_dir, "deploy", "web:2"], stderr=subprocess.PIPE, text=True)
    said = []
    while not any("waits for somebody" in line for line in said):
        said.append(process.stderr.readline())
        assert said[-1], said
    identity = re.search(r"--hook-id (\S+)", said[-1])[1]
    [under_way] = ecs.list_service_deployments(service="web", status=["IN_PROGRESS"])["serviceDeployments"]
    ecs.continue_service_deployment(serviceDeploymentArn=under_way["serviceDeploymentArn"], hookId=identity, action="CONTINUE")
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 0, rest
    assert service(server)["deploymentConfiguration"]["maximumPercent"] == 150
    assert container(server)["image"] == "web:2"


def test_a_rolled_back_deployment_is_a_failure(server):
    server.run("deploy", "web:1", "--strategy", "blue-green", "--bake", "5")
    process = subprocess.Popen([BOXSHIP, "--data-dir", server.data_dir, "deploy", "web:2"], stderr=subprocess.PIPE, text=True)
    ecs = server.client("ecs")
    under_way = wait_for(lambda: ecs.list_service_deployments(service="web", status=["IN_PROGRESS"])["serviceDeployments"], 20)
    ecs.stop_service_deployment(serviceDeploymentArn=under_way[0]["serviceDeploymentArn"], stopType="ROLLBACK")
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "the deployment of web ended as ROLLBACK_SUCCESSFUL" in said, said


def test_what_is_not_understood_is_refused(server):
    before = everything(server)
    for arguments, why in [
        (("web:1", "--name", "a_b"), "not one that a load balancer can have"),
        ((f"{server.registry}/missing:1",), "push it first"),
        (("web:1", "--bake", "1"), "--bake goes with"),
        (("web:1", "--strategy", "blue-green", "--step", "5"), "--step goes with"),
        (("web:1", "--strategy", "canary", "--no-balancer"), "does not go with --no-balancer"),
        (("web:1", "--env", "NAME"), "expected NAME=VALUE"),
        (("web:1", "--unset", "NAME"), "no such variable"),
        (("web:1", "--cpu", "3"), "cpu"),
        (("web:1", "--count=-1"), "invalid value"),
        (("web:1", "--internal", "--public"), "cannot be used with"),
        (("web:1", "--yes"), "--delete"),
    ]:
        said = fails(server, "deploy", *arguments)
        assert why.lower() in said.lower(), said
    # What is refused has made nothing.
    assert everything(server) == before
    assert "nothing of default/web" in fails(server, "destroy", "web", "--yes")


def test_sleep_is_a_tag_of_the_service(server):
    tags = lambda: {tag["key"]: tag["value"] for tag in service(server)["tags"]}
    server.run("deploy", "web:1", "--scale-to-zero", "3600")
    assert tags() == {"boxship:deploy": "default/web", "boxship:scale-to-zero": "3600"}
    server.run("deploy", "web:1", "--scale-to-zero", "60", "--drain", "0")
    assert tags()["boxship:scale-to-zero"] == "60"
    server.run("deploy", "web:1", "--scale-to-zero", "0")
    assert tags() == {"boxship:deploy": "default/web"}
    assert "cannot be used with" in fails(server, "deploy", "job:1", "--no-balancer", "--scale-to-zero", "60")


def test_what_is_somebody_elses_stays(server):
    elb = server.client("elbv2")
    subnets = [one["SubnetId"] for one in server.client("ec2").describe_subnets()["Subnets"]]
    elb.create_load_balancer(Name="web", Subnets=subnets)
    assert "a load balancer web that `boxship deploy` did not make" in fails(server, "deploy", "web:1")
    definition = define(server, "mine", [{"image": "x"}])
    server.client("ecs").create_service(serviceName="mine", taskDefinition=definition, desiredCount=1, launchType="FARGATE",
                                        networkConfiguration=network(server))
    assert "a service mine that `boxship deploy` did not make" in fails(server, "deploy", "x", "--name", "mine")
    fails(server, "destroy", "mine", "--yes")
    assert service(server, "mine")["status"] == "ACTIVE"
    # What was made before the refusal goes; the balancer does not.
    server.run("destroy", "web", "--yes")
    assert [one["LoadBalancerName"] for one in elb.describe_load_balancers()["LoadBalancers"]] == ["web"]
    assert everything(server)["services"]


def test_clusters_and_tasks_without_a_balancer(server):
    before = everything(server)
    server.run("deploy", "job:1", "--cluster", "other", "--no-balancer", "--count", "2", "--", "serve", "--fast")
    one = service(server, "job", "other")
    assert one["loadBalancers"] == [] and one["runningCount"] == 2
    definition = server.client("ecs").describe_task_definition(taskDefinition="job")["taskDefinition"]
    assert definition["containerDefinitions"][0]["command"] == ["serve", "--fast"]
    assert "has no load balancer" in fails(server, "deploy", "job:1", "--cluster", "other", "--health-path", "/")
    assert server.run("events", "job").stdout
    server.run("destroy", "job", "--cluster", "other", "--yes")
    assert everything(server) == before


def test_the_main_job_without_containers(server):
    """It tells the same story, and says what is missing."""
    done = server.run("demo", "--binary", HELLO)
    assert "updated live" in done.stderr and "SIMULATED: no container was started" in done.stdout
    assert "(service hello) has reached a steady state." in done.stdout
    assert service(server, "hello")["runningCount"] == 3
