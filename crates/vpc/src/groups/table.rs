//! The table of security groups in a VPC's namespace.
//!
//! ```text
//! leave-input|forward|output   known connections pass; the sender's kind leads to its chain
//! enter-input|forward|output   … the receiver's kind …
//! map kinds      address → kind: one number for each set of groups that some member has
//! map egress     kind → out-of-<kind>: jump out-<group> for each of its groups, then drop
//! map ingress    kind → in-of-<kind>:  jump in-<group> …
//! set <group>    its members' addresses
//! out-<group>, in-<group>      its rules: up to three sets of ranges, and one for each group that it names
//! set ranges-<number>          of addresses with what is asked for
//! ```
//!
//! So a packet costs two look-ups and the rules of its own groups, however many members there are, and
//! a member that comes or goes costs an element in a map and in a set.

use std::net::Ipv4Addr;

use base::Chance;
use core_addresses::{Cidr, resolver_of};
use core_security::{Peer, Rule};

use super::ranges::{asked, ranges};
use crate::PLATFORM;
use crate::host::UPLINK;
use crate::net::{Batch, Chain, Element, Expression, Hook, Keyed, NamedSet, Side, Way};

pub const TABLE: &str = "boxship-groups";
pub const KINDS: &str = "kinds";
/// How names of sets of ranges begin; a number follows.
pub const RANGES: &str = "ranges-";
pub const EGRESS: &str = "egress";
pub const INGRESS: &str = "ingress";

/// One number for a set of groups; the same at every start.
pub type Kind = [u8; 8];

/// `groups`: sorted.
pub fn kind_of(groups: &[String]) -> Kind {
    Chance::new(0).split(&groups.join("+")).next().to_be_bytes()
}

/// Which rules of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    Egress,
    Ingress,
}

impl Direction {
    pub const BOTH: [Direction; 2] = [Direction::Egress, Direction::Ingress];

    fn prefix(self) -> &'static str {
        match self {
            Direction::Egress => "out",
            Direction::Ingress => "in",
        }
    }

    pub fn map(self) -> &'static str {
        match self {
            Direction::Egress => EGRESS,
            Direction::Ingress => INGRESS,
        }
    }

    /// Which end of the packet is the other one.
    fn peer(self) -> Side {
        match self {
            Direction::Egress => Side::Destination,
            Direction::Ingress => Side::Source,
        }
    }

    pub fn chain_of_group(self, group: &str) -> String {
        format!("{}-{group}", self.prefix())
    }

    pub fn chain_of_kind(self, kind: Kind) -> String {
        format!("{}-of-{:016x}", self.prefix(), u64::from_be_bytes(kind))
    }
}

/// The table with all that is the same for every group. `host`: the host's end of the uplink.
pub fn write_base(batch: &mut Batch<'_>, range: Cidr, host: Ipv4Addr) {
    batch.fresh_table();
    batch.named(KINDS, NamedSet::Kinds);
    Direction::BOTH.iter().for_each(|direction| batch.named(direction.map(), NamedSet::Chains));
    let known = [Expression::IsKnown, Expression::Accept];
    let sender = [Expression::ByKind(Side::Source, KINDS, EGRESS)];
    let receiver = [Expression::ByKind(Side::Destination, KINDS, INGRESS)];
    // A packet that is under way while rules change may find its kind's chain without rules.
    let lost =
        [Side::Source, Side::Destination].map(|side| [Expression::HasKind(side, KINDS), Expression::Drop]);
    // Tasks without a kind are none that anybody told of.
    let stranger = [Expression::InputIsNot(UPLINK), Expression::Drop];
    // What the host itself sends is the operator's.
    let operator = [Expression::InputIs(UPLINK), Expression::SourceIs(host), Expression::Accept];
    // What begins and ends here has passed on its way out.
    let own = [Expression::InputIs("lo"), Expression::Accept];
    // AWS: neither the resolver nor the platform's own address is filtered.
    let platform = [PLATFORM, resolver_of(range)]
        .map(|address| [Expression::DestinationWithin(Cidr::new(address, 32)), Expression::Accept]);

    let names = [
        ("leave-forward", Hook::MayLeave(Way::Through)),
        ("leave-input", Hook::MayLeave(Way::In)),
        ("leave-output", Hook::MayLeave(Way::Out)),
        ("enter-forward", Hook::MayEnter(Way::Through)),
        ("enter-input", Hook::MayEnter(Way::In)),
        ("enter-output", Hook::MayEnter(Way::Out)),
    ];
    for (name, hook) in names {
        batch.chain(Chain { name, hook });
        batch.rule(name, &known);
        if matches!(hook, Hook::MayLeave(Way::In) | Hook::MayEnter(Way::In)) {
            batch.rule(name, &own);
        }
        match hook {
            Hook::MayLeave(way) => {
                if way == Way::In {
                    platform.iter().for_each(|one| batch.rule(name, one));
                }
                batch.rule(name, &sender);
                batch.rule(name, &lost[0]);
                if way != Way::Out {
                    batch.rule(name, &stranger);
                }
            }
            _ => {
                batch.rule(name, &operator);
                batch.rule(name, &receiver);
                batch.rule(name, &lost[1]);
            }
        }
    }
}

