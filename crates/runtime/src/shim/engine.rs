//! What turns a specification into a process: our launcher, or another OCI runtime's program.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use launch::cgroup::{Cgroup, Hierarchies};
use launch::seccomp::Filter;
use launch::{ExecError, LaunchError};
use oci_spec::runtime::{Process, Spec};
use rustix::process::{Pid, PidfdFlags};

use super::Config;
use crate::contract::RuntimeError;

/// A process in a container, a child of the shim.
pub(super) struct Launched {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    /// Our end of its terminal, where `process.terminal` asks for one.
    pub console: Option<OwnedFd>,
}

/// A process to be added to a container.
pub(super) struct Entry<'a> {
    pub process: &'a Process,
    /// The container's first process.
    pub target: Pid,
    pub cgroup: &'a Cgroup,
    /// The container's filter of system calls.
    pub filter: &'a Filter,
}

#[derive(Debug)]
pub(super) enum Engine {
    Own {
        dir: PathBuf,
        cgroup: PathBuf,
    },
    /// `create`, `start` and `delete` of a program that follows the OCI runtime's command line.
    External {
        program: PathBuf,
        dir: PathBuf,
        id: String,
    },
}

impl Engine {
    pub fn new(config: &Config, dir: &Path, cgroup: &Path, id: &str) -> Self {
        match &config.oci_runtime {
            None => Engine::Own { dir: dir.to_path_buf(), cgroup: cgroup.to_path_buf() },
            Some(program) => {
                Engine::External { program: program.clone(), dir: dir.to_path_buf(), id: id.to_owned() }
            }
        }
    }

    /// Returns once the program runs.
    pub fn launch(&self, spec: &Spec, stdio: launch::Stdio) -> Result<Launched, RuntimeError> {
        match self {
            Engine::Own { dir, cgroup } => Own { dir, cgroup }.launch(spec, stdio),
            Engine::External { program, dir, id } => External { program, dir, id }.launch(spec, stdio),
        }
    }

    /// Adds a process to the container; returns once its program runs. Another runtime's own `exec` does it
    /// for that runtime's containers: only it knows what separates them from us.
    pub fn enter(&self, entry: &Entry<'_>, stdio: launch::Stdio) -> Result<Launched, RuntimeError> {
        match self {
            Engine::Own { .. } => enter(entry, stdio),
            Engine::External { program, dir, id } => {
                External { program, dir, id }.enter(entry.process, stdio)
            }
        }
    }

    /// Removes what the runtime keeps of an ended container.
    pub fn delete(&self) {
        if let Engine::External { program, dir, id } = self {
            External { program, dir, id }.delete();
        }
    }
}

struct Own<'a> {
    dir: &'a Path,
    cgroup: &'a Path,
}

impl Own<'_> {
    fn launch(&self, spec: &Spec, stdio: launch::Stdio) -> Result<Launched, RuntimeError> {
        let hierarchies = Hierarchies::detect().map_err(|e| RuntimeError::Limit(e.to_string()))?;
        let launch = launch::Launch {
            spec,
            bundle: self.dir,
            hierarchies: &hierarchies,
            cgroup: self.cgroup,
            filter: None,
            stdio,
            writable_exe: launch::WritableExe::Refuse,
            listener: None,
        };
        let started = launch::create(launch).and_then(launch::Created::start).map_err(failed)?;
        Ok(Launched { pid: started.pid, pidfd: started.pidfd, console: started.console })
    }
}

fn enter(entry: &Entry<'_>, stdio: launch::Stdio) -> Result<Launched, RuntimeError> {
    let exec = launch::Exec {
        target: entry.target,
        cgroup: entry.cgroup,
        process: entry.process,
        seccomp: None,
        filter: Some(entry.filter),
        stdio,
        writable_exe: launch::WritableExe::Refuse,
    };
    let started = launch::exec(exec).and_then(launch::Created::start).map_err(|error| match error {
        LaunchError::Exec(error) => program(&error),
        error => failed(error),
    })?;
    Ok(Launched { pid: started.pid, pidfd: started.pidfd, console: started.console })
}

fn program(error: &ExecError) -> RuntimeError {
    RuntimeError::Program { code: error.exit_code(), text: error.to_string() }
}

