//! What a runtime is told: a sandbox, and the containers in it. No AWS shapes, and nothing that a
//! runtime would have to look up elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;

use core_lifecycle::{LinuxSettings, Namespace, Ulimit};
use serde::{Deserialize, Serialize};

/// What the containers of one task share: its network, its host name, its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSandbox {
    /// 32 hexadecimal digits; names the task's directory and its cgroup.
    pub task: String,
    /// The network of every container that has none of its own.
    pub place: Place,
    #[serde(default)]
    pub pid_mode: Namespace,
    #[serde(default)]
    pub ipc_mode: Namespace,
    /// Room on disk for what the task's containers write, their volumes included; `None`: no bound.
    #[serde(default)]
    pub storage_gib: Option<u32>,
    /// Hard limits of the task as a whole. 1024 units are one vCPU.
    pub cpu_units: Option<u32>,
    pub memory_mib: Option<u32>,
}

impl TaskSandbox {
    /// A sandbox without network, limits or names.
    pub fn empty(task: &str) -> Self {
        TaskSandbox {
            task: task.to_owned(),
            place: Place { hostname: "localhost".to_owned(), ..Place::default() },
            pid_mode: Namespace::Container,
            ipc_mode: Namespace::Container,
            storage_gib: None,
            cpu_units: None,
            memory_mib: None,
        }
    }
}

/// Where a container is in the network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    pub network: Network,
    pub hostname: String,
    /// Contents of `/etc/resolv.conf` and `/etc/hosts`.
    pub resolv_conf: String,
    pub hosts: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Network {
    /// An empty namespace of its own: loopback only.
    #[default]
    Empty,
    /// The namespace at this path.
    Join(PathBuf),
    /// The host's.
    Host,
}

/// One container, ready to start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerPlan {
    /// Its name in the task; letters, digits, `-` and `_`.
    pub name: String,
    /// AWS: 32 hexadecimal digits (the task's id), a hyphen, 10 digits.
    pub runtime_id: String,
    /// Unpacked layers, the base first. At least one.
    pub layers: Vec<PathBuf>,
    pub image: ImageDefaults,
    /// Overrides the image's; an override of the entry point also drops the image's command.
    pub entry_point: Option<Vec<String>>,
    pub command: Option<Vec<String>>,
    pub environment: BTreeMap<String, String>,
    pub working_directory: Option<String>,
    /// `user`, `uid`, `user:group` …; names are looked up in the image's own files.
    pub user: Option<String>,
    /// Relative weight among the task's containers; 0 takes the smallest share.
    pub cpu_units: u32,
    /// Hard limit; `None` leaves the task's.
    pub memory_mib: Option<u32>,
    pub memory_reservation_mib: Option<u32>,
    pub readonly_root: bool,
    pub ulimits: Vec<Ulimit>,
    pub output: Output,
    /// A network of its own; `None`: the sandbox's.
    #[serde(default)]
    pub place: Option<Place>,
    /// In the order in which they are mounted. The image's own volumes come on top, where none of
    /// these is mounted at their path.
    #[serde(default)]
    pub mounts: Vec<MountPlan>,
    #[serde(default)]
    pub linux: LinuxSettings,
    /// For the simulated runtime's directions (`boxship.simulate`).
    pub labels: BTreeMap<String, String>,
}

/// Something to mount into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPlan {
    pub source: MountSource,
    /// Absolute, in the container.
    pub target: String,
    pub is_read_only: bool,
}

/// Docker's rule holds for the first two: an empty one first gets what the image has at its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A directory of the task's, by name; removed with the task.
    Task(String),
    /// A named volume of this host, which outlives the task. `is_provisioned`: made where missing.
    Shared { name: String, is_provisioned: bool },
    /// A file or directory of the host; a directory is made where it is missing.
    Host(PathBuf),
}

/// What an image's configuration says about running it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageDefaults {
    pub entry_point: Vec<String>,
    pub command: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    pub working_directory: Option<String>,
    pub user: Option<String>,
    /// `SIGTERM`, `TERM` or a number.
    pub stop_signal: Option<String>,
    /// Paths of `VOLUME`.
    #[serde(default)]
    pub volumes: Vec<String>,
}

/// A process to run in a container beside its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExecPlan {
    /// Program and arguments; the program is looked for on the container's `PATH`.
    pub command: Vec<String>,
    /// `None`: as the container's own process.
    pub user: Option<String>,
    /// A terminal of this size: its output is one stream.
    pub terminal: Option<TerminalSize>,
    pub has_input: bool,
    /// `NAME=value`, for names that the container's own environment does not have.
    #[serde(default)]
    pub environment: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    pub columns: u16,
    pub rows: u16,
}

/// What becomes of a container's standard output and standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    Discard,
    /// Into the container's spool. When `limit_bytes` wait there unread, a writer waits.
    Blocking {
        limit_bytes: u64,
    },
    /// Into the container's spool. When `limit_bytes` wait there unread, lines are dropped and
    /// counted.
    Dropping {
        limit_bytes: u64,
    },
}

/// A signal's number on Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signal(pub i32);

impl Signal {
    pub const HANG_UP: Signal = Signal(1);
    pub const KILL: Signal = Signal(9);
    pub const TERM: Signal = Signal(15);

    /// `SIGTERM`, `TERM`, `15`, `RTMIN+3`; any case.
    pub fn parse(text: &str) -> Option<Signal> {
        if let Ok(number) = text.parse::<i32>() {
            return (1..=64).contains(&number).then_some(Signal(number));
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let known = |name: &str| SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        let number = match (name.split_once('+'), name.split_once('-')) {
            (Some(("RTMIN", above)), _) => known("RTMIN")?.checked_add(above.parse().ok()?)?,
            (_, Some(("RTMAX", below))) => known("RTMAX")?.checked_sub(below.parse().ok()?)?,
            _ => return known(name).map(Signal),
        };
        (known("RTMIN")?..=known("RTMAX")?).contains(&number).then_some(Signal(number))
    }
}

impl ImageDefaults {
    /// The signal that asks a container to end.
    pub fn stop_signal(&self) -> Signal {
        self.stop_signal.as_deref().and_then(Signal::parse).unwrap_or(Signal::TERM)
    }
}

/// Numbers of x86-64 and arm64, which agree.
const SIGNALS: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("RTMIN", 34),
    ("RTMAX", 64),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        let check = |text, number: Option<i32>| assert_eq!(Signal::parse(text), number.map(Signal), "{text}");
        check("SIGTERM", Some(15));
        check("quit", Some(3));
        check("SigInt", Some(2));
        check("9", Some(9));
        check("0", None);
        check("65", None);
        check("SIGNOPE", None);
        check("SIGRTMIN+3", Some(37));
        check("rtmax-1", Some(63));
        check("RTMIN+31", None);
        check("RTMAX-31", None);
        check("TERM+1", None);
    }
}
