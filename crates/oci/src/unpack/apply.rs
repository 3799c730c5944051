//! Entries of an archive onto a tree.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::tree::{Meta, Tree, is_directory, times};
use super::{Limits, Opaque, UnpackError};
use crate::tar::{Entry, Kind, TarReader};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

pub(super) struct Applier {
    tree: Tree,
    limits: Limits,
    opaque: Opaque,
    entries: u64,
    /// Directories in the order of the archive: filling them moves their times, so those come last.
    directories: Vec<(Vec<u8>, (i64, u32))>,
    /// What this layer hides of the layers below.
    hidden: HashSet<Vec<u8>>,
}

impl Applier {
    pub fn new(root: OwnedFd, limits: Limits, opaque: Opaque) -> Applier {
        let tree = Tree::new(root);
        Applier { tree, limits, opaque, entries: 0, directories: Vec::new(), hidden: HashSet::new() }
    }

    /// Applies the whole archive; says how many entries it had.
    pub fn run(mut self, tar: &mut TarReader<'_>) -> Result<u64, UnpackError> {
        while let Some(entry) = tar.next_entry()? {
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(UnpackError::Limit { what: "entries", limit: self.limits.entries });
            }
            let path = clean(&entry.path, &self.limits)?;
            self.apply(&path, &entry, tar)?;
        }
        for (path, mtime) in std::mem::take(&mut self.directories) {
            self.set_directory_time(&path, mtime)?;
        }
        Ok(self.entries)
    }

    fn apply(&mut self, path: &[u8], entry: &Entry, tar: &mut TarReader<'_>) -> Result<(), UnpackError> {
        if path.is_empty() {
            return self.root(entry);
        }
        let (parent, name) = match path.iter().rposition(|&b| b == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&b""[..], path),
        };
        if name == OPAQUE {
            return self.hide_below(parent);
        }
        // Other names of this form are aufs's own book-keeping.
        if name.starts_with(b".wh..wh.") {
            return Ok(());
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            if hidden.is_empty() || hidden == b"." || hidden == b".." {
                return Err(UnpackError::path(path, "a whiteout of nothing"));
            }
            let hidden = if parent.is_empty() { hidden.to_vec() } else { [parent, b"/", hidden].concat() };
            return self.hide(hidden);
        }
        match entry.kind {
            Kind::File => self.file(path, entry, tar),
            Kind::Directory => self.directory(path, entry),
            Kind::HardLink => self.hard_link(path, entry),
            Kind::Symlink => self.symlink(path, entry),
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => self.special(path, entry),
        }
    }

    fn root(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        if entry.kind != Kind::Directory {
            return Err(UnpackError::path(&entry.path, "the root is a directory"));
        }
        let fail = |e: Errno| UnpackError::io(b"/", e);
        let root = self.tree.root();
        rustix::fs::fchown(root, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
            .map_err(fail)?;
        rustix::fs::fchmod(root, Mode::from_raw_mode(entry.mode)).map_err(fail)?;
        set_xattrs(root, entry).map_err(fail)?;
        self.directories.push((Vec::new(), entry.mtime));
        Ok(())
    }

    fn file(&mut self, path: &[u8], entry: &Entry, tar: &mut TarReader<'_>) -> Result<(), UnpackError> {
        let mut file = self.create(path)?;
        loop {
            let piece = tar.data()?;
            if piece.is_empty() {
                break;
            }
            file.write_all(piece).map_err(|e| UnpackError::io(path, e))?;
            let len = piece.len();
            tar.consume(len);
        }
        let fail = |e: Errno| UnpackError::io(path, e);
        // Owner before mode and capabilities: a change of owner takes those away.
        rustix::fs::fchown(&file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
            .map_err(fail)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode)).map_err(fail)?;
        set_xattrs(&file, entry).map_err(fail)?;
        rustix::fs::futimens(&file, &times(entry.mtime)).map_err(fail)
    }

    fn create(&mut self, path: &[u8]) -> Result<File, UnpackError> {
        for _ in 0..2 {
            let (parent, name) = self.tree.parent(path)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o600);
            match rustix::fs::openat2(parent, name, flags, mode, ResolveFlags::BENEATH) {
                Ok(fd) => return Ok(fd.into()),
                Err(Errno::EXIST) => self.tree.remove(path)?,
                Err(e) => return Err(UnpackError::io(path, e)),
            }
        }
        Err(UnpackError::io(path, Errno::EXIST))
    }

    fn directory(&mut self, path: &[u8], entry: &Entry) -> Result<(), UnpackError> {
        let is_hidden = self.hidden.remove(path);
        let mut is_there = false;
        if let Some(stat) = self.tree.stat(path)? {
            is_there = is_directory(&stat);
            if !is_there {
                self.tree.remove(path)?;
            }
        }
        let (parent, name) = self.tree.parent(path)?;
        if !is_there {
            rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700))
                .map_err(|e| UnpackError::io(path, e))?;
        }
        let meta = meta(entry);
        Tree::set_meta(parent, name, &meta, false).map_err(|e| UnpackError::io(path, e))?;
        if !entry.xattrs.is_empty() {
            let directory = open_directory(parent, name).map_err(|e| UnpackError::io(path, e))?;
            set_xattrs(&directory, entry).map_err(|e| UnpackError::io(path, e))?;
        }
        self.directories.push((path.to_vec(), entry.mtime));
        if is_hidden { self.hide_below(path) } else { Ok(()) }
    }

    fn hard_link(&mut self, path: &[u8], entry: &Entry) -> Result<(), UnpackError> {
        let target = clean(&entry.link, &self.limits)?;
        if target.is_empty() || target == path {
            return Err(UnpackError::path(path, "a hard link to itself or to the root"));
        }
        let missing = || UnpackError::path(&entry.link, "the target of a hard link is not in this layer");
        let (directory, target_name) = match target.iter().rposition(|&b| b == b'/') {
            Some(at) => (&target[..at], &target[at + 1..]),
            None => (&b""[..], &target[..]),
        };
        let source = self.tree.directory(directory, OFlags::PATH).map_err(|_| missing())?;
        let target_name = OsStr::from_bytes(target_name);
        let stat = rustix::fs::statat(&source, target_name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.map_err(|_| missing())?;
        if is_directory(&stat) {
            return Err(UnpackError::path(&entry.link, "a hard link to a directory"));
        }
        if let Some(existing) = self.tree.stat(path)? {
            if (existing.st_dev, existing.st_ino) == (stat.st_dev, stat.st_ino) {
                return Ok(());
            }
            self.tree.remove(path)?;
        }
        let (parent, name) = self.tree.parent(path)?;
        rustix::fs::linkat(&source, target_name, parent, name, AtFlags::empty()).map_err(|e| match e {
            // Removing what was at `path` took the target along.
            Errno::NOENT => missing(),
            other => UnpackError::io(path, other),
        })
    }

    fn symlink(&mut self, path: &[u8], entry: &Entry) -> Result<(), UnpackError> {
        if entry.link.is_empty() || entry.link.len() > self.limits.path {
            return Err(UnpackError::path(path, "a link with an empty or overlong target"));
        }
        self.make(path, entry, true, |parent, name| {
            rustix::fs::symlinkat(OsStr::from_bytes(&entry.link), parent, name)
        })
    }

    fn special(&mut self, path: &[u8], entry: &Entry) -> Result<(), UnpackError> {
        let kind = match entry.kind {
            Kind::CharDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let device = rustix::fs::makedev(entry.device.0, entry.device.1);
        self.make(path, entry, false, |parent, name| {
            rustix::fs::mknodat(parent, name, kind, Mode::from_raw_mode(0o600), device)
        })
    }

    fn make(
        &mut self,
        path: &[u8],
        entry: &Entry,
        is_link: bool,
        make: impl Fn(rustix::fd::BorrowedFd<'_>, &OsStr) -> rustix::io::Result<()>,
    ) -> Result<(), UnpackError> {
        if self.tree.stat(path)?.is_some() {
            self.tree.remove(path)?;
        }
        let (parent, name) = self.tree.parent(path)?;
        make(parent, name)
            .and_then(|()| Tree::set_meta(parent, name, &meta(entry), is_link))
            .map_err(|e| UnpackError::io(path, e))
    }

    /// Hides one name of the layers below. What this very layer has under that name stays.
    fn hide(&mut self, path: Vec<u8>) -> Result<(), UnpackError> {
        match self.tree.stat(&path)? {
            Some(stat) if is_directory(&stat) => self.hide_below(&path),
            Some(_) => Ok(()),
            None => {
                let (parent, name) = self.tree.parent(&path)?;
                let mode = Mode::from_raw_mode(0);
                rustix::fs::mknodat(parent, name, FileType::CharacterDevice, mode, 0)
                    .map_err(|e| UnpackError::io(&path, e))?;
                self.hidden.insert(path);
                Ok(())
            }
        }
    }

    /// Hides all that the layers below have in a directory.
    fn hide_below(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        let directory = match path.is_empty() {
            true => self.tree.directory(b"", OFlags::RDONLY),
            false => {
                // The mark may come before its directory.
                if self.tree.stat(path)?.is_none() {
                    let (parent, name) = self.tree.parent(path)?;
                    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))
                        .map_err(|e| UnpackError::io(path, e))?;
                }
                let (parent, name) = self.tree.parent(path)?;
                open_directory(parent, name)
            }
        };
        directory
            .and_then(|fd| rustix::fs::fsetxattr(&fd, self.opaque.name(), b"y", XattrFlags::empty()))
            .map_err(|e| UnpackError::io(path, e))
    }

    fn set_directory_time(&mut self, path: &[u8], mtime: (i64, u32)) -> Result<(), UnpackError> {
        let fail = |e: Errno| UnpackError::io(path, e);
        if path.is_empty() {
            return rustix::fs::futimens(self.tree.root(), &times(mtime)).map_err(fail);
        }
        // A later entry may have taken its place, or its parents'.
        let is_there = match path.iter().rposition(|&b| b == b'/') {
            Some(at) => self.tree.directory(&path[..at], OFlags::PATH).is_ok(),
            None => true,
        };
        if !is_there || !self.tree.stat(path)?.is_some_and(|stat| is_directory(&stat)) {
            return Ok(());
        }
        let (parent, name) = self.tree.parent(path)?;
        rustix::fs::utimensat(parent, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW).map_err(fail)
    }
}

