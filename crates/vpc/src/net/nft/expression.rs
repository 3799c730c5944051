//! The steps of rules, as the kernel's virtual machine has them: load into a register, compare.

use std::net::Ipv4Addr;

use core_addresses::Cidr;

use super::LIST_ELEMENT;
use super::sets::Keyed;
use crate::net::attributes::Attributes;

/// The register that our expressions use, and the next.
const REGISTER: u32 = 1;
const REGISTER_SECOND: u32 = 2;
/// The first one's second and third four bytes, by the finer numbering.
const REGISTER_SECOND_WORD: u32 = 9;
const REGISTER_THIRD_WORD: u32 = 10;
const ACCEPT: u32 = 1;
const DROP: u32 = 0;
/// -3.
pub const JUMP: u32 = 0u32.wrapping_sub(3);
const CT_ESTABLISHED_OR_RELATED: u32 = 0b110;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
/// The connection's destination was rewritten.
const CT_DESTINATION_NAT: u32 = 1 << 5;
const INPUT_NAME: u32 = 6;
const OUTPUT_NAME: u32 = 7;
const PRIORITY: u32 = 2;
const LAYER_4: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// Where IPv4's header has its addresses.
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;
const EQUAL: u32 = 0;
const UNEQUAL: u32 = 1;
const LESS: u32 = 2;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;

/// A transport protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    fn number(self) -> u8 {
        match self {
            Transport::Tcp => 6,
            Transport::Udp => 17,
        }
    }
}

