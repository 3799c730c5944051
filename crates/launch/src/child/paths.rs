//! Paths of the container, from its root's descriptor.
//!
//! Invariant: links lead nowhere but into the root, and those of procfs that jump are not followed.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

const PATH: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// As many links as the kernel itself follows.
const LINKS: u32 = 40;

/// Opens a path below `root`. With `plainly`, no part of it may be a link.
pub fn open_in(root: BorrowedFd<'_>, path: &CStr, flags: OFlags, plainly: bool) -> Result<OwnedFd, Errno> {
    let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    if plainly {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    loop {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            // A rename elsewhere in the tree made the kernel unsure.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Opens the place of a mount, made if it is missing: a directory, or an empty file.
pub fn open_or_make(
    root: BorrowedFd<'_>,
    path: &CStr,
    is_dir: bool,
    plainly: bool,
) -> Result<OwnedFd, Errno> {
    match open_in(root, path, PATH, plainly) {
        Err(Errno::NOENT) if is_dir => make_directory(root, path)?,
        Err(Errno::NOENT) => return make_file(root, path),
        other => return other,
    }
    open_in(root, path, PATH, plainly)
}

/// Makes a directory and its parents.
pub fn make_directory(root: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
    Walk::new(path)?.make(root, Last::Directory)
}

/// Makes an empty file and its parents, and opens it.
pub fn make_file(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    Walk::new(path)?.make(root, Last::File)?;
    open_in(root, path, PATH, false)
}

/// The directory that a path's last part lies in, made if it is missing, and that part.
pub fn open_parent<'a>(root: BorrowedFd<'_>, path: &'a CStr) -> Result<(OwnedFd, &'a CStr), Errno> {
    let bytes = path.to_bytes_with_nul();
    let flags = PATH | OFlags::DIRECTORY;
    let Some(slash) = bytes.iter().rposition(|byte| *byte == b'/') else {
        return Ok((open_in(root, c".", flags, false)?, path));
    };
    let name = CStr::from_bytes_with_nul(&bytes[slash + 1..]).map_err(|_| Errno::INVAL)?;
    let mut buffer = Buffer::new();
    buffer.set(&bytes[..slash])?;
    match open_in(root, buffer.as_c_str()?, flags, false) {
        Err(Errno::NOENT) => make_directory(root, buffer.as_c_str()?)?,
        other => return other.map(|parent| (parent, name)),
    }
    Ok((open_in(root, buffer.as_c_str()?, flags, false)?, name))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Directory,
    File,
}

/// A path of at most `PATH_MAX` bytes, on the stack.
struct Buffer {
    bytes: [u8; libc::PATH_MAX as usize],
    length: usize,
}

impl Buffer {
    fn new() -> Self {
        Self { bytes: [0; libc::PATH_MAX as usize], length: 0 }
    }

    fn set(&mut self, text: &[u8]) -> Result<(), Errno> {
        self.length = 0;
        self.push(text)
    }

    fn push(&mut self, text: &[u8]) -> Result<(), Errno> {
        let end = self.length + text.len();
        // The last byte stays zero.
        if end >= self.bytes.len() {
            return Err(Errno::NAMETOOLONG);
        }
        self.bytes[self.length..end].copy_from_slice(text);
        self.bytes[end] = 0;
        self.length = end;
        Ok(())
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn as_c_str(&self) -> Result<&CStr, Errno> {
        CStr::from_bytes_until_nul(&self.bytes).map_err(|_| Errno::INVAL)
    }
}

/// Makes what is missing of a path, part by part. A link that leads to nothing is followed as the kernel
/// would, inside the root, and what it names is made: images ship `resolv.conf` as such a link.
struct Walk {
    path: Buffer,
}

impl Walk {
    fn new(path: &CStr) -> Result<Self, Errno> {
        let mut walk = Self { path: Buffer::new() };
        walk.path.set(path.to_bytes())?;
        Ok(walk)
    }

    fn make(&mut self, root: BorrowedFd<'_>, last: Last) -> Result<(), Errno> {
        'again: for _ in 0..LINKS {
            let mut parent = open_in(root, c".", PATH | OFlags::DIRECTORY, false)?;
            let mut prefix = Buffer::new();
            let mut start = 0;
            while start < self.path.length {
                let bytes = self.path.as_bytes();
                let end = bytes[start..].iter().position(|byte| *byte == b'/');
                let end = end.map_or(bytes.len(), |at| start + at);
                let (name, is_last) = (&bytes[start..end], end == bytes.len());
                if name.is_empty() || name == b"." {
                    start = end + 1;
                    continue;
                }
                if prefix.length > 0 {
                    prefix.push(b"/")?;
                }
                let above = prefix.length;
                prefix.push(name)?;
                let is_file = is_last && last == Last::File;
                let flags = if is_file { PATH } else { PATH | OFlags::DIRECTORY };
                parent = match open_in(root, prefix.as_c_str()?, flags, false) {
                    Ok(found) => found,
                    Err(Errno::NOENT) => {
                        let mut part = Buffer::new();
                        part.set(name)?;
                        if !make_part(&parent, part.as_c_str()?, is_file)? {
                            self.follow(&parent, &prefix.bytes[..above], &part, end)?;
                            continue 'again;
                        }
                        open_in(root, prefix.as_c_str()?, flags, false)?
                    }
                    Err(error) => return Err(error),
                };
                start = end + 1;
            }
            return Ok(());
        }
        Err(Errno::LOOP)
    }

    /// Replaces the part that ends at `end` by what the link there says.
    fn follow(&mut self, parent: &OwnedFd, above: &[u8], part: &Buffer, end: usize) -> Result<(), Errno> {
        let mut room = [std::mem::MaybeUninit::uninit(); libc::PATH_MAX as usize];
        let (target, _) = rustix::fs::readlinkat_raw(parent, part.as_c_str()?, &mut room)?;
        let mut next = Buffer::new();
        if target.first() != Some(&b'/') {
            next.push(above)?;
            next.push(b"/")?;
        }
        next.push(target)?;
        next.push(&self.path.as_bytes()[end..])?;
        self.path = next;
        Ok(())
    }
}

/// `false`: a link is in the way.
fn make_part(parent: &OwnedFd, name: &CStr, is_file: bool) -> Result<bool, Errno> {
    let made = if is_file {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
    } else {
        rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))
    };
    match made {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error),
    }
}
