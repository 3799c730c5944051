"""The first task of a VPC may go at any moment of its preparation: the next one finds the network as it should be."""

import time

from conftest import TRUST, needs_root, wait_for

pytestmark = needs_root

ACCOUNTS = 24


def test_a_first_task_that_goes_early(box):
    """Stopped, or without its image, while what serves its VPC is being opened, sooner or later. Each account has a VPC.

    Before it was mended, every other run met the moment.
    """
    goods = []
    for number in range(ACCOUNTS):
        account = f"{number + 1:012}"
        ecs = box.client("ecs", account=account)
        ecs.create_cluster(clusterName="default")
        role = box.client("iam", account=account).create_role(RoleName="execution", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        subnet = box.client("ec2", account=account).describe_subnets()["Subnets"][0]["SubnetId"]

        def start(image):
            ecs.register_task_definition(
                family="first", requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu="256", memory="512", executionRoleArn=role,
                containerDefinitions=[{"name": "c0", "image": image, "entryPoint": ["/bin/sh", "-c"], "command": ["exit 3"]}])
            answer = ecs.run_task(taskDefinition="first", launchType="FARGATE", networkConfiguration={
                "awsvpcConfiguration": {"subnets": [subnet], "assignPublicIp": "ENABLED"}})
            assert not answer["failures"], answer["failures"]
            return answer["tasks"][0]["taskArn"]

        if number % 2:
            start(f"localhost:{box.port}/missing:1")
        else:
            first = start("toolbox")
            time.sleep(number / 1000)
            ecs.stop_task(task=first)
        goods.append((ecs, start("toolbox")))
    for ecs, arn in goods:
        def ended():
            task = ecs.describe_tasks(tasks=[arn])["tasks"][0]
            return task if task["lastStatus"] == "STOPPED" else None
        task = wait_for(ended, 60, f"the end of {arn}")
        assert task["containers"][0].get("exitCode") == 3, task["stoppedReason"]
