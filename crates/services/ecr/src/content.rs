//! Layers and manifests: what the API's data operations and the registry's protocol have in common.

use std::sync::Arc;

use base::{Fault, Timestamp};
use blobs::{Blobs, Digest, Staged};
use bytes::Bytes;
use service::{Caller, Platform, Tx};
use store::Snapshot;

use crate::behaviour::image_id;
use crate::behaviour::manifest::{self, References};
use crate::state::{Image, Layer, Mutability, Registry, Repository, Tag, Upload};
use crate::{Config, faults};

/// Reads and writes content of the repositories. Cheap to clone.
#[derive(Clone)]
pub struct Content {
    platform: Platform,
    blobs: Blobs,
}

/// A manifest with its bytes.
pub struct Manifest {
    pub digest: Digest,
    pub media_type: String,
    pub bytes: Bytes,
}

pub(crate) fn repository(
    records: &Snapshot,
    registry: &Registry,
    name: &str,
) -> Result<Arc<Repository>, Fault> {
    let found = records.get::<Repository>(&Repository::key_of(registry, name));
    found.ok_or_else(|| faults::repository_not_found(registry, name))
}

impl Content {
    pub fn new(platform: Platform, config: &Config) -> Self {
        Content { platform, blobs: config.blobs.clone() }
    }

    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Fails where the registry has no such repository.
    pub fn require(&self, registry: &Registry, name: &str) -> Result<(), Fault> {
        repository(&self.platform.store().snapshot(), registry, name).map(drop)
    }

    /// Names of a registry's repositories, in order.
    pub fn repositories(&self, registry: &Registry) -> Vec<String> {
        let records = self.platform.store().snapshot();
        records.scan::<Repository>(&registry.key()).map(|repository| repository.name.clone()).collect()
    }

    /// Tags of a repository, in order.
    pub fn tags(&self, registry: &Registry, name: &str) -> Result<Vec<String>, Fault> {
        let records = self.platform.store().snapshot();
        repository(&records, registry, name)?;
        let prefix = Repository::key_of(registry, name);
        Ok(records.scan::<Tag>(&prefix).map(|tag| tag.tag.clone()).collect())
    }

    /// Opens an upload that [`crate::api`]'s `InitiateLayerUpload` began.
    pub async fn upload(&self, registry: &Registry, name: &str, id: &str) -> Result<Staged, Fault> {
        let records = self.platform.store().snapshot();
        repository(&records, registry, name)?;
        if records.get::<Upload>(&Upload::key_of(registry, name, id)).is_none() {
            return Err(faults::upload_not_found(registry, name, id));
        }
        self.blobs.stage(id).await.map_err(faults::storage)
    }

    /// Makes an upload a layer of the repository. Its bytes must have `digest`; where they have
    /// not, the upload is gone. Answers the layer's size.
    pub async fn finish(
        &self,
        caller: Caller,
        name: &str,
        id: &str,
        staged: Staged,
        digest: Digest,
    ) -> Result<u64, Fault> {
        let size = staged.offset();
        let committed = self.blobs.commit(staged, digest).await;
        let (registry, name, id) = (Registry::of(&caller), name.to_owned(), id.to_owned());
        let recorded = self.platform.write("FinishLayer", caller, move |tx| {
            tx.delete::<Upload>(&Upload::key_of(&registry, &name, &id));
            if committed.is_ok() {
                repository(tx, &registry, &name)?;
                put_layer(tx, registry, name, digest, size);
            }
            Ok(committed)
        });
        recorded.await?.map_err(faults::storage)?;
        Ok(size)
    }

    /// Throws an upload away.
    pub async fn cancel(&self, caller: Caller, name: &str, id: &str) -> Result<(), Fault> {
        let registry = Registry::of(&caller);
        let (name, upload) = (name.to_owned(), id.to_owned());
        self.platform
            .write("CancelUpload", caller, move |tx| {
                let key = Upload::key_of(&registry, &name, &upload);
                tx.get::<Upload>(&key).ok_or_else(|| faults::upload_not_found(&registry, &name, &upload))?;
                tx.delete::<Upload>(&key);
                Ok(())
            })
            .await?;
        self.blobs.abort(id).map(drop).map_err(faults::storage)
    }

    /// Lets `to` have a layer that `from` has. Answers whether `from` has it.
    pub async fn mount(&self, caller: Caller, from: &str, to: &str, digest: Digest) -> Result<bool, Fault> {
        let registry = Registry::of(&caller);
        let records = self.platform.store().snapshot();
        let source = records.get::<Layer>(&Layer::key_of(&registry, from, &digest));
        let Some(size) = source.map(|layer| layer.size) else { return Ok(false) };
        if !self.blobs.touch(&digest).map_err(faults::storage)? {
            return Ok(false);
        }
        let to = to.to_owned();
        self.platform
            .write("MountLayer", caller, move |tx| {
                repository(tx, &registry, &to)?;
                put_layer(tx, registry, to, digest, size);
                Ok(true)
            })
            .await
    }

