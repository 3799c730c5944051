//! The life cycle of an OCI runtime: `create`, `start`, `state`, `exec`, `kill`, `delete` over a state directory.
//!
//! Owns: `<root>/<id>/state.json`, written once the container waits, and `<root>/<id>/start.sock`, on which it
//! waits. Status is not written: it is what the process is.
//! Invariant: a process id is believed only together with its start time, so another that got the number is
//! never signalled.
//! Ignores: hooks (refused by name), and reaping: the container's process passes to whoever
//! adopts orphans.

mod exec;

use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{ContainerState, Spec, State};
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType,
};
use rustix::process::{Pid, PidfdFlags};
use serde_json::{Value, json};

use crate::cgroup::{Cgroup, CgroupError, Hierarchies};
use crate::create::{self, Launch, Stdio, WritableExe, create as launch};
use crate::{LaunchError, sys};

pub use exec::Exec;

/// Where containers without `linux.cgroupsPath` have their groups.
const GROUPS: &str = "boxship-oci";
const SOCKET: &str = "start.sock";
const STATE: &str = "state.json";

/// Why a command of the runtime failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("invalid container ID format: {id:?}")]
    Id { id: String },
    #[error("container with id {id:?} exists already")]
    Exists { id: String },
    #[error("container {id:?} does not exist")]
    Missing { id: String },
    #[error("container {id:?} is {status}, so it cannot be {action}")]
    Status { id: String, status: ContainerState, action: &'static str },
    #[error("unknown signal {0:?}")]
    Signal(String),
    #[error("{action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{}: {text}", path.display())]
    Format { path: PathBuf, text: String },
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

/// What `create` is told besides the identifier.
#[derive(Debug)]
pub struct Create<'a> {
    /// The directory of `config.json`.
    pub bundle: &'a Path,
    /// Gets the process id, once the container waits.
    pub pid_file: Option<&'a Path>,
    pub writable_exe: WritableExe,
    /// `--console-socket`: a listening stream socket that gets the terminal's descriptor.
    pub console_socket: Option<&'a Path>,
}

/// A state directory.
#[derive(Debug)]
pub struct Runtime<'a> {
    /// `--root`. Made when it is missing.
    pub root: &'a Path,
}

/// What is written about a container.
struct Entry {
    dir: PathBuf,
    pid: Pid,
    /// In clock ticks after boot, as `/proc/<pid>/stat` has it.
    started_at: u64,
    version: String,
    bundle: PathBuf,
    cgroup: PathBuf,
    annotations: HashMap<String, String>,
}

