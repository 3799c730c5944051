//! Who a container runs as: `user`, `uid`, `user:group`, `uid:gid` against the image's own files.
//!
//! Invariant: the files are read within the root file system, whatever links lie there, and only
//! so much of them.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Bytes of a passwd or group file.
const MAX_FILE: u64 = 8 << 20;
const MAX_GROUPS: usize = 1024;
/// The kernel reserves the last value, and the specification's runtimes stop at 2³¹ - 1.
const MAX_ID: u32 = i32::MAX as u32;

/// A user in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub additional_gids: Vec<u32>,
    /// From the passwd file, or `/`.
    pub home: String,
}

#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
    #[error("uids and gids must be in range 0-{MAX_ID}: {0}")]
    Range(String),
    #[error("{path} is no regular file of at most {MAX_FILE} bytes")]
    File { path: &'static str },
    #[error("cannot read {path}")]
    Io {
        path: &'static str,
        #[source]
        source: std::io::Error,
    },
}

/// Resolves `spec` (empty: root) in the root file system `root`. Missing files count as empty.
/// Blocking.
pub fn resolve_user(root: impl AsFd, spec: &str) -> Result<User, UserError> {
    let passwd = read(root.as_fd(), "/etc/passwd")?;
    let group = read(root.as_fd(), "/etc/group")?;
    resolve(spec, &passwd, &group)
}

/// Resolves `spec` against the contents of a passwd and a group file. Malformed lines are skipped.
pub fn resolve(spec: &str, passwd: &[u8], group: &[u8]) -> Result<User, UserError> {
    let (name, group_name) = match spec.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|g| !g.is_empty())),
        None => (spec, None),
    };
    let numeric = number(name)?;
    let wanted = if name.is_empty() { Some(0) } else { numeric };
    // A name of digits is tried as a name first, as Docker does.
    let found =
        lines(passwd).filter_map(passwd_entry).find(|entry| entry.name == name || Some(entry.uid) == wanted);
    let mut user = match (&found, wanted) {
        (Some(entry), _) => {
            User { uid: entry.uid, gid: entry.gid, additional_gids: Vec::new(), home: entry.home.to_owned() }
        }
        (None, Some(uid)) => User { uid, gid: 0, additional_gids: Vec::new(), home: String::new() },
        (None, None) => return Err(UserError::NoUser(name.to_owned())),
    };
    if user.home.is_empty() {
        user.home = String::from("/");
    }
    match (group_name, &found) {
        (Some(group_name), _) => user.gid = find_group(group_name, group)?,
        (None, Some(entry)) => user.additional_gids = groups_of(entry.name, group),
        (None, None) => {}
    }
    Ok(user)
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn passwd_entry(line: &str) -> Option<PasswdEntry<'_>> {
    let fields: Vec<&str> = line.split(':').collect();
    let name = *fields.first().filter(|name| !name.is_empty())?;
    let home = fields.get(5).copied().unwrap_or_default();
    Some(PasswdEntry { name, uid: id(fields.get(2)?)?, gid: id(fields.get(3)?)?, home })
}

/// Name, gid, members.
fn group_entry(line: &str) -> Option<(&str, u32, &str)> {
    let fields: Vec<&str> = line.split(':').collect();
    let name = *fields.first().filter(|name| !name.is_empty())?;
    Some((name, id(fields.get(2)?)?, fields.get(3).copied().unwrap_or_default()))
}

fn find_group(name: &str, group: &[u8]) -> Result<u32, UserError> {
    let numeric = number(name)?;
    let found =
        lines(group).filter_map(group_entry).find(|(known, gid, _)| *known == name || Some(*gid) == numeric);
    found.map(|(_, gid, _)| gid).or(numeric).ok_or_else(|| UserError::NoGroup(name.to_owned()))
}

fn groups_of(user: &str, group: &[u8]) -> Vec<u32> {
    let is_member = |members: &str| members.split(',').any(|member| member == user);
    let entries = lines(group).filter_map(group_entry).filter(|(_, _, members)| is_member(members));
    entries.map(|(_, gid, _)| gid).take(MAX_GROUPS).collect()
}

fn lines(file: &[u8]) -> impl Iterator<Item = &str> {
    file.split(|&b| b == b'\n').filter_map(|line| std::str::from_utf8(line).ok()).map(str::trim)
}

fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|&id| id <= MAX_ID)
}

/// None for a name.
fn number(text: &str) -> Result<Option<u32>, UserError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    id(text).map(Some).ok_or_else(|| UserError::Range(text.chars().take(40).collect()))
}

fn read(root: impl AsFd, path: &'static str) -> Result<Vec<u8>, UserError> {
    // Not waiting: a fifo in its place must not hold us up.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let fd: OwnedFd = match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
        // A device without a driver, a socket, a loop of links.
        Err(Errno::NXIO | Errno::LOOP) => return Err(UserError::File { path }),
        other => other.map_err(|e| UserError::Io { path, source: e.into() })?,
    };
    let stat = rustix::fs::fstat(&fd).map_err(|e| UserError::Io { path, source: e.into() })?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_size as u64 > MAX_FILE {
        return Err(UserError::File { path });
    }
    let mut bytes = Vec::new();
    std::fs::File::from(fd)
        .take(MAX_FILE)
        .read_to_end(&mut bytes)
        .map_err(|source| UserError::Io { path, source })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] =
        b"root:x:0:0:root:/root:/bin/sh\nbroken\n\xff\nweb:x:33:34:web:/srv:/bin/sh\n77:x:5:6::/n:\n";
    const GROUP: &[u8] = b"root:x:0:\nwheel:x:10:root,web\nweb:x:34:\nlogs:x:40:web\n";

    fn check(spec: &str, uid: u32, gid: u32, groups: &[u32]) {
        let user = resolve(spec, PASSWD, GROUP).unwrap();
        assert_eq!((user.uid, user.gid, &user.additional_gids[..]), (uid, gid, groups), "{spec}");
    }

    #[test]
    fn users_are_found_as_docker_finds_them() {
        check("", 0, 0, &[10]);
        check("root", 0, 0, &[10]);
        check("web", 33, 34, &[10, 40]);
        check("33", 33, 34, &[10, 40]);
        check("web:logs", 33, 40, &[]);
        check("web:99", 33, 99, &[]);
        check("1000", 1000, 0, &[]);
        check("1000:1001", 1000, 1001, &[]);
        check("77", 5, 6, &[]);
        assert_eq!(resolve("web", PASSWD, GROUP).unwrap().home, "/srv");
        assert_eq!(resolve("1000", b"", b"").unwrap().home, "/");
    }

    #[test]
    fn unknown_users_are_refused() {
        assert!(matches!(resolve("nobody", PASSWD, GROUP), Err(UserError::NoUser(_))));
        assert!(matches!(resolve("web:nogroup", PASSWD, GROUP), Err(UserError::NoGroup(_))));
        assert!(matches!(resolve("4294967295", PASSWD, GROUP), Err(UserError::Range(_))));
        assert!(matches!(resolve("-1", PASSWD, GROUP), Err(UserError::NoUser(_))));
    }
}
