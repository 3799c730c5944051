//! What can go wrong between a specification and a running container.
//!
//! Texts that reach users of ECS as a container's `reason` are worded as Docker and runc word them.

use std::path::PathBuf;

use rustix::io::Errno;

use crate::report::Step;

/// A container could not be made, started or entered.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The specification asks for something that we do not do. `field` is its path in `config.json`.
    #[error("{field} is not supported: {why}")]
    Unsupported { field: String, why: &'static str },
    /// The specification contradicts itself or the OCI runtime specification.
    #[error("{field} is invalid: {why}")]
    Invalid { field: String, why: String },
    /// A step in the container failed; `subject` is the path, namespace or value that it was about.
    #[error("{step} {subject}: {}", crate::report::text(*source))]
    Step { step: Step, subject: String, source: Errno },
    /// The program could not be executed: text as runc gives it, `exec: "/nope": stat /nope: no such …`.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The container's process ended before it was told to go, killed from outside (or for want of memory).
    #[error("the container's process died while it was being set up: {status}")]
    Died { status: String },
    /// Our own executable could be overwritten by what runs in the container (CVE-2019-5736).
    #[error(
        "{} is writable through /proc/self/exe: start it through launch::exe::read_only, or call \
         launch::exe::reexec_read_only first",
        path.display()
    )]
    WritableExecutable { path: PathBuf },
    /// A control group could not be made or limited.
    #[error(transparent)]
    Cgroup(#[from] crate::cgroup::CgroupError),
    /// A seccomp profile that cannot be compiled.
    #[error(transparent)]
    Seccomp(#[from] crate::seccomp::SeccompError),
    /// Something on our side of the container failed.
    #[error("{action}")]
    Host {
        action: String,
        #[source]
        source: std::io::Error,
    },
}

impl LaunchError {
    pub(crate) fn unsupported(field: impl Into<String>, why: &'static str) -> Self {
        Self::Unsupported { field: field.into(), why }
    }

    pub(crate) fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), why: why.into() }
    }

    pub(crate) fn host(action: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::Host { action: action.into(), source: source.into() }
    }
}

/// Why a program could not be executed. The texts are those of runc, which ECS passes on to its users.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// A name without a slash that no directory of `PATH` has.
    #[error("exec: \"{program}\": executable file not found in $PATH")]
    NotInPath { program: String },
    /// A path that does not exist (or whose interpreter does not).
    #[error("exec: \"{program}\": stat {program}: no such file or directory")]
    Missing { program: String },
    /// The file exists, its interpreter or loader does not.
    #[error("exec {program}: no such file or directory")]
    MissingInterpreter { program: String },
    /// Not executable for this user, or a directory of its path closed to it.
    #[error("exec: \"{program}\": permission denied")]
    Denied { program: String },
    /// A directory.
    #[error("exec: \"{program}\": is a directory")]
    Directory { program: String },
    /// Neither a program of this architecture nor a script with an interpreter line.
    #[error("exec {program}: exec format error")]
    Format { program: String },
    /// Anything else that the kernel says.
    #[error("exec {program}: {text}")]
    Other { program: String, text: String },
}

impl ExecError {
    /// The exit code that a shell (and `docker run`) gives for this failure: 126 or 127.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::NotInPath { .. } | Self::Missing { .. } => 127,
            _ => 126,
        }
    }
}
