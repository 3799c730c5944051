//! What the clone does, from its first instruction to the program's.
//!
//! Invariant: nothing here allocates or locks: the clone may come from a process with threads.
//! Invariant: it ends in the program or in [`sys::exit`], never by returning into the caller's code.

mod console;
mod files;
mod identity;
mod init;
mod mounts;
mod paths;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::DumpableBehavior;
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType};

use crate::plan::{Join, Plan, Program};
use crate::report::{Outcome, Report, Step};
use crate::sys::{self, Vector};

/// The descriptor of the channel to whoever starts us, once all others are closed.
const CHANNEL: RawFd = 3;

/// Why the clone was made.
pub enum Task<'a> {
    /// A new container.
    Create(&'a Plan),
    /// A process more in the container that `target` is in.
    Enter { target: &'a OwnedFd, program: &'a Program },
}

impl Task<'_> {
    pub fn program(&self) -> &Program {
        match self {
            Self::Create(plan) => &plan.program,
            Self::Enter { program, .. } => program,
        }
    }
}

/// What the clone has of its parent's descriptors.
pub struct Wiring<'a> {
    pub channel: BorrowedFd<'a>,
    /// The parent's end, which only the parent may keep open: its death is how we hear that it is gone.
    pub parent: BorrowedFd<'a>,
    pub stdio: [BorrowedFd<'a>; 3],
    pub listener: Option<BorrowedFd<'a>>,
    pub args: Vector<'a>,
    pub env: Vector<'a>,
}

/// Runs in the clone; does not return.
pub fn run(task: &Task<'_>, wiring: &Wiring<'_>) -> ! {
    let _guard = NeverReturn;
    let Err(report) = prepare(task, wiring) else { sys::exit(0) };
    // The channel is where it was, or at its final place; whoever listens is there.
    let channel =
        if report.step as u8 > Step::Descriptors as u8 { sys::borrow(CHANNEL) } else { wiring.channel };
    let _ = rustix::net::send(channel, &report.to_bytes(), SendFlags::NOSIGNAL);
    sys::exit(1)
}

/// A panic would unwind into the caller's code, in a second process: it ends here.
struct NeverReturn;

impl Drop for NeverReturn {
    fn drop(&mut self) {
        sys::exit(101);
    }
}

/// Returns only with what failed.
fn prepare(task: &Task<'_>, wiring: &Wiring<'_>) -> Outcome<()> {
    // Nobody in a PID namespace that we may join opens our memory or `/proc/<pid>/exe`.
    let dumpable = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    dumpable.map_err(Report::at(Step::Session))?;
    sys::close(wiring.parent.as_raw_fd());
    sys::reset_signals();
    rustix::process::setsid().map_err(Report::at(Step::Session))?;
    sys::new_keyring();
    await_parent(wiring.channel)?;
    rustix::process::umask(rustix::fs::Mode::empty());
    match task {
        Task::Create(plan) => build(plan)?,
        Task::Enter { target, .. } => enter(target.as_fd())?,
    }
    let program = task.program();
    identity::limit(program)?;
    let is_new = matches!(task, Task::Create(_));
    let terminal = console::open(program, wiring.channel, is_new)?;
    files::connect(wiring, terminal)?;
    become_program(program, wiring)
}

/// The parent puts us into control groups first; it says one byte then.
fn await_parent(channel: BorrowedFd<'_>) -> Outcome<()> {
    match receive(channel) {
        Ok(true) => Ok(()),
        Ok(false) => sys::exit(1),
        Err(error) => Err(Report { step: Step::Gate, index: 0, errno: error }),
    }
}

fn build(plan: &Plan) -> Outcome<()> {
    for (at, join) in plan.namespaces.joins.iter().enumerate() {
        self::join(join).map_err(Report::nth(Step::Join, at))?;
    }
    if plan.namespaces.makes_cgroup {
        sys::new_cgroup_namespace().map_err(Report::at(Step::Namespace))?;
    }
    if let Some(name) = &plan.hostname {
        rustix::system::sethostname(name).map_err(Report::at(Step::Hostname))?;
    }
    if let Some(name) = &plan.domainname {
        rustix::system::setdomainname(name).map_err(Report::at(Step::Domainname))?;
    }
    mounts::build(plan)
}

