//! An empty volume starts with what the image has at its path, as in Docker: files, links, owners, modes,
//! times and extended attributes.
//!
//! Invariant: the image's links lead nowhere: the path itself is resolved within its root, and below it no
//! link is followed.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid,
    XattrFlags,
};
use rustix::io::Errno;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Copies what `root` has at `target` into the directory `volume`, unless there is something in it. Where the
/// image has no directory there, nothing happens.
pub(super) fn fill(root: BorrowedFd<'_>, target: &Path, volume: &Path) -> io::Result<()> {
    let volume = rustix::fs::open(volume, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    // Another task may be about to fill it too; the lock goes with the descriptor.
    rustix::io::retry_on_intr(|| rustix::fs::flock(&volume, FlockOperation::LockExclusive))?;
    if !is_empty(&volume)? {
        return Ok(());
    }
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let source = match rustix::fs::openat2(root, target, DIRECTORY, Mode::empty(), resolve) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        other => other?,
    };
    let mut copy = Copy { source, volume, links: HashMap::new() };
    let copied = copy.run();
    if copied.is_err() {
        // Half of it would pass for all of it the next time.
        copy.clear();
    }
    copied
}

fn is_empty(dir: &OwnedFd) -> io::Result<bool> {
    Ok(names(dir.as_fd())?.is_empty())
}

fn names(dir: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

struct Copy {
    source: OwnedFd,
    volume: OwnedFd,
    /// Files with several names: where the first of them is, by inode.
    links: HashMap<(u64, u64), PathBuf>,
}

impl Copy {
    fn run(&mut self) -> io::Result<()> {
        // Directories get their modes and times last: writing into them changes those.
        let mut directories = vec![PathBuf::from(".")];
        let mut next = 0;
        while let Some(dir) = directories.get(next).cloned() {
            next += 1;
            let source = inside(&self.source, &dir, DIRECTORY)?;
            let volume = inside(&self.volume, &dir, DIRECTORY)?;
            for name in names(source.as_fd())? {
                let path = dir.join(&name);
                if self.copy(source.as_fd(), volume.as_fd(), Path::new(&name), &path)? {
                    directories.push(path);
                }
            }
        }
        for dir in directories.iter().rev() {
            let source = inside(&self.source, dir, DIRECTORY)?;
            let volume = inside(&self.volume, dir, DIRECTORY)?;
            copy_attributes(source.as_fd(), volume.as_fd(), &rustix::fs::fstat(&source)?)?;
        }
        Ok(())
    }

    /// Copies one entry; `true` for a directory, which is made and left empty.
    fn copy(
        &mut self,
        source: BorrowedFd<'_>,
        volume: BorrowedFd<'_>,
        name: &Path,
        path: &Path,
    ) -> io::Result<bool> {
        let found = rustix::fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(found.st_mode);
        if kind == FileType::Directory {
            rustix::fs::mkdirat(volume, name, Mode::from_raw_mode(0o700))?;
            return Ok(true);
        }
        if found.st_nlink > 1 {
            let inode = (found.st_dev, found.st_ino);
            if let Some(first) = self.links.get(&inode) {
                let parent = first.parent().unwrap_or(Path::new("."));
                let parent = inside(&self.volume, parent, DIRECTORY)?;
                let first = Path::new(first.file_name().unwrap_or_default());
                rustix::fs::linkat(&parent, first, volume, name, AtFlags::empty())?;
                return Ok(false);
            }
            self.links.insert(inode, path.to_path_buf());
        }
        match kind {
            FileType::RegularFile => copy_file(source, volume, name, &found)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(source, name, Vec::new())?;
                rustix::fs::symlinkat(target, volume, name)?;
                own(volume, name, &found)?;
            }
            _ => {
                let mode = Mode::from_raw_mode(found.st_mode & 0o7777);
                rustix::fs::mknodat(volume, name, kind, mode, found.st_rdev)?;
                own(volume, name, &found)?;
                rustix::fs::chmodat(volume, name, mode, AtFlags::empty())?;
            }
        }
        Ok(false)
    }

    fn clear(&self) {
        let Ok(names) = names(self.volume.as_fd()) else { return };
        let volume = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&self.volume));
        for name in names {
            let path = Path::new(&volume).join(name);
            // The next start meets the same failure and tells it.
            let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
        }
    }
}

/// Opens what lies below a directory, following no link.
fn inside(dir: &OwnedFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(rustix::fs::openat2(dir, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}

fn own(dir: BorrowedFd<'_>, name: &Path, found: &Stat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
    Ok(rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn copy_file(source: BorrowedFd<'_>, volume: BorrowedFd<'_>, name: &Path, found: &Stat) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut from = File::from(rustix::fs::openat(source, name, flags, Mode::empty())?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut to = File::from(rustix::fs::openat(volume, name, flags, Mode::from_raw_mode(0o600))?);
    io::copy(&mut from, &mut to)?;
    copy_attributes(from.as_fd(), to.as_fd(), found)
}

fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, found: &Stat) -> io::Result<()> {
    // Owner first: changing it takes set-user-ID bits and capabilities away.
    rustix::fs::fchown(to, Some(Uid::from_raw(found.st_uid)), Some(Gid::from_raw(found.st_gid)))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(found.st_mode & 0o7777))?;
    copy_extended(from, to)?;
    let time = |seconds: i64, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds as _ };
    let times = Timestamps {
        last_access: time(found.st_atime, found.st_atime_nsec),
        last_modification: time(found.st_mtime, found.st_mtime_nsec),
    };
    Ok(rustix::fs::futimens(to, &times)?)
}

fn copy_extended(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    /// The kernel's own limits of a list and of a value.
    const LARGEST: usize = 65_536;
    let mut list = vec![0; LARGEST];
    let length = match rustix::fs::flistxattr(from, &mut list[..]) {
        Err(Errno::NOTSUP) => return Ok(()),
        other => other?,
    };
    let mut value = Vec::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        // The overlay's own marks are not the image's.
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        value.resize(LARGEST, 0);
        let name = OsStr::from_bytes(name);
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        match rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            // A volume on a file system without them goes without.
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
