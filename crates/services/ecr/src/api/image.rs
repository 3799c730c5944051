//! Images: manifests with their tags.

use std::sync::Arc;

use aws_ecr as api;
use base::Fault;
use bytes::Bytes;
use service::{Data, Tx, View};
use store::Snapshot;

use super::registry;
use crate::behaviour::image_id::{self, Miss};
use crate::behaviour::page;
use crate::content::{Content, repository as find};
use crate::state::{Image, Registry, Repository, Tag};
use crate::{Config, convert, faults};

pub fn list(view: &View<'_>, request: api::ListImagesRequest) -> Result<api::ListImagesResponse, Fault> {
    let registry = registry(view.caller, request.registry_id.as_ref())?;
    let name = &request.repository_name;
    find(view, &registry, name)?;
    let status = request.filter.and_then(|filter| filter.tag_status);
    let entries = selected(view, &registry, name, status.as_deref()).flat_map(|(image, tags)| {
        let digest = image.digest.to_string();
        if tags.is_empty() {
            return vec![(digest.clone(), convert::identifier(Some(&digest), None))];
        }
        let show = |tag: &String| (format!("{digest} {tag}"), convert::identifier(Some(&digest), Some(tag)));
        tags.iter().map(show).collect()
    });
    let token = request.next_token.as_deref();
    let (page, next_token) = page::cut(entries, |(key, _)| key.clone(), token, request.max_results)?;
    let image_ids = page.into_iter().map(|(_, id)| id).collect();
    Ok(api::ListImagesResponse { image_ids: Some(image_ids), next_token })
}

/// Images of a repository with their tags, by digest; `status` is `TAGGED`, `UNTAGGED` or `ANY`.
fn selected(
    records: &Snapshot,
    registry: &Registry,
    name: &str,
    status: Option<&str>,
) -> impl Iterator<Item = (Arc<Image>, Vec<String>)> {
    let prefix = Repository::key_of(registry, name);
    records
        .scan::<Image>(&prefix)
        .map(|image| {
            let tags = image_id::tags(records, &image);
            (image, tags)
        })
        .filter(move |(_, tags)| match status {
            Some("TAGGED") => !tags.is_empty(),
            Some("UNTAGGED") => tags.is_empty(),
            _ => true,
        })
        .collect::<Vec<_>>()
        .into_iter()
}

pub fn describe(
    view: &View<'_>,
    request: api::DescribeImagesRequest,
) -> Result<api::DescribeImagesResponse, Fault> {
    let registry = registry(view.caller, request.registry_id.as_ref())?;
    let name = &request.repository_name;
    find(view, &registry, name)?;
    if let Some(ids) = request.image_ids {
        let found: Result<Vec<_>, Fault> = ids
            .iter()
            .map(|id| {
                let (digest, tag) = (id.image_digest.as_deref(), id.image_tag.as_deref());
                image_id::find(view, &registry, name, digest, tag)
                    .map(|image| convert::detail(view, &image))
                    .map_err(|_| faults::image_not_found(&registry, name, digest, tag))
            })
            .collect();
        return Ok(api::DescribeImagesResponse { image_details: Some(found?), ..Default::default() });
    }
    let status = request.filter.and_then(|filter| filter.tag_status);
    let images = selected(view, &registry, name, status.as_deref()).map(|(image, _)| image);
    let token = request.next_token.as_deref();
    let (page, next_token) = page::cut(images, |image| image.digest.to_string(), token, request.max_results)?;
    let details = page.iter().map(|image| convert::detail(view, image)).collect();
    Ok(api::DescribeImagesResponse { image_details: Some(details), next_token })
}

fn failure(id: &api::ImageIdentifier, miss: Miss) -> api::ImageFailure {
    api::ImageFailure {
        image_id: Some(id.clone()),
        failure_code: Some(miss.code.to_owned()),
        failure_reason: Some(miss.reason),
    }
}

/// AWS: by tag, only the tag goes, and the image with its last one; by digest, all of its tags go.
pub fn delete(
    tx: &mut Tx<'_>,
    request: api::BatchDeleteImageRequest,
) -> Result<api::BatchDeleteImageResponse, Fault> {
    let registry = registry(tx.caller, request.registry_id.as_ref())?;
    let name = &request.repository_name;
    find(tx, &registry, name)?;
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for id in &request.image_ids {
        let (digest, tag) = (id.image_digest.as_deref(), id.image_tag.as_deref());
        match image_id::find(tx, &registry, name, digest, tag) {
            Err(miss) => failures.push(failure(id, miss)),
            Ok(image) => match holder(tx, &image).filter(|_| tag.is_none() || tag_count(tx, &image) < 2) {
                Some(index) => failures.push(failure(
                    id,
                    Miss {
                        code: "ImageReferencedByManifestList",
                        reason: format!("Requested image referenced by manifest list: [{}]", index.digest),
                    },
                )),
                None => deleted.extend(remove(tx, &image, tag)),
            },
        }
    }
    Ok(api::BatchDeleteImageResponse { image_ids: Some(deleted), failures: Some(failures) })
}

