//! What of a specification only the mounted root and this host can tell: numeric ids, the working
//! directory, limits of open files and the like.
//!
//! Invariant: nothing that an image planted leads out of its root: every path is resolved by
//! `openat2` with `RESOLVE_IN_ROOT`.

use std::os::fd::OwnedFd;
use std::path::Path;

use core_lifecycle::Ulimit;
use oci_spec::runtime::{PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, Spec, UserBuilder};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use rustix::thread::CapabilitySet;

use crate::contract::RuntimeError;
use crate::protocol::Start;

/// AWS: Fargate's limit of open files, soft and hard.
const OPEN_FILES: (u64, u64) = (1024, 65_535);

/// Completes `spec` for the root that is mounted at `root`. Returns warnings.
pub(super) fn finish(spec: &mut Spec, root: &Path, start: &Start) -> Result<Vec<String>, RuntimeError> {
    let root = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| RuntimeError::host("open the root file system", e))?;
    let user = oci::users::resolve_user(&root, start.user.as_deref().unwrap_or_default());
    let user = user.map_err(|error| RuntimeError::Plan(error.to_string()))?;
    let (rlimits, mut warnings) = limits(&start.ulimits)?;
    let Some(process) = spec.process_mut() else { return Ok(warnings) };
    grant_capabilities(process, start, &mut warnings)?;
    make_directory(&root, process.cwd())?;
    let mut env = process.env().clone().unwrap_or_default();
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={}", user.home));
    }
    process.set_env(Some(env));
    process.set_rlimits(Some(rlimits));
    // As in Docker, the first group is among the others (CVE-2022-36109).
    let others = user.additional_gids.into_iter().filter(|gid| *gid != user.gid);
    let groups: Vec<u32> = std::iter::once(user.gid).chain(others).collect();
    let built = UserBuilder::default().uid(user.uid).gid(user.gid).additional_gids(groups);
    process.set_user(built.build().expect("every field has a default"));
    Ok(warnings)
}

