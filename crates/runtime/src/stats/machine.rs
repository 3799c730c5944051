//! What the machine as a whole has and has used.

/// Counters of all processors, and the memory that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Machine {
    /// Processor time that has passed, idle or not, in nanoseconds.
    pub cpu_ns: u64,
    pub cores: u32,
    pub memory_bytes: u64,
}

/// The kernel shows processor time in hundredths of a second, on every architecture.
const TICK_NS: u64 = 10_000_000;

impl Machine {
    /// As of now; zeros where the kernel does not tell.
    pub fn read() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Machine { memory_bytes: memory(&text("/proc/meminfo")), ..Machine::of(&text("/proc/stat")) }
    }

    fn of(stat: &str) -> Self {
        let lines = || stat.lines().take_while(|line| line.starts_with("cpu"));
        let cores = lines().skip(1).count() as u32;
        // As Docker counts: user, nice, system, idle, iowait, irq, softirq.
        let all = lines().next().unwrap_or_default();
        let ticks: u64 = all.split_whitespace().skip(1).take(7).filter_map(|n| n.parse::<u64>().ok()).sum();
        Machine { cpu_ns: ticks * TICK_NS, cores, memory_bytes: 0 }
    }
}

fn memory(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_of_two_cores() {
        let stat = "cpu  10 1 20 300 5 0 4 99 0 0\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\nctxt 6\n";
        assert_eq!(Machine::of(stat), Machine { cpu_ns: 340 * TICK_NS, cores: 2, memory_bytes: 0 });
        assert_eq!(memory("MemTotal:        2048 kB\nMemFree: 1 kB\n"), 2 << 20);
    }
}
