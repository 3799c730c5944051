"""Tasks in a VPC of a user's own: its addresses and names, the platform inside, and a way out by route alone."""

import http.server
import ipaddress
import threading

import pytest

from conftest import define, log, needs_root, stopped
from test_linux_network import host_address, identity

pytestmark = needs_root


@pytest.fixture
def outside():
    """A web server at an address of this machine that no VPC has; answers its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"outside\n")

        def log_message(self, *_):
            pass

    at = host_address()
    server = http.server.ThreadingHTTPServer((at, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{at}:{server.server_port}/"
    server.shutdown()
    server.server_close()


def lines(server, subnet, script, public):
    definition = define(server, "own", [{"image": "toolbox", "entryPoint": ["/bin/sh", "-c"], "command": [f"exec 2>&1\n{script}"]}])
    where = {"subnets": [subnet], "assignPublicIp": "ENABLED" if public else "DISABLED"}
    answer = server.client("ecs").run_task(
        taskDefinition=definition, launchType="FARGATE", networkConfiguration={"awsvpcConfiguration": where})
    arn = answer["tasks"][0]["taskArn"]
    task = stopped(server, arn)
    assert task["containers"][0].get("exitCode") == 0, task
    details = {one["name"]: one["value"] for one in task["attachments"][0]["details"]}
    return details["privateIPv4Address"], log(server, "own", arn)


def test_a_vpc_of_a_users_own(box, outside):
    ec2 = box.client("ec2")
    box.client("ecs").create_cluster(clusterName="default")
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    public, apart = (ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.77.{n}.0/24")["Subnet"]["SubnetId"] for n in (1, 2))
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=public)["AssociationId"]

    script = f"""
ip -4 -o addr show scope global | grep -o '10.77[0-9.]*' | head -1
grep nameserver /etc/resolv.conf
nslookup ip-10-77-1-9.ec2.internal 10.77.0.2 | grep -c 10.77.1.9
{identity()} | grep -c GetCallerIdentityResult
timeout 3 wget -qO- {outside} 2>/dev/null || echo no way out
"""
    at, seen = lines(box, public, script, public=True)
    assert ipaddress.ip_address(at) in ipaddress.ip_network("10.77.1.0/24")
    assert seen[:2] == [at, "nameserver 10.77.0.2"]
    assert int(seen[2]) >= 1 and int(seen[3]) >= 1, seen
    assert seen[4:] == ["outside"]
    # A public address in a subnet without a route is of no use, and neither is a route without the address.
    for subnet, is_public in [(apart, True), (public, False)]:
        at, seen = lines(box, subnet, script, is_public)
        assert seen[:2] == [at, "nameserver 10.77.0.2"]
        assert seen[4:] == ["no way out"], (subnet, is_public)

    ec2.disassociate_route_table(AssociationId=association)
    ec2.delete_route_table(RouteTableId=table)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    ec2.delete_subnet(SubnetId=public)
    ec2.delete_subnet(SubnetId=apart)
    ec2.delete_vpc(VpcId=vpc)
