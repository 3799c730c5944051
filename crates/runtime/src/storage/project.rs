//! Project quotas: a directory whose files count together, on file systems that were mounted to enforce it
//! (`prjquota` on xfs, and on ext4 with the features `project` and `quota`).

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{major, minor};

use crate::sys;

/// How many numbers are tried before a free one is found.
const ATTEMPTS: u32 = 64;

/// Whether what lies in this directory can be bounded.
pub(super) fn is_enforced(dir: &Path) -> bool {
    let Ok(found) = std::fs::metadata(dir) else { return false };
    let device = format!("{}:{}", major(found.dev()), minor(found.dev()));
    let table = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    let is_here = |line: &&str| line.split(' ').nth(2) == Some(device.as_str());
    let enforces = |line: &str| {
        let options = line.split(" - ").nth(1).and_then(|right| right.split(' ').nth(2)).unwrap_or_default();
        options.split(',').any(|option| matches!(option, "prjquota" | "pquota"))
    };
    table.lines().find(is_here).is_some_and(enforces)
}

/// Bounds what is and will be in the directory; 0 takes the bound away.
pub(super) fn limit(dir: &Path, bytes: u64) -> io::Result<()> {
    let open = File::open(dir)?;
    let own = sys::project(&open)?;
    if own != 0 {
        return sys::limit_project(&open, own, bytes);
    }
    // The inode's number is a start that no other directory has at the same time.
    let start = open.metadata()?.ino() as u32;
    for step in 0..ATTEMPTS {
        let id = start.wrapping_add(step).max(1);
        if sys::is_project_free(&open, id)? {
            sys::set_project(&open, id)?;
            return sys::limit_project(&open, id, bytes);
        }
    }
    Err(io::Error::other("no project is free"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;
    use std::process::Command;

    use rustix::mount::{MountFlags, UnmountFlags};

    use super::*;

    /// A file system that enforces project quotas, in a mount namespace that ends with this thread.
    fn enforcing() -> Option<(tempfile::TempDir, PathBuf)> {
        if !rustix::process::geteuid().is_root() || !Path::new("/usr/sbin/mkfs.ext4").exists() {
            eprintln!("left out: project quotas need root and mkfs.ext4");
            return None;
        }
        crate::sys::unshare(rustix::thread::UnshareFlags::NEWNS).unwrap();
        let private =
            rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (image, root) = (dir.path().join("image"), dir.path().join("root"));
        File::create(&image).unwrap().set_len(64 << 20).unwrap();
        std::fs::create_dir(&root).unwrap();
        let mut mkfs = Command::new("/usr/sbin/mkfs.ext4");
        mkfs.args(["-q", "-F", "-O", "quota,project", "-E", "quotatype=prjquota"]).arg(&image);
        assert!(mkfs.status().unwrap().success());
        let image = File::options().read(true).write(true).open(&image).unwrap();
        let (_device, path) = crate::sys::attach_loop(&image).unwrap();
        match rustix::mount::mount(&path, &root, "ext4", MountFlags::empty(), Some(c"prjquota")) {
            Ok(()) => Some((dir, root)),
            Err(error) => {
                eprintln!("left out: this kernel has no project quotas: {error}");
                None
            }
        }
    }

    #[test]
    fn a_directory_is_bounded_with_all_that_is_in_it() {
        let work = || {
            let Some((_dir, root)) = enforcing() else { return };
            assert!(is_enforced(&root));
            let (one, other) = (root.join("one"), root.join("other"));
            std::fs::create_dir(&one).unwrap();
            std::fs::create_dir(&other).unwrap();
            limit(&one, 1 << 20).unwrap();
            limit(&other, 8 << 20).unwrap();
            // As a container would, without the right to exceed quotas.
            let mut sets = rustix::thread::capabilities(None).unwrap();
            sets.effective -= rustix::thread::CapabilitySet::SYS_RESOURCE;
            rustix::thread::set_capabilities(None, sets).unwrap();
            std::fs::create_dir(one.join("below")).unwrap();
            let write = |path: PathBuf| {
                let mut file = File::create(path).unwrap();
                file.write_all(&vec![1; 2 << 20]).and_then(|()| file.sync_all())
            };
            assert!(write(one.join("below/big")).is_err());
            write(other.join("big")).unwrap();
            // The bound is the directory's, whoever asks again, and can be taken away.
            limit(&one, 16 << 20).unwrap();
            write(one.join("more")).unwrap();
            limit(&one, 0).unwrap();
            write(one.join("still more")).unwrap();
            rustix::mount::unmount(&root, UnmountFlags::DETACH).unwrap();
        };
        std::thread::spawn(work).join().unwrap();
    }
}
