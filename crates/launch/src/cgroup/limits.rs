//! Limits of the specification, `linux.resources`, written into a group.

use std::path::PathBuf;

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

use super::group::write;
use super::{Cgroup, CgroupError};

impl Cgroup {
    /// Writes the limits. Called for a task's group (shared by its containers) as well as a container's.
    ///
    /// # Errors
    /// [`CgroupError::Missing`] for a controller that is not there, [`CgroupError::Unsupported`] for a field
    /// that this version of control groups does not have, [`CgroupError::Io`] for a value that the kernel
    /// does not take.
    pub fn limit(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        if let Some(memory) = resources.memory() {
            self.limit_memory(memory)?;
        }
        if let Some(cpu) = resources.cpu() {
            self.limit_cpu(cpu)?;
        }
        if let Some(pids) = resources.pids() {
            self.set("linux.resources.pids", "pids", "pids.max", &number_or_max(pids.limit()))?;
        }
        if let Some(io) = resources.block_io() {
            self.limit_io(io)?;
        }
        for limit in resources.hugepage_limits().iter().flatten() {
            let v1 = format!("hugetlb.{}.limit_in_bytes", limit.page_size());
            let v2 = format!("hugetlb.{}.max", limit.page_size());
            let file = if self.is_v2() { v2 } else { v1 };
            self.set("linux.resources.hugepageLimits", "hugetlb", &file, &limit.limit().to_string())?;
        }
        for (file, value) in resources.unified().iter().flatten() {
            self.set_unified(file, value)?;
        }
        if resources.network().as_ref().is_some_and(|net| *net != Default::default()) {
            return Err(unsupported("linux.resources.network", "security groups do this"));
        }
        if resources.rdma().as_ref().is_some_and(|rdma| !rdma.is_empty()) {
            return Err(unsupported("linux.resources.rdma", "there is no such controller here"));
        }
        match resources.devices() {
            Some(rules) if !rules.is_empty() => self.allow_devices(rules),
            _ => Ok(()),
        }
    }

    pub(super) fn is_v2(&self) -> bool {
        self.hierarchies.is_unified()
    }

    /// Writes one file of a controller; `field` says in the error who asked for it.
    pub(super) fn set(
        &self,
        field: &'static str,
        controller: &'static str,
        file: &str,
        value: &str,
    ) -> Result<(), CgroupError> {
        let path = self.file(controller, file).ok_or(CgroupError::Missing { field, controller })?;
        write(&path, value)
    }

    fn file(&self, controller: &str, file: &str) -> Option<PathBuf> {
        let path = self.directory(controller)?.join(file);
        path.exists().then_some(path)
    }

    fn limit_memory(&self, memory: &LinuxMemory) -> Result<(), CgroupError> {
        if memory.kernel().is_some() || memory.kernel_tcp().is_some() {
            return Err(unsupported("linux.resources.memory.kernel", "the kernel has given it up"));
        }
        if self.is_v2() { self.limit_memory_v2(memory) } else { self.limit_memory_v1(memory) }
    }

    fn limit_memory_v1(&self, memory: &LinuxMemory) -> Result<(), CgroupError> {
        const FIELD: &str = "linux.resources.memory";
        let set = |file: &str, value: String| self.set(FIELD, "memory", file, &value);
        if let Some(limit) = memory.limit() {
            set("memory.limit_in_bytes", limit.to_string())?;
        }
        if let Some(swap) = memory.swap() {
            // Without swap accounting there is nothing to write to, and without swap nothing to limit.
            if self.file("memory", "memory.memsw.limit_in_bytes").is_some() || has_swap() {
                set("memory.memsw.limit_in_bytes", swap.to_string())?;
            }
        }
        if let Some(reservation) = memory.reservation() {
            set("memory.soft_limit_in_bytes", reservation.to_string())?;
        }
        if let Some(swappiness) = memory.swappiness() {
            set("memory.swappiness", swappiness.to_string())?;
        }
        match memory.disable_oom_killer() {
            Some(true) => set("memory.oom_control", "1".to_owned()),
            _ => Ok(()),
        }
    }

    fn limit_memory_v2(&self, memory: &LinuxMemory) -> Result<(), CgroupError> {
        const FIELD: &str = "linux.resources.memory";
        let set = |file: &str, value: String| self.set(FIELD, "memory", file, &value);
        if memory.swappiness().is_some() || memory.disable_oom_killer() == Some(true) {
            return Err(unsupported(FIELD, "swappiness and disableOOMKiller are of version 1"));
        }
        if let Some(swap) = memory.swap()
            && (self.file("memory", "memory.swap.max").is_some() || has_swap())
        {
            // Here swap is counted alone, in the specification together with memory.
            let alone = if swap < 0 { swap } else { swap - memory.limit().unwrap_or(0).max(0) };
            set("memory.swap.max", number_or_max(alone))?;
        }
        if let Some(limit) = memory.limit() {
            set("memory.max", number_or_max(limit))?;
        }
        memory.reservation().map_or(Ok(()), |low| set("memory.low", number_or_max(low)))
    }

