//! The system calls that `rustix` does not offer, or offers as unsafe.
//!
//! Invariant: nothing here allocates, so the clone may call all of it.
#![expect(unsafe_code, reason = "raw system calls: clone3, execve, seccomp, mount_setattr, close_range")]

use std::ffi::{CStr, CString, c_char, c_long};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::Pid;
use seccompiler::sock_filter;

/// Result of [`clone3`].
pub enum Cloned {
    Parent { pid: Pid, pidfd: OwnedFd },
    Child,
}

fn check(result: c_long) -> Result<c_long, Errno> {
    if result >= 0 {
        return Ok(result);
    }
    // SAFETY: the location of this thread's errno is always valid to read.
    let errno = unsafe { *libc::__errno_location() };
    Err(Errno::from_raw_os_error(errno))
}

/// Makes a process like `fork`, in new namespaces `flags`, and in the control group `cgroup` of version 2.
///
/// The child has one thread and a copy of the parent's memory, in which locks that other threads held stay
/// locked for ever: it must neither allocate nor use anything of the standard library that locks.
pub fn clone3(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Cloned, Errno> {
    let mut pidfd: RawFd = -1;
    // SAFETY: the structure is plain integers, for which zero is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64 | CLONE_CLEAR_SIGHAND;
    args.pidfd = ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    let size = size_of_val(&args);
    // SAFETY: without CLONE_VM the child runs on a copy of this stack, as after fork; the pointers in the
    // arguments outlive the call.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &mut args, size) })?;
    let Some(pid) = Pid::from_raw(pid as i32) else { return Ok(Cloned::Child) };
    // SAFETY: the kernel has just opened it for us, and nobody else knows it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned::Parent { pid, pidfd })
}

const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Strings in the form that `execve` takes. Made before the clone.
pub struct Vector<'a> {
    pointers: Vec<*const c_char>,
    _strings: std::marker::PhantomData<&'a CStr>,
}

impl<'a> Vector<'a> {
    pub fn new(strings: &'a [CString]) -> Self {
        let pointers = strings.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _strings: std::marker::PhantomData }
    }
}

/// Executes a program; returns only when that failed.
pub fn execve_vector(path: &CStr, args: &Vector<'_>, env: &Vector<'_>) -> Errno {
    // SAFETY: path is a C string; both vectors end with a null pointer and borrow their strings.
    let result = unsafe { libc::execve(path.as_ptr(), args.pointers.as_ptr(), env.pointers.as_ptr()) };
    check(result.into()).err().unwrap_or(Errno::NOEXEC)
}

/// [`execve_vector`] for callers that may allocate.
pub fn execve(path: &CStr, args: &[CString], env: &[CString]) -> Errno {
    execve_vector(path, &Vector::new(args), &Vector::new(env))
}

/// Changes the attributes of the mount `tree`, and with `recursive` of those below it.
/// `propagation` is one of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`, or 0.
pub fn mount_setattr(
    tree: BorrowedFd<'_>,
    recursive: bool,
    set: MountAttrFlags,
    clear: MountAttrFlags,
    propagation: u64,
) -> Result<(), Errno> {
    let attr = libc::mount_attr {
        attr_set: set.bits().into(),
        attr_clr: clear.bits().into(),
        propagation,
        userns_fd: 0,
    };
    let recursive = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: an empty C string, and a structure whose size is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &attr,
            size_of_val(&attr),
        )
    };
    check(result).map(drop)
}

/// Installs one seccomp program on this thread.
pub fn install_filter(program: &[sock_filter], flags: u32) -> Result<(), Errno> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let described = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: the kernel only reads the program; both structures of a filter have the layout of the kernel.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &described) };
    check(result).map(drop)
}

/// Closes every descriptor from `first` up.
pub fn close_from(first: u32) -> Result<(), Errno> {
    // SAFETY: called in the clone only, which uses no descriptor from `first` up afterwards.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0u32) }).map(drop)
}

