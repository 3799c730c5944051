//! `boxship oci …`: the launcher with the command line of OCI runtimes, for podman, containerd and validators.
//!
//! Ignores: hooks, systemd's control groups, checkpoints, `pause` and `update`: refused by name.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use launch::WritableExe;
use launch::runtime_cli::{Create, Exec, Runtime};
use serde_json::json;

/// State of containers that nobody keeps elsewhere. It need not outlive a boot.
const ROOT: &str = "/run/boxship-oci";
/// The newest version of the specification that we read.
const SPECIFICATION: &str = "1.2.0";

#[derive(Debug, Parser)]
#[command(name = "boxship oci", version = concat!(env!("CARGO_PKG_VERSION"), "\nspec: 1.2.0"))]
/// An OCI runtime: one container from a bundle
struct Line {
    /// Where the state of containers is kept
    #[arg(long, global = true, value_name = "DIR", default_value = ROOT)]
    root: PathBuf,
    /// Write errors to this file, too
    #[arg(long, global = true, value_name = "FILE")]
    log: Option<PathBuf>,
    /// What that file is made of
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Not built: control groups are made directly
    #[arg(long, global = true)]
    systemd_cgroup: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a container that waits to be started
    Create {
        /// The directory of config.json
        #[arg(short, long, value_name = "DIR", default_value = ".")]
        bundle: PathBuf,
        /// Write the process id there
        #[arg(long, value_name = "FILE")]
        pid_file: Option<PathBuf>,
        /// A socket that receives the terminal
        #[arg(long, value_name = "SOCKET")]
        console_socket: Option<PathBuf>,
        id: String,
    },
    /// Execute its program
    Start { id: String },
    /// Print its state as JSON
    State { id: String },
    /// Run a process more in it
    Exec {
        /// A file with the process as config.json has it
        #[arg(short, long, value_name = "FILE")]
        process: PathBuf,
        /// Give it a terminal, whatever its description says
        #[arg(short, long)]
        tty: bool,
        /// Return when its program runs
        #[arg(short, long)]
        detach: bool,
        /// Write the process id there
        #[arg(long, value_name = "FILE")]
        pid_file: Option<PathBuf>,
        /// A socket that receives the terminal
        #[arg(long, value_name = "SOCKET")]
        console_socket: Option<PathBuf>,
        id: String,
    },
    /// Send its first process a signal
    Kill {
        id: String,
        #[arg(default_value = "TERM")]
        signal: String,
    },
    /// Remove what is left of it
    Delete {
        /// Kill it first, if need be
        #[arg(short, long)]
        force: bool,
        id: String,
    },
    /// Print what this runtime can, as JSON
    Features,
}

/// Runs one command. To be called before anything starts a thread: the process executes itself anew.
pub fn run(arguments: &[OsString]) -> ExitCode {
    // No program in a container is to reach our executable for writing (CVE-2019-5736).
    if let Err(error) = launch::exe::reexec_read_only() {
        eprintln!("boxship oci: {error}");
        return ExitCode::FAILURE;
    }
    let name = OsString::from("boxship oci");
    let line = match Line::try_parse_from(std::iter::once(&name).chain(arguments)) {
        Ok(line) => line,
        Err(error) => error.exit(),
    };
    match act(&line) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report(&line, &format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The exit code of this process.
fn act(line: &Line) -> anyhow::Result<u8> {
    if line.systemd_cgroup {
        anyhow::bail!("--systemd-cgroup: systemd is not asked for control groups");
    }
    let runtime = Runtime { root: &line.root };
    match &line.command {
        Command::Create { bundle, pid_file, console_socket, id } => {
            let create = Create {
                bundle,
                pid_file: pid_file.as_deref(),
                writable_exe: WritableExe::Refuse,
                console_socket: console_socket.as_deref(),
            };
            runtime.create(id, &create)?;
        }
        Command::Start { id } => runtime.start(id)?,
        Command::Exec { process, tty, detach, pid_file, console_socket, id } => {
            let exec = Exec {
                process,
                pid_file: pid_file.as_deref(),
                console_socket: console_socket.as_deref(),
                has_terminal: *tty,
                is_detached: *detach,
                writable_exe: WritableExe::Refuse,
            };
            return Ok(u8::try_from(runtime.exec(id, &exec)?).unwrap_or(u8::MAX));
        }
        Command::State { id } => print(&serde_json::to_string_pretty(&runtime.state(id)?)?)?,
        Command::Kill { id, signal } => runtime.kill(id, signal)?,
        Command::Delete { force, id } => runtime.delete(id, *force)?,
        Command::Features => print(&format!("{:#}", features()))?,
    }
    Ok(0)
}

/// Whoever reads may have gone: that is an error, not a panic.
fn print(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

/// What is left out is unknown to the reader, not unsupported: that is what the specification says.
fn features() -> serde_json::Value {
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPECIFICATION,
        "hooks": [],
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "uts"],
            "cgroup": { "v1": true, "v2": true, "systemd": false, "systemdUser": false },
            "seccomp": { "enabled": true },
            "apparmor": { "enabled": false },
            "selinux": { "enabled": false },
        },
    })
}

/// Says an error where people look and where engines look: conmon and containerd read the log.
fn report(line: &Line, message: &str) {
    eprintln!("boxship oci: {message}");
    let Some(path) = &line.log else { return };
    if let Err(error) = append(path, &entry(line.log_format, base::clock::wall(), message)) {
        eprintln!("boxship oci: cannot write {}: {error}", path.display());
    }
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}

/// One line, in the form of the log library that the other runtimes share.
fn entry(format: LogFormat, at: base::Timestamp, message: &str) -> String {
    match format {
        LogFormat::Text => {
            let message = json!(message);
            format!("time=\"{at}\" level=error msg={message}\n")
        }
        LogFormat::Json => {
            format!("{}\n", json!({ "level": "error", "msg": message, "time": at.to_string() }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Line, clap::Error> {
        Line::try_parse_from(std::iter::once("boxship oci").chain(line.split_whitespace()))
    }

    #[test]
    fn takes_what_engines_pass() {
        let conmon = "--log-format=json --log=/l create --bundle /b --pid-file /p --console-socket /s id";
        let line = parse(conmon).unwrap();
        assert_eq!(line.log_format, LogFormat::Json);
        assert!(matches!(line.command, Command::Create { console_socket: Some(_), .. }));
        let containerd = "--root /r --log /l --log-format json delete --force id";
        assert!(matches!(parse(containerd).unwrap().command, Command::Delete { force: true, .. }));
        let exec = "exec --pid-file /p --process /x --detach --tty --console-socket /s id";
        assert!(matches!(parse(exec).unwrap().command, Command::Exec { detach: true, .. }));
        assert!(parse("create --preserve-fds 1 id").is_err(), "what is not done is refused");
        assert!(parse("kill --all id 9").is_err());
    }

    #[test]
    fn systemd_is_refused_by_name() {
        let error = act(&parse("--systemd-cgroup state id").unwrap()).unwrap_err();
        assert!(error.to_string().contains("--systemd-cgroup"), "{error}");
    }

    #[test]
    fn lines_of_the_log() {
        let at = base::Timestamp::from_micros(0);
        let text = entry(LogFormat::Text, at, "exec \"x\": gone");
        assert!(text.ends_with(" level=error msg=\"exec \\\"x\\\": gone\"\n"), "{text}");
        let line: serde_json::Value = serde_json::from_str(&entry(LogFormat::Json, at, "no \"x\"")).unwrap();
        assert_eq!((&line["level"], &line["msg"]), (&json!("error"), &json!("no \"x\"")));
    }
}
