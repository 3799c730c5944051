//! Changes to one table that take effect together.

use std::net::Ipv4Addr;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};

use super::expression::{Expression, write};
use super::sets::{Element, Keyed, NamedSet};
use super::{
    DELETE_CHAIN, DELETE_ELEMENT, DELETE_RULE, DELETE_SET, DELETE_TABLE, LIST_ELEMENT, NEW_CHAIN,
    NEW_ELEMENT, NEW_RULE, NEW_SET, NEW_TABLE,
};
use crate::net::attributes::Attributes;

/// `ipv4_addr`, `inet_service` and the two concatenated, in nft's own numbering, so that `nft list`
/// shows addresses and ports.
const TYPE_IPV4: u32 = 7;
const TYPE_PORT: u32 = 13;
const TYPE_TARGET: u32 = (TYPE_IPV4 << 6) | TYPE_PORT;
const IS_MAP: u32 = 8;
/// An address, and a port padded to four bytes.
const TARGET_BYTES: u32 = 8;

/// Elements in a message: their list must be shorter than 64 KiB.
const ELEMENTS: usize = 400;

/// Where a chain sees packets.
#[derive(Debug, Clone, Copy)]
pub enum Hook {
    /// Before anything else is known of a packet, connections included.
    Raw,
    Input,
    Forward,
    Output,
    /// Where destinations of what comes in are rewritten.
    DestinationNat,
    /// Where destinations of what the machine itself sends are rewritten.
    OutputNat,
    /// Where source addresses are rewritten.
    SourceNat,
    /// On the way out, after everything is decided.
    Leaving,
    /// Whether its sender may send a packet that comes to this namespace, passes or begins here; and
    /// after that, whether its receiver may have it.
    MayLeave(Way),
    MayEnter(Way),
}

/// A packet's way as the filter sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    In,
    Through,
    Out,
}

impl Way {
    fn hook(self) -> u32 {
        match self {
            Way::In => 1,
            Way::Through => 2,
            Way::Out => 3,
        }
    }
}

impl Hook {
    /// Kind of chain, number of the hook, priority.
    fn parts(self) -> (&'static str, u32, i32) {
        match self {
            Hook::Raw => ("filter", 0, -300),
            Hook::Input => ("filter", 1, 0),
            Hook::Forward => ("filter", 2, 0),
            Hook::Output => ("filter", 3, 0),
            Hook::DestinationNat => ("nat", 0, -100),
            Hook::OutputNat => ("nat", 3, -100),
            Hook::SourceNat => ("nat", 4, 100),
            Hook::Leaving => ("filter", 4, -150),
            Hook::MayLeave(way) => ("filter", way.hook(), 10),
            Hook::MayEnter(way) => ("filter", way.hook(), 20),
        }
    }
}

/// A base chain; its policy is to accept.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    pub name: &'a str,
    pub hook: Hook,
}

/// Where packets to a port are sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub address: Ipv4Addr,
    pub port: u16,
}

impl Target {
    fn bytes(self) -> [u8; TARGET_BYTES as usize] {
        let ([a, b, c, d], [high, low]) = (self.address.octets(), self.port.to_be_bytes());
        [a, b, c, d, high, low, 0, 0]
    }

    /// Reads what [`Target::bytes`] writes.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, d, high, low, ..] = *bytes else { return None };
        Some(Target { address: Ipv4Addr::new(a, b, c, d), port: u16::from_be_bytes([high, low]) })
    }
}

/// Changes within one table.
pub struct Batch<'a> {
    table: &'a str,
    pub(super) messages: Vec<(u16, u16, Vec<u8>)>,
}

impl<'a> Batch<'a> {
    pub fn new(table: &'a str) -> Self {
        Batch { table, messages: Vec::new() }
    }

    fn message(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&str, &mut Attributes<'_>)) {
        let mut body = Vec::with_capacity(128);
        fill(self.table, &mut Attributes::new(&mut body));
        self.messages.push((kind, flags, body));
    }

    fn change_table(&mut self, kind: u16, flags: u16) {
        self.message(kind, flags, |table, a| {
            a.text(1, table);
        });
    }

    /// Makes the table, empty: one that exists is deleted first.
    pub fn fresh_table(&mut self) {
        self.delete_table();
        self.change_table(NEW_TABLE, NLM_F_CREATE);
    }

    pub fn delete_table(&mut self) {
        // Creating before deleting makes the deletion succeed whether or not it existed.
        self.change_table(NEW_TABLE, NLM_F_CREATE);
        self.change_table(DELETE_TABLE, 0);
    }

    pub fn chain(&mut self, chain: Chain<'_>) {
        let (kind, hook, priority) = chain.hook.parts();
        self.message(NEW_CHAIN, NLM_F_CREATE, |table, a| {
            a.text(1, table).text(3, chain.name).text(7, kind);
            a.nest(4, |a| {
                a.number(1, hook).raw(2, &priority.to_be_bytes());
            });
        });
    }

