//! Processes that enter a container: health checks and people's shells.
//!
//! Invariant: what such a process reads and writes is the server's own; the shim starts it, reaps it, and
//! kills it when the connection that asked for it ends.

use std::os::fd::{AsFd, OwnedFd};

use launch::seccomp::Filter;
use oci_spec::runtime::{BoxBuilder, Process, Spec, UserBuilder};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, WaitId, WaitIdOptions};

use super::container::Container;
use super::engine::{Entry, Launched};
use crate::contract::RuntimeError;
use crate::plan::{ExecPlan, Signal};
use crate::protocol::Start;
use crate::record::read_json;

/// What confines a container's processes, as its own first process was.
pub(super) struct Confinement {
    process: Process,
    filter: Filter,
    /// `HOME` was not given but is the user's, and another user's would be another.
    has_users_home: bool,
}

/// A process that has entered.
pub(super) struct Running {
    /// The request that asked for it; `None` once nobody is there to be told.
    pub request: Option<u64>,
    pid: Pid,
    pidfd: OwnedFd,
}

/// Adds what is not there yet.
fn add(process: &mut Process, environment: &[String]) {
    let mut env = process.env().clone().unwrap_or_default();
    for entry in environment {
        let name = entry.split('=').next();
        if !env.iter().any(|known| known.split('=').next() == name) {
            env.push(entry.clone());
        }
    }
    process.set_env(Some(env));
}

/// As Docker has it: programs with a terminal are told which.
fn name_terminal(process: &mut Process) {
    let mut env = process.env().clone().unwrap_or_default();
    if !env.iter().any(|entry| entry.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
    process.set_env(Some(env));
    process.set_terminal(Some(true));
}

/// The container's own streams become a terminal.
pub(super) fn give_terminal(spec: &mut Spec) {
    if let Some(process) = spec.process_mut() {
        name_terminal(process);
    }
}

impl Confinement {
    /// From the specification on disk, completed as at the container's start.
    fn read(container: &Container, start: &Start) -> Result<Self, RuntimeError> {
        let failed = |error: &dyn std::fmt::Display| RuntimeError::host("read config.json", error);
        let spec: Option<Spec> = read_json(&container.dir.join("config.json")).map_err(|e| failed(&e))?;
        let mut spec = spec.ok_or_else(|| failed(&"it is not there"))?;
        let has_home = |spec: &Spec| {
            let env = spec.process().iter().flat_map(|process| process.env().iter().flatten());
            env.into_iter().any(|entry| entry.starts_with("HOME="))
        };
        let has_users_home = !has_home(&spec);
        super::user::finish(&mut spec, &container.dir.join("rootfs"), start)?;
        let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let filter = profile.map(launch::seccomp::compile).transpose().map_err(|e| failed(&e))?;
        let process = spec.process().clone().ok_or_else(|| failed(&"it has no process"))?;
        Ok(Confinement { process, filter: filter.unwrap_or_default(), has_users_home })
    }

    fn process(&self, plan: &ExecPlan, container: &Container) -> Result<Process, RuntimeError> {
        let mut process = self.process.clone();
        process.set_args(Some(plan.command.clone()));
        process.set_terminal(Some(false)).set_console_size(None);
        if plan.command.first().is_none_or(String::is_empty) {
            return Err(RuntimeError::Plan("no command specified".to_owned()));
        }
        add(&mut process, &plan.environment);
        if let Some(size) = plan.terminal {
            name_terminal(&mut process);
            let built = BoxBuilder::default().height(u64::from(size.rows)).width(u64::from(size.columns));
            process.set_console_size(Some(built.build().expect("both sides are given")));
        }
        if let Some(user) = plan.user.as_deref().filter(|user| !user.is_empty()) {
            self.change_user(&mut process, user, container)?;
        }
        Ok(process)
    }

    fn change_user(
        &self,
        process: &mut Process,
        user: &str,
        container: &Container,
    ) -> Result<(), RuntimeError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(container.dir.join("rootfs"), flags, Mode::empty())
            .map_err(|e| RuntimeError::host("open the root file system", e))?;
        let user = oci::users::resolve_user(&root, user);
        let user = user.map_err(|error| RuntimeError::Plan(error.to_string()))?;
        // As in Docker, the first group is among the others (CVE-2022-36109).
        let others = user.additional_gids.into_iter().filter(|gid| *gid != user.gid);
        let groups: Vec<u32> = std::iter::once(user.gid).chain(others).collect();
        let built = UserBuilder::default().uid(user.uid).gid(user.gid).additional_gids(groups);
        process.set_user(built.build().expect("every field has a default"));
        if self.has_users_home {
            let mut env = process.env().clone().unwrap_or_default();
            env.retain(|entry| !entry.starts_with("HOME="));
            env.push(format!("HOME={}", user.home));
            process.set_env(Some(env));
        }
        Ok(())
    }
}

