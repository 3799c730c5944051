//! Everything that a host needs to run one task, and nothing that it must ask for later.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::logging::Logging;
use crate::supervision::{Dependency, HealthCheck, RestartPolicy};

/// One task for one host. Every choice (address, port, names) is made: the host decides nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
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
    #[serde(default)]
    pub launch_type: LaunchType,
    /// `us-east-1a`.
    #[serde(default)]
    pub zone: String,
    /// Of the container instance that was chosen, for launch types that have one.
    #[serde(default)]
    pub container_instance: Option<String>,
    #[serde(default)]
    pub network_mode: NetworkMode,
    #[serde(default)]
    pub pid_mode: Namespace,
    #[serde(default)]
    pub ipc_mode: Namespace,
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Room on disk for everything that the task's containers write; `None`: as much as there is.
    #[serde(default)]
    pub ephemeral_storage_gib: Option<u32>,
    #[serde(default)]
    pub enable_fault_injection: bool,
    #[serde(default)]
    pub enable_execute_command: bool,
    /// Limits of the task as a whole, shared by its containers. 1024 units are one vCPU.
    pub cpu_units: Option<u32>,
    pub memory_mib: Option<u32>,
    /// In network mode `awsvpc`.
    pub interface: Option<Interface>,
    pub containers: Vec<ContainerSpec>,
    pub execution_role: Option<String>,
    pub task_role: Option<String>,
}

/// What carries the task, as the API and the metadata endpoint name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LaunchType {
    #[default]
    Fargate,
    Ec2,
    External,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum NetworkMode {
    /// One namespace for the task, with an interface of its own.
    #[default]
    Awsvpc,
    /// A namespace and an address on the host's bridge for each container.
    Bridge,
    Host,
    /// An empty namespace for each container.
    None,
}

/// Whose process or IPC namespace the containers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Namespace {
    /// Each container its own.
    #[default]
    Container,
    /// One for the task.
    Task,
    Host,
    /// IPC only: its own, without shared memory that others could join.
    None,
}

/// A volume that the task's containers may mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub name: String,
    pub source: VolumeSource,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeSource {
    /// Made for the task, removed with it.
    Task,
    /// A directory of the host's; made where it is missing.
    Host(String),
    /// A named volume of the host's local driver, which outlives the task. `is_provisioned`: made
    /// where it is missing; else the task fails.
    Shared { is_provisioned: bool, options: BTreeMap<String, String>, labels: BTreeMap<String, String> },
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

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
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
    #[serde(default)]
    pub logging: Logging,
    /// Docker labels; the simulated runtime takes directions from `boxship.simulate`.
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub depends_on: Vec<Dependency>,
    #[serde(default)]
    pub start_timeout: Option<Duration>,
    #[serde(default)]
    pub health_check: Option<HealthCheck>,
    #[serde(default)]
    pub restart: Option<RestartPolicy>,
    #[serde(default)]
    pub mounts: Vec<Mount>,
    #[serde(default)]
    pub volumes_from: Vec<VolumesFrom>,
    #[serde(default)]
    pub names: Names,
    #[serde(default)]
    pub linux: LinuxSettings,
    /// Environment variables whose values a provider has.
    #[serde(default)]
    pub secrets: Vec<SecretReference>,
    /// Files of variables whose text a provider has, by ARN; later ones lose.
    #[serde(default)]
    pub environment_files: Vec<String>,
    /// Where a provider has the credentials of the image's registry.
    #[serde(default)]
    pub repository_credentials: Option<String>,
}

/// A name under which a container sees a value that a provider has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretReference {
    pub name: String,
    pub value_from: String,
}

/// A volume of the task's in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub volume: String,
    pub path: String,
    pub is_read_only: bool,
}

/// Everything that another container has mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesFrom {
    pub container: String,
    pub is_read_only: bool,
}

/// What a container calls itself and others. Only where it has a network namespace of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Names {
    pub hostname: Option<String>,
    pub dns_servers: Vec<String>,
    pub dns_search_domains: Vec<String>,
    /// `/etc/hosts` beyond the usual: name, address.
    pub extra_hosts: Vec<(String, String)>,
    /// Other containers of the task, by the names that this one calls them.
    pub links: Vec<Link>,
    /// No interface but loopback.
    pub is_network_disabled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub container: String,
    pub alias: String,
}

/// What a container may do to the kernel and see of it. The default is Docker's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinuxSettings {
    /// `NET_ADMIN`, `ALL`; as the API names them, without `CAP_`.
    pub capabilities_add: Vec<String>,
    pub capabilities_drop: Vec<String>,
    pub devices: Vec<Device>,
    /// A small first process that forwards signals and reaps.
    pub has_init: bool,
    /// Of `/dev/shm`; Docker's default is 64.
    pub shared_memory_mib: Option<u32>,
    pub tmpfs: Vec<Tmpfs>,
    /// Swap beyond the memory limit; 0 forbids it.
    pub max_swap_mib: Option<u32>,
    /// 0 to 100.
    pub swappiness: Option<u32>,
    pub is_privileged: bool,
    /// As Docker takes them: `no-new-privileges`, `seccomp=unconfined`, `apparmor:…`, `label:…`.
    pub security_options: Vec<String>,
    /// `net.core.somaxconn` and its value.
    pub system_controls: BTreeMap<String, String>,
    /// Its standard streams are a terminal.
    pub has_terminal: bool,
    /// Its standard input stays open.
    pub is_interactive: bool,
    /// Devices of the host that are this container's, by the host's declaration.
    pub gpus: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub host_path: String,
    pub container_path: String,
    /// Of `r`, `w` and `m`.
    pub permissions: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    pub path: String,
    pub size_mib: u32,
    pub options: Vec<String>,
}

/// Whose repository an unqualified ECR name means.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// 0: the host chooses a free one of 32768 to 60999 and reports it.
    pub host_port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// One mapping of a range, which the API reports as one.
    #[serde(default)]
    pub range: Option<PortRange>,
}

/// First and last container port of the range that a mapping came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}
