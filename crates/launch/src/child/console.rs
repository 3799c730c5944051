//! A terminal for the program: a pair in the container's own devpts, its master handed to the launcher.
//!
//! Invariant: the other end is opened through the master and never by name, and `/dev/console` is that end
//! mounted by descriptor (CVE-2025-52565): a link in the image leads nowhere.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Gid, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::paths;
use crate::plan::{Program, Size};
use crate::report::{Outcome, Report, Step};
use crate::sys;

const DEVPTS_MAGIC: i64 = 0x1cd1;

/// Opens a terminal where the program wants one, and says so on the channel. Returns the program's end.
pub fn open(program: &Program, channel: BorrowedFd<'_>, is_new: bool) -> Outcome<Option<OwnedFd>> {
    let Some(size) = program.terminal else { return Ok(None) };
    let failed = Report::at(Step::Console);
    let root = rustix::fs::open(c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let root = root.map_err(&failed)?;
    let (master, terminal) = pair(root.as_fd(), size).map_err(&failed)?;
    // As with `tty`: the user owns it, its group is that of the file system.
    rustix::fs::fchown(&terminal, Some(program.uid), None::<Gid>).map_err(&failed)?;
    if is_new {
        let onto = paths::open_or_make(root.as_fd(), c"dev/console", false, true).map_err(&failed)?;
        show(terminal.as_fd(), onto.as_fd()).map_err(&failed)?;
    }
    send(channel, master.as_fd()).map_err(&failed)?;
    Ok(Some(terminal))
}

fn pair(root: BorrowedFd<'_>, size: Size) -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let master = rustix::fs::openat2(root, c"dev/pts/ptmx", flags, Mode::empty(), resolve)?;
    if rustix::fs::fstatfs(&master)?.f_type as i64 != DEVPTS_MAGIC {
        return Err(Errno::NODEV);
    }
    let terminal = sys::open_terminal(master.as_fd())?;
    if size != Size::default() {
        sys::set_terminal_size(master.as_fd(), size.rows, size.columns)?;
    }
    Ok((master, terminal))
}

fn show(terminal: BorrowedFd<'_>, onto: BorrowedFd<'_>) -> Result<(), Errno> {
    let clone =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(terminal, c"", clone)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, c"", onto, c"", flags)
}

fn send(channel: BorrowedFd<'_>, master: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    let fds = [master];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let report = Report { step: Step::Console, index: 0, errno: Errno::INTR }.to_bytes();
    rustix::net::sendmsg(channel, &[IoSlice::new(&report)], &mut control, SendFlags::NOSIGNAL).map(drop)
}
