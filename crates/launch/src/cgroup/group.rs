//! One group: the same path in every hierarchy.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};
use rustix::thread::{NanosleepRelativeResult, nanosleep};
use rustix::time::Timespec;

use super::{CgroupError, Hierarchies};

/// Controllers that a group of version 2 asks of its parents.
const WANTED: [&str; 6] = ["cpu", "cpuset", "io", "memory", "pids", "hugetlb"];

/// Where processes of a container's root group go, next to our groups.
const DISPLACED: &str = "init";

/// How often a removal is tried: with the pauses between, about a second.
const REMOVAL_ATTEMPTS: u32 = 11;

/// A group that exists. Dropping it leaves it in place.
#[derive(Debug, Clone)]
pub struct Cgroup {
    pub(super) hierarchies: Hierarchies,
    /// Relative to each hierarchy's mount, without a leading slash.
    path: PathBuf,
}

impl Cgroup {
    /// Makes the group and its missing parents, in every hierarchy. One that exists is taken as it is.
    ///
    /// `path` is relative to the mounts (a leading slash is dropped): `boxship-1f/task/container`.
    ///
    /// # Errors
    /// [`CgroupError::Path`] for one with `..`; [`CgroupError::Io`] where the kernel refuses.
    pub fn create(hierarchies: &Hierarchies, path: &Path) -> Result<Self, CgroupError> {
        let group = Self::open(hierarchies, path)?;
        for controller in &hierarchies.v1 {
            let is_cpuset = controller.names.iter().any(|name| name == "cpuset");
            let mut dir = controller.mount.clone();
            for part in group.path.components() {
                dir.push(part);
                make(&dir)?;
                if is_cpuset {
                    inherit_cpuset(&dir)?;
                }
            }
        }
        if let Some(mount) = &hierarchies.unified {
            let mut dir = mount.clone();
            for part in group.path.components() {
                if hierarchies.is_unified() {
                    match hand_down_controllers(&dir) {
                        Err(error) if error.is_busy() && dir == *mount => {
                            clear_out(mount)?;
                            hand_down_controllers(&dir)?;
                        }
                        handed => handed?,
                    }
                }
                dir.push(part);
                make(&dir)?;
            }
        }
        Ok(group)
    }

    /// Names a group without looking whether it exists.
    ///
    /// # Errors
    /// [`CgroupError::Path`] for an empty path or one with `..`.
    pub fn open(hierarchies: &Hierarchies, path: &Path) -> Result<Self, CgroupError> {
        let is_plain = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::RootDir);
        let relative = path.strip_prefix("/").unwrap_or(path).to_path_buf();
        if relative.as_os_str().is_empty() || !path.components().all(|part| is_plain(&part)) {
            return Err(CgroupError::Path { path: path.to_path_buf() });
        }
        Ok(Self { hierarchies: hierarchies.clone(), path: relative })
    }

    /// The path below every mount, without a leading slash.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The hierarchies in which it lies.
    pub fn hierarchies(&self) -> &Hierarchies {
        &self.hierarchies
    }

    /// Whether it is there, in any hierarchy.
    pub fn exists(&self) -> bool {
        self.directories().iter().any(|dir| dir.exists())
    }

    /// Every directory of the group.
    pub fn directories(&self) -> Vec<PathBuf> {
        let mounts = self.hierarchies.v1.iter().map(|controller| &controller.mount);
        mounts.chain(&self.hierarchies.unified).map(|mount| mount.join(&self.path)).collect()
    }

    /// Its directory in the hierarchy that has `controller` (a name of version 1: `memory`, `cpu`, `pids`).
    pub(super) fn directory(&self, controller: &str) -> Option<PathBuf> {
        if self.hierarchies.is_unified() {
            return self.unified();
        }
        self.hierarchies.v1_mount(controller).map(|mount| mount.join(&self.path))
    }

    /// Its directory in the hierarchy of version 2.
    pub(super) fn unified(&self) -> Option<PathBuf> {
        self.hierarchies.unified.as_ref().map(|mount| mount.join(&self.path))
    }

    /// A descriptor of the directory in the hierarchy of version 2, into which a process can be cloned.
    pub(crate) fn unified_fd(&self) -> Result<Option<OwnedFd>, CgroupError> {
        let Some(dir) = self.unified() else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&dir, flags, Mode::empty());
        fd.map(Some).map_err(|error| CgroupError::io("open", dir, error))
    }

    /// Puts a process into the hierarchies of version 1; a clone is in that of version 2 from birth.
    pub(crate) fn add_v1(&self, pid: Pid) -> Result<(), CgroupError> {
        for controller in &self.hierarchies.v1 {
            join(&controller.mount.join(&self.path), pid)?;
        }
        Ok(())
    }

    /// Puts a process into the group, in every hierarchy.
    ///
    /// # Errors
    /// [`CgroupError::Io`] where the kernel refuses, for example when the process has ended.
    pub fn add(&self, pid: Pid) -> Result<(), CgroupError> {
        self.add_v1(pid)?;
        self.unified().map_or(Ok(()), |dir| join(&dir, pid))
    }

    /// The processes in it, those of groups below left out.
    ///
    /// # Errors
    /// [`CgroupError::Io`] when it is gone.
    pub fn processes(&self) -> Result<Vec<Pid>, CgroupError> {
        let dir = self.directory("pids").or_else(|| self.directories().into_iter().next());
        let path = dir.ok_or(CgroupError::NotMounted)?.join("cgroup.procs");
        let text = fs::read_to_string(&path).map_err(|error| CgroupError::io("read", path, error))?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw).collect())
    }

    /// Kills every process in it, and below it where the kernel has `cgroup.kill`.
    ///
    /// # Errors
    /// [`CgroupError::Io`] where the kernel refuses. A group that is gone is no error.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        if let Some(kill) = self.unified().map(|dir| dir.join("cgroup.kill"))
            && kill.exists()
        {
            return write(&kill, "1");
        }
        // Frozen processes cannot fork while they are counted; the signal is delivered when they thaw.
        let freezer = self.hierarchies.v1_mount("freezer").map(|mount| mount.join(&self.path));
        let state = freezer.map(|dir| dir.join("freezer.state")).filter(|path| path.exists());
        if let Some(state) = &state {
            write(state, "FROZEN")?;
        }
        let killed = self.processes();
        for pid in killed.iter().flatten() {
            // One that ended in between is what we want.
            let _ = rustix::process::kill_process(*pid, Signal::KILL);
        }
        state.map_or(Ok(()), |state| write(&state, "THAWED"))
    }

    /// Removes the group where it has neither processes nor groups below; says nothing where it has.
    pub fn remove_if_empty(&self) {
        for dir in self.directories() {
            let _ = fs::remove_dir(dir);
        }
    }

    /// Removes the group and the groups below it. Waits up to about a second for dying processes to leave.
    ///
    /// # Errors
    /// [`CgroupError::Busy`] when processes stay; [`CgroupError::Io`] otherwise. One that is gone is no error.
    pub fn remove(&self) -> Result<(), CgroupError> {
        self.directories().iter().try_for_each(|dir| remove(dir))
    }
}