/// Joins one namespace, of the kind that was asked for and no other.
pub fn join(join: &Join) -> Result<(), Errno> {
    let kind = match join.kind {
        libc::CLONE_NEWNET => LinkNameSpaceType::Network,
        libc::CLONE_NEWIPC => LinkNameSpaceType::InterProcessCommunication,
        libc::CLONE_NEWUTS => LinkNameSpaceType::HostNameAndNISDomainName,
        libc::CLONE_NEWCGROUP => LinkNameSpaceType::ControlGroup,
        libc::CLONE_NEWPID => LinkNameSpaceType::ProcessID,
        _ => return Err(Errno::INVAL),
    };
    rustix::thread::move_into_link_name_space(join.fd.as_fd(), Some(kind))
}

/// All namespaces of a running container at once; its PID namespace was joined by the parent.
fn enter(target: BorrowedFd<'_>) -> Outcome<()> {
    let kinds = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::CONTROL_GROUP
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::NETWORK;
    rustix::thread::move_into_thread_name_spaces(target, kinds).map_err(Report::at(Step::Join))
}

fn become_program(program: &Program, wiring: &Wiring<'_>) -> Outcome<()> {
    files::change_directory(program)?;
    identity::change_user(program)?;
    let path = files::look_up(program)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(program.umask));
    let ready = Report { step: Step::Ready, index: 0, errno: Errno::INTR };
    let channel = sys::borrow(CHANNEL);
    rustix::net::send(channel, &ready.to_bytes(), SendFlags::NOSIGNAL).map_err(Report::at(Step::Gate))?;
    if wiring.listener.is_some() {
        await_starter()?;
    } else if !receive(channel).map_err(Report::at(Step::Gate))? {
        sys::exit(1);
    }
    if let Some(heap) = program.init {
        init::split(program, heap)?;
    }
    identity::confine(program)?;
    let errno = sys::execve_vector(path, &wiring.args, &wiring.env);
    Err(Report { step: Step::Exec, index: 0, errno })
}

/// Another process starts us, by connecting to the listener, which has taken the channel's next number.
fn await_starter() -> Outcome<()> {
    let listener = sys::borrow(CHANNEL + 1);
    let failed = Report::at(Step::Gate);
    loop {
        let flags = rustix::net::SocketFlags::CLOEXEC;
        let caller = rustix::net::accept_with(listener, flags).map_err(&failed)?;
        // One that connects and leaves, to see whether we are there, does not start us.
        if receive(caller.as_fd()) == Ok(true) {
            return sys::place(caller.as_raw_fd(), CHANNEL, false).map_err(&failed);
        }
    }
}

/// The clone that holds namespaces: see [`crate::hold`]. Does not return.
pub fn hold(channel: &OwnedFd, heap: usize) -> ! {
    let _guard = NeverReturn;
    // Tied to the parent first: one that is gone by then never answers.
    let kill = rustix::process::Signal::KILL;
    let tied = rustix::process::set_parent_process_death_signal(Some(kill));
    let hidden = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let ready = match tied.and(hidden) {
        Ok(()) => Report { step: Step::Ready, index: 0, errno: Errno::INTR },
        Err(errno) => Report { step: Step::Session, index: 0, errno },
    };
    let sent = rustix::net::send(channel, &ready.to_bytes(), SendFlags::NOSIGNAL);
    if sent.is_err() || ready.step != Step::Ready || receive(channel.as_fd()) != Ok(true) {
        sys::exit(1);
    }
    sys::block_signals();
    let _ = rustix::process::setsid();
    let _ = rustix::thread::set_name(c"pause");
    let none = rustix::thread::CapabilitySet::empty();
    let sets = rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
    if rustix::thread::set_capabilities(None, sets).is_err() || sys::close_from(0).is_err() {
        sys::exit(1);
    }
    sys::release_heap(heap);
    init::supervise(None)
}

/// Waits for one byte. `false`: the other side is gone.
fn receive(channel: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut byte = [0; 1];
    loop {
        match rustix::net::recv(channel, &mut byte, RecvFlags::empty()) {
            Err(Errno::INTR) => {}
            other => return other.map(|(length, _)| length > 0),
        }
    }
}
