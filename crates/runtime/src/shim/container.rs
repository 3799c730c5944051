//! One container of the shim's task.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use base::clock;
use launch::cgroup::{Cgroup, Hierarchies};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, WaitId, WaitIdOptions};

use super::complete::{Given, complete};
use super::engine::{Engine, Launched};
use super::exec::Confinement;
use super::ground::Ground;
use super::output::{Output, Wires};
use super::{Config, rootfs, user};
use crate::contract::{ContainerRecord, OutputState, RuntimeError};
use crate::plan::Signal;
use crate::protocol::Start;
use crate::record::{TaskDir, read_json};
use crate::spool::Position;

pub(super) struct Container {
    pub name: String,
    pub warnings: Vec<String>,
    /// Requests that wait for output after a position.
    pub waiting: Vec<(u64, Position)>,
    pub(super) dir: PathBuf,
    pub(super) engine: Engine,
    /// `None` where it ended in the time of a shim before this one.
    pub(super) pid: Option<Pid>,
    /// `None` once reaped.
    pidfd: Option<OwnedFd>,
    output: Option<Output>,
    /// Lines that runs before this one dropped.
    pub(super) dropped_before: u64,
    /// Keeps its standard input open.
    _input: Option<OwnedFd>,
    pub(super) cgroup: Option<Cgroup>,
    /// Read when the first process enters.
    pub(super) confinement: Option<Confinement>,
}

/// A container that has just been launched.
struct Running {
    launched: Launched,
    output: Option<Output>,
    input: Option<OwnedFd>,
    warnings: Vec<String>,
}

/// How a container's first process ended.
pub(super) struct Ended {
    pub code: i32,
    pub is_oom: bool,
}

impl Container {
    /// Mounts its root, opens its spool, launches it. What it made is gone again if it fails.
    pub fn start(
        task: &TaskDir,
        config: &Config,
        ground: &Ground,
        start: &Start,
    ) -> Result<Self, RuntimeError> {
        let dir = task.container(&start.name);
        let cgroup_path = config.cgroup.join(&start.name);
        let engine = Engine::new(config, &dir, &cgroup_path, &start.runtime_id);
        let cgroup = Hierarchies::detect().and_then(|found| Cgroup::open(&found, &cgroup_path)).ok();
        let made = Self::launch((task, config, ground), start, &dir, &engine);
        if made.is_err() {
            engine.delete();
            cgroup.as_ref().map(Cgroup::remove);
            rootfs::unmount(&dir);
        }
        let Running { launched: Launched { pid, pidfd, .. }, output, input, warnings } = made?;
        Ok(Container {
            name: start.name.clone(),
            warnings,
            waiting: Vec::new(),
            dir,
            engine,
            pid: Some(pid),
            pidfd: Some(pidfd),
            output,
            dropped_before: 0,
            _input: input,
            cgroup,
            confinement: None,
        })
    }

    /// One that has ended, with nothing of it left but its files.
    pub fn ended(task: &TaskDir, config: &Config, record: &ContainerRecord) -> Self {
        let dir = task.container(&record.name);
        let engine = Engine::new(config, &dir, &config.cgroup.join(&record.name), &record.runtime_id);
        Container {
            name: record.name.clone(),
            warnings: Vec::new(),
            waiting: Vec::new(),
            dir,
            engine,
            pid: None,
            pidfd: None,
            output: None,
            dropped_before: record.dropped_lines,
            _input: None,
            cgroup: None,
            confinement: None,
        }
    }

    /// Whether the disk has everything that it has written.
    pub fn is_written(&mut self) -> bool {
        !self.update_paused() || self.output.as_ref().is_none_or(Output::is_closed)
    }

    fn launch(
        (task, config, ground): (&TaskDir, &Config, &Ground),
        start: &Start,
        dir: &std::path::Path,
        engine: &Engine,
    ) -> Result<Running, RuntimeError> {
        let spec =
            read_json(&dir.join("config.json")).map_err(|e| RuntimeError::host("read config.json", e))?;
        let mut spec: oci_spec::runtime::Spec =
            spec.ok_or_else(|| RuntimeError::host("read config.json", "it is not there"))?;
        let root = rootfs::mount(dir, &task.disk().join("roots").join(&start.name), &start.layers)?;
        let mut warnings = complete(&mut spec, &Given { task, config, ground, root: &root, start })?;
        warnings.extend(user::finish(&mut spec, &root, start)?);
        if start.has_terminal {
            super::exec::give_terminal(&mut spec);
        }
        let host = |error| RuntimeError::host("open the container's streams", error);
        let (mut output, Wires { stdio, input }) = Output::open(task, start).map_err(host)?;
        let mut launched = engine.launch(&spec, stdio)?;
        if let (Some(console), Some(output)) = (launched.console.take(), &mut output) {
            output.attach(console).map_err(host)?;
        }
        Ok(Running { launched, output, input, warnings })
    }

