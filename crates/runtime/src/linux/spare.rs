//! Shims executed ahead: executing a large program costs milliseconds that no task's start has to
//! wait for. A spare whose server ends, ends.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::sandbox::SHIM_START;
use super::{LinuxOptions, lock};
use crate::contract::RuntimeError;
use crate::storage::disk;

/// How many wait. Tasks that start at the same time share the processors anyway.
const SPARES: usize = 1;

#[derive(Default)]
pub(super) struct Spares {
    waiting: Mutex<Vec<Spare>>,
    /// The last task had no use for a disk of the default size, and the next ones may be of its kind.
    is_without_disk: AtomicBool,
}

/// A shim without a task.
pub(super) struct Spare {
    /// Our end of the connection.
    pub stream: UnixStream,
    /// Dropping it leaves the shim running; the async runtime reaps it when it ends.
    process: Child,
}

impl Spares {
    /// One for a task that has a disk of the default size, or not.
    pub fn take(&self, has_disk: bool) -> Option<UnixStream> {
        self.is_without_disk.store(!has_disk, Ordering::Relaxed);
        lock(&self.waiting).pop().map(|spare| spare.stream)
    }

    /// Executes what is missing.
    pub fn fill(&self, options: &LinuxOptions) {
        let missing = SPARES.saturating_sub(lock(&self.waiting).len());
        for _ in 0..missing {
            match Spares::execute(options, !self.is_without_disk.load(Ordering::Relaxed)) {
                Ok(spare) => lock(&self.waiting).push(spare),
                // Whoever needs one meets the same error and tells it.
                Err(error) => return tracing::debug!(%error, "no shim is made ahead"),
            }
        }
    }

    pub fn clear(&self) {
        lock(&self.waiting).clear();
    }

    /// Ends those that wait, and returns once they have ended: one that is only just starting would make its
    /// control group again after everything was removed.
    pub async fn dismiss(&self) {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        for Spare { stream, mut process } in waiting {
            drop(stream);
            // One that hangs is found by whoever removes its group.
            let _ = tokio::time::timeout(SHIM_START, process.wait()).await;
        }
    }

    /// Starts one, which makes a disk of the default size while it waits, or none.
    pub fn execute(options: &LinuxOptions, has_disk: bool) -> Result<Spare, RuntimeError> {
        let host = |error| RuntimeError::host("start a shim", error);
        let (own, theirs) = std::os::unix::net::UnixStream::pair().map_err(host)?;
        own.set_nonblocking(true).map_err(host)?;
        let log = File::options().create(true).append(true).open(Spares::log(options)).map_err(host)?;
        let missing = || RuntimeError::Plan("no command to start a shim".to_owned());
        let (program, arguments) = options.shim.split_first().ok_or_else(missing)?;
        let mut shim = Command::new(program);
        shim.args(arguments).arg(options.cgroup.join("shims")).env_clear().current_dir("/");
        if has_disk {
            shim.arg(disk::directory(&options.tasks));
        }
        shim.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(Stdio::from(log));
        let process = shim.spawn().map_err(host)?;
        Ok(Spare { stream: UnixStream::from_std(own).map_err(host)?, process })
    }

    /// Where shims without a task complain.
    pub fn log(options: &LinuxOptions) -> PathBuf {
        options.tasks.join(".shims.log")
    }
}
