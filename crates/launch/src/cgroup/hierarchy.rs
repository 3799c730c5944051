//! Which hierarchies are mounted, and where.

use std::fs;
use std::path::{Path, PathBuf};

use super::CgroupError;

/// One mounted hierarchy of version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// Controllers that share the mount (`cpu,cpuacct`), or the one name of a named hierarchy (`systemd`).
    pub names: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Named hierarchies count processes and limit nothing.
    pub is_named: bool,
}

/// What this machine mounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// Hierarchies of version 1, in the order of the mount table.
    pub v1: Vec<Controller>,
    /// The hierarchy of version 2: everything on modern machines, without controllers on hybrid ones.
    pub unified: Option<PathBuf>,
}

impl Hierarchies {
    /// Reads this process's mount table.
    ///
    /// # Errors
    /// [`CgroupError::NotMounted`] when there is none.
    pub fn detect() -> Result<Self, CgroupError> {
        let path = "/proc/self/mountinfo";
        let table = fs::read_to_string(path).map_err(|error| CgroupError::io("read", path, error))?;
        let found = Self::parse(&table);
        if found.v1.is_empty() && found.unified.is_none() {
            return Err(CgroupError::NotMounted);
        }
        Ok(found)
    }

    /// Whether version 2 carries the controllers.
    pub fn is_unified(&self) -> bool {
        self.unified.is_some() && self.v1.iter().all(|controller| controller.is_named)
    }

    /// Begins what the next processes to be put into groups of version 1 would have to wait for. Blocks for
    /// about ten milliseconds; for that long, and as long again, they go in at once. Does nothing where
    /// there is nothing to wait for.
    ///
    /// The kernel lets processes change groups only after an RCU grace period, which all who ask within it
    /// share. To ask is to put this process where it already is.
    pub fn hasten(&self) {
        let pid = std::process::id().to_string();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let groups = own.lines().filter_map(|line| {
            let (names, path) = line.split_once(':')?.1.split_once(':')?;
            let known = self.v1.iter().find(|known| !known.is_named && known.names.join(",") == names)?;
            Some(known.mount.join(path.trim_start_matches('/')).join("cgroup.procs"))
        });
        // Of a mount within another container the path may name a group that is not ours.
        let is_own = |procs: &PathBuf| {
            fs::read_to_string(procs).is_ok_and(|members| members.lines().any(|member| member == pid))
        };
        if let Some(procs) = groups.into_iter().find(is_own) {
            // Whoever puts a process into a group meets the same error and tells it.
            let _ = fs::write(procs, &pid);
        }
    }

    /// The mount of a controller of version 1.
    pub fn v1_mount(&self, name: &str) -> Option<&Path> {
        let found = self.v1.iter().find(|c| !c.is_named && c.names.iter().any(|known| known == name));
        found.map(|controller| controller.mount.as_path())
    }

    fn parse(table: &str) -> Self {
        let mut found = Self::default();
        for line in table.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let left: Vec<&str> = left.split(' ').collect();
            let right: Vec<&str> = right.split(' ').collect();
            let (Some(root), Some(mount), Some(kind)) = (left.get(3), left.get(4), right.first()) else {
                continue;
            };
            // A bind mount of some group's inside, for example into another container, is not the hierarchy.
            if root.starts_with("/..") || (*root != "/" && *kind == "cgroup2") {
                continue;
            }
            let mount = PathBuf::from(unescape(mount));
            match *kind {
                "cgroup2" if found.unified.is_none() => found.unified = Some(mount),
                "cgroup" => found.add_v1(right.get(2).copied().unwrap_or_default(), mount),
                _ => {}
            }
        }
        found
    }

    fn add_v1(&mut self, options: &str, mount: PathBuf) {
        let named = options.split(',').find_map(|option| option.strip_prefix("name="));
        let is_option = |word: &&str| !matches!(*word, "rw" | "ro" | "xattr" | "clone_children" | "noprefix");
        let names: Vec<String> = match named {
            Some(name) => vec![name.to_owned()],
            None => options
                .split(',')
                .filter(is_option)
                .filter(|word| !word.contains('='))
                .map(str::to_owned)
                .collect(),
        };
        if !names.is_empty() && self.v1.iter().all(|known| known.names != names) {
            self.v1.push(Controller { names, mount, is_named: named.is_some() });
        }
    }
}

/// The mount table writes blanks and backslashes in octal.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_machine() {
        let table = "\
31 25 0:27 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
33 31 0:29 / /sys/fs/cgroup/memory rw,relatime shared:4 - cgroup cgroup rw,memory
34 31 0:30 / /sys/fs/cgroup/systemd rw,relatime - cgroup systemd rw,xattr,name=systemd
35 31 0:31 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
        let found = Hierarchies::parse(table);
        assert_eq!(found.v1_mount("cpuacct"), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct")));
        assert_eq!(found.v1_mount("systemd"), None, "a named hierarchy is no controller");
        assert_eq!(found.unified.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
        assert!(!found.is_unified());
    }

    #[test]
    fn a_modern_machine() {
        let table = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        assert!(Hierarchies::parse(table).is_unified());
    }
}
