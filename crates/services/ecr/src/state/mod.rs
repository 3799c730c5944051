//! Records and their keys.
//!
//! ```text
//! ecr/repository   account ⇥ region ⇥ repository
//! ecr/layer        account ⇥ region ⇥ repository ⇥ digest
//! ecr/image        account ⇥ region ⇥ repository ⇥ digest
//! ecr/tag          account ⇥ region ⇥ repository ⇥ tag      index by-image: … repository ⇥ digest ⇥ tag
//! ecr/upload       account ⇥ region ⇥ repository ⇥ upload id
//! ```
//!
//! Content (layers, configurations, manifests) lies in the blobs under its digest, once for all
//! repositories. A layer's record says that a repository may read it.

use base::{Arn, Tags, Timestamp};
use blobs::Digest;
use serde::{Deserialize, Serialize};
use service::Caller;
use store::{Entries, Key, Kinds, Record};

/// Account and region: a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Registry {
    pub account: String,
    pub region: String,
}

impl Registry {
    pub fn of(caller: &Caller) -> Self {
        Registry { account: caller.account.to_string(), region: caller.region.to_string() }
    }

    pub fn key(&self) -> Key {
        Key::of(&[&self.account, &self.region])
    }
}

/// May a tag be moved to another image?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mutability {
    Mutable,
    Immutable,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repository {
    pub registry: Registry,
    pub name: String,
    pub arn: Arn,
    pub created_at: Timestamp,
    pub mutability: Mutability,
    pub tags: Tags,
}

impl Repository {
    pub fn key_of(registry: &Registry, name: &str) -> Key {
        registry.key().child(name)
    }
}

impl Record for Repository {
    const KIND: &'static str = "ecr/repository";
    fn key(&self) -> Key {
        Repository::key_of(&self.registry, &self.name)
    }
}

/// A repository has this layer (or configuration).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    pub registry: Registry,
    pub repository: String,
    pub digest: Digest,
    pub size: u64,
    pub pushed_at: Timestamp,
}

impl Layer {
    pub fn key_of(registry: &Registry, repository: &str, digest: &Digest) -> Key {
        Repository::key_of(registry, repository).child(&digest.to_string())
    }
}

impl Record for Layer {
    const KIND: &'static str = "ecr/layer";
    fn key(&self) -> Key {
        Layer::key_of(&self.registry, &self.repository, &self.digest)
    }
}

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    pub registry: Registry,
    pub repository: String,
    pub digest: Digest,
    pub media_type: String,
    pub artifact_media_type: Option<String>,
    pub manifest_size: u64,
    /// Configuration and layers of a manifest; each is in `ecr/layer`.
    pub layers: Vec<Digest>,
    /// Sum of the layers' compressed sizes; of an index, of its manifests' too.
    pub content_size: u64,
    /// Manifests of an index; each is in `ecr/image`.
    pub manifests: Vec<Digest>,
    pub pushed_at: Timestamp,
}

impl Image {
    pub fn key_of(registry: &Registry, repository: &str, digest: &Digest) -> Key {
        Repository::key_of(registry, repository).child(&digest.to_string())
    }
}

impl Record for Image {
    const KIND: &'static str = "ecr/image";
    fn key(&self) -> Key {
        Image::key_of(&self.registry, &self.repository, &self.digest)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tag {
    pub registry: Registry,
    pub repository: String,
    pub tag: String,
    pub digest: Digest,
}

impl Tag {
    pub const BY_IMAGE: &'static str = "by-image";

    pub fn key_of(registry: &Registry, repository: &str, tag: &str) -> Key {
        Repository::key_of(registry, repository).child(tag)
    }
}

impl Record for Tag {
    const KIND: &'static str = "ecr/tag";
    fn key(&self) -> Key {
        Tag::key_of(&self.registry, &self.repository, &self.tag)
    }
    fn index(&self, entries: &mut Entries) {
        let Registry { account, region } = &self.registry;
        let digest = self.digest.to_string();
        entries.add(Tag::BY_IMAGE, &[account, region, &self.repository, &digest, &self.tag]);
    }
}

/// A layer on its way in; its bytes are staged in the blobs under the same id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upload {
    pub registry: Registry,
    pub repository: String,
    pub id: String,
    pub created_at: Timestamp,
}

impl Upload {
    pub fn key_of(registry: &Registry, repository: &str, id: &str) -> Key {
        Repository::key_of(registry, repository).child(id)
    }
}

impl Record for Upload {
    const KIND: &'static str = "ecr/upload";
    fn key(&self) -> Key {
        Upload::key_of(&self.registry, &self.repository, &self.id)
    }
}

/// Every kind of this service.
pub fn kinds(kinds: Kinds) -> Kinds {
    kinds.with::<Repository>().with::<Layer>().with::<Image>().with::<Tag>().with::<Upload>()
}
