//! The process of a container, or one that enters it: who it is, what it may do, what it executes.

use std::collections::HashSet;
use std::ffi::CString;

use oci_spec::runtime::{Capability, LinuxCapabilities, LinuxSeccomp, PosixRlimitType, Process};
use rustix::process::{Gid, Uid};
use rustix::thread::CapabilitySet;

use super::{c_string, refuse};
use crate::report::{Report, Step};
use crate::seccomp::{self, Filter};
use crate::{ExecError, LaunchError};

/// The sets of a process.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities {
    pub bounding: CapabilitySet,
    pub effective: CapabilitySet,
    pub permitted: CapabilitySet,
    pub inheritable: CapabilitySet,
    pub ambient: CapabilitySet,
}

/// A resource limit, with the kernel's number of the resource.
#[derive(Debug)]
pub struct Limit {
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
    name: &'static str,
}

/// What a terminal shows; zero by zero is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    pub rows: u16,
    pub columns: u16,
}

/// A process to become.
#[derive(Debug)]
pub struct Program {
    /// The first argument, as errors name it.
    pub name: String,
    /// Where it may lie: the path itself, or the name in every directory of `PATH`.
    pub candidates: Vec<CString>,
    pub args: Vec<CString>,
    pub env: Vec<CString>,
    /// Absolute.
    pub cwd: CString,
    pub uid: Uid,
    pub gid: Gid,
    pub groups: Vec<Gid>,
    pub umask: u32,
    pub capabilities: Capabilities,
    pub limits: Vec<Limit>,
    pub no_new_privileges: bool,
    pub filter: Filter,
    /// Its streams are a terminal of this size.
    pub terminal: Option<Size>,
    /// It is the child of a small first process. Where our heap begins, for that process to give it back.
    pub init: Option<usize>,
}

/// What runc assumes when the environment has none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Program {
    pub fn new(
        process: &Process,
        profile: Option<&LinuxSeccomp>,
        filter: Option<&Filter>,
    ) -> Result<Self, LaunchError> {
        refuse::check_process(process)?;
        let texts = |field: &str, list: &Option<Vec<String>>| {
            list.iter().flatten().map(|text| c_string(field, text.as_str())).collect::<Result<Vec<_>, _>>()
        };
        let args = texts("process.args", process.args())?;
        let env = texts("process.env", process.env())?;
        let name = process.args().iter().flatten().next().cloned().unwrap_or_default();
        if name.is_empty() {
            return Err(LaunchError::invalid("process.args", "there is no program"));
        }
        if !process.cwd().is_absolute() {
            return Err(LaunchError::invalid("process.cwd", "it is not an absolute path"));
        }
        let filter = match (profile, filter) {
            (None, _) => Filter::default(),
            (Some(_), Some(filter)) => filter.clone(),
            (Some(profile), None) => seccomp::compile(profile)?,
        };
        let user = process.user();
        let id = |value: u32| (value != u32::MAX).then_some(value);
        let invalid = || LaunchError::invalid("process.user", "4294967295 is no id");
        let groups = user.additional_gids().iter().flatten().map(|gid| id(*gid).map(Gid::from_raw));
        let side = |length: u64| u16::try_from(length).unwrap_or(u16::MAX);
        let size = process
            .console_size()
            .map(|size| Size { rows: side(size.height()), columns: side(size.width()) });
        Ok(Self {
            init: None,
            terminal: (process.terminal() == Some(true)).then(|| size.unwrap_or_default()),
            candidates: candidates(&name, process.env())?,
            name,
            args,
            env,
            cwd: super::c_path("process.cwd", process.cwd())?,
            uid: id(user.uid()).map(Uid::from_raw).ok_or_else(invalid)?,
            gid: id(user.gid()).map(Gid::from_raw).ok_or_else(invalid)?,
            groups: groups.collect::<Option<_>>().ok_or_else(invalid)?,
            umask: user.umask().unwrap_or(0o022) & 0o777,
            capabilities: Capabilities::new(process.capabilities().as_ref())?,
            limits: limits(process)?,
            no_new_privileges: process.no_new_privileges().unwrap_or(false),
            filter,
        })
    }

    /// A report of the clone as an error.
    pub fn error(&self, report: Report) -> LaunchError {
        match report.step {
            Step::Lookup | Step::Exec => ExecError::from_report(&self.name, report).into(),
            step => LaunchError::Step { step, subject: self.subject(&report), source: report.errno },
        }
    }

    pub fn subject(&self, report: &Report) -> String {
        match report.step {
            Step::Rlimit => self
                .limits
                .get(usize::from(report.index))
                .map_or_else(String::new, |limit| format!("{} to {}:{}", limit.name, limit.soft, limit.hard)),
            Step::WorkingDirectory => format!("{:?}", self.cwd.to_string_lossy()),
            Step::User => format!("{}:{}", self.uid.as_raw(), self.gid.as_raw()),
            _ => String::new(),
        }
    }
}