fn tag_count(tx: &Tx<'_>, image: &Image) -> usize {
    image_id::tags(tx, image).len()
}

/// An index of the repository that names this image.
fn holder(tx: &Tx<'_>, image: &Image) -> Option<Arc<Image>> {
    let prefix = Repository::key_of(&image.registry, &image.repository);
    tx.scan::<Image>(&prefix).find(|other| other.manifests.contains(&image.digest))
}

fn remove(tx: &mut Tx<'_>, image: &Image, tag: Option<&str>) -> Vec<api::ImageIdentifier> {
    let (registry, name, digest) = (&image.registry, &image.repository, image.digest.to_string());
    let tags = image_id::tags(tx, image);
    let gone: Vec<_> = tags.iter().filter(|known| tag.is_none_or(|tag| tag == *known)).collect();
    for tag in &gone {
        tx.delete::<Tag>(&Tag::key_of(registry, name, tag));
    }
    if gone.len() == tags.len() {
        tx.delete::<Image>(&Image::key_of(registry, name, &image.digest));
    }
    if gone.is_empty() {
        return vec![convert::identifier(Some(&digest), None)];
    }
    gone.into_iter().map(|tag| convert::identifier(Some(&digest), Some(tag))).collect()
}

pub async fn put(
    config: Config,
    data: Data,
    request: api::PutImageRequest,
) -> Result<api::PutImageResponse, Fault> {
    let registry = registry(&data.caller, request.registry_id.as_ref())?;
    let content = Content::new(data.platform.clone(), &config);
    let bytes = Bytes::from(request.image_manifest.clone());
    let name = &request.repository_name;
    let tag = request.image_tag.as_deref();
    let media_type = request.image_manifest_media_type.as_deref();
    let asked = request.image_digest.as_deref();
    let digest = content.put_manifest(data.caller, name, bytes, media_type, asked, tag).await?;
    let stored = content.manifest(&registry, name, Some(&digest.to_string()), None)?;
    let image = api::Image {
        registry_id: Some(registry.account),
        repository_name: Some(request.repository_name),
        image_id: Some(convert::identifier(Some(&digest.to_string()), tag)),
        image_manifest: Some(request.image_manifest),
        image_manifest_media_type: Some(stored.media_type),
    };
    Ok(api::PutImageResponse { image: Some(image) })
}

pub async fn get(
    config: Config,
    data: Data,
    request: api::BatchGetImageRequest,
) -> Result<api::BatchGetImageResponse, Fault> {
    let registry = registry(&data.caller, request.registry_id.as_ref())?;
    let name = &request.repository_name;
    let records = data.snapshot();
    find(&records, &registry, name)?;
    let content = Content::new(data.platform.clone(), &config);
    let accepted = request.accepted_media_types.unwrap_or_default();
    let (mut images, mut failures) = (Vec::new(), Vec::new());
    for id in &request.image_ids {
        let (digest, tag) = (id.image_digest.as_deref(), id.image_tag.as_deref());
        let image = match image_id::find(&records, &registry, name, digest, tag) {
            Ok(image) if accepted.is_empty() || accepted.contains(&image.media_type) => image,
            Ok(_) => {
                let reason = String::from("Requested image has none of the accepted media types");
                failures.push(failure(id, Miss { code: "ImageNotFound", reason }));
                continue;
            }
            Err(miss) => {
                failures.push(failure(id, miss));
                continue;
            }
        };
        let manifest = content.manifest(&registry, name, Some(&image.digest.to_string()), None)?;
        images.push(api::Image {
            registry_id: Some(registry.account.clone()),
            repository_name: Some(name.clone()),
            image_id: Some(convert::identifier(Some(&manifest.digest.to_string()), tag)),
            image_manifest: Some(String::from_utf8_lossy(&manifest.bytes).into_owned()),
            image_manifest_media_type: Some(manifest.media_type),
        });
    }
    Ok(api::BatchGetImageResponse { images: Some(images), failures: Some(failures) })
}
