//! The parent's side: from a specification to a container that waits, and from there to its program.

use std::borrow::Cow;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxResources, Spec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags, SocketType,
};
use rustix::process::{Pid, WaitId, WaitIdOptions};

use crate::cgroup::{Cgroup, Hierarchies};
use crate::child;
use crate::plan::{Join, Plan};
use crate::report::{Report, Step};
use crate::seccomp::Filter;
use crate::sys::{self, Cloned};
use crate::{ExecError, LaunchError, defaults, exe};

/// The container's standard streams. The launcher's copies are closed once the container has its own.
#[derive(Debug)]
pub struct Stdio {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

impl Stdio {
    /// `/dev/null` three times.
    ///
    /// # Errors
    /// [`LaunchError::Host`].
    pub fn null() -> Result<Self, LaunchError> {
        let open = || rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let failed = |error| LaunchError::host("open /dev/null", error);
        let stdin = open().map_err(failed)?;
        Ok(Self { stdin, stdout: open().map_err(failed)?, stderr: open().map_err(failed)? })
    }

    /// The caller's own streams.
    ///
    /// # Errors
    /// [`LaunchError::Host`] when one is closed.
    pub fn inherit() -> Result<Self, LaunchError> {
        let copy = |fd: BorrowedFd<'_>| {
            fd.try_clone_to_owned().map_err(|error| LaunchError::host("copy a standard stream", error))
        };
        Ok(Self {
            stdin: copy(rustix::stdio::stdin())?,
            stdout: copy(rustix::stdio::stdout())?,
            stderr: copy(rustix::stdio::stderr())?,
        })
    }

    pub(crate) fn as_fds(&self) -> [BorrowedFd<'_>; 3] {
        [self.stdin.as_fd(), self.stdout.as_fd(), self.stderr.as_fd()]
    }
}

/// What to do when our own executable could be overwritten from the container: see [`crate::exe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WritableExe {
    /// Fail with [`LaunchError::WritableExecutable`].
    Refuse,
    /// Go on. For tests and tools whose executable is worth nothing.
    Allow,
}

/// One container to be made.
#[derive(Debug)]
pub struct Launch<'a> {
    /// What to make. Namespaces with a path are joined, others made.
    pub spec: &'a Spec,
    /// Relative paths of the specification (`root.path`) start here.
    pub bundle: &'a Path,
    /// The machine's hierarchies, [`Hierarchies::detect`].
    pub hierarchies: &'a Hierarchies,
    /// The container's group, relative to the hierarchies: `boxship-1f/<task>/<container>`. It is made if it
    /// is missing, and gets the limits of `linux.resources`. `linux.cgroupsPath` is not looked at.
    pub cgroup: &'a Path,
    /// `linux.seccomp` compiled earlier. `None`: it is compiled now.
    pub filter: Option<&'a Filter>,
    pub stdio: Stdio,
    pub writable_exe: WritableExe,
    /// A listening `SOCK_SEQPACKET` socket on which the container waits to be started by
    /// [`crate::runtime_cli`]; `None`: it waits for [`Created::start`] and dies with us until then.
    pub listener: Option<OwnedFd>,
}

/// A container with everything but its program. Dropped, it dies; it must still be reaped.
#[derive(Debug)]
pub struct Created {
    /// As seen from our PID namespace. It is our child: reap it.
    pub pid: Pid,
    /// Becomes readable when the container ends.
    pub pidfd: OwnedFd,
    pub cgroup: Cgroup,
    /// The launcher's end of the program's terminal, where `process.terminal` asks for one.
    pub console: Option<OwnedFd>,
    channel: OwnedFd,
    program: String,
}

/// A container whose program runs.
#[derive(Debug)]
pub struct Started {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    pub cgroup: Cgroup,
    /// As [`Created::console`].
    pub console: Option<OwnedFd>,
}

/// Makes a container up to, and without, the execution of its program.
///
/// On failure nothing is left of it: the process is reaped and the group removed, unless it was there before.
///
/// # Errors
/// [`LaunchError`]: a field that we do not act on, a step that failed, a program that is not there.
pub fn create(launch: Launch<'_>) -> Result<Created, LaunchError> {
    if launch.writable_exe == WritableExe::Refuse {
        exe::require_read_only()?;
    }
    let mut group = Cgroup::open(launch.hierarchies, launch.cgroup)?;
    let plan = Plan::new(launch.spec, launch.bundle, &group, launch.filter)?;
    let existed = group.exists();
    group = Cgroup::create(launch.hierarchies, launch.cgroup)?;
    let resources = launch.spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let limited = resources.map_or(Ok(()), |resources| group.limit(&with_default_devices(resources)));
    let created = limited
        .map_err(LaunchError::from)
        .and_then(|()| spawn(&plan, &group, &launch.stdio, launch.listener.as_ref()));
    if created.is_err() && !existed {
        // What went wrong first is what the caller needs to hear.
        let _ = group.remove();
    }
    Ok(Created::new(created?, group, plan.program.name))
}

