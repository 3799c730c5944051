//! What can go wrong between a reference and a root file system.

use std::io;
use std::path::Path;

use blobs::{BlobError, Digest};

use crate::manifest::ManifestError;
use crate::reference::ReferenceError;
use crate::unpack::UnpackError;

/// Why an image is not here. Each variant maps to one of the texts that ECS shows; retrying helps
/// only where [`Error::is_transient`] says so.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The registry knows no such repository, tag or digest.
    #[error("{0}: not found")]
    NotFound(String),
    /// Credentials are missing or wrong, or do not reach this repository.
    #[error("{what}: {detail}")]
    Unauthorized { what: String, detail: String },
    /// The registry could not be reached, or answered with nonsense.
    #[error("{what}: {detail}")]
    Network { what: String, detail: String },
    #[error("content does not match its digest: expected {expected}, received {actual}")]
    Digest { expected: Digest, actual: Digest },
    #[error("content of {digest} has {actual} bytes, its manifest says {expected}")]
    Size { digest: Digest, expected: u64, actual: u64 },
    /// `os/architecture[/variant]`.
    #[error("image Manifest does not contain descriptor matching platform '{0}'")]
    Platform(String),
    #[error("invalid manifest or configuration")]
    Manifest(#[from] ManifestError),
    #[error("cannot unpack layer {layer}")]
    Layer {
        layer: Digest,
        #[source]
        source: UnpackError,
    },
    #[error("invalid image archive: {0}")]
    Archive(String),
    #[error("no space left on the device of {0}")]
    Full(String),
    #[error("{path}")]
    Io {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl Error {
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Network { .. } | Error::Full(_) | Error::Digest { .. } | Error::Size { .. })
    }

    /// The error and its causes on one line, for a task's stopped reason.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }

    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.display().to_string();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full(path),
            _ => Error::Io { path, source },
        }
    }
}
