//! Control groups, version 1, version 2 and the hybrid of both.
//!
//! Owns: finding the hierarchies, making a group in each of them, limits, membership, counters, killing,
//! removal.
//! Invariant: a [`Cgroup`] names the same path in every hierarchy, so a path alone finds it again after a
//! restart.
//! Invariant: a limit that the kernel does not take is an error that names file and value.
//! Ignores: systemd's own bookkeeping (groups are made directly, as runc's `cgroupfs` driver does) and
//! delegation to users.

mod devices;
mod group;
mod hierarchy;
mod limits;
mod stats;

use std::path::PathBuf;

pub use group::Cgroup;
pub use hierarchy::{Controller, Hierarchies};
pub use stats::{Stats, Throttling};

/// A control group could not be found, made, limited or removed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No hierarchy is mounted.
    #[error("no control group hierarchy is mounted")]
    NotMounted,
    /// The path leaves the hierarchy or is empty.
    #[error("{path:?} is no path of a control group")]
    Path { path: PathBuf },
    /// A limit needs a controller that this machine does not offer.
    #[error("{field} needs the {controller} controller, which this machine does not offer")]
    Missing { field: &'static str, controller: &'static str },
    /// A limit that this version of control groups does not have.
    #[error("{field} is not supported: {why}")]
    Unsupported { field: String, why: &'static str },
    /// The kernel refused.
    #[error("{action} {}: {source}", path.display())]
    Io { action: String, path: PathBuf, source: std::io::Error },
    /// Processes are still in it after every attempt.
    #[error("{} is still in use", path.display())]
    Busy { path: PathBuf },
}

impl CgroupError {
    fn io(action: impl Into<String>, path: impl Into<PathBuf>, source: impl Into<std::io::Error>) -> Self {
        Self::Io { action: action.into(), path: path.into(), source: source.into() }
    }

    fn is_busy(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.raw_os_error() == Some(libc::EBUSY))
    }
}
