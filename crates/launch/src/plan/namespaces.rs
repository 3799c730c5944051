//! Which namespaces are made and which are joined.

use std::fs::File;
use std::os::fd::OwnedFd;

use oci_spec::runtime::{Linux, LinuxNamespaceType};

use crate::LaunchError;

/// A namespace to join.
#[derive(Debug)]
pub struct Join {
    pub fd: OwnedFd,
    /// `CLONE_NEW*` of its kind; the kernel checks it.
    pub kind: i32,
    /// For error texts.
    pub path: String,
}

/// The namespaces of a container.
#[derive(Debug)]
pub struct Namespaces {
    /// `CLONE_NEW*` for the clone: all that are made, but for the cgroup namespace, whose root must be the
    /// group that the container is put into first.
    pub clone_flags: u64,
    pub makes_cgroup: bool,
    pub joins: Vec<Join>,
    /// Joined by the parent around the clone: it holds for children only.
    pub pid: Option<Join>,
}

impl Namespaces {
    pub fn new(linux: &Linux) -> Result<Self, LaunchError> {
        let mut found = Self { clone_flags: 0, makes_cgroup: false, joins: Vec::new(), pid: None };
        let mut seen = 0;
        for (at, namespace) in linux.namespaces().iter().flatten().enumerate() {
            let field = format!("linux.namespaces[{at}]");
            let kind = namespace.typ() as i32;
            if seen & kind != 0 {
                return Err(LaunchError::invalid(field, "its type is listed twice"));
            }
            seen |= kind;
            let path = namespace.path().as_ref().filter(|path| !path.as_os_str().is_empty());
            match (namespace.typ(), path) {
                (LinuxNamespaceType::User | LinuxNamespaceType::Time, _) => {
                    return Err(LaunchError::unsupported(field, "user and time namespaces are not made yet"));
                }
                (LinuxNamespaceType::Mount, Some(_)) => {
                    return Err(LaunchError::unsupported(field, "a mount namespace cannot be shared"));
                }
                (LinuxNamespaceType::Cgroup, None) => found.makes_cgroup = true,
                (_, None) => found.clone_flags |= kind as u64,
                (typ, Some(path)) => {
                    let name = path.display().to_string();
                    let opened = File::open(path).map_err(|error| {
                        LaunchError::invalid(format!("{field}.path"), format!("{name}: {error}"))
                    })?;
                    let join = Join { fd: opened.into(), kind, path: name };
                    match typ {
                        LinuxNamespaceType::Pid => found.pid = Some(join),
                        _ => found.joins.push(join),
                    }
                }
            }
        }
        if seen & libc::CLONE_NEWNS == 0 {
            return Err(LaunchError::unsupported("linux.namespaces", "a container has a mount namespace"));
        }
        Ok(found)
    }

    /// Whether the container has a namespace of this kind that is not the launcher's.
    pub fn has(&self, kind: i32) -> bool {
        self.clone_flags & kind as u64 != 0 || self.joins.iter().any(|join| join.kind == kind)
    }
}
