//! The container's file system: mounts, devices, the change of root, masks.
//!
//! Invariant: a path of the container is resolved by `openat2` below the root's descriptor, once, and what is
//! mounted there is moved onto that descriptor (CVE-2019-19921, CVE-2021-30465).
//! Invariant: procfs and sysfs are mounted on real directories, and a mask is looked at after it is in
//! place (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881).

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
    open_tree,
};

use super::paths::{self, make_file, open_in};
use crate::plan::{Attributes, MountPlan, Node, Plan, Source};
use crate::report::{Outcome, Report, Step};
use crate::sys;

const PROC_MAGIC: i64 = 0x9fa0;
const SYSFS_MAGIC: i64 = 0x6265_6572;

/// Everything of the plan that is a file.
pub fn build(plan: &Plan) -> Outcome<()> {
    let propagation =
        MountPropagationFlags::REC | MountPropagationFlags::from_bits_retain(plan.propagation as u32);
    rustix::mount::mount_change(c"/", propagation).map_err(Report::at(Step::Propagation))?;
    // The host's, for masks: a container could not have put anything in its place.
    let null = open_null().map_err(Report::nth(Step::Mask, usize::MAX))?;
    let root = attach_root(plan).map_err(Report::at(Step::Root))?;
    for (at, mount) in plan.mounts.iter().enumerate() {
        attach(root.as_fd(), mount).map_err(Report::nth(Step::Mount, at))?;
    }
    for (at, mount) in plan.mounts.iter().enumerate().filter(|(_, mount)| mount.is_sealed_last) {
        seal(root.as_fd(), mount).map_err(Report::nth(Step::Mount, at))?;
    }
    for (at, node) in plan.nodes.iter().enumerate() {
        make_node(root.as_fd(), node).map_err(Report::nth(Step::Device, at))?;
    }
    for (at, link) in plan.links.iter().enumerate() {
        make_link(root.as_fd(), &link.path, &link.target).map_err(Report::nth(Step::Link, at))?;
    }
    set_sysctls(plan)?;
    pivot(root.as_fd()).map_err(Report::at(Step::Pivot))?;
    for (at, path) in plan.readonly.iter().enumerate() {
        make_readonly(root.as_fd(), path).map_err(Report::nth(Step::Readonly, at))?;
    }
    let mut empty = None;
    for (at, path) in plan.masked.iter().enumerate() {
        mask(root.as_fd(), path, null.as_fd(), &mut empty).map_err(Report::nth(Step::Mask, at))?;
    }
    if plan.is_root_readonly {
        let readonly = MountAttrFlags::MOUNT_ATTR_RDONLY;
        sys::mount_setattr(root.as_fd(), false, readonly, MountAttrFlags::empty(), 0)
            .map_err(Report::at(Step::Root))?;
    }
    // The host's tree lies on top of ours, where the change of root has put it.
    rustix::mount::unmount(c".", UnmountFlags::DETACH).map_err(Report::at(Step::Pivot))?;
    rustix::process::chdir(c"/").map_err(Report::at(Step::Pivot))
}

const PATH: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

fn open_null() -> Result<OwnedFd, Errno> {
    let null = rustix::fs::open(c"/dev/null", PATH.union(OFlags::NOFOLLOW), Mode::empty())?;
    if is_null(&rustix::fs::fstat(&null)?) { Ok(null) } else { Err(Errno::NODEV) }
}

fn is_null(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice
        && found.st_rdev == rustix::fs::makedev(1, 3)
}

/// The root becomes a mount of its own, private, so that it can be changed to.
fn attach_root(plan: &Plan) -> Result<OwnedFd, Errno> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let root = open_tree(CWD, plan.root.as_c_str(), clone | OpenTreeFlags::AT_RECURSIVE)?;
    let none = MountAttrFlags::empty();
    sys::mount_setattr(root.as_fd(), false, none, none, libc::MS_PRIVATE)?;
    let onto = rustix::fs::open(plan.root.as_c_str(), PATH, Mode::empty())?;
    place(root.as_fd(), onto.as_fd())?;
    Ok(root)
}

