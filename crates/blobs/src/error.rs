//! What can go wrong with a blob.

use std::io;
use std::path::Path;

use crate::Digest;

/// Retrying helps with [`BlobError::Full`] once there is room, and with [`BlobError::Busy`].
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("blob {0} does not exist")]
    Missing(Digest),
    #[error("upload {0} does not exist")]
    NoUpload(String),
    #[error("upload {0} is being written by another request")]
    Busy(String),
    #[error("invalid upload id {0:?}")]
    UploadId(String),
    #[error("content does not match its digest: announced {expected}, received {actual}")]
    DigestMismatch { expected: Digest, actual: Digest },
    #[error("range {start}-{end} lies outside a blob of {len} bytes")]
    Range { start: u64, end: u64, len: u64 },
    #[error("no space left on the device of {0}")]
    Full(String),
    #[error("{path}")]
    Io {
        path: String,
        #[source]
        source: io::Error,
    },
}

impl BlobError {
    /// Names the path and tells a full disk from other failures.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.display().to_string();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BlobError::Full(path),
            _ => BlobError::Io { path, source },
        }
    }
}
