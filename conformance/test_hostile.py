"""Bad input of every kind: a clear error in the right form, no panic, and the server answers on.

The module's server is checked for panics when it ends (`Server.down`).
"""

import base64
import concurrent.futures
import http.client
import json
import os
import random
import socket
import time

import pytest

from conftest import signature, wait_for
from images import OCI_INDEX, OCI_MANIFEST, Registry, config, digest, error, index, manifest

ECS = "AmazonEC2ContainerServiceV20141113"
JSON = {"content-type": "application/x-amz-json-1.1", "authorization": signature(), "x-amz-date": "20260101T000000Z"}


@pytest.fixture(autouse=True)
def answers_on(simulated):
    yield
    assert simulated.process.poll() is None, simulated.text()
    assert simulated.client("sts").get_caller_identity()["Account"] == "000000000000"
    assert "panicked" not in simulated.text()


def code_of(answer):
    """An error's code in whichever form it came."""
    if answer.body.startswith(b"{"):
        return answer.json()["__type"].rsplit("#")[-1]
    return answer.xml("Code")


def call(simulated, body, operation="RegisterTaskDefinition", **headers):
    return simulated.json_call(f"{ECS}.{operation}", body, **headers)


WHOLE = json.dumps({"family": "web", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256",
                    "memory": "512", "containerDefinitions": [{"name": "web", "image": "x", "environment": [
                        {"name": "A", "value": "ä \\u0041 \\" + '"'}], "dockerLabels": {"a": "b"}}]}).encode()


def test_the_whole_body_is_fine(simulated):
    assert call(simulated, WHOLE).status == 200


