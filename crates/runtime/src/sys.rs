//! The system calls that no safe crate offers.
#![expect(unsafe_code, reason = "raw system calls, each justified where it stands")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

extern "C" fn ignore(_signal: libc::c_int) {}

/// Makes the signals that a terminal or a service manager sends to whole groups harmless.
/// A handler, unlike `SIG_IGN`, is not inherited through `exec`, so containers are unaffected.
pub(crate) fn survive_signals() {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGPIPE, libc::SIGQUIT] {
        let handler = ignore as extern "C" fn(libc::c_int);
        // SAFETY: the handler does nothing, so it is async-signal-safe; it lives for ever.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

/// Gives freed pages back: a specification is large, and the shim that parsed it lives for long.
pub(crate) fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes no pointers and is thread-safe.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Closes what the server's own starter left open in it, a lock or a pipe: whoever waits for its end
/// is not to wait for the tasks. To be called before this process opens anything.
pub fn close_inherited() {
    // SAFETY: nothing in this process owns a descriptor above 2 yet; a kernel that refuses changes
    // nothing.
    unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
}

/// Takes over descriptor 0, the socket that the server gave to this process.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    // SAFETY: descriptor 0 is open for as long as nobody owns it, and it is duplicated, not taken.
    let stdin = unsafe { BorrowedFd::borrow_raw(0) };
    let own = rustix::io::fcntl_dupfd_cloexec(stdin, 3)?;
    let null = std::fs::File::open("/dev/null")?;
    // SAFETY: dup2 replaces descriptor 0 atomically; nothing in this process owns it.
    if unsafe { libc::dup2(null.as_raw_fd(), 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(own)
}

/// Lets standard error go to `file`.
pub(crate) fn redirect_stderr(file: &std::fs::File) -> io::Result<()> {
    // SAFETY: dup2 replaces descriptor 2 atomically; nothing in this process owns it.
    if unsafe { libc::dup2(file.as_raw_fd(), 2) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The signal of this number; `None` for numbers that no signal has.
pub(crate) fn signal(number: i32) -> Option<rustix::process::Signal> {
    // SAFETY: the number is one of Linux's 64 signals; real-time ones are only sent, never handled.
    (1..=64).contains(&number).then(|| unsafe { rustix::process::Signal::from_raw_unchecked(number) })
}

/// Leaves namespaces of this thread.
pub(crate) fn unshare(flags: rustix::thread::UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: only flags that unshare the table of descriptors endanger owned descriptors, and
    // namespaces are all that is asked for here.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}
