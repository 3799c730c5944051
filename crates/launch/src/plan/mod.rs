//! The specification in the form in which the kernel takes it.
//!
//! Owns: the translation of every field that we act on, and the refusal of every other ([`refuse`]).
//! Invariant: whatever the clone needs is here, ready: C strings, numbers, open namespaces. It allocates
//! nothing.

mod mounts;
mod namespaces;
mod program;
mod refuse;

use std::ffi::CString;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxDeviceType, Spec};
use rustix::fs::FileType;

pub use mounts::{Attributes, MountPlan, Source};
pub use namespaces::{Join, Namespaces};
pub use program::{Program, Size};

use crate::cgroup::Cgroup;
use crate::report::{Report, Step};
use crate::seccomp::Filter;
use crate::{ExecError, LaunchError, defaults, report};

/// A device node to make.
#[derive(Debug)]
pub struct Node {
    /// Relative to the root.
    pub path: CString,
    /// The same path on the host, mounted instead where nodes cannot be made.
    pub host: CString,
    pub kind: FileType,
    pub mode: u32,
    pub device: u64,
    pub owner: (u32, u32),
}

/// A symbolic link to make, if nothing is there.
#[derive(Debug)]
pub struct Link {
    pub path: CString,
    pub target: CString,
}

/// A value below `/proc/sys`.
#[derive(Debug)]
pub struct Sysctl {
    /// Relative to a procfs: `sys/net/ipv4/ip_forward`.
    pub path: CString,
    pub value: Vec<u8>,
}

/// Everything that happens in the container before its program.
#[derive(Debug)]
pub struct Plan {
    pub namespaces: Namespaces,
    pub root: CString,
    pub is_root_readonly: bool,
    /// `MS_SLAVE` or `MS_PRIVATE`: what mounts of the host that appear later do in the container.
    pub propagation: u64,
    pub mounts: Vec<MountPlan>,
    pub nodes: Vec<Node>,
    pub links: Vec<Link>,
    pub sysctls: Vec<Sysctl>,
    /// Relative to the root.
    pub masked: Vec<CString>,
    /// Relative to the root.
    pub readonly: Vec<CString>,
    pub hostname: Option<Vec<u8>>,
    pub domainname: Option<Vec<u8>>,
    pub oom_score_adj: Option<i32>,
    pub program: Program,
}

impl Plan {
    pub fn new(
        spec: &Spec,
        bundle: &Path,
        group: &Cgroup,
        filter: Option<&Filter>,
    ) -> Result<Self, LaunchError> {
        refuse::check(spec)?;
        let linux = spec.linux().as_ref().ok_or_else(|| LaunchError::invalid("linux", "it is missing"))?;
        let process = spec.process().as_ref();
        let process = process.ok_or_else(|| LaunchError::invalid("process", "it is missing"))?;
        let namespaces = Namespaces::new(linux)?;
        let root = root(spec, bundle)?;
        let mut mounts = Vec::new();
        for (at, mount) in spec.mounts().iter().flatten().enumerate() {
            mounts::translate(at, mount, bundle, group, &mut mounts)?;
        }
        let has_own_dev = !mounts.iter().any(|mount| mount.is_bind_at("dev"));
        let (nodes, links) = if has_own_dev { (nodes(spec)?, links()) } else { (Vec::new(), Vec::new()) };
        let paths = |field: &str, list: &Option<Vec<String>>| {
            list.iter().flatten().map(|path| relative(field, Path::new(path))).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            root: c_path("root.path", &root)?,
            is_root_readonly: spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false),
            propagation: propagation(linux.rootfs_propagation().as_deref())?,
            mounts,
            nodes,
            links,
            sysctls: sysctls(spec, &namespaces)?,
            masked: paths("linux.maskedPaths", linux.masked_paths())?,
            readonly: paths("linux.readonlyPaths", linux.readonly_paths())?,
            hostname: own_name("hostname", spec.hostname(), &namespaces)?,
            domainname: own_name("domainname", spec.domainname(), &namespaces)?,
            oom_score_adj: process.oom_score_adj(),
            program: Program {
                init: has_init(spec).then(heap_start),
                ..Program::new(process, linux.seccomp().as_ref(), filter)?
            },
            namespaces,
        })
    }

    /// What a report of the clone is about.
    pub fn subject(&self, report: &Report) -> String {
        let at = usize::from(report.index);
        let text = |path: Option<&CString>| {
            path.map_or_else(String::new, |path| format!("/{}", path.to_string_lossy()))
        };
        match report.step {
            Step::Join => self.namespaces.joins.get(at).map_or_else(String::new, |join| join.path.clone()),
            Step::Mount => text(self.mounts.get(at).map(|mount| &mount.destination)),
            Step::Device => text(self.nodes.get(at).map(|node| &node.path)),
            Step::Link => text(self.links.get(at).map(|link| &link.path)),
            Step::Sysctl => text(self.sysctls.get(at).map(|sysctl| &sysctl.path)),
            Step::Mask => text(self.masked.get(at)),
            Step::Readonly => text(self.readonly.get(at)),
            Step::Root | Step::Pivot => self.root.to_string_lossy().into_owned(),
            Step::Hostname => String::from_utf8_lossy(self.hostname.as_deref().unwrap_or_default()).into(),
            _ => self.program.subject(report),
        }
    }

    /// A report of the clone as an error.
    pub fn error(&self, report: Report) -> LaunchError {
        match report.step {
            Step::Lookup | Step::Exec => self.program.error(report),
            step => LaunchError::Step { step, subject: self.subject(&report), source: report.errno },
        }
    }
}

