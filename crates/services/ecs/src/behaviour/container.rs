//! The rules for one container definition, and for what containers say of each other.

use std::collections::{BTreeMap, BTreeSet};

use super::assign;
use super::check::Flaw;
use super::dependency::has_cycle;
use super::logs;
use super::naming::is_name;
use crate::state::container::{ContainerDefinition, PortMapping};
use crate::state::definition::Spec;

/// Why a container definition is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContainerFlaw {
    #[error("Container.name should not be null or empty.")]
    NoName,
    #[error("Container.name contains invalid characters.")]
    Name,
    #[error("Container.image should not be null or empty.")]
    NoImage,
    #[error("Container.image contains invalid characters.")]
    Image,
    #[error("Invalid setting for container '{container}'. {problem}")]
    Setting { container: String, problem: &'static str },
    #[error(
        "Invalid setting for container '{0}'. At least one of 'memory' or 'memoryReservation' must be specified."
    )]
    NoMemory(String),
    #[error("When networkMode={mode}, the host ports and container ports in port mappings must match.")]
    HostPort { mode: String },
    #[error("Port mappings of container '{container}': {problem}")]
    Port { container: String, problem: &'static str },
    #[error("Duplicate port mapping: {port}/{protocol} is used twice when networkMode={mode}.")]
    DuplicatePort { port: i32, protocol: String, mode: String },
    #[error("Unknown volume '{0}'.")]
    UnknownVolume(String),
    #[error("Links are not supported when networkMode={0}.")]
    Links(String),
    #[error("{field} is not supported when networkMode={mode}.")]
    Network { field: &'static str, mode: String },
    #[error("Cannot depend on container + '{0}' because it does not exist")]
    UnknownDependency(String),
    #[error("Container '{0}' cannot depend on itself.")]
    SelfDependency(String),
    #[error("A dependency container with SUCCESS or COMPLETE condition cannot be an essential container")]
    EssentialDependency,
    #[error("A dependency container with HEALTHY condition must have a health check: '{0}'.")]
    NoHealthCheck(String),
    #[error("Unknown container '{0}' in volumesFrom.")]
    UnknownSource(String),
    #[error(transparent)]
    Log(#[from] logs::LogFlaw),
    #[error(
        "Log driver '{0}' is not supported on Fargate. Supported log drivers: awslogs, splunk, awsfirelens."
    )]
    FargateLogDriver(String),
    #[error("Environment variable names should not be null or empty.")]
    EnvironmentName,
    #[error("Ulimit '{0}': the soft limit must not exceed the hard limit.")]
    Ulimit(String),
    #[error("Duplicate ulimit '{0}'.")]
    DuplicateUlimit(String),
}

/// Checks one container of `spec`, whose defaults have been filled in.
pub fn check(container: &ContainerDefinition, spec: &Spec) -> Result<(), ContainerFlaw> {
    let name = container.name();
    if name.is_empty() {
        return Err(ContainerFlaw::NoName);
    }
    if !is_name(name) {
        return Err(ContainerFlaw::Name);
    }
    let image = container.image.as_deref().unwrap_or_default();
    if image.is_empty() {
        return Err(ContainerFlaw::NoImage);
    }
    if image.len() > 255 || image.bytes().any(|b| b <= b' ' || b >= 0x7f) {
        return Err(ContainerFlaw::Image);
    }
    numbers(container, spec)?;
    environment(container)?;
    ulimits(container)?;
    network(container, spec)?;
    ports(container, spec)?;
    for mount in container.mount_points.iter().flatten() {
        let wanted = mount.source_volume.as_deref().unwrap_or_default();
        if !spec.volumes.iter().any(|volume| volume.name.as_deref() == Some(wanted)) {
            return Err(ContainerFlaw::UnknownVolume(String::from(wanted)));
        }
        if mount.container_path.as_deref().unwrap_or_default().is_empty() {
            return setting(container, "The containerPath of a mount point must not be empty.");
        }
    }
    match &container.log_configuration {
        Some(log) => Ok(logs::check(log, spec.needs_fargate())?),
        None => Ok(()),
    }
}

fn setting(container: &ContainerDefinition, problem: &'static str) -> Result<(), ContainerFlaw> {
    Err(ContainerFlaw::Setting { container: String::from(container.name()), problem })
}

