//! A task's directory and the record in it.
//!
//! ```text
//! TASKS/<task>/            0700
//!   sandbox.json           the order, written by the server before the shim starts
//!   state.json             the record; written by the shim alone (or by the server once the shim is dead)
//!   shim.sock, shim.log
//!   resolv.conf, hosts, hostname
//!   disk/                  what its containers write: see `storage`
//!   shm/                   shared memory of containers that share an IPC namespace (mount point)
//!   containers/<name>/     rootfs/ (mount point) config.json start.json spool/, and resolv.conf, hosts,
//!                          hostname where it has a network of its own
//! ```
//!
//! Invariant: `state.json` is replaced whole; an exit in it is synced before it is reported.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::contract::SandboxRecord;

/// The paths of one task's directory.
#[derive(Debug, Clone)]
pub(crate) struct TaskDir {
    pub path: PathBuf,
}

impl TaskDir {
    pub fn new(tasks: &Path, task: &str) -> Self {
        TaskDir { path: tasks.join(task) }
    }

    pub fn state(&self) -> PathBuf {
        self.path.join("state.json")
    }

    pub fn sandbox(&self) -> PathBuf {
        self.path.join("sandbox.json")
    }

    pub fn log(&self) -> PathBuf {
        self.path.join("shim.log")
    }

    pub fn container(&self, name: &str) -> PathBuf {
        self.path.join("containers").join(name)
    }

    /// Everything that the task's containers write lies below it.
    pub fn disk(&self) -> PathBuf {
        self.path.join("disk")
    }

    /// The file system at [`TaskDir::disk`], where it is one of its own.
    pub fn image(&self) -> PathBuf {
        self.path.join("disk.img")
    }

    /// Empty file systems to copy, beside the directory of tasks.
    pub fn disks(&self) -> PathBuf {
        crate::storage::disk::directory(self.path.parent().unwrap_or(Path::new("/")))
    }

    fn data(&self) -> &Path {
        self.path.parent().and_then(Path::parent).unwrap_or(Path::new("/"))
    }

    /// What containers have at `/dev/shm` that share an IPC namespace.
    pub fn shm(&self) -> PathBuf {
        self.path.join("shm")
    }

    /// Volumes that outlive tasks, beside the directory of tasks.
    pub fn shared_volumes(&self) -> PathBuf {
        self.data().join("volumes")
    }

    pub fn spool(&self, name: &str) -> PathBuf {
        self.container(name).join("spool")
    }

    /// Addresses of UNIX sockets hold 108 bytes; a data directory may be deeper. A path through a
    /// descriptor of the directory is always short enough, for as long as that is open.
    pub fn socket(&self) -> io::Result<(File, PathBuf)> {
        let open = File::open(&self.path)?;
        let path = format!("/proc/self/fd/{}/{}", open.as_raw_fd(), crate::shim::SOCKET).into();
        Ok((open, path))
    }

    pub fn read_record(&self) -> io::Result<Option<SandboxRecord>> {
        read_json(&self.state())
    }
}

/// Whether a name may become a file's name here.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// `None` where there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// How much a write must outlive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The death of every process.
    Kill,
    /// The loss of power too.
    Power,
}

/// Replaces a file whole.
pub(crate) fn write_json(path: &Path, value: &impl Serialize, keep: Keep) -> io::Result<()> {
    let text = serde_json::to_vec(value).map_err(io::Error::other)?;
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&text)?;
    if keep == Keep::Power {
        file.sync_all()?;
    }
    drop(file);
    fs::rename(&new, path)?;
    if keep == Keep::Power
        && let Some(parent) = path.parent()
    {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Removes a tree; one that is not there is removed.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a file; one that is not there is removed.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
