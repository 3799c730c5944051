//! The sets and maps of security groups: addresses to kinds, kinds to chains, addresses with what is
//! asked for in ranges.

use std::net::Ipv4Addr;

use super::LIST_ELEMENT;
use super::expression::{JUMP, verdict_of};
use crate::net::attributes::Attributes;

/// Of nft's own numbering, so that `nft list` shows what is meant.
const INTEGER: u32 = 4;
const IPV4: u32 = 7;
const PROTOCOL: u32 = 12;
const PORT: u32 = 13;
const VERDICT: u32 = 0xffff_ff00;
/// Of ranges, of several fields.
const RANGES: u32 = 4 | 0x80;
const MAP: u32 = 8;
/// Bytes of a kind.
pub const KIND_BYTES: usize = 8;

/// What a set that has a name holds.
#[derive(Debug, Clone, Copy)]
pub enum NamedSet {
    Addresses,
    /// From addresses to kinds.
    Kinds,
    /// From kinds to chains.
    Chains,
}

impl NamedSet {
    pub fn write(self, a: &mut Attributes<'_>) {
        let kind = KIND_BYTES as u32;
        match self {
            NamedSet::Addresses => a.number(3, 0).number(4, IPV4).number(5, 4),
            NamedSet::Kinds => {
                a.number(3, MAP).number(4, IPV4).number(5, 4).number(6, INTEGER).number(7, kind)
            }
            NamedSet::Chains => a.number(3, MAP).number(4, INTEGER).number(5, kind).number(6, VERDICT),
        };
        a.number(10, 1);
    }
}

/// What a set of ranges has beside the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keyed {
    /// A protocol with ports, and the destination's port.
    Port,
    /// An ICMP message's type and code as one number.
    Icmp,
    Protocol,
}

impl Keyed {
    /// Type and bytes of each field.
    fn fields(self) -> &'static [(u32, u32)] {
        match self {
            Keyed::Port => &[(IPV4, 4), (PROTOCOL, 1), (PORT, 2)],
            Keyed::Icmp => &[(IPV4, 4), (PORT, 2)],
            Keyed::Protocol => &[(IPV4, 4), (PROTOCOL, 1)],
        }
    }

    pub fn write(self, a: &mut Attributes<'_>) {
        let fields = self.fields();
        let kind = fields.iter().fold(0, |all, (kind, _)| (all << 6) | kind);
        a.number(3, RANGES).number(4, kind).number(5, 4 * fields.len() as u32);
        a.nest(9, |a| {
            a.nest(2, |a| {
                for (_, length) in fields {
                    a.nest(LIST_ELEMENT, |a| {
                        a.number(1, *length);
                    });
                }
            });
        });
        a.number(10, 1);
    }
}

/// An element of a set or map.
#[derive(Debug, Clone, Copy)]
pub enum Element<'a> {
    Address(Ipv4Addr),
    Kind(Ipv4Addr, [u8; KIND_BYTES]),
    Chain([u8; KIND_BYTES], &'a str),
    /// From the first key to the last, field by field.
    Range([u8; 12], [u8; 12], usize),
}

impl Element<'_> {
    pub fn write(&self, a: &mut Attributes<'_>) {
        let value = |a: &mut Attributes<'_>, kind: u16, bytes: &[u8]| {
            a.nest(kind, |a| {
                a.raw(1, bytes);
            });
        };
        a.nest(LIST_ELEMENT, |a| match self {
            Element::Address(address) => value(a, 1, &address.octets()),
            Element::Kind(address, kind) => {
                value(a, 1, &address.octets());
                value(a, 2, kind);
            }
            Element::Chain(kind, chain) => {
                value(a, 1, kind);
                a.nest(2, |a| verdict_of(a, JUMP, chain));
            }
            Element::Range(first, last, length) => {
                value(a, 1, &first[..*length]);
                value(a, 10, &last[..*length]);
            }
        });
    }
}
