//! What a task definition says that Boxship does not act on yet. It is kept when it is registered,
//! and refused by name when it is to run: nothing that is accepted goes unheeded.

use super::logs;
use crate::state::container::ContainerDefinition;
use crate::state::definition::Spec;

/// The docker label that directs a simulated container.
use core_lifecycle::simulate;

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
    let members = [
        ("repositoryCredentials", c.repository_credentials.is_some()),
        ("links", has(&c.links)),
        ("restartPolicy", c.restart_policy.as_ref().is_some_and(|policy| policy.enabled)),
        ("environmentFiles", has(&c.environment_files)),
        ("mountPoints", has(&c.mount_points)),
        ("volumesFrom", has(&c.volumes_from)),
        ("linuxParameters", c.linux_parameters.is_some()),
        ("secrets", has(&c.secrets)),
        ("dependsOn", has(&c.depends_on)),
        ("startTimeout", c.start_timeout.is_some()),
        ("hostname", c.hostname.is_some()),
        ("disableNetworking", c.disable_networking == Some(true)),
        ("privileged", c.privileged == Some(true)),
        ("dnsServers", has(&c.dns_servers)),
        ("dnsSearchDomains", has(&c.dns_search_domains)),
        ("extraHosts", has(&c.extra_hosts)),
        ("dockerSecurityOptions", has(&c.docker_security_options)),
        ("interactive", c.interactive == Some(true)),
        ("pseudoTerminal", c.pseudo_terminal == Some(true)),
        ("healthCheck", c.health_check.is_some()),
        ("systemControls", has(&c.system_controls)),
        ("resourceRequirements", has(&c.resource_requirements)),
        ("firelensConfiguration", c.firelens_configuration.is_some()),
        ("credentialSpecs", has(&c.credential_specs)),
    ];
    let found = members.into_iter().find(|(_, is_set)| *is_set).map(|(name, _)| String::from(name));
    let found = found.or_else(|| nested(c))?;
    Some(format!("containerDefinitions.{found} (container '{}')", c.name()))
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