    /// A chain that others jump to. One that exists stays as it is.
    pub fn part(&mut self, name: &str) {
        self.message(NEW_CHAIN, NLM_F_CREATE, |table, a| {
            a.text(1, table).text(3, name);
        });
    }

    /// Takes all rules out of a chain.
    pub fn clear(&mut self, chain: &str) {
        self.message(DELETE_RULE, 0, |table, a| {
            a.text(1, table).text(2, chain);
        });
    }

    /// Fails as a whole where something still jumps to it.
    pub fn delete_chain(&mut self, name: &str) {
        self.message(DELETE_CHAIN, 0, |table, a| {
            a.text(1, table).text(3, name);
        });
    }

    /// A set or map by name. One that exists with the same properties stays as it is.
    pub fn named(&mut self, name: &str, kind: NamedSet) {
        self.message(NEW_SET, NLM_F_CREATE, |table, a| {
            a.text(1, table).text(2, name);
            kind.write(a);
        });
    }

    /// Fails as a whole where a rule still uses it.
    pub fn delete_set(&mut self, name: &str) {
        self.message(DELETE_SET, 0, |table, a| {
            a.text(1, table).text(2, name);
        });
    }

    /// A new set of ranges, which do not overlap. Packets see its elements a moment after the batch, not
    /// with it: rules that use it belong into a later one.
    pub fn ranges(&mut self, name: &str, kind: Keyed, ranges: &[Element<'_>]) {
        self.message(NEW_SET, NLM_F_CREATE, |table, a| {
            a.text(1, table).text(2, name);
            kind.write(a);
        });
        self.put(NEW_ELEMENT, NLM_F_CREATE, name, ranges);
    }

    /// What another batch of the same table has comes after what is here.
    pub fn append(&mut self, other: Batch<'_>) {
        self.messages.extend(other.messages);
    }

    /// Fails as a whole where a map has an element with another value already.
    pub fn add(&mut self, set: &str, elements: &[Element<'_>]) {
        self.put(NEW_ELEMENT, NLM_F_CREATE, set, elements);
    }

    /// Fails as a whole where one of them is not there.
    pub fn remove(&mut self, set: &str, elements: &[Element<'_>]) {
        self.put(DELETE_ELEMENT, 0, set, elements);
    }

    fn put(&mut self, kind: u16, flags: u16, set: &str, elements: &[Element<'_>]) {
        for some in elements.chunks(ELEMENTS) {
            self.message(kind, flags, |table, a| {
                a.text(1, table).text(2, set);
                a.nest(3, |a| some.iter().for_each(|element| element.write(a)));
            });
        }
    }

    /// A set of addresses.
    pub fn set(&mut self, name: &str) {
        self.message(NEW_SET, NLM_F_CREATE, |table, a| {
            a.text(1, table).text(2, name).number(3, 0).number(4, TYPE_IPV4).number(5, 4).number(10, 1);
        });
    }

    pub fn add_address(&mut self, set: &str, address: Ipv4Addr) {
        self.element(NEW_ELEMENT, NLM_F_CREATE, set, &address.octets(), None);
    }

    /// Fails as a whole when the address is not in the set.
    pub fn remove_address(&mut self, set: &str, address: Ipv4Addr) {
        self.element(DELETE_ELEMENT, 0, set, &address.octets(), None);
    }

    /// A map from a port to where its packets go.
    pub fn map(&mut self, name: &str) {
        self.message(NEW_SET, NLM_F_CREATE, |table, a| {
            a.text(1, table).text(2, name).number(3, IS_MAP).number(4, TYPE_PORT).number(5, 2);
            a.number(6, TYPE_TARGET).number(7, TARGET_BYTES).number(10, 1);
        });
    }

    /// Fails as a whole when the port leads elsewhere already.
    pub fn add_target(&mut self, map: &str, port: u16, target: Target) {
        self.element(NEW_ELEMENT, NLM_F_CREATE, map, &port.to_be_bytes(), Some(&target.bytes()));
    }

    /// Fails as a whole when the port leads nowhere.
    pub fn remove_target(&mut self, map: &str, port: u16) {
        self.element(DELETE_ELEMENT, 0, map, &port.to_be_bytes(), None);
    }

    fn element(&mut self, kind: u16, flags: u16, set: &str, key: &[u8], data: Option<&[u8]>) {
        self.message(kind, flags, |table, a| {
            a.text(1, table).text(2, set);
            a.nest(3, |a| {
                a.nest(LIST_ELEMENT, |a| {
                    a.nest(1, |a| {
                        a.raw(1, key);
                    });
                    if let Some(data) = data {
                        a.nest(2, |a| {
                            a.raw(1, data);
                        });
                    }
                });
            });
        });
    }

    pub fn rule(&mut self, chain: &str, expressions: &[Expression<'_>]) {
        self.message(NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, |table, a| {
            a.text(1, table).text(2, chain);
            a.nest(4, |a| expressions.iter().for_each(|expression| write(*expression, a)));
        });
    }
}