impl Running {
    /// Starts a process in `container`. `descriptors` are those that came with the request.
    pub fn start(
        container: &mut Container,
        request: u64,
        plan: &ExecPlan,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Self, RuntimeError> {
        if container.pidfd().is_none() {
            return Err(RuntimeError::NotRunning(container.name.clone()));
        }
        let confinement = match container.confinement.take() {
            Some(known) => known,
            None => {
                let start: Option<Start> = read_json(&container.dir.join(super::START))
                    .map_err(|e| RuntimeError::host("read start.json", e))?;
                let missing = || RuntimeError::host("read start.json", "it is not there");
                let read = Confinement::read(container, &start.ok_or_else(missing)?);
                crate::sys::trim_heap();
                read?
            }
        };
        let process = confinement.process(plan, container);
        let entered = process.and_then(|process| enter(container, &confinement, &process, plan, descriptors));
        container.confinement = Some(confinement);
        let Launched { pid, pidfd, .. } = entered.map_err(|error| match error {
            // Whatever failed, it was for want of a container.
            RuntimeError::Start(_) | RuntimeError::Host { .. } if container.has_ended() => {
                RuntimeError::NotRunning(container.name.clone())
            }
            error => error,
        })?;
        Ok(Running { request: Some(request), pid, pidfd })
    }

    pub fn is(&self, pid: Pid) -> bool {
        self.pid == pid
    }

    /// It leads a session and a process group; until it is reaped, nobody else has its number.
    pub fn signal(&self, signal: Signal) {
        let Some(number) = crate::sys::signal(signal.0) else { return };
        // One that has ended takes it silently.
        let _ = match signal {
            Signal::HANG_UP | Signal::KILL => rustix::process::kill_process_group(self.pid, number),
            _ => rustix::process::pidfd_send_signal(&self.pidfd, number),
        };
    }

    /// Its exit code, if it has ended; it is gone then.
    pub fn reap(&self) -> Option<i32> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
            Ok(Some(status)) => {
                let killed = status.terminating_signal().map(|signal| 128 + signal);
                Some(status.exit_status().or(killed).unwrap_or(255))
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => None,
            // Not ours to reap: whatever it was, it is over.
            Err(_) => Some(255),
        }
    }
}

fn enter(
    container: &Container,
    confinement: &Confinement,
    process: &Process,
    plan: &ExecPlan,
    descriptors: Vec<OwnedFd>,
) -> Result<Launched, RuntimeError> {
    let (Some(cgroup), Some(target)) = (&container.cgroup, container.pid) else {
        return Err(RuntimeError::host("enter the container", "it has no control group"));
    };
    let entry = Entry { process, target, cgroup, filter: &confinement.filter };
    let mut stdio = launch::Stdio::null().map_err(|e| RuntimeError::host("open /dev/null", e))?;
    let mut given = descriptors.into_iter();
    let mut next =
        || given.next().ok_or_else(|| RuntimeError::host("enter the container", "no streams came"));
    if plan.terminal.is_some() {
        let back = next()?;
        let mut entered = container.engine.enter(&entry, stdio)?;
        if let Some(console) = entered.console.take() {
            // A server that has gone away is noticed by its connection.
            let _ = crate::descriptors::send(&back, b"t", &[console.as_fd()]);
        }
        return Ok(entered);
    }
    if plan.has_input {
        stdio.stdin = next()?;
    }
    stdio.stdout = next()?;
    stdio.stderr = next()?;
    container.engine.enter(&entry, stdio)
}
