//! The containers of a task: started, started again, entered, reaped, ended.

use std::os::fd::OwnedFd;

use base::clock;
use core_lifecycle::Exit;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::container::{Container, Ended};
use super::{START, Shim, exec};
use crate::contract::{ContainerRecord, Event, RuntimeError, SandboxPhase};
use crate::plan::{ExecPlan, Signal};
use crate::protocol::{Answer, Message, Start};
use crate::record::{Keep, read_json, write_json};
use crate::sys;

impl Shim {
    pub(super) fn start(&mut self, start: &Start) -> Result<ContainerRecord, RuntimeError> {
        if let Some(known) = self.record.container(&start.name) {
            return Ok(known.clone());
        }
        let path = self.dir.container(&start.name).join(START);
        write_json(&path, start, Keep::Kill).map_err(|e| RuntimeError::host("write start.json", e))?;
        let container = Container::start(&self.dir, &self.config, &self.ground, start)?;
        let record = ContainerRecord {
            name: start.name.clone(),
            runtime_id: start.runtime_id.clone(),
            pid: container.pid(),
            started_at: clock::wall(),
            exit: None,
            restarts: 0,
            exit_reason: None,
            warnings: container.warnings.clone(),
            dropped_lines: 0,
        };
        self.containers.push(container);
        self.record.containers.push(record.clone());
        sys::trim_heap();
        self.save(Keep::Kill)?;
        Ok(record)
    }

    /// Starts a container that has ended again: the files that it had, and a spool that goes on.
    pub(super) fn restart(&mut self, name: &str) -> Result<ContainerRecord, RuntimeError> {
        let index = self.record.containers.iter().position(|c| c.name == name);
        let index = index.ok_or_else(|| RuntimeError::NoContainer(name.to_owned()))?;
        if self.record.containers[index].exit.is_none() {
            return Err(RuntimeError::StillRunning(name.to_owned()));
        }
        // The exit is told before the new start, and nothing is told before it is on disk.
        self.announce_exits();
        if !self.unsaved.is_empty() || !self.containers[index].is_written() {
            let why = "the disk does not take its exit and its output";
            return Err(RuntimeError::host("restart the container", why));
        }
        let start: Option<Start> = read_json(&self.dir.container(name).join(START))
            .map_err(|e| RuntimeError::host("read start.json", e))?;
        let start = start.ok_or_else(|| RuntimeError::host("read start.json", "it is not there"))?;
        if self.containers[index].pid.is_none() {
            // The shim that it ended with had no time to.
            self.containers[index].engine.delete();
        }
        let mut container = Container::start(&self.dir, &self.config, &self.ground, &start)?;
        sys::trim_heap();
        let old = self.record.containers[index].clone();
        let record = ContainerRecord {
            pid: container.pid(),
            started_at: clock::wall(),
            exit: None,
            restarts: old.restarts + 1,
            exit_reason: None,
            warnings: container.warnings.clone(),
            ..old
        };
        container.dropped_before = record.dropped_lines;
        container.waiting = std::mem::take(&mut self.containers[index].waiting);
        self.containers[index] = container;
        self.record.containers[index] = record.clone();
        self.save(Keep::Kill)?;
        Ok(record)
    }

    pub(super) fn exec(
        &mut self,
        id: u64,
        name: &str,
        plan: &ExecPlan,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Answer, RuntimeError> {
        let container = self.containers.iter_mut().find(|c| c.name == name);
        let container = container.ok_or_else(|| RuntimeError::NoContainer(name.to_owned()))?;
        self.entered.push(exec::Running::start(container, id, plan, descriptors)?);
        Ok(Answer::Done)
    }

    /// Whoever asked for the processes that entered containers has gone: so do they.
    pub(super) fn abandon_entered(&mut self) {
        for running in &mut self.entered {
            running.request = None;
            running.signal(Signal::KILL);
        }
    }

    /// Children that ended and are not containers: those that entered one, and orphans of a container that
    /// shares the host's PID namespace, which are handed to us.
    pub(super) fn reap_others(&mut self) {
        sys::drain(&self.children);
        let client = &mut self.client;
        self.entered.retain(|running| {
            let Some(code) = running.reap() else { return true };
            if let (Some(client), Some(id)) = (client.as_mut(), running.request) {
                client.send(&Message::ExecEnded { id, code });
            }
            false
        });
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        while let Some(pid) = sys::ended_child() {
            let is_ours = self.containers.iter().any(|c| c.is(pid)) || self.entered.iter().any(|e| e.is(pid));
            // One of ours is reaped where it is awaited; whatever ended besides is seen then.
            if is_ours || waitid(WaitId::Pid(pid), options).is_err() {
                return;
            }
        }
    }

    /// A container's first process has ended, and with it every other.
    pub(super) fn reap(&mut self, index: usize) -> Result<(), RuntimeError> {
        let Some(Ended { code, is_oom }) = self.containers[index].reap()? else { return Ok(()) };
        let exit = Exit { code, at: clock::wall(), is_oom };
        let lines = self.containers[index].dropped();
        let record = &mut self.record.containers[index];
        if lines > record.dropped_lines {
            record.dropped_lines = lines;
            self.unsaved.push(Event::Dropped { container: record.name.clone(), lines });
        }
        record.exit = Some(exit.clone());
        self.unsaved.push(Event::Exited { container: record.name.clone(), exit });
        self.containers[index].clean_up();
        // It may have hidden others that ended.
        self.reap_others();
        Ok(())
    }

    /// Tells of lines that were dropped, seldom enough that a flood of them is no flood of messages.
    pub(super) fn tell_dropped(&mut self) {
        for (container, record) in self.containers.iter().zip(&mut self.record.containers) {
            let lines = container.dropped();
            if lines > 0 && lines >= record.dropped_lines.saturating_mul(2) {
                record.dropped_lines = lines;
                if let Some(client) = &mut self.client {
                    client.send(&Message::Event(Event::Dropped { container: record.name.clone(), lines }));
                }
            }
        }
    }

    /// Kills what runs, removes mounts and control groups, records it.
    pub(super) fn shut_down(&mut self) -> Result<(), RuntimeError> {
        for container in &self.containers {
            container.signal(Signal::KILL)?;
        }
        for index in 0..self.containers.len() {
            while let Some(pidfd) = self.containers[index].pidfd() {
                let children = PollFd::new(&self.children, PollFlags::IN);
                let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN), children];
                match rustix::event::poll(&mut fds, None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(RuntimeError::host("poll", error)),
                }
                // Those that entered it first: it does not end before they are gone.
                self.reap_others();
                self.reap(index)?;
            }
        }
        crate::storage::disk::abandon(&self.dir);
        if let Some(cgroup) = &self.cgroup {
            cgroup.remove().map_err(|e| RuntimeError::host("remove the control group", e))?;
        }
        self.record.phase = SandboxPhase::Removed;
        self.save(Keep::Power)?;
        self.announce_exits();
        Ok(())
    }
}
