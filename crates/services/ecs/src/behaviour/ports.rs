//! Port mappings: their rules, and what they come to for a host.
//!
//! Where containers share a network namespace (`awsvpc`, `host`), a port of the container is the
//! port of the host. In bridge mode a missing or zero host port is the host's to choose. A range is
//! one mapping that says so.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use core_lifecycle::{NetworkMode, PortMapping, PortRange};

use super::assign::network_mode;
use crate::state::container::{self as state, ContainerDefinition};
use crate::state::definition::Spec;

/// AWS: mappings, and ranges, of one container.
const MOST: usize = 100;
/// Ports of the host that one container may have: each costs a socket and a rule.
const MOST_OPEN: u32 = 1000;

/// What is wrong with port mappings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortFlaw {
    #[error("When networkMode={mode}, the host ports and container ports in port mappings must match.")]
    HostPort { mode: String },
    #[error("Port mappings of container '{container}': {problem}")]
    Mapping { container: String, problem: &'static str },
    #[error("Port mappings of container '{0}': cannot specify both single port and port range")]
    Both(String),
    #[error("Invalid 'containerPortRange' setting for container '{0}'.")]
    Range(String),
    #[error("Port ranges are not supported when networkMode={0}.")]
    RangeMode(String),
    #[error("container port is used multiple times in task: {port}/{protocol}")]
    ContainerPort { port: u16, protocol: String },
    #[error("host port is used multiple times in task: {port}/{protocol}")]
    TwiceOnHost { port: u16, protocol: String },
    #[error("port mapping name is already used: '{0}'")]
    Name(String),
}

