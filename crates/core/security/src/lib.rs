//! Security groups: what may reach an interface, and what it may reach.
//!
//! Owns the plain form in which EC2's records publish groups ([`Vpc`]) and the verdict over it.
//! Invariant: equal groups and packets give equal verdicts; what no rule allows is denied.
//!
//! Deliberately ignores records, packet filters and connection tracking: answers to what was
//! allowed are allowed by whoever filters.

mod verdict;

pub use verdict::{Direction, Packet, allows, reaches};

use std::net::Ipv4Addr;

use core_addresses::Cidr;
use serde::{Deserialize, Serialize};

/// The groups of one VPC, and which of its addresses are in which.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Vpc {
    pub account: String,
    pub region: String,
    pub vpc: String,
    pub groups: Vec<Group>,
    pub members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// `sg-…`
    pub id: String,
    pub ingress: Vec<Rule>,
    pub egress: Vec<Rule>,
}

/// One permission. There are no denials.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub traffic: Traffic,
    pub peer: Peer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Traffic {
    All,
    /// Inclusive.
    Tcp(u16, u16),
    Udp(u16, u16),
    /// Type and code; `None`: any.
    Icmp(Option<u8>, Option<u8>),
    /// Another protocol by its number, whole.
    Protocol(u8),
}

/// Who is at the other end: where from for ingress, where to for egress.
#[derive(Debug, Clone, PartialEq)]
pub enum Peer {
    Range(Cidr),
    /// Every member of that group.
    Group(String),
}

/// An interface's address with its groups.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub address: Ipv4Addr,
    pub groups: Vec<String>,
}
