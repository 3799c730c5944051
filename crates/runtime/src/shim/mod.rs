//! The process that owns one task: the server's binary, executed again, single-threaded, without
//! async. It launches the task's containers, reaps them, keeps their output and their exits, and
//! answers on a UNIX socket in the task's directory. It outlives the server.
//!
//! Its mounts (the containers' root file systems) lie in a mount namespace of its own, so that
//! the kernel removes them when the shim and its containers are gone, however they went.
//!
//! Invariant: `state.json` holds an exit before any client hears of it.
//! Invariant: a client that is slow, broken or absent never holds up a container's exit; a
//! container's output waits only when its spool is full.

mod client;
mod complete;
mod container;
mod devices;
mod engine;
mod exec;
mod ground;
mod output;
mod rootfs;
mod supervise;
mod user;

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base::clock;
use launch::cgroup::{Cgroup, Hierarchies};
use rustix::event::{PollFd, PollFlags, Timespec};
use serde::{Deserialize, Serialize};

use crate::contract::{Event, OutputState, RuntimeError, SandboxPhase, SandboxRecord};
use crate::plan::{Signal, TaskSandbox};
use crate::protocol::{Answer, Call, Message, Request};
use crate::record::{Keep, TaskDir, read_json, write_json};
use crate::spool::Position;
use crate::storage::disk::Ready;
use crate::sys;

use client::Client;
use container::Container;
use ground::Ground;

/// What the server writes to `sandbox.json` for the shim.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    pub sandbox: TaskSandbox,
    /// The task's control group, relative to the mounts.
    pub cgroup: PathBuf,
    /// An OCI runtime to use in place of our launcher.
    pub oci_runtime: Option<PathBuf>,
    /// Limits that this host cannot grant are reported, not fatal.
    pub is_advisory: bool,
}

/// How often a writer that waits for room in its spool looks again, and only then.
const ROOM_CHECK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// How often a disk that did not take an exit is tried again.
const DISK_CHECK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// How a container was started, in its directory: it may be started again, or entered.
pub(super) const START: &str = "start.json";

