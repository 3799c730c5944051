//! Network namespaces as files: made, bound under the run directory, entered, let go.
//!
//! Invariant: a function that enters a namespace is back in the caller's when it returns, also on
//! error; if it cannot go back, the thread ends rather than act in the wrong one.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, open, statfs, statx};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::sys;

/// What namespace files answer to statfs.
const NSFS_MAGIC: i64 = 0x6e73_6673;
const ATTRIBUTE_MOUNT_ROOT: u64 = 0x2000;

/// An open network namespace; it exists at least as long as this.
pub struct Namespace {
    fd: OwnedFd,
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Namespace {
    /// The calling thread's. `/proc/self` would be the first thread's.
    pub fn current() -> io::Result<Self> {
        Namespace::open(Path::new("/proc/thread-self/ns/net"))
    }

    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Namespace { fd: open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())? })
    }

    /// A new one, in which `prepare` has run.
    pub fn create<T>(prepare: impl FnOnce() -> io::Result<T>) -> io::Result<(Self, T)> {
        let home = Namespace::current()?;
        sys::leave_network()?;
        let outcome = Namespace::current().and_then(|namespace| Ok((namespace, prepare()?)));
        home.stay();
        outcome
    }

    /// Runs `work` inside it.
    pub fn enter<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let home = Namespace::current()?;
        move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))?;
        let outcome = work();
        home.stay();
        outcome
    }

    /// Another handle of the same.
    pub fn share(&self) -> io::Result<Self> {
        Ok(Namespace { fd: self.fd.try_clone()? })
    }

    /// Moves the calling thread into it, for good.
    pub fn settle(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    fn stay(&self) {
        move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("a thread may return to the namespace that it has just left");
    }

    /// Gives it a name in the file system, which keeps it alive without a process.
    pub fn bind(&self, path: &Path) -> io::Result<()> {
        fs::File::create(path)?;
        Ok(mount_bind(format!("/proc/self/fd/{}", self.fd.as_raw_fd()), path)?)
    }
}

/// A link (or, as `default`, every new link) of the calling thread's namespace gets no IPv6 address.
/// A kernel without IPv6 has nothing to switch off.
pub fn without_ipv6(link: &str) -> io::Result<()> {
    match fs::write(format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6"), "1") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a namespace is bound at `path`.
pub fn is_bound(path: &Path) -> bool {
    statfs(path).is_ok_and(|about| about.f_type == NSFS_MAGIC)
}

/// Takes the name away. The namespace ends once no process and no socket is in it.
pub fn unbind(path: &Path) -> io::Result<()> {
    loop {
        match unmount(path, UnmountFlags::DETACH) {
            // Bound twice over by a start that was interrupted: take all of them.
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => break,
            Err(error) => return Err(error.into()),
        }
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The directory of bound namespaces. It is a shared mount of its own, so that what is let go here
/// is let go in every mount namespace that was copied from ours.
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    pub fn open(run_dir: &Path) -> io::Result<Self> {
        let path = run_dir.join("netns");
        fs::create_dir_all(&path)?;
        if !is_mount(&path)? {
            mount_bind(&path, &path)?;
        }
        mount_change(&path, MountPropagationFlags::SHARED)?;
        Ok(Directory { path })
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// File names, sorted.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        match fs::read_dir(&self.path) {
            Ok(entries) => {
                for entry in entries {
                    names.extend(entry?.file_name().into_string());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Undoes [`Directory::open`]; the directory is empty by then.
    pub fn close(&self) -> io::Result<()> {
        if is_mount(&self.path).unwrap_or(false) {
            unmount(&self.path, UnmountFlags::DETACH)?;
        }
        match fs::remove_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn is_mount(path: &Path) -> io::Result<bool> {
    let about = statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS)?;
    Ok(about.stx_attributes.bits() & ATTRIBUTE_MOUNT_ROOT != 0)
}
