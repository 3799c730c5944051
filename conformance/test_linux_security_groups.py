"""Security groups on real packets: between tasks, to balancers and from them; VPCs of equal ranges side by side."""

import glob
import subprocess

import pytest

from conftest import address, define, needs_root, running, stopped, wait_for

pytestmark = needs_root

WEB = "mkdir -p /www; echo %s > /www/index.html; trap 'exit 0' TERM; httpd -p 80 -h /www; httpd -p 81 -h /www; while :; do sleep 0.1; done"


class Task:
    """A task that answers its name on ports 80 and 81."""

    def __init__(self, server, name, groups, subnets=None):
        self.server, ecs = server, server.client("ecs")
        definition = define(server, name, [{"image": "toolbox", "entryPoint": ["/bin/sh", "-c"], "command": [WEB % name], "stopTimeout": 2}])
        if not subnets:
            default = {"Name": "default-for-az", "Values": ["true"]}
            subnets = [server.client("ec2").describe_subnets(Filters=[default])["Subnets"][0]["SubnetId"]]
        where = {"subnets": subnets, "assignPublicIp": "DISABLED"}
        if groups:
            where["securityGroups"] = groups
        ecs.create_cluster(clusterName="default")
        answer = ecs.run_task(taskDefinition=definition, launchType="FARGATE", networkConfiguration={"awsvpcConfiguration": where})
        assert not answer["failures"], answer
        self.arn = answer["tasks"][0]["taskArn"]
        task = running(server, self.arn)
        self.address = address(task)
        details = {d["name"]: d["value"] for a in task["attachments"] for d in a["details"]}
        self.interface = details["networkInterfaceId"]
        [self.netns] = glob.glob(f"/run/boxship/*/netns/{self.arn.split('/')[-1]}")
        assert wait_for(lambda: self.get("127.0.0.1"), 10) == name

    def get(self, host, port=80, name=None):
        """What a server answers this task; None where nothing does."""
        command = ["nsenter", f"--net={self.netns}", "curl", "-sS", "--max-time", "1", f"http://{host}:{port}/"]
        if name:
            command += ["--header", f"Host: {name}"]
        answer = subprocess.run(command, capture_output=True, text=True)
        return answer.stdout.strip() if answer.returncode == 0 else None

    def resolve(self, name):
        lookup = ["nsenter", f"--net={self.netns}", "busybox", "nslookup", name, self.resolver]
        output = subprocess.run(lookup, capture_output=True, text=True).stdout
        return {line.split()[-1] for line in output.splitlines() if line.startswith("Address")} - {f"{self.resolver}:53"}

    @property
    def resolver(self):
        first, second, *_ = self.address.split(".")
        return f"{first}.{second}.0.2"

    def stop(self):
        self.server.client("ecs").stop_task(task=self.arn)
        stopped(self.server, self.arn)


def soon(task, want, *arguments):
    """Waits until a task gets what it should; a change of the rules is in force within a moment."""
    wait_for(lambda: task.get(*arguments) == want, 10, f"{want} from {arguments}")


def group(server, name, vpc, sources=()):
    ec2 = server.client("ec2")
    made = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
    if sources:
        ec2.authorize_security_group_ingress(GroupId=made, IpPermissions=list(sources))
    return made


def tcp(port, **source):
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **source}


def of_group(made):
    return {"UserIdGroupPairs": [{"GroupId": made}]}


