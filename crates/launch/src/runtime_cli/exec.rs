//! `exec`: a process more in a container that another invocation started.

use std::fs;
use std::path::Path;

use oci_spec::runtime::{ContainerState, Process, Spec};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::{CliError, Runtime, connect, hand_over, io, replace};
use crate::cgroup::{Cgroup, Hierarchies};
use crate::create::{Stdio, WritableExe};
use crate::{LaunchError, Started};

/// What `exec` is told besides the identifier.
#[derive(Debug)]
pub struct Exec<'a> {
    /// A file with the process as the specification has it.
    pub process: &'a Path,
    /// Gets the process id, once the program runs.
    pub pid_file: Option<&'a Path>,
    /// `--console-socket`: a listening stream socket that gets the terminal's descriptor.
    pub console_socket: Option<&'a Path>,
    /// It has a terminal, whatever its description says.
    pub has_terminal: bool,
    /// Return when the program runs. Its process passes to whoever adopts orphans.
    pub is_detached: bool,
    pub writable_exe: WritableExe,
}

impl Runtime<'_> {
    /// Runs a process in a running container, with our standard streams. Returns its exit code; 0 where it
    /// is detached.
    ///
    /// # Errors
    /// [`CliError::Status`] unless the container runs; [`CliError::Launch`] when the program cannot be
    /// executed.
    pub fn exec(&self, id: &str, options: &Exec<'_>) -> Result<i32, CliError> {
        let entry = self.entry(id)?;
        entry.require(id, ContainerState::Running, "entered")?;
        let mut process: Process = read(options.process)?;
        if options.has_terminal {
            process.set_terminal(Some(true));
        }
        let spec: Spec = read(&entry.bundle.join("config.json"))?;
        let console = match (process.terminal() == Some(true), options.console_socket) {
            (true, Some(path)) => Some(connect(path)?),
            (false, None) => None,
            (has_terminal, _) => {
                let why =
                    if has_terminal { "it needs a console socket" } else { "a console socket needs it" };
                return Err(LaunchError::invalid("process.terminal", why).into());
            }
        };
        let cgroup = Cgroup::open(&Hierarchies::detect()?, &entry.cgroup)?;
        let started = crate::exec(crate::Exec {
            target: entry.pid,
            cgroup: &cgroup,
            process: &process,
            seccomp: spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()),
            filter: None,
            stdio: Stdio::inherit()?,
            writable_exe: options.writable_exe,
        })?
        .start()?;
        let pid = started.pid.as_raw_pid().to_string();
        let told = options.pid_file.map_or(Ok(()), |path| replace(path, pid.as_bytes()));
        let told = told.and_then(|()| match (console, &started.console) {
            (Some(socket), Some(terminal)) => hand_over(&socket, terminal),
            _ => Ok(()),
        });
        if told.is_err() {
            // Nobody would know of it.
            let _ = rustix::process::pidfd_send_signal(&started.pidfd, rustix::process::Signal::KILL);
        }
        told?;
        if options.is_detached { Ok(0) } else { Ok(exit_code(&started)) }
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, CliError> {
    let text = fs::read(path).map_err(io("read", path))?;
    serde_json::from_slice(&text)
        .map_err(|error| CliError::Format { path: path.to_path_buf(), text: error.to_string() })
}

/// As a shell reports it.
fn exit_code(started: &Started) -> i32 {
    use std::os::fd::AsFd;
    loop {
        match waitid(WaitId::PidFd(started.pidfd.as_fd()), WaitIdOptions::EXITED) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(Some(status)) => {
                let killed = status.terminating_signal().map(|signal| 128 + signal);
                return status.exit_status().or(killed).unwrap_or(255);
            }
            _ => return 255,
        }
    }
}