fn candidates(name: &str, env: &Option<Vec<String>>) -> Result<Vec<CString>, LaunchError> {
    if name.contains('/') {
        return Ok(vec![c_string("process.args", name)?]);
    }
    // Of a variable that is given twice the last counts, as in Go.
    let given = env.iter().flatten().rev().find_map(|line| line.strip_prefix("PATH="));
    let dirs = given.unwrap_or(DEFAULT_PATH).split(':').filter(|dir| dir.starts_with('/'));
    dirs.map(|dir| c_string("process.args", format!("{}/{name}", dir.trim_end_matches('/')))).collect()
}

impl Capabilities {
    /// Without any in the specification, a process has none.
    fn new(given: Option<&LinuxCapabilities>) -> Result<Self, LaunchError> {
        let set = |list: Option<&Option<HashSet<Capability>>>| {
            let list = list.and_then(Option::as_ref).into_iter().flatten();
            list.fold(CapabilitySet::empty(), |sum, cap| sum | bit(*cap))
        };
        let sets = Self {
            bounding: set(given.map(LinuxCapabilities::bounding)),
            effective: set(given.map(LinuxCapabilities::effective)),
            permitted: set(given.map(LinuxCapabilities::permitted)),
            inheritable: set(given.map(LinuxCapabilities::inheritable)),
            // The kernel keeps an ambient capability only while it is permitted and inheritable. `runc spec`
            // lists others, and every runtime starts it without them.
            ambient: set(given.map(LinuxCapabilities::ambient))
                & set(given.map(LinuxCapabilities::permitted))
                & set(given.map(LinuxCapabilities::inheritable)),
        };
        if !sets.permitted.contains(sets.effective) {
            return Err(LaunchError::invalid("process.capabilities.effective", "it exceeds permitted"));
        }
        Ok(sets)
    }
}

