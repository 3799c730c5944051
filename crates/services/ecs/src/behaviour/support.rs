//! What a task definition says that Boxship does not act on yet. It is kept when it is registered,
//! and refused by name when it is to run: nothing that is accepted goes unheeded.
//!
//! Names and application protocols of port mappings are let through: they matter to Service
//! Connect alone, which a task without a service has none of.

use super::{logs, ports};
use crate::state::container::ContainerDefinition;
use crate::state::definition::Spec;
use crate::state::volume::Volume;

/// The first member that a run would have to ignore; none if it can do everything that is asked.
pub fn missing(spec: &Spec) -> Option<String> {
    let task = [
        ("placementConstraints", !spec.placement_constraints.is_empty()),
        ("proxyConfiguration", spec.proxy_configuration.is_some()),
        ("inferenceAccelerators", has(&spec.inference_accelerators)),
        ("trustedExecutionConfiguration", spec.trusted_execution.is_some()),
        ("runtimePlatform.operatingSystemFamily", !is_linux(spec)),
    ];
    let task = task.into_iter().find(|(_, is_set)| *is_set).map(|(name, _)| String::from(name));
    task.or_else(|| spec.volumes.iter().find_map(volume))
        .or_else(|| spec.containers.iter().find_map(|c| container(c, spec)))
}

fn is_linux(spec: &Spec) -> bool {
    let family =
        spec.runtime_platform.as_ref().and_then(|platform| platform.operating_system_family.as_deref());
    family.is_none_or(|family| family == "LINUX")
}

fn has<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

/// Takes a volume apart without a rest. What is bound to `_` is acted upon.
fn volume(v: &Volume) -> Option<String> {
    let Volume {
        name,
        host: _,
        docker_volume_configuration,
        efs_volume_configuration,
        s3files_volume_configuration,
        fsx_windows_file_server_volume_configuration,
        configured_at_launch,
    } = v;
    let docker = docker_volume_configuration.as_ref();
    let is_local =
        docker.and_then(|docker| docker.driver.as_deref()).is_none_or(|name| matches!(name, "" | "local"));
    let has_options =
        docker.and_then(|docker| docker.driver_opts.as_ref()).is_some_and(|options| !options.is_empty());
    let members = [
        ("efsVolumeConfiguration", efs_volume_configuration.is_some()),
        ("s3filesVolumeConfiguration", s3files_volume_configuration.is_some()),
        ("fsxWindowsFileServerVolumeConfiguration", fsx_windows_file_server_volume_configuration.is_some()),
        ("configuredAtLaunch", *configured_at_launch == Some(true)),
        ("dockerVolumeConfiguration.driver", !is_local),
        // A volume is a plain directory, in either scope.
        ("dockerVolumeConfiguration.driverOpts", has_options),
    ];
    let (member, _) = members.into_iter().find(|(_, is_set)| *is_set)?;
    Some(format!("volumes.{member} (volume '{}')", name.as_deref().unwrap_or_default()))
}

fn container(c: &ContainerDefinition, spec: &Spec) -> Option<String> {
    let is_wide = || ports::too_wide(c, spec).then(|| String::from("portMappings of more than 1000 ports"));
    let found = member(c).map(String::from).or_else(|| device(c)).or_else(|| log(c)).or_else(is_wide)?;
    Some(format!("containerDefinitions.{found} (container '{}')", c.name()))
}

/// Takes a definition apart without a rest, so that a new member cannot be forgotten here.
/// What is bound to `_` is acted upon; `versionConsistency` matters to services alone.
fn member(c: &ContainerDefinition) -> Option<&'static str> {
    let ContainerDefinition {
        repository_credentials,
        links: _,
        restart_policy: _,
        environment_files,
        mount_points: _,
        volumes_from: _,
        linux_parameters: _,
        secrets,
        depends_on: _,
        start_timeout: _,
        hostname: _,
        disable_networking: _,
        privileged: _,
        dns_servers: _,
        dns_search_domains: _,
        extra_hosts: _,
        docker_security_options: _,
        interactive: _,
        pseudo_terminal: _,
        health_check: _,
        system_controls: _,
        resource_requirements: _,
        firelens_configuration,
        credential_specs,
        name: _,
        image: _,
        cpu: _,
        memory: _,
        memory_reservation: _,
        port_mappings: _,
        essential: _,
        entry_point: _,
        command: _,
        environment: _,
        stop_timeout: _,
        user: _,
        working_directory: _,
        readonly_root_filesystem: _,
        docker_labels: _,
        ulimits: _,
        log_configuration: _,
        version_consistency: _,
    } = c;
    let members = [
        ("repositoryCredentials", repository_credentials.is_some()),
        ("environmentFiles", has(environment_files)),
        ("secrets", has(secrets)),
        ("firelensConfiguration", firelens_configuration.is_some()),
        ("credentialSpecs", has(credential_specs)),
    ];
    members.into_iter().find(|(_, is_set)| *is_set).map(|(name, _)| name)
}

/// GPUs are had whole, where the host declares some.
fn device(c: &ContainerDefinition) -> Option<String> {
    let needs = || c.resource_requirements.iter().flatten();
    let other = needs().find(|need| need.r#type != "GPU");
    let other = other.map(|need| format!("resourceRequirements.{}", need.r#type));
    let shared = || needs().any(|need| need.sharing_strategy.is_some());
    other.or_else(|| shared().then(|| String::from("resourceRequirements.sharingStrategy")))
}

fn log(c: &ContainerDefinition) -> Option<String> {
    let log = c.log_configuration.as_ref()?;
    if !logs::DRIVERS.contains(&log.log_driver.as_str()) {
        return Some(format!("logConfiguration.logDriver {}", log.log_driver));
    }
    if has(&log.secret_options) {
        return Some(String::from("logConfiguration.secretOptions"));
    }
    logs::not_yet(log).map(|name| format!("logConfiguration.options.{name}"))
}
