"""Images of a few bytes, and a client of the registry that sends what it is told."""

import base64
import hashlib
import json

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def descriptor(content, media_type):
    return {"mediaType": media_type, "digest": digest(content), "size": len(content)}


def config(mark=""):
    return json.dumps({"architecture": "amd64", "os": "linux", "config": {"Labels": {"mark": mark}},
                       "rootfs": {"type": "layers", "diff_ids": []}}).encode()


def manifest(configuration, *layers, media_type=OCI_MANIFEST):
    return json.dumps({
        "schemaVersion": 2, "mediaType": media_type, "config": descriptor(configuration, OCI_CONFIG),
        "layers": [descriptor(layer, OCI_LAYER) for layer in layers]}).encode()


def index(*manifests):
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        {**descriptor(m, OCI_MANIFEST), "platform": {"architecture": "amd64", "os": "linux"}} for m in manifests]}).encode()


class Registry:
    """The registry's own protocol, request by request."""

    def __init__(self, server, region="us-east-1", account="000000000000"):
        self.server = server
        ecr = server.client("ecr", region=region, account=account)
        token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        self.authorization = f"Basic {token}"

    def send(self, method, path, body=b"", **headers):
        headers = {"authorization": self.authorization, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.server.send(method, path, body, {name: value for name, value in headers.items() if value is not None})

    def begin(self, name):
        answer = self.send("POST", f"/v2/{name}/blobs/uploads/")
        assert answer.status == 202, answer
        return answer.headers["location"]

    def blob(self, name, content):
        answer = self.send("PUT", f"{self.begin(name)}?digest={digest(content)}", content)
        assert answer.status == 201, answer
        return digest(content)

    def manifest(self, name, reference, content, media_type=OCI_MANIFEST):
        return self.send("PUT", f"/v2/{name}/manifests/{reference}", content, content_type=media_type)

    def image(self, name, tag, mark=""):
        """Pushes an image; answers its manifest."""
        layer, configuration = f"layer {mark}".encode(), config(mark)
        self.blob(name, layer)
        self.blob(name, configuration)
        content = manifest(configuration, layer)
        answer = self.manifest(name, tag, content)
        assert answer.status == 201, answer
        return content

    @staticmethod
    def password(text, user="AWS"):
        return "Basic " + base64.b64encode(f"{user}:{text}".encode()).decode()


def error(answer):
    """The code of an error in the registry's form."""
    return answer.json()["errors"][0]["code"]
