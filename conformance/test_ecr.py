"""ECR's API: repositories, images, and the layer operations end to end."""

import base64
import json
import time
import urllib.error
import urllib.request

import pytest

from conftest import refused
from images import OCI_MANIFEST, Registry, config, digest, index, manifest


@pytest.fixture
def ecr(simulated, request):
    """An account of the test's own, with the repository team/web in it."""
    number = sum(map(ord, request.node.name)) % 10**9
    client = simulated.client("ecr", account=f"5{number:011}")
    client.create_repository(repositoryName="team/web")
    client.registry = Registry(simulated, account=f"5{number:011}")
    return client


def upload(ecr, content, name="team/web", part=None):
    """Through InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload."""
    identity = ecr.initiate_layer_upload(repositoryName=name)["uploadId"]
    size = part or len(content)
    for first in range(0, len(content), size):
        piece = content[first:first + size]
        last = first + len(piece) - 1
        answer = ecr.upload_layer_part(repositoryName=name, uploadId=identity, partFirstByte=first, partLastByte=last,
                                       layerPartBlob=piece)
        assert answer["lastByteReceived"] == last
    answer = ecr.complete_layer_upload(repositoryName=name, uploadId=identity, layerDigests=[digest(content)])
    assert answer["layerDigest"] == digest(content)
    return digest(content)


def put(ecr, tag, mark="", name="team/web"):
    """Pushes a small image through the API; answers its digest."""
    content = manifest(config(mark), f"layer {mark}".encode())
    for blob in [config(mark), f"layer {mark}".encode()]:
        found = ecr.batch_check_layer_availability(repositoryName=name, layerDigests=[digest(blob)])["layers"]
        if found[0]["layerAvailability"] == "UNAVAILABLE":
            upload(ecr, blob, name)
    tagged = {"imageTag": tag} if tag else {}
    answer = ecr.put_image(repositoryName=name, imageManifest=content.decode(), **tagged)["image"]
    assert answer["imageId"]["imageDigest"] == digest(content)
    return digest(content)


def test_repositories(simulated):
    ecr = simulated.client("ecr", account="500000000001", region="eu-west-1")
    made = ecr.create_repository(repositoryName="a/b", tags=[{"Key": "team", "Value": "x"}])["repository"]
    assert made["repositoryArn"] == "arn:aws:ecr:eu-west-1:500000000001:repository/a/b"
    assert (made["registryId"], made["imageTagMutability"]) == ("500000000001", "MUTABLE")
    assert made["repositoryUri"] == f"localhost:{simulated.port}/a/b"
    assert made["encryptionConfiguration"]["encryptionType"] == "AES256"
    refused("RepositoryAlreadyExistsException", ecr.create_repository,
            "The repository with name 'a/b' already exists in the registry with id '500000000001'", repositoryName="a/b")
    for n in range(6):
        ecr.create_repository(repositoryName=f"r{n}")
    pages = list(ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 3}))
    assert [len(page["repositories"]) for page in pages] == [3, 3, 1]
    assert [r["repositoryName"] for page in pages for r in page["repositories"]] == ["a/b"] + [f"r{n}" for n in range(6)]
    assert len(ecr.describe_repositories(repositoryNames=["r1", "r2"])["repositories"]) == 2
    refused("RepositoryNotFoundException", ecr.describe_repositories,
            "The repository with name 'ghost' does not exist in the registry with id '500000000001'", repositoryNames=["ghost"])
    arn = made["repositoryArn"]
    ecr.tag_resource(resourceArn=arn, tags=[{"Key": "a", "Value": "b"}])
    ecr.untag_resource(resourceArn=arn, tagKeys=["team"])
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "a", "Value": "b"}]
    ecr.delete_repository(repositoryName="r1")
    for call in [ecr.delete_repository, ecr.list_images, ecr.describe_images, ecr.initiate_layer_upload]:
        refused("RepositoryNotFoundException", call, repositoryName="r1")
    unchecked = simulated.client("ecr", account="500000000001", region="eu-west-1", parameter_validation=False)
    for name in ["Upper", "a//b", "../x", "x", "-a", "a" * 257, "a/../../b"]:
        refused("InvalidParameterException", unchecked.create_repository, repositoryName=name)