fn numbers(container: &ContainerDefinition, spec: &Spec) -> Result<(), ContainerFlaw> {
    if container.cpu.unwrap_or(0) < 0 {
        return setting(container, "'cpu' must not be negative.");
    }
    // AWS: Docker takes no limit below 6 MiB.
    if container.memory.is_some_and(|mib| mib < 6) {
        return setting(container, "'memory' must be at least 6 MiB.");
    }
    if container.memory_reservation.is_some_and(|mib| mib < 6) {
        return setting(container, "'memoryReservation' must be at least 6 MiB.");
    }
    if let (Some(hard), Some(soft)) = (container.memory, container.memory_reservation)
        && soft > hard
    {
        return setting(container, "'memory' must not be less than 'memoryReservation'.");
    }
    if spec.memory.is_none() && container.memory.is_none() && container.memory_reservation.is_none() {
        return Err(ContainerFlaw::NoMemory(String::from(container.name())));
    }
    if let (Some(hard), Some(task)) =
        (container.memory, spec.memory.as_deref().and_then(super::size::memory_mib))
        && i64::from(hard) > i64::from(task)
    {
        return setting(container, "'memory' must not be greater than the value of the task 'memory'.");
    }
    if container.stop_timeout.is_some_and(|secs| secs < 0) {
        return setting(container, "'stopTimeout' must not be negative.");
    }
    if container.start_timeout.is_some_and(|secs| secs < 0) {
        return setting(container, "'startTimeout' must not be negative.");
    }
    if let Some(health) = &container.health_check {
        let within =
            |value: Option<i32>, low: i32, high: i32| value.is_none_or(|v| (low..=high).contains(&v));
        if health.command.is_empty() {
            return setting(container, "The command of a health check must not be empty.");
        }
        if !within(health.interval, 5, 300)
            || !within(health.timeout, 2, 60)
            || !within(health.retries, 1, 10)
            || !within(health.start_period, 0, 300)
        {
            return setting(
                container,
                "The health check is out of range: interval 5-300, timeout 2-60, retries 1-10, startPeriod 0-300.",
            );
        }
    }
    if let Some(policy) = &container.restart_policy
        && policy.restart_attempt_period.is_some_and(|secs| !(60..=1800).contains(&secs))
    {
        return setting(container, "'restartAttemptPeriod' must be between 60 and 1800.");
    }
    Ok(())
}

fn environment(container: &ContainerDefinition) -> Result<(), ContainerFlaw> {
    let has_nameless = container
        .environment
        .iter()
        .flatten()
        .any(|pair| pair.name.as_deref().unwrap_or_default().is_empty());
    if has_nameless { Err(ContainerFlaw::EnvironmentName) } else { Ok(()) }
}

fn ulimits(container: &ContainerDefinition) -> Result<(), ContainerFlaw> {
    let mut seen = BTreeSet::new();
    for limit in container.ulimits.iter().flatten() {
        let is_unlimited = limit.hard_limit == -1;
        if !is_unlimited && (limit.soft_limit == -1 || limit.soft_limit > limit.hard_limit) {
            return Err(ContainerFlaw::Ulimit(limit.name.clone()));
        }
        if !seen.insert(&limit.name) {
            return Err(ContainerFlaw::DuplicateUlimit(limit.name.clone()));
        }
    }
    Ok(())
}

/// AWS: what belongs to Docker's own networks cannot be had in a network namespace of the task.
fn network(container: &ContainerDefinition, spec: &Spec) -> Result<(), ContainerFlaw> {
    if !spec.is_awsvpc() {
        return Ok(());
    }
    let mode = String::from("awsvpc");
    let has = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if has(&container.links) {
        return Err(ContainerFlaw::Links(mode));
    }
    let refused = [
        ("hostname", container.hostname.is_some()),
        ("disableNetworking", container.disable_networking == Some(true)),
        ("dnsServers", has(&container.dns_servers)),
        ("dnsSearchDomains", has(&container.dns_search_domains)),
        ("extraHosts", container.extra_hosts.as_ref().is_some_and(|hosts| !hosts.is_empty())),
    ];
    match refused.into_iter().find(|(_, is_set)| *is_set) {
        Some((field, _)) => Err(ContainerFlaw::Network { field, mode }),
        None => Ok(()),
    }
}

