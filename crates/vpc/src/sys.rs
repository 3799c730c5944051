//! The one place with `unsafe`: leaving a namespace for a new one, and a socket option that `rustix`
//! does not have.
#![expect(unsafe_code, reason = "unshare changes what other code of the thread relies on; setsockopt")]

use std::os::fd::{AsFd, AsRawFd};

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

/// A later `bind` takes no port: the kernel chooses one at `connect`, when it knows the peer, so that
/// ports last for as many connections per peer.
pub fn bind_without_port(socket: impl AsFd) -> std::io::Result<()> {
    let one: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    let socket = socket.as_fd().as_raw_fd();
    let option = libc::IP_BIND_ADDRESS_NO_PORT;
    // SAFETY: the descriptor is open for the length of the call, and the option's value is an int that
    // lives as long.
    let outcome =
        unsafe { libc::setsockopt(socket, libc::IPPROTO_IP, option, (&raw const one).cast(), length) };
    if outcome == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