    /// Size of a layer or configuration that the repository has.
    pub fn layer(&self, registry: &Registry, name: &str, digest: &Digest) -> Result<u64, Fault> {
        let records = self.platform.store().snapshot();
        repository(&records, registry, name)?;
        let layer = records.get::<Layer>(&Layer::key_of(registry, name, digest));
        layer
            .map(|layer| layer.size)
            .ok_or_else(|| faults::layer_inaccessible(registry, name, &digest.to_string()))
    }

    /// The manifest that a tag or a digest names.
    pub fn manifest(
        &self,
        registry: &Registry,
        name: &str,
        digest: Option<&str>,
        tag: Option<&str>,
    ) -> Result<Manifest, Fault> {
        let records = self.platform.store().snapshot();
        repository(&records, registry, name)?;
        let image = image_id::find(&records, registry, name, digest, tag)
            .map_err(|_| faults::image_not_found(registry, name, digest, tag))?;
        let bytes = self.blobs.bytes(&image.digest, manifest::MAX_BYTES as u64).map_err(faults::storage)?;
        Ok(Manifest { digest: image.digest, media_type: image.media_type.clone(), bytes })
    }

    /// Records an image, and its tag where one is given. `digest`, where given, must be the
    /// manifest's own.
    pub async fn put_manifest(
        &self,
        caller: Caller,
        name: &str,
        bytes: Bytes,
        media_type: Option<&str>,
        digest: Option<&str>,
        tag: Option<&str>,
    ) -> Result<Digest, Fault> {
        let own = Digest::of(&bytes);
        if let Some(asked) = digest
            && asked != own.to_string()
        {
            return Err(faults::digest_differs(&own, asked));
        }
        tag.map(image_id::check_tag).transpose()?;
        let references = manifest::read(&bytes, media_type)?;
        let registry = Registry::of(&caller);
        self.require(&registry, name)?;
        let manifest_size = bytes.len() as u64;
        self.blobs.put_bytes(bytes).await.map_err(faults::storage)?;
        let (name, tag) = (name.to_owned(), tag.map(str::to_owned));
        self.platform
            .write("PutImage", caller, move |tx| {
                record(tx, &registry, &name, own, manifest_size, references, tag.as_deref())
            })
            .await?;
        Ok(own)
    }
}

fn put_layer(tx: &mut Tx<'_>, registry: Registry, repository: String, digest: Digest, size: u64) {
    if tx.get::<Layer>(&Layer::key_of(&registry, &repository, &digest)).is_none() {
        let pushed_at = tx.now;
        tx.put(Layer { registry, repository, digest, size, pushed_at });
    }
}

fn record(
    tx: &mut Tx<'_>,
    registry: &Registry,
    name: &str,
    digest: Digest,
    manifest_size: u64,
    references: References,
    tag: Option<&str>,
) -> Result<(), Fault> {
    let repository = repository(tx, registry, name)?;
    let content_size = require_references(tx, registry, name, &references)?;
    let key = Image::key_of(registry, name, &digest);
    let is_known = tx.get::<Image>(&key).is_some();
    if let Some(tag) = tag {
        set_tag(tx, &repository, tag, digest, is_known)?;
    } else if is_known {
        return Err(faults::image_exists(registry, name, &digest, "null"));
    }
    if !is_known {
        let pushed_at: Timestamp = tx.now;
        tx.put(Image {
            registry: registry.clone(),
            repository: name.to_owned(),
            digest,
            media_type: references.media_type,
            artifact_media_type: references.artifact_media_type,
            manifest_size,
            layers: references.layers,
            content_size,
            manifests: references.manifests,
            pushed_at,
        });
    }
    Ok(())
}

/// Everything that a manifest names must be in the repository. Answers its size in bytes.
fn require_references(
    tx: &Tx<'_>,
    registry: &Registry,
    name: &str,
    references: &References,
) -> Result<u64, Fault> {
    let (mut size, mut absent) = (0, Vec::new());
    for digest in &references.layers {
        match tx.get::<Layer>(&Layer::key_of(registry, name, digest)) {
            Some(layer) => size += layer.size,
            None => absent.push(*digest),
        }
    }
    if !absent.is_empty() {
        return Err(faults::layers_not_found(registry, name, &absent));
    }
    for digest in &references.manifests {
        match tx.get::<Image>(&Image::key_of(registry, name, digest)) {
            Some(image) => size += image.content_size,
            None => absent.push(*digest),
        }
    }
    if absent.is_empty() { Ok(size) } else { Err(faults::manifests_not_found(registry, name, &absent)) }
}

fn set_tag(
    tx: &mut Tx<'_>,
    repository: &Repository,
    tag: &str,
    digest: Digest,
    is_known: bool,
) -> Result<(), Fault> {
    let (registry, name) = (&repository.registry, &repository.name);
    let before = tx.get::<Tag>(&Tag::key_of(registry, name, tag));
    match (before, repository.mutability) {
        (Some(_), Mutability::Immutable) => return Err(faults::tag_is_immutable(registry, name, tag)),
        (Some(before), _) if before.digest == digest && is_known => {
            return Err(faults::image_exists(registry, name, &digest, tag));
        }
        _ => {}
    }
    tx.put(Tag { registry: registry.clone(), repository: name.clone(), tag: tag.to_owned(), digest });
    Ok(())
}
