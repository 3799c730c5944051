//! Devices of the host, by path: what number each has, and what else of it a container needs.

use std::path::{Path, PathBuf};

use core_lifecycle::Device;
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};
use rustix::fs::{FileType, Stat};

use crate::contract::RuntimeError;

/// Devices to make, and rules that let them be used.
#[derive(Default)]
pub(super) struct Devices {
    pub nodes: Vec<LinuxDevice>,
    pub rules: Vec<LinuxDeviceCgroup>,
}

const COMPLETE: &str = "every field is given or has a default";

/// As in Docker: these of `/dev` belong to a container itself, or to the host's own engines.
const NOT_SHARED: [&str; 8] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"];

impl Devices {
    /// One device, or all in a directory.
    pub fn add(&mut self, wanted: &Device) -> Result<(), RuntimeError> {
        let Device { host_path, container_path, permissions } = wanted;
        let failed = |why: &str| {
            // AWS: Docker's words, which ECS passes on.
            let doing = "error gathering device information while adding custom device";
            RuntimeError::Plan(format!("{doing} {host_path:?}: {why}"))
        };
        let path = if container_path.is_empty() { host_path } else { container_path };
        let access = if permissions.is_empty() { "rwm" } else { permissions };
        if !access.chars().all(|letter| "rwm".contains(letter)) || !path.starts_with('/') {
            return Err(failed("its path or permissions are not valid"));
        }
        let missing = |_| failed("no such file or directory");
        let found = std::fs::canonicalize(host_path).map_err(missing)?;
        let stat = rustix::fs::stat(&found).map_err(|e| failed(&e.to_string()))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let before = self.nodes.len();
                self.add_all(&found, Path::new(path), access);
                if self.nodes.len() == before { Err(failed("not a device node")) } else { Ok(()) }
            }
            _ if self.push(Path::new(path), &stat, access) => Ok(()),
            _ => Err(failed("not a device node")),
        }
    }

    /// Every device of the host, and the right to use any other.
    pub fn add_host(&mut self) {
        self.add_all(Path::new("/dev"), Path::new("/dev"), "rwm");
        let all = LinuxDeviceCgroupBuilder::default().allow(true).typ(LinuxDeviceType::A).access("rwm");
        self.rules = vec![all.build().expect(COMPLETE)];
    }

    fn add_all(&mut self, host: &Path, container: &Path, access: &str) {
        let mut directories: Vec<(PathBuf, PathBuf)> = vec![(host.into(), container.into())];
        while let Some((host, container)) = directories.pop() {
            for entry in std::fs::read_dir(&host).into_iter().flatten().flatten() {
                let name = entry.file_name();
                if name.to_str().is_some_and(|name| NOT_SHARED.contains(&name)) {
                    continue;
                }
                let Ok(stat) = rustix::fs::lstat(entry.path()) else { continue };
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => directories.push((entry.path(), container.join(name))),
                    _ => drop(self.push(&container.join(name), &stat, access)),
                }
            }
        }
    }

    fn push(&mut self, path: &Path, stat: &Stat, access: &str) -> bool {
        let typ = match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice => LinuxDeviceType::C,
            FileType::BlockDevice => LinuxDeviceType::B,
            _ => return false,
        };
        let number = |value: u32| i64::from(value);
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let node = LinuxDeviceBuilder::default()
            .path(path)
            .typ(typ)
            .major(number(major))
            .minor(number(minor))
            .file_mode(stat.st_mode & 0o777)
            .uid(stat.st_uid)
            .gid(stat.st_gid);
        self.nodes.push(node.build().expect(COMPLETE));
        let rule = LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(typ)
            .major(number(major))
            .minor(number(minor))
            .access(access);
        self.rules.push(rule.build().expect(COMPLETE));
        true
    }
}
