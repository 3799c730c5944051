"""`boxship down` with load balancers: nothing is left, whoever serves them."""

import socket
import subprocess

import pytest

from conftest import BOXSHIP, Server, needs_root, wait_for

pytestmark = needs_root


@pytest.mark.parametrize("is_server_killed", [False, True])
def test_down_ends_the_proxy_too(is_server_killed):
    server = Server("linux").start()
    proxy = None
    try:
        elb, ec2 = server.client("elbv2"), server.client("ec2")
        subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]]
        group = ec2.create_security_group(GroupName="front", Description="front", VpcId=ec2.describe_vpcs()["Vpcs"][0]["VpcId"])
        ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
        balancer = elb.create_load_balancer(Name="web", Subnets=subnets, SecurityGroups=[group["GroupId"]])["LoadBalancers"][0]
        elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=[
            {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}])
        proxy = subprocess.Popen([BOXSHIP, "--data-dir", server.data_dir, "proxy"], stdin=subprocess.DEVNULL,
                                 stdout=server.log, stderr=server.log)
        wait_for(lambda: "a proxy serves load balancers" in server.text(), 10, "the proxy serving")
        alias = server.get("/_boxship/balancers").split('"alias":"')[1].split('"')[0]
        wait_for(lambda: connects(alias), 5, "the listener")
        # One proxy at a time.
        other = server.run("proxy", check=False)
        assert other.returncode != 0 and "another proxy" in other.stderr, other
        if is_server_killed:
            server.kill()
    finally:
        server.down()
        assert proxy is None or proxy.wait(timeout=10) == 0
    assert not connects(alias)


def connects(host):
    try:
        socket.create_connection((host, 80), timeout=2).close()
        return True
    except OSError:
        return False
