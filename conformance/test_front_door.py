"""Who may call, and what every answer has: the contract of the one port in open mode."""

import json
import subprocess
import sys
import urllib.parse

import boto3
import botocore.config
import botocore.exceptions
import pytest

from conftest import IS_ROOT, refused, signature
from images import Registry

as_root = pytest.mark.skipif(not IS_ROOT, reason="left out: to act as another user needs root")

ECS = "AmazonEC2ContainerServiceV20141113"

PATHS = ["/", "/v2/", "/_boxship/health", "/_boxship/clock", "/_boxship/reset", "/_boxship/images"]


def list_clusters(server, **headers):
    return server.json_call(f"{ECS}.ListClusters", b"{}", **headers)


def as_user(uid, server, path, method="GET"):
    """A request by another local user; answers status and body."""
    program = f"""
import encodings.idna, os, sys, urllib.request, urllib.error
os.setgroups([]); os.setgid({uid}); os.setuid({uid})
request = urllib.request.Request("http://127.0.0.1:{server.port}{path}", method={method!r}, headers={{
    "authorization": {signature()!r}, "x-amz-date": "20260101T000000Z", "x-amz-target": "{ECS}.ListClusters",
    "content-type": "application/x-amz-json-1.1"}} if {method!r} == "POST" else {{}}, data=b"{{}}" if {method!r} == "POST" else None)
try:
    answer = urllib.request.urlopen(request, timeout=10)
    print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


@as_root
@pytest.mark.parametrize("path,method", [(path, "GET") for path in PATHS] + [("/", "POST"), ("/_boxship/reset", "POST")])
def test_another_user_is_refused(simulated, path, method):
    answer = as_user(65534, simulated, path, method)
    assert answer.startswith("403 Forbidden: with --auth open only the user who started Boxship and root may call it."), answer
    assert as_user(0, simulated, "/_boxship/health").startswith("200")


@as_root
def test_a_user_cannot_come_in_with_a_foreign_socket(simulated):
    """The owner is read when a connection is accepted; closing it early leaves no gap."""
    program = f"""
import encodings.idna, os, socket
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for _ in range(200):
    s = socket.create_connection(("127.0.0.1", {simulated.port}))
    s.sendall(b"POST /_boxship/reset HTTP/1.1\\r\\nhost: localhost\\r\\ncontent-length: 0\\r\\n\\r\\n")
    s.close()
"""
    simulated.client("ecs").create_cluster(clusterName="survivor")
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
    assert any("survivor" in arn for arn in simulated.client("ecs").list_clusters()["clusterArns"])


@as_root
def test_another_user_takes_no_place_from_those_who_may_call(simulated):
    """More connections than the server serves at a time, none of which says anything."""
    program = f"""
