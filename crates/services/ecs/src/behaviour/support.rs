//! What a task definition says that Boxship does not act on yet. It is kept when it is registered,
//! and refused by name when it is to run: nothing that is accepted goes unheeded.
//!
//! Names and application protocols of port mappings are let through: they matter to Service
//! Connect alone, which a task without a service has none of.

use core_lifecycle::simulate;

use super::logs;
use crate::state::container::ContainerDefinition;
use crate::state::definition::Spec;

/// The first member that a run would have to ignore; none if it can do everything that is asked.
pub fn missing(spec: &Spec) -> Option<String> {
    let task = [
        ("volumes", !spec.volumes.is_empty()),
        ("placementConstraints", !spec.placement_constraints.is_empty()),
        ("pidMode", spec.pid_mode.is_some()),
        ("ipcMode", spec.ipc_mode.is_some()),
        ("proxyConfiguration", spec.proxy_configuration.is_some()),
        ("inferenceAccelerators", has(&spec.inference_accelerators)),
        ("ephemeralStorage", spec.ephemeral_storage.is_some()),
        ("enableFaultInjection", spec.enable_fault_injection == Some(true)),
        ("trustedExecutionConfiguration", spec.trusted_execution.is_some()),
        ("runtimePlatform.operatingSystemFamily", !is_linux(spec)),
    ];
    let task = task.into_iter().find(|(_, is_set)| *is_set).map(|(name, _)| String::from(name));
    task.or_else(|| spec.containers.iter().find_map(container))
}

fn is_linux(spec: &Spec) -> bool {
    let family =
        spec.runtime_platform.as_ref().and_then(|platform| platform.operating_system_family.as_deref());
    family.is_none_or(|family| family == "LINUX")
}

fn has<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

fn container(c: &ContainerDefinition) -> Option<String> {
    let found = member(c).map(String::from).or_else(|| nested(c))?;
    Some(format!("containerDefinitions.{found} (container '{}')", c.name()))
}

/// Takes a definition apart without a rest, so that a new member cannot be forgotten here.
/// What is bound to `_` is acted upon (`nested` looks at what is inside), or refused by
/// `container::check` in every `awsvpc` definition; `versionConsistency` matters to services alone.
fn member(c: &ContainerDefinition) -> Option<&'static str> {
    let ContainerDefinition {
        repository_credentials,
        links: _,
        restart_policy,
        environment_files,
        mount_points,
        volumes_from,
        linux_parameters,
        secrets,
        depends_on,
        start_timeout,
        hostname: _,
        disable_networking: _,
        privileged,
        dns_servers: _,
        dns_search_domains: _,
        extra_hosts: _,
        docker_security_options,
        interactive,
        pseudo_terminal,
        health_check,
        system_controls,
        resource_requirements,
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
        ("restartPolicy", restart_policy.as_ref().is_some_and(|policy| policy.enabled)),
        ("environmentFiles", has(environment_files)),
        ("mountPoints", has(mount_points)),
        ("volumesFrom", has(volumes_from)),
        ("linuxParameters", linux_parameters.is_some()),
        ("secrets", has(secrets)),
        ("dependsOn", has(depends_on)),
        ("startTimeout", start_timeout.is_some()),
        ("privileged", *privileged == Some(true)),
        ("dockerSecurityOptions", has(docker_security_options)),
        ("interactive", *interactive == Some(true)),
        ("pseudoTerminal", *pseudo_terminal == Some(true)),
        ("healthCheck", health_check.is_some()),
        ("systemControls", has(system_controls)),
        ("resourceRequirements", has(resource_requirements)),
        ("firelensConfiguration", firelens_configuration.is_some()),
        ("credentialSpecs", has(credential_specs)),
    ];
    members.into_iter().find(|(_, is_set)| *is_set).map(|(name, _)| name)
}

fn nested(c: &ContainerDefinition) -> Option<String> {
    let limits = c.ulimits.iter().flatten().find(|limit| limit.name != "nofile");
    let limits = limits.map(|limit| format!("ulimits.{}", limit.name));
    let ranges = c.port_mappings.iter().flatten().any(|mapping| mapping.container_port_range.is_some());
    let ranges = ranges.then(|| String::from("portMappings.containerPortRange"));
    let labels = c.docker_labels.iter().flatten().find(|(name, _)| name.as_str() != simulate::LABEL);
    let labels = labels.map(|(name, _)| format!("dockerLabels.{name}"));
    limits.or(ranges).or(labels).or_else(|| log(c))
}

fn log(c: &ContainerDefinition) -> Option<String> {
    let log = c.log_configuration.as_ref()?;
    if log.log_driver != "awslogs" {
        return Some(format!("logConfiguration.logDriver {}", log.log_driver));
    }
    if has(&log.secret_options) {
        return Some(String::from("logConfiguration.secretOptions"));
    }
    let unknown = log.options.iter().flatten().find(|(name, _)| !logs::KNOWN.contains(&name.as_str()));
    unknown.map(|(name, _)| format!("logConfiguration.options.{name}"))
}