/// Checks the mappings of one container.
pub fn check(c: &ContainerDefinition, spec: &Spec) -> Result<(), PortFlaw> {
    let mode = spec.network_mode.as_deref().unwrap_or("bridge");
    let name = || String::from(c.name());
    let problem = |problem| Err(PortFlaw::Mapping { container: name(), problem });
    if c.port_mappings.as_ref().is_some_and(|ports| ports.len() > MOST) {
        return problem("there can be at most 100.");
    }
    for mapping in c.port_mappings.iter().flatten() {
        match (mapping.container_port, &mapping.container_port_range) {
            (None, None) => return problem("containerPort or containerPortRange must be specified."),
            (Some(_), Some(_)) => return Err(PortFlaw::Both(name())),
            (None, Some(_)) if mapping.host_port.is_some() => return Err(PortFlaw::Both(name())),
            (None, Some(_)) if mode == "host" => return Err(PortFlaw::RangeMode(String::from(mode))),
            (None, Some(text)) if range(text).is_none() => return Err(PortFlaw::Range(name())),
            (Some(port), None) if !(1..=65_535).contains(&port) => {
                return problem("containerPort must be between 1 and 65535.");
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
        let Some(host) = mapping.host_port else { continue };
        if !(0..=65_535).contains(&host) {
            return problem("hostPort must be between 0 and 65535.");
        }
        let is_shared = matches!(mode, "awsvpc" | "host");
        if is_shared && mapping.container_port.is_some_and(|port| port != host) {
            return Err(PortFlaw::HostPort { mode: String::from(mode) });
        }
    }
    Ok(())
}

/// No two mappings of a task may want one port, or have one name.
pub fn distinct(spec: &Spec) -> Result<(), PortFlaw> {
    let is_shared = matches!(network_mode(spec), NetworkMode::Awsvpc | NetworkMode::Host);
    let mut names = BTreeSet::new();
    let mut taken: Vec<(RangeInclusive<u16>, String)> = Vec::new();
    let mut take = |ports: RangeInclusive<u16>, protocol: &str| -> Option<u16> {
        let is_met = |other: &&(RangeInclusive<u16>, String)| {
            other.1 == protocol && other.0.start() <= ports.end() && ports.start() <= other.0.end()
        };
        let met = taken.iter().find(is_met).map(|other| *other.0.start().max(ports.start()));
        taken.push((ports, String::from(protocol)));
        met
    };
    for c in &spec.containers {
        for name in c.port_mappings.iter().flatten().filter_map(|mapping| mapping.name.as_ref()) {
            if !name.is_empty() && !names.insert(name) {
                return Err(PortFlaw::Name(name.clone()));
            }
        }
        for mapping in ports(c, spec) {
            let protocol = mapping.protocol.clone();
            if is_shared {
                let last = mapping.range.map_or(mapping.container_port, |range| range.last);
                if let Some(port) = take(mapping.container_port..=last, &protocol) {
                    return Err(PortFlaw::ContainerPort { port, protocol });
                }
            } else if mapping.host_port != 0 {
                // A container may show one port of its own at several of the host's.
                if let Some(port) = take(mapping.host_port..=mapping.host_port, &protocol) {
                    return Err(PortFlaw::TwiceOnHost { port, protocol });
                }
            }
        }
    }
    Ok(())
}

/// The port mappings of a container of `spec`.
pub fn ports(c: &ContainerDefinition, spec: &Spec) -> Vec<PortMapping> {
    let mode = network_mode(spec);
    c.port_mappings.iter().flatten().filter_map(|mapping| port(mapping, mode)).collect()
}

fn port(mapping: &state::PortMapping, mode: NetworkMode) -> Option<PortMapping> {
    let number = |port: i32| u16::try_from(port).ok();
    let range = mapping.container_port_range.as_deref().and_then(range);
    let container_port = match range {
        Some((first, _)) => first,
        None => mapping.container_port.and_then(number)?,
    };
    let is_shared = matches!(mode, NetworkMode::Awsvpc | NetworkMode::Host);
    let host_port = if is_shared { container_port } else { mapping.host_port.and_then(number).unwrap_or(0) };
    Some(PortMapping {
        container_port,
        host_port,
        protocol: String::from(mapping.protocol.as_deref().unwrap_or("tcp")),
        range: range.map(|(first, last)| PortRange { first, last }),
    })
}

/// Whether a container wants more ports of its host than that opens for one.
pub fn too_wide(c: &ContainerDefinition, spec: &Spec) -> bool {
    let width =
        |mapping: PortMapping| mapping.range.map_or(1, |range| u32::from(range.last - range.first) + 1);
    network_mode(spec) == NetworkMode::Bridge
        && ports(c, spec).into_iter().map(width).sum::<u32>() > MOST_OPEN
}

/// `8000-8010`: first and last, the first below the last.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first < last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(container: i32, host: Option<i32>) -> state::PortMapping {
        state::PortMapping { container_port: Some(container), host_port: host, ..Default::default() }
    }

    fn spec(mode: Option<&str>, mappings: &[Vec<state::PortMapping>]) -> Spec {
        let containers = mappings.iter().enumerate().map(|(nth, mappings)| ContainerDefinition {
            name: Some(format!("c{nth}")),
            port_mappings: Some(mappings.clone()),
            ..Default::default()
        });
        Spec { containers: containers.collect(), network_mode: mode.map(String::from), ..Default::default() }
    }

    #[test]
    fn what_a_host_is_told() {
        let told = |mode, mapping: state::PortMapping| {
            let spec = spec(mode, &[vec![mapping]]);
            let ports = ports(&spec.containers[0], &spec);
            let last =
                |it: &PortMapping| it.range.map(|range| format!("-{}", range.last)).unwrap_or_default();
            let show = |it: &PortMapping| format!("{}:{}{}", it.host_port, it.container_port, last(it));
            ports.iter().map(show).collect::<Vec<_>>()
        };
        let span = |text: &str| state::PortMapping {
            container_port_range: Some(String::from(text)),
            ..Default::default()
        };
        for (mode, mapping, expected) in [
            (None, mapping(80, None), "0:80"),
            (None, mapping(80, Some(0)), "0:80"),
            (Some("bridge"), mapping(80, Some(8080)), "8080:80"),
            (Some("host"), mapping(80, None), "80:80"),
            (Some("awsvpc"), mapping(80, Some(80)), "80:80"),
            (Some("bridge"), span("90-92"), "0:90-92"),
            (Some("awsvpc"), span("90-91"), "90:90-91"),
        ] {
            assert_eq!(told(mode, mapping.clone()).join(" "), expected, "{mode:?} {mapping:?}");
        }
    }

    #[test]
    fn ports_of_a_task_are_distinct() {
        let twice = |mode, first, second| distinct(&spec(mode, &[vec![first], vec![second]]));
        let same = || (mapping(80, None), mapping(80, None));
        let ((a, b), (c, d)) = (same(), same());
        assert_eq!(twice(Some("bridge"), a, b), Ok(()));
        assert!(twice(Some("awsvpc"), c, d).is_err());
        assert!(twice(None, mapping(80, Some(8080)), mapping(81, Some(8080))).is_err());
        assert_eq!(twice(None, mapping(80, Some(8080)), mapping(80, Some(8081))), Ok(()));
        let udp = state::PortMapping { protocol: Some(String::from("udp")), ..mapping(53, None) };
        assert_eq!(twice(Some("host"), udp, mapping(53, None)), Ok(()));
        let span = |text: &str| state::PortMapping {
            container_port_range: Some(String::from(text)),
            ..Default::default()
        };
        let protocol = || String::from("tcp");
        let met = twice(Some("awsvpc"), span("80-90"), span("85-95"));
        assert_eq!(met, Err(PortFlaw::ContainerPort { port: 85, protocol: protocol() }));
        let met = twice(Some("awsvpc"), mapping(85, None), span("80-90"));
        assert_eq!(met, Err(PortFlaw::ContainerPort { port: 85, protocol: protocol() }));
        assert_eq!(twice(Some("awsvpc"), span("80-90"), span("91-95")), Ok(()));
        assert_eq!(twice(Some("bridge"), span("80-90"), span("85-95")), Ok(()));
    }
}
