//! A container's root: an overlay of its image's layers with a layer of its own on top.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    UnmountFlags,
};
use rustix::thread::UnshareFlags;

use crate::contract::RuntimeError;

/// Leaves the host's mount namespace, so that what is mounted here is nobody else's and vanishes
/// with the last process that sees it. The host's later mounts still arrive.
pub(super) fn own_mount_namespace() -> Result<(), RuntimeError> {
    crate::sys::unshare(UnshareFlags::NEWNS).map_err(|e| RuntimeError::host("make a mount namespace", e))?;
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags).map_err(|e| RuntimeError::host("keep mounts to the shim", e))
}

/// Mounts `layers` (base first) at `dir/rootfs`, changes going to `written/upper`.
pub(super) fn mount(dir: &Path, written: &Path, layers: &[PathBuf]) -> Result<PathBuf, RuntimeError> {
    let doing = "mount the root file system";
    let host = |error: io::Error| RuntimeError::host(doing, error);
    let (upper, work, root) = (written.join("upper"), written.join("work"), dir.join("rootfs"));
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    // The upper directory's mode is what the container sees at `/`.
    builder.mode(0o755).create(&upper).map_err(host)?;
    builder.mode(0o700).create(&work).map_err(host)?;
    builder.create(&root).map_err(host)?;
    if layers.is_empty() {
        return Err(RuntimeError::Plan("the image has no layers".to_owned()));
    }
    match by_descriptor(&upper, &work, &root, layers) {
        Ok(()) => Ok(root),
        // Kernels before 6.5 take no single lower directories.
        Err(rustix::io::Errno::INVAL) => {
            by_options(&upper, &work, &root, layers).map_err(|e| host(e.into()))?;
            Ok(root)
        }
        Err(error) => Err(host(error.into())),
    }
}

fn by_descriptor(upper: &Path, work: &Path, root: &Path, layers: &[PathBuf]) -> rustix::io::Result<()> {
    use rustix::mount::{fsconfig_create, fsconfig_set_string, fsmount, fsopen, move_mount};
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "boxship")?;
    for layer in layers.iter().rev() {
        fsconfig_set_string(&context, "lowerdir+", layer)?;
    }
    fsconfig_set_string(&context, "upperdir", upper)?;
    fsconfig_set_string(&context, "workdir", work)?;
    fsconfig_create(&context)?;
    let mounted = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    move_mount(&mounted, "", rustix::fs::CWD, root, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

fn by_options(upper: &Path, work: &Path, root: &Path, layers: &[PathBuf]) -> rustix::io::Result<()> {
    let lower: Vec<String> = layers.iter().rev().map(|l| escape(l)).collect();
    let options = format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), escape(upper), escape(work));
    let options = std::ffi::CString::new(options).map_err(|_| rustix::io::Errno::INVAL)?;
    rustix::mount::mount("overlay", root, "overlay", MountFlags::empty(), Some(options.as_c_str()))
}

/// Overlay's option syntax gives a meaning to these three.
fn escape(path: &Path) -> String {
    let text = path.display().to_string();
    text.replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,")
}

/// Unmounts a root, also while something still holds it.
pub(super) fn unmount(dir: &Path) {
    // It is not mounted, or the shim's end unmounts it.
    let _ = rustix::mount::unmount(dir.join("rootfs"), UnmountFlags::DETACH);
}