def test_registry_and_login(simulated):
    ecr = simulated.client("ecr", account="500000000002")
    assert ecr.describe_registry()["registryId"] == "500000000002"
    [data] = ecr.get_authorization_token()["authorizationData"]
    user, password = base64.b64decode(data["authorizationToken"]).decode().split(":", 1)
    assert user == "AWS" and len(password) > 20
    assert data["proxyEndpoint"].endswith(f"localhost:{simulated.port}")
    assert data["expiresAt"].timestamp() - time.time() == pytest.approx(12 * 3600, abs=60)


def test_layers_end_to_end(ecr):
    content = bytes(range(256)) * 3000
    before = ecr.batch_check_layer_availability(repositoryName="team/web", layerDigests=[digest(content), "sha256:short"])
    assert before["layers"][0]["layerAvailability"] == "UNAVAILABLE"
    assert before["failures"][0]["failureCode"] == "InvalidLayerDigest"
    refused("LayersNotFoundException", ecr.get_download_url_for_layer, repositoryName="team/web", layerDigest=digest(content))
    upload(ecr, content, part=100_000)
    [layer] = ecr.batch_check_layer_availability(repositoryName="team/web", layerDigests=[digest(content)])["layers"]
    assert (layer["layerAvailability"], layer["layerSize"]) == ("AVAILABLE", len(content))
    answer = ecr.get_download_url_for_layer(repositoryName="team/web", layerDigest=digest(content))
    assert answer["layerDigest"] == digest(content)
    with urllib.request.urlopen(answer["downloadUrl"]) as download:
        assert download.read() == content
    ticket = answer["downloadUrl"]
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(ticket[:-1] + ("0" if ticket[-1] != "0" else "1"))


def test_bad_layers(ecr):
    identity = ecr.initiate_layer_upload(repositoryName="team/web")["uploadId"]
    part = {"repositoryName": "team/web", "uploadId": identity, "layerPartBlob": b"abc"}
    refused("InvalidLayerPartException", ecr.upload_layer_part, **part, partFirstByte=1, partLastByte=3)
    refused("InvalidLayerPartException", ecr.upload_layer_part, **part, partFirstByte=0, partLastByte=3)
    refused("EmptyUploadException", ecr.complete_layer_upload, repositoryName="team/web", uploadId=identity,
            layerDigests=[digest(b"")])
    ecr.upload_layer_part(**part, partFirstByte=0, partLastByte=2)
    refused("InvalidLayerPartException", ecr.upload_layer_part, **part, partFirstByte=0, partLastByte=2)
    refused("InvalidLayerException", ecr.complete_layer_upload, repositoryName="team/web", uploadId=identity,
            layerDigests=[digest(b"abd")])
    refused("UploadNotFoundException", ecr.upload_layer_part, **part | {"uploadId": "00000000-0000-0000-0000-000000000000"},
            partFirstByte=0, partLastByte=2)
    for identity in ["../../x", "/etc/passwd", "a\0b"]:
        with pytest.raises(Exception, match="UploadNotFoundException|InvalidParameterException|Invalid"):
            ecr.upload_layer_part(**part | {"uploadId": identity}, partFirstByte=0, partLastByte=2)
    upload(ecr, b"abc")
    identity = ecr.initiate_layer_upload(repositoryName="team/web")["uploadId"]
    ecr.upload_layer_part(**part | {"uploadId": identity}, partFirstByte=0, partLastByte=2)
    refused("LayerAlreadyExistsException", ecr.complete_layer_upload, repositoryName="team/web", uploadId=identity,
            layerDigests=[digest(b"abc")])