/// A container has the default devices, the terminals among them, whatever its rules say: that is the
/// specification's word, and engines rely on it.
fn with_default_devices(resources: &LinuxResources) -> Cow<'_, LinuxResources> {
    let rules = resources.devices().as_deref().unwrap_or_default();
    let is_allowed = |rule: &LinuxDeviceCgroup| rule.allow() && !rules.contains(rule);
    let missing: Vec<_> = defaults::device_rules().into_iter().filter(is_allowed).collect();
    if rules.is_empty() || missing.is_empty() {
        return Cow::Borrowed(resources);
    }
    let mut completed = resources.clone();
    completed.set_devices(Some([rules, &missing].concat()));
    Cow::Owned(completed)
}

/// What went wrong after the wait: only the program's confinement and execution are left then.
pub(crate) fn started_error(program: &str, report: Report) -> LaunchError {
    match report.step {
        Step::Exec => ExecError::from_report(program, report).into(),
        step => LaunchError::Step { step, subject: String::new(), source: report.errno },
    }
}

impl Created {
    pub(crate) fn new(waiting: Waiting, cgroup: Cgroup, program: String) -> Self {
        let Waiting { pid, pidfd, channel, console } = waiting;
        Self { pid, pidfd, cgroup, console, channel, program }
    }

    /// Executes the program. Returns when it has been executed.
    ///
    /// # Errors
    /// [`LaunchError::Exec`] with the text that runc would give; the container's process is reaped then.
    pub fn start(self) -> Result<Started, LaunchError> {
        let sent = rustix::net::send(&self.channel, START, SendFlags::NOSIGNAL);
        let answer = sent.map_err(|error| LaunchError::host("start the container", error));
        let answer = answer.and_then(|_| receive(self.channel.as_fd()));
        match answer {
            // The channel closed itself on exec.
            Ok(None) => {
                let Self { pid, pidfd, cgroup, console, .. } = self;
                Ok(Started { pid, pidfd, cgroup, console })
            }
            Ok(Some(report)) => {
                reap(self.pidfd.as_fd());
                Err(started_error(&self.program, report))
            }
            Err(error) => Err(error),
        }
    }
}

/// What the parent says when the program may be executed, and before, when the groups are joined.
const START: &[u8] = b"s";

/// Clones, puts the clone into its groups, and waits until it is ready.
pub(crate) fn spawn(
    plan: &Plan,
    group: &Cgroup,
    stdio: &Stdio,
    listener: Option<&OwnedFd>,
) -> Result<Waiting, LaunchError> {
    let task = child::Task::Create(plan);
    let flags = plan.namespaces.clone_flags;
    let cloned = clone_into(&task, flags, plan.namespaces.pid.as_ref(), group, stdio, listener)?;
    let outcome = add_to_groups(&cloned, group, plan.oom_score_adj);
    let outcome = outcome.and_then(|()| release(&cloned));
    finish(cloned, outcome, |report| plan.error(report))
}

/// A clone that is ready.
pub(crate) struct Waiting {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    pub channel: OwnedFd,
    pub console: Option<OwnedFd>,
}

/// The clone as its parent sees it.
pub(crate) struct Clone {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    pub channel: OwnedFd,
}

/// Clones. In the clone this does not return.
pub(crate) fn clone_into(
    task: &child::Task<'_>,
    flags: u64,
    pid_namespace: Option<&Join>,
    group: &Cgroup,
    stdio: &Stdio,
    listener: Option<&OwnedFd>,
) -> Result<Clone, LaunchError> {
    let failed = |error: Errno| LaunchError::host("clone a process for the container", error);
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(failed)?;
    let program = task.program();
    let wiring = child::Wiring {
        channel: theirs.as_fd(),
        parent: ours.as_fd(),
        stdio: stdio.as_fds(),
        listener: listener.map(AsFd::as_fd),
        args: sys::Vector::new(&program.args),
        env: sys::Vector::new(&program.env),
    };
    let unified = group.unified_fd()?;
    let own = pid_namespace.map(enter_pid_namespace).transpose()?;
    let cloned = sys::clone3(flags, unified.as_ref().map(AsFd::as_fd));
    if let Ok(Cloned::Child) = cloned {
        child::run(task, &wiring);
    }
    if let Some(own) = own {
        child::join(&own).map_err(|error| LaunchError::host("return to our PID namespace", error))?;
    }
    match cloned.map_err(failed)? {
        Cloned::Parent { pid, pidfd } => Ok(Clone { pid, pidfd, channel: ours }),
        Cloned::Child => unreachable!("the clone has not returned"),
    }
}