    /// Lines that were dropped, of all its runs.
    pub fn dropped(&self) -> u64 {
        self.dropped_before + self.output.as_ref().map_or(0, Output::dropped)
    }

    pub fn pid(&self) -> u32 {
        self.pid.map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Whether `pid` is its first process, which is not reaped yet.
    pub fn is(&self, pid: Pid) -> bool {
        self.pidfd.is_some() && self.pid == Some(pid)
    }

    /// Whether its first process has ended, reaped or not.
    pub fn has_ended(&self) -> bool {
        let Some(pidfd) = &self.pidfd else { return true };
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&now)) == Ok(1)
    }

    pub fn signal(&self, signal: Signal) -> Result<(), RuntimeError> {
        let Some(pidfd) = &self.pidfd else { return Ok(()) };
        let signal = crate::sys::signal(signal.0)
            .ok_or_else(|| RuntimeError::Plan(format!("{} is not a signal", signal.0)))?;
        match rustix::process::pidfd_send_signal(pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(RuntimeError::host("signal the container", error)),
        }
    }

    pub fn update_paused(&mut self) -> bool {
        self.output.as_mut().is_some_and(Output::update_paused)
    }

    /// The pipes to poll, or when to look at one again: see [`Output::readable`].
    pub fn readable_pipes(&self, now_ns: u64) -> impl Iterator<Item = (usize, Result<BorrowedFd<'_>, u64>)> {
        self.output.iter().flat_map(move |output| output.readable(now_ns))
    }

    pub fn read(&mut self, pipe: usize) {
        if let Some(output) = &mut self.output {
            output.read(pipe);
        }
    }

    /// Moves the requests that can be answered to `answers`.
    pub fn take_answers(&mut self, answers: &mut Vec<(u64, OutputState)>) {
        let Some(output) = &self.output else {
            answers.extend(self.waiting.drain(..).map(|(id, _)| (id, OutputState::Closed)));
            return;
        };
        let (end, is_closed) = (output.end(), output.is_closed());
        self.waiting.retain(|(id, from)| {
            let state = match (end > *from, is_closed) {
                (_, true) => OutputState::Closed,
                (true, false) => OutputState::More,
                (false, false) => return true,
            };
            answers.push((*id, state));
            false
        });
    }

    /// Collects the exit, counters and the last of the output. `None`: it still runs.
    pub fn reap(&mut self) -> Result<Option<Ended>, RuntimeError> {
        let Some(pidfd) = &self.pidfd else { return Ok(None) };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options) {
            Ok(Some(status)) => status,
            Ok(None) => return Ok(None),
            Err(rustix::io::Errno::INTR) => return Ok(None),
            Err(error) => return Err(RuntimeError::host("collect the container's exit", error)),
        };
        let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
        // AWS: a container is out of memory when any of its processes was killed for that, whatever its
        // first process made of it (Docker's flag `OOMKilled`). The group is the container's alone and new.
        let is_oom = self.cgroup.as_ref().is_some_and(|cgroup| cgroup.oom_kills().unwrap_or(0) > 0);
        self.pidfd = None;
        // Those that share a PID namespace with others outlive the first.
        if let Some(cgroup) = &self.cgroup
            && cgroup.processes().is_ok_and(|left| !left.is_empty())
        {
            let _ = cgroup.kill_all();
        }
        if let Some(output) = &mut self.output {
            output.finish();
        }
        let code = code.unwrap_or(255);
        Ok(Some(Ended { code, is_oom }))
    }

    /// Removes what the container leaves: mounts, control group, the runtime's state.
    pub fn clean_up(&mut self) {
        self.engine.delete();
        rootfs::unmount(&self.dir);
        if let Some(cgroup) = &self.cgroup
            && let Err(error) = cgroup.remove()
        {
            eprintln!("{} shim: {error}", clock::wall());
        }
    }
}