impl Runtime<'_> {
    /// Makes a container from `<bundle>/config.json` that waits for [`Runtime::start`], with our standard
    /// streams.
    ///
    /// # Errors
    /// [`CliError::Exists`], [`CliError::Launch`] and the rest; nothing is left then.
    pub fn create(&self, id: &str, options: &Create<'_>) -> Result<(), CliError> {
        check_id(id)?;
        let path = options.bundle.join("config.json");
        let text = fs::read(&path).map_err(io("read", &path))?;
        let spec: Spec = serde_json::from_slice(&text)
            .map_err(|error| CliError::Format { path: path.clone(), text: error.to_string() })?;
        let bundle = options.bundle.canonicalize().map_err(io("find", options.bundle))?;
        fs::create_dir_all(self.root).map_err(io("make", self.root))?;
        let dir = self.root.join(id);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(CliError::Exists { id: id.to_owned() });
            }
            other => other.map_err(io("make", &dir))?,
        }
        let made = make(id, &spec, &bundle, &dir, options);
        if made.is_err() {
            // What went wrong first is what the caller needs to hear.
            let _ = fs::remove_dir_all(&dir);
        }
        made
    }

    /// Executes the container's program.
    ///
    /// # Errors
    /// [`CliError::Status`] unless it waits; [`CliError::Launch`] when the program cannot be executed.
    pub fn start(&self, id: &str) -> Result<(), CliError> {
        let entry = self.entry(id)?;
        entry.require(id, ContainerState::Created, "started")?;
        let socket = entry.dir.join(SOCKET);
        let address = Address::of(&entry.dir)?;
        let channel =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let failed = |error: rustix::io::Errno| io("connect to", &socket)(error.into());
        let channel = channel.map_err(failed)?;
        rustix::net::connect(&channel, &address.name).map_err(failed)?;
        rustix::net::send(&channel, b"s", SendFlags::NOSIGNAL).map_err(failed)?;
        let answer = create::receive(channel.as_fd())?;
        // From now on it is running, or has failed and is not to be started again.
        let _ = fs::remove_file(&socket);
        answer.map_or(Ok(()), |report| Err(create::started_error("", report).into()))
    }

    /// The state as the specification has it.
    ///
    /// # Errors
    /// [`CliError::Missing`].
    pub fn state(&self, id: &str) -> Result<State, CliError> {
        let entry = self.entry(id)?;
        let status = entry.status();
        let mut state = State::default();
        state
            .set_version(entry.version)
            .set_id(id.to_owned())
            .set_status(status)
            .set_pid(Some(if status == ContainerState::Stopped { 0 } else { entry.pid.as_raw_pid() }))
            .set_bundle(entry.bundle)
            .set_annotations((!entry.annotations.is_empty()).then_some(entry.annotations));
        Ok(state)
    }

    /// Sends a signal (`TERM`, `SIGTERM`, `15`) to the container's first process.
    ///
    /// # Errors
    /// [`CliError::Status`] for one that has stopped, [`CliError::Signal`] for a name that is none.
    pub fn kill(&self, id: &str, signal: &str) -> Result<(), CliError> {
        let number = parse_signal(signal).ok_or_else(|| CliError::Signal(signal.to_owned()))?;
        let entry = self.entry(id)?;
        let stopped =
            || CliError::Status { id: id.to_owned(), status: ContainerState::Stopped, action: "signalled" };
        let process = entry.open().ok_or_else(stopped)?;
        sys::send_signal(process.as_fd(), number).map_err(|_| stopped())
    }

    /// Removes what is left of a container. One that has not stopped is removed only with `force`, or if it
    /// was never started.
    ///
    /// # Errors
    /// [`CliError::Status`] for a running one; [`CliError::Cgroup`] when its group stays in use.
    pub fn delete(&self, id: &str, force: bool) -> Result<(), CliError> {
        let entry = match self.entry(id) {
            Err(CliError::Missing { .. }) if force => return Ok(()),
            other => other?,
        };
        if !force && entry.status() == ContainerState::Running {
            entry.require(id, ContainerState::Stopped, "deleted")?;
        }
        if let Some(process) = entry.open() {
            let _ = sys::send_signal(process.as_fd(), libc::SIGKILL);
            wait_for_end(&process);
        }
        let group = Cgroup::open(&Hierarchies::detect()?, &entry.cgroup)?;
        if group.exists() {
            group.kill_all()?;
            group.remove()?;
        }
        if entry.cgroup.starts_with(GROUPS) {
            // Ours too, once the last is gone.
            Cgroup::open(&Hierarchies::detect()?, Path::new(GROUPS))?.remove_if_empty();
        }
        fs::remove_dir_all(&entry.dir).map_err(io("remove", &entry.dir))
    }

    fn entry(&self, id: &str) -> Result<Entry, CliError> {
        check_id(id)?;
        let dir = self.root.join(id);
        let path = dir.join(STATE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(CliError::Missing { id: id.to_owned() });
            }
            other => other.map_err(io("read", &path))?,
        };
        let parsed = serde_json::from_slice::<Value>(&text).ok().and_then(|value| Entry::parse(dir, &value));
        parsed.ok_or(CliError::Format { path, text: "this is no state of ours".to_owned() })
    }
}

