"""Order, health and restarts of simulated containers, while the clock is moved."""

from conftest import describe, network


def run(server, family, containers):
    ecs = server.client("ecs")
    ecs.create_cluster(clusterName="default")
    for container in containers:
        container.update(image="any", dockerLabels={"boxship.simulate": container.pop("simulate", "")})
    ecs.register_task_definition(
        family=family, requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu="256", memory="512",
        containerDefinitions=containers)
    answer = ecs.run_task(taskDefinition=family, launchType="FARGATE", networkConfiguration=network(server))
    arn = answer["tasks"][0]["taskArn"]
    server.advance(0)
    return arn


def states(server, arn):
    task = describe(server, arn)
    return task["lastStatus"], {c["name"]: c["lastStatus"] for c in task["containers"]}


def test_a_chain(simulated):
    arn = run(simulated, "chain", [
        {"name": "web", "essential": True, "dependsOn": [
            {"containerName": "setup", "condition": "SUCCESS"}, {"containerName": "db", "condition": "HEALTHY"}]},
        {"name": "setup", "essential": False, "simulate": "exit=0 after=60s"},
        {"name": "db", "essential": True, "healthCheck": {"command": ["CMD", "true"], "interval": 30}}])
    assert states(simulated, arn) == ("PENDING", {"web": "PENDING", "setup": "RUNNING", "db": "RUNNING"})
    simulated.advance(45)
    assert states(simulated, arn) == ("PENDING", {"web": "PENDING", "setup": "RUNNING", "db": "RUNNING"})
    simulated.advance(20)
    assert states(simulated, arn) == ("RUNNING", {"web": "RUNNING", "setup": "STOPPED", "db": "RUNNING"})


def test_health_turns(simulated):
    """Three failures in a row, thirty seconds apart, are what it takes."""
    arn = run(simulated, "turns", [{
        "name": "web", "essential": True, "simulate": "unhealthy after=100s",
        "healthCheck": {"command": ["CMD", "true"], "interval": 30, "retries": 3}}])
    seen = []
    for _ in range(7):
        seen.append(describe(simulated, arn)["healthStatus"])
        simulated.advance(30)
    assert seen == ["UNKNOWN", *["HEALTHY"] * 5, "UNHEALTHY"]
    assert describe(simulated, arn)["lastStatus"] == "RUNNING"


def test_restarts(simulated):
    arn = run(simulated, "restarts", [{
        "name": "web", "essential": True, "simulate": "exit=3 after=60s",
        "restartPolicy": {"enabled": True, "restartAttemptPeriod": 60}}])
    simulated.advance(600)
    assert states(simulated, arn)[0] == "RUNNING"
    simulated.client("ecs").stop_task(task=arn)
    simulated.advance(1)
    assert states(simulated, arn)[0] == "STOPPED"


def test_restarts_end_where_a_run_is_too_short(simulated):
    arn = run(simulated, "short", [{
        "name": "web", "essential": True, "simulate": "exit=3 after=59s",
        "restartPolicy": {"enabled": True, "restartAttemptPeriod": 60}}])
    simulated.advance(60)
    task = describe(simulated, arn)
    assert (task["stopCode"], task["containers"][0]["exitCode"]) == ("EssentialContainerExited", 3)


def test_an_ignored_code_is_an_exit(simulated):
    arn = run(simulated, "ignored", [{
        "name": "web", "essential": True, "simulate": "exit=0 after=10m",
        "restartPolicy": {"enabled": True, "ignoredExitCodes": [0], "restartAttemptPeriod": 60}}])
    simulated.advance(601)
    assert describe(simulated, arn)["containers"][0]["exitCode"] == 0


def test_a_start_timeout(simulated):
    arn = run(simulated, "late", [
        {"name": "web", "essential": True, "dependsOn": [{"containerName": "db", "condition": "HEALTHY"}]},
        {"name": "db", "essential": True, "simulate": "unhealthy", "startTimeout": 100,
         "healthCheck": {"command": ["CMD", "true"], "interval": 5}}])
    simulated.advance(95)
    assert states(simulated, arn)[0] == "PENDING"
    assert describe(simulated, arn)["healthStatus"] == "UNHEALTHY"
    simulated.advance(10)
    task = describe(simulated, arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("TaskFailedToStart", "Task failed to start")
    assert "startedAt" not in task
    reasons = [c.get("reason", "") for c in task["containers"]]
    assert any(reason.endswith("dependency [db] for target [web] has timed out.") for reason in reasons), reasons


def test_a_day_passes_at_once(simulated):
    """Checks that are known to go well are not made one by one."""
    arn = run(simulated, "day", [{
        "name": "web", "essential": True, "healthCheck": {"command": ["CMD", "true"], "interval": 5}}])
    simulated.advance(86_400)
    assert describe(simulated, arn)["healthStatus"] == "HEALTHY"
