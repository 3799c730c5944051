//! Images made from files at hand: the example image, and what tests need.
//!
//! Invariant: equal input gives equal digests: no clock, no host, no order of a hash map.

use std::io::{self, Write};

use blobs::Digest;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::Platform;
use crate::manifest::{OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, Part};
use crate::tar::{Kind, TarWriter, WriteEntry};

/// What an image runs, beside its files. Empty members are left out.
#[derive(Debug, Clone, Default)]
pub struct Recipe {
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    /// `NAME=value`
    pub env: Vec<String>,
    pub working_dir: String,
    pub user: String,
    /// `8080/tcp`
    pub ports: Vec<String>,
}

/// An image in memory.
#[derive(Debug, Clone)]
pub struct Assembled {
    /// Of type [`OCI_MANIFEST`].
    pub manifest: Bytes,
    pub digest: Digest,
    /// Configuration first, then the layers, each with its content.
    pub blobs: Vec<(Part, Bytes)>,
}

/// An uncompressed layer archive of these entries.
pub fn layer(entries: &[WriteEntry<'_>]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for entry in entries {
        writer.append(entry).expect("memory takes all writes");
    }
    writer.finish().expect("memory takes all writes")
}

/// An image of these uncompressed layer archives, lowest first, gzipped.
pub fn assemble(layers: &[Vec<u8>], platform: &Platform, recipe: &Recipe) -> Assembled {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let mut config = serde_json::Map::new();
    let lists = [("Entrypoint", &recipe.entrypoint), ("Cmd", &recipe.cmd), ("Env", &recipe.env)];
    for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        config.insert(key.to_owned(), json!(list));
    }
    let texts = [("WorkingDir", &recipe.working_dir), ("User", &recipe.user)];
    for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        config.insert(key.to_owned(), json!(text));
    }
    if !recipe.ports.is_empty() {
        let ports: serde_json::Map<_, _> = recipe.ports.iter().map(|p| (p.clone(), json!({}))).collect();
        config.insert(String::from("ExposedPorts"), json!(ports));
    }
    let config = json!({
        "architecture": platform.architecture,
        "os": platform.os,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let mut blobs = vec![blob(OCI_CONFIG, config.to_string().into_bytes())];
    blobs.extend(layers.iter().map(|layer| blob(OCI_LAYER_GZIP, gzip(layer))));
    let descriptors: Vec<_> = blobs.iter().map(|(part, _)| descriptor(part)).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptors[0],
        "layers": descriptors[1..],
    });
    let manifest = Bytes::from(manifest.to_string());
    Assembled { digest: Digest::of(&manifest), manifest, blobs }
}

/// A one-layer image around a static binary, which becomes its entry point at `/<name>`, and
/// further files (path, content).
pub fn from_binary(
    name: &str,
    binary: &[u8],
    files: &[(&str, &[u8])],
    platform: &Platform,
    recipe: &Recipe,
) -> Assembled {
    let mut entries = vec![WriteEntry { path: name, mode: 0o755, data: binary, ..WriteEntry::default() }];
    entries.extend(files.iter().map(|(path, data)| WriteEntry { path, data, ..WriteEntry::default() }));
    let mut recipe = recipe.clone();
    recipe.entrypoint = vec![format!("/{name}")];
    assemble(&[layer(&entries)], platform, &recipe)
}

/// Writes the image as an OCI layout archive under `name`, which `skopeo copy oci-archive:` and
/// [`crate::archive::import`] read.
pub fn write_layout(image: &Assembled, name: &str, output: impl Write) -> io::Result<()> {
    let manifest =
        Part { media_type: OCI_MANIFEST.to_owned(), digest: image.digest, size: image.manifest.len() as u64 };
    let mut entry = descriptor(&manifest);
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).to_string();
    let layout = json!({"imageLayoutVersion": "1.0.0"}).to_string();
    let mut writer = TarWriter::new(output);
    for path in ["blobs/", "blobs/sha256/"] {
        writer.append(&WriteEntry { path, kind: Kind::Directory, mode: 0o755, ..WriteEntry::default() })?;
    }
    let mut file =
        |path: &str, data: &[u8]| writer.append(&WriteEntry { path, data, ..WriteEntry::default() });
    file("oci-layout", layout.as_bytes())?;
    file("index.json", index.as_bytes())?;
    let mut written = vec![image.digest];
    file(&format!("blobs/sha256/{}", image.digest.hex()), &image.manifest)?;
    for (part, content) in &image.blobs {
        if !written.contains(&part.digest) {
            written.push(part.digest);
            file(&format!("blobs/sha256/{}", part.digest.hex()), content)?;
        }
    }
    writer.finish()?.flush()
}

fn blob(media_type: &str, content: Vec<u8>) -> (Part, Bytes) {
    let part =
        Part { media_type: media_type.to_owned(), digest: Digest::of(&content), size: content.len() as u64 };
    (part, content.into())
}

fn descriptor(part: &Part) -> serde_json::Value {
    json!({"mediaType": part.media_type, "digest": part.digest, "size": part.size})
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes all writes")
}