fn bit(cap: Capability) -> CapabilitySet {
    match cap {
        Capability::AuditControl => CapabilitySet::AUDIT_CONTROL,
        Capability::AuditRead => CapabilitySet::AUDIT_READ,
        Capability::AuditWrite => CapabilitySet::AUDIT_WRITE,
        Capability::BlockSuspend => CapabilitySet::BLOCK_SUSPEND,
        Capability::Bpf => CapabilitySet::BPF,
        Capability::CheckpointRestore => CapabilitySet::CHECKPOINT_RESTORE,
        Capability::Chown => CapabilitySet::CHOWN,
        Capability::DacOverride => CapabilitySet::DAC_OVERRIDE,
        Capability::DacReadSearch => CapabilitySet::DAC_READ_SEARCH,
        Capability::Fowner => CapabilitySet::FOWNER,
        Capability::Fsetid => CapabilitySet::FSETID,
        Capability::IpcLock => CapabilitySet::IPC_LOCK,
        Capability::IpcOwner => CapabilitySet::IPC_OWNER,
        Capability::Kill => CapabilitySet::KILL,
        Capability::Lease => CapabilitySet::LEASE,
        Capability::LinuxImmutable => CapabilitySet::LINUX_IMMUTABLE,
        Capability::MacAdmin => CapabilitySet::MAC_ADMIN,
        Capability::MacOverride => CapabilitySet::MAC_OVERRIDE,
        Capability::Mknod => CapabilitySet::MKNOD,
        Capability::NetAdmin => CapabilitySet::NET_ADMIN,
        Capability::NetBindService => CapabilitySet::NET_BIND_SERVICE,
        Capability::NetBroadcast => CapabilitySet::NET_BROADCAST,
        Capability::NetRaw => CapabilitySet::NET_RAW,
        Capability::Perfmon => CapabilitySet::PERFMON,
        Capability::Setgid => CapabilitySet::SETGID,
        Capability::Setfcap => CapabilitySet::SETFCAP,
        Capability::Setpcap => CapabilitySet::SETPCAP,
        Capability::Setuid => CapabilitySet::SETUID,
        Capability::SysAdmin => CapabilitySet::SYS_ADMIN,
        Capability::SysBoot => CapabilitySet::SYS_BOOT,
        Capability::SysChroot => CapabilitySet::SYS_CHROOT,
        Capability::SysModule => CapabilitySet::SYS_MODULE,
        Capability::SysNice => CapabilitySet::SYS_NICE,
        Capability::SysPacct => CapabilitySet::SYS_PACCT,
        Capability::SysPtrace => CapabilitySet::SYS_PTRACE,
        Capability::SysRawio => CapabilitySet::SYS_RAWIO,
        Capability::SysResource => CapabilitySet::SYS_RESOURCE,
        Capability::SysTime => CapabilitySet::SYS_TIME,
        Capability::SysTtyConfig => CapabilitySet::SYS_TTY_CONFIG,
        Capability::Syslog => CapabilitySet::SYSLOG,
        Capability::WakeAlarm => CapabilitySet::WAKE_ALARM,
    }
}

fn limits(process: &Process) -> Result<Vec<Limit>, LaunchError> {
    let mut limits: Vec<Limit> = Vec::new();
    for limit in process.rlimits().iter().flatten() {
        let (resource, name) = resource(limit.typ());
        if limits.iter().any(|known| known.resource == resource) {
            return Err(LaunchError::invalid("process.rlimits", format!("{name} is listed twice")));
        }
        limits.push(Limit { resource, soft: limit.soft(), hard: limit.hard(), name });
    }
    Ok(limits)
}

fn resource(typ: PosixRlimitType) -> (u32, &'static str) {
    match typ {
        PosixRlimitType::RlimitCpu => (libc::RLIMIT_CPU, "RLIMIT_CPU"),
        PosixRlimitType::RlimitFsize => (libc::RLIMIT_FSIZE, "RLIMIT_FSIZE"),
        PosixRlimitType::RlimitData => (libc::RLIMIT_DATA, "RLIMIT_DATA"),
        PosixRlimitType::RlimitStack => (libc::RLIMIT_STACK, "RLIMIT_STACK"),
        PosixRlimitType::RlimitCore => (libc::RLIMIT_CORE, "RLIMIT_CORE"),
        PosixRlimitType::RlimitRss => (libc::RLIMIT_RSS, "RLIMIT_RSS"),
        PosixRlimitType::RlimitNproc => (libc::RLIMIT_NPROC, "RLIMIT_NPROC"),
        PosixRlimitType::RlimitNofile => (libc::RLIMIT_NOFILE, "RLIMIT_NOFILE"),
        PosixRlimitType::RlimitMemlock => (libc::RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK"),
        PosixRlimitType::RlimitAs => (libc::RLIMIT_AS, "RLIMIT_AS"),
        PosixRlimitType::RlimitLocks => (libc::RLIMIT_LOCKS, "RLIMIT_LOCKS"),
        PosixRlimitType::RlimitSigpending => (libc::RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING"),
        PosixRlimitType::RlimitMsgqueue => (libc::RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE"),
        PosixRlimitType::RlimitNice => (libc::RLIMIT_NICE, "RLIMIT_NICE"),
        PosixRlimitType::RlimitRtprio => (libc::RLIMIT_RTPRIO, "RLIMIT_RTPRIO"),
        PosixRlimitType::RlimitRttime => (libc::RLIMIT_RTTIME, "RLIMIT_RTTIME"),
    }
}
