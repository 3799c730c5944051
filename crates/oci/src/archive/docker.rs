//! What `docker save` wrote before it wrote OCI layouts: `manifest.json` and plain layers.

use std::io;

use blobs::{Digest, Hasher};
use serde::Deserialize;
use serde_json::json;

use super::Sink;
use super::contents::Contents;
use crate::Error;
use crate::manifest::{MAX_MANIFEST, Manifest, OCI_CONFIG, OCI_MANIFEST, Part, parse_config};

const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MAX_IMAGES: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

pub(super) fn import(contents: &Contents, sink: &mut dyn Sink) -> Result<Vec<(Vec<String>, Digest)>, Error> {
    let text = contents.small("manifest.json", MAX_MANIFEST)?;
    let saved: Vec<Saved> = serde_json::from_slice(&text).map_err(|e| Error::Manifest(e.into()))?;
    if saved.len() > MAX_IMAGES {
        return Err(Error::Archive(format!("it has more than {MAX_IMAGES} images")));
    }
    saved.into_iter().map(|image| import_one(contents, image, sink)).collect()
}

fn import_one(
    contents: &Contents,
    saved: Saved,
    sink: &mut dyn Sink,
) -> Result<(Vec<String>, Digest), Error> {
    let config = contents.small(&saved.config, MAX_MANIFEST)?;
    parse_config(&config, saved.layers.len())?;
    let mut parts = vec![(saved.config.clone(), part(OCI_CONFIG, Digest::of(&config), config.len() as u64))];
    for path in &saved.layers {
        let mut slice = contents.open(path)?;
        let size = slice.left;
        let mut hasher = Hashing(Hasher::default());
        io::copy(&mut slice, &mut hasher).map_err(|e| Error::Archive(e.to_string()))?;
        parts.push((path.clone(), part(OCI_LAYER, hasher.0.finish(), size)));
    }
    for (path, part) in &parts {
        sink.blob(part, &mut contents.verified(path, part)?)?;
    }
    let descriptors: Vec<_> = parts
        .iter()
        .map(|(_, part)| json!({"mediaType": part.media_type, "digest": part.digest, "size": part.size}))
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptors[0],
        "layers": descriptors[1..],
    })
    .to_string();
    Manifest::parse(Some(OCI_MANIFEST), manifest.as_bytes())?;
    let names = saved.repo_tags.unwrap_or_default();
    let digest = Digest::of(manifest.as_bytes());
    sink.manifest(&names, &part(OCI_MANIFEST, digest, manifest.len() as u64), manifest.as_bytes())?;
    Ok((names, digest))
}

fn part(media_type: &str, digest: Digest, size: u64) -> Part {
    Part { media_type: media_type.to_owned(), digest, size }
}

struct Hashing(Hasher);

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
