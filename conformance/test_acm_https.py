"""HTTPS on the one port, and the authority that clients are to trust for it."""

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import urllib.request

import boto3
import botocore.config
import botocore.exceptions
import pytest

from conftest import AWS_CLI


@pytest.fixture(scope="module")
def authority(simulated, tmp_path_factory):
    """The default account's authority, as a file."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    simulated.run("ca", "export", "--output", str(path))
    assert path.read_text().startswith("-----BEGIN CERTIFICATE-----")
    return str(path)


def client(server, service, verify, name="localhost"):
    return boto3.client(service, endpoint_url=f"https://{name}:{server.port}", region_name="us-east-1", verify=verify,
                        aws_access_key_id="000000000000", aws_secret_access_key="x",
                        config=botocore.config.Config(retries={"max_attempts": 0}))


def certificate(server, name, verify):
    """What a client that asks for `name` is shown, once it believes it."""
    context = ssl.create_default_context(cafile=verify)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname=name) as tls:
            return tls.getpeercert()


def test_boto3_believes_the_authority_and_nothing_else(simulated, authority):
    for name in ["localhost", "127.0.0.1"]:
        assert client(simulated, "sts", authority, name).get_caller_identity()["Account"] == "000000000000"
    with pytest.raises(botocore.exceptions.SSLError):
        client(simulated, "sts", True).get_caller_identity()
    # Plain HTTP goes on working beside it.
    assert simulated.client("sts").get_caller_identity()["Account"] == "000000000000"


def test_the_aws_cli_takes_the_bundle(simulated, authority):
    if AWS_CLI is None:
        pytest.skip("left out: the AWS CLI is not installed")
    environment = {**os.environ, "AWS_CA_BUNDLE": authority, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
                   "AWS_ACCESS_KEY_ID": "000000000000", "AWS_SECRET_ACCESS_KEY": "x", "AWS_PAGER": ""}
    done = subprocess.run([AWS_CLI, "--endpoint-url", f"https://localhost:{simulated.port}", "ecs", "list-clusters"],
                          env=environment, text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "clusterArns" in json.loads(done.stdout)


@pytest.mark.parametrize("arguments", [[], ["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3"]])
def test_curl(simulated, authority, arguments):
    curl = shutil.which("curl") or pytest.skip("left out: curl is not installed")
    url = f"https://localhost:{simulated.port}/_boxship/health"
    done = subprocess.run([curl, "-sS", "--cacert", authority, *arguments, url], text=True, capture_output=True, timeout=60)
    assert done.returncode == 0 and json.loads(done.stdout)["status"] == "ready", done.stderr
    done = subprocess.run([curl, "-sS", url], text=True, capture_output=True, timeout=60)
    assert done.returncode == 60, "not believed without the authority"


def test_names_get_certificates_of_their_own(simulated, authority):
    for name in ["localhost", "000000000000.dkr.ecr.us-east-1.localhost", "ecs.us-east-1.amazonaws.com"]:
        names = certificate(simulated, name, authority)["subjectAltName"]
        assert ("DNS", name) in names and ("IP Address", "127.0.0.1") in names
    # The same name, the same certificate; a name that is not ours gets none of its own.
    assert certificate(simulated, "localhost", authority) == certificate(simulated, "localhost", authority)
    with pytest.raises(ssl.SSLCertVerificationError):
        certificate(simulated, "www.example.com", authority)
    for number in range(300):
        assert ("DNS", f"n{number}.localhost") in certificate(simulated, f"n{number}.localhost", authority)["subjectAltName"]


def test_the_registry_over_https(simulated, authority, tmp_path):
    context = ssl.create_default_context(cafile=authority)
    connection = http.client.HTTPSConnection("localhost", simulated.port, context=context, timeout=10)
    connection.request("GET", "/v2/")
    answer = connection.getresponse()
    assert answer.status == 401 and answer.read()
    skopeo = shutil.which("skopeo") or pytest.skip("left out: skopeo is not installed")
    ecr = client(simulated, "ecr", authority)
    ecr.create_repository(repositoryName="https")
    (tmp_path / "certs").mkdir()
    shutil.copy(authority, tmp_path / "certs" / "ca.crt")
    layout = tmp_path / "layout"
    make_layout(layout)
    pushed = subprocess.run(
        [skopeo, "--insecure-policy", "copy", "--dest-cert-dir", str(tmp_path / "certs"), "--dest-creds", f"AWS:{password(ecr)}",
         f"oci:{layout}:one", f"docker://localhost:{simulated.port}/https:one"], text=True, capture_output=True, timeout=60)
    assert pushed.returncode == 0, pushed.stderr
    assert [image["imageTag"] for image in ecr.list_images(repositoryName="https")["imageIds"]] == ["one"]


def password(ecr):
    import base64
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    return base64.b64decode(token).decode().split(":", 1)[1]


def make_layout(layout):
    """The smallest image there is."""
    import hashlib
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(value, kind):
        content = json.dumps(value).encode()
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    config = blob({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}},
                  "application/vnd.oci.image.config.v1+json")
    manifest = blob({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
                     "layers": []}, "application/vnd.oci.image.manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "one"}
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))


def test_an_authority_stays_through_restart_and_reset(simulated, authority):
    before = open(authority).read()
    request = urllib.request.Request(simulated.url + "/_boxship/reset", b"{}", {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.loads(answer.read())["status"] == "wiped"
    assert simulated.run("ca", "export").stdout == before
    simulated.kill()
    simulated.start()
    assert simulated.run("ca", "export").stdout == before
    assert client(simulated, "sts", authority).get_caller_identity()["Account"] == "000000000000"


def test_each_account_has_its_own(simulated):
    own = simulated.run("ca", "export").stdout
    other = simulated.run("ca", "export", "--account", "111122223333").stdout
    assert other != own and other.startswith("-----BEGIN CERTIFICATE-----")
    assert simulated.run("ca", "export", "--account", "111122223333").stdout == other
    refused = simulated.run("ca", "export", "--account", "me", check=False)
    assert refused.returncode == 2 and "twelve digits" in refused.stderr


def test_what_is_no_handshake_costs_nobody_else(simulated, authority):
    """Half a hello, garbage after a hello's first byte, a hello and then nothing."""
    hellos = [b"\x16", b"\x16\x03\x01\x02\x00\x01", b"\x16" + b"A" * 5000, b"\x16\x03\x01\xff\xff" + b"\0" * 70000]
    held = []
    for hello in hellos:
        for _ in range(20):
            held.append(socket.create_connection(("127.0.0.1", simulated.port), timeout=10))
            try:
                held[-1].sendall(hello)
            except OSError:
                pass  # Cut off already, which is fine.
    assert client(simulated, "sts", authority).get_caller_identity()["Account"] == "000000000000"
    assert simulated.client("sts").get_caller_identity()["Account"] == "000000000000"
    for connection in held:
        connection.close()
