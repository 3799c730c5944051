//! A process more in a running container.

use std::os::fd::OwnedFd;

use oci_spec::runtime::{LinuxSeccomp, Process};
use rustix::process::{Pid, PidfdFlags};

use crate::cgroup::Cgroup;
use crate::create::{self, Stdio, WritableExe};
use crate::plan::{Join, Program};
use crate::seccomp::Filter;
use crate::{Created, LaunchError, child, exe};

/// A process to be added to a container.
#[derive(Debug)]
pub struct Exec<'a> {
    /// The container's first process, as seen from our PID namespace.
    pub target: Pid,
    /// The container's group.
    pub cgroup: &'a Cgroup,
    /// What to run, and as whom.
    pub process: &'a Process,
    /// The container's profile, `linux.seccomp` of its specification.
    pub seccomp: Option<&'a LinuxSeccomp>,
    /// The same compiled earlier; the profile itself is not needed then.
    pub filter: Option<&'a Filter>,
    pub stdio: Stdio,
    pub writable_exe: WritableExe,
}

/// Enters all namespaces of a container but its user namespace, its group and its confinement. The new
/// process waits for [`Created::start`]; it is our child, and must be reaped: the kernel lets the container's
/// first process go only when nothing is left in its PID namespace, zombies included.
///
/// # Errors
/// [`LaunchError`], as from [`crate::create()`].
pub fn exec(exec: Exec<'_>) -> Result<Created, LaunchError> {
    if exec.writable_exe == WritableExe::Refuse {
        exe::require_read_only()?;
    }
    let mut program = Program::new(exec.process, exec.seccomp, exec.filter)?;
    if let Some(filter) = exec.filter {
        program.filter = filter.clone();
    }
    let target = rustix::process::pidfd_open(exec.target, PidfdFlags::empty());
    let target: OwnedFd = target.map_err(|error| LaunchError::host("open the container's process", error))?;
    let path = format!("/proc/{}/ns/pid", exec.target.as_raw_nonzero());
    let namespace = std::fs::File::open(&path);
    let namespace = namespace.map_err(|error| LaunchError::host(format!("open {path}"), error))?;
    let namespace = Join { fd: namespace.into(), kind: libc::CLONE_NEWPID, path };
    let task = child::Task::Enter { target: &target, program: &program };
    let cloned = create::clone_into(&task, 0, Some(&namespace), exec.cgroup, &exec.stdio, None)?;
    let outcome = create::add_to_groups(&cloned, exec.cgroup, exec.process.oom_score_adj());
    let outcome = outcome.and_then(|()| create::release(&cloned));
    let waiting = create::finish(cloned, outcome, |heard| program.error(heard))?;
    Ok(Created::new(waiting, exec.cgroup.clone(), program.name))
}
