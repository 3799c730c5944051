//! What can go wrong outside.

use std::io;
use std::path::PathBuf;

/// The journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another process has the journal {0} open")]
    Locked(PathBuf),
    /// Something other than a torn tail: acknowledged events would be lost by going on.
    #[error("the journal's segment {path} is damaged at byte {offset}")]
    Damaged { path: PathBuf, offset: u64 },
    #[error("cannot use {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Nothing of the append was kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The disk refused, the journal is as it was: trying again may help.
    #[error("the journal's disk refused a write: {0}")]
    Refused(String),
    /// A sync failed, so nobody knows what is on disk; only opening anew helps.
    #[error("the journal is closed")]
    Closed,
    #[error("an append of {bytes} bytes is more than the {} of one frame", crate::frame::MAX_PAYLOAD)]
    TooLarge { bytes: usize },
    #[error("a stream's or source's name is longer than 65535 bytes")]
    NameTooLong,
}

/// A page cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the journal's segment {segment} is damaged at byte {offset}")]
    Damaged { segment: u64, offset: u64 },
    #[error("cannot read the journal's segment {segment}")]
    Io {
        segment: u64,
        #[source]
        source: io::Error,
    },
}
