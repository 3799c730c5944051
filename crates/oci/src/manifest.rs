//! Manifests, indexes and configurations: strict parsing, and the choice of a platform.
//!
//! Ignores signatures, artifacts that are no images, and Docker's schema 1.

use blobs::{Digest, DigestError};
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest};
use serde::Deserialize;

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// Bytes of a manifest, an index or a configuration.
pub const MAX_MANIFEST: u64 = 4 << 20;
const MAX_LAYERS: usize = 512;
const MAX_MANIFESTS: usize = 1024;

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("it has more than {MAX_MANIFEST} bytes")]
    TooLong,
    #[error("it has {actual} {what}, more than {limit}")]
    TooMany { what: &'static str, limit: usize, actual: usize },
    #[error("it is not the JSON that it should be")]
    Json(#[from] serde_json::Error),
    #[error("schemaVersion is {0}, expected 2")]
    Schema(u32),
    #[error("media type {0:?} is not supported")]
    MediaType(String),
    #[error("it was announced as {announced:?} and says that it is {own:?}")]
    Disagrees { announced: String, own: String },
    #[error("it is both a manifest and an index")]
    Ambiguous,
    #[error(transparent)]
    Digest(#[from] DigestError),
    #[error("its configuration lists {diff_ids} layers, the manifest {layers}")]
    LayerCount { diff_ids: usize, layers: usize },
}

/// What a reference leads to.
#[derive(Debug, Clone)]
pub enum Manifest {
    Image(Box<ImageManifest>),
    Index(Box<ImageIndex>),
}

/// A part of a manifest, with a digest that we can check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub media_type: String,
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

impl TryFrom<&Descriptor> for Part {
    type Error = DigestError;

    fn try_from(descriptor: &Descriptor) -> Result<Part, DigestError> {
        let digest = descriptor.digest().as_ref().parse()?;
        Ok(Part { media_type: descriptor.media_type().to_string(), digest, size: descriptor.size() })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    layers: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    config: Option<serde::de::IgnoredAny>,
}

impl Manifest {
    /// Reads a manifest or an index. `media_type` is what the registry announced, if anything.
    pub fn parse(media_type: Option<&str>, bytes: &[u8]) -> Result<Manifest, ManifestError> {
        if bytes.len() as u64 > MAX_MANIFEST {
            return Err(ManifestError::TooLong);
        }
        let outline: Outline = serde_json::from_slice(bytes)?;
        // A document that reads both ways would be checked as one and run as the other.
        if outline.manifests.is_some() && (outline.layers.is_some() || outline.config.is_some()) {
            return Err(ManifestError::Ambiguous);
        }
        let announced = media_type.map(essence).filter(|m| !is_generic(m));
        if let (Some(announced), Some(own)) = (&announced, &outline.media_type)
            && announced != own
        {
            return Err(ManifestError::Disagrees { announced: announced.clone(), own: own.clone() });
        }
        match announced.or(outline.media_type).as_deref() {
            Some(OCI_MANIFEST | DOCKER_MANIFEST) => Manifest::image(bytes),
            Some(OCI_INDEX | DOCKER_INDEX) => Manifest::index(bytes),
            Some(other) => Err(ManifestError::MediaType(other.chars().take(200).collect())),
            None if outline.manifests.is_some() => Manifest::index(bytes),
            None => Manifest::image(bytes),
        }
    }

    fn image(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let image: ImageManifest = serde_json::from_slice(bytes)?;
        check_schema(image.schema_version())?;
        check_count("layers", image.layers().len(), MAX_LAYERS)?;
        Ok(Manifest::Image(Box::new(image)))
    }

    fn index(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let index: ImageIndex = serde_json::from_slice(bytes)?;
        check_schema(index.schema_version())?;
        check_count("manifests", index.manifests().len(), MAX_MANIFESTS)?;
        Ok(Manifest::Index(Box::new(index)))
    }

    /// Everything that it points to: configuration and layers in order, or manifests.
    pub fn parts(&self) -> Result<Vec<Part>, ManifestError> {
        let descriptors: Vec<&Descriptor> = match self {
            Manifest::Image(image) => std::iter::once(image.config()).chain(image.layers()).collect(),
            Manifest::Index(index) => index.manifests().iter().collect(),
        };
        Ok(descriptors.into_iter().map(Part::try_from).collect::<Result<_, _>>()?)
    }
}

/// An operating system and a processor, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
}

impl Platform {
    pub fn new(os: &str, architecture: &str) -> Platform {
        Platform { os: os.to_owned(), architecture: architecture.to_owned() }
    }

    /// Linux on the processor that this binary was built for.
    pub fn host() -> Platform {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Platform::new("linux", architecture)
    }

    /// The index's manifest for this platform: the first that matches, as containerd and Docker
    /// take the first of equals.
    pub fn choose(&self, index: &ImageIndex) -> Result<Option<Part>, ManifestError> {
        let matches = |descriptor: &&Descriptor| match descriptor.platform() {
            Some(platform) => {
                platform.os().to_string() == self.os
                    && platform.architecture().to_string() == self.architecture
            }
            // Without a platform its configuration decides, later.
            None => index.manifests().len() == 1,
        };
        let chosen = index.manifests().iter().find(matches);
        Ok(chosen.map(Part::try_from).transpose()?)
    }

    pub fn runs(&self, config: &ImageConfiguration) -> bool {
        config.os().to_string() == self.os && config.architecture().to_string() == self.architecture
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

/// Reads an image's configuration and the diff ids of its `layers` layers.
pub fn parse_config(bytes: &[u8], layers: usize) -> Result<(ImageConfiguration, Vec<Digest>), ManifestError> {
    if bytes.len() as u64 > MAX_MANIFEST {
        return Err(ManifestError::TooLong);
    }
    let config: ImageConfiguration = serde_json::from_slice(bytes)?;
    let ids = config.rootfs().diff_ids();
    if ids.len() != layers {
        return Err(ManifestError::LayerCount { diff_ids: ids.len(), layers });
    }
    let ids = ids.iter().map(|id| id.parse()).collect::<Result<_, _>>()?;
    Ok((config, ids))
}

fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// What servers say that do not know better; the document decides then.
fn is_generic(media_type: &str) -> bool {
    matches!(media_type, "" | "application/json" | "application/octet-stream" | "text/plain")
}

fn check_schema(version: u32) -> Result<(), ManifestError> {
    if version == 2 { Ok(()) } else { Err(ManifestError::Schema(version)) }
}

fn check_count(what: &'static str, actual: usize, limit: usize) -> Result<(), ManifestError> {
    if actual > limit { Err(ManifestError::TooMany { what, limit, actual }) } else { Ok(()) }
}
