//! A bound on everything that a task writes: a project quota where the file system enforces them, else a file
//! system of that size in a sparse image.
//!
//! Invariant: an image is mounted once: its lock is the loop device's for as long as that is.
//! Invariant: the loop device lets go of its image when the last mount of it goes, however the shim ended.
//!
//! An image is not durable, and need not be: it has no journal and no barriers, and a task does not outlive
//! its machine's power.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};

use super::project;
use crate::contract::RuntimeError;
use crate::record::TaskDir;
use crate::sys;

/// AWS: what a Fargate task has that does not ask for more. Whoever asks must ask for more than this, so a
/// host without the means does without for this size alone.
pub(crate) const DEFAULT_GIB: u32 = 20;

/// How often an image that another shim still has is tried, a tenth of a second apart.
const ATTEMPTS: u32 = 50;

/// Where `mkfs.ext4` lies: shims have no `PATH`.
const MKFS: [&str; 3] = ["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4", "/usr/local/sbin/mkfs.ext4"];

/// A mounted image that no task has yet.
pub(crate) struct Ready {
    image: File,
    mount: OwnedFd,
    /// The data directory as it was seen when the image was made: in a mount namespace that was made later it
    /// is on another mount, and no name of this image can be there.
    data: Option<OwnedFd>,
}

/// Makes the directory for what `task` writes, bounded if it is to be, by `ready` if that fits. Returns a warning. The caller is in a
/// mount namespace of its own.
pub(crate) fn prepare(
    task: &TaskDir,
    gib: Option<u32>,
    ready: &mut Option<Ready>,
) -> Result<Option<String>, RuntimeError> {
    let disk = task.disk();
    super::make(&disk).map_err(|e| RuntimeError::host("make the task's disk", e))?;
    let Some(gib) = gib else { return Ok(None) };
    match bound(task, &disk, gib, ready) {
        Ok(()) => Ok(None),
        Err(error) if gib == DEFAULT_GIB => Ok(Some(format!("storage is not bounded: {error}"))),
        Err(error) => Err(RuntimeError::Limit(format!("ephemeral storage of {gib} GiB: {error}"))),
    }
}

fn bound(task: &TaskDir, disk: &Path, gib: u32, ready: &mut Option<Ready>) -> io::Result<()> {
    if project::is_enforced(disk) {
        return project::limit(disk, u64::from(gib) << 30);
    }
    let image = task.image();
    let fits = gib == DEFAULT_GIB && !image.exists();
    let made = match ready.take_if(|_| fits) {
        Some(ready) => {
            ready.name(&image)?;
            ready
        }
        None => Ready::open(&image, &template(&task.disks(), gib)?)?,
    };
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(&made.mount, "", CWD, disk, flags)?)
}

/// Nothing more will be read or written: what is still in memory need not go to disk. For a task that ends.
pub(crate) fn abandon(task: &TaskDir) {
    let disk = task.disk();
    if task.image().exists() {
        if let Ok(open) = rustix::fs::open(&disk, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            sys::shut_file_system(&open);
        }
    } else if project::is_enforced(&disk) {
        // The files go with the task's directory; the number may be another's then.
        let _ = project::limit(&disk, 0);
    }
}

impl Ready {
    /// One of the default size, made ahead. `None` where that cannot be, for whatever reason: whoever needs
    /// one meets it again.
    pub fn ahead(disks: &Path) -> Option<Self> {
        let template = disks.join(file_name(DEFAULT_GIB));
        if !template.exists() || project::is_enforced(disks) {
            return None;
        }
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let image = rustix::fs::open(disks, flags, Mode::from_raw_mode(0o600)).ok()?;
        let data = disks.parent()?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let data = rustix::fs::open(data, flags, Mode::empty()).ok()?;
        let ready = Self::over(copy(&template, image.into()).ok()?).ok()?;
        Some(Ready { data: Some(data), ..ready })
    }