fn failed(error: LaunchError) -> RuntimeError {
    let text = chain(&error);
    match error {
        LaunchError::Cgroup(_) => RuntimeError::Limit(text),
        // AWS: what Docker and runc say before the reason.
        LaunchError::Exec(_) => RuntimeError::Start(format!("unable to start container process: {text}")),
        _ => RuntimeError::Start(text),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors show their cause themselves, in their own spelling.
        let known = cause_text.split(" (os error").next().unwrap_or_default().to_lowercase();
        if !text.to_lowercase().contains(&known) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

struct External<'a> {
    program: &'a Path,
    dir: &'a Path,
    id: &'a str,
}

impl External<'_> {
    fn launch(&self, spec: &Spec, stdio: launch::Stdio) -> Result<Launched, RuntimeError> {
        // Apart from the order, which stays as it was given.
        let bundle = self.dir.join("bundle");
        std::fs::create_dir_all(&bundle).map_err(unstarted)?;
        crate::record::write_json(&bundle.join("config.json"), spec, crate::record::Keep::Kill)
            .map_err(unstarted)?;
        let has_terminal = spec.process().as_ref().is_some_and(|process| process.terminal() == Some(true));
        let console = has_terminal.then(|| Console::listen(self.dir)).transpose().map_err(unstarted)?;
        let mut create = self.command("create");
        create.arg("--bundle").arg(bundle).arg("--pid-file").arg(self.pid_file());
        if let Some(console) = &console {
            create.arg("--console-socket").arg(&console.path);
        }
        create.arg(self.id);
        self.run(create, stdio)?;
        // Opened before the start: the program may end at once.
        let (pid, pidfd) = self.process()?;
        let console = console.map(Console::take).transpose().map_err(unstarted)?;
        let mut start = self.command("start");
        start.arg(self.id);
        self.run(start, null()?)?;
        Ok(Launched { pid, pidfd, console })
    }

    fn enter(&self, process: &Process, stdio: launch::Stdio) -> Result<Launched, RuntimeError> {
        let description = self.dir.join("exec.json");
        crate::record::write_json(&description, process, crate::record::Keep::Kill).map_err(unstarted)?;
        let has_terminal = process.terminal() == Some(true);
        let console = has_terminal.then(|| Console::listen(self.dir)).transpose().map_err(unstarted)?;
        let mut exec = self.command("exec");
        exec.arg("--process").arg(description).arg("--detach").arg("--pid-file").arg(self.pid_file());
        if let Some(console) = &console {
            exec.arg("--console-socket").arg(&console.path);
        }
        exec.arg(self.id);
        self.run(exec, stdio).map_err(classified)?;
        // Its parent, the runtime, has ended: it is our child now, as yet unreaped if it has ended.
        let (pid, pidfd) = self.process()?;
        let console = console.map(Console::take).transpose().map_err(unstarted)?;
        Ok(Launched { pid, pidfd, console })
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.join("pid")
    }

    /// The process that the runtime has just made.
    fn process(&self) -> Result<(Pid, OwnedFd), RuntimeError> {
        let text = std::fs::read_to_string(self.pid_file()).map_err(unstarted)?;
        let pid: i32 = text.trim().parse().map_err(|e| unstarted(io::Error::other(e)))?;
        let pid = Pid::from_raw(pid).ok_or_else(|| unstarted(io::Error::other("no pid")))?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty());
        Ok((pid, pidfd.map_err(|error| unstarted(error.into()))?))
    }

    fn delete(&self) {
        let mut delete = self.command("delete");
        delete.arg("--force").arg(self.id);
        // It may never have been created.
        let _ = null().and_then(|stdio| self.run(delete, stdio));
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(self.program);
        command.arg("--root").arg(self.dir.join("oci")).arg("--log").arg(self.log()).arg(verb);
        command
    }

    fn log(&self) -> PathBuf {
        self.dir.join("oci.log")
    }

    fn run(&self, mut command: Command, stdio: launch::Stdio) -> Result<(), RuntimeError> {
        let _ = File::create(self.log());
        let launch::Stdio { stdin, stdout, stderr } = stdio;
        command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
        // What it made after our end, nobody would know of.
        crate::sys::dies_with_us(&mut command);
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                Err(RuntimeError::Start(reason(&log).unwrap_or_else(|| status.to_string())))
            }
            Err(error) => Err(RuntimeError::host(format!("execute {}", self.program.display()), error)),
        }
    }
}

fn null() -> Result<launch::Stdio, RuntimeError> {
    launch::Stdio::null().map_err(failed)
}

fn unstarted(error: io::Error) -> RuntimeError {
    RuntimeError::host("start the container", error)
}

/// Where an OCI runtime sends the terminal that it opens.
struct Console {
    listener: UnixListener,
    path: PathBuf,
    /// Keeps the path short: it goes through this descriptor of the directory.
    _dir: File,
}

impl Console {
    fn listen(dir: &Path) -> io::Result<Self> {
        const NAME: &str = "console.sock";
        let _ = std::fs::remove_file(dir.join(NAME));
        let open = File::open(dir)?;
        let path = PathBuf::from(format!("/proc/{}/fd/{}/{NAME}", std::process::id(), open.as_raw_fd()));
        Ok(Console { listener: UnixListener::bind(&path)?, path, _dir: open })
    }

    /// What it was sent. The runtime has returned: it has sent it, or never will.
    fn take(self) -> io::Result<OwnedFd> {
        self.listener.set_nonblocking(true)?;
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(true)?;
        crate::descriptors::receive(&stream)?.ok_or_else(|| io::Error::other("the runtime sent no terminal"))
    }
}

/// An OCI runtime's word for a program that cannot be executed, as our launcher would say it.
fn classified(error: RuntimeError) -> RuntimeError {
    let RuntimeError::Start(text) = &error else { return error };
    let Some(at) = text.find("exec: \"").or_else(|| text.find("exec /")) else { return error };
    let text = text[at..].to_owned();
    let is_missing = text.contains("not found in $PATH") || text.contains(": stat ");
    RuntimeError::Program { code: if is_missing { 127 } else { 126 }, text }
}

/// The last error in a log of the form `time=… level=error msg="…"`.
fn reason(log: &str) -> Option<String> {
    let line = log.lines().rev().find(|line| line.contains("level=error"))?;
    let message = line.split_once("msg=")?.1;
    let text = message.trim().trim_matches('"').replace("\\\"", "\"");
    Some(text)
}
