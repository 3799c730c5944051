#!/usr/bin/env python3
"""Scenario 22, simulated: a version that does not start is rolled back; blue/green with a bake time, where somebody looks
first; nobody looks; a canary; step by step.

Needs boto3, `boxship up --runtime simulated`, and `eval "$(boxship env)"`.
"""

import json

from simulated import Front, create, delete, ecs, events, iam, is_over, newest, passes, register, service, update

front = Front("shift")
trust = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "ecs.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
role = iam.create_role(RoleName="ecsInfrastructureRole", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
iam.attach_role_policy(
    RoleName="ecsInfrastructureRole", PolicyArn="arn:aws:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers")

create(front, register(1), 4, deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}})
passes(is_over)

print("== a version that ends at once")
update(taskDefinition=register(2, **{"boxship.simulate": "exit=1"}))
passes(is_over)
over = newest()
print(over["status"], over["deploymentCircuitBreaker"]["status"], service()["taskDefinition"].rsplit(":", 1)[1])


def waiting():
    """The hook that waits for somebody."""
    return next((hook["hookId"] for hook in newest().get("lifecycleHookDetails", []) if hook["status"] == "AWAITING_ACTION"), None)


def shift(version, look=None, **settings):
    """Updates by a strategy, and tells how long it took and how the weights moved; `look` is what somebody says where it waits."""
    update(taskDefinition=register(version), deploymentConfiguration=settings, loadBalancers=front.balancing(
        alternateTargetGroupArn=front.green, productionListenerRule=front.production, testListenerRule=front.test, roleArn=role))
    moves = [front.weights()]

    def follows():
        if front.weights() != moves[-1]:
            moves.append(front.weights())
        hook = waiting()
        if hook and look:
            print(f"somebody looks: production {front.weights()}, test {front.weights(front.test)}")
            ecs.continue_service_deployment(serviceDeploymentArn=newest()["serviceDeploymentArn"], hookId=hook, action=look)
        return is_over()
    passes(follows, 60)
    over = newest()
    # By the server's clock, which goes on by itself, too.
    took = over["finishedAt"] - over["createdAt"]
    print(f"{over['status']} after {took.seconds // 60} minutes, weights", " ".join(f"{blue}/{green}" for blue, green in moves))


pause = {"targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"],
         "timeoutConfiguration": {"timeoutInMinutes": 30, "action": "ROLLBACK"}}
print("== blue/green: both stay for ten minutes")
shift(3, look="CONTINUE", strategy="BLUE_GREEN", bakeTimeInMinutes=10, lifecycleHooks=[pause])
print("== nobody looks for half an hour")
shift(4, strategy="BLUE_GREEN", bakeTimeInMinutes=10, lifecycleHooks=[pause])
print("== a canary")
shift(5, strategy="CANARY", bakeTimeInMinutes=5, lifecycleHooks=[],
      canaryConfiguration={"canaryPercent": 10, "canaryBakeTimeInMinutes": 10})
print("== step by step")
shift(6, strategy="LINEAR", bakeTimeInMinutes=5, lifecycleHooks=[],
      linearConfiguration={"stepPercent": 25, "stepBakeTimeInMinutes": 4})
print("== what the service says")
print("\n".join(events()))
delete(front)
