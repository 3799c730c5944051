#!/usr/bin/env bash
# Scenario 2: log in, push and pull with ECR's password, under localhost:<port>/demo.
# Needs the AWS CLI, and skopeo, podman or docker. Run it against a fresh `boxship up`, after
# `eval "$(boxship env)"`; IMAGE names an OCI or Docker archive.
set -euo pipefail
registry=${AWS_ENDPOINT_URL#http://}
image=${IMAGE:?an image archive, as of: boxship image make PROGRAM hello.tar}
client=${CLIENT:-skopeo}

aws ecr create-repository --repository-name demo >/dev/null
case $client in
  skopeo)
    # Docker takes localhost without TLS by itself; skopeo and podman want to be told.
    aws ecr get-login-password | skopeo login --tls-verify=false --username AWS --password-stdin "$registry"
    skopeo copy --dest-tls-verify=false "oci-archive:$image" "docker://$registry/demo:latest"
    skopeo copy --src-tls-verify=false "docker://$registry/demo:latest" "oci-archive:$(mktemp -d)/pulled.tar"
    skopeo logout "$registry"
    ;;
  podman)
    aws ecr get-login-password | podman login --tls-verify=false --username AWS --password-stdin "$registry"
    id=$(podman load --quiet --input "$image" | sed 's/.*: //')
    podman tag "$id" "$registry/demo:latest"
    podman push --tls-verify=false "$registry/demo:latest"
    podman pull --quiet --tls-verify=false "$registry/demo:latest"
    podman logout "$registry"
    ;;
  docker)
    aws ecr get-login-password | docker login --username AWS --password-stdin "$registry"
    id=$(docker load --quiet --input "$image" | sed 's/.*: //')
    docker tag "$id" "$registry/demo:latest"
    docker push --quiet "$registry/demo:latest"
    docker pull --quiet "$registry/demo:latest"
    docker logout "$registry"
    ;;
esac
aws ecr describe-images --repository-name demo --query 'imageDetails[].[imageDigest,imageTags[0],imageSizeInBytes]' --output text
