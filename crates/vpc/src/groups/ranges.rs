//! Rules about ranges of addresses, as sets whose elements do not overlap: the kernel refuses others.

use std::collections::{BTreeMap, BTreeSet};

use core_addresses::Cidr;
use core_security::{Peer, Rule, Traffic};

use crate::net::{Element, Keyed};

const TCP: u8 = 6;
const UDP: u8 = 17;
pub const ICMP: u8 = 1;
/// Numbers in a row, inclusive.
type Run = (u16, u16);
/// By range of addresses, what is allowed of one protocol.
type Space = BTreeMap<Cidr, Vec<Run>>;

/// What one direction's rules allow by range of addresses.
#[derive(Debug)]
pub struct Ranges {
    /// Everything, everywhere: nothing else matters.
    pub is_open: bool,
    pub tables: Vec<(Keyed, Vec<Element<'static>>)>,
}

/// How traffic is told from other traffic within a protocol.
pub fn asked(traffic: Traffic) -> (Keyed, Run, Run) {
    const WHOLE: Run = (0, u16::MAX);
    let one = |protocol: u8| (u16::from(protocol), u16::from(protocol));
    match traffic {
        Traffic::All => (Keyed::Protocol, (0, u16::from(u8::MAX)), WHOLE),
        Traffic::Protocol(number) => (Keyed::Protocol, one(number), WHOLE),
        Traffic::Tcp(first, last) => (Keyed::Port, one(TCP), (first, last)),
        Traffic::Udp(first, last) => (Keyed::Port, one(UDP), (first, last)),
        Traffic::Icmp(None, _) => (Keyed::Icmp, one(ICMP), WHOLE),
        Traffic::Icmp(Some(kind), code) => {
            let [low, high] = code.map_or([0, u8::MAX], |code| [code, code]);
            let number = |code| u16::from_be_bytes([kind, code]);
            (Keyed::Icmp, one(ICMP), (number(low), number(high)))
        }
    }
}

pub fn ranges(rules: &[Rule]) -> Ranges {
    // By key and first number of the protocol; whole protocols are one space of their own.
    let mut spaces: BTreeMap<(Keyed, u16), Space> = BTreeMap::new();
    for rule in rules {
        let Peer::Range(range) = &rule.peer else { continue };
        let (keyed, protocols, numbers) = asked(rule.traffic);
        if rule.traffic == Traffic::All && range.prefix() == 0 {
            return Ranges { is_open: true, tables: Vec::new() };
        }
        let (space, run) = if keyed == Keyed::Protocol { (0, protocols) } else { (protocols.0, numbers) };
        if run.0 <= run.1 {
            spaces.entry((keyed, space)).or_default().entry(*range).or_default().push(run);
        }
    }
    let mut tables: BTreeMap<Keyed, Vec<Element<'static>>> = BTreeMap::new();
    for ((keyed, protocol), space) in spaces {
        let elements =
            apart(space).into_iter().map(|(range, run)| element(keyed, protocol as u8, range, run));
        tables.entry(keyed).or_default().extend(elements);
    }
    Ranges { is_open: false, tables: tables.into_iter().collect() }
}

/// Without what a wider range has already: ranges nest or are apart, so nothing overlaps then.
fn apart(space: Space) -> Vec<(Cidr, Run)> {
    let space: BTreeMap<Cidr, Vec<Run>> =
        space.into_iter().map(|(range, runs)| (range, joined(runs))).collect();
    let prefixes: BTreeSet<u8> = space.keys().map(|range| range.prefix()).collect();
    let mut found = Vec::new();
    for (range, runs) in &space {
        let wider = prefixes.iter().filter(|prefix| **prefix < range.prefix());
        let wider = wider.filter_map(|prefix| space.get(&Cidr::new(range.base(), *prefix)));
        let taken = joined(wider.flatten().copied().collect());
        found.extend(runs.iter().flat_map(|run| without(*run, &taken)).map(|run| (*range, run)));
    }
    found
}

/// In order, with gaps in between.
fn joined(mut runs: Vec<Run>) -> Vec<Run> {
    runs.sort_unstable();
    let mut found: Vec<Run> = Vec::with_capacity(runs.len());
    for (first, last) in runs {
        match found.last_mut() {
            Some(before) if u32::from(first) <= u32::from(before.1) + 1 => before.1 = before.1.max(last),
            _ => found.push((first, last)),
        }
    }
    found
}

/// What is left of a run. `taken`: as [`joined`].
fn without(run: Run, taken: &[Run]) -> Vec<Run> {
    let mut left = Vec::new();
    let (mut next, end) = (u32::from(run.0), u32::from(run.1));
    for (first, last) in taken.iter().map(|(first, last)| (u32::from(*first), u32::from(*last))) {
        if last < next || first > end {
            continue;
        }
        if first > next {
            left.push((next as u16, (first - 1) as u16));
        }
        next = last + 1;
    }
    if next <= end {
        left.push((next as u16, end as u16));
    }
    left
}

fn element(keyed: Keyed, protocol: u8, range: Cidr, (first, last): Run) -> Element<'static> {
    let end = range.base().to_bits() | u32::MAX.checked_shr(u32::from(range.prefix())).unwrap_or(0);
    let key = |address: u32, number: u16| {
        let mut key = [0; 12];
        key[..4].copy_from_slice(&address.to_be_bytes());
        match keyed {
            Keyed::Port => {
                key[4] = protocol;
                key[8..10].copy_from_slice(&number.to_be_bytes());
            }
            Keyed::Icmp => key[4..6].copy_from_slice(&number.to_be_bytes()),
            Keyed::Protocol => key[4] = number as u8,
        }
        key
    };
    let length = if keyed == Keyed::Port { 12 } else { 8 };
    Element::Range(key(range.base().to_bits(), first), key(end, last), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &[(&str, Run)], want: &[(&str, Run)]) {
        let mut space = Space::new();
        for (range, run) in given {
            space.entry(range.parse().unwrap()).or_default().push(*run);
        }
        let found = apart(space);
        let want: Vec<(Cidr, Run)> = want.iter().map(|(range, run)| (range.parse().unwrap(), *run)).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn what_a_wider_range_has_is_left_out() {
        check(&[("10.0.0.0/8", (80, 90)), ("10.1.0.0/16", (80, 85))], &[("10.0.0.0/8", (80, 90))]);
        check(
            &[("10.1.0.0/16", (85, 95)), ("10.0.0.0/8", (80, 90)), ("10.1.0.0/16", (1, 1))],
            &[("10.0.0.0/8", (80, 90)), ("10.1.0.0/16", (1, 1)), ("10.1.0.0/16", (91, 95))],
        );
        check(
            &[("0.0.0.0/0", (22, 22)), ("10.0.0.0/8", (0, 65_535)), ("10.0.0.1/32", (22, 80))],
            &[("0.0.0.0/0", (22, 22)), ("10.0.0.0/8", (0, 21)), ("10.0.0.0/8", (23, 65_535))],
        );
        check(
            &[("10.0.0.0/8", (1, 2)), ("10.0.0.0/8", (3, 4)), ("10.0.0.0/8", (65_535, 65_535))],
            &[("10.0.0.0/8", (1, 4)), ("10.0.0.0/8", (65_535, 65_535))],
        );
    }

    /// Against the plain meaning, number by number, for random rules.
    #[test]
    fn nothing_is_lost_and_nothing_overlaps() {
        let mut chance = base::Chance::new(7);
        for _ in 0..200 {
            let mut space = Space::new();
            for _ in 0..=chance.below(8) {
                let prefix = [0, 8, 16, 24][chance.below(4) as usize];
                let address = std::net::Ipv4Addr::new(10, chance.below(2) as u8, chance.below(2) as u8, 0);
                let first = chance.below(20) as u16;
                let run = (first, first + chance.below(6) as u16);
                space.entry(Cidr::new(address, prefix)).or_default().push(run);
            }
            let found = apart(space.clone());
            for (second, third, number) in
                (0..2).flat_map(|a| (0..2).flat_map(move |b| (0..30_u16).map(move |c| (a, b, c))))
            {
                let address = std::net::Ipv4Addr::new(10, second, third, 1);
                let within =
                    |range: &Cidr, run: &Run| range.contains(address) && (run.0..=run.1).contains(&number);
                let meant = space.iter().any(|(range, runs)| runs.iter().any(|run| within(range, run)));
                let times = found.iter().filter(|(range, run)| within(range, run)).count();
                assert_eq!(times, usize::from(meant), "{address} {number} {space:?} {found:?}");
            }
        }
    }
}