@pytest.fixture(scope="module")
def vpc(box):
    return box.client("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]


def test_rules_hold_for_tasks_from_the_next_packet_on(box, vpc):
    ec2 = box.client("ec2")
    app = group(box, "app", vpc)
    data = group(box, "data", vpc)
    client, server = Task(box, "client", [app]), Task(box, "server", [data])
    assert client.get(server.address) is None and server.get(client.address) is None

    ec2.authorize_security_group_ingress(GroupId=data, IpPermissions=[tcp(80, **of_group(app))])
    soon(client, "server", server.address)
    assert client.get(server.address, 81) is None and server.get(client.address) is None
    ec2.authorize_security_group_ingress(GroupId=data, IpPermissions=[tcp(81, IpRanges=[{"CidrIp": f"{client.address}/32"}])])
    soon(client, "server", server.address, 81)

    ec2.revoke_security_group_ingress(GroupId=data, IpPermissions=[tcp(80, **of_group(app))])
    soon(client, None, server.address)
    assert client.get(server.address, 81) == "server"
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.revoke_security_group_egress(GroupId=app, IpPermissions=[everything])
    soon(client, None, server.address, 81)
    ec2.authorize_security_group_egress(GroupId=app, IpPermissions=[tcp(81, **of_group(data))])
    soon(client, "server", server.address, 81)

    # Neither the platform nor the operator is filtered.
    assert client.get("169.254.170.2", 4566) is not None
    assert client.resolve("ip-" + server.address.replace(".", "-") + ".ec2.internal") == {server.address}
    assert subprocess.run(["curl", "-s", "--max-time", "2", f"http://{server.address}/"], capture_output=True, text=True).stdout == "server\n"
    client.stop()
    server.stop()


def test_the_default_group_lets_its_members_talk(box):
    one, other = Task(box, "one", []), Task(box, "other", [])
    assert one.get(other.address) == "other" and other.get(one.address) == "one"
    one.stop()
    other.stop()


class OwnVpc:
    """A VPC of 10.9.0.0/16 with a task, and an internal balancer before it."""

    def __init__(self, server, name):
        self.ec2, self.elb = server.client("ec2"), server.client("elbv2")
        self.id = self.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            self.ec2.create_subnet(VpcId=self.id, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]["SubnetId"]
            for number, zone in enumerate("ab")]
        [self.default] = [one["GroupId"] for one in self.ec2.describe_security_groups(
            Filters=[{"Name": "vpc-id", "Values": [self.id]}, {"Name": "group-name", "Values": ["default"]}])["SecurityGroups"]]
        self.front = group(server, "front", self.id)
        self.back = group(server, "back", self.id, [tcp(80, **of_group(self.front))])
        self.task = Task(server, name, [self.back], self.subnets[:1])
        self.client = Task(server, f"{name}-client", None, self.subnets[:1])
        balancer = self.elb.create_load_balancer(Name=name, Scheme="internal", Subnets=self.subnets, SecurityGroups=[self.front])
        self.balancer, self.name = balancer["LoadBalancers"][0]["LoadBalancerArn"], balancer["LoadBalancers"][0]["DNSName"]
        self.target_group = self.elb.create_target_group(
            Name=name, Protocol="HTTP", Port=80, VpcId=self.id, TargetType="ip", HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2)["TargetGroups"][0]["TargetGroupArn"]
        self.elb.create_listener(LoadBalancerArn=self.balancer, Protocol="HTTP", Port=80,
                                 DefaultActions=[{"Type": "forward", "TargetGroupArn": self.target_group}])
        self.elb.register_targets(TargetGroupArn=self.target_group, Targets=[{"Id": self.task.address}])
        wait_for(lambda: self.health()["State"] == "healthy", 30, "a healthy target")

    def health(self):
        found = self.elb.describe_target_health(TargetGroupArn=self.target_group)["TargetHealthDescriptions"][0]["TargetHealth"]
        return found

    def delete(self):
        self.task.stop()
        self.client.stop()
        self.elb.delete_load_balancer(LoadBalancerArn=self.balancer)
        self.elb.get_waiter("load_balancers_deleted").wait(LoadBalancerArns=[self.balancer], WaiterConfig={"Delay": 1})
        self.elb.delete_target_group(TargetGroupArn=self.target_group)

        # AWS: interfaces go a little later than the balancer.
        def goes(made):
            try:
                self.ec2.delete_security_group(GroupId=made)
                return True
            except self.ec2.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] == "DependencyViolation", error
                return False
        for made in [self.back, self.front]:
            wait_for(lambda: goes(made), 20, "the groups going")
        for made in self.subnets:
            self.ec2.delete_subnet(SubnetId=made)
        assert self.namespaces()
        self.ec2.delete_vpc(VpcId=self.id)
        wait_for(lambda: not self.namespaces(), 10, "the VPC's namespace going")

    def namespaces(self):
        return glob.glob(f"/run/boxship/*/netns/vpc@*@{self.id}")


def test_two_vpcs_of_one_range_with_a_balancer_each(box):
    """Each balancer's group lets in who is named, and its targets' group lets in the balancer alone."""
    ec2 = box.client("ec2")
    one, two = OwnVpc(box, "east"), OwnVpc(box, "west")
    assert one.client.get(two.task.address) is None, "in a VPC of its own"
    assert one.client.get(one.task.address) is None, "only the balancer may"
    for vpc, name in [(one, "east"), (two, "west")]:
        nodes = vpc.client.resolve(vpc.name)
        assert len(nodes) == 2 and all(node.startswith("10.9.") for node in nodes), nodes
        for node in nodes:
            assert vpc.client.get(node) is None
        ec2.authorize_security_group_ingress(GroupId=vpc.front, IpPermissions=[tcp(80, **of_group(vpc.default))])
        for node in nodes:
            soon(vpc.client, name, node)
    # Its groups are others at once, and again.
    one.elb.set_security_groups(LoadBalancerArn=one.balancer, SecurityGroups=[one.default])
    node = min(one.client.resolve(one.name))
    soon(one.client, None, node)
    one.elb.set_security_groups(LoadBalancerArn=one.balancer, SecurityGroups=[one.front])
    soon(one.client, "east", node)
    # What one may do says nothing of the other.
    ec2.revoke_security_group_ingress(GroupId=one.front, IpPermissions=[tcp(80, **of_group(one.default))])
    soon(one.client, None, node)
    assert two.client.get(min(two.client.resolve(two.name))) == "west"
    # The balancer's own way to its targets goes: they turn unhealthy.
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.revoke_security_group_egress(GroupId=two.front, IpPermissions=[everything])

    wait_for(lambda: two.health()["State"] == "unhealthy", 60, "an unhealthy target")
    one.delete()
    two.delete()


def test_rules_hold_over_a_restart_of_the_server(box, vpc):
    ec2 = box.client("ec2")
    app = group(box, "app-restart", vpc)
    data = group(box, "data-restart", vpc, [tcp(80, **of_group(app))])
    client, server = Task(box, "rclient", [app]), Task(box, "rserver", [data])
    soon(client, "rserver", server.address)
    box.kill()
    assert client.get(server.address) == "rserver" and client.get(server.address, 81) is None
    box.start()
    assert client.get(server.address) == "rserver" and client.get(server.address, 81) is None
    box.client("ec2").revoke_security_group_ingress(GroupId=data, IpPermissions=[tcp(80, **of_group(app))])
    soon(client, None, server.address)
    client.stop()
    server.stop()