/// A step of a rule; a rule goes on while its steps match.
#[derive(Debug, Clone, Copy)]
pub enum Expression<'a> {
    InputIs(&'a str),
    InputIsNot(&'a str),
    OutputIs(&'a str),
    OutputIsNot(&'a str),
    /// The link's name begins with this.
    OutputBegins(&'a str),
    OutputDoesNotBegin(&'a str),
    /// The packet opens a connection, or belongs to none.
    IsNew,
    /// The packet's connection was sent elsewhere than it wanted to go.
    IsRedirected,
    SourceIn(&'a str),
    SourceNotIn(&'a str),
    DestinationIn(&'a str),
    SourceWithin(Cidr),
    DestinationWithin(Cidr),
    DestinationOutside(Cidr),
    /// The destination is an address of this namespace's own.
    DestinationIsLocal,
    Protocol(Transport),
    DestinationPort(u16),
    /// True for so many packets of a hundred.
    PercentOf(u8),
    /// Sends on where the map leads from the destination's port; no match if it leads nowhere.
    SendTo(&'a str),
    /// The packet belongs to a connection that was let through, or to its troubles.
    IsKnown,
    SourceIs(Ipv4Addr),
    /// Goes on where the second map leads from what the first one says of an address.
    ByKind(Side, &'a str, &'a str),
    /// The map says something of an address.
    HasKind(Side, &'a str),
    /// What the packet asks for, and the address at its other side, are in a set of ranges.
    Asks(Side, Keyed, &'a str),
    AddressIn(Side, &'a str),
    ProtocolNumber(u8),
    /// The destination's port, or an ICMP message's type and code as one number, inclusive.
    AsksWithin(Keyed, u16, u16),
    Jump(&'a str),
    /// The class of the queue in which it waits to leave.
    Queue(u32),
    Masquerade,
    /// As if it came from this address.
    SendAs(Ipv4Addr),
    Accept,
    Drop,
}

/// An end of a packet's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Source,
    Destination,
}

impl Side {
    fn offset(self) -> u32 {
        match self {
            Side::Source => SOURCE,
            Side::Destination => DESTINATION,
        }
    }
}

fn step(a: &mut Attributes<'_>, name: &str, fill: impl FnOnce(&mut Attributes<'_>)) {
    a.nest(LIST_ELEMENT, |a| {
        a.text(1, name).nest(2, fill);
    });
}

pub fn write(expression: Expression<'_>, a: &mut Attributes<'_>) {
    match expression {
        Expression::InputIs(name) => link_is(a, INPUT_NAME, EQUAL, name),
        Expression::InputIsNot(name) => link_is(a, INPUT_NAME, UNEQUAL, name),
        Expression::OutputIs(name) => link_is(a, OUTPUT_NAME, EQUAL, name),
        Expression::OutputIsNot(name) => link_is(a, OUTPUT_NAME, UNEQUAL, name),
        // Comparing only as many bytes as the text has makes it a prefix.
        Expression::OutputBegins(text) => meta_is(a, OUTPUT_NAME, EQUAL, text.as_bytes()),
        Expression::OutputDoesNotBegin(text) => meta_is(a, OUTPUT_NAME, UNEQUAL, text.as_bytes()),
        Expression::IsNew => connection(a, CT_STATE, CT_ESTABLISHED_OR_RELATED, EQUAL),
        Expression::IsRedirected => connection(a, CT_STATUS, CT_DESTINATION_NAT, UNEQUAL),
        Expression::SourceIn(set) => address_in(a, SOURCE, set, true),
        Expression::SourceNotIn(set) => address_in(a, SOURCE, set, false),
        Expression::DestinationIn(set) => address_in(a, DESTINATION, set, true),
        Expression::SourceWithin(range) => address(a, SOURCE, range, EQUAL),
        Expression::DestinationWithin(range) => address(a, DESTINATION, range, EQUAL),
        Expression::DestinationOutside(range) => address(a, DESTINATION, range, UNEQUAL),
        Expression::DestinationIsLocal => destination_is_local(a),
        Expression::Protocol(transport) => meta_is(a, LAYER_4, EQUAL, &[transport.number()]),
        Expression::DestinationPort(port) => {
            payload(a, TRANSPORT_HEADER, 2, 2);
            compare(a, EQUAL, &port.to_be_bytes());
        }
        Expression::PercentOf(percent) => percent_of(a, percent),
        Expression::SendTo(map) => send_to(a, map),
        Expression::IsKnown => connection(a, CT_STATE, CT_ESTABLISHED_OR_RELATED, UNEQUAL),
        Expression::SourceIs(source) => address(a, SOURCE, Cidr::new(source, 32), EQUAL),
        Expression::ByKind(side, kinds, verdicts) => by_kind(a, side, kinds, verdicts),
        Expression::HasKind(side, kinds) => has_kind(a, side, kinds),
        Expression::Asks(side, keyed, set) => asks(a, side, keyed, set),
        Expression::AddressIn(side, set) => address_in(a, side.offset(), set, true),
        Expression::ProtocolNumber(number) => meta_is(a, LAYER_4, EQUAL, &[number]),
        Expression::AsksWithin(keyed, first, last) => asks_within(a, keyed, first, last),
        Expression::Jump(chain) => jump(a, chain),
        Expression::Queue(class) => {
            step(a, "immediate", |a| {
                a.number(1, REGISTER).nest(2, |a| {
                    a.raw(1, &class.to_ne_bytes());
                });
            });
            step(a, "meta", |a| {
                a.number(3, REGISTER).number(2, PRIORITY);
            });
        }
        Expression::Masquerade => step(a, "masq", |_| {}),
        Expression::SendAs(source) => send_as(a, source),
        Expression::Accept => verdict(a, ACCEPT),
        Expression::Drop => verdict(a, DROP),
    }
}

fn verdict(a: &mut Attributes<'_>, code: u32) {
    step(a, "immediate", |a| {
        a.number(1, 0).nest(2, |a| {
            a.nest(2, |a| {
                a.number(1, code);
            });
        });
    });
}

fn jump(a: &mut Attributes<'_>, chain: &str) {
    step(a, "immediate", |a| {
        a.number(1, 0).nest(2, |a| verdict_of(a, JUMP, chain));
    });
}

/// A verdict that leads to a chain, as data.
pub fn verdict_of(a: &mut Attributes<'_>, code: u32, chain: &str) {
    a.nest(2, |a| {
        a.number(1, code).text(2, chain);
    });
}

fn compare(a: &mut Attributes<'_>, operator: u32, value: &[u8]) {
    step(a, "cmp", |a| {
        a.number(1, REGISTER).number(2, operator).nest(3, |a| {
            a.raw(1, value);
        });
    });
}

fn meta_is(a: &mut Attributes<'_>, key: u32, operator: u32, value: &[u8]) {
    step(a, "meta", |a| {
        a.number(1, REGISTER).number(2, key);
    });
    compare(a, operator, value);
}

/// With its final zero the name is no prefix any more.
fn link_is(a: &mut Attributes<'_>, key: u32, operator: u32, name: &str) {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(0);
    meta_is(a, key, operator, &bytes);
}

/// Compares some bits of what is known of the packet's connection with zero.
fn connection(a: &mut Attributes<'_>, key: u32, bits: u32, operator: u32) {
    step(a, "ct", |a| {
        a.number(1, REGISTER).number(2, key);
    });
    mask(a, &bits.to_ne_bytes());
    compare(a, operator, &[0; 4]);
}

fn mask(a: &mut Attributes<'_>, bits: &[u8; 4]) {
    step(a, "bitwise", |a| {
        a.number(1, REGISTER).number(2, REGISTER).number(3, 4);
        a.nest(4, |a| {
            a.raw(1, bits);
        });
        a.nest(5, |a| {
            a.raw(1, &[0; 4]);
        });
    });
}

fn payload(a: &mut Attributes<'_>, header: u32, offset: u32, length: u32) {
    payload_to(a, REGISTER, header, offset, length);
}

fn payload_to(a: &mut Attributes<'_>, register: u32, header: u32, offset: u32, length: u32) {
    step(a, "payload", |a| {
        a.number(1, register).number(2, header).number(3, offset).number(4, length);
    });
}

fn address_in(a: &mut Attributes<'_>, offset: u32, set: &str, is_in: bool) {
    payload(a, NETWORK_HEADER, offset, 4);
    step(a, "lookup", |a| {
        a.text(1, set).number(2, REGISTER).number(5, u32::from(!is_in));
    });
}

fn address(a: &mut Attributes<'_>, offset: u32, range: Cidr, operator: u32) {
    payload(a, NETWORK_HEADER, offset, 4);
    let bits = u32::MAX.checked_shl(32 - u32::from(range.prefix())).unwrap_or(0);
    mask(a, &bits.to_be_bytes());
    compare(a, operator, &range.base().octets());
}

fn has_kind(a: &mut Attributes<'_>, side: Side, kinds: &str) {
    payload(a, NETWORK_HEADER, side.offset(), 4);
    step(a, "lookup", |a| {
        a.text(1, kinds).number(2, REGISTER).number(3, REGISTER_SECOND);
    });
}

fn by_kind(a: &mut Attributes<'_>, side: Side, kinds: &str, verdicts: &str) {
    has_kind(a, side, kinds);
    step(a, "lookup", |a| {
        a.text(1, verdicts).number(2, REGISTER_SECOND).number(3, 0);
    });
}

/// Loads side by side what the set's key has side by side.
fn asks(a: &mut Attributes<'_>, side: Side, keyed: Keyed, set: &str) {
    let protocol = |a: &mut Attributes<'_>| {
        step(a, "meta", |a| {
            a.number(1, REGISTER_SECOND_WORD).number(2, LAYER_4);
        });
    };
    payload(a, NETWORK_HEADER, side.offset(), 4);
    match keyed {
        Keyed::Port => {
            protocol(a);
            payload_to(a, REGISTER_THIRD_WORD, TRANSPORT_HEADER, 2, 2);
        }
        Keyed::Icmp => payload_to(a, REGISTER_SECOND_WORD, TRANSPORT_HEADER, 0, 2),
        Keyed::Protocol => protocol(a),
    }
    step(a, "lookup", |a| {
        a.text(1, set).number(2, REGISTER);
    });
}

fn asks_within(a: &mut Attributes<'_>, keyed: Keyed, first: u16, last: u16) {
    payload(a, TRANSPORT_HEADER, if keyed == Keyed::Icmp { 0 } else { 2 }, 2);
    if first == last {
        return compare(a, EQUAL, &first.to_be_bytes());
    }
    compare(a, AT_LEAST, &first.to_be_bytes());
    compare(a, AT_MOST, &last.to_be_bytes());
}

fn destination_is_local(a: &mut Attributes<'_>) {
    const ADDRESS_TYPE: u32 = 3;
    const OF_DESTINATION: u32 = 2;
    const LOCAL: u32 = 2;
    step(a, "fib", |a| {
        a.number(1, REGISTER).number(2, ADDRESS_TYPE).number(3, OF_DESTINATION);
    });
    compare(a, EQUAL, &LOCAL.to_ne_bytes());
}

/// Registers compare byte by byte, so the number is turned into network order first.
fn percent_of(a: &mut Attributes<'_>, percent: u8) {
    const RANDOM: u32 = 1;
    const TO_NETWORK: u32 = 1;
    step(a, "numgen", |a| {
        a.number(1, REGISTER).number(2, 100).number(3, RANDOM).number(4, 0);
    });
    step(a, "byteorder", |a| {
        a.number(1, REGISTER).number(2, REGISTER).number(3, TO_NETWORK).number(4, 4).number(5, 4);
    });
    compare(a, LESS, &u32::from(percent).to_be_bytes());
}

fn send_as(a: &mut Attributes<'_>, source: Ipv4Addr) {
    const SOURCE_KIND: u32 = 0;
    const FAMILY_IPV4: u32 = 2;
    step(a, "immediate", |a| {
        a.number(1, REGISTER).nest(2, |a| {
            a.raw(1, &source.octets());
        });
    });
    step(a, "nat", |a| {
        a.number(1, SOURCE_KIND).number(2, FAMILY_IPV4).number(3, REGISTER);
    });
}

fn send_to(a: &mut Attributes<'_>, map: &str) {
    const DESTINATION: u32 = 1;
    const FAMILY_IPV4: u32 = 2;
    payload(a, TRANSPORT_HEADER, 2, 2);
    step(a, "lookup", |a| {
        a.text(1, map).number(2, REGISTER).number(3, REGISTER);
    });
    step(a, "nat", |a| {
        a.number(1, DESTINATION).number(2, FAMILY_IPV4).number(3, REGISTER).number(5, REGISTER_SECOND_WORD);
    });
}
