//! One container of the shim's task.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use base::clock;
use launch::cgroup::{Cgroup, Hierarchies};
use rustix::process::{WaitId, WaitIdOptions};

use super::engine::{Engine, Launched};
use super::output::Output;
use super::{Config, rootfs, user};
use crate::contract::{OutputState, RuntimeError};
use crate::plan::Signal;
use crate::protocol::Start;
use crate::record::{TaskDir, read_json};
use crate::spool::Position;

pub(super) struct Container {
    pub name: String,
    pub warnings: Vec<String>,
    /// Requests that wait for output after a position.
    pub waiting: Vec<(u64, Position)>,
    dir: PathBuf,
    engine: Engine,
    pid: u32,
    /// `None` once reaped.
    pidfd: Option<OwnedFd>,
    output: Option<Output>,
    cgroup: Option<Cgroup>,
}

/// How a container's first process ended.
pub(super) struct Ended {
    pub code: i32,
    pub is_oom: bool,
}

impl Container {
    /// Mounts its root, opens its spool, launches it. What it made is gone again if it fails.
    pub fn start(task: &TaskDir, config: &Config, start: &Start) -> Result<Self, RuntimeError> {
        let dir = task.container(&start.name);
        let cgroup_path = config.cgroup.join(&start.name);
        let engine = Engine::new(config, &dir, &cgroup_path, &start.runtime_id);
        let cgroup = Hierarchies::detect().and_then(|found| Cgroup::open(&found, &cgroup_path)).ok();
        let made = Self::launch(task, start, &dir, &engine);
        if made.is_err() {
            engine.delete();
            cgroup.as_ref().map(Cgroup::remove);
            rootfs::unmount(&dir);
        }
        let (Launched { pid, pidfd, warnings }, output) = made?;
        Ok(Container {
            name: start.name.clone(),
            warnings,
            waiting: Vec::new(),
            dir,
            engine,
            pid,
            pidfd: Some(pidfd),
            output,
            cgroup,
        })
    }

    fn launch(
        task: &TaskDir,
        start: &Start,
        dir: &std::path::Path,
        engine: &Engine,
    ) -> Result<(Launched, Option<Output>), RuntimeError> {
        let spec =
            read_json(&dir.join("config.json")).map_err(|e| RuntimeError::host("read config.json", e))?;
        let mut spec: oci_spec::runtime::Spec =
            spec.ok_or_else(|| RuntimeError::host("read config.json", "it is not there"))?;
        let root = rootfs::mount(dir, &start.layers)?;
        let warnings = user::finish(&mut spec, &root, start)?;
        let opened = Output::open(task, &start.name, start.output)
            .map_err(|e| RuntimeError::host("open the container's spool", e))?;
        let (output, ends) = opened.map_or((None, None), |(output, ends)| (Some(output), Some(ends)));
        let mut launched = engine.launch(&spec, ends)?;
        launched.warnings.splice(0..0, warnings);
        Ok((launched, output))
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
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

    pub fn readable_pipes(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        self.output.iter().flat_map(Output::readable)
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
        // The group is the container's alone and new, so any kill in it is this container's.
        let is_oom = self.cgroup.as_ref().is_some_and(|cgroup| cgroup.oom_kills().unwrap_or(0) > 0);
        self.pidfd = None;
        if let Some(output) = &mut self.output {
            output.finish();
        }
        let code = code.unwrap_or(255);
        Ok(Some(Ended { code, is_oom: is_oom && code == 137 }))
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
