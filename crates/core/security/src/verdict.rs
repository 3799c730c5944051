//! Whether a packet may pass.

use std::net::Ipv4Addr;

use crate::{Group, Peer, Rule, Traffic, Vpc};

/// Which of a group's rules are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards the group's members.
    Ingress,
    /// From them.
    Egress,
}

/// The first packet of a connection, as rules look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet {
    /// By its destination port.
    Tcp(u16),
    Udp(u16),
    /// Type and code.
    Icmp(u8, u8),
    /// Any other protocol by its number.
    Other(u8),
}

/// Whether one of `groups`' rules allows the packet from or to `peer`.
///
/// Groups that the VPC does not have allow nothing. AWS: rules of all groups count together, there
/// are no denials, and an interface without a group is closed.
pub fn allows(
    vpc: &Vpc,
    groups: &[impl AsRef<str>],
    direction: Direction,
    packet: Packet,
    peer: Ipv4Addr,
) -> bool {
    let is_one = |group: &&Group| groups.iter().any(|id| id.as_ref() == group.id);
    vpc.groups.iter().filter(is_one).any(|group| {
        let rules = match direction {
            Direction::Ingress => &group.ingress,
            Direction::Egress => &group.egress,
        };
        rules.iter().any(|rule| rule.allows(vpc, packet, peer))
    })
}

/// Whether one address of the VPC reaches another: what the first may send, and the second receive.
/// An address that is no member is not filtered on its side.
pub fn reaches(vpc: &Vpc, from: Ipv4Addr, to: Ipv4Addr, packet: Packet) -> bool {
    let groups = |address| vpc.members.iter().find(|member| member.address == address).map(|m| &m.groups);
    let may_leave = groups(from).is_none_or(|groups| allows(vpc, groups, Direction::Egress, packet, to));
    may_leave && groups(to).is_none_or(|groups| allows(vpc, groups, Direction::Ingress, packet, from))
}

impl Rule {
    fn allows(&self, vpc: &Vpc, packet: Packet, peer: Ipv4Addr) -> bool {
        self.traffic.has(packet) && self.peer.has(vpc, peer)
    }
}

impl Traffic {
    /// Whether a rule over this traffic speaks about the packet.
    pub fn has(self, packet: Packet) -> bool {
        match (self, packet) {
            (Traffic::All, _) => true,
            (Traffic::Tcp(first, last), Packet::Tcp(port))
            | (Traffic::Udp(first, last), Packet::Udp(port)) => (first..=last).contains(&port),
            (Traffic::Icmp(kind, code), Packet::Icmp(of, with)) => {
                kind.is_none_or(|kind| kind == of) && code.is_none_or(|code| code == with)
            }
            (Traffic::Protocol(number), packet) => number == packet.number(),
            (Traffic::Tcp(..) | Traffic::Udp(..) | Traffic::Icmp(..), _) => false,
        }
    }
}

impl Packet {
    fn number(self) -> u8 {
        match self {
            Packet::Icmp(..) => 1,
            Packet::Tcp(_) => 6,
            Packet::Udp(_) => 17,
            Packet::Other(number) => number,
        }
    }
}

impl Peer {
    fn has(&self, vpc: &Vpc, address: Ipv4Addr) -> bool {
        match self {
            Peer::Range(range) => range.contains(address),
            Peer::Group(id) => {
                let mut members = vpc.members.iter().filter(|member| member.address == address);
                members.any(|member| member.groups.contains(id))
            }
        }
    }
}

impl Vpc {
    /// Whether whoever comes from the internet, wherever that is, may connect to that port of a member of
    /// these groups.
    pub fn is_open_to_the_internet(&self, groups: &[String], port: u16) -> bool {
        let own = self.groups.iter().filter(|group| groups.contains(&group.id));
        own.flat_map(|group| &group.ingress).any(|rule| {
            rule.traffic.has(Packet::Tcp(port))
                && matches!(&rule.peer, Peer::Range(range) if range.prefix() == 0)
        })
    }
}