    fn limit_cpu(&self, cpu: &LinuxCpu) -> Result<(), CgroupError> {
        const FIELD: &str = "linux.resources.cpu";
        if cpu.realtime_runtime().is_some() || cpu.realtime_period().is_some() {
            return Err(unsupported(FIELD, "real-time scheduling is not given to containers"));
        }
        let set = |file: &str, value: String| self.set(FIELD, "cpu", file, &value);
        if let Some(shares) = cpu.shares() {
            match self.is_v2() {
                true => set("cpu.weight", weight(shares).to_string())?,
                false => set("cpu.shares", shares.to_string())?,
            }
        }
        match (self.is_v2(), cpu.quota(), cpu.period()) {
            (_, None, None) => {}
            (true, quota, period) => {
                let quota = quota.filter(|quota| *quota > 0);
                let quota = quota.map_or("max".to_owned(), |quota| quota.to_string());
                set("cpu.max", format!("{quota} {}", period.unwrap_or(100_000)))?;
            }
            (false, quota, period) => {
                if let Some(period) = period {
                    set("cpu.cfs_period_us", period.to_string())?;
                }
                if let Some(quota) = quota {
                    set("cpu.cfs_quota_us", quota.to_string())?;
                }
            }
        }
        if let Some(burst) = cpu.burst() {
            set(if self.is_v2() { "cpu.max.burst" } else { "cpu.cfs_burst_us" }, burst.to_string())?;
        }
        if let Some(idle) = cpu.idle() {
            set("cpu.idle", idle.to_string())?;
        }
        if let Some(cpus) = cpu.cpus() {
            self.set("linux.resources.cpu.cpus", "cpuset", "cpuset.cpus", cpus)?;
        }
        match cpu.mems() {
            Some(mems) => self.set("linux.resources.cpu.mems", "cpuset", "cpuset.mems", mems),
            None => Ok(()),
        }
    }

    fn limit_io(&self, io: &LinuxBlockIo) -> Result<(), CgroupError> {
        const FIELD: &str = "linux.resources.blockIO";
        let has_weights = io.weight_device().as_ref().is_some_and(|list| !list.is_empty());
        if has_weights || io.leaf_weight().is_some() {
            return Err(unsupported(FIELD, "weights per device and leaf weights are not set"));
        }
        if let Some(weight) = io.weight() {
            match self.is_v2() {
                true => self.set(FIELD, "io", "io.weight", &weight.to_string())?,
                false => self.set(FIELD, "blkio", "blkio.bfq.weight", &weight.to_string())?,
            }
        }
        let kinds = [
            (io.throttle_read_bps_device(), "rbps", "blkio.throttle.read_bps_device"),
            (io.throttle_write_bps_device(), "wbps", "blkio.throttle.write_bps_device"),
            (io.throttle_read_iops_device(), "riops", "blkio.throttle.read_iops_device"),
            (io.throttle_write_iops_device(), "wiops", "blkio.throttle.write_iops_device"),
        ];
        for (devices, v2, v1) in kinds {
            for device in devices.iter().flatten() {
                self.throttle(device, v2, v1)?;
            }
        }
        Ok(())
    }

    fn throttle(&self, device: &LinuxThrottleDevice, v2: &str, v1: &str) -> Result<(), CgroupError> {
        const FIELD: &str = "linux.resources.blockIO";
        let name = format!("{}:{}", device.major(), device.minor());
        match self.is_v2() {
            true => self.set(FIELD, "io", "io.max", &format!("{name} {v2}={}", device.rate())),
            false => self.set(FIELD, "blkio", v1, &format!("{name} {}", device.rate())),
        }
    }

    fn set_unified(&self, file: &str, value: &str) -> Result<(), CgroupError> {
        let field = format!("linux.resources.unified[{file}]");
        if !self.is_v2() {
            return Err(CgroupError::Unsupported {
                field,
                why: "this machine's controllers are of version 1",
            });
        }
        if file.contains('/') || !file.contains('.') {
            return Err(CgroupError::Unsupported { field, why: "this is no file of a controller" });
        }
        let dir = self.unified().ok_or(CgroupError::NotMounted)?;
        write(&dir.join(file), value)
    }
}

fn unsupported(field: &str, why: &'static str) -> CgroupError {
    CgroupError::Unsupported { field: field.to_owned(), why }
}

/// Version 1 spells "no limit" as -1, version 2 as a word; `pids.max` knows the word only.
fn number_or_max(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

/// Shares (2 to 262144) as a weight (1 to 10000), by the formula that runc and systemd use.
fn weight(shares: u64) -> u64 {
    if shares == 0 { 100 } else { 1 + ((shares.clamp(2, 262_144) - 2) * 9999) / 262_142 }
}

fn has_swap() -> bool {
    std::fs::read_to_string("/proc/swaps").is_ok_and(|table| table.lines().count() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights() {
        assert_eq!([2, 1024, 262_144].map(weight), [1, 39, 10_000]);
    }
}
