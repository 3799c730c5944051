//! The one place with `unsafe`: leaving a namespace for a new one.
#![expect(unsafe_code, reason = "unshare changes what other code of the thread relies on")]

use rustix::io;
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves the calling thread into a new, empty network namespace.
pub fn leave_network() -> io::Result<()> {
    // SAFETY: a network namespace decides only which links new sockets see. No memory or descriptor
    // table is unshared, so nothing that other threads hold changes.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}

/// Moves the calling thread into network and mount namespaces of its own.
pub fn leave_network_and_mounts() -> io::Result<()> {
    // SAFETY: as above; a mount namespace comes with a working directory and umask of the thread's
    // own (CLONE_FS), which only path look-ups of this thread see.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }
}
