//! A VPC on one host: namespace, interfaces, balancers' addresses, routes, security groups, the way out,
//! resolver.
//!
//! Owns every network namespace, link, route and packet filter rule of Boxship on this machine.
//! Each VPC is a network namespace, because addresses overlap between VPCs. In it lie the VPC's
//! end of every task's interface (a routed veth pair with a /32 route), the platform's address
//! [`PLATFORM`], the resolver's address, and an uplink to the host:
//!
//! ```text
//! task namespace          VPC namespace                               host namespace
//! eth0 172.31.0.5/20 ──── e5f3…  172.31.0.5/32 ─┐
//! default via 172.31.0.1                        ├─ up0 169.254.64.1 ──── bx1a2b3cu0 169.254.64.0
//! eth0 172.31.0.6/20 ──── e07a…  172.31.0.6/32 ─┘  masquerade, public only  masquerade
//!                         lo 169.254.170.2, 172.31.0.2, balancers' nodes
//! ```
//!
//! The host can stand in a VPC at an address of its own, which leads out of the uplink to its ports.
//!
//! Containers outside VPCs (network mode `bridge`) have a namespace and an address each on a bridge
//! of the host's, hidden behind the host's own addresses, as on Docker's default network:
//!
//! ```text
//! container namespace                     host namespace
//! eth0 172.17.0.2/16 ───── bx1a2b3cc2 ─┐
//! default via 172.17.0.1               ├─ boxship0 172.17.0.1/16, 169.254.170.2
//! eth0 172.17.0.3/16 ───── bx1a2b3cc3 ─┘  masquerade out; published ports led in
//! ```
//!
//! Invariants:
//! - The kernel is the record: what exists is read back from namespaces, links and their aliases
//!   after a restart. There is no state file that could disagree, except the note of what the
//!   machine's own setting was.
//! - A task sends from its own address only: the VPC's namespace checks the reverse path, and every
//!   address has one path.
//! - Two VPCs never meet: the host starts connections into a VPC and forwards none.
//! - What security groups do not allow is dropped, from an interface's first packet on.
//! - Every link on the host begins with the run directory's prefix, but the bridge, whose alias says
//!   whose it is; every host-side rule lies in tables with that prefix, and [`Vpcs::down`] leaves
//!   none of them.
//! - A port of the host leads to one container at a time, and never away from 169.254.170.2.
//!
//! Ignores, until their issues: network ACLs, prefix lists, IPv6, NAT gateways, more than one host, and
//! user namespaces.

pub mod apart;
mod bridge;
mod bridged;
mod containers;
mod dial;
pub mod dns;
mod error;
mod fault;
mod faults;
mod files;
mod firewall;
mod flows;
mod groups;
mod handle;
mod host;
mod interface;
mod namespace;
mod net;
mod nodes;
mod ports;
mod probe;
mod recover;
mod spare;
mod spec;
mod sys;
mod visit;
mod vpc;
mod worker;
mod world;

pub use error::VpcError;
pub use fault::{BlackHole, Direction, Fault, FaultKind, FaultPlace, can_delay};
pub use files::{TaskFiles, task_files};
pub use firewall::{Firewall, firewalls};
pub use handle::Vpcs;
pub use net::Transport;
pub use probe::{Probe, probe};
pub use spec::{
    AddressSpec, Attached, BridgeShown, Bridged, BridgedSpec, DYNAMIC_PORTS, Ensured, Hears, HostRoute,
    InterfaceSpec, Inventory, PLATFORM, Publish, VpcKey, VpcSpec, VpcsConfig,
};
pub use visit::Visit;
