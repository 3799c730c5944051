//! Counters of a group.

use std::collections::BTreeMap;
use std::fs;

use super::{Cgroup, CgroupError};

/// What a group uses at one moment. `None`: this machine does not count it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of memory, page cache included.
    pub memory_bytes: Option<u64>,
    /// Bytes of page cache that would be reclaimed first; `docker stats` takes them off.
    pub inactive_file_bytes: Option<u64>,
    /// The limit in bytes, that of the groups above included; `None` when there is none.
    pub memory_limit_bytes: Option<u64>,
    /// The highest value that `memory_bytes` had.
    pub memory_peak_bytes: Option<u64>,
    /// `memory.stat`, as the kernel names it.
    pub memory_detail: BTreeMap<String, u64>,
    /// Processor time used, nanoseconds.
    pub cpu_nanoseconds: Option<u64>,
    /// The parts of it in programs and in the kernel.
    pub cpu_user_nanoseconds: Option<u64>,
    pub cpu_system_nanoseconds: Option<u64>,
    /// By processor; version 2 does not tell.
    pub cpu_per_core_nanoseconds: Vec<u64>,
    pub throttling: Throttling,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// How many there may be; `None` when there is no limit.
    pub pids_limit: Option<u64>,
    /// Bytes read from and written to block devices.
    pub disk_read_bytes: Option<u64>,
    pub disk_written_bytes: Option<u64>,
}

/// How a group's processor quota acted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Throttling {
    pub periods: u64,
    /// Periods in which the quota was used up, and how long it was waited for then.
    pub throttled_periods: u64,
    pub throttled_nanoseconds: u64,
}

/// Version 1 spells "no limit" as the largest multiple of a page.
const NO_LIMIT: u64 = i64::MAX as u64 / 2;

impl Cgroup {
    /// Reads the counters.
    pub fn stats(&self) -> Stats {
        let mut stats = if self.hierarchies.is_unified() { self.stats_v2() } else { self.stats_v1() };
        stats.pids = self.number("pids", "pids.current");
        stats.pids_limit = self.number("pids", "pids.max");
        stats
    }

    fn stats_v1(&self) -> Stats {
        let memory_detail = self.fields("memory", "memory.stat");
        let cpu = self.fields("cpu", "cpu.stat");
        let per_core = self.read("cpuacct", "cpuacct.usage_percpu").unwrap_or_default();
        let disks = self.read("blkio", "blkio.throttle.io_service_bytes_recursive");
        let disk = |kind: &str| disks.as_ref().map(|text| disk_v1(text, kind));
        Stats {
            memory_bytes: self.number("memory", "memory.usage_in_bytes"),
            inactive_file_bytes: memory_detail.get("total_inactive_file").copied(),
            memory_limit_bytes: memory_detail
                .get("hierarchical_memory_limit")
                .copied()
                .filter(|limit| *limit < NO_LIMIT),
            memory_peak_bytes: self.number("memory", "memory.max_usage_in_bytes"),
            memory_detail,
            cpu_nanoseconds: self.number("cpuacct", "cpuacct.usage"),
            cpu_user_nanoseconds: self.number("cpuacct", "cpuacct.usage_user"),
            cpu_system_nanoseconds: self.number("cpuacct", "cpuacct.usage_sys"),
            cpu_per_core_nanoseconds: per_core.split_whitespace().filter_map(|n| n.parse().ok()).collect(),
            throttling: Throttling {
                periods: cpu.get("nr_periods").copied().unwrap_or(0),
                throttled_periods: cpu.get("nr_throttled").copied().unwrap_or(0),
                throttled_nanoseconds: cpu.get("throttled_time").copied().unwrap_or(0),
            },
            disk_read_bytes: disk("Read"),
            disk_written_bytes: disk("Write"),
            ..Stats::default()
        }
    }

    fn stats_v2(&self) -> Stats {
        let memory_detail = self.fields("memory", "memory.stat");
        let cpu = self.fields("cpu", "cpu.stat");
        let nanoseconds = |name: &str| cpu.get(name).map(|us| us * 1000);
        let disks = self.read("io", "io.stat");
        let disk = |kind: &str| disks.as_ref().map(|text| disk_v2(text, kind));
        Stats {
            memory_bytes: self.number("memory", "memory.current"),
            inactive_file_bytes: memory_detail.get("inactive_file").copied(),
            memory_limit_bytes: self.limit_above(),
            memory_peak_bytes: self.number("memory", "memory.peak"),
            memory_detail,
            cpu_nanoseconds: nanoseconds("usage_usec"),
            cpu_user_nanoseconds: nanoseconds("user_usec"),
            cpu_system_nanoseconds: nanoseconds("system_usec"),
            throttling: Throttling {
                periods: cpu.get("nr_periods").copied().unwrap_or(0),
                throttled_periods: cpu.get("nr_throttled").copied().unwrap_or(0),
                throttled_nanoseconds: nanoseconds("throttled_usec").unwrap_or(0),
            },
            disk_read_bytes: disk("rbytes="),
            disk_written_bytes: disk("wbytes="),
            ..Stats::default()
        }
    }

    /// Version 2: the lowest limit of the group and those above it.
    fn limit_above(&self) -> Option<u64> {
        let mount = self.hierarchies.unified.as_ref()?;
        let groups = self.path().ancestors().filter(|path| !path.as_os_str().is_empty());
        let limit = |text: String| text.trim().parse().ok();
        groups.filter_map(|path| limit(fs::read_to_string(mount.join(path).join("memory.max")).ok()?)).min()
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

    fn number(&self, controller: &str, file: &str) -> Option<u64> {
        self.read(controller, file)?.trim().parse().ok()
    }

    /// A file of lines `name value`.
    fn fields(&self, controller: &str, file: &str) -> BTreeMap<String, u64> {
        let text = self.read(controller, file).unwrap_or_default();
        let field = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        };
        text.lines().filter_map(field).collect()
    }

    /// One line of a file of the form `name value`.
    fn field(&self, controller: &str, file: &str, name: &str) -> Option<u64> {
        let text = self.read(controller, file)?;
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
        text.lines().find_map(value)
    }
}

/// Lines `8:0 Read 4096`.
fn disk_v1(text: &str, kind: &str) -> u64 {
    let amount = |line: &str| {
        let mut words = line.split(' ').skip(1);
        words.next().filter(|word| *word == kind)?;
        words.next()?.trim().parse::<u64>().ok()
    };
    text.lines().filter_map(amount).sum()
}

/// Lines `8:0 rbytes=4096 wbytes=0 rios=1 …`.
fn disk_v2(text: &str, kind: &str) -> u64 {
    text.split_whitespace().filter_map(|word| word.strip_prefix(kind)?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_all_disks() {
        let v1 = "8:0 Read 4096\n8:0 Write 10\n8:0 Total 4106\n8:16 Read 4\nTotal 4110\n";
        assert_eq!((disk_v1(v1, "Read"), disk_v1(v1, "Write")), (4100, 10));
        let v2 = "8:0 rbytes=4096 wbytes=10 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=4 wbytes=0\n";
        assert_eq!((disk_v2(v2, "rbytes="), disk_v2(v2, "wbytes=")), (4100, 10));
    }
}