/// A group that allows nothing yet. One that exists stays as it is.
pub fn write_group(batch: &mut Batch<'_>, group: &str) {
    batch.named(group, NamedSet::Addresses);
    Direction::BOTH.iter().for_each(|direction| batch.part(&direction.chain_of_group(group)));
}

/// What a direction's rules about ranges have become.
pub enum Written {
    /// Everything, everywhere.
    Open,
    /// Sets by name.
    Sets(Vec<(Keyed, String)>),
}

/// The sets that [`write_rules`] uses. `number`: of the last one.
pub fn write_ranges(batch: &mut Batch<'_>, rules: &[Rule], number: &mut u32) -> Written {
    let ranges = ranges(rules);
    if ranges.is_open {
        return Written::Open;
    }
    let mut write = |(keyed, elements): (Keyed, Vec<Element<'_>>)| {
        *number += 1;
        let name = format!("{RANGES}{number}");
        batch.ranges(&name, keyed, &elements);
        (keyed, name)
    };
    Written::Sets(ranges.tables.into_iter().map(&mut write).collect())
}

/// The rules of a group in one direction, instead of those that it had.
pub fn write_rules(
    batch: &mut Batch<'_>,
    group: &str,
    direction: Direction,
    rules: &[Rule],
    ranges: &Written,
) {
    let (chain, side) = (direction.chain_of_group(group), direction.peer());
    batch.clear(&chain);
    let Written::Sets(sets) = ranges else {
        return batch.rule(&chain, &[Expression::Accept]);
    };
    for (keyed, name) in sets {
        let lookup = [Expression::Asks(side, *keyed, name), Expression::Accept];
        match keyed {
            Keyed::Icmp => {
                let icmp = Expression::ProtocolNumber(super::ranges::ICMP);
                batch.rule(&chain, &[&[icmp], &lookup[..]].concat());
            }
            Keyed::Port | Keyed::Protocol => batch.rule(&chain, &lookup),
        }
    }
    for rule in rules {
        let Peer::Group(peer) = &rule.peer else { continue };
        let (keyed, protocols, (first, last)) = asked(rule.traffic);
        let mut steps = Vec::with_capacity(4);
        if protocols.0 == protocols.1 {
            steps.push(Expression::ProtocolNumber(protocols.0 as u8));
        }
        if keyed != Keyed::Protocol && (first, last) != (0, u16::MAX) {
            steps.push(Expression::AsksWithin(keyed, first, last));
        }
        steps.extend([Expression::AddressIn(side, peer), Expression::Accept]);
        batch.rule(&chain, &steps);
    }
}

/// A kind's chains, with the way to them.
pub fn write_kind(batch: &mut Batch<'_>, groups: &[String]) {
    let kind = kind_of(groups);
    for direction in Direction::BOTH {
        let chain = direction.chain_of_kind(kind);
        batch.part(&chain);
        batch.clear(&chain);
        for group in groups {
            batch.rule(&chain, &[Expression::Jump(&direction.chain_of_group(group))]);
        }
        let end = if groups.is_empty() { Expression::Accept } else { Expression::Drop };
        batch.rule(&chain, &[end]);
        batch.add(direction.map(), &[Element::Chain(kind, &chain)]);
    }
}

pub fn delete_kind(batch: &mut Batch<'_>, kind: Kind) {
    for direction in Direction::BOTH {
        let chain = direction.chain_of_kind(kind);
        batch.remove(direction.map(), &[Element::Chain(kind, &chain)]);
        batch.delete_chain(&chain);
    }
}

/// Of groups that may name each other.
pub fn delete_groups(batch: &mut Batch<'_>, groups: &[String]) {
    let chains = |group: &String| Direction::BOTH.map(|direction| direction.chain_of_group(group));
    groups.iter().flat_map(chains).for_each(|chain| batch.delete_chain(&chain));
    groups.iter().for_each(|group| batch.delete_set(group));
}