impl ExecError {
    /// What the kernel said about the program, in the words of runc (Go's `exec.LookPath`).
    pub(crate) fn from_report(name: &str, report: Report) -> Self {
        use rustix::io::Errno;
        let program = name.to_owned();
        let is_lookup = report.step == Step::Lookup;
        match report.errno {
            Errno::NOENT | Errno::NOTDIR if is_lookup && !name.contains('/') => Self::NotInPath { program },
            Errno::NOENT | Errno::NOTDIR if is_lookup => Self::Missing { program },
            Errno::NOENT | Errno::NOTDIR => Self::MissingInterpreter { program },
            Errno::ACCESS | Errno::PERM => Self::Denied { program },
            Errno::ISDIR => Self::Directory { program },
            Errno::NOEXEC => Self::Format { program },
            other => Self::Other { program, text: report::text(other) },
        }
    }
}

/// Where our heap begins; 0 where the kernel does not say.
pub(crate) fn heap_start() -> usize {
    /// Of the fields behind the name, which may contain anything.
    const START_BRK: usize = 44;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    fields.split(' ').nth(START_BRK).and_then(|field| field.parse().ok()).unwrap_or(0)
}

fn has_init(spec: &Spec) -> bool {
    let annotations = spec.annotations().as_ref();
    annotations.and_then(|all| all.get(crate::INIT)).is_some_and(|value| value == "true")
}

fn root(spec: &Spec, bundle: &Path) -> Result<PathBuf, LaunchError> {
    let root = spec.root().as_ref().ok_or_else(|| LaunchError::invalid("root", "it is missing"))?;
    let path = bundle.join(root.path());
    let found = path.canonicalize();
    let found =
        found.map_err(|error| LaunchError::invalid("root.path", format!("{}: {error}", path.display())))?;
    match found.is_dir() {
        true if found != Path::new("/") => Ok(found),
        _ => Err(LaunchError::invalid("root.path", format!("{} cannot be a root", path.display()))),
    }
}

fn propagation(given: Option<&str>) -> Result<u64, LaunchError> {
    match given.unwrap_or_default() {
        "" | "rslave" | "slave" => Ok(libc::MS_SLAVE),
        "rprivate" | "private" => Ok(libc::MS_PRIVATE),
        _ => Err(LaunchError::unsupported("linux.rootfsPropagation", "only slave and private are given")),
    }
}

fn nodes(spec: &Spec) -> Result<Vec<Node>, LaunchError> {
    let mut nodes = Vec::new();
    for (name, major, minor) in defaults::DEVICES {
        let path = Path::new("/dev").join(name);
        nodes.push(Node {
            path: relative("linux.devices", &path)?,
            host: c_path("linux.devices", &path)?,
            kind: FileType::CharacterDevice,
            mode: 0o666,
            device: rustix::fs::makedev(major, minor),
            owner: (0, 0),
        });
    }
    let listed = spec.linux().as_ref().and_then(|linux| linux.devices().as_ref());
    for (at, device) in listed.into_iter().flatten().enumerate() {
        let field = format!("linux.devices[{at}]");
        let kind = match device.typ() {
            LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
            LinuxDeviceType::B => FileType::BlockDevice,
            LinuxDeviceType::P => FileType::Fifo,
            LinuxDeviceType::A => return Err(LaunchError::invalid(field, "its type is none of c, b, u, p")),
        };
        let number = |value: i64| {
            u32::try_from(value).map_err(|_| LaunchError::invalid(field.clone(), "its number is negative"))
        };
        let node = Node {
            path: relative(&field, device.path())?,
            host: c_path(&field, device.path())?,
            kind,
            mode: device.file_mode().unwrap_or(0o666) & 0o777,
            device: rustix::fs::makedev(number(device.major())?, number(device.minor())?),
            owner: (device.uid().unwrap_or(0), device.gid().unwrap_or(0)),
        };
        nodes.retain(|known| known.path != node.path);
        nodes.push(node);
    }
    Ok(nodes)
}