/// Names joined by single slashes, without `.` and `..`, relative to the root. What climbs above
/// the root is refused.
fn clean(path: &[u8], limits: &Limits) -> Result<Vec<u8>, UnpackError> {
    if path.len() > limits.path {
        return Err(UnpackError::path(path, "too long"));
    }
    if path.contains(&0) {
        return Err(UnpackError::path(path, "it contains a zero byte"));
    }
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|&b| b == b'/') {
        match name {
            b"" | b"." => {}
            b".." if names.pop().is_none() => {
                return Err(UnpackError::path(path, "it leads out of the layer"));
            }
            b".." => {}
            _ if name.len() > 255 => return Err(UnpackError::path(path, "a name of it is too long")),
            _ => names.push(name),
        }
    }
    if names.len() > limits.depth {
        return Err(UnpackError::path(path, "too deep"));
    }
    Ok(names.join(&b'/'))
}

fn meta(entry: &Entry) -> Meta {
    Meta { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: entry.mtime }
}

fn open_directory(parent: rustix::fd::BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// File capabilities and `user.*`; everything else is for the host, or for overlayfs, to decide.
fn set_xattrs(fd: impl AsFd, entry: &Entry) -> rustix::io::Result<()> {
    for (name, value) in &entry.xattrs {
        let is_ours = name == b"security.capability"
            || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."));
        if !is_ours {
            continue;
        }
        match rustix::fs::fsetxattr(&fd, OsStr::from_bytes(name), value, XattrFlags::empty()) {
            // File systems without extended attributes run most images all the same.
            Err(Errno::OPNOTSUPP) if name.starts_with(b"user.") => {}
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_or_refused() {
        let check = |path: &str| clean(path.as_bytes(), &Limits::default()).ok();
        assert_eq!(check("./a//b/./c/"), Some(b"a/b/c".to_vec()));
        assert_eq!(check("/a/../b"), Some(b"b".to_vec()));
        assert_eq!(check("./"), Some(Vec::new()));
        assert_eq!(check(".."), None);
        assert_eq!(check("/a/../../b"), None);
        assert_eq!(check("a\0b"), None);
        assert_eq!(check(&"a/".repeat(257)), None);
        assert_eq!(check(&"a".repeat(256)), None);
    }
}
