//! What the crate is asked for and what it answers.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use core_addresses::{Cidr, Mac};

use crate::net::Transport;

/// Where the platform's one port listens inside every VPC.
pub const PLATFORM: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);

/// How [`crate::Vpcs`] is set up.
#[derive(Debug, Clone)]
pub struct VpcsConfig {
    /// A directory on tmpfs of this server's own, `/run/boxship/<hash>`. Namespaces are bound under
    /// its `netns/`, and names on the host derive from its path.
    pub run_dir: PathBuf,
    /// How many task namespaces are made ahead. 0 makes each when it is needed.
    pub spare: usize,
}

/// Which VPC. Ids alone would do on one host; account and region say where it is at home.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VpcKey {
    pub account: String,
    pub region: String,
    pub vpc: String,
}

impl fmt::Display for VpcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.account, self.region, self.vpc)
    }
}

/// A VPC as a host needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpcSpec {
    pub key: VpcKey,
    pub cidr: Cidr,
    /// Whether the host reaches it by a plain route. At most one VPC of a range can be so.
    pub on_host: bool,
}

/// Whether the host reaches a VPC by a plain route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRoute {
    Present,
    NotWanted,
    /// Left out: the host has this address or route within the VPC's range.
    Taken(String),
}

/// The VPC exists now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ensured {
    pub host_route: HostRoute,
    /// Its namespace was made by this call: what listens inside is to be opened.
    pub is_new: bool,
}

/// A task's network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceSpec {
    /// `eni-` and 17 hexadecimal digits.
    pub eni: String,
    pub vpc: VpcKey,
    pub address: Ipv4Addr,
    pub mac: Mac,
    pub subnet: Cidr,
    /// What filters its packets from the first one on, until [`crate::Vpcs::filter`] says otherwise of
    /// its address. Groups that were not told yet allow nothing; an interface without any is not
    /// filtered. Two interfaces that differ only here count as equal.
    pub security_groups: Vec<String>,
    /// Whether it has a way to the outside.
    pub is_public: bool,
    /// The task's id; the name of its namespace.
    pub task: String,
}

/// An address in a VPC that is no task's: a balancer's node, or the host's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressSpec {
    pub vpc: VpcKey,
    pub address: Ipv4Addr,
    /// As an interface's.
    pub security_groups: Vec<String>,
}

/// The interface exists, up, in the task's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// A file to join with `setns`, or to bind.
    pub netns: PathBuf,
}

/// A container with an address of its own on the host's bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgedSpec {
    /// The task's id.
    pub task: String,
    pub container: String,
    pub ports: Vec<Publish>,
}

/// Ports of the host that are to lead to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    pub transport: Transport,
    /// The first one.
    pub container_port: u16,
    /// The first one; 0 leaves the choice to the host, among [`DYNAMIC_PORTS`].
    pub host_port: u16,
    /// How many in a row; at least 1.
    pub count: u16,
}

/// What dynamic host ports are chosen from.
pub const DYNAMIC_PORTS: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// The container's namespace exists, with its interface up and its ports led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridged {
    /// A file to join with `setns`, or to bind.
    pub netns: PathBuf,
    pub address: Ipv4Addr,
    /// As asked for, in the same order, with every host port chosen.
    pub ports: Vec<Publish>,
}

/// The bridge exists now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeShown {
    /// The link's name on the host: `boxship0`.
    pub name: String,
    pub subnet: Cidr,
    /// The host's address on it, the containers' way out.
    pub gateway: Ipv4Addr,
    /// It was made by this call: what listens on it is to be opened.
    pub is_new: bool,
}

/// Whom a listener on the host hears at [`PLATFORM`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hears {
    /// Containers on the bridge, and nobody from outside the machine.
    Bridge,
    /// Processes in the host's own namespace.
    Host,
}

/// What exists on this host, read from the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    pub vpcs: Vec<VpcKey>,
    /// Interface ids with the task's id.
    pub interfaces: Vec<(String, String)>,
    /// Addresses of balancers.
    pub nodes: Vec<(VpcKey, Ipv4Addr)>,
    /// Containers on the bridge: task, address.
    pub bridged: Vec<(String, Ipv4Addr)>,
    /// Ports of the host that lead to containers.
    pub ports: Vec<(Transport, u16)>,
    /// Links in the host's namespace.
    pub links: Vec<String>,
    /// Bound namespaces, by file name.
    pub namespaces: Vec<String>,
    /// Packet filter tables in the host's namespace.
    pub tables: Vec<String>,
    /// The machine forwards packets because of us.
    pub changed_forwarding: bool,
}

impl Inventory {
    /// Nothing of ours is left.
    pub fn is_empty(&self) -> bool {
        *self == Inventory::default()
    }
}
