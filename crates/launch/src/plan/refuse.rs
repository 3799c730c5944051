//! Fields that nothing acts on: named, so that nobody believes in them.

use oci_spec::runtime::{Hooks, Linux, Process, Spec};

use crate::LaunchError;

type Refused<'a> = (bool, &'a str, &'static str);

/// Refuses a specification that asks for more than is done.
pub fn check(spec: &Spec) -> Result<(), LaunchError> {
    let fields: [Refused<'_>; 5] = [
        (spec.solaris().is_some(), "solaris", "this is Linux"),
        (spec.windows().is_some(), "windows", "this is Linux"),
        (spec.vm().is_some(), "vm", "there is no hypervisor here"),
        (spec.zos().is_some(), "zos", "this is Linux"),
        (spec.hooks().as_ref().is_some_and(has_hooks), "hooks", "programs of the host are not run"),
    ];
    refuse(&fields)?;
    if let Some(process) = spec.process() {
        check_process(process)?;
    }
    spec.linux().as_ref().map_or(Ok(()), check_linux)
}

fn has_hooks(hooks: &Hooks) -> bool {
    let lists = [
        hooks.prestart(),
        hooks.create_runtime(),
        hooks.create_container(),
        hooks.start_container(),
        hooks.poststart(),
        hooks.poststop(),
    ];
    lists.into_iter().any(|list| list.as_ref().is_some_and(|list| !list.is_empty()))
}

/// What is refused in a process, that of the container and one that enters it.
pub fn check_process(process: &Process) -> Result<(), LaunchError> {
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    refuse(&[
        (is_set(process.command_line()), "process.commandLine", "this is Linux"),
        (is_set(process.apparmor_profile()), "process.apparmorProfile", "profiles are not loaded"),
        (is_set(process.selinux_label()), "process.selinuxLabel", "labels are not set"),
        (process.io_priority().is_some(), "process.ioPriority", "priorities are not set"),
        (process.scheduler().is_some(), "process.scheduler", "scheduling policies are not set"),
        (process.exec_cpu_affinity().is_some(), "process.execCPUAffinity", "affinities are not set"),
        (is_set(process.user().username()), "process.user.username", "this is Linux"),
    ])
}

fn check_linux(linux: &Linux) -> Result<(), LaunchError> {
    let has_some = |is_empty: Option<bool>| is_empty == Some(false);
    refuse(&[
        (
            has_some(linux.uid_mappings().as_ref().map(Vec::is_empty)),
            "linux.uidMappings",
            "there is no user namespace",
        ),
        (
            has_some(linux.gid_mappings().as_ref().map(Vec::is_empty)),
            "linux.gidMappings",
            "there is no user namespace",
        ),
        (
            has_some(linux.net_devices().as_ref().map(|map| map.is_empty())),
            "linux.netDevices",
            "networks are made elsewhere",
        ),
        (
            has_some(linux.mount_label().as_ref().map(String::is_empty)),
            "linux.mountLabel",
            "labels are not set",
        ),
        (
            has_some(linux.time_offsets().as_ref().map(|map| map.is_empty())),
            "linux.timeOffsets",
            "there is no time namespace",
        ),
        (linux.intel_rdt().is_some(), "linux.intelRdt", "caches are not shared out"),
        (linux.memory_policy().is_some(), "linux.memoryPolicy", "policies are not set"),
        (linux.personality().is_some(), "linux.personality", "the execution domain is not changed"),
    ])
}

fn refuse(fields: &[Refused<'_>]) -> Result<(), LaunchError> {
    match fields.iter().find(|(is_asked, ..)| *is_asked) {
        Some((_, field, why)) => Err(LaunchError::unsupported(*field, why)),
        None => Ok(()),
    }
}
