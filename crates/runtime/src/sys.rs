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

/// Shows a file as a block device that goes when it is no longer used. Returns it open, and its path.
pub(crate) fn attach_loop(image: &std::fs::File) -> io::Result<(std::fs::File, std::path::PathBuf)> {
    /// The kernel's `struct loop_config`.
    #[repr(C)]
    struct LoopConfig {
        file: u32,
        block_size: u32,
        numbers: [u64; 5],
        number: u32,
        encryption: [u32; 2],
        flags: u32,
        names: [u8; 160],
        reserved: [u64; 10],
    }
    const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
    const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
    const LO_FLAGS_AUTOCLEAR: u32 = 4;
    const ATTEMPTS: u32 = 64;
    let control = std::fs::File::options().read(true).write(true).open("/dev/loop-control")?;
    let config = LoopConfig {
        file: image.as_raw_fd().unsigned_abs(),
        block_size: 0,
        numbers: [0; 5],
        number: 0,
        encryption: [0; 2],
        flags: LO_FLAGS_AUTOCLEAR,
        names: [0; 160],
        reserved: [0; 10],
    };
    for _ in 0..ATTEMPTS {
        // SAFETY: passes numbers.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        let path = std::path::PathBuf::from(format!("/dev/loop{number}"));
        let device = std::fs::File::options().read(true).write(true).open(&path)?;
        // SAFETY: reads the structure, which is laid out as the kernel's.
        if unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &config) } == 0 {
            return Ok((device, path));
        }
        let error = io::Error::last_os_error();
        // Somebody else was faster.
        if error.raw_os_error() != Some(libc::EBUSY) {
            return Err(error);
        }
    }
    Err(io::Error::other("no loop device stays free"))
}

/// Ends all reading and writing of the file system that a descriptor lies on.
pub(crate) fn shut_file_system(on: &OwnedFd) {
    const FS_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587D;
    const WITHOUT_WRITING: u32 = 2;
    // SAFETY: reads one integer. Where the kernel does not do it, more is written than needed.
    unsafe { libc::ioctl(on.as_raw_fd(), FS_IOC_SHUTDOWN as _, &WITHOUT_WRITING) };
}

/// The kernel's `struct fsxattr`.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    extents: [u32; 2],
    project: u32,
    rest: [u32; 3],
}

const FS_IOC_FSGETXATTR: libc::c_ulong = 0x801C_581F;
const FS_IOC_FSSETXATTR: libc::c_ulong = 0x401C_5820;

fn attributes(dir: &std::fs::File) -> io::Result<Attributes> {
    let mut found = Attributes::default();
    // SAFETY: writes the structure, which is laid out as the kernel's.
    let result = unsafe { libc::ioctl(dir.as_raw_fd(), FS_IOC_FSGETXATTR as _, &mut found) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(found) }
}

/// The quota project of a directory; 0 is none.
pub(crate) fn project(dir: &std::fs::File) -> io::Result<u32> {
    attributes(dir).map(|found| found.project)
}

/// Puts a directory into a quota project, and with it what will be made in it.
pub(crate) fn set_project(dir: &std::fs::File, id: u32) -> io::Result<()> {
    const FS_XFLAG_PROJINHERIT: u32 = 0x200;
    let mut wanted = attributes(dir)?;
    wanted.flags |= FS_XFLAG_PROJINHERIT;
    wanted.project = id;
    // SAFETY: reads the structure, which is laid out as the kernel's.
    let result = unsafe { libc::ioctl(dir.as_raw_fd(), FS_IOC_FSSETXATTR as _, &wanted) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The kernel's `struct if_dqblk`.
#[repr(C)]
#[derive(Default)]
struct Quota {
    /// In blocks of 1024 bytes.
    hard: u64,
    soft: u64,
    used_bytes: u64,
    inodes_hard: u64,
    inodes_soft: u64,
    inodes: u64,
    times: [u64; 2],
    valid: u32,
    padding: u32,
}

fn quota(on: &std::fs::File, command: u32, id: u32, quota: &mut Quota) -> io::Result<()> {
    const PROJECTS: u32 = 2;
    // SAFETY: reads or writes the structure, which is laid out as the kernel's.
    let result = unsafe {
        let command = (command << 8) | PROJECTS;
        libc::syscall(libc::SYS_quotactl_fd, on.as_raw_fd(), command, id, std::ptr::from_mut(quota))
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether nothing counts for a quota project, and nothing bounds it.
pub(crate) fn is_project_free(on: &std::fs::File, id: u32) -> io::Result<bool> {
    const Q_GETQUOTA: u32 = 0x80_0007;
    let mut found = Quota::default();
    match quota(on, Q_GETQUOTA, id, &mut found) {
        Ok(()) => Ok(found.hard == 0 && found.inodes == 0),
        // Nothing is known of it.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Bounds the bytes of a quota project; 0 is no bound.
pub(crate) fn limit_project(on: &std::fs::File, id: u32, bytes: u64) -> io::Result<()> {
    const Q_SETQUOTA: u32 = 0x80_0008;
    const BLOCKS: u32 = 1;
    let mut wanted = Quota { hard: bytes >> 10, valid: BLOCKS, ..Quota::default() };
    quota(on, Q_SETQUOTA, id, &mut wanted)
}

/// Sleeps. For what nothing wakes.
pub(crate) fn pause_ms(milliseconds: u32) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: (i64::from(milliseconds.min(999)) * 1_000_000) as _ };
    // SAFETY: reads the structure; how long was left does not matter.
    unsafe { libc::nanosleep(&time, std::ptr::null_mut()) };
}

/// A program that must not go on when this process is gone. To be started from the first thread.
pub(crate) fn dies_with_us(program: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: the clone makes one system call, which is async-signal-safe and touches no memory.
    unsafe {
        program.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}
