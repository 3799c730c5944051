//! Control group limits of containers and of whole tasks.

use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
};

use crate::plan::{ContainerPlan, TaskSandbox};

/// One period of the processor quota, in microseconds: the kernel's default.
const PERIOD_US: u64 = 100_000;

/// Processes and threads of one container: enough for any program, too few for a fork bomb.
const PIDS: i64 = 4096;

/// The same for a task: ten containers at their limit would be more than small hosts have numbers.
const TASK_PIDS: i64 = 16_384;

/// AWS: fewer shares than this the kernel does not take, and ECS rounds up to it.
const LEAST_SHARES: u64 = 2;

const COMPLETE: &str = "every field has a default";

fn bytes(mib: u32) -> i64 {
    i64::from(mib) << 20
}

pub(super) fn container(sandbox: &TaskSandbox, plan: &ContainerPlan) -> LinuxResources {
    let shares = u64::from(plan.cpu_units).max(LEAST_SHARES);
    let mut memory = LinuxMemoryBuilder::default();
    let mut hard = plan.memory_mib;
    if let Some(swap) = plan.linux.max_swap_mib {
        // Swap is limited together with memory; where the container has no limit, the task's is what holds.
        hard = hard.or(sandbox.memory_mib);
        if let Some(hard) = hard {
            memory = memory.swap(bytes(hard) + bytes(swap));
            // AWS: without `maxSwap` this is ignored.
            if let Some(swappiness) = plan.linux.swappiness {
                memory = memory.swappiness(u64::from(swappiness));
            }
        }
    } else if let Some(hard) = hard {
        // As in Docker: a hard limit holds for swap as well, of which there is as much.
        memory = memory.swap(2 * bytes(hard));
    }
    if let Some(hard) = hard {
        memory = memory.limit(bytes(hard));
    }
    if let Some(soft) = plan.memory_reservation_mib {
        memory = memory.reservation(bytes(soft));
    }
    LinuxResourcesBuilder::default()
        .cpu(LinuxCpuBuilder::default().shares(shares).build().expect(COMPLETE))
        .memory(memory.build().expect(COMPLETE))
        .pids(LinuxPidsBuilder::default().limit(PIDS).build().expect(COMPLETE))
        .build()
        .expect(COMPLETE)
}

/// AWS: a task without a limit of its own weighs as much as its containers do together.
pub(crate) fn weight_of(shares: impl Iterator<Item = u64>) -> LinuxResources {
    let cpu = LinuxCpuBuilder::default().shares(shares.sum::<u64>().max(LEAST_SHARES));
    LinuxResourcesBuilder::default().cpu(cpu.build().expect(COMPLETE)).build().expect(COMPLETE)
}

/// Hard limits of a task as a whole.
pub(crate) fn task_limits(sandbox: &TaskSandbox) -> LinuxResources {
    let pids = LinuxPidsBuilder::default().limit(TASK_PIDS).build().expect(COMPLETE);
    let mut resources = LinuxResourcesBuilder::default().pids(pids);
    if let Some(units) = sandbox.cpu_units {
        let quota = (u64::from(units) * PERIOD_US).div_ceil(1024);
        // The kernel takes no quota below a millisecond.
        let quota = i64::try_from(quota.max(1000)).unwrap_or(i64::MAX);
        let shares = u64::from(units).max(LEAST_SHARES);
        let cpu = LinuxCpuBuilder::default().quota(quota).period(PERIOD_US).shares(shares);
        resources = resources.cpu(cpu.build().expect(COMPLETE));
    }
    if let Some(mib) = sandbox.memory_mib {
        let memory = LinuxMemoryBuilder::default().limit(bytes(mib));
        resources = resources.memory(memory.build().expect(COMPLETE));
    }
    resources.build().expect(COMPLETE)
}