fn make(dir: &Path) -> Result<(), CgroupError> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(CgroupError::io("make", dir, error)),
        _ => Ok(()),
    }
}

pub(super) fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    let opened = fs::OpenOptions::new().write(true).open(path);
    opened
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|error| CgroupError::io(format!("write {value:?} to"), path, error))
}

fn join(dir: &Path, pid: Pid) -> Result<(), CgroupError> {
    write(&dir.join("cgroup.procs"), &pid.as_raw_nonzero().to_string())
}

/// A cpuset of version 1 is born empty and takes no process until it has processors and memory nodes.
fn inherit_cpuset(dir: &Path) -> Result<(), CgroupError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let read =
            |path: PathBuf| fs::read_to_string(&path).map_err(|error| CgroupError::io("read", path, error));
        if read(dir.join(file))?.trim().is_empty() {
            let parent = dir.parent().expect("a group lies below its mount");
            write(&dir.join(file), read(parent.join(file))?.trim())?;
        }
    }
    Ok(())
}

/// Version 2 offers a controller to a group only if its parent hands it down.
fn hand_down_controllers(dir: &Path) -> Result<(), CgroupError> {
    let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
    let (offered, handed) = (read("cgroup.controllers"), read("cgroup.subtree_control"));
    let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
    let missing = WANTED.iter().filter(|name| has(&offered, name) && !has(&handed, name));
    let request: Vec<String> = missing.map(|name| format!("+{name}")).collect();
    if request.is_empty() { Ok(()) } else { write(&dir.join("cgroup.subtree_control"), &request.join(" ")) }
}

/// Version 2: a group hands controllers down or has processes, never both. Only the machine's own root is
/// exempt; the root that a container sees holds at least us. Its processes go to a group beside those that
/// we make, as other engines in containers do.
fn clear_out(mount: &Path) -> Result<(), CgroupError> {
    let home = mount.join(DISPLACED);
    make(&home)?;
    let procs = mount.join("cgroup.procs");
    for _ in 0..REMOVAL_ATTEMPTS {
        let text = fs::read_to_string(&procs).map_err(|error| CgroupError::io("read", &procs, error))?;
        // Those of another PID namespace have no number here.
        let found: Vec<Pid> =
            text.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw).collect();
        if found.is_empty() {
            break;
        }
        for pid in found {
            // One that ended in between is no longer in the way.
            let _ = join(&home, pid);
        }
    }
    Ok(())
}

fn remove(dir: &Path) -> Result<(), CgroupError> {
    for attempt in 0..REMOVAL_ATTEMPTS {
        match fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.raw_os_error() != Some(libc::EBUSY) => {
                return Err(CgroupError::io("remove", dir, error));
            }
            Err(_) => remove_below(dir)?,
        }
        pause(1 << attempt);
    }
    Err(CgroupError::Busy { path: dir.to_path_buf() })
}

fn remove_below(dir: &Path) -> Result<(), CgroupError> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.flatten().filter(is_dir).try_for_each(|entry| remove(&entry.path()))
}

/// Nothing wakes one who waits for a group of version 1 to empty.
fn pause(milliseconds: i64) {
    let mut left = Timespec { tv_sec: 0, tv_nsec: milliseconds.min(250) * 1_000_000 };
    while let NanosleepRelativeResult::Interrupted(rest) = nanosleep(&left) {
        left = rest;
    }
}