/// Moves a mount that is not yet anywhere onto a place that is open.
fn place(tree: BorrowedFd<'_>, onto: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, c"", onto, c"", flags)
}

fn attach(root: BorrowedFd<'_>, mount: &MountPlan) -> Result<(), Errno> {
    let destination = mount.destination.as_c_str();
    let attributes = &mount.attributes;
    match &mount.source {
        Source::Link { target } => make_link(root, destination, target),
        Source::New { is_kernel, .. } => {
            let set = if mount.is_sealed_last { MountAttrFlags::empty() } else { attributes.set };
            let tree = new_file_system(&mount.source, set)?;
            let onto = paths::open_or_make(root, destination, true, *is_kernel)?;
            place(tree.as_fd(), onto.as_fd())?;
            spread(tree.as_fd(), attributes)
        }
        Source::Bind { path, is_recursive, is_dir } => {
            let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            if *is_recursive {
                flags |= OpenTreeFlags::AT_RECURSIVE;
            }
            let tree = open_tree(CWD, path.as_c_str(), flags)?;
            if !attributes.set.is_empty() {
                let clear = attributes.clear;
                sys::mount_setattr(tree.as_fd(), false, attributes.set, clear, 0)?;
            }
            if !attributes.set_below.is_empty() {
                sys::mount_setattr(tree.as_fd(), true, attributes.set_below, MountAttrFlags::empty(), 0)?;
            }
            let onto = paths::open_or_make(root, destination, *is_dir, false)?;
            place(tree.as_fd(), onto.as_fd())?;
            spread(tree.as_fd(), attributes)
        }
    }
}

fn new_file_system(source: &Source, set: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let Source::New { kind, parameters, .. } = source else { return Err(Errno::INVAL) };
    let context = fsopen(kind.as_c_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
    for parameter in parameters {
        match &parameter.value {
            Some(value) => fsconfig_set_string(context.as_fd(), parameter.key.as_c_str(), value.as_c_str())?,
            None => fsconfig_set_flag(context.as_fd(), parameter.key.as_c_str())?,
        }
    }
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, set)
}

fn spread(tree: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), Errno> {
    if attributes.propagation == 0 {
        return Ok(());
    }
    let none = MountAttrFlags::empty();
    sys::mount_setattr(tree, attributes.propagates_below, none, none, attributes.propagation)
}

/// Gives a directory of mount points its attributes, now that they are all made.
fn seal(root: BorrowedFd<'_>, mount: &MountPlan) -> Result<(), Errno> {
    let tree = open_in(root, &mount.destination, PATH, false)?;
    let attributes = &mount.attributes;
    sys::mount_setattr(tree.as_fd(), false, attributes.set, attributes.clear, 0)
}

fn make_node(root: BorrowedFd<'_>, node: &Node) -> Result<(), Errno> {
    let (parent, name) = paths::open_parent(root, &node.path)?;
    let mode = Mode::from_raw_mode(node.mode);
    match rustix::fs::mknodat(&parent, name, node.kind, mode, node.device) {
        Ok(()) if node.owner == (0, 0) => Ok(()),
        Ok(()) => {
            let (uid, gid) = (Uid::from_raw(node.owner.0), Gid::from_raw(node.owner.1));
            rustix::fs::chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        }
        Err(Errno::EXIST) => {
            let found = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_same = FileType::from_raw_mode(found.st_mode) == node.kind && found.st_rdev == node.device;
            if is_same { Ok(()) } else { Err(Errno::EXIST) }
        }
        // Nodes cannot be made in a user namespace: show the host's.
        Err(Errno::PERM) => {
            let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let tree = open_tree(CWD, node.host.as_c_str(), clone)?;
            let onto = make_file(root, &node.path)?;
            place(tree.as_fd(), onto.as_fd())
        }
        Err(error) => Err(error),
    }
}

