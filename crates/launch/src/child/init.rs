//! The container's small first process: it is this clone itself, so an image needs no program for it.
//! The container's program becomes its child.
//!
//! Invariant: it holds no descriptor and no heap, so nothing of other containers, has no more rights than the
//! program, and takes the program's exit code as its own.

use std::os::fd::AsRawFd;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};

use super::identity;
use crate::plan::Program;
use crate::report::{Outcome, Report, Step};
use crate::sys::{self, Cloned};

/// Splits into the first process, which does not return, and the one that executes the program. `heap` is
/// where ours begins.
pub fn split(program: &Program, heap: usize) -> Outcome<()> {
    let failed = Report::at(Step::Init);
    // Whoever loses a parent here comes to us, also where we are not the first of a PID namespace.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(&failed)?;
    sys::block_signals();
    match sys::clone3(0, None).map_err(&failed)? {
        Cloned::Child => {
            if program.terminal.is_some() {
                sys::take_foreground();
            }
            sys::reset_signals();
            Ok(())
        }
        Cloned::Parent { pid, pidfd } => {
            sys::close(pidfd.as_raw_fd());
            std::mem::forget(pidfd);
            let _ = rustix::thread::set_name(c"init");
            identity::confine(program)?;
            sys::close_from(0).map_err(&failed)?;
            sys::release_heap(heap);
            supervise(Some(pid))
        }
    }
}

/// Reaps whatever ends and passes signals on to `main`, until that ends. Without one, for ever.
pub fn supervise(main: Option<Pid>) -> ! {
    loop {
        reap(main);
        let signal = sys::next_signal();
        if let Some(main) = main
            && signal > 0
            && signal != libc::SIGCHLD
        {
            sys::kill(main, signal);
        }
    }
}

/// Ends with `main`'s exit code if that has ended.
fn reap(main: Option<Pid>) {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if Some(pid) == main => {
                let by_signal = status.terminating_signal().map(|signal| 128 + signal);
                sys::exit(status.exit_status().or(by_signal).unwrap_or(255))
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return,
        }
    }
}