def test_images(ecr):
    one, two = put(ecr, "one", "1"), put(ecr, "two", "2")
    refused("ImageAlreadyExistsException", put, ecr=ecr, tag="one", mark="1")
    assert put(ecr, "also-one", "1") == one
    untagged = put(ecr, None, "3")
    listed = {(i["imageDigest"], i.get("imageTag")) for i in ecr.list_images(repositoryName="team/web")["imageIds"]}
    assert listed == {(one, "one"), (one, "also-one"), (two, "two"), (untagged, None)}
    only = ecr.list_images(repositoryName="team/web", filter={"tagStatus": "UNTAGGED"})["imageIds"]
    assert [i["imageDigest"] for i in only] == [untagged]
    pages = list(ecr.get_paginator("list_images").paginate(repositoryName="team/web", PaginationConfig={"PageSize": 3}))
    assert [len(page["imageIds"]) for page in pages] == [3, 1]
    [found] = ecr.describe_images(repositoryName="team/web", imageIds=[{"imageTag": "one"}])["imageDetails"]
    assert (found["imageDigest"], sorted(found["imageTags"])) == (one, ["also-one", "one"])
    content = manifest(config("1"), b"layer 1")
    assert found["imageSizeInBytes"] == len(config("1")) + len(b"layer 1"), "the layers, not the manifest"
    assert found["imageManifestMediaType"] == OCI_MANIFEST
    assert len(ecr.describe_images(repositoryName="team/web")["imageDetails"]) == 3
    refused("ImageNotFoundException", ecr.describe_images, "imageTag:'ghost'", repositoryName="team/web",
            imageIds=[{"imageTag": "ghost"}])
    answer = ecr.batch_get_image(repositoryName="team/web", imageIds=[{"imageTag": "one"}, {"imageTag": "ghost"}])
    assert answer["images"][0]["imageManifest"].encode() == content
    assert answer["failures"][0]["failureCode"] == "ImageNotFound"
    assert put(ecr, "one", "2") == two, "a mutable tag moves"
    [found] = ecr.describe_images(repositoryName="team/web", imageIds=[{"imageTag": "one"}])["imageDetails"]
    assert found["imageDigest"] == two


def test_put_image_errors(ecr):
    absent = manifest(config("absent"), b"absent").decode()
    message = refused("LayersNotFoundException", ecr.put_image, repositoryName="team/web", imageManifest=absent, imageTag="x")
    assert digest(b"absent") in message
    refused("ReferencedImagesNotFoundException", ecr.put_image, repositoryName="team/web",
            imageManifest=index(absent.encode()).decode(), imageTag="x")
    for text in ["{", "{}", "[]", "null", '{"schemaVersion": 1}', '{"schemaVersion": 2}']:
        refused("InvalidParameterException", ecr.put_image, repositoryName="team/web", imageManifest=text, imageTag="x")
    for tag in ["no spaces", "a" * 301, "-x"]:
        refused("InvalidParameterException", ecr.put_image, repositoryName="team/web", imageManifest=absent, imageTag=tag)
    put(ecr, "x")
    content = manifest(config(), b"layer ").decode()
    refused("ImageDigestDoesNotMatchException", ecr.put_image, repositoryName="team/web", imageManifest=content,
            imageTag="y", imageDigest=digest(b"other"))
    refused("RepositoryNotFoundException", ecr.put_image, repositoryName="ghost", imageManifest=content, imageTag="x")


def test_immutable_tags(ecr):
    ecr.put_image_tag_mutability(repositoryName="team/web", imageTagMutability="IMMUTABLE")
    assert ecr.describe_repositories()["repositories"][0]["imageTagMutability"] == "IMMUTABLE"
    put(ecr, "v1", "1")
    refused("ImageTagAlreadyExistsException", put, "The image tag 'v1' already exists in the 'team/web' repository",
            ecr=ecr, tag="v1", mark="2")
    ecr.batch_delete_image(repositoryName="team/web", imageIds=[{"imageTag": "v1"}])
    put(ecr, "v1", "2")
    made = ecr.create_repository(repositoryName="fixed", imageTagMutability="IMMUTABLE")["repository"]
    assert made["imageTagMutability"] == "IMMUTABLE"
    refused("InvalidParameterException", ecr.put_image_tag_mutability, "imageTagMutabilityExclusionFilters", repositoryName="fixed",
            imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
            imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "dev*"}])