import encodings.idna, os, resource, socket, sys
most = min(4200, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 50)
resource.setrlimit(resource.RLIMIT_NOFILE, (most + 50, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
os.setgroups([]); os.setgid(65534); os.setuid(65534)
held = [socket.create_connection(("127.0.0.1", {simulated.port})) for _ in range(most)]
print("held", flush=True)
sys.stdin.read()
"""
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        for _ in range(5):
            simulated.client("ecs").list_clusters()
    finally:
        holder.communicate("", timeout=30)


@pytest.mark.parametrize("headers", [
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost:1"},
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site"},
])
@pytest.mark.parametrize("path", PATHS)
def test_pages_of_another_origin_are_refused(simulated, path, headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    for method in ["GET", "POST", "OPTIONS"]:
        answer = simulated.send(method, path, b"", headers)
        assert answer.status == 403, (method, path, answer)
        assert "another origin" in answer.text
        assert not answer.headers["access-control-allow-origin"]


def test_a_signed_request_of_another_origin_is_refused(simulated):
    assert list_clusters(simulated).status == 200
    assert list_clusters(simulated, origin="http://evil.example").status == 403
    assert list_clusters(simulated, origin=f"http://127.0.0.1:{simulated.port}").status == 200, "the page of Boxship itself"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.example:80", "10.0.0.1", "[::2]", "localhost:x"])
@pytest.mark.parametrize("path", PATHS)
def test_rebound_names_are_refused(simulated, path, host):
    answer = simulated.send("GET", path, b"", {"host": host})
    assert answer.status == 403 and "names no address of Boxship" in answer.text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "ecs.us-east-1.amazonaws.com", "x.localhost"])
def test_own_names_are_welcome(simulated, host):
    assert list_clusters(simulated, host=host).status == 200


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("body", [
    "Action=DeleteRole&Version=2010-05-08&RoleName=execution", "Action=DescribeVpcs&Version=2016-11-15", '{"x":1}', ""])
def test_forms_without_a_signature_are_refused(simulated, content_type, body):
    answer = simulated.send("POST", "/", body.encode(), {"content-type": content_type})
    assert answer.status in (400, 403), answer
    assert "MissingAuthenticationToken" in answer.text or "Forbidden" in answer.text


def test_every_answer_has_a_request_id(simulated):
    answers = {
        "json": list_clusters(simulated),
        "json fault": simulated.json_call(f"{ECS}.DescribeTasks", b"{}"),
        "query": simulated.form_call("sts", b"Action=GetCallerIdentity&Version=2011-06-15"),
        "ec2": simulated.form_call("ec2", b"Action=DescribeVpcs&Version=2016-11-15"),
        "unknown": simulated.json_call("Ghost.Ghost", b"{}"),
        "unsigned": simulated.json_call(f"{ECS}.ListClusters", b"{}", authorization=None),
        "health": simulated.send("GET", "/_boxship/health"),
        "page": simulated.send("GET", "/"),
        "registry": simulated.send("GET", "/v2/"),
        "foreign": simulated.send("GET", "/", b"", {"origin": "http://evil.example"}),
        "rebound": simulated.send("GET", "/", b"", {"host": "evil.example"}),
    }
    ids = {name: answer.headers["x-amzn-requestid"] for name, answer in answers.items()}
    assert all(ids.values()), ids
    assert len(set(ids.values())) == len(ids), "each request has its own"
    assert answers["query"].xml("RequestId") == ids["query"]
    assert answers["ec2"].xml("requestId") == ids["ec2"]
    vpcs = simulated.client("ec2").describe_vpcs()
    assert vpcs["ResponseMetadata"]["RequestId"]


# Unknown things, each in the form of its protocol


def test_unknown_operations(simulated):
    answer = simulated.json_call(f"{ECS}.Ghost", b"{}")
    assert (answer.status, answer.json()["__type"].rsplit("#")[-1]) == (400, "UnknownOperationException")
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"

    answer = simulated.form_call("iam", b"Action=Ghost&Version=2010-05-08")
    assert (answer.status, answer.xml("Code")) == (400, "InvalidAction")
    assert answer.xml("Message") == "Could not find operation Ghost for version 2010-05-08"
    assert b"<ErrorResponse" in answer.body

    answer = simulated.form_call("ec2", b"Action=Ghost&Version=2016-11-15")
    assert (answer.status, answer.xml("Code")) == (400, "InvalidAction")
    assert answer.xml("Message") == "The action Ghost is not valid for this web service."
    assert b"<Errors>" in answer.body


def test_operations_of_the_model_that_are_not_built(simulated):
    cases = [
        ("UnknownOperationException", simulated.client("ecs").create_task_set,
         {"cluster": "x", "service": "x", "taskDefinition": "x"}, "CreateTaskSet"),
        ("UnknownOperationException", simulated.client("ecr").describe_image_scan_findings,
         {"repositoryName": "xx", "imageId": {"imageTag": "x"}}, "DescribeImageScanFindings"),
        ("InvalidAction", simulated.client("iam").create_user, {"UserName": "x"}, "CreateUser"),
        ("InvalidAction", simulated.client("sts").get_federation_token, {"Name": "xx"}, "GetFederationToken"),
        ("InvalidAction", simulated.client("ec2").run_instances, {"MinCount": 1, "MaxCount": 1}, "RunInstances"),
    ]
    for code, call, members, name in cases:
        message = refused(code, call, **members)
        assert message.startswith("Boxship does not offer") and name in message


def test_unknown_versions(simulated):
    answer = simulated.form_call("ec2", b"Action=DescribeVpcs&Version=2006-06-26")
    assert (answer.status, answer.xml("Code")) == (400, "NoSuchVersion")
    for body, version in [(b"Action=ListRoles&Version=2000-01-01", "2000-01-01"), (b"Action=ListRoles", "NO_VERSION_SPECIFIED")]:
        answer = simulated.form_call("iam", body)
        assert (answer.status, answer.xml("Code")) == (400, "InvalidAction")
        assert answer.xml("Message") == f"Could not find operation ListRoles for version {version}"


@pytest.mark.parametrize("api,call,members", [
    ("s3", "list_buckets", {}), ("dynamodb", "list_tables", {}), ("lambda", "list_functions", {}),
    ("sqs", "list_queues", {}), ("sns", "list_topics", {}), ("autoscaling", "describe_auto_scaling_groups", {})])
def test_unknown_apis(simulated, api, call, members):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        getattr(simulated.client(api), call)(**members)
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] in (400, 404, 501)


def test_an_unknown_api_is_named(simulated):
    answer = simulated.json_call("Ghost_20200101.List", b"{}", authorization=signature("ghost"))
    assert answer.json()["__type"].rsplit("#")[-1] == "UnknownOperationException"
    assert "ghost" in answer.json()["message"]
    answer = simulated.form_call("ghost", b"Action=List&Version=2020-01-01")
    assert "ghost" in answer.xml("Message")


# Signatures


def test_missing_signatures(simulated):
    answer = simulated.json_call(f"{ECS}.ListClusters", b"{}", authorization=None)
    assert (answer.status, answer.json()["__type"].rsplit("#")[-1]) == (400, "MissingAuthenticationTokenException")
    answer = simulated.form_call("iam", b"Action=ListRoles&Version=2010-05-08", authorization=None)
    assert (answer.status, answer.xml("Code")) == (403, "MissingAuthenticationToken")
    answer = simulated.form_call("ec2", b"Action=DescribeVpcs&Version=2016-11-15", authorization=None)
    assert answer.status in (401, 403) and answer.xml("Code") in ("AuthFailure", "MissingAuthenticationToken")


@pytest.mark.parametrize("header", [
    "AWS4-HMAC-SHA256",
    "AWS4-HMAC-SHA256 ",
    "AWS4-HMAC-SHA1 Credential=a/20260101/us-east-1/ecs/aws4_request, SignedHeaders=host, Signature=0",
    "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=0",
    "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/ecs, SignedHeaders=host, Signature=0",
    "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/ecs/other, SignedHeaders=host, Signature=0",
    "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/ecs/aws4_request, Signature=0",
    "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/ecs/aws4_request, SignedHeaders=host",
    "AWS4-HMAC-SHA256 Credential=a/20260101/NO REGION/ecs/aws4_request, SignedHeaders=host, Signature=0",
    "AWS4-HMAC-SHA256 Credential=a/20260101/../ecs/aws4_request, SignedHeaders=host, Signature=0",
    "AWS4-HMAC-SHA256 Credential=////, SignedHeaders=, Signature=",
])
def test_malformed_signatures(simulated, header):
    answer = list_clusters(simulated, authorization=header)
    assert (answer.status, answer.json()["__type"].rsplit("#")[-1]) == (400, "IncompleteSignatureException"), answer
    header = header.replace("/ecs", "/iam")
    answer = simulated.form_call("iam", b"Action=ListRoles&Version=2010-05-08", authorization=header)
    assert (answer.status, answer.xml("Code")) == (400, "IncompleteSignature"), answer


def test_other_schemes_are_no_signature(simulated):
    for header in ["Bearer x", "Basic QVdTOng="]:
        assert list_clusters(simulated, authorization=header).json()["__type"].startswith("MissingAuthenticationToken")


def test_a_signature_without_a_date(simulated):
    assert list_clusters(simulated, x_amz_date=None).json()["__type"] == "IncompleteSignatureException"
    assert list_clusters(simulated, x_amz_date="yesterday").json()["__type"] == "IncompleteSignatureException"


def test_presigned(simulated):
    sts = simulated.client("sts", account="123456789012")
    url = sts.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    assert "X-Amz-Signature=" in url
    parts = urllib.parse.urlsplit(url)
    answer = simulated.send("GET", f"{parts.path}?{parts.query}")
    assert answer.status == 200 and answer.xml("Account") == "123456789012"
    broken = parts.query.replace("X-Amz-Credential", "X-Amz-Ghost")
    assert simulated.send("GET", f"/?{broken}").xml("Code") == "IncompleteSignature"
    late = parts.query.replace("X-Amz-Expires=60", "X-Amz-Expires=604801")
    assert simulated.send("GET", f"/?{late}").xml("Code") == "IncompleteSignature"


# Accounts and regions


def test_accounts_and_regions_are_separate(simulated):
    for account, region in [("111111111111", "us-east-1"), ("111111111111", "eu-west-3"), ("222222222222", "us-east-1")]:
        ecs = simulated.client("ecs", account=account, region=region)
        assert ecs.list_clusters()["clusterArns"] == []
        made = ecs.create_cluster(clusterName="own")["cluster"]["clusterArn"]
        assert made == f"arn:aws:ecs:{region}:{account}:cluster/own"
        assert ecs.list_clusters()["clusterArns"] == [made]
        simulated.client("logs", account=account, region=region).create_log_group(logGroupName="/own")
        simulated.client("ecr", account=account, region=region).create_repository(repositoryName="own")
    iam = simulated.client("iam", account="111111111111")
    iam.create_role(RoleName="own", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}))
    assert simulated.client("iam", account="111111111111", region="eu-west-3").get_role(RoleName="own"), "IAM has no regions"
    refused("NoSuchEntity", simulated.client("iam", account="222222222222").get_role, RoleName="own")
    ecs = simulated.client("ecs", account="222222222222")
    answer = ecs.describe_clusters(clusters=["arn:aws:ecs:us-east-1:111111111111:cluster/own"])
    assert answer["clusters"] == []


def test_registries_are_separate(simulated):
    for account in ["333333333333", "444444444444"]:
        simulated.client("ecr", account=account).create_repository(repositoryName="same")
        Registry(simulated, account=account).image("same", f"of-{account}", mark=account)
    assert Registry(simulated, account="333333333333").send("GET", "/v2/same/tags/list").json()["tags"] == ["of-333333333333"]
    other = Registry(simulated, account="444444444444")
    answer = other.send("GET", "/v2/same/tags/list", host=f"333333333333.dkr.ecr.us-east-1.localhost:{simulated.port}")
    assert answer.status == 403
    answer = other.send("GET", "/v2/same/tags/list", host=f"444444444444.dkr.ecr.us-east-1.localhost:{simulated.port}")
    assert answer.json()["tags"] == ["of-444444444444"]


def test_any_other_key_is_the_default_account(simulated):
    for key in ["test", "AKIAIOSFODNN7EXAMPLE", "12345678901", "1234567890123"]:
        client = boto3.client("sts", endpoint_url=simulated.url, region_name="us-east-1", aws_access_key_id=key,
                              aws_secret_access_key="x", config=botocore.config.Config(retries={"max_attempts": 0}))
        assert client.get_caller_identity()["Account"] == "000000000000"


def test_every_region_exists(simulated):
    for region in ["us-gov-west-1", "cn-north-1", "mars-west-1"]:
        zones = simulated.client("ec2", region=region).describe_availability_zones()["AvailabilityZones"]
        assert [zone["ZoneName"] for zone in zones] == [f"{region}{letter}" for letter in "abc"]


def test_the_operators_side(simulated):
    health = json.loads(simulated.get("/_boxship/health"))
    assert (health["status"], health["runtime"]) == ("ready", "simulated")
    assert set(health["services"]) >= {"ecs", "ecr", "ec2", "iam", "sts", "logs"}
    assert simulated.send("GET", "/_boxship/ghost").status == 404
    assert simulated.send("GET", "/_boxship/clock").status == 405
    for body in [b"", b"{", b"{}", b"[]", b'{"advance_seconds": -1}', b'{"advance_seconds": "x"}', b'{"advance_seconds": 1e300}', b"x" * 100_000]:
        answer = simulated.send("POST", "/_boxship/clock", body, {"content-type": "application/json"})
        assert answer.status == 400 and answer.json()["error"], body
    page = simulated.send("GET", "/")
    assert page.status == 200 and page.headers["content-type"].startswith("text/html")
    assert page.headers["x-frame-options"] or "frame-ancestors" in (page.headers["content-security-policy"] or "")
