//! Everything that a host needs to run one task, and nothing that it must ask for later.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One task for one host. Every choice (address, port, names) is made: the host decides nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    pub task_arn: String,
    /// 32 hexadecimal digits.
    pub task_id: String,
    pub account: String,
    pub region: String,
    pub cluster: String,
    pub family: String,
    pub revision: u32,
    /// `X86_64` or `ARM64`.
    pub architecture: String,
    /// Limits of the task as a whole, shared by its containers. 1024 units are one vCPU.
    pub cpu_units: Option<u32>,
    pub memory_mib: Option<u32>,
    pub interface: Option<Interface>,
    pub containers: Vec<ContainerSpec>,
    pub execution_role: Option<String>,
    pub task_role: Option<String>,
}

/// An `awsvpc` network interface. A VPC is identified with its account and region, because
/// addresses overlap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    pub eni: String,
    pub vpc: String,
    pub vpc_cidr: String,
    pub subnet: String,
    pub subnet_cidr: String,
    pub security_groups: Vec<String>,
    pub address: Ipv4Addr,
    pub mac: String,
    /// Whether the interface has a way to the outside.
    pub public: bool,
    /// Whether the host reaches it by a plain route (the default VPC of the default account and region).
    pub on_host: bool,
    pub private_dns_name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    pub name: String,
    /// As the task definition has it; the reference is resolved by the host.
    pub image: String,
    pub pull_as: PullAs,
    pub essential: bool,
    pub entry_point: Option<Vec<String>>,
    pub command: Option<Vec<String>>,
    pub environment: BTreeMap<String, String>,
    pub working_directory: Option<String>,
    /// `user`, `uid`, `user:group` … as Docker takes it.
    pub user: Option<String>,
    pub cpu_units: u32,
    pub memory_mib: Option<u32>,
    pub memory_reservation_mib: Option<u32>,
    pub readonly_root: bool,
    pub stop_timeout: Duration,
    pub ulimits: Vec<Ulimit>,
    pub ports: Vec<PortMapping>,
    pub log: Option<LogTarget>,
    /// Docker labels; the simulated runtime takes directions from `boxship.simulate`.
    pub labels: BTreeMap<String, String>,
}

/// Whose repository an unqualified ECR name means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullAs {
    pub account: String,
    pub region: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    pub name: String,
    pub soft: u64,
    pub hard: u64,
    /// Asked for by the user (fail if it cannot be had), or a default of ours (clamp and report).
    pub is_explicit: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    pub container_port: u16,
    pub host_port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}

/// Where a container's output goes: the `awslogs` driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTarget {
    pub group: String,
    pub region: String,
    pub stream: String,
    pub create_group: bool,
    /// `None` blocks; otherwise the buffer of the non-blocking mode, in bytes.
    pub buffer_bytes: Option<u64>,
}