def test_truncated_json(simulated):
    """Every prefix of a good body is refused, none crashes."""
    connection = http.client.HTTPConnection("127.0.0.1", simulated.port, timeout=30)
    for end in range(1, len(WHOLE)):
        connection.request("POST", "/", WHOLE[:end], {**JSON, "x-amz-target": f"{ECS}.RegisterTaskDefinition"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 400 and json.loads(text)["__type"].endswith("SerializationException"), (end, text)


@pytest.mark.parametrize("body", [
    b"\0", b"[", b"[]", b"null", b'"x"', b"7", b"{}}", b"{} {}", b"{'a': 1}", b'{"a"}', b'{"a":}', b'{,}', b'{"a":1,}',
    b'{"family":"\xff\xfe"}', b'{"family":"\xc3"}', b'{"\xff":1}', b'{"family":"\\ud800"}', b'{"family":"\\udc00x"}',
    b'{"family":"\\x"}', b'{"family":"\\u12"}', b'{"family":"a\nb"}', b'{"family":"a\0b"}', b"\xef\xbb\xbf{}",
    b'{"family":NaN}', b'{"cpu":01}', b'{"family":tru}', b'{"family": 1e999999}', b"<xml/>", b"Action=ListClusters",
    b'{"containerDefinitions":[{]}', b'{"containerDefinitions":[}', b'{"volumes":{"a":[}',
    WHOLE.decode().encode("utf-16"), b"{" * 10, b"\n" * 1000, b"{\"a\":" + b"9" * 100_000 + b"}",
], ids=lambda body: repr(body[:24]))
def test_malformed_json(simulated, body):
    answer = call(simulated, body)
    assert answer.status == 400
    assert code_of(answer) in ("SerializationException", "ClientException", "InvalidParameterException", "ValidationException"), answer


@pytest.mark.parametrize("open_,close", [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("depth", [200, 10_000, 1_000_000])
@pytest.mark.parametrize("member", [b"containerDefinitions", b"ghost"])
def test_deep_nesting(simulated, open_, close, depth, member):
    body = b'{"%s":' % member + open_ * depth + b"1" + close * depth + b"}"
    answer = call(simulated, body)
    assert (answer.status, code_of(answer)) == (400, "SerializationException"), answer.body[:300]


def test_duplicate_keys(simulated):
    """The last one counts or the body is refused; never both at once."""
    answer = call(simulated, b'{"clusterName":"first","clusterName":"second"}', "CreateCluster")
    if answer.status == 200:
        assert answer.json()["cluster"]["clusterName"] == "second"
        names = simulated.client("ecs").list_clusters()["clusterArns"]
        assert not any(name.endswith("/first") for name in names)
    else:
        assert code_of(answer) == "SerializationException"


def test_a_body_of_100_mib(simulated):
    chunk = b" " * (1 << 20)
    def body():
        yield b'{"family":"'
        for _ in range(100):
            yield chunk
        yield b'"}'
    answer = simulated.send("POST", "/", body(), {**JSON, "x-amz-target": f"{ECS}.RegisterTaskDefinition",
                                                  "content-length": str(100 * len(chunk) + 13)}, timeout=60)
    assert (answer.status, code_of(answer)) == (413, "RequestEntityTooLargeException")
    rss = int(next(line for line in open(f"/proc/{simulated.process.pid}/status") if line.startswith("VmRSS")).split()[1])
    assert rss < 400 << 10, f"{rss} KiB are held after it"


def test_a_body_that_is_announced_and_does_not_come(simulated):
    with socket.create_connection(("127.0.0.1", simulated.port)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999999\r\n"
                       + "".join(f"{k}: {v}\r\n" for k, v in JSON.items()).encode() + b"x-amz-target: x.y\r\n\r\n{")
        assert simulated.client("sts").get_caller_identity()


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/json", "application/x-www-form-urlencoded", "ä", "a" * 5000])
def test_wrong_content_types(simulated, content_type):
    headers = {} if content_type is None else {"content-type": content_type.encode("latin-1")}
    without = {name: value for name, value in JSON.items() if name != "content-type"}
    answer = simulated.send("POST", "/", b"{}", {**without, **headers, "x-amz-target": f"{ECS}.ListClusters"})
    assert (answer.status, code_of(answer)) == (400, "UnknownOperationException")


@pytest.mark.parametrize("target", ["", ".", "ListClusters", f"{ECS}.", f".{ECS}", f"{ECS}.ListClusters.x", "a" * 10_000])
def test_wrong_targets(simulated, target):
    answer = simulated.send("POST", "/", b"{}", {**JSON, "x-amz-target": target})
    assert answer.status in (400, 404, 501) and code_of(answer) in ("UnknownOperationException", "InvalidAction"), answer


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "GHOST"])
def test_wrong_methods(simulated, method):
    answer = simulated.send(method, "/", b"{}", {**JSON, "x-amz-target": f"{ECS}.ListClusters"})
    assert answer.status in (400, 405)


# The query and ec2 protocols


@pytest.mark.parametrize("service,version", [("iam", "2010-05-08"), ("ec2", "2016-11-15"), ("sts", "2011-06-15")])
@pytest.mark.parametrize("body", [
    b"\0", b"&&&&", b"====", b"Action", b"Action=", b"Action=%zz", b"Action=%", b"Action=%ff%fe", b"Action=\xff",
    b"Action=Get%00Role", b"{}", b"<a/>", b"Action=" + b"x" * 100_000,
], ids=lambda body: repr(body[:16]))
def test_malformed_forms(simulated, service, version, body):
    answer = simulated.form_call(service, body + f"&Version={version}".encode())
    assert answer.status == 400, answer
    assert code_of(answer) in ("InvalidAction", "MissingAction", "MalformedQueryString", "ValidationError", "InvalidParameterValue"), answer


@pytest.mark.parametrize("parameters", [
    "VpcId.0=x", "VpcId.-1=x", "VpcId.x=y", "VpcId.99999999999999999999=x", "VpcId.4294967295=x", "VpcId.1000000=x",
    "Filter.1.Value.1=x", "Filter.1=x", "Filter.1.Name.Name=x", "VpcId.1.2.3.4=x", "DryRun=perhaps", "MaxResults=many",
    "MaxResults=99999999999", "Filter.1.Name=vpc-id&Filter.1.Value.1=%ff", "VpcId.1=a&VpcId.1=b", ".".join(["Filter"] + ["1"] * 5000) + "=x",
    "&".join(f"Filter.{n}.Name=vpc-id&Filter.{n}.Value.1=x" for n in range(1, 3000)),
], ids=lambda text: text[:40])
def test_malformed_parameters(simulated, parameters):
    started = time.monotonic()
    answer = simulated.form_call("ec2", f"Action=DescribeVpcs&Version=2016-11-15&{parameters}".encode())
    assert answer.status in (200, 400), answer
    if answer.status == 400:
        assert code_of(answer)
    assert time.monotonic() - started < 5


def test_truncated_forms(simulated):
    whole = b"Action=CreateRole&Version=2010-05-08&RoleName=x%C3%A4&AssumeRolePolicyDocument=%7B%7D"
    for end in range(len(whole)):
        answer = simulated.form_call("iam", whole[:end])
        assert answer.status == 400 and code_of(answer), (whole[:end], answer)


def test_xml_that_comes_back_is_escaped(simulated):
    name = "<script>&\"'\x01"
    answer = simulated.form_call("iam", b"Action=%3Cscript%3E%26%22%27%01&Version=2010-05-08")
    assert answer.status == 400
    assert answer.xml("Code") == "InvalidAction"
    assert name.encode() not in answer.body


# HTTP


def raw(simulated, data, half_close=False, seconds=10):
    """Sends bytes, and answers everything that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", simulated.port), timeout=seconds) as client:
        try:
            client.sendall(data)
            if half_close:
                client.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        received = b""
        try:
            while chunk := client.recv(65536):
                received += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
        return received


@pytest.mark.parametrize("data", [
    b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n\0: x\r\n\r\n", b"\0" * 100_000, b"\xff" * 1000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\nGET /",
    b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"GET / HTTP/1.1\r\n" + b"".join(b"h%d: x\r\n" % n for n in range(1000)) + b"\r\n",
    b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"x" * 200_000 + b"\r\n\r\n",
    b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
], ids=lambda data: repr(data[:30]))
def test_broken_http(simulated, data):
    answer = raw(simulated, data, half_close=True)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.0 4"), answer[:200]


def test_half_closed_sockets_get_their_answer(simulated):
    answer = raw(simulated, b"GET /_boxship/health HTTP/1.1\r\nhost: localhost\r\n\r\n", half_close=True)
    assert answer.startswith(b"HTTP/1.1 200") and b'"ready"' in answer


def test_pipelined_garbage(simulated):
    good = b"GET /_boxship/health HTTP/1.1\r\nhost: localhost\r\n\r\n"
    answer = raw(simulated, good * 3 + b"GARBAGE\r\n\r\n" + good, half_close=True)
    assert answer.count(b"HTTP/1.1 200") == 3
    assert answer.count(b"HTTP/1.1 400") <= 1


def test_pipelined_requests_are_answered_in_order(simulated):
    paths = [f"/_boxship/ghost{n}" for n in range(20)]
    data = b"".join(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode() for path in paths)
    answer = raw(simulated, data, half_close=True).decode()
    found = [line.split("no such endpoint: ")[1].split('"')[0] for line in answer.splitlines() if "no such endpoint" in line]
    assert found == paths


def test_slow_clients_cost_others_nothing(simulated):
    """Hundreds of connections that send a byte now and then, while another client goes on as before."""
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\nx-amz-target: x\r\ncontent-length: 1000\r\n"
    held = []
    try:
        for n in range(600):
            client = socket.create_connection(("127.0.0.1", simulated.port))
            client.sendall(head[:n % len(head)] if n % 3 else head + b"\r\n{")
            held.append(client)
        ecs = simulated.client("ecs")
        started = time.monotonic()
        for n in range(50):
            ecs.list_clusters()
            held[n].sendall(b"x")
        assert time.monotonic() - started < 10
    finally:
        for client in held:
            client.close()


def test_random_bytes(simulated):
    chance = random.Random(7)
    for _ in range(300):
        body = bytes(chance.randrange(256) for _ in range(chance.randrange(200)))
        assert call(simulated, body).status in (200, 400)
        assert simulated.form_call("ec2", b"Action=DescribeVpcs&Version=2016-11-15&" + body).status in (200, 400)


def test_mutations_of_a_good_body(simulated):
    chance = random.Random(11)
    for _ in range(500):
        body = bytearray(WHOLE)
        for _ in range(chance.randrange(1, 4)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        answer = call(simulated, bytes(body))
        assert answer.status in (200, 400), (body, answer)


# The registry


@pytest.fixture(scope="module")
def registry(simulated):
    simulated.client("ecr").create_repository(repositoryName="hostile")
    simulated.client("ecr").create_repository(repositoryName="other")
    return Registry(simulated)


@pytest.mark.parametrize("authorization,status,code", [
    (None, 401, "UNAUTHORIZED"),
    ("Basic", 401, "UNAUTHORIZED"),
    ("Basic !!!", 401, "UNAUTHORIZED"),
    ("Bearer x", 401, "UNAUTHORIZED"),
    (Registry.password("x", user="root"), 401, "UNAUTHORIZED"),
    (Registry.password(""), 403, "DENIED"),
    (Registry.password("garbage"), 403, "DENIED"),
    (Registry.password("x" * 100_00), 403, "DENIED"),
])
@pytest.mark.parametrize("method,path", [
    ("GET", "/v2/"), ("GET", "/v2/hostile/tags/list"), ("POST", "/v2/hostile/blobs/uploads/"), ("GET", "/v2/_catalog"),
    ("PUT", "/v2/hostile/manifests/x")])
def test_no_entry_without_a_password(registry, method, path, authorization, status, code):
    answer = registry.send(method, path, authorization=authorization)
    assert (answer.status, error(answer)) == (status, code)
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Basic realm=")


def test_a_password_that_was_tampered_with(registry):
    user, password = base64.b64decode(registry.authorization.split()[1]).decode().split(":", 1)
    for at in [0, len(password) // 2, len(password) - 2]:
        other = password[:at] + ("A" if password[at] != "A" else "B") + password[at + 1:]
        assert registry.send("GET", "/v2/", authorization=Registry.password(other)).status in (401, 403), at
    assert registry.send("GET", "/v2/").status == 200


@pytest.mark.parametrize("name", [
    "../x", "a/../../etc", "..", "hostile/..", "UPPER", "a b", "%2e%2e/x", "hostile%2f..%2fother", "a\\b", "a" * 300, "-a", "a//b", "a%00b"])
def test_bad_names(registry, name):
    name = name.replace(" ", "%20")
    for method, path in [("POST", f"/v2/{name}/blobs/uploads/"), ("GET", f"/v2/{name}/manifests/x"), ("PUT", f"/v2/{name}/manifests/x"),
                         ("GET", f"/v2/{name}/blobs/{digest(b'x')}")]:
        answer = registry.send(method, path)
        assert answer.status in (400, 404), (method, path, answer)


def test_unknown_repositories(registry):
    for method, path in [("POST", "/v2/ghost/blobs/uploads/"), ("GET", "/v2/ghost/manifests/x"), ("GET", "/v2/ghost/tags/list"),
                         ("PUT", "/v2/ghost/manifests/x")]:
        answer = registry.send(method, path, manifest(config()) if method == "PUT" else b"", content_type=OCI_MANIFEST)
        assert (answer.status, error(answer)) == (404, "NAME_UNKNOWN"), (method, path, answer)


@pytest.mark.parametrize("reference", ["x" * 300, "-x", "a%20b", "..", "sha256:short", "md5:" + "0" * 32, "sha256:" + "0" * 64,
                                       "sha256:../../etc", "sha512:" + "0" * 128, "%00"])
def test_bad_references(registry, reference):
    assert registry.send("GET", f"/v2/hostile/manifests/{reference}").status in (400, 404)
    assert registry.manifest("hostile", reference, manifest(config())).status in (400, 404)
    assert registry.send("GET", f"/v2/hostile/blobs/{reference}").status in (400, 404)


def test_wrong_digests(registry):
    at = registry.begin("hostile")
    answer = registry.send("PUT", f"{at}?digest={digest(b'other')}", b"content")
    assert (answer.status, error(answer)) == (400, "DIGEST_INVALID")
    assert registry.send("GET", at).status == 404, "the upload is gone"
    for text in ["", "sha256:", "x", "sha256:" + "g" * 64, "../../../x", "sha256:%2e%2e%2fx"]:
        at = registry.begin("hostile")
        answer = registry.send("PUT", f"{at}?digest={text}", b"content")
        assert (answer.status, error(answer)) == (400, "DIGEST_INVALID"), text
    assert registry.send("PUT", registry.begin("hostile"), b"content").status == 400
    for content in [b"other", b"content"]:
        assert registry.send("HEAD", f"/v2/hostile/blobs/{digest(content)}").status == 404, "nothing is visible"
    content = manifest(config())
    assert error(registry.manifest("hostile", digest(b"else"), content)) == "DIGEST_INVALID"


@pytest.mark.parametrize("content,media_type", [
    (b"", OCI_MANIFEST), (b"{", OCI_MANIFEST), (b"{}", OCI_MANIFEST), (b"[]", OCI_MANIFEST), (b"null", OCI_MANIFEST),
    (b"\xff" * 10, OCI_MANIFEST), (b'{"schemaVersion":1}', OCI_MANIFEST), (b'{"schemaVersion":2}', OCI_MANIFEST),
    (b'{"schemaVersion":2,"config":7,"layers":7}', OCI_MANIFEST),
    (b'{"schemaVersion":2,"config":{"digest":"sha256:../x"},"layers":[]}', OCI_MANIFEST),
    (b'{"schemaVersion":2,"config":{"digest":"' + digest(b"x").encode() + b'"},"layers":[{"digest":null}]}', OCI_MANIFEST),
    (manifest(config()), OCI_INDEX), (index(), OCI_MANIFEST), (manifest(config()), "text/html"),
    (b'{"schemaVersion":2,"manifests":' + b"[" * 20_000 + b"]" * 20_000 + b"}", OCI_INDEX),
    (b'{"schemaVersion":2,"manifests":[' + b",".join(b'{"digest":"sha256:%064x"}' % n for n in range(2000)) + b"]}", OCI_INDEX),
], ids=lambda value: repr(value)[:50])
def test_invalid_manifests(registry, content, media_type):
    answer = registry.manifest("hostile", "bad", content, media_type)
    assert (answer.status, error(answer)) == (400, "MANIFEST_INVALID"), answer
    assert registry.send("GET", "/v2/hostile/manifests/bad").status == 404


def test_oversized_manifests(registry):
    answer = registry.manifest("hostile", "big", b" " * ((4 << 20) + 1))
    assert answer.status in (400, 413) and error(answer) in ("MANIFEST_INVALID", "SIZE_INVALID")


def test_manifests_of_what_is_not_there(registry):
    answer = registry.manifest("hostile", "absent", manifest(config("absent"), b"absent"))
    assert answer.status in (400, 404) and error(answer) in ("BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"), answer
    answer = registry.manifest("hostile", "absent", index(manifest(config("absent"))), OCI_INDEX)
    assert answer.status in (400, 404) and error(answer) in ("MANIFEST_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"), answer
    registry.blob("other", b"of the other")
    answer = registry.manifest("hostile", "absent", manifest(config("absent"), b"of the other"))
    assert answer.status in (400, 404), "layers of another repository do not count"


def test_chunks(registry):
    content = os.urandom(300_000)
    at = registry.begin("hostile")
    def patch(first, last, body=None):
        return registry.send("PATCH", at, content[first:last + 1] if body is None else body, content_range=f"{first}-{last}",
                             content_type="application/octet-stream")
    assert patch(100_000, 199_999).status == 416, "out of order"
    answer = patch(0, 99_999)
    assert (answer.status, answer.headers["range"]) == (202, "0-99999")
    assert patch(0, 99_999).status == 416, "twice"
    assert patch(200_000, 299_999).status == 416, "with a gap"
    answer = registry.send("GET", at)
    assert (answer.status, answer.headers["range"]) == (204, "0-99999")
    assert patch(100_000, 199_999).status == 202
    answer = registry.send("PUT", f"{at}?digest={digest(content)}", content[200_000:], content_range="200000-299999")
    assert answer.status == 201, answer
    assert registry.send("GET", f"/v2/hostile/blobs/{digest(content)}").body == content
    assert registry.send("PATCH", at, b"more").status == 404


def test_two_clients_at_one_upload(registry):
    """However their bytes meet, what is stored has the digest that it is stored under."""
    at = registry.begin("hostile")
    parts = [bytes([n]) * 200_000 for n in range(4)]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda part: registry.send("PATCH", at, part), parts))
    assert all(answer.status < 500 for answer in answers), answers
    wanted = digest(b"".join(parts))
    answer = registry.send("PUT", f"{at}?digest={wanted}")
    assert answer.status in (201, 400, 404), answer
    found = registry.send("GET", f"/v2/hostile/blobs/{wanted}")
    assert found.status == 404 or digest(found.body) == wanted


def test_an_interrupted_upload_leaves_nothing_visible(simulated, registry):
    content = os.urandom(1 << 20)
    at = registry.begin("hostile")
    with socket.create_connection(("127.0.0.1", simulated.port)) as client:
        client.sendall(f"PUT {at}?digest={digest(content)} HTTP/1.1\r\nhost: localhost\r\nauthorization: {registry.authorization}\r\n"
                       f"content-length: {len(content)}\r\n\r\n".encode() + content[:len(content) // 2])
    assert registry.send("HEAD", f"/v2/hostile/blobs/{digest(content)}").status == 404
    def resumed():
        answer = registry.send("GET", at)
        return int(answer.headers["range"].split("-")[1]) + 1 if answer.status == 204 else None
    received = wait_for(resumed, 10)
    assert received <= len(content) // 2
    answer = registry.send("PUT", f"{at}?digest={digest(content)}", content[received:])
    assert answer.status in (201, 400), answer
    if answer.status == 201:
        assert registry.send("GET", f"/v2/hostile/blobs/{digest(content)}").body == content


def test_an_upload_that_is_given_up(registry):
    at = registry.begin("hostile")
    registry.send("PATCH", at, b"abc")
    assert registry.send("DELETE", at).status == 204
    for method in ["GET", "PATCH", "DELETE"]:
        assert registry.send(method, at).status == 404
    for identity in ["../../records.db", "..%2f..%2frecords.db", "a" * 5000, "%00", "x"]:
        for method in ["GET", "PATCH", "PUT", "DELETE"]:
            assert registry.send(method, f"/v2/hostile/blobs/uploads/{identity}?digest={digest(b'')}").status in (400, 404), (method, identity)


def test_another_repositorys_upload(registry):
    at = registry.begin("hostile").replace("/v2/hostile/", "/v2/other/")
    assert registry.send("PATCH", at, b"x").status == 404


def test_mounts(registry):
    content = os.urandom(1000)
    registry.blob("other", content)
    assert registry.send("HEAD", f"/v2/hostile/blobs/{digest(content)}").status == 404
    answer = registry.send("POST", f"/v2/hostile/blobs/uploads/?mount={digest(content)}&from=other")
    assert (answer.status, answer.headers["docker-content-digest"]) == (201, digest(content))
    assert registry.send("GET", f"/v2/hostile/blobs/{digest(content)}").body == content
    for query in [f"mount={digest(b'ghost')}&from=other", f"mount={digest(content)}&from=ghost", f"mount={digest(content)}",
                  "mount=nonsense&from=other", f"mount={digest(content)}&from=..%2f..", "mount=%ff&from=%ff"]:
        answer = registry.send("POST", f"/v2/hostile/blobs/uploads/?{query}")
        assert answer.status == 202 and answer.headers["location"], (query, answer)


@pytest.mark.parametrize("range_,status,expected", [
    ("bytes=0-9", 206, slice(0, 10)), ("bytes=990-", 206, slice(990, 1000)), ("bytes=-10", 206, slice(990, 1000)),
    ("bytes=995-2000", 206, slice(995, 1000)), ("bytes=1000-", 416, None), ("bytes=-0", 416, None),
    ("bytes=9-0", 200, slice(None)), ("bytes=a-b", 200, slice(None)), ("lines=0-1", 200, slice(None)),
    ("bytes=0-99999999999999999999999", 200, slice(None)), ("bytes=99999999999999999999-", 200, slice(None)), ("bytes=--1", 200, slice(None)),
])
def test_ranges(registry, range_, status, expected):
    content = bytes(n % 251 for n in range(1000))
    if registry.send("HEAD", f"/v2/hostile/blobs/{digest(content)}").status != 200:
        registry.blob("hostile", content)
    answer = registry.send("GET", f"/v2/hostile/blobs/{digest(content)}", range=range_)
    assert answer.status == status
    if expected is not None:
        assert answer.body == content[expected]
    if status == 206:
        assert answer.headers["content-range"].endswith("/1000")


@pytest.mark.parametrize("path", ["/v2", "/v2/hostile", "/v2/hostile/", "/v2/hostile/ghost/x", "/v2//tags/list", "/v2/hostile/tags/list/x", "/v2/" + "a/" * 5000])
def test_paths_that_are_none(registry, path):
    assert registry.send("GET", path).status in (200, 400, 404, 414)


def test_pages_of_tags(registry):
    for tag in ["a", "b", "c"]:
        registry.image("other", tag)
    answer = registry.send("GET", "/v2/other/tags/list?n=2")
    assert answer.json()["tags"] == ["a", "b"]
    link = answer.headers["link"].split(">")[0].lstrip("<")
    answer = registry.send("GET", link)
    assert answer.json()["tags"] == ["c"]
    for query in ["n=-1", "n=x", "n=0", "n=99999999999999999999", "last=%ff", "last=zzz"]:
        assert registry.send("GET", f"/v2/other/tags/list?{query}").status in (200, 400), query


def test_what_was_accepted_is_there_in_the_end(simulated, registry):
    """After everything above, an image goes in and out whole."""
    content = registry.image("hostile", "last", "last")
    assert registry.send("GET", "/v2/hostile/manifests/last").body == content
    [found] = simulated.client("ecr").describe_images(repositoryName="hostile", imageIds=[{"imageTag": "last"}])["imageDetails"]
    assert found["imageDigest"] == digest(content)
