//! Our own executable, out of the reach of containers (CVE-2019-5736).
//!
//! A program in a container can reach our executable as `/proc/<pid>/exe` of a process that entered the
//! container from our image: an entry point (or an interpreter line) that says `/proc/self/exe` runs our
//! own binary as the container's process. With root's rights it could then be overwritten.
//! So the launcher runs from a mount of its own binary that is read-only and belongs to no namespace: the
//! kernel refuses to open it for writing, however it is reached, and nobody in the container can remount it.
//! Before the exec the clone is also not dumpable, so nothing in a shared PID namespace can open its `exe`.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, StatVfsMountFlags};
use rustix::io::FdFlags;
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};

use crate::LaunchError;
use crate::sys;

const SELF: &str = "/proc/self/exe";

/// Our executable on a read-only mount of its own. Execute `/proc/self/fd/<it>` to start a launcher; the
/// descriptor closes on exec. Needs `CAP_SYS_ADMIN`, as the launcher does.
///
/// # Errors
/// [`LaunchError::Host`].
pub fn read_only() -> Result<OwnedFd, LaunchError> {
    read_only_of(Path::new(SELF))
}

/// The same for another executable: the launcher that a server starts may be a program of its own.
///
/// # Errors
/// [`LaunchError::Host`].
pub fn read_only_of(executable: &Path) -> Result<OwnedFd, LaunchError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let failed = |error: rustix::io::Errno| LaunchError::host("mount the executable read-only", error);
    let tree = open_tree(rustix::fs::CWD, executable, flags).map_err(failed)?;
    sys::mount_setattr(tree.as_fd(), false, MountAttrFlags::MOUNT_ATTR_RDONLY, MountAttrFlags::empty(), 0)
        .map_err(failed)?;
    Ok(tree)
}

/// Whether our executable cannot be opened for writing through `/proc/self/exe`.
pub fn is_read_only() -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let opened = rustix::fs::open(SELF, flags, Mode::empty());
    let mounted = opened.and_then(rustix::fs::fstatvfs);
    mounted.is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Starts ourselves anew from a read-only mount, with the same arguments and environment, unless we already
/// run from one. To be called first in `main` of a process that launches and was not started through
/// [`read_only`]. Returns only when nothing was to be done.
///
/// # Errors
/// [`LaunchError::Host`].
pub fn reexec_read_only() -> Result<(), LaunchError> {
    if is_read_only() {
        return Ok(());
    }
    let tree = read_only()?;
    let text = |value: &OsStr| CString::new(value.as_bytes()).expect("the kernel gave it as a C string");
    let args: Vec<CString> = std::env::args_os().map(|arg| text(&arg)).collect();
    let variables = std::env::vars_os().map(|(name, value)| [name.as_bytes(), value.as_bytes()].join(&b'='));
    let env: Vec<CString> = variables.map(|line| text(OsStr::from_bytes(&line))).collect();
    // The kernel resolves the link before it closes the descriptor.
    rustix::io::fcntl_setfd(&tree, FdFlags::CLOEXEC).map_err(|error| LaunchError::host("exec", error))?;
    let path = CString::new(format!("/proc/self/fd/{}", tree.as_raw_fd())).expect("digits only");
    Err(LaunchError::host("execute ourselves read-only", sys::execve(&path, &args, &env)))
}

/// Refuses to go on when our executable is writable.
pub(crate) fn require_read_only() -> Result<(), LaunchError> {
    if is_read_only() {
        return Ok(());
    }
    let path = std::fs::read_link(SELF).unwrap_or_else(|_| PathBuf::from(SELF));
    Err(LaunchError::WritableExecutable { path })
}
