//! What the crate is asked for and what it answers.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use core_addresses::{Cidr, Mac};

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
    /// Not filtered by yet; two interfaces that differ only here count as equal.
    pub security_groups: Vec<String>,
    /// Whether it has a way to the outside.
    pub is_public: bool,
    /// The task's id; the name of its namespace.
    pub task: String,
}

/// The interface exists, up, in the task's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// A file to join with `setns`, or to bind.
    pub netns: PathBuf,
}

/// What exists on this host, read from the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    pub vpcs: Vec<VpcKey>,
    /// Interface ids with the task's id.
    pub interfaces: Vec<(String, String)>,
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
