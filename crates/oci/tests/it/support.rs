//! A layer from entries, unpacked; an image on a shelf.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use blobs::Digest;
use bytes::Bytes;
use oci::assemble::Assembled;
use oci::manifest::{OCI_MANIFEST, Part};
use oci::tar::{Kind, WriteEntry};
use oci::unpack::{Limits, Opaque, UnpackError, Unpacked, unpack};
use oci::{BoxFuture, Error, Reference, Resolved, Source};

/// Making owners, devices and overlayfs's marks takes root.
pub fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("left out: it takes root");
    }
    is_root
}

pub fn file<'a>(path: &'a str, data: &'a str) -> WriteEntry<'a> {
    WriteEntry { path, data: data.as_bytes(), ..WriteEntry::default() }
}

pub fn directory(path: &str) -> WriteEntry<'_> {
    WriteEntry { path, kind: Kind::Directory, mode: 0o755, ..WriteEntry::default() }
}

pub fn link<'a>(kind: Kind, path: &'a str, link: &'a str) -> WriteEntry<'a> {
    WriteEntry { path, kind, link, ..WriteEntry::default() }
}

pub fn temporary(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

pub fn unpack_bytes(bytes: &[u8], root: &Path, limits: Limits) -> Result<Unpacked, UnpackError> {
    unpack(temporary(bytes), "", root, (limits, Opaque::default()), &|_| ())
}

/// Images in memory, as a source that counts.
#[derive(Default)]
pub struct Shelf {
    manifests: Mutex<HashMap<String, (Option<String>, Bytes)>>,
    blobs: Mutex<HashMap<Digest, Bytes>>,
    pub blob_reads: AtomicUsize,
}

impl Shelf {
    pub fn put(&self, name: &str, image: &Assembled) {
        self.put_manifest(name, OCI_MANIFEST, image.manifest.clone());
        for (part, bytes) in &image.blobs {
            self.blobs.lock().unwrap().insert(part.digest, bytes.clone());
        }
    }

    /// Under the name, and under its digest in the same repository.
    pub fn put_manifest(&self, name: &str, media_type: &str, bytes: Bytes) {
        let reference: Reference = name.parse().unwrap();
        let by_digest = reference.by_digest(Digest::of(&bytes)).to_string();
        let entry = (Some(media_type.to_owned()), bytes);
        let mut manifests = self.manifests.lock().unwrap();
        manifests.insert(by_digest, entry.clone());
        manifests.insert(reference.to_string(), entry);
    }
}

impl Source for Shelf {
    fn resolve<'a>(&'a self, reference: &'a Reference) -> BoxFuture<'a, Result<Resolved, Error>> {
        Box::pin(async move {
            let found = self.manifests.lock().unwrap().get(&reference.to_string()).cloned();
            let (media_type, bytes) = found.ok_or_else(|| Error::NotFound(reference.to_string()))?;
            Ok(Resolved { media_type, digest: Digest::of(&bytes), bytes })
        })
    }

    fn blob<'a>(
        &'a self,
        _reference: &'a Reference,
        part: &'a Part,
        _scratch: &'a Path,
        received: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<File, Error>> {
        Box::pin(async move {
            self.blob_reads.fetch_add(1, Ordering::Relaxed);
            // Lets concurrent pulls meet.
            tokio::task::yield_now().await;
            let found = self.blobs.lock().unwrap().get(&part.digest).cloned();
            let bytes = found.ok_or_else(|| Error::NotFound(part.digest.to_string()))?;
            received(bytes.len() as u64);
            Ok(temporary(&bytes))
        })
    }
}
