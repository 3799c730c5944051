//! What a task writes, and the volumes of this host.
//!
//! ```text
//! TASKS/<task>/disk/              bounded as a whole where the task's storage is
//!   roots/<container>/            upper/ work/
//!   volumes/<volume>/             the task's own volumes
//!   anonymous/<container>/<n>/    of the image's VOLUME paths
//!   names/                        /etc/hosts and the like, where the disk is bounded
//! TASKS/<task>/disk.img           the file system at disk/, where a project quota does not bound it
//! DATA/disks/<n>-gib.ext4         empty file systems, of which images are copies
//! DATA/volumes/<volume>/          volumes that outlive tasks; beside TASKS
//! ```
//!
//! Invariant: nothing of the task's own outlives the task, nothing shared ends with it.

mod copy_up;
pub(crate) mod disk;
mod project;

use std::fs::DirBuilder;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::contract::RuntimeError;
use crate::plan::MountSource;
use crate::record::{TaskDir, is_name};

/// Where a container's image paths that are volumes lie, the `n`th of them.
pub(crate) fn anonymous(task: &TaskDir, container: &str, n: usize) -> PathBuf {
    task.disk().join("anonymous").join(container).join(n.to_string())
}

/// Makes what is to be mounted at `target` and returns where it lies. `root` is the container's root file
/// system, from which an empty volume gets its first content.
///
/// # Errors
/// [`RuntimeError::Plan`] for a volume that must exist and does not, or that has no name;
/// [`RuntimeError::Host`] where the disk does not take it.
pub(crate) fn provide(
    task: &TaskDir,
    source: &MountSource,
    root: BorrowedFd<'_>,
    target: &Path,
) -> Result<PathBuf, RuntimeError> {
    match source {
        MountSource::Task(name) => {
            provide_volume(task.disk().join("volumes").join(named(name)?), root, target)
        }
        MountSource::Shared { name, is_provisioned } => {
            let path = task.shared_volumes().join(named(name)?);
            if !is_provisioned && !path.is_dir() {
                // AWS: what Docker answers, with which such a task fails.
                return Err(RuntimeError::Plan(format!("get {name}: no such volume")));
            }
            provide_volume(path, root, target)
        }
        MountSource::Host(path) => {
            if !path.is_absolute() {
                let text = format!("invalid mount source {:?}: it is not an absolute path", path.display());
                return Err(RuntimeError::Plan(text));
            }
            let doing = || format!("make the host path {}", path.display());
            let made = match std::fs::metadata(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
                found => found.map(|_| ()),
            };
            made.map_err(|e| RuntimeError::host(doing(), e))?;
            Ok(path.clone())
        }
    }
}

/// Where a file under the task's directory lies that a container sees and may fill: on the task's disk, so
/// that it is bounded with the rest. The first container that needs it copies it there.
///
/// # Errors
/// Where the disk does not take it.
pub(crate) fn keep_file(task: &TaskDir, file: &Path) -> io::Result<PathBuf> {
    let Ok(relative) = file.strip_prefix(&task.path) else { return Ok(file.to_owned()) };
    let disk = task.disk();
    if file.starts_with(&disk) {
        return Ok(file.to_owned());
    }
    let kept = disk.join("names").join(relative);
    if !kept.exists() {
        kept.parent().map_or(Ok(()), make)?;
        // `copy` takes the mode along: every user of the container reads it.
        std::fs::copy(file, &kept)?;
    }
    Ok(kept)
}

fn named(name: &str) -> Result<&str, RuntimeError> {
    if is_name(name) { Ok(name) } else { Err(RuntimeError::Plan(format!("{name:?} is not a volume's name"))) }
}

/// A directory with what the image has at `target`, if it is new or empty.
pub(crate) fn provide_volume(
    path: PathBuf,
    root: BorrowedFd<'_>,
    target: &Path,
) -> Result<PathBuf, RuntimeError> {
    let made = make(&path).and_then(|()| copy_up::fill(root, target, &path));
    made.map_err(|e| RuntimeError::host(format!("make the volume for {}", target.display()), e))?;
    Ok(path)
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}
