//! From a plan to an OCI runtime specification: a pure function, so that any OCI runtime can run
//! what we run. The confinement is Docker's default, from [`launch::defaults`].
//!
//! Ignores what only this host and the mounted root can tell: numeric ids of users by name, the
//! working directory's existence, where volumes lie, which numbers devices have. The shim completes
//! those.

mod confinement;
mod limits;
mod mounts;
mod namespaces;

use std::collections::HashMap;
use std::path::Path;

use launch::defaults;
use oci_spec::runtime::Spec;

use crate::contract::RuntimeError;
use crate::plan::{ContainerPlan, TaskSandbox};

pub(crate) use limits::{task_limits, weight_of};
pub(crate) use mounts::{insert as insert_mount, is_name_file, target as mount_target};

/// Where on this host a container's parts lie.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// Where its root file system will be mounted.
    pub root: &'a Path,
    /// The directory with its `resolv.conf`, `hosts` and `hostname`.
    pub files: &'a Path,
    /// What containers have at `/dev/shm` that share an IPC namespace.
    pub shm: &'a Path,
    /// Its control group.
    pub cgroup: &'a Path,
}

/// The specification of a container in `sandbox`.
///
/// # Errors
/// [`RuntimeError::Plan`] for a plan that says nothing to run, or something that cannot be;
/// [`RuntimeError::Unsupported`] for security options that are not acted on, by name.
pub fn translate(
    sandbox: &TaskSandbox,
    plan: &ContainerPlan,
    layout: &Layout<'_>,
) -> Result<Spec, RuntimeError> {
    let place = plan.place.as_ref().unwrap_or(&sandbox.place);
    let mut spec = defaults::spec(layout.root, arguments(plan)?, None);
    if let Some(root) = spec.root_mut() {
        root.set_readonly(Some(plan.readonly_root));
    }
    spec.set_hostname(Some(place.hostname.clone()));
    if let Some(process) = spec.process_mut() {
        process.set_env(Some(environment(&place.hostname, plan)));
        process.set_cwd(working_directory(plan).into());
    }
    spec.set_mounts(Some(mounts::of(sandbox, plan, layout)?));
    let sysctls = namespaces::sysctls(sandbox, place, &plan.linux)?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_namespaces(Some(namespaces::of(sandbox, &place.network)));
        linux.set_cgroups_path(Some(Path::new("/").join(layout.cgroup)));
        let devices = linux.resources().as_ref().and_then(|r| r.devices().clone());
        let mut resources = limits::container(sandbox, plan);
        resources.set_devices(devices);
        linux.set_resources(Some(resources));
        linux.set_sysctl((!sysctls.is_empty()).then_some(sysctls));
    }
    confinement::apply(&mut spec, &plan.linux)?;
    if plan.linux.has_init {
        spec.set_annotations(Some(HashMap::from([(launch::INIT.to_owned(), "true".to_owned())])));
    }
    Ok(spec)
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
