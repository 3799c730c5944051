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
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
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
