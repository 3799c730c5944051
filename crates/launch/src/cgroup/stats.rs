//! Counters of a group.

use std::fs;

use super::{Cgroup, CgroupError};

/// What a group uses at one moment. `None`: this machine does not count it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of memory, page cache included.
    pub memory_bytes: Option<u64>,
    /// Bytes of page cache that would be reclaimed first; `docker stats` takes them off.
    pub inactive_file_bytes: Option<u64>,
    /// The limit in bytes; `None` when there is none.
    pub memory_limit_bytes: Option<u64>,
    /// The highest value that `memory_bytes` had.
    pub memory_peak_bytes: Option<u64>,
    /// Processor time used, nanoseconds.
    pub cpu_nanoseconds: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// Version 1 spells "no limit" as the largest multiple of a page.
const NO_LIMIT: u64 = i64::MAX as u64 / 2;

impl Cgroup {
    /// Reads the counters.
    pub fn stats(&self) -> Stats {
        let number = |controller: &str, v1: &str, v2: &str| {
            let text = self.read(controller, if self.hierarchies.is_unified() { v2 } else { v1 })?;
            text.trim().parse::<u64>().ok()
        };
        let limit = number("memory", "memory.limit_in_bytes", "memory.max");
        let inactive = if self.hierarchies.is_unified() { "inactive_file" } else { "total_inactive_file" };
        Stats {
            memory_bytes: number("memory", "memory.usage_in_bytes", "memory.current"),
            inactive_file_bytes: self.field("memory", "memory.stat", inactive),
            memory_limit_bytes: limit.filter(|limit| *limit < NO_LIMIT),
            memory_peak_bytes: number("memory", "memory.max_usage_in_bytes", "memory.peak"),
            cpu_nanoseconds: if self.hierarchies.is_unified() {
                self.field("cpu", "cpu.stat", "usage_usec").map(|us| us * 1000)
            } else {
                number("cpuacct", "cpuacct.usage", "")
            },
            pids: number("pids", "pids.current", "pids.current"),
        }
    }

    /// How many of its processes the kernel has killed for want of memory. A rise between start and exit
    /// says `OutOfMemoryError`; read it before the group is removed.
    ///
    /// A kill for the limit of a group above is counted where the victim was. Version 1 counts the group's
    /// own processes only, version 2 those of the groups below too.
    ///
    /// # Errors
    /// [`CgroupError::Missing`] where memory is not counted.
    pub fn oom_kills(&self) -> Result<u64, CgroupError> {
        let file = if self.hierarchies.is_unified() { "memory.events" } else { "memory.oom_control" };
        self.field("memory", file, "oom_kill")
            .ok_or(CgroupError::Missing { field: "oom_kill", controller: "memory" })
    }

    fn read(&self, controller: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.directory(controller)?.join(file)).ok()
    }

    /// One line of a file of the form `name value`.
    fn field(&self, controller: &str, file: &str, name: &str) -> Option<u64> {
        let text = self.read(controller, file)?;
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
        text.lines().find_map(value)
    }
}
