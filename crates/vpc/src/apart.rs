//! A machine's network of one's own, for tests and measurements: nothing done in it reaches the
//! machine that they run on.

use std::thread;

use rustix::mount::{MountPropagationFlags, mount_change};

use crate::VpcError;
use crate::error::Doing;
use crate::net::{Rtnl, request};
use crate::sys;

/// Runs `work` on a thread in a new network namespace (with only `lo`, up) and a new mount
/// namespace. Threads that it starts are in them too. Everything goes when the last of them ends.
///
/// # Errors
/// Without CAP_SYS_ADMIN, `VpcError::Kernel` with EPERM.
///
/// # Panics
/// If `work` panics.
pub fn run<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, VpcError> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            sys::leave_network_and_mounts().doing("leaving the network")?;
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private).doing("making mounts private")?;
            let mut rtnl = Rtnl::open().doing("opening netlink")?;
            let lo = rtnl.index_of("lo").doing("finding lo")?;
            rtnl.run(&[request::link_up(lo)]).doing("raising lo")?;
            Ok(work())
        });
        match thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
