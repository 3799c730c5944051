//! The rules for one container definition, and for what containers say of each other.

use std::collections::{BTreeMap, BTreeSet};

use super::check::Flaw;
use super::dependency::has_cycle;
use super::linux::{self, LinuxFlaw};
use super::logs;
use super::names;
use super::naming::is_name;
use super::ports::{self, PortFlaw};
use crate::state::container::ContainerDefinition;
use crate::state::definition::Spec;

/// AWS: of a restart policy.
const MAX_IGNORED_CODES: usize = 50;

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
    #[error("The 'memory' setting for container '{0}' is greater than for the task.")]
    OverTask(String),
    #[error("Granular {what} timeout on container '{container}' must be at least 2 seconds.")]
    Timeout { what: &'static str, container: String },
    #[error("the 'restartAttemptPeriod' setting for container '{0}' must be between 60 and 1800")]
    AttemptPeriod(String),
    #[error("the 'ignoredExitCodes' setting for container '{0}' can have at most 50 codes")]
    IgnoredCodes(String),
    #[error(transparent)]
    Port(#[from] PortFlaw),
    #[error(transparent)]
    Linux(#[from] LinuxFlaw),
    #[error("Unknown volume '{0}'.")]
    UnknownVolume(String),
    #[error("Links are not supported when networkMode={0}.")]
    Links(String),
    #[error("{what} not supported on container when networkMode={mode}.")]
    Network { what: &'static str, mode: String },
    #[error("Cannot depend on container + '{0}' because it does not exist")]
    UnknownDependency(String),
    #[error("Container '{0}' cannot depend on itself.")]
    SelfDependency(String),
    #[error("A dependency container with SUCCESS or COMPLETE condition cannot be an essential container")]
    EssentialDependency,
    #[error("A dependency container with HEALTHY condition must have health check configured")]
    NoHealthCheck,
    #[error("Invalid 'links' setting. Unknown container: '{0}'")]
    UnknownLink(String),
    #[error("Invalid 'volumesFrom' setting. Unknown container: '{0}'")]
    UnknownSource(String),
    #[error(transparent)]
    Log(#[from] logs::LogFlaw),
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
    ports::check(container, spec)?;
    linux::check(container, spec)?;
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
        Some(log) => Ok(logs::check(log)?),
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
        return setting(container, "'memory' must be greater than or equal to 'memoryReservation'.");
    }
    if spec.memory.is_none() && container.memory.is_none() && container.memory_reservation.is_none() {
        return Err(ContainerFlaw::NoMemory(String::from(container.name())));
    }
    if let (Some(hard), Some(task)) =
        (container.memory, spec.memory.as_deref().and_then(super::size::memory_mib))
        && i64::from(hard) > i64::from(task)
    {
        return Err(ContainerFlaw::OverTask(String::from(container.name())));
    }
    for (what, timeout) in [("stop", container.stop_timeout), ("start", container.start_timeout)] {
        if timeout.is_some_and(|secs| secs < 2) {
            return Err(ContainerFlaw::Timeout { what, container: String::from(container.name()) });
        }
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
        return Err(ContainerFlaw::AttemptPeriod(String::from(container.name())));
    }
    let ignored = container.restart_policy.as_ref().and_then(|policy| policy.ignored_exit_codes.as_ref());
    if ignored.is_some_and(|codes| codes.len() > MAX_IGNORED_CODES) {
        return Err(ContainerFlaw::IgnoredCodes(String::from(container.name())));
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

/// AWS: what belongs to Docker's own networks cannot be had in a namespace that containers share.
fn network(container: &ContainerDefinition, spec: &Spec) -> Result<(), ContainerFlaw> {
    let mode = spec.network_mode.as_deref().unwrap_or("bridge");
    let has = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if mode != "bridge" && has(&container.links) {
        return Err(ContainerFlaw::Links(String::from(mode)));
    }
    if mode == "none" && container.port_mappings.as_ref().is_some_and(|ports| !ports.is_empty()) {
        return Err(ContainerFlaw::Network { what: "Port mappings are", mode: String::from(mode) });
    }
    if mode != "awsvpc" {
        return Ok(());
    }
    let refused = [
        ("hostname is", container.hostname.is_some()),
        ("Disable Networking is", container.disable_networking == Some(true)),
        ("DNS servers are", has(&container.dns_servers)),
        ("DNS search domains are", has(&container.dns_search_domains)),
        ("Extra hosts are", container.extra_hosts.as_ref().is_some_and(|hosts| !hosts.is_empty())),
    ];
    match refused.into_iter().find(|(_, is_set)| *is_set) {
        Some((what, _)) => Err(ContainerFlaw::Network { what, mode: String::from(mode) }),
        None => Ok(()),
    }
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
    for container in &spec.containers {
        let mut links = container.links.iter().flatten().map(|link| names::link(link).container);
        if let Some(unknown) = links.find(|name| find(name).is_none()) {
            return Err(ContainerFlaw::UnknownLink(unknown).into());
        }
    }
    let links = edges(spec, |container| {
        let links = container.links.iter().flatten();
        links.map(|link| link.split(':').next().unwrap_or_default()).collect()
    });
    if has_cycle(&links) {
        return Err(Flaw::LinkCycle);
    }
    Ok(ports::distinct(spec).map_err(ContainerFlaw::from)?)
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
                    return Err(ContainerFlaw::NoHealthCheck.into());
                }
                _ => {}
            }
        }
    }
    // Who takes another's volumes waits for it as well.
    let edges = edges(spec, |container| {
        let waits = container.depends_on.iter().flatten().map(|d| d.container_name.as_str());
        let takes =
            container.volumes_from.iter().flatten().filter_map(|from| from.source_container.as_deref());
        waits.chain(takes).collect()
    });
    if has_cycle(&edges) { Err(Flaw::DependencyCycle) } else { Ok(()) }
}
