//! Namespaces that outlive every container in them, held by a process that does nothing but reap.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::report::Step;
use crate::sys::{self, Cloned};
use crate::{LaunchError, child, create};

/// A process in a PID and an IPC namespace of its own, the first of both. It ends when this is dropped, or
/// with us, and the kernel ends everything in its PID namespace then.
#[derive(Debug)]
pub struct Holder {
    pid: Pid,
    pidfd: OwnedFd,
}

/// Makes a [`Holder`]. The caller has one thread.
///
/// # Errors
/// [`LaunchError::Host`].
pub fn hold() -> Result<Holder, LaunchError> {
    let failed = |error| LaunchError::host("make a process that holds namespaces", error);
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(failed)?;
    let heap = crate::plan::heap_start();
    let flags = (libc::CLONE_NEWPID | libc::CLONE_NEWIPC) as u64;
    match sys::clone3(flags, None).map_err(failed)? {
        Cloned::Child => {
            // Its copy of our end would keep it from hearing that we are gone.
            drop(ours);
            child::hold(&theirs, heap)
        }
        Cloned::Parent { pid, pidfd } => {
            let holder = Holder { pid, pidfd };
            drop(theirs);
            // It is tied to us; one whose word never comes is gone.
            let tied = create::receive(ours.as_fd())?;
            if tied.is_none_or(|report| report.step != Step::Ready) {
                return Err(failed(tied.map_or(Errno::CHILD, |report| report.errno)));
            }
            rustix::net::send(&ours, b"s", SendFlags::NOSIGNAL).map_err(failed)?;
            Ok(holder)
        }
    }
}

impl Holder {
    /// Its number in our PID namespace.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Where a specification finds its namespace of `kind`: `pid` or `ipc`.
    pub fn namespace(&self, kind: &str) -> PathBuf {
        format!("/proc/{}/ns/{kind}", self.pid.as_raw_nonzero()).into()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        // It leaves only after everything else in its namespace is reaped, perhaps by our own caller: waiting
        // could be for ever. What it leaves is one entry in the table of processes, until we end.
        let _ = rustix::process::waitid(
            WaitId::PidFd(self.pidfd.as_fd()),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
        );
    }
}