fn links() -> Vec<Link> {
    let c = |text: &str| CString::new(text.trim_start_matches('/')).expect("constants have no zero byte");
    let whole = |text: &str| CString::new(text).expect("constants have no zero byte");
    defaults::LINKS.iter().map(|(path, target)| Link { path: c(path), target: whole(target) }).collect()
}

/// Values that belong to the container's own namespaces, and no other, may be set.
fn sysctls(spec: &Spec, namespaces: &Namespaces) -> Result<Vec<Sysctl>, LaunchError> {
    let listed = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    let mut sysctls = Vec::new();
    for (name, value) in listed.into_iter().flatten() {
        let field = format!("linux.sysctl[{name}]");
        let own_ipc = namespaces.has(libc::CLONE_NEWIPC);
        let own_net = namespaces.has(libc::CLONE_NEWNET);
        let is_ipc = name.starts_with("fs.mqueue.")
            || matches!(
                name.as_str(),
                "kernel.msgmax"
                    | "kernel.msgmnb"
                    | "kernel.msgmni"
                    | "kernel.sem"
                    | "kernel.shmall"
                    | "kernel.shmmax"
                    | "kernel.shmmni"
                    | "kernel.shm_rmid_forced"
            );
        match name.as_str() {
            _ if name.contains("..") || name.contains('\0') => {
                return Err(LaunchError::invalid(field, "this is no name"));
            }
            _ if is_ipc && own_ipc => {}
            _ if name.starts_with("net.") && own_net => {}
            _ => return Err(LaunchError::invalid(field, "it is not in a separate kernel namespace")),
        }
        // Both separators are in use; in the dotted form a slash stands for a dot in a name.
        let swap = |letter| match letter {
            '.' => '/',
            '/' => '.',
            other => other,
        };
        let first = name.find(['.', '/']).map(|at| &name[at..=at]);
        let path: String = if first == Some("/") { name.clone() } else { name.chars().map(swap).collect() };
        let path = c_string(&field, format!("sys/{path}"))?;
        sysctls.push(Sysctl { path, value: value.clone().into_bytes() });
    }
    Ok(sysctls)
}

fn own_name(
    field: &str,
    name: &Option<String>,
    namespaces: &Namespaces,
) -> Result<Option<Vec<u8>>, LaunchError> {
    match name.as_deref().filter(|name| !name.is_empty()) {
        Some(_) if !namespaces.has(libc::CLONE_NEWUTS) => {
            Err(LaunchError::invalid(field, "it needs a UTS namespace of the container's own"))
        }
        name => Ok(name.map(|name| name.as_bytes().to_vec())),
    }
}

pub(crate) fn c_string(field: &str, text: impl Into<Vec<u8>>) -> Result<CString, LaunchError> {
    CString::new(text).map_err(|_| LaunchError::invalid(field, "it contains a zero byte"))
}

fn c_path(field: &str, path: &Path) -> Result<CString, LaunchError> {
    use std::os::unix::ffi::OsStrExt;
    c_string(field, path.as_os_str().as_bytes())
}

/// A path of the container, without the leading slash, `.` and empty parts; `..` at the start stays at the
/// root, as the kernel has it.
fn relative(field: &str, path: &Path) -> Result<CString, LaunchError> {
    use std::os::unix::ffi::OsStrExt;
    let mut text = Vec::new();
    for part in path.components() {
        if let std::path::Component::Normal(_) | std::path::Component::ParentDir = part {
            if !text.is_empty() {
                text.push(b'/');
            }
            text.extend_from_slice(part.as_os_str().as_bytes());
        }
    }
    c_string(field, text)
}