/// Closes a descriptor of the parent's.
pub fn close(fd: RawFd) {
    // SAFETY: called in the clone only, where nothing uses the parent's end of a channel.
    unsafe { libc::close(fd) };
}

/// The working directory's path as the kernel shows it; its first byte says whether it is reachable.
pub fn current_directory(room: &mut [u8]) -> Result<u8, Errno> {
    // SAFETY: the kernel writes at most the room's length.
    let length = check(unsafe { libc::syscall(libc::SYS_getcwd, room.as_mut_ptr(), room.len()) })?;
    if length > 0 { Ok(room[0]) } else { Err(Errno::NOENT) }
}

/// Puts a descriptor at a number of one's choice. It closes on exec unless `keep`.
pub fn place(fd: RawFd, at: RawFd, keep: bool) -> Result<(), Errno> {
    let flags = if keep { 0 } else { libc::O_CLOEXEC };
    if fd == at {
        let flags = if keep { 0 } else { libc::FD_CLOEXEC };
        // SAFETY: changes a flag of a descriptor.
        return check(unsafe { libc::fcntl(fd, libc::F_SETFD, flags) }.into()).map(drop);
    }
    // SAFETY: called in the clone only, which owns all its descriptors.
    check(unsafe { libc::dup3(fd, at, flags) }.into()).map(drop)
}

/// Copies a descriptor to a number of at least `lowest`.
pub fn lift(fd: RawFd, lowest: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: makes a new descriptor; the old one stays as it is.
    check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, lowest) }.into()).map(|fd| fd as RawFd)
}

/// Borrows a descriptor by number.
pub fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    // SAFETY: called in the clone only, with numbers that it has placed itself and never closes.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Undoes what the parent did to signals: none blocked, none ignored. (Rust ignores SIGPIPE.)
pub fn reset_signals() {
    /// The kernel's `struct sigaction`, or more: the default action, no flags, an empty mask.
    const DEFAULT: [u64; 4] = [0; 4];
    const SET_BYTES: usize = 8;
    for signal in 1..=64 {
        // The kernel is asked itself: glibc refuses the two signals that it uses, and a parent may have left
        // them ignored.
        // SAFETY: the default action is valid for every signal; those that refuse it are left as they are.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), ptr::null::<u64>(), SET_BYTES)
        };
    }
    // SAFETY: an empty set is valid, and zero is its representation.
    unsafe {
        let none: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());
    }
}

/// Leaves signals to [`next_signal`], all that can be left.
pub fn block_signals() {
    // SAFETY: fills a set of our own and blocks it.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &all, ptr::null_mut());
    }
}

/// Waits for a blocked signal. 0 when the wait was interrupted.
pub fn next_signal() -> i32 {
    const SET_BYTES: usize = 8;
    let all = u64::MAX;
    let none = ptr::null::<libc::c_void>();
    // SAFETY: reads eight bytes; wants neither details nor a timeout.
    let signal = unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &all, none, none, SET_BYTES) };
    check(signal).map_or(0, |signal| signal as i32)
}

/// Sends any signal; one that has ended takes it silently.
pub fn kill(pid: Pid, signal: i32) {
    // SAFETY: passes numbers.
    unsafe { libc::kill(pid.as_raw_nonzero().get(), signal) };
}

/// Becomes the group that the terminal on standard input belongs to.
pub fn take_foreground() {
    // SAFETY: passes numbers. The signal that stops background writers is blocked here.
    unsafe {
        libc::setpgid(0, 0);
        libc::tcsetpgrp(0, libc::getpid());
    }
}

/// A session keyring of one's own, so that the container does not see ours. Kernels without keys do without.
pub fn new_keyring() {
    const KEYCTL_JOIN_SESSION_KEYRING: c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, ptr::null::<c_char>()) };
}

/// `unshare` of namespaces only.
pub fn new_cgroup_namespace() -> Result<(), Errno> {
    // SAFETY: a new cgroup namespace invalidates no descriptor and no memory.
    check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }.into()).map(drop)
}