/// Children of this thread are born in `join` from now on. Returns the way back.
fn enter_pid_namespace(join: &Join) -> Result<Join, LaunchError> {
    const OWN: &str = "/proc/thread-self/ns/pid_for_children";
    let own = std::fs::File::open(OWN).map_err(|error| LaunchError::host(format!("open {OWN}"), error))?;
    child::join(join).map_err(|source| LaunchError::Step {
        step: Step::Join,
        subject: join.path.clone(),
        source,
    })?;
    Ok(Join { fd: own.into(), kind: libc::CLONE_NEWPID, path: OWN.to_owned() })
}

/// Control groups of version 1, and the OOM killer's preference, are set from outside.
pub(crate) fn add_to_groups(clone: &Clone, group: &Cgroup, oom: Option<i32>) -> Result<(), LaunchError> {
    group.add_v1(clone.pid)?;
    let Some(score) = oom else { return Ok(()) };
    let path = format!("/proc/{}/oom_score_adj", clone.pid.as_raw_nonzero());
    match std::fs::write(&path, score.to_string()) {
        // To lower it takes CAP_SYS_RESOURCE, which a launcher may lack; it is a preference, not a limit.
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => Ok(()),
        other => other.map_err(|error| LaunchError::host(format!("write {score} to {path}"), error)),
    }
}

pub(crate) fn release(clone: &Clone) -> Result<(), LaunchError> {
    let sent = rustix::net::send(&clone.channel, START, SendFlags::NOSIGNAL);
    sent.map(drop).map_err(|error| LaunchError::host("release the container", error))
}

/// Waits until the clone is ready; otherwise nothing of it is left.
pub(crate) fn finish(
    clone: Clone,
    so_far: Result<(), LaunchError>,
    error: impl Fn(Report) -> LaunchError,
) -> Result<Waiting, LaunchError> {
    let mut console = None;
    // One that was not released has nothing to say.
    let failure = match so_far.and_then(|()| hear(clone.channel.as_fd(), &mut console)) {
        Ok(Some(Report { step: Step::Ready, .. })) => {
            let Clone { pid, pidfd, channel } = clone;
            return Ok(Waiting { pid, pidfd, channel, console });
        }
        Ok(Some(report)) => error(report),
        Ok(None) => return Err(LaunchError::Died { status: reap(clone.pidfd.as_fd()) }),
        Err(failure) => failure,
    };
    let _ = rustix::process::pidfd_send_signal(&clone.pidfd, rustix::process::Signal::KILL);
    reap(clone.pidfd.as_fd());
    Err(failure)
}

/// What the clone says once it is ready or has failed. A terminal may come before.
fn hear(channel: BorrowedFd<'_>, console: &mut Option<OwnedFd>) -> Result<Option<Report>, LaunchError> {
    let mut bytes = [0; Report::LENGTH];
    loop {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut room);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let length = match rustix::net::recvmsg(channel, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => continue,
            Err(Errno::CONNRESET) => return Ok(None),
            other => {
                other.map_err(|error| LaunchError::host("listen to the container's process", error))?.bytes
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                *console = fds.last();
            }
        }
        match Report::from_bytes(&bytes[..length]) {
            Some(Report { step: Step::Console, .. }) if console.is_some() => {}
            heard => return Ok(heard),
        }
    }
}

/// One message of the clone; `None` when it has closed the channel.
pub(crate) fn receive(channel: BorrowedFd<'_>) -> Result<Option<Report>, LaunchError> {
    let mut bytes = [0; Report::LENGTH];
    loop {
        match rustix::net::recv(channel, &mut bytes, RecvFlags::empty()) {
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) | Ok((0, _)) => return Ok(None),
            Ok((length, _)) => return Ok(Report::from_bytes(&bytes[..length.min(Report::LENGTH)])),
            Err(error) => return Err(LaunchError::host("listen to the container's process", error)),
        }
    }
}

/// Waits for the end of our child and says how it ended.
pub(crate) fn reap(pidfd: BorrowedFd<'_>) -> String {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED) {
            Err(Errno::INTR) => {}
            Ok(Some(status)) => {
                return match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => format!("it exited with {code}"),
                    (_, Some(signal)) => format!("signal {signal} killed it"),
                    _ => "it is gone".to_owned(),
                };
            }
            _ => return "it is gone".to_owned(),
        }
    }
}
