//! Image archives: OCI layouts and what `docker save` writes, as one uncompressed tar file.
//!
//! Invariant: a sink sees a blob only with a reader that fails at its end unless the content has
//! the announced digest, and a manifest only after everything that it points to.
//!
//! Ignores links inside archives, and children of an index that the archive leaves out.

mod contents;
mod docker;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;

use blobs::Digest;
use serde::Deserialize;

use contents::Contents;

use crate::Error;
use crate::manifest::{DOCKER_INDEX, MAX_MANIFEST, Manifest, OCI_INDEX, Part};

const MAX_INDEXES: usize = 4;
/// Manifests in one archive.
const MAX_MANIFESTS: usize = 1024;

/// Where an archive's images go. Blocking.
pub trait Sink {
    /// A configuration or a layer. `content` fails at its end if it is not what `part` says; then
    /// nothing must be kept of it.
    fn blob(&mut self, part: &Part, content: &mut dyn Read) -> Result<(), Error>;

    /// A manifest or an index, after its parts; `names` are empty for what only an index names.
    fn manifest(&mut self, names: &[String], part: &Part, bytes: &[u8]) -> Result<(), Error>;
}

/// Gives every image of the archive to `sink`; returns the names and digests of the top ones.
/// Blocking.
pub fn import(file: File, sink: &mut dyn Sink) -> Result<Vec<(Vec<String>, Digest)>, Error> {
    let contents = Contents::scan(file)?;
    if contents.has("index.json") {
        let index = contents.small("index.json", MAX_MANIFEST)?;
        return Walk { contents: &contents, sink, sent: BTreeSet::new(), manifests: 0 }.layout(&index);
    }
    if contents.has("manifest.json") {
        return docker::import(&contents, sink);
    }
    Err(Error::Archive(String::from("it has neither index.json nor manifest.json")))
}

#[derive(Deserialize)]
struct Named {
    manifests: Vec<NamedEntry>,
}

#[derive(Deserialize)]
struct NamedEntry {
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

impl NamedEntry {
    /// containerd and Docker give the full name where the specification has room for a tag.
    fn names(&self) -> Vec<String> {
        let keys = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
        let annotations = self.annotations.as_ref();
        keys.iter().find_map(|key| annotations?.get(*key).cloned()).into_iter().collect()
    }
}

struct Walk<'a> {
    contents: &'a Contents,
    sink: &'a mut dyn Sink,
    sent: BTreeSet<Digest>,
    manifests: usize,
}

impl Walk<'_> {
    fn layout(&mut self, index: &[u8]) -> Result<Vec<(Vec<String>, Digest)>, Error> {
        let parsed = Manifest::parse(Some(OCI_INDEX), index)?;
        let named: Named = serde_json::from_slice(index).map_err(|e| Error::Manifest(e.into()))?;
        let mut images = Vec::new();
        for (part, entry) in parsed.parts()?.iter().zip(&named.manifests) {
            let names = entry.names();
            self.manifest(part, &names, 0)?;
            images.push((names, part.digest));
        }
        Ok(images)
    }

    fn manifest(&mut self, part: &Part, names: &[String], depth: usize) -> Result<(), Error> {
        self.manifests += 1;
        if depth > MAX_INDEXES || self.manifests > MAX_MANIFESTS {
            return Err(Error::Archive(String::from("too many manifests, or too deep")));
        }
        let bytes = self.contents.small(&blob_path(&part.digest), MAX_MANIFEST)?;
        let actual = Digest::of(&bytes);
        if actual != part.digest {
            return Err(Error::Digest { expected: part.digest, actual });
        }
        let manifest = Manifest::parse(Some(&part.media_type), &bytes)?;
        for child in manifest.parts()? {
            let path = blob_path(&child.digest);
            match &manifest {
                Manifest::Index(_) if !self.contents.has(&path) => {}
                Manifest::Index(_) => self.manifest(&child, &[], depth + 1)?,
                Manifest::Image(_) if self.sent.contains(&child.digest) => {}
                Manifest::Image(_) => {
                    self.sink.blob(&child, &mut self.contents.verified(&path, &child)?)?;
                    self.sent.insert(child.digest);
                }
            }
        }
        self.sink.manifest(names, part, &bytes)
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Whether a media type is an index's.
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_INDEX)
}