fn make_link(root: BorrowedFd<'_>, path: &CStr, target: &CStr) -> Result<(), Errno> {
    let (parent, name) = paths::open_parent(root, path)?;
    match rustix::fs::symlinkat(target, &parent, name) {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

/// Through a procfs that is mounted nowhere: nothing in the container can lie about what is written to.
fn set_sysctls(plan: &Plan) -> Outcome<()> {
    if plan.sysctls.is_empty() {
        return Ok(());
    }
    let open = || {
        let context = fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(context.as_fd())?;
        fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    };
    let procfs = open().map_err(Report::at(Step::Sysctl))?;
    for (at, sysctl) in plan.sysctls.iter().enumerate() {
        let write = || {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
            let file = rustix::fs::openat2(&procfs, sysctl.path.as_c_str(), flags, Mode::empty(), resolve)?;
            rustix::io::write(&file, &sysctl.value).map(drop)
        };
        write().map_err(Report::nth(Step::Sysctl, at))?;
    }
    Ok(())
}

/// Afterwards `/` is the container's root and `.` the host's, on top of it.
fn pivot(root: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(c".", c".")?;
    // So that nothing that happens to the host's tree from now on goes back to the host.
    rustix::mount::mount_change(c".", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)
}

/// Opens a path of the kernel's file systems. `None`: it is not there. What lies where `/proc` and `/sys`
/// are mounted must be theirs.
fn open_kernel_path(root: BorrowedFd<'_>, path: &CStr) -> Result<Option<OwnedFd>, Errno> {
    let found = match open_in(root, path, PATH, true) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        other => other?,
    };
    let expected = match path.to_bytes() {
        [b'p', b'r', b'o', b'c', b'/', ..] => Some((c"proc", PROC_MAGIC)),
        [b's', b'y', b's', b'/', ..] => Some((c"sys", SYSFS_MAGIC)),
        _ => None,
    };
    let Some((top, magic)) = expected else { return Ok(Some(found)) };
    let is_kernel = |fd: BorrowedFd<'_>| Ok::<_, Errno>(rustix::fs::fstatfs(fd)?.f_type as i64 == magic);
    let top = open_in(root, top, PATH, true)?;
    if is_kernel(top.as_fd())? && !is_kernel(found.as_fd())? && !is_mount_point(found.as_fd())? {
        return Err(Errno::XDEV);
    }
    Ok(Some(found))
}

/// A specification may mount something at a path of procfs, and mask or protect it then.
fn is_mount_point(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    use rustix::fs::{StatxAttributes, StatxFlags, statx};
    let found = statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::empty())?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn make_readonly(root: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
    let Some(found) = open_kernel_path(root, path)? else { return Ok(()) };
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(&found, c"", clone | OpenTreeFlags::AT_RECURSIVE | OpenTreeFlags::AT_EMPTY_PATH)?;
    sys::mount_setattr(tree.as_fd(), true, MountAttrFlags::MOUNT_ATTR_RDONLY, MountAttrFlags::empty(), 0)?;
    place(tree.as_fd(), found.as_fd())
}

/// Covers a file with `/dev/null` and a directory with an empty one, then looks at what is there.
fn mask(
    root: BorrowedFd<'_>,
    path: &CStr,
    null: BorrowedFd<'_>,
    empty: &mut Option<OwnedFd>,
) -> Result<(), Errno> {
    let Some(found) = open_kernel_path(root, path)? else { return Ok(()) };
    let is_dir = FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) == FileType::Directory;
    let clone =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = match (is_dir, empty.as_ref()) {
        (false, _) => open_tree(null, c"", clone)?,
        (true, Some(first)) => open_tree(first, c"", clone)?,
        (true, None) => new_empty()?,
    };
    place(tree.as_fd(), found.as_fd())?;
    let expected = rustix::fs::fstat(&tree)?;
    if is_dir && empty.is_none() {
        *empty = Some(tree);
    }
    let seen = rustix::fs::fstat(open_in(root, path, PATH, true)?)?;
    let is_masked = (seen.st_dev, seen.st_ino) == (expected.st_dev, expected.st_ino);
    if is_masked && (is_dir || is_null(&seen)) { Ok(()) } else { Err(Errno::XDEV) }
}

fn new_empty() -> Result<OwnedFd, Errno> {
    let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), c"nr_inodes", c"1")?;
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)
}