fn make(id: &str, spec: &Spec, bundle: &Path, dir: &Path, options: &Create<'_>) -> Result<(), CliError> {
    let given = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone());
    let cgroup = match given.filter(|path| !path.as_os_str().is_empty()) {
        Some(path) if path.to_string_lossy().contains(':') => {
            return Err(
                LaunchError::unsupported("linux.cgroupsPath", "systemd is not asked for groups").into()
            );
        }
        Some(path) => path,
        None => Path::new(GROUPS).join(id),
    };
    let wants_terminal = spec.process().as_ref().and_then(|process| process.terminal()) == Some(true);
    let console = match (wants_terminal, options.console_socket) {
        (true, Some(path)) => Some(connect(path)?),
        (false, None) => None,
        (true, None) => {
            return Err(LaunchError::invalid("process.terminal", "it needs a console socket").into());
        }
        (false, Some(_)) => {
            return Err(LaunchError::invalid("process.terminal", "a console socket needs a terminal").into());
        }
    };
    let hierarchies = Hierarchies::detect()?;
    let created = launch(Launch {
        spec,
        bundle,
        hierarchies: &hierarchies,
        cgroup: &cgroup,
        filter: None,
        stdio: Stdio::inherit()?,
        writable_exe: options.writable_exe,
        listener: Some(listen(dir)?),
    })?;
    let entry = json!({
        "ociVersion": spec.version(),
        "id": id,
        "pid": created.pid.as_raw_pid(),
        "startedAtTicks": start_time(created.pid).unwrap_or_default(),
        "bundle": bundle,
        "cgroup": cgroup,
        "annotations": spec.annotations().clone().unwrap_or_default(),
    });
    let pid = created.pid.as_raw_pid().to_string();
    let written = replace(&dir.join(STATE), entry.to_string().as_bytes())
        .and_then(|()| options.pid_file.map_or(Ok(()), |path| replace(path, pid.as_bytes())));
    let written = written.and_then(|()| match (console, &created.console) {
        (Some(socket), Some(terminal)) => hand_over(&socket, terminal),
        _ => Ok(()),
    });
    if written.is_err() {
        let _ = created.cgroup.kill_all();
        wait_for_end(&created.pidfd);
        let _ = created.cgroup.remove();
    }
    written
}

impl Entry {
    fn parse(dir: PathBuf, value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let annotations = value["annotations"].as_object().into_iter().flatten();
        let pair = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        Some(Self {
            dir,
            pid: Pid::from_raw(i32::try_from(value["pid"].as_i64()?).ok()?)?,
            started_at: value["startedAtTicks"].as_u64()?,
            version: text("ociVersion")?,
            bundle: text("bundle")?.into(),
            cgroup: text("cgroup")?.into(),
            annotations: annotations.filter_map(pair).collect(),
        })
    }

    /// The container's first process, if it is still the one that we made. A zombie is none.
    fn open(&self) -> Option<OwnedFd> {
        let process = rustix::process::pidfd_open(self.pid, PidfdFlags::empty()).ok()?;
        (start_time(self.pid) == Some(self.started_at)).then_some(process)
    }

    fn status(&self) -> ContainerState {
        match self.open() {
            None => ContainerState::Stopped,
            Some(_) if self.dir.join(SOCKET).exists() => ContainerState::Created,
            Some(_) => ContainerState::Running,
        }
    }

    fn require(&self, id: &str, wanted: ContainerState, action: &'static str) -> Result<(), CliError> {
        let status = self.status();
        if status == wanted {
            return Ok(());
        }
        Err(CliError::Status { id: id.to_owned(), status, action })
    }
}

/// The number of a signal by name, with or without `SIG`, or by number.
pub fn parse_signal(text: &str) -> Option<i32> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    const LAST: i32 = 64;
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Ok(number) = name.parse::<i32>() {
        return (1..=LAST).contains(&number).then_some(number);
    }
    if let Some(above) = name.strip_prefix("RTMIN") {
        let number = libc::SIGRTMIN() + if above.is_empty() { 0 } else { above.parse::<i32>().ok()? };
        return (libc::SIGRTMIN()..=LAST).contains(&number).then_some(number);
    }
    let at = NAMES.iter().position(|known| *known == name)?;
    i32::try_from(at).ok().map(|at| at + 1)
}