/// Runs a shim. `args` are what follows `shim` on the command line: the control group of shims,
/// relative to the mounts. Descriptor 0 is the socket to the server, which names the task in its
/// first request, perhaps much later. Call it before anything starts a thread.
pub fn main(args: &[OsString]) -> ExitCode {
    let [cgroup, disks @ ..] = args else {
        return fail("expected one argument: the control group of shims");
    };
    // Containers must not reach this program's file for writing (CVE-2019-5736).
    if let Err(error) = launch::exe::reexec_read_only() {
        return fail(&error.to_string());
    }
    sys::close_inherited();
    match serve(Path::new(cgroup), disks.first().map(Path::new)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn serve(cgroup: &Path, disks: Option<&Path>) -> Result<(), RuntimeError> {
    let stream = detach().map_err(|e| RuntimeError::host("become a process of its own", e))?;
    let mut client = Client::new(stream);
    let mut has_left = false;
    let mut ready = None;
    let request = loop {
        if let Some((request, _)) = client.read().into_iter().next() {
            break request;
        }
        if client.is_gone() {
            // The server ended before it had a task for us.
            return Ok(());
        }
        if !has_left {
            leave_servers_cgroup(cgroup);
            has_left = true;
            ready = disks.and_then(Ready::ahead);
            continue;
        }
        match rustix::event::poll(&mut [PollFd::from_borrowed_fd(client.as_fd(), PollFlags::IN)], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(RuntimeError::host("poll", error)),
        }
    };
    let Call::Create { dir } = request.call else {
        return Err(RuntimeError::Plan("the first request was not for a sandbox".to_owned()));
    };
    let mut shim = match Shim::open(dir, ready) {
        Ok(shim) => shim,
        Err(error) => {
            client.send(&Message::Answer { id: request.id, result: Err(error.clone()) });
            client.flush_blocking();
            return Err(error);
        }
    };
    shim.client = Some(client);
    shim.answer(request.id, Ok(Answer::State(shim.saved_record())));
    if !has_left {
        leave_servers_cgroup(cgroup);
    }
    shim.run()
}

/// Leaves everything of the server's that could end this process; returns the socket.
fn detach() -> std::io::Result<OwnedFd> {
    let stream = sys::take_stdin()?;
    rustix::io::ioctl_fionbio(&stream, true)?;
    sys::survive_signals();
    // Executed through a descriptor, it would be called by that descriptor's number.
    let _ = rustix::thread::set_name(c"boxship-shim");
    // Root directories are made here, and containers inherit it.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // A session of its own: no terminal, and no signal meant for the server's group. It fails
    // only for one that leads a group already, which has what it needs.
    let _ = rustix::process::setsid();
    // Containers that an external runtime starts become ours to reap.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(stream)
}

/// A service manager ends the server with everything in its group: a shim is not to be there. Nor
/// in its task's group, whose memory limit could kill it.
fn leave_servers_cgroup(cgroup: &Path) {
    let left = Hierarchies::detect()
        .and_then(|found| Cgroup::create(&found, cgroup))
        .and_then(|cgroup| cgroup.add(rustix::process::getpid()));
    if let Err(error) = left {
        eprintln!("{} shim: stays in the server's control group: {error}", clock::wall());
    }
}

fn fail(message: &str) -> ExitCode {
    // Standard error is the task's shim.log.
    eprintln!("{} shim: {message}", clock::wall());
    ExitCode::FAILURE
}

struct Shim {
    dir: TaskDir,
    config: Config,
    record: SandboxRecord,
    cgroup: Option<Cgroup>,
    ground: Ground,
    listener: OwnedFd,
    client: Option<Client>,
    containers: Vec<Container>,
    /// Processes that entered containers.
    entered: Vec<exec::Running>,
    /// Readable when a child has ended.
    children: OwnedFd,
    /// Exits that the disk has not taken yet: nobody hears of them before it has.
    unsaved: Vec<Event>,
}

/// What a descriptor in the poll set belongs to.
#[derive(Debug, Clone, Copy)]
enum Source {
    Listener,
    Client,
    Exit(usize),
    Pipe(usize, usize),
    Children,
}

impl Shim {
    fn open(path: PathBuf, ready: Option<Ready>) -> Result<Self, RuntimeError> {
        let host = |doing: &str, error: std::io::Error| RuntimeError::host(doing, error);
        let dir = TaskDir { path };
        let config: Option<Config> = read_json(&dir.sandbox()).map_err(|e| host("read sandbox.json", e))?;
        let config = config.ok_or_else(|| RuntimeError::NoSandbox(dir.path.display().to_string()))?;
        let log = File::options().create(true).append(true).open(dir.log());
        log.and_then(|log| sys::redirect_stderr(&log)).map_err(|e| host("open the shim's log", e))?;
        name_process(&config.sandbox.task);
        rootfs::own_mount_namespace()?;
        let ground = Ground::lay(&dir, &config, ready)?;
        let children = sys::watch_children().map_err(|e| host("watch for ends", e))?;
        let listener = listen(&dir).map_err(|e| host("listen in the task's directory", e))?;
        // What a shim before this one started ended with it, and can be started again.
        let earlier = dir.read_record().map_err(|e| host("read state.json", e))?;
        let record = SandboxRecord {
            sandbox: config.sandbox.clone(),
            phase: SandboxPhase::Ready,
            containers: earlier.map(|record| record.containers).unwrap_or_default(),
        };
        if record.containers.iter().any(|container| container.exit.is_none()) {
            return Err(RuntimeError::host("take the task over", "another shim has not ended it"));
        }
        let containers =
            record.containers.iter().map(|record| Container::ended(&dir, &config, record)).collect();
        let mut shim = Shim {
            dir,
            config,
            record,
            cgroup: None,
            ground,
            listener,
            client: None,
            containers,
            entered: Vec::new(),
            children,
            unsaved: Vec::new(),
        };
        shim.cgroup = shim.make_cgroup()?;
        shim.save(Keep::Kill)?;
        Ok(shim)
    }

    /// The task's control group, with the limits of the task as a whole.
    fn make_cgroup(&self) -> Result<Option<Cgroup>, RuntimeError> {
        let limits = crate::spec::task_limits(&self.config.sandbox);
        let made = Hierarchies::detect()
            .and_then(|found| Cgroup::create(&found, &self.config.cgroup))
            .and_then(|cgroup| match cgroup.limit(&limits) {
                Ok(()) => Ok(cgroup),
                Err(error) => {
                    // What went wrong first is what the caller needs to hear.
                    let _ = cgroup.remove();
                    Err(error)
                }
            });
        match made {
            Ok(cgroup) => Ok(Some(cgroup)),
            Err(error) if self.config.is_advisory => {
                eprintln!("{} shim: limits are advisory: {error}", clock::wall());
                Ok(None)
            }
            Err(error) => Err(RuntimeError::Limit(error.to_string())),
        }
    }

    fn save(&self, keep: Keep) -> Result<(), RuntimeError> {
        write_json(&self.dir.state(), &self.record, keep)
            .map_err(|e| RuntimeError::host("write state.json", e))
    }

    /// Serves until told to shut down.
    fn run(mut self) -> Result<(), RuntimeError> {
        loop {
            let ready = self.wait()?;
            for (source, flags) in ready {
                match source {
                    Source::Listener => self.accept(),
                    Source::Client => {
                        if self.serve(flags)? {
                            return Ok(());
                        }
                    }
                    Source::Pipe(container, pipe) => self.containers[container].read(pipe),
                    Source::Exit(container) => self.reap(container)?,
                    Source::Children => self.reap_others(),
                }
            }
            self.tell_dropped();
            self.announce_exits();
            self.answer_output();
        }
    }

    /// Polls everything that may have something to say.
    fn wait(&mut self) -> Result<Vec<(Source, PollFlags)>, RuntimeError> {
        let mut is_any_paused = false;
        for container in &mut self.containers {
            is_any_paused |= container.update_paused();
        }
        let mut sources = vec![Source::Listener, Source::Children];
        let mut fds =
            vec![PollFd::new(&self.listener, PollFlags::IN), PollFd::new(&self.children, PollFlags::IN)];
        if let Some(client) = &self.client {
            let out = if client.has_pending() { PollFlags::OUT } else { PollFlags::empty() };
            sources.push(Source::Client);
            fds.push(PollFd::from_borrowed_fd(client.as_fd(), PollFlags::IN | out));
        }
        let now_ns = output::monotonic_ns();
        let mut wake_ns = None;
        for (index, container) in self.containers.iter().enumerate() {
            if let Some(pidfd) = container.pidfd() {
                sources.push(Source::Exit(index));
                fds.push(PollFd::from_borrowed_fd(pidfd, PollFlags::IN));
            }
            for (pipe, fd) in container.readable_pipes(now_ns) {
                match fd {
                    Ok(fd) => {
                        sources.push(Source::Pipe(index, pipe));
                        fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
                    }
                    Err(until_ns) => wake_ns = Some(wake_ns.map_or(until_ns, |at: u64| at.min(until_ns))),
                }
            }
        }
        let rest = wake_ns.map(|at| Timespec { tv_sec: 0, tv_nsec: at.saturating_sub(now_ns) as _ });
        let timeout = match (&rest, is_any_paused, self.unsaved.is_empty()) {
            (Some(rest), ..) => Some(rest),
            (None, true, _) => Some(&ROOM_CHECK),
            (None, false, false) => Some(&DISK_CHECK),
            (None, false, true) => None,
        };
        match rustix::event::poll(&mut fds, timeout) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(RuntimeError::host("poll", error)),
        }
        let ready = fds.iter().zip(sources).filter(|(fd, _)| !fd.revents().is_empty());
        Ok(ready.map(|(fd, source)| (source, fd.revents())).collect())
    }

    fn accept(&mut self) {
        let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
        if let Ok(stream) = rustix::net::accept_with(&self.listener, flags) {
            // The older client is gone or about to be; what it asked, the newer asks again.
            self.abandon_entered();
            self.client = Some(Client::new(stream));
            for container in &mut self.containers {
                container.waiting.clear();
            }
        }
    }

    /// Reads requests and writes answers. `true` once the shim has shut down.
    fn serve(&mut self, flags: PollFlags) -> Result<bool, RuntimeError> {
        let Some(client) = &mut self.client else { return Ok(false) };
        if flags.contains(PollFlags::OUT) {
            client.flush();
        }
        let requests = client.read();
        let is_gone = client.is_gone();
        for (request, descriptors) in requests {
            if matches!(request.call, Call::Shutdown) {
                let result = self.shut_down();
                let is_down = result.is_ok();
                self.answer(request.id, result.map(|()| Answer::Done));
                if is_down {
                    if let Some(client) = &mut self.client {
                        client.flush_blocking();
                    }
                    return Ok(true);
                }
            } else {
                self.handle(request, descriptors);
            }
        }
        if is_gone {
            self.abandon_entered();
            self.client = None;
        }
        Ok(false)
    }

    fn handle(&mut self, Request { id, call }: Request, descriptors: Vec<OwnedFd>) {
        let result = match call {
            Call::State => Ok(Answer::State(self.saved_record())),
            Call::Start(start) => self.start(&start).map(Answer::Container),
            Call::Restart { container } => self.restart(&container).map(Answer::Container),
            Call::Exec { container, plan } => self.exec(id, &container, &plan, descriptors),
            Call::SignalExec { exec, signal } => {
                self.entered
                    .iter()
                    .filter(|one| one.request == Some(exec))
                    .for_each(|one| one.signal(signal));
                Ok(Answer::Done)
            }
            Call::Signal { container, signal } => self.signal(&container, signal).map(|()| Answer::Done),
            Call::Output { container, from } => return self.await_output(id, &container, from),
            Call::Create { .. } => Err(RuntimeError::Plan("the sandbox exists already".to_owned())),
            Call::Shutdown => return,
        };
        self.answer(id, result);
    }

    /// The record without the exits that are not on disk yet.
    fn saved_record(&self) -> SandboxRecord {
        let mut record = self.record.clone();
        for event in &self.unsaved {
            if let Event::Exited { container, .. } = event
                && let Some(known) = record.containers.iter_mut().find(|c| c.name == *container)
            {
                known.exit = None;
            }
        }
        record
    }

    fn answer(&mut self, id: u64, result: Result<Answer, RuntimeError>) {
        if let Some(client) = &mut self.client {
            client.send(&Message::Answer { id, result });
        }
    }

    fn signal(&mut self, name: &str, signal: Signal) -> Result<(), RuntimeError> {
        let container = self.containers.iter().find(|c| c.name == name);
        let container = container.ok_or_else(|| RuntimeError::NoContainer(name.to_owned()))?;
        container.signal(signal)
    }

    fn await_output(&mut self, id: u64, name: &str, from: Position) {
        match self.containers.iter_mut().find(|c| c.name == name) {
            Some(container) => container.waiting.push((id, from)),
            None => self.answer(id, Err(RuntimeError::NoContainer(name.to_owned()))),
        }
    }

    /// Answers those who wait for output that has come, or will not come.
    fn answer_output(&mut self) {
        let mut answers = Vec::new();
        for container in &mut self.containers {
            container.take_answers(&mut answers);
        }
        for (id, state) in answers {
            let state: OutputState = state;
            self.answer(id, Ok(Answer::Output(state)));
        }
    }

    /// Tells exits, once they are on disk.
    fn announce_exits(&mut self) {
        if self.unsaved.is_empty() {
            return;
        }
        if let Err(error) = self.save(Keep::Power) {
            eprintln!("{} shim: an exit is recorded later: {error}", clock::wall());
            return;
        }
        for event in std::mem::take(&mut self.unsaved) {
            if let Some(client) = &mut self.client {
                client.send(&Message::Event(event));
            }
        }
    }
}

/// So that `ps` and `top` tell shims apart: `shim-` and the start of the task's id.
fn name_process(task: &str) {
    let name: String = "shim-".chars().chain(task.chars().take(10)).collect();
    if let Ok(name) = std::ffi::CString::new(name) {
        let _ = rustix::thread::set_name(&name);
    }
}

/// The listening socket's name in a task's directory.
pub(crate) const SOCKET: &str = "shim.sock";

/// A listening socket for servers to come.
fn listen(dir: &TaskDir) -> std::io::Result<OwnedFd> {
    let (_open, path) = dir.socket()?;
    let _ = std::fs::remove_file(dir.path.join(SOCKET));
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener.into())
}
