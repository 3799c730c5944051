//! Every error that ECR answers, with AWS's texts.

use base::Fault;
use blobs::{BlobError, Digest};

use crate::state::Registry;

pub fn repository_not_found(registry: &Registry, name: &str) -> Fault {
    let account = &registry.account;
    Fault::caller(
        "RepositoryNotFoundException",
        format_args!("The repository with name '{name}' does not exist in the registry with id '{account}'"),
    )
}

pub fn repository_exists(registry: &Registry, name: &str) -> Fault {
    let account = &registry.account;
    Fault::caller(
        "RepositoryAlreadyExistsException",
        format_args!("The repository with name '{name}' already exists in the registry with id '{account}'"),
    )
}

pub fn repository_not_empty(registry: &Registry, name: &str) -> Fault {
    let account = &registry.account;
    Fault::caller(
        "RepositoryNotEmptyException",
        format_args!(
            "The repository with name '{name}' in registry with id '{account}' cannot be deleted because it \
             still contains images"
        ),
    )
}

/// `digest` and `tag` as the request had them.
pub fn image_not_found(registry: &Registry, name: &str, digest: Option<&str>, tag: Option<&str>) -> Fault {
    let (digest, tag) = (digest.unwrap_or("null"), tag.unwrap_or("null"));
    let account = &registry.account;
    Fault::caller(
        "ImageNotFoundException",
        format_args!(
            "The image with imageId {{imageDigest:'{digest}', imageTag:'{tag}'}} does not exist within the \
             repository with name '{name}' in the registry with id '{account}'"
        ),
    )
}

pub fn image_exists(registry: &Registry, name: &str, digest: &Digest, tag: &str) -> Fault {
    let account = &registry.account;
    Fault::caller(
        "ImageAlreadyExistsException",
        format_args!(
            "Image with digest '{digest}' and tag '{tag}' already exists in the repository with name '{name}' \
             in registry with id '{account}'"
        ),
    )
}

pub fn tag_is_immutable(registry: &Registry, name: &str, tag: &str) -> Fault {
    let account = &registry.account;
    Fault::caller(
        "ImageTagAlreadyExistsException",
        format_args!(
            "The image tag '{tag}' already exists in the '{name}' repository in registry '{account}' and cannot \
             be overwritten because the tag is immutable."
        ),
    )
}

pub fn layers_not_found(registry: &Registry, name: &str, digests: &[Digest]) -> Fault {
    let account = &registry.account;
    let digests = digests.iter().map(Digest::to_string).collect::<Vec<_>>().join(", ");
    Fault::caller(
        "LayersNotFoundException",
        format_args!(
            "Layers with digests '[{digests}]' required for pushing image into repository with name '{name}' in \
             the registry with id '{account}' do not exist"
        ),
    )
}

pub fn manifests_not_found(registry: &Registry, name: &str, digests: &[Digest]) -> Fault {
    let account = &registry.account;
    let digests = digests.iter().map(Digest::to_string).collect::<Vec<_>>().join(", ");
    Fault::caller(
        "ReferencedImagesNotFoundException",
        format_args!(
            "Images with digests '[{digests}]' required for pushing image into repository with name '{name}' in \
             the registry with id '{account}' do not exist"
        ),
    )
}

pub fn layer_exists(registry: &Registry, name: &str, digest: &Digest) -> Fault {
    let account = &registry.account;
    Fault::caller(
        "LayerAlreadyExistsException",
        format_args!(
            "The layer with digest '{digest}' already exists in the repository with name '{name}' in registry \
             with id '{account}'"
        ),
    )
}

pub fn layer_inaccessible(registry: &Registry, name: &str, digest: &str) -> Fault {
    let account = &registry.account;
    Fault::caller(
        "LayersNotFoundException",
        format_args!(
            "Layers with digests '[{digest}]' do not exist in the repository with name '{name}' in registry with \
             id '{account}'"
        ),
    )
}

pub fn upload_not_found(registry: &Registry, name: &str, id: &str) -> Fault {
    let account = &registry.account;
    Fault::caller(
        "UploadNotFoundException",
        format_args!(
            "The upload '{id}' for the repository with name '{name}' in registry with id '{account}' does not \
             exist"
        ),
    )
}

pub fn digest_differs(manifest: &Digest, asked: &str) -> Fault {
    Fault::caller(
        "ImageDigestDoesNotMatchException",
        format_args!(
            "The digest '{manifest}' of the image manifest does not match the image digest '{asked}'"
        ),
    )
}

pub fn invalid(message: impl std::fmt::Display) -> Fault {
    Fault::caller("InvalidParameterException", message)
}

pub fn foreign_registry(account: &str) -> Fault {
    // AWS: another account's registry needs a repository policy; there are none yet.
    Fault::caller(
        "AccessDeniedException",
        format_args!("Registry '{account}' is another account's, and repository policies are not built yet."),
    )
    .with_status(400)
}

/// What Boxship does not act on, by name.
pub fn refuse(what: &str) -> Fault {
    invalid(format_args!("Boxship does not support '{what}' of Amazon ECR yet."))
}

/// Content that could not be stored or read.
pub fn storage(error: BlobError) -> Fault {
    match error {
        BlobError::DigestMismatch { .. } => {
            Fault::caller("InvalidLayerException", format_args!("The layer's digest does not match: {error}"))
        }
        BlobError::Busy(_) => Fault::caller("InvalidLayerPartException", error),
        error => Fault::server("ServerException", format_args!("The content could not be stored: {error}")),
    }
}
