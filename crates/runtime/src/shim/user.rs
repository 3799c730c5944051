//! What of a specification only the mounted root and this host can tell: numeric ids, the working
//! directory, limits of open files and the like.
//!
//! Invariant: nothing that an image planted leads out of its root: every path is resolved by
//! `openat2` with `RESOLVE_IN_ROOT`.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use core_lifecycle::Ulimit;
use oci_spec::runtime::{PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Spec, UserBuilder};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};

use crate::contract::RuntimeError;
use crate::protocol::Start;

/// A user database larger than this is no user database.
const MAX_DATABASE: u64 = 4 * 1024 * 1024;

/// AWS: Fargate's limit of open files, soft and hard.
const OPEN_FILES: (u64, u64) = (1024, 65_535);

/// Completes `spec` for the root that is mounted at `root`. Returns warnings.
pub(super) fn finish(spec: &mut Spec, root: &Path, start: &Start) -> Result<Vec<String>, RuntimeError> {
    let root = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| RuntimeError::host("open the root file system", e))?;
    let user = User::resolve(&root, start.user.as_deref().unwrap_or_default())?;
    let (rlimits, warnings) = limits(&start.ulimits)?;
    let Some(process) = spec.process_mut() else { return Ok(warnings) };
    make_directory(&root, process.cwd())?;
    let mut env = process.env().clone().unwrap_or_default();
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={}", user.home));
    }
    process.set_env(Some(env));
    process.set_rlimits(Some(rlimits));
    let built = UserBuilder::default().uid(user.uid).gid(user.gid).additional_gids(user.groups);
    process.set_user(built.build().expect("every field has a default"));
    Ok(warnings)
}

#[derive(Debug, PartialEq, Eq)]
struct User {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    home: String,
}

impl User {
    /// `user`, `uid`, `user:group` …, as Docker takes them; empty is root.
    fn resolve(root: &OwnedFd, text: &str) -> Result<Self, RuntimeError> {
        let passwd = database(root, "etc/passwd")?;
        let group = database(root, "etc/group")?;
        Self::of(text, &passwd, &group).map_err(RuntimeError::Plan)
    }

    fn of(text: &str, passwd: &str, group: &str) -> Result<Self, String> {
        let (user, wanted) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (text, None),
        };
        let user = if user.is_empty() { "0" } else { user };
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let by = |table: &str, column: usize, value: &str| {
            table.lines().map(fields).find(|f| f.get(column).is_some_and(|field| field == value))
        };
        let number = |f: &[String], column: usize| f.get(column).and_then(|n| n.parse::<u32>().ok());
        // A name wins over a number, as in Docker.
        let entry = by(passwd, 0, user).or_else(|| by(passwd, 2, user));
        let uid = entry.as_deref().and_then(|f| number(f, 2)).or_else(|| user.parse().ok());
        let uid = uid.ok_or_else(|| format!("unable to find user {user}: no matching entries in passwd file"))?;
        let gid = match wanted {
            Some(name) => {
                let entry = by(group, 0, name).or_else(|| by(group, 2, name));
                let gid = entry.as_deref().and_then(|f| number(f, 2)).or_else(|| name.parse().ok());
                gid.ok_or_else(|| format!("unable to find group {name}: no matching entries in group file"))?
            }
            None => entry.as_deref().and_then(|f| number(f, 3)).unwrap_or(0),
        };
        let name = entry.as_deref().and_then(|f| f.first()).cloned().unwrap_or_default();
        let is_member = |f: &Vec<String>| f.get(3).is_some_and(|list| list.split(',').any(|m| m == name));
        // As in Docker: the first group is among the others (CVE-2022-36109), and a group that was
        // asked for is the only one.
        let mut groups = vec![gid];
        if wanted.is_none() && !name.is_empty() {
            let member = group.lines().map(fields).filter(is_member).filter_map(|f| number(&f, 2));
            groups.extend(member.filter(|group| *group != gid));
        }
        let home = entry.and_then(|f| f.get(5).cloned()).filter(|home| !home.is_empty());
        Ok(User { uid, gid, groups, home: home.unwrap_or_else(|| "/".to_owned()) })
    }
}

fn inside(root: &OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// A file of the image; empty where there is none.
fn database(root: &OwnedFd, path: &str) -> Result<String, RuntimeError> {
    let host = |error: std::io::Error| RuntimeError::host(format!("read the image's /{path}"), error);
    // Not blocked by a FIFO that an image has put there.
    let file = match inside(root, Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        Err(error) => return Err(host(error.into())),
    };
    if !file.metadata().map_err(host)?.is_file() {
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    file.take(MAX_DATABASE).read_to_end(&mut bytes).map_err(host)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Makes a directory and those above it inside the root.
fn make_directory(root: &OwnedFd, path: &Path) -> Result<(), RuntimeError> {
    let host = |error: Errno| RuntimeError::host(format!("make the working directory {}", path.display()), error);
    let relative = path.strip_prefix("/").unwrap_or(path);
    let mut parent = inside(root, Path::new("."), OFlags::PATH | OFlags::DIRECTORY).map_err(host)?;
    let mut above = std::path::PathBuf::new();
    for part in relative.components() {
        above.push(part);
        let opened = match inside(root, &above, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => {
                rustix::fs::mkdirat(&parent, Path::new(part.as_os_str()), Mode::from_raw_mode(0o755))
                    .map_err(host)?;
                inside(root, &above, OFlags::PATH | OFlags::DIRECTORY)
            }
            other => other,
        };
        parent = opened.map_err(host)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv:/bin/sh\n12:x:77:78::/odd:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlogs:x:50:web,other\n";

    fn check(text: &str, uid: u32, gid: u32, groups: &[u32], home: &str) {
        let expected = User { uid, gid, groups: groups.to_vec(), home: home.to_owned() };
        assert_eq!(User::of(text, PASSWD, GROUP), Ok(expected), "{text}");
    }

    #[test]
    fn users_as_docker_takes_them() {
        check("", 0, 0, &[0], "/root");
        check("web", 33, 34, &[34, 50], "/srv");
        check("33", 33, 34, &[34, 50], "/srv");
        check("web:logs", 33, 50, &[50], "/srv");
        check("33:7", 33, 7, &[7], "/srv");
        check("4000", 4000, 0, &[0], "/");
        check("4000:web", 4000, 34, &[34], "/");
        check(":logs", 0, 50, &[50], "/root");
        // A name of digits wins over the number.
        check("12", 77, 78, &[78], "/odd");
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(User::of("nobody", PASSWD, GROUP).is_err());
        assert!(User::of("web:nope", PASSWD, GROUP).is_err());
    }
}