    /// The image at `path`, a copy of `template` if there is none.
    fn open(path: &Path, template: &Path) -> io::Result<Self> {
        match File::options().read(true).write(true).open(path) {
            Ok(image) => {
                lock(&image)?;
                if is_clean(&image)? {
                    return Self::over(image);
                }
                std::fs::remove_file(path)?;
                Self::open(path, template)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let new = path.with_extension("new");
                let image = File::options().read(true).write(true).create(true).truncate(true).open(&new)?;
                let image = copy(template, image)?;
                std::fs::rename(&new, path)?;
                Self::over(image)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the image its name in a task's directory.
    fn name(&self, path: &Path) -> io::Result<()> {
        let own = format!("/proc/self/fd/{}", self.image.as_raw_fd());
        // DATA/tasks/<task>/disk.img
        let below: PathBuf = path.components().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect();
        let data = self.data.as_ref().ok_or_else(|| io::Error::other("it was not made ahead"))?;
        Ok(rustix::fs::linkat(CWD, own, data, below, AtFlags::SYMLINK_FOLLOW)?)
    }

    fn over(image: File) -> io::Result<Self> {
        lock(&image)?;
        let (device, path) = sys::attach_loop(&image)?;
        let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", &path)?;
        // Inode tables of a sparse file are zero already; freed blocks go back to the host.
        for flag in ["noinit_itable", "nobarrier", "discard"] {
            fsconfig_set_flag(&context, flag)?;
        }
        fsconfig_set_string(&context, "errors", "remount-ro")?;
        fsconfig_create(&context)?;
        let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        // From here on it is the mount that keeps the device.
        drop(device);
        Ok(Ready { image, mount, data: None })
    }
}

/// Whether the last mount was undone. Where the machine stopped instead, nobody knows what an image without a
/// journal holds.
fn is_clean(image: &File) -> io::Result<bool> {
    /// The superblock's magic number and state follow each other.
    const AT: u64 = 1024 + 0x38;
    let mut found = [0; 4];
    image.read_exact_at(&mut found, AT)?;
    let [magic_low, magic_high, state, _] = found;
    Ok([magic_low, magic_high] == 0xEF53_u16.to_le_bytes() && state & 1 == 1)
}

/// The device of a shim that has just died may still be there.
fn lock(image: &File) -> io::Result<()> {
    for _ in 0..ATTEMPTS {
        match rustix::fs::flock(image, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK | Errno::INTR) => sys::pause_ms(100),
            other => return Ok(other?),
        }
    }
    Err(io::Error::other("its image is still in use"))
}

fn file_name(gib: u32) -> String {
    format!("{gib}-gib.ext4")
}

/// Where empty file systems lie, for a directory of tasks.
pub(crate) fn directory(tasks: &Path) -> PathBuf {
    tasks.parent().unwrap_or(Path::new("/")).join("disks")
}

/// Makes what images of the default size are copies of, where images are what bounds.
pub(crate) fn expect(disks: &Path) -> io::Result<()> {
    if !project::is_enforced(disks.parent().unwrap_or(disks)) {
        template(disks, DEFAULT_GIB)?;
    }
    Ok(())
}

/// An empty file system of this size, made once for a host.
pub(crate) fn template(disks: &Path, gib: u32) -> io::Result<PathBuf> {
    let path = disks.join(file_name(gib));
    if path.exists() {
        return Ok(path);
    }
    std::fs::create_dir_all(disks)?;
    let program = MKFS.iter().find(|path| Path::new(path).exists());
    let program = program.ok_or_else(|| io::Error::other("mkfs.ext4 (e2fsprogs) is not installed"))?;
    let new = disks.join(format!("{gib}-gib.{}.new", std::process::id()));
    File::create(&new)?.set_len(u64::from(gib) << 30)?;
    let mut mkfs = Command::new(program);
    mkfs.args(["-q", "-F", "-m", "0", "-i", "32768", "-O", "^has_journal,^resize_inode"]);
    mkfs.args(["-E", "lazy_itable_init=1,nodiscard,root_owner=0:0"]).arg(&new);
    let output = mkfs.stdin(Stdio::null()).env_clear().output();
    let made = output.and_then(|output| match output.status.success() {
        true => std::fs::rename(&new, &path),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    });
    if made.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    made.map(|()| path)
}

/// Copies what a sparse file holds: a megabyte of twenty gibibytes.
fn copy(template: &Path, image: File) -> io::Result<File> {
    let from = File::open(template)?;
    let length = from.metadata()?.len();
    image.set_len(length)?;
    if rustix::fs::ioctl_ficlone(&image, &from).is_ok() {
        return Ok(image);
    }
    let mut at = 0;
    while at < length {
        let start = match rustix::fs::seek(&from, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break,
            other => other?,
        };
        let end = rustix::fs::seek(&from, SeekFrom::Hole(start))?;
        let (mut read_at, mut write_at) = (start, start);
        while read_at < end {
            let left = usize::try_from(end - read_at).unwrap_or(usize::MAX);
            let copied =
                rustix::fs::copy_file_range(&from, Some(&mut read_at), &image, Some(&mut write_at), left)?;
            if copied == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        at = end;
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_left_half_written_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let Ok(made) = template(dir.path(), 1) else {
            eprintln!("left out: mkfs.ext4 is not there");
            return;
        };
        let image = File::options().read(true).write(true).open(&made).unwrap();
        assert!(is_clean(&image).unwrap());
        image.write_all_at(&[0], 1024 + 0x3A).unwrap();
        assert!(!is_clean(&image).unwrap());
        assert!(std::fs::metadata(&made).unwrap().len() == 1 << 30, "the same is made once");
        assert_eq!(template(dir.path(), 1).unwrap(), made);
    }

    #[test]
    fn an_image_is_locked_while_somebody_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let first = File::create(&path).unwrap();
        lock(&first).unwrap();
        let second = File::open(&path).unwrap();
        assert!(rustix::fs::flock(&second, FlockOperation::NonBlockingLockExclusive).is_err());
        drop(first);
        lock(&second).unwrap();
    }
}