fn inside(root: &OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Makes a directory and those above it inside the root.
fn make_directory(root: &OwnedFd, path: &Path) -> Result<(), RuntimeError> {
    let failed = |error: Errno| match error {
        // The image has something else at the place.
        Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG => {
            RuntimeError::Plan(format!("the working directory {} cannot be made: {error}", path.display()))
        }
        _ => RuntimeError::host(format!("make the working directory {}", path.display()), error),
    };
    let relative = path.strip_prefix("/").unwrap_or(path);
    let mut parent = inside(root, Path::new("."), OFlags::PATH | OFlags::DIRECTORY).map_err(failed)?;
    let mut above = std::path::PathBuf::new();
    for part in relative.components() {
        above.push(part);
        let opened = match inside(root, &above, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => {
                rustix::fs::mkdirat(&parent, Path::new(part.as_os_str()), Mode::from_raw_mode(0o755))
                    .map_err(failed)?;
                inside(root, &above, OFlags::PATH | OFlags::DIRECTORY)
            }
            other => other,
        };
        parent = opened.map_err(failed)?;
    }
    Ok(())
}

/// Leaves out capabilities that this process has not got, and so cannot give. Those that were asked for by
/// name are refused.
fn grant_capabilities(
    process: &mut Process,
    start: &Start,
    warnings: &mut Vec<String>,
) -> Result<(), RuntimeError> {
    let own = rustix::thread::capabilities(None).map_err(|e| RuntimeError::host("read capabilities", e))?;
    let wanted = process.capabilities().as_ref().and_then(|sets| sets.bounding().clone()).unwrap_or_default();
    // One that rustix does not name, the kernel decides about.
    let bit = |name: &str| CapabilitySet::from_name(name).unwrap_or(CapabilitySet::empty());
    let (mut granted, mut missing) = (wanted.clone(), Vec::new());
    for capability in wanted {
        let name = capability.to_string();
        if own.permitted.contains(bit(&name)) {
            continue;
        }
        let is_asked = |given: &String| given.to_ascii_uppercase().trim_start_matches("CAP_") == name;
        if start.linux.capabilities_add.iter().any(is_asked) {
            let text = format!("capability {name}: this host cannot grant it");
            return Err(RuntimeError::Limit(text));
        }
        granted.remove(&capability);
        missing.push(name);
    }
    if !missing.is_empty() {
        missing.sort();
        warnings.push(format!("capabilities that this host cannot grant: {}", missing.join(", ")));
        process.set_capabilities(Some(launch::defaults::capabilities(&granted)));
    }
    Ok(())
}

/// The limits that this host grants: defaults are lowered and reported, explicit ones refused.
fn limits(ulimits: &[Ulimit]) -> Result<(Vec<PosixRlimit>, Vec<String>), RuntimeError> {
    let mut wanted = ulimits.to_vec();
    if !wanted.iter().any(|limit| limit.name == "nofile") {
        let (soft, hard) = OPEN_FILES;
        wanted.push(Ulimit { name: "nofile".to_owned(), soft, hard, is_explicit: false });
    }
    let (mut rlimits, mut warnings) = (Vec::new(), Vec::new());
    for Ulimit { name, soft, hard, is_explicit } in wanted {
        let Some((resource, typ)) = resource(&name) else {
            return Err(RuntimeError::Plan(format!("{name} is not the name of a ulimit")));
        };
        let granted = grant(resource, hard);
        if granted < hard {
            if is_explicit {
                let text = format!("ulimit {name}: this host grants {granted} at most, {hard} was asked for");
                return Err(RuntimeError::Limit(text));
            }
            warnings.push(format!("{name} {hard} lowered to {granted}"));
        }
        let built = PosixRlimitBuilder::default().typ(typ).hard(granted).soft(soft.min(granted));
        rlimits.push(built.build().expect("every field has a default"));
    }
    Ok((rlimits, warnings))
}

/// How much of `hard` this process may give on: tried, since only the kernel knows.
fn grant(resource: Resource, hard: u64) -> u64 {
    let now = rustix::process::getrlimit(resource);
    let Some(maximum) = now.maximum else { return hard };
    if hard <= maximum {
        return hard;
    }
    let raised = Rlimit { current: now.current, maximum: Some(hard) };
    if rustix::process::setrlimit(resource, raised).is_ok() { hard } else { maximum }
}

fn resource(name: &str) -> Option<(Resource, PosixRlimitType)> {
    Some(match name {
        "core" => (Resource::Core, PosixRlimitType::RlimitCore),
        "cpu" => (Resource::Cpu, PosixRlimitType::RlimitCpu),
        "data" => (Resource::Data, PosixRlimitType::RlimitData),
        "fsize" => (Resource::Fsize, PosixRlimitType::RlimitFsize),
        "locks" => (Resource::Locks, PosixRlimitType::RlimitLocks),
        "memlock" => (Resource::Memlock, PosixRlimitType::RlimitMemlock),
        "msgqueue" => (Resource::Msgqueue, PosixRlimitType::RlimitMsgqueue),
        "nice" => (Resource::Nice, PosixRlimitType::RlimitNice),
        "nofile" => (Resource::Nofile, PosixRlimitType::RlimitNofile),
        "nproc" => (Resource::Nproc, PosixRlimitType::RlimitNproc),
        "rss" => (Resource::Rss, PosixRlimitType::RlimitRss),
        "rtprio" => (Resource::Rtprio, PosixRlimitType::RlimitRtprio),
        "rttime" => (Resource::Rttime, PosixRlimitType::RlimitRttime),
        "sigpending" => (Resource::Sigpending, PosixRlimitType::RlimitSigpending),
        "stack" => (Resource::Stack, PosixRlimitType::RlimitStack),
        _ => return None,
    })
}
