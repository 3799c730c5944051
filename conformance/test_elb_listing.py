"""`boxship balancers`, with the simulated runtime: tables without sockets."""

import http.client
import json

from conftest import wait_for


def test_a_simulated_balancer_is_listed_and_not_served(simulated):
    elb, ec2 = simulated.client("elbv2"), simulated.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]]
    balancer = elb.create_load_balancer(Name="listed", Subnets=subnets)["LoadBalancers"][0]
    group = elb.create_target_group(Name="listed", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")["TargetGroups"][0]
    elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=8080,
                        DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}])
    elb.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": "172.31.0.77"}])

    def listed():
        [one] = json.loads(simulated.run("balancers", "listed", "--json").stdout)
        return one if one["targetGroups"][0]["healthy"] == 1 else None
    one = wait_for(listed, 5, "the target being healthy")
    assert one["state"] == "active"
    assert one["listeners"] == [{"port": 8080, "protocol": "HTTP"}]
    assert one["dnsName"] == balancer["DNSName"]
    # Nothing is open, and nobody is told otherwise.
    assert (one["url"], one["alias"], one["aliasUrl"]) == (None, None, None)
    assert "1/1" in simulated.run("balancers").stdout
    connection = http.client.HTTPConnection("127.0.0.1", simulated.port, timeout=10)
    connection.request("GET", "/", headers={"Host": balancer["DNSName"]})
    assert connection.getresponse().status == 404
    connection.close()
    missing = simulated.run("balancers", "nobody", check=False)
    assert missing.returncode != 0 and "LoadBalancerNotFound" in missing.stderr
