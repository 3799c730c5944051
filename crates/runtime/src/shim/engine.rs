//! What turns a specification into a process: our launcher, or another OCI runtime's program.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use launch::LaunchError;
use launch::cgroup::Hierarchies;
use oci_spec::runtime::Spec;
use rustix::process::{Pid, PidfdFlags};

use super::Config;
use super::output::Ends;
use crate::contract::RuntimeError;

/// A container's first process, a child of the shim.
pub(super) struct Launched {
    pub pid: u32,
    pub pidfd: OwnedFd,
    pub warnings: Vec<String>,
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
    pub fn launch(&self, spec: &Spec, ends: Option<Ends>) -> Result<Launched, RuntimeError> {
        match self {
            Engine::Own { dir, cgroup } => Own { dir, cgroup }.launch(spec, ends),
            Engine::External { program, dir, id } => External { program, dir, id }.launch(spec, ends),
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
    fn launch(&self, spec: &Spec, ends: Option<Ends>) -> Result<Launched, RuntimeError> {
        let hierarchies = Hierarchies::detect().map_err(|e| RuntimeError::Limit(e.to_string()))?;
        let mut stdio = launch::Stdio::null().map_err(failed)?;
        if let Some(Ends { stdout, stderr }) = ends {
            stdio.stdout = stdout;
            stdio.stderr = stderr;
        }
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
        let pid = started.pid.as_raw_nonzero().get().unsigned_abs();
        Ok(Launched { pid, pidfd: started.pidfd, warnings: Vec::new() })
    }
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
        // Some errors show their cause themselves.
        if !text.contains(&cause_text) {
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
    fn launch(&self, spec: &Spec, ends: Option<Ends>) -> Result<Launched, RuntimeError> {
        let host = |error: std::io::Error| RuntimeError::host("start the container", error);
        crate::record::write_json(&self.dir.join("config.json"), spec, crate::record::Keep::Kill)
            .map_err(host)?;
        let (stdout, stderr) = match ends {
            Some(Ends { stdout, stderr }) => (Stdio::from(stdout), Stdio::from(stderr)),
            None => (Stdio::null(), Stdio::null()),
        };
        let pid_file = self.dir.join("pid");
        let mut create = self.command("create");
        create.arg("--bundle").arg(self.dir).arg("--pid-file").arg(&pid_file).arg(self.id);
        self.run(create, stdout, stderr)?;
        let mut start = self.command("start");
        start.arg(self.id);
        let pid = std::fs::read_to_string(&pid_file).map_err(host)?;
        let pid: i32 = pid.trim().parse().map_err(|e| host(std::io::Error::other(e)))?;
        let raw = Pid::from_raw(pid).ok_or_else(|| RuntimeError::host("start the container", "no pid"))?;
        // Opened before the start: the program may end at once.
        let pidfd = rustix::process::pidfd_open(raw, PidfdFlags::empty()).map_err(|e| host(e.into()))?;
        self.run(start, Stdio::null(), Stdio::null())?;
        Ok(Launched { pid: pid.unsigned_abs(), pidfd, warnings: Vec::new() })
    }

    fn delete(&self) {
        let mut delete = self.command("delete");
        delete.arg("--force").arg(self.id);
        // It may never have been created.
        let _ = self.run(delete, Stdio::null(), Stdio::null());
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(self.program);
        command.arg("--root").arg(self.dir.join("oci")).arg("--log").arg(self.log()).arg(verb);
        command
    }

    fn log(&self) -> PathBuf {
        self.dir.join("oci.log")
    }

    fn run(&self, mut command: Command, stdout: Stdio, stderr: Stdio) -> Result<(), RuntimeError> {
        let _ = File::create(self.log());
        let status = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                Err(RuntimeError::Start(reason(&log).unwrap_or_else(|| status.to_string())))
            }
            Err(error) => Err(RuntimeError::host(format!("execute {}", self.program.display()), error)),
        }
    }
}

/// The last error in a log of the form `time=… level=error msg="…"`.
fn reason(log: &str) -> Option<String> {
    let line = log.lines().rev().find(|line| line.contains("level=error"))?;
    let message = line.split_once("msg=")?.1;
    let text = message.trim().trim_matches('"').replace("\\\"", "\"");
    Some(text)
}