/// Sets a resource limit of this process, by the kernel's number of the resource.
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: reads the structure, writes nothing.
    check(unsafe { libc::prlimit64(0, resource, &limit, ptr::null_mut()) }.into()).map(drop)
}

/// Sends any signal, real-time ones included, to the process that a descriptor names.
pub fn send_signal(process: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    const NO_DETAILS: *const libc::siginfo_t = ptr::null();
    // SAFETY: passes numbers and a null pointer.
    let result =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, NO_DETAILS, 0u32) };
    check(result).map(drop)
}

/// The other end of a new pseudo-terminal, without going through its name.
pub fn open_terminal(master: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let unlocked = 0i32;
    // SAFETY: reads one integer.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &unlocked) }.into())?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: passes numbers.
    let fd = check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) }.into())?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// How many characters a terminal shows.
pub fn set_terminal_size(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> Result<(), Errno> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: reads the structure.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &size) }.into()).map(drop)
}

/// Makes standard input the controlling terminal of our session.
pub fn control_terminal() -> Result<(), Errno> {
    // SAFETY: passes numbers.
    check(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) }.into()).map(drop)
}

fn bpf<T>(command: c_long, attributes: &T) -> Result<c_long, Errno> {
    // SAFETY: every caller passes the structure of its command; pointers in it outlive the call.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_ref(attributes), size_of::<T>()) })
}

/// Loads a program that decides about devices, one instruction in each number.
pub fn load_device_program(instructions: &[u64]) -> Result<OwnedFd, Errno> {
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        instructions: u64,
        licence: u64,
        log: [u64; 2],
        version_and_flags: u64,
    }
    const BPF_PROG_LOAD: c_long = 5;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
    let load = Load {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        licence: c"Apache".as_ptr() as u64,
        log: [0; 2],
        version_and_flags: 0,
    };
    let fd = bpf(BPF_PROG_LOAD, &load)?;
    // SAFETY: the kernel has just opened it for us; it closes on exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Makes a device program decide for a group of version 2, besides those of the groups above.
pub fn attach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    const BPF_PROG_ATTACH: c_long = 8;
    const BPF_CGROUP_DEVICE: u32 = 6;
    const BPF_F_ALLOW_MULTI: u32 = 2;
    let attach = [group.as_raw_fd() as u32, program.as_raw_fd() as u32, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI];
    bpf(BPF_PROG_ATTACH, &attach).map(drop)
}

/// Gives the heap back, which begins at `start`. What a static program has of its thread at the heap's
/// beginning, errno among it, stays; the rest of that page is wiped. Whoever calls it never allocates again.
pub fn release_heap(start: usize) {
    /// More than glibc keeps of a thread behind the thread's address; the first that is allocated behind that is
    /// the allocator's own.
    const THREAD: usize = if cfg!(target_arch = "x86_64") { 2560 } else { 8192 };
    // SAFETY: asks for numbers: who this thread is, where the heap ends, how large a page is.
    let (thread, now, page) = unsafe {
        let page = libc::sysconf(libc::_SC_PAGESIZE);
        (libc::pthread_self() as usize, libc::syscall(libc::SYS_brk, 0) as usize, page.max(4096) as usize)
    };
    if start == 0 || now <= start {
        return;
    }
    let kept = if (start..now).contains(&thread) { thread + THREAD } else { start };
    let end = kept.next_multiple_of(page);
    if kept > start && end <= now {
        // SAFETY: the range is within the heap, on which nothing is needed any more: this clone goes on with
        // numbers on its stack.
        unsafe { ptr::write_bytes(kept as *mut u8, 0, end - kept) };
    }
    if end < now {
        // SAFETY: as above.
        unsafe { libc::syscall(libc::SYS_brk, end) };
    }
}

/// Ends the clone without running anything that was meant for the parent's end.
pub fn exit(code: i32) -> ! {
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(code) }
}
