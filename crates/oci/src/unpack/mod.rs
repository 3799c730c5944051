//! One layer's archive, compressed or not, into a directory of its own.
//!
//! Owns what a layer may do to a file system.
//! Invariant: nothing outside the directory is touched, whatever links a layer plants: every path
//! is resolved by the kernel with the directory as its root, and no magic link is followed.
//! Invariant: work is bounded by [`Limits`], whatever the archive claims.
//!
//! Three threads per layer: one inflates, one hashes what came out (the diff id), one writes.
//! Ignores layers below: whiteouts become overlayfs's marks, and are not acted upon here.

mod apply;
mod inflate;
mod pipeline;
mod tree;

use std::io;

use blobs::Digest;

use crate::tar::TarError;

pub use pipeline::{Unpacked, unpack};

/// What one layer may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the uncompressed archive.
    pub bytes: u64,
    pub entries: u64,
    /// Bytes of one path.
    pub path: usize,
    /// Names in one path.
    pub depth: usize,
    /// Uncompressed bytes per compressed one, looked at once `ratio_from` bytes have come out.
    pub ratio: u64,
    pub ratio_from: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            bytes: 64 << 30,
            entries: 2_000_000,
            path: 4096,
            depth: 256,
            ratio: 500,
            ratio_from: 1 << 30,
        }
    }
}

/// Which extended attribute tells overlayfs that a directory hides the ones below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Opaque {
    /// `trusted.overlay.opaque`: mounted by root.
    #[default]
    Trusted,
    /// `user.overlay.opaque`: mounted in a user namespace with `userxattr`.
    User,
}

impl Opaque {
    fn name(self) -> &'static str {
        match self {
            Opaque::Trusted => "trusted.overlay.opaque",
            Opaque::User => "user.overlay.opaque",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error(transparent)]
    Tar(#[from] TarError),
    #[error("decompression failed")]
    Inflate(#[source] io::Error),
    #[error("media type {media_type} does not fit its content")]
    Compression { media_type: String },
    #[error("the layer exceeds the limit of {limit} {what}")]
    Limit { what: &'static str, limit: u64 },
    #[error("invalid path {path:?}: {why}")]
    Path { path: String, why: &'static str },
    #[error("its content has the diff id {actual}, its configuration says {expected}")]
    DiffId { expected: Digest, actual: Digest },
    #[error("no space left on the device")]
    Full,
    #[error("{path:?}")]
    Io {
        path: String,
        #[source]
        source: io::Error,
    },
}

impl UnpackError {
    fn io(path: &[u8], source: impl Into<io::Error>) -> Self {
        let source = source.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => UnpackError::Full,
            _ => UnpackError::Io { path: printable(path), source },
        }
    }

    fn path(path: &[u8], why: &'static str) -> Self {
        UnpackError::Path { path: printable(path), why }
    }
}

fn printable(path: &[u8]) -> String {
    String::from_utf8_lossy(path).chars().take(300).collect()
}