fn ports(container: &ContainerDefinition, spec: &Spec) -> Result<(), ContainerFlaw> {
    let mode = spec.network_mode.as_deref().unwrap_or("bridge");
    let problem = |problem| Err(ContainerFlaw::Port { container: String::from(container.name()), problem });
    if container.port_mappings.as_ref().is_some_and(|ports| ports.len() > 100) {
        return problem("there can be at most 100.");
    }
    for mapping in container.port_mappings.iter().flatten() {
        match (mapping.container_port, &mapping.container_port_range) {
            (None, None) => return problem("containerPort or containerPortRange must be specified."),
            (Some(_), Some(_)) => return problem("containerPort and containerPortRange exclude each other."),
            (Some(port), None) if !(1..=65_535).contains(&port) => {
                return problem("containerPort must be between 1 and 65535.");
            }
            (None, Some(range)) if assign::range(range).is_none() => {
                return problem("containerPortRange must be of the form 'first-last'.");
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
        let Some(host) = mapping.host_port else { continue };
        if !(0..=65_535).contains(&host) {
            return problem("hostPort must be between 0 and 65535.");
        }
        let is_shared = matches!(mode, "awsvpc" | "host");
        if is_shared && mapping.container_port.is_some_and(|port| port != host) {
            return Err(ContainerFlaw::HostPort { mode: String::from(mode) });
        }
    }
    Ok(())
}

/// What containers say of each other: dependencies, links, volumes from, ports in one namespace.
pub fn references(spec: &Spec) -> Result<(), Flaw> {
    dependencies(spec)?;
    let find = |name: &str| spec.containers.iter().find(|container| container.name() == name);
    for container in &spec.containers {
        for from in container.volumes_from.iter().flatten() {
            let source = from.source_container.as_deref().unwrap_or_default();
            if find(source).is_none() {
                return Err(ContainerFlaw::UnknownSource(String::from(source)).into());
            }
        }
    }
    let links = edges(spec, |container| {
        let links = container.links.iter().flatten();
        links.map(|link| link.split(':').next().unwrap_or_default()).collect()
    });
    if has_cycle(&links) {
        return Err(Flaw::LinkCycle);
    }
    let mode = spec.network_mode.as_deref().unwrap_or("bridge");
    if matches!(mode, "awsvpc" | "host") { distinct_ports(spec, mode) } else { Ok(()) }
}

fn edges<'a>(
    spec: &'a Spec,
    of: impl Fn(&'a ContainerDefinition) -> Vec<&'a str>,
) -> BTreeMap<&'a str, Vec<&'a str>> {
    spec.containers.iter().map(|container| (container.name(), of(container))).collect()
}

fn dependencies(spec: &Spec) -> Result<(), Flaw> {
    for container in &spec.containers {
        for dependency in container.depends_on.iter().flatten() {
            let wanted = &dependency.container_name;
            if wanted == container.name() {
                return Err(ContainerFlaw::SelfDependency(wanted.clone()).into());
            }
            let Some(found) = spec.containers.iter().find(|c| c.name() == wanted) else {
                return Err(ContainerFlaw::UnknownDependency(wanted.clone()).into());
            };
            match dependency.condition.as_str() {
                "SUCCESS" | "COMPLETE" if found.is_essential() => {
                    return Err(ContainerFlaw::EssentialDependency.into());
                }
                "HEALTHY" if found.health_check.is_none() => {
                    return Err(ContainerFlaw::NoHealthCheck(wanted.clone()).into());
                }
                _ => {}
            }
        }
    }
    let edges = edges(spec, |container| {
        container.depends_on.iter().flatten().map(|d| d.container_name.as_str()).collect()
    });
    if has_cycle(&edges) { Err(Flaw::DependencyCycle) } else { Ok(()) }
}

/// Containers that share a network namespace cannot share a port.
fn distinct_ports(spec: &Spec, mode: &str) -> Result<(), Flaw> {
    let mut seen = BTreeSet::new();
    let mappings = spec.containers.iter().flat_map(|container| container.port_mappings.iter().flatten());
    for mapping in mappings {
        let Some(port) = mapping.container_port else { continue };
        let protocol = protocol_of(mapping);
        if !seen.insert((port, protocol)) {
            let (protocol, mode) = (String::from(protocol), String::from(mode));
            return Err(ContainerFlaw::DuplicatePort { port, protocol, mode }.into());
        }
    }
    Ok(())
}

pub fn protocol_of(mapping: &PortMapping) -> &str {
    mapping.protocol.as_deref().unwrap_or("tcp")
}

/// What Fargate refuses in a container.
pub fn fargate(container: &ContainerDefinition) -> Result<(), Flaw> {
    if container.privileged == Some(true) {
        return Err(Flaw::Fargate("privileged"));
    }
    if container.docker_security_options.as_ref().is_some_and(|options| !options.is_empty()) {
        return Err(Flaw::Fargate("dockerSecurityOptions"));
    }
    if container.resource_requirements.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(Flaw::Fargate("resource requirements"));
    }
    if let Some(linux) = &container.linux_parameters {
        if linux.devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
            return Err(Flaw::Fargate("devices"));
        }
        if linux.tmpfs.as_ref().is_some_and(|tmpfs| !tmpfs.is_empty()) {
            return Err(Flaw::Fargate("tmpfs"));
        }
        if linux.shared_memory_size.is_some() {
            return Err(Flaw::Fargate("sharedMemorySize"));
        }
        // AWS: SYS_PTRACE is the one capability that Fargate adds.
        let added = linux.capabilities.iter().flat_map(|caps| caps.add.iter().flatten());
        if added.into_iter().any(|name| name != "SYS_PTRACE") {
            return Err(Flaw::Fargate("added capabilities other than SYS_PTRACE"));
        }
    }
    if container.stop_timeout.is_some_and(|secs| secs > 120)
        || container.start_timeout.is_some_and(|secs| secs > 120)
    {
        return setting(container, "'startTimeout' and 'stopTimeout' must not exceed 120 on Fargate.")
            .map_err(Flaw::from);
    }
    match container.log_configuration.as_ref().map(|log| log.log_driver.as_str()) {
        None | Some("awslogs" | "splunk" | "awsfirelens") => Ok(()),
        Some(driver) => Err(ContainerFlaw::FargateLogDriver(String::from(driver)).into()),
    }
}
