//! Requests in, answers out, on the memory store and a directory of blobs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod content;
mod images;
mod repositories;

use aws_ecr::op::{CompleteLayerUpload, CreateRepository, InitiateLayerUpload, PutImage, UploadLayerPart};
use aws_ecr::{
    CompleteLayerUploadRequest, CreateRepositoryRequest, InitiateLayerUploadRequest, PutImageRequest,
    PutImageResponse, UploadLayerPartRequest,
};
use base::{Fault, Secret, Timestamp};
use blobs::{Blobs, Digest};
use service_ecr::{Config, Content, Tokens};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// ECR alone.
struct Registry {
    bench: testkit::Bench,
    content: Content,
    blobs: Blobs,
    _dir: tempfile::TempDir,
}

impl Registry {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let config = Config {
            blobs: blobs.clone(),
            tokens: Tokens::new(Secret::new("k")),
            host: "localhost:4566".into(),
            wall: || Timestamp::from_secs(1_800_000_000),
        };
        let bench = testkit::Bench::new([service_ecr::service(&config)]);
        let content = Content::new(bench.platform.clone(), &config);
        Registry { bench, content, blobs, _dir: dir }
    }

    /// With a repository `web`.
    fn with_repository() -> Self {
        let registry = Registry::new();
        registry.create("web", None).unwrap();
        registry
    }

    fn create(
        &self,
        name: &str,
        mutability: Option<&str>,
    ) -> Result<aws_ecr::CreateRepositoryResponse, Fault> {
        self.bench.ask::<CreateRepository>(CreateRepositoryRequest {
            repository_name: name.into(),
            image_tag_mutability: mutability.map(Into::into),
            ..Default::default()
        })
    }

    /// A layer by the API's three operations, unless the repository has it.
    fn layer(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let registry = service_ecr::Registry::of(&testkit::customer());
        if self.content.layer(&registry, name, &digest).is_ok() {
            return digest;
        }
        let begun = self.bench.ask::<InitiateLayerUpload>(InitiateLayerUploadRequest {
            repository_name: name.into(),
            ..Default::default()
        });
        let id = begun.unwrap().upload_id.unwrap();
        self.part(name, &id, 0, bytes).unwrap();
        self.complete(name, &id, &digest.to_string()).unwrap();
        digest
    }

    fn part(&self, name: &str, id: &str, first: i64, bytes: &[u8]) -> Result<i64, Fault> {
        let answer = self.bench.ask::<UploadLayerPart>(UploadLayerPartRequest {
            repository_name: name.into(),
            upload_id: id.into(),
            part_first_byte: first,
            part_last_byte: first + bytes.len() as i64 - 1,
            layer_part_blob: bytes.to_vec(),
            ..Default::default()
        });
        answer.map(|answer| answer.last_byte_received.unwrap())
    }

    fn complete(&self, name: &str, id: &str, digest: &str) -> Result<(), Fault> {
        let answer = self.bench.ask::<CompleteLayerUpload>(CompleteLayerUploadRequest {
            repository_name: name.into(),
            upload_id: id.into(),
            layer_digests: vec![digest.into()],
            ..Default::default()
        });
        answer.map(drop)
    }

    fn put(&self, name: &str, manifest: &str, tag: Option<&str>) -> Result<PutImageResponse, Fault> {
        self.bench.ask::<PutImage>(PutImageRequest {
            repository_name: name.into(),
            image_manifest: manifest.into(),
            image_tag: tag.map(Into::into),
            ..Default::default()
        })
    }

    /// An image of one layer whose content is `seed`, tagged; answers its digest.
    fn image(&self, name: &str, seed: &str, tag: Option<&str>) -> String {
        let text = manifest(self.layer(name, b"{}"), self.layer(name, seed.as_bytes()));
        self.put(name, &text, tag).unwrap().image.unwrap().image_id.unwrap().image_digest.unwrap()
    }
}

fn manifest(config: Digest, layer: Digest) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":5}}]}}"#
    )
}
