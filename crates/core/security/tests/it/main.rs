//! Verdicts of security groups through their public surface.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::Ipv4Addr;

use core_security::{Direction, Group, Member, Packet, Peer, Rule, Traffic, Vpc, allows, reaches};
use proptest::prelude::*;

fn rule(traffic: Traffic, peer: &str) -> Rule {
    let peer = match peer.strip_prefix("sg-") {
        Some(_) => Peer::Group(peer.to_owned()),
        None => Peer::Range(peer.parse().unwrap()),
    };
    Rule { traffic, peer }
}

fn vpc(groups: &[(&str, &[Rule], &[Rule])], members: &[(&str, &[&str])]) -> Vpc {
    let group = |(id, ingress, egress): &(&str, &[Rule], &[Rule])| Group {
        id: (*id).to_owned(),
        ingress: ingress.to_vec(),
        egress: egress.to_vec(),
    };
    let member = |(address, groups): &(&str, &[&str])| Member {
        address: address.parse().unwrap(),
        groups: groups.iter().map(|id| (*id).to_owned()).collect(),
    };
    Vpc {
        groups: groups.iter().map(group).collect(),
        members: members.iter().map(member).collect(),
        ..Vpc::default()
    }
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

#[test]
fn the_internet_comes_in_where_a_rule_names_all_of_it() {
    let check = |traffic: Traffic, peer: &str, groups: &[&str], expected: bool| {
        let vpc = vpc(&[("sg-1", &[rule(traffic, peer)], &[])], &[]);
        let groups: Vec<_> = groups.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(vpc.is_open_to_the_internet(&groups, 80), expected, "{traffic:?} {peer}");
    };
    check(Traffic::Tcp(80, 80), "0.0.0.0/0", &["sg-1"], true);
    check(Traffic::All, "0.0.0.0/0", &["sg-2", "sg-1"], true);
    check(Traffic::Protocol(6), "0.0.0.0/0", &["sg-1"], true);
    check(Traffic::Tcp(81, 90), "0.0.0.0/0", &["sg-1"], false);
    check(Traffic::Udp(80, 80), "0.0.0.0/0", &["sg-1"], false);
    check(Traffic::Tcp(80, 80), "10.0.0.0/8", &["sg-1"], false);
    check(Traffic::Tcp(80, 80), "sg-1", &["sg-1"], false);
    check(Traffic::Tcp(80, 80), "0.0.0.0/0", &["sg-2"], false);
}

#[test]
fn what_no_rule_allows_is_denied() {
    let vpc = vpc(&[("sg-1", &[], &[])], &[]);
    for direction in [Direction::Ingress, Direction::Egress] {
        assert!(!allows(&vpc, &["sg-1"], direction, Packet::Tcp(80), ip("10.0.0.1")));
        assert!(!allows(&vpc, &["sg-none"], direction, Packet::Tcp(80), ip("10.0.0.1")));
        assert!(!allows(&vpc, &[] as &[&str], direction, Packet::Tcp(80), ip("10.0.0.1")));
    }
}

#[test]
fn ports_and_ranges_include_their_ends() {
    let vpc = vpc(&[("sg-1", &[rule(Traffic::Tcp(80, 90), "10.0.0.0/24")], &[])], &[]);
    let check = |port, from: &str| allows(&vpc, &["sg-1"], Direction::Ingress, Packet::Tcp(port), ip(from));
    assert!(check(80, "10.0.0.0") && check(90, "10.0.0.255"));
    assert!(!check(79, "10.0.0.1") && !check(91, "10.0.0.1") && !check(80, "10.0.1.0"));
}

#[test]
fn a_rule_is_about_its_own_protocol_and_direction() {
    let all = "0.0.0.0/0";
    let table = [
        (Traffic::All, [true, true, true, true]),
        (Traffic::Tcp(0, 65535), [true, false, false, false]),
        (Traffic::Udp(0, 65535), [false, true, false, false]),
        (Traffic::Icmp(None, None), [false, false, true, false]),
        (Traffic::Icmp(Some(8), None), [false, false, true, false]),
        (Traffic::Icmp(Some(8), Some(1)), [false, false, false, false]),
        (Traffic::Icmp(Some(0), Some(0)), [false, false, false, false]),
        (Traffic::Protocol(50), [false, false, false, true]),
        (Traffic::Protocol(6), [true, false, false, false]),
    ];
    for (traffic, expected) in table {
        let vpc = vpc(&[("sg-1", &[], &[rule(traffic, all)])], &[]);
        let packets = [Packet::Tcp(1), Packet::Udp(1), Packet::Icmp(8, 0), Packet::Other(50)];
        for (packet, expected) in packets.into_iter().zip(expected) {
            let got = allows(&vpc, &["sg-1"], Direction::Egress, packet, ip("1.2.3.4"));
            assert_eq!(got, expected, "{traffic:?} {packet:?}");
            assert!(!allows(&vpc, &["sg-1"], Direction::Ingress, packet, ip("1.2.3.4")));
        }
    }
}

#[test]
fn a_group_as_peer_is_its_members() {
    let rules = [rule(Traffic::Tcp(80, 80), "sg-web")];
    let vpc = vpc(
        &[("sg-app", &rules, &[]), ("sg-web", &[], &[])],
        &[("10.0.0.1", &["sg-web"]), ("10.0.0.2", &["sg-app", "sg-web"]), ("10.0.0.3", &["sg-app"])],
    );
    let check = |from: &str| allows(&vpc, &["sg-app"], Direction::Ingress, Packet::Tcp(80), ip(from));
    assert!(check("10.0.0.1") && check("10.0.0.2"));
    assert!(!check("10.0.0.3") && !check("10.0.0.4"));
}

#[test]
fn rules_of_all_groups_count_together() {
    let (http, tls) =
        ([rule(Traffic::Tcp(80, 80), "0.0.0.0/0")], [rule(Traffic::Tcp(443, 443), "0.0.0.0/0")]);
    let vpc = vpc(&[("sg-1", &http, &[]), ("sg-2", &tls, &[])], &[]);
    for port in [80, 443] {
        let both = ["sg-1", "sg-2"];
        assert!(allows(&vpc, &both, Direction::Ingress, Packet::Tcp(port), ip("9.9.9.9")));
    }
    assert!(!allows(&vpc, &["sg-1"], Direction::Ingress, Packet::Tcp(443), ip("9.9.9.9")));
}

#[test]
fn both_ends_have_a_say() {
    let out = [rule(Traffic::Tcp(80, 80), "10.0.0.0/16")];
    let within = [rule(Traffic::All, "sg-lb")];
    let vpc = vpc(
        &[("sg-lb", &[], &out), ("sg-app", &within, &[])],
        &[("10.0.0.1", &["sg-lb"]), ("10.0.0.2", &["sg-app"])],
    );
    assert!(reaches(&vpc, ip("10.0.0.1"), ip("10.0.0.2"), Packet::Tcp(80)));
    assert!(!reaches(&vpc, ip("10.0.0.1"), ip("10.0.0.2"), Packet::Tcp(81)), "the first may not send it");
    assert!(!reaches(&vpc, ip("10.0.0.2"), ip("10.0.0.1"), Packet::Tcp(80)), "no egress there");
    assert!(!reaches(&vpc, ip("10.0.0.9"), ip("10.0.0.2"), Packet::Tcp(80)), "no member of sg-lb");
}

proptest! {
    /// One rule more never takes away what was allowed.
    #[test]
    fn rules_only_add(ports in prop::collection::vec((0u16..100, 0u16..100), 0..6), extra in (0u16..100, 0u16..100), port in 0u16..100) {
        let rules: Vec<Rule> = ports.iter().map(|(a, b)| rule(Traffic::Tcp(*a, *b), "10.0.0.0/8")).collect();
        let more: Vec<Rule> = rules.iter().cloned().chain([rule(Traffic::Tcp(extra.0, extra.1), "10.0.0.0/8")]).collect();
        let check = |rules: &[Rule]| {
            let vpc = vpc(&[("sg-1", rules, &[])], &[]);
            allows(&vpc, &["sg-1"], Direction::Ingress, Packet::Tcp(port), ip("10.1.2.3"))
        };
        prop_assert!(!check(&rules) || check(&more));
        prop_assert_eq!(check(&rules), ports.iter().any(|(a, b)| (*a..=*b).contains(&port)));
    }
}