fn check_id(id: &str) -> Result<(), CliError> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_+-.".contains(letter);
    if id.is_empty() || id == "." || id == ".." || id.len() > 255 || !id.chars().all(is_plain) {
        return Err(CliError::Id { id: id.to_owned() });
    }
    Ok(())
}

/// When a process started; `None` for one that is gone or a zombie.
fn start_time(pid: Pid) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // The name may contain blanks and brackets: what counts comes after the last.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    match *fields.first()? {
        "Z" | "X" => None,
        _ => fields.get(19)?.parse().ok(),
    }
}

/// A socket's name may have 107 bytes, a state directory's more: it is named through its descriptor.
struct Address {
    name: SocketAddrUnix,
    _dir: OwnedFd,
}

impl Address {
    fn of(dir: &Path) -> Result<Self, CliError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let failed = |error: rustix::io::Errno| io("open", dir)(error.into());
        let opened = rustix::fs::open(dir, flags, Mode::empty()).map_err(failed)?;
        let name = SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd()));
        Ok(Self { name: name.map_err(failed)?, _dir: opened })
    }
}

fn listen(dir: &Path) -> Result<OwnedFd, CliError> {
    let failed = |error: rustix::io::Errno| io("listen in", dir)(error.into());
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let socket = socket.map_err(failed)?;
    let address = Address::of(dir)?;
    rustix::net::bind(&socket, &address.name).map_err(failed)?;
    rustix::net::listen(&socket, 1).map_err(failed)?;
    Ok(socket)
}

fn connect(path: &Path) -> Result<OwnedFd, CliError> {
    let failed = |error: rustix::io::Errno| io("connect to", path)(error.into());
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let socket = socket.map_err(failed)?;
    let address = SocketAddrUnix::new(path).map_err(failed)?;
    rustix::net::connect(&socket, &address).map_err(failed)?;
    Ok(socket)
}

/// One message with one descriptor, as runc sends it.
fn hand_over(socket: &OwnedFd, terminal: &OwnedFd) -> Result<(), CliError> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    let fds = [terminal.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let name = [IoSlice::new(b"/dev/ptmx")];
    let sent = rustix::net::sendmsg(socket, &name, &mut control, SendFlags::NOSIGNAL);
    let failed =
        |error: rustix::io::Errno| io("send the terminal to", Path::new("the console socket"))(error.into());
    sent.map(drop).map_err(failed)
}

/// Writes a file so that a reader sees all of it or nothing.
fn replace(path: &Path, content: &[u8]) -> Result<(), CliError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    let write = || {
        fs::File::create(&fresh)?.write_all(content)?;
        fs::rename(&fresh, path)
    };
    write().map_err(io("write", path))
}

fn wait_for_end(process: &OwnedFd) {
    let mut polled = [rustix::event::PollFd::new(process, rustix::event::PollFlags::IN)];
    while rustix::event::poll(&mut polled, None) == Err(rustix::io::Errno::INTR) {}
}

fn io(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> CliError {
    let path = path.to_path_buf();
    move |source| CliError::Io { action, path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_every_name() {
        let numbers = ["KILL", "SIGKILL", "sigterm", "9", "RTMIN+1", "SIGSYS"].map(parse_signal);
        assert_eq!(numbers, [Some(9), Some(9), Some(15), Some(9), Some(35), Some(31)]);
        assert_eq!(["", "0", "65", "NOPE", "RTMIN+99"].map(parse_signal), [None; 5]);
    }

    #[test]
    fn identifiers_stay_in_their_directory() {
        for id in ["", ".", "..", "a/b", "../x", "a b"] {
            assert!(check_id(id).is_err(), "{id:?}");
        }
        assert!(check_id("task-1_web.0+x").is_ok());
    }
}
