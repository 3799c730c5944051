//! The system calls that no safe crate offers.
#![expect(unsafe_code, reason = "raw system calls, each justified where it stands")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

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

/// Becomes readable whenever a child ends. Nothing else in this process handles SIGCHLD, and programs that
/// it executes start with no signal blocked.
pub(crate) fn watch_children() -> io::Result<OwnedFd> {
    // SAFETY: an empty set is valid, and zero is its representation; the set outlives the calls.
    let fd = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut set, libc::SIGCHLD);
        if libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads a signal descriptor empty.
pub(crate) fn drain(signals: &OwnedFd) {
    let mut room = [0; 1024];
    while matches!(rustix::io::read(signals, &mut room[..]), Ok(1..) | Err(rustix::io::Errno::INTR)) {}
}

/// A child of ours that has ended and is not reaped, if there is one; it stays unreaped.
pub(crate) fn ended_child() -> Option<rustix::process::Pid> {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the structure is plain data, for which zero is valid; the kernel writes to it alone.
    let pid = unsafe {
        let mut found: libc::siginfo_t = std::mem::zeroed();
        if libc::waitid(libc::P_ALL, 0, &mut found, flags) < 0 {
            return None;
        }
        found.si_pid()
    };
    rustix::process::Pid::from_raw(pid)
}

/// A descriptor of ours in the async runtime's care.
pub(crate) fn register(fd: OwnedFd) -> io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor stays open, and the same, for as long as it is owned; the type gives out
    // shared references alone.
    Ok(unsafe { tokio::io::unix::AsyncFd::register(fd)? })
}
