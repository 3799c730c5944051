//! What is mounted in a container besides volumes.

use std::path::{Component, Path, PathBuf};

use core_lifecycle::{Namespace, Tmpfs};
use launch::defaults;
use oci_spec::runtime::{Mount, MountBuilder};

use super::Layout;
use crate::contract::RuntimeError;
use crate::plan::{ContainerPlan, TaskSandbox};

/// Of `/dev/shm`, as in Docker.
const SHM_MIB: u32 = 64;

/// Files of procfs that may be covered: what programs take for the size of their machine.
const COVERABLE: [&str; 8] =
    ["cpuinfo", "diskstats", "loadavg", "meminfo", "slabinfo", "stat", "swaps", "uptime"];

/// What says who and where a container is, in `/etc`.
const NAMES: [&str; 3] = ["resolv.conf", "hosts", "hostname"];

/// Whether our own file is mounted there.
pub(crate) fn is_name_file(path: &Path) -> bool {
    path.strip_prefix("/etc").is_ok_and(|name| NAMES.iter().any(|known| name == Path::new(known)))
}

pub(super) fn of(
    sandbox: &TaskSandbox,
    plan: &ContainerPlan,
    layout: &Layout<'_>,
) -> Result<Vec<Mount>, RuntimeError> {
    let settings = &plan.linux;
    let shm = u64::from(settings.shared_memory_mib.unwrap_or(SHM_MIB)) << 20;
    let mut mounts = defaults::mounts(shm);
    let shared_memory = Path::new("/dev/shm");
    match sandbox.ipc_mode {
        Namespace::Container => {}
        Namespace::None => mounts.retain(|mount| mount.destination() != shared_memory),
        Namespace::Task => insert(&mut mounts, defaults::bind(layout.shm, shared_memory, false)),
        Namespace::Host => insert(&mut mounts, defaults::bind(shared_memory, shared_memory, false)),
    }
    if settings.is_privileged {
        for mount in &mut mounts {
            if mount.destination().starts_with("/sys") {
                let options = mount.options().iter().flatten().filter(|option| *option != "ro");
                mount.set_options(Some(options.cloned().collect()));
            }
        }
    }
    for name in NAMES {
        // As in Docker: as read-only as the root file system.
        let target = Path::new("/etc").join(name);
        insert(&mut mounts, defaults::bind(&layout.files.join(name), &target, plan.readonly_root));
    }
    for wanted in &settings.tmpfs {
        insert(&mut mounts, tmpfs(wanted)?);
    }
    sort(&mut mounts);
    Ok(mounts)
}

/// Adds a mount in place of another at its path, behind those above it.
pub(crate) fn insert(mounts: &mut Vec<Mount>, mount: Mount) {
    mounts.retain(|known| known.destination() != mount.destination());
    mounts.push(mount);
    sort(mounts);
}

/// What lies deeper comes later; otherwise the order stays.
fn sort(mounts: &mut [Mount]) {
    mounts.sort_by_key(|mount| mount.destination().components().count());
}

fn tmpfs(wanted: &Tmpfs) -> Result<Mount, RuntimeError> {
    const COMPLETE: &str = "a mount without mappings is valid";
    // As in Docker: what is given comes after these and wins.
    let mut options = vec!["noexec".to_owned(), "nosuid".to_owned(), "nodev".to_owned()];
    for option in &wanted.options {
        if matches!(option.as_str(), "bind" | "rbind" | "remount") {
            return Err(RuntimeError::Plan(format!("Invalid tmpfs option {option:?}")));
        }
        options.push(option.clone());
    }
    options.push(format!("size={}m", wanted.size_mib));
    let built = MountBuilder::default().destination(target(&wanted.path)?).typ("tmpfs").source("tmpfs");
    Ok(built.options(options).build().expect(COMPLETE))
}

/// The path at which something is mounted, without `.` and `..`.
///
/// # Errors
/// [`RuntimeError::Plan`] for the root, for a relative path, and for most of what lies in `/proc`, whose
/// files confine the container.
pub(crate) fn target(path: &str) -> Result<PathBuf, RuntimeError> {
    let refused = |why: &str| Err(RuntimeError::Plan(format!("invalid mount target {path:?}: {why}")));
    if !path.starts_with('/') {
        return refused("mount path must be absolute");
    }
    let mut clean = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    if clean == Path::new("/") {
        return refused("destination can't be '/'");
    }
    match clean.strip_prefix("/proc") {
        Ok(below) if !COVERABLE.iter().any(|name| below == Path::new(name)) => {
            refused("it cannot be mounted because it is inside /proc")
        }
        _ => Ok(clean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let check = |path: &str, expected: Option<&str>| {
            let got = target(path).ok();
            assert_eq!(got.as_deref(), expected.map(Path::new), "{path}");
        };
        check("/data", Some("/data"));
        check("/a/./b/../c/", Some("/a/c"));
        check("/../etc", Some("/etc"));
        check("/host/proc", Some("/host/proc"));
        check("/proc/cpuinfo", Some("/proc/cpuinfo"));
        for refused in ["data", "", "/", "/a/..", "/proc", "/proc/sys", "/x/../proc/self"] {
            check(refused, None);
        }
    }
}
