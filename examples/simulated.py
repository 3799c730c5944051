"""What the simulated scenarios of services share: plain boto3, and the one call that is Boxship's own, which moves the clock."""

import json
import os
import re
import urllib.request

import boto3

CLUSTER = "DemoCluster"
ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
ecs, ec2, elb, iam = (boto3.client(name) for name in ("ecs", "ec2", "elbv2", "iam"))


def advance(seconds):
    """Moves the server's clock."""
    body = json.dumps({"advance_seconds": seconds}).encode()
    request = urllib.request.Request(f"{ENDPOINT}/_boxship/clock", body, {"content-type": "application/json"})
    urllib.request.urlopen(request).close()


def register(version, image="web:1", **labels):
    """A version of the program; answers its ARN."""
    container = {"name": "web", "image": image, "portMappings": [{"containerPort": 80}], "dockerLabels": labels,
                 "environment": [{"name": "VERSION", "value": str(version)}]}
    return ecs.register_task_definition(
        family="web", requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu="256", memory="512",
        containerDefinitions=[container])["taskDefinition"]["taskDefinitionArn"]


class Front:
    """A load balancer with two groups, a rule of production and one for tests."""

    def __init__(self, name):
        vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        self.subnets = [one["SubnetId"] for one in ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]]
        self.balancer = elb.create_load_balancer(Name=name, Subnets=self.subnets)["LoadBalancers"][0]["LoadBalancerArn"]
        self.blue, self.green = (self.group(f"{name}-{color}", vpc) for color in ("blue", "green"))
        listener = elb.create_listener(
            LoadBalancerArn=self.balancer, Protocol="HTTP", Port=80,
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}])["Listeners"][0]["ListenerArn"]
        self.test = self.rule(listener, 1, {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "x-test", "Values": ["yes"]}})
        self.production = self.rule(listener, 2, {"Field": "path-pattern", "Values": ["/*"]})

    def group(self, name, vpc):
        group = elb.create_target_group(Name=name, Protocol="HTTP", Port=80, TargetType="ip", VpcId=vpc)["TargetGroups"][0]["TargetGroupArn"]
        elb.modify_target_group_attributes(
            TargetGroupArn=group, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "10"}])
        return group

    def rule(self, listener, priority, condition):
        groups = [{"TargetGroupArn": self.blue, "Weight": 100}, {"TargetGroupArn": self.green, "Weight": 0}]
        return elb.create_rule(
            ListenerArn=listener, Priority=priority, Conditions=[condition],
            Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}])["Rules"][0]["RuleArn"]

    def weights(self, rule=None):
        """Blue's and green's share of a rule's requests, as the listener has it."""
        [action] = elb.describe_rules(RuleArns=[rule or self.production])["Rules"][0]["Actions"]
        weights = {one["TargetGroupArn"]: one["Weight"] for one in action["ForwardConfig"]["TargetGroups"]}
        return weights[self.blue], weights[self.green]

    def balancing(self, **advanced):
        one = {"targetGroupArn": self.blue, "containerName": "web", "containerPort": 80}
        return [{**one, "advancedConfiguration": advanced}] if advanced else [one]

    def delete(self):
        elb.delete_load_balancer(LoadBalancerArn=self.balancer)
        for group in (self.blue, self.green):
            elb.delete_target_group(TargetGroupArn=group)


def create(front, definition, desired, **members):
    ecs.create_cluster(clusterName=CLUSTER)
    ecs.create_service(
        cluster=CLUSTER, serviceName="web", taskDefinition=definition, desiredCount=desired, launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": front.subnets, "assignPublicIp": "ENABLED"}},
        loadBalancers=front.balancing(), **members)


def update(**members):
    ecs.update_service(cluster=CLUSTER, service="web", **members)


def service():
    return ecs.describe_services(cluster=CLUSTER, services=["web"])["services"][0]


def events():
    """What the service has said, oldest first."""
    return [event["message"] for event in reversed(service()["events"])]


def newest():
    """The newest deployment."""
    arn = ecs.list_service_deployments(cluster=CLUSTER, service="web")["serviceDeployments"][0]["serviceDeploymentArn"]
    return ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]


def passes(is_over, step=1, limit=2000):
    """Moves the clock until something is so; answers for how many seconds it did."""
    for number in range(limit):
        if is_over():
            return number * step
        advance(step)
    raise SystemExit(f"not within {limit * step} s: {json.dumps(newest(), default=str, indent=2)}\n" + "\n".join(events()[-10:]))


def is_over():
    now = service()
    return newest()["status"] not in UNDER_WAY and len(now["deployments"]) == 1 and now["runningCount"] == now["desiredCount"]


UNDER_WAY = {"PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"}


def story(messages, count):
    """How many tasks there were, one after the other."""
    counts = [count]
    for message in messages:
        if found := re.search(r"has (started|stopped) (\d+) (running )?tasks", message):
            counts.append(counts[-1] + int(found[2]) * (1 if found[1] == "started" else -1))
    return " → ".join(map(str, counts))


def delete(front):
    ecs.delete_service(cluster=CLUSTER, service="web", force=True)
    passes(lambda: service()["status"] == "INACTIVE")
    front.delete()
