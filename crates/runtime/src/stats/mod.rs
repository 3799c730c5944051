//! What containers use, from the kernel's own counters: their control groups, their network namespaces, the
//! machine's clock of processor time.
//!
//! Ignores rates: whoever reads twice divides.

mod machine;
mod network;
mod simulated;

use base::clock;
use launch::cgroup::{Cgroup, Hierarchies};

use crate::contract::{ContainerStats, SandboxRecord};

use machine::Machine;
pub(crate) use simulated::{Limits, of as simulated};

/// The figures of the containers in `record` that run. `cgroup` is the task's group.
pub(crate) fn read(
    hierarchies: &Hierarchies,
    cgroup: &std::path::Path,
    record: &SandboxRecord,
) -> Vec<ContainerStats> {
    let running: Vec<_> = record.containers.iter().filter(|container| container.exit.is_none()).collect();
    if running.is_empty() {
        return Vec::new();
    }
    let machine = Machine::read();
    let figures = running.into_iter().filter_map(|container| {
        let group = Cgroup::open(hierarchies, &cgroup.join(&container.name)).ok()?;
        let mut figures = of(&group.stats(), &machine);
        figures.name.clone_from(&container.name);
        figures.networks = network::read(container.pid);
        figures.dropped_lines = container.dropped_lines;
        Some(figures)
    });
    figures.collect()
}

fn of(stats: &launch::cgroup::Stats, machine: &Machine) -> ContainerStats {
    ContainerStats {
        name: String::new(),
        read_at: clock::wall(),
        cpu_ns: stats.cpu_nanoseconds.unwrap_or(0),
        cpu_user_ns: stats.cpu_user_nanoseconds.unwrap_or(0),
        cpu_system_ns: stats.cpu_system_nanoseconds.unwrap_or(0),
        cpu_per_core_ns: stats.cpu_per_core_nanoseconds.clone(),
        host_cpu_ns: machine.cpu_ns,
        cores: machine.cores,
        throttled_periods: stats.throttling.throttled_periods,
        periods: stats.throttling.periods,
        throttled_ns: stats.throttling.throttled_nanoseconds,
        memory_bytes: stats.memory_bytes.unwrap_or(0),
        memory_inactive_file_bytes: stats.inactive_file_bytes.unwrap_or(0),
        memory_max_bytes: stats.memory_peak_bytes.unwrap_or(0),
        // As Docker has it: without a limit, it is the machine that limits.
        memory_limit_bytes: stats
            .memory_limit_bytes
            .map_or(machine.memory_bytes, |limit| limit.min(machine.memory_bytes)),
        memory_detail: stats.memory_detail.clone(),
        pids: stats.pids.unwrap_or(0),
        pids_limit: stats.pids_limit,
        dropped_lines: 0,
        disk_read_bytes: stats.disk_read_bytes.unwrap_or(0),
        disk_written_bytes: stats.disk_written_bytes.unwrap_or(0),
        networks: Default::default(),
    }
}
