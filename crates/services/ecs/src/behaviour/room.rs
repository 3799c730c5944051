//! What a task takes of a container instance: cpu, memory, fixed ports, GPUs, attributes.
//!
//! Owns how a definition (with its overrides) is counted; which instance has that much left is
//! `state::instance`'s and `api::instance`'s. A dynamic host port takes nothing here: the host
//! chooses it, because only the host knows what else listens.

use serde::{Deserialize, Serialize};

use super::{capability, ports, size};
use crate::state::container::ContainerDefinition;
use crate::state::definition::Spec;

/// What one task takes of the instance that carries it. Its record keeps it, so that what is left
/// of an instance is what it registered less the needs of its tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Needs {
    /// Units: 1024 are one vCPU.
    pub cpu: i64,
    /// MiB.
    pub memory: i64,
    /// Fixed ports of the host, in order and each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports_tcp: Vec<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports_udp: Vec<u16>,
    #[serde(skip_serializing_if = "is_none")]
    pub gpus: u32,
    /// Names of attributes that the instance must have. Matter to the choice alone.
    #[serde(skip)]
    pub attributes: Vec<String>,
    /// `x86_64` or `arm64`, where the definition names one.
    #[serde(skip)]
    pub architecture: Option<String>,
}

fn is_none(count: &u32) -> bool {
    *count == 0
}

/// What a task of `spec` takes.
pub fn needs(spec: &Spec) -> Needs {
    let sum = |of: fn(&ContainerDefinition) -> i32| -> i64 {
        spec.containers.iter().map(|container| i64::from(of(container))).sum()
    };
    // AWS: a size of the task reserves that much, whatever its containers say.
    let cpu = spec.cpu.as_deref().and_then(size::cpu_units).map(i64::from);
    let memory = spec.memory.as_deref().and_then(size::memory_mib).map(i64::from);
    let mut needs = Needs {
        cpu: cpu.unwrap_or_else(|| sum(|c| c.cpu.unwrap_or(0))),
        // AWS: of a container, the soft limit is what is reserved where there is one.
        memory: memory.unwrap_or_else(|| sum(|c| c.memory_reservation.or(c.memory).unwrap_or(0))),
        gpus: spec.containers.iter().map(gpus).sum(),
        attributes: capability::required(spec),
        architecture: spec
            .runtime_platform
            .as_ref()
            .and_then(|platform| platform.cpu_architecture.as_ref())
            .map(|name| name.to_ascii_lowercase()),
        ..Needs::default()
    };
    if !spec.is_awsvpc() {
        for mapping in spec.containers.iter().flat_map(|c| ports::ports(c, spec)) {
            match mapping.protocol.as_str() {
                _ if mapping.host_port == 0 => {}
                "udp" => needs.ports_udp.push(mapping.host_port),
                _ => needs.ports_tcp.push(mapping.host_port),
            }
        }
    }
    for ports in [&mut needs.ports_tcp, &mut needs.ports_udp] {
        ports.sort_unstable();
        ports.dedup();
    }
    needs
}

/// How many GPUs a container asks for.
pub fn gpus(container: &ContainerDefinition) -> u32 {
    let asked = container.resource_requirements.iter().flatten().filter(|need| need.r#type == "GPU");
    asked.filter_map(|need| need.value.as_deref()?.parse::<u32>().ok()).sum()
}
