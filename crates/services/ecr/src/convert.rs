//! Records as the API shows them.

use aws_ecr as api;
use store::Snapshot;

use crate::behaviour::image_id;
use crate::state::{Image, Mutability, Repository};

pub fn repository(repository: &Repository, host: &str) -> api::Repository {
    api::Repository {
        repository_arn: Some(repository.arn.to_string()),
        registry_id: Some(repository.registry.account.clone()),
        repository_name: Some(repository.name.clone()),
        repository_uri: Some(format!("{host}/{}", repository.name)),
        created_at: Some(repository.created_at),
        image_tag_mutability: Some(mutability(repository.mutability).to_owned()),
        image_scanning_configuration: Some(api::ImageScanningConfiguration { scan_on_push: Some(false) }),
        encryption_configuration: Some(api::EncryptionConfiguration {
            encryption_type: String::from("AES256"),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub fn mutability(mutability: Mutability) -> &'static str {
    match mutability {
        Mutability::Mutable => "MUTABLE",
        Mutability::Immutable => "IMMUTABLE",
    }
}

pub fn tags(tags: &base::Tags) -> Vec<api::Tag> {
    tags.iter().map(|(key, value)| api::Tag { key: key.clone(), value: value.clone() }).collect()
}

/// AWS: the size is that of the compressed layers and the configuration.
pub fn detail(records: &Snapshot, image: &Image) -> api::ImageDetail {
    let tags = image_id::tags(records, image);
    api::ImageDetail {
        registry_id: Some(image.registry.account.clone()),
        repository_name: Some(image.repository.clone()),
        image_digest: Some(image.digest.to_string()),
        image_tags: (!tags.is_empty()).then_some(tags),
        image_size_in_bytes: Some(i64::try_from(image.content_size).unwrap_or(i64::MAX)),
        image_pushed_at: Some(image.pushed_at),
        image_manifest_media_type: Some(image.media_type.clone()),
        artifact_media_type: image.artifact_media_type.clone(),
        image_status: Some(String::from("ACTIVE")),
        ..Default::default()
    }
}

pub fn identifier(digest: Option<&str>, tag: Option<&str>) -> api::ImageIdentifier {
    api::ImageIdentifier { image_digest: digest.map(str::to_owned), image_tag: tag.map(str::to_owned) }
}
