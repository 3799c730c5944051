//! What a pushed manifest refers to.

use base::Fault;
use blobs::Digest;
use serde_json::Value;

use crate::faults;

/// AWS: a manifest has at most 4 MiB.
pub const MAX_BYTES: usize = 4 << 20;
/// A manifest names at most so many layers or manifests: Docker's own limit is 127 layers.
const MAX_ENTRIES: usize = 1_000;

pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A manifest's or index's references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct References {
    pub media_type: String,
    pub artifact_media_type: Option<String>,
    /// Configuration first, then layers, each once.
    pub layers: Vec<Digest>,
    pub manifests: Vec<Digest>,
}

/// Reads `bytes`; `announced` is the media type that the client gave, which must agree with the
/// manifest's own.
pub fn read(bytes: &[u8], announced: Option<&str>) -> Result<References, Fault> {
    let malformed = |why: &str| {
        Err(faults::invalid(format_args!(
            "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax': {why}"
        )))
    };
    if bytes.len() > MAX_BYTES {
        return malformed("a manifest has at most 4 MiB");
    }
    let Ok(manifest) = serde_json::from_slice::<Value>(bytes) else { return malformed("not JSON") };
    let own = manifest.get("mediaType").and_then(Value::as_str);
    if let (Some(own), Some(announced)) = (own, announced)
        && own != announced
    {
        return malformed("mediaType differs from the announced media type");
    }
    if manifest.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
        return Err(faults::invalid(
            "Image manifest schema version 1 is not supported: push schema version 2 or OCI",
        ));
    }
    let has_layers = manifest.get("layers").is_some();
    let media_type = own.or(announced).unwrap_or(if has_layers { OCI_MANIFEST } else { OCI_INDEX });
    let artifact_media_type = || {
        let named = manifest.get("artifactType").or_else(|| manifest.get("config")?.get("mediaType"));
        named.and_then(Value::as_str).map(str::to_owned)
    };
    match media_type {
        DOCKER_MANIFEST | OCI_MANIFEST => {
            let Some(config) = manifest.get("config") else { return malformed("a manifest has a config") };
            let Some(layers) = manifest.get("layers").and_then(Value::as_array) else {
                return malformed("a manifest has layers");
            };
            let layers = digests(std::iter::once(config).chain(layers))?;
            Ok(References {
                media_type: media_type.to_owned(),
                artifact_media_type: artifact_media_type(),
                layers,
                manifests: Vec::new(),
            })
        }
        DOCKER_INDEX | OCI_INDEX => {
            let Some(manifests) = manifest.get("manifests").and_then(Value::as_array) else {
                return malformed("an index has manifests");
            };
            let manifests = digests(manifests.iter())?;
            Ok(References {
                media_type: media_type.to_owned(),
                artifact_media_type: None,
                layers: Vec::new(),
                manifests,
            })
        }
        other => Err(faults::invalid(format_args!("Unsupported manifest media type '{other}'"))),
    }
}

fn digests<'a>(descriptors: impl Iterator<Item = &'a Value>) -> Result<Vec<Digest>, Fault> {
    let mut found = Vec::new();
    for descriptor in descriptors {
        let text = descriptor.get("digest").and_then(Value::as_str).unwrap_or_default();
        let digest: Digest = text.parse().map_err(|error| {
            faults::invalid(format_args!("Invalid parameter at 'ImageManifest': {error}"))
        })?;
        // Foreign layers have no content here: nothing that runs on Linux needs them.
        if !found.contains(&digest) {
            found.push(digest);
        }
        if found.len() > MAX_ENTRIES {
            return Err(faults::invalid("Invalid parameter at 'ImageManifest': more than 1000 descriptors"));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{OCI_INDEX, OCI_MANIFEST, read};

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn a_manifest_names_its_configuration_and_each_layer_once() {
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"digest":"{A}"}},"layers":[{{"digest":"{A}"}}]}}"#
        );
        let references = read(text.as_bytes(), Some(OCI_MANIFEST)).unwrap();
        assert_eq!(references.layers.len(), 1);
        assert!(read(text.as_bytes(), Some(OCI_INDEX)).is_err(), "the announced type must agree");
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"schemaVersion":1}"#,
            r#"{"schemaVersion":2,"layers":[]}"#,
            r#"{"schemaVersion":2,"config":{"digest":"md5:x"},"layers":[]}"#,
            r#"{"schemaVersion":2,"manifests":[{}]}"#,
            r#"{"schemaVersion":2,"mediaType":"text/plain"}"#,
        ] {
            assert!(read(text.as_bytes(), None).is_err(), "{text}");
        }
        assert!(read(br#"{"schemaVersion":2,"manifests":[]}"#, None).is_ok());
    }
}