def test_batch_delete(ecr):
    image = put(ecr, "one", "1")
    put(ecr, "two", "1")
    answer = ecr.batch_delete_image(repositoryName="team/web", imageIds=[{"imageTag": "one"}, {"imageTag": "ghost"}])
    assert answer["imageIds"] == [{"imageDigest": image, "imageTag": "one"}]
    assert answer["failures"][0]["failureCode"] == "ImageNotFound"
    assert ecr.describe_images(repositoryName="team/web")["imageDetails"][0]["imageTags"] == ["two"]
    ecr.batch_delete_image(repositoryName="team/web", imageIds=[{"imageTag": "two"}])
    assert ecr.list_images(repositoryName="team/web")["imageIds"] == [], "the image goes with its last tag"
    image = put(ecr, "one", "1")
    put(ecr, "two", "1")
    answer = ecr.batch_delete_image(repositoryName="team/web", imageIds=[{"imageDigest": image}])
    assert {i["imageTag"] for i in answer["imageIds"]} == {"one", "two"}, "by digest, every tag goes"
    answer = ecr.batch_delete_image(repositoryName="team/web", imageIds=[{"imageDigest": "nonsense"}])
    assert answer["failures"][0]["failureCode"] == "InvalidImageDigest"
    child = put(ecr, None, "2")
    content = index(manifest(config("2"), b"layer 2"))
    ecr.put_image(repositoryName="team/web", imageManifest=content.decode(), imageTag="many")
    answer = ecr.batch_delete_image(repositoryName="team/web", imageIds=[{"imageDigest": child}])
    assert answer["failures"][0]["failureCode"] == "ImageReferencedByManifestList"


def test_delete_repository_with_images(ecr):
    put(ecr, "one")
    refused("RepositoryNotEmptyException", ecr.delete_repository, "cannot be deleted because it still contains images",
            repositoryName="team/web")
    ecr.delete_repository(repositoryName="team/web", force=True)
    assert ecr.describe_repositories()["repositories"] == []
    ecr.create_repository(repositoryName="team/web")
    assert ecr.list_images(repositoryName="team/web")["imageIds"] == []
    [layer] = ecr.batch_check_layer_availability(repositoryName="team/web", layerDigests=[digest(b"layer ")])["layers"]
    assert layer["layerAvailability"] == "UNAVAILABLE"


def test_api_and_registry_see_the_same(ecr):
    image = put(ecr, "api", "1")
    answer = ecr.registry.send("GET", "/v2/team/web/manifests/api")
    assert (answer.status, answer.headers["docker-content-digest"]) == (200, image)
    assert ecr.registry.send("GET", f"/v2/team/web/blobs/{digest(b'layer 1')}").body == b"layer 1"
    pushed = ecr.registry.image("team/web", "pushed", "2")
    [found] = ecr.batch_get_image(repositoryName="team/web", imageIds=[{"imageTag": "pushed"}])["images"]
    assert found["imageManifest"].encode() == pushed
    assert sorted(ecr.registry.send("GET", "/v2/team/web/tags/list").json()["tags"]) == ["api", "pushed"]


def test_another_accounts_registry(ecr):
    refused("AccessDeniedException", ecr.list_images, repositoryName="team/web", registryId="599999999999")
    message = refused("InvalidParameterException", ecr.create_repository, repositoryName="xx",
                      imageScanningConfiguration={"scanOnPush": True})
    assert "scanOnPush" in message


def test_what_is_not_built_is_refused_by_name(ecr):
    message = refused("UnknownOperationException", ecr.put_lifecycle_policy, repositoryName="team/web", lifecyclePolicyText="{}" * 50)
    assert "PutLifecyclePolicy" in message and "Boxship" in message


def test_aws_cli(simulated, tmp_path):
    simulated.aws("ecr", "create-repository", "--repository-name", "cli")
    (tmp_path / "m.json").write_bytes(Registry(simulated).image("cli", "pushed"))
    images = simulated.aws("ecr", "describe-images", "--repository-name", "cli")["imageDetails"]
    assert images[0]["imageTags"] == ["pushed"]
    simulated.aws("ecr", "put-image", "--repository-name", "cli", "--image-tag", "again", "--image-manifest", f"file://{tmp_path}/m.json")
    got = simulated.aws("ecr", "batch-get-image", "--repository-name", "cli", "--image-ids", "imageTag=again")
    assert json.loads(got["images"][0]["imageManifest"])["schemaVersion"] == 2
