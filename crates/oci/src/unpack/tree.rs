//! The directory that a layer is unpacked into.
//!
//! Invariant: every path goes through `openat2` with `RESOLVE_IN_ROOT`, and the last name is never
//! followed.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::UnpackError;

/// Directories deeper than this are not removed: nothing that deep is ever made.
const MAX_REMOVE: usize = 1024;

pub(super) struct Tree {
    root: OwnedFd,
    /// The directory used last: archives come in order.
    parent: Option<(Vec<u8>, OwnedFd)>,
}

/// Owner, mode and times of an inode.
pub(super) struct Meta {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: (i64, u32),
}

impl Tree {
    pub fn new(root: OwnedFd) -> Tree {
        Tree { root, parent: None }
    }

    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a directory below the root, following links within it, without making it.
    pub fn directory(&self, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path = if path.is_empty() { b".".as_slice() } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // EAGAIN: a rename elsewhere raced with a `..` in a link.
        for _ in 0..16 {
            match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// The directory that holds `path`, made with its parents if need be, and the last name.
    pub fn parent<'p>(&mut self, path: &'p [u8]) -> Result<(BorrowedFd<'_>, &'p OsStr), UnpackError> {
        let (parent, name) = match path.iter().rposition(|&b| b == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&b""[..], path),
        };
        let is_cached = self.parent.as_ref().is_some_and(|(known, _)| known == parent);
        if !is_cached {
            let fd = match self.directory(parent, OFlags::PATH) {
                Err(Errno::NOENT) => self.make_parents(parent),
                other => other,
            };
            let fd = fd.map_err(|e| match e {
                Errno::NOTDIR => UnpackError::path(path, "one of its parents is not a directory"),
                Errno::LOOP => UnpackError::path(path, "its parents are a loop of links"),
                Errno::EXIST => UnpackError::path(path, "one of its parents is a link that leads nowhere"),
                other => UnpackError::io(path, other),
            })?;
            self.parent = Some((parent.to_vec(), fd));
        }
        let (_, fd) = self.parent.as_ref().expect("it was just put there");
        Ok((fd.as_fd(), OsStr::from_bytes(name)))
    }

    /// To be called when a directory or a link goes away.
    pub fn forget(&mut self) {
        self.parent = None;
    }

    pub fn stat(&mut self, path: &[u8]) -> Result<Option<Stat>, UnpackError> {
        let (parent, name) = self.parent(path)?;
        match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(UnpackError::io(path, e)),
        }
    }

    /// Removes whatever is at `path`.
    pub fn remove(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        let (parent, name) = self.parent(path)?;
        let removed = remove_at(parent, name, 0);
        self.forget();
        removed.map_err(|e| UnpackError::io(path, e))
    }

    /// Sets what an inode that is neither a file nor open has. Times of directories come last.
    pub fn set_meta(
        parent: BorrowedFd<'_>,
        name: &OsStr,
        meta: &Meta,
        is_link: bool,
    ) -> rustix::io::Result<()> {
        let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
        rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if !is_link {
            rustix::fs::chmodat(parent, name, Mode::from_raw_mode(meta.mode), AtFlags::empty())?;
        }
        rustix::fs::utimensat(parent, name, &times(meta.mtime), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Missing parents are root's and 0755, as Docker makes them.
    fn make_parents(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let mut at = self.directory(b"", OFlags::PATH)?;
        let mut end = 0;
        for name in path.split(|&b| b == b'/') {
            end += name.len() + usize::from(end > 0);
            at = match self.directory(&path[..end], OFlags::PATH) {
                Err(Errno::NOENT) => {
                    let mode = Mode::from_raw_mode(0o755);
                    // A dangling link is there already: EXIST.
                    rustix::fs::mkdirat(&at, OsStr::from_bytes(name), mode)?;
                    rustix::fs::chmodat(&at, OsStr::from_bytes(name), mode, AtFlags::empty())?;
                    self.directory(&path[..end], OFlags::PATH)?
                }
                other => other?,
            };
        }
        Ok(at)
    }
}

pub(super) fn times(mtime: (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: mtime.0, tv_nsec: i64::from(mtime.1) as _ };
    Timestamps { last_access: time, last_modification: time }
}

pub(super) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn remove_at(parent: BorrowedFd<'_>, name: &OsStr, depth: usize) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) if depth < MAX_REMOVE => {}
        other => return other,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            remove_at(directory.as_fd(), OsStr::from_bytes(name), depth + 1)?;
        }
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}
