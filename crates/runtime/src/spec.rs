//! From a plan to an OCI runtime specification: a pure function, so that any OCI runtime can run
//! what we run. The confinement is Docker's default, from [`launch::defaults`].
//!
//! Ignores what only the mounted root can tell: numeric ids of users by name, the working
//! directory's existence. The shim completes those.

use std::path::Path;

use launch::defaults;
use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, Spec,
};

use crate::contract::RuntimeError;
use crate::plan::{ContainerPlan, Network, TaskSandbox};

/// One period of the processor quota, in microseconds: the kernel's default.
const PERIOD_US: u64 = 100_000;

/// Processes and threads of one container: enough for any program, too few for a fork bomb.
const PIDS: i64 = 4096;

/// AWS: fewer shares than this the kernel does not take, and ECS rounds up to it.
const LEAST_SHARES: u64 = 2;

const COMPLETE: &str = "every field has a default";

/// The specification of a container in `sandbox`. `root` is where its root file system will be
/// mounted, `files` the directory with the task's `resolv.conf`, `hosts` and `hostname`, `cgroup`
/// its control group.
///
/// # Errors
/// [`RuntimeError::Plan`] when neither plan nor image says what to run.
pub fn translate(
    sandbox: &TaskSandbox,
    plan: &ContainerPlan,
    root: &Path,
    files: &Path,
    cgroup: &Path,
) -> Result<Spec, RuntimeError> {
    let place = plan.place.as_ref().unwrap_or(&sandbox.place);
    let mut spec = defaults::spec(root, arguments(plan)?, netns(&place.network));
    if let Some(root) = spec.root_mut() {
        root.set_readonly(Some(plan.readonly_root));
    }
    spec.set_hostname(Some(place.hostname.clone()));
    if let Some(process) = spec.process_mut() {
        process.set_env(Some(environment(&place.hostname, plan)));
        process.set_cwd(working_directory(plan).into());
    }
    if let Some(mounts) = spec.mounts_mut() {
        for name in ["resolv.conf", "hosts", "hostname"] {
            mounts.push(defaults::bind(&files.join(name), &Path::new("/etc").join(name), false));
        }
    }
    if let Some(linux) = spec.linux_mut() {
        linux.set_cgroups_path(Some(Path::new("/").join(cgroup)));
        let devices = linux.resources().as_ref().and_then(|r| r.devices().clone());
        let mut resources = container_limits(plan);
        resources.set_devices(devices);
        linux.set_resources(Some(resources));
    }
    Ok(spec)
}

fn netns(network: &Network) -> Option<&Path> {
    match network {
        Network::Join(path) => Some(path),
        Network::Empty | Network::Host => None,
    }
}

/// What the container executes. As Docker has it: an entry point of the plan's drops the image's
/// command along with the image's entry point.
fn arguments(plan: &ContainerPlan) -> Result<Vec<String>, RuntimeError> {
    let given = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    let (entry_point, default_command) = match given(&plan.entry_point) {
        Some(entry_point) => (entry_point, Vec::new()),
        None => (plan.image.entry_point.clone(), plan.image.command.clone()),
    };
    let command = given(&plan.command).unwrap_or(default_command);
    let arguments: Vec<String> = entry_point.into_iter().chain(command).collect();
    if arguments.first().is_none_or(String::is_empty) {
        return Err(RuntimeError::Plan("no command specified".to_owned()));
    }
    Ok(arguments)
}

/// Image's variables under the plan's, with the two that every container has.
fn environment(hostname: &str, plan: &ContainerPlan) -> Vec<String> {
    let name_of = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut entries = vec![
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        format!("HOSTNAME={hostname}"),
    ];
    let own = plan.environment.iter().map(|(name, value)| format!("{name}={value}"));
    for entry in plan.image.environment.iter().cloned().chain(own) {
        let name = name_of(&entry);
        match entries.iter_mut().find(|known| name_of(known) == name) {
            Some(known) => *known = entry,
            None => entries.push(entry),
        }
    }
    entries
}

fn working_directory(plan: &ContainerPlan) -> String {
    let given = |path: &Option<String>| path.clone().filter(|path| !path.is_empty());
    let path = given(&plan.working_directory).or_else(|| given(&plan.image.working_directory));
    match path {
        Some(path) if path.starts_with('/') => path,
        Some(path) => format!("/{path}"),
        None => "/".to_owned(),
    }
}

fn container_limits(plan: &ContainerPlan) -> LinuxResources {
    let bytes = |mib: u32| i64::from(mib) << 20;
    let shares = u64::from(plan.cpu_units).max(LEAST_SHARES);
    let mut memory = LinuxMemoryBuilder::default();
    if let Some(hard) = plan.memory_mib {
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

/// Hard limits of a task as a whole.
pub(crate) fn task_limits(sandbox: &TaskSandbox) -> LinuxResources {
    let mut resources = LinuxResourcesBuilder::default();
    if let Some(units) = sandbox.cpu_units {
        let quota = (u64::from(units) * PERIOD_US).div_ceil(1024);
        // The kernel takes no quota below a millisecond.
        let quota = i64::try_from(quota.max(1000)).unwrap_or(i64::MAX);
        let cpu = LinuxCpuBuilder::default().quota(quota).period(PERIOD_US).shares(u64::from(units).max(2));
        resources = resources.cpu(cpu.build().expect(COMPLETE));
    }
    if let Some(mib) = sandbox.memory_mib {
        let memory = LinuxMemoryBuilder::default().limit(i64::from(mib) << 20);
        resources = resources.memory(memory.build().expect(COMPLETE));
    }
    resources.build().expect(COMPLETE)
}
