//! Figures of containers that do not exist: what their directions say, in percent of their limits.

use std::time::Duration;

use base::Timestamp;
use core_lifecycle::simulate::Directions;
use serde::{Deserialize, Serialize};

use crate::contract::{ContainerRecord, ContainerStats};
use crate::plan::TaskSandbox;

/// A container's own limits, or those in force; 0 units and no memory: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub cpu_units: u32,
    pub memory_mib: Option<u32>,
}

/// The machine that is simulated: two processors, 8 GiB.
const CORES: u32 = 2;
const MEMORY_MIB: u32 = 8192;

const UNITS_PER_CORE: u64 = 1024;

impl Limits {
    /// What holds for a container with these limits of its own: else the task's, else the machine's.
    pub fn within(self, sandbox: &TaskSandbox) -> Limits {
        let units = Some(self.cpu_units).filter(|units| *units > 0).or(sandbox.cpu_units);
        Limits {
            cpu_units: units.unwrap_or(CORES * UNITS_PER_CORE as u32),
            memory_mib: Some(self.memory_mib.or(sandbox.memory_mib).unwrap_or(MEMORY_MIB)),
        }
    }
}

/// The figures at `now` of a container that runs. Processor time advances evenly from its start on.
pub(crate) fn of(
    container: &ContainerRecord,
    directions: &Directions,
    limits: Limits,
    now: Timestamp,
) -> ContainerStats {
    let percent = |percent: Option<u32>| u64::from(percent.unwrap_or(0));
    let cpu_ns = share(now.since(container.started_at), limits.cpu_units, percent(directions.cpu_percent));
    let limit = u64::from(limits.memory_mib.unwrap_or(MEMORY_MIB)) << 20;
    let memory = limit / 100 * percent(directions.memory_percent);
    ContainerStats {
        name: container.name.clone(),
        read_at: now,
        cpu_ns,
        cpu_user_ns: cpu_ns,
        cpu_per_core_ns: vec![cpu_ns / u64::from(CORES); CORES as usize],
        host_cpu_ns: now.since(Timestamp::EPOCH).as_nanos() as u64 * u64::from(CORES),
        cores: CORES,
        memory_bytes: memory,
        memory_max_bytes: memory,
        memory_limit_bytes: limit,
        pids: 1,
        ..ContainerStats::default()
    }
}

fn share(elapsed: Duration, units: u32, percent: u64) -> u64 {
    let used =
        elapsed.as_nanos() * u128::from(units) * u128::from(percent) / u128::from(UNITS_PER_CORE * 100);
    u64::try_from(used).unwrap_or(u64::MAX)
}
