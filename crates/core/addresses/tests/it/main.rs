//! Tables and properties of address arithmetic.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use base::Region;
use core_addresses::*;
use proptest::prelude::*;

fn range(text: &str) -> Cidr {
    text.parse().unwrap()
}

#[test]
fn ranges_parse_only_in_canonical_form() {
    for text in ["0.0.0.0/0", "172.31.0.0/16", "10.1.2.3/32", "172.31.16.0/20"] {
        assert_eq!(range(text).to_string(), text);
    }
    for text in ["", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0/8", "::/0"]
    {
        assert_eq!(text.parse::<Cidr>(), Err(CidrError::Malformed), "{text}");
    }
    assert_eq!("10.0.0.1/16".parse::<Cidr>(), Err(CidrError::HostBits));
}

#[test]
fn set_bits_after_the_prefix_can_be_cleared() {
    assert_eq!(Cidr::canonical("100.68.0.18/18"), Ok(range("100.68.0.0/18")));
    assert_eq!(Cidr::canonical("1.2.3.4/0"), Ok(range("0.0.0.0/0")));
    for text in ["", "1.2.3.4", "1.2.3.4/33", "1.2.3/8", "1.2.3.4/8/8", "::/0"] {
        assert_eq!(Cidr::canonical(text), Err(CidrError::Malformed), "{text}");
    }
}

#[test]
fn a_range_is_kept_as_its_text() {
    let range = range("172.31.16.0/20");
    let kept = serde_json::to_string(&range).unwrap();
    assert_eq!(kept, "\"172.31.16.0/20\"");
    assert_eq!(serde_json::from_str::<Cidr>(&kept).unwrap(), range);
    assert!(serde_json::from_str::<Cidr>("\"172.31.16.1/20\"").is_err());
}

#[test]
fn the_default_subnets_lie_apart_in_the_default_vpc() {
    for (i, one) in DEFAULT_SUBNETS.iter().enumerate() {
        assert!(DEFAULT_VPC.covers(*one));
        // AWS: an empty /20 shows 4091 available addresses.
        assert_eq!(capacity(*one), 4091);
        assert!(DEFAULT_SUBNETS[i + 1..].iter().all(|other| !one.overlaps(*other)));
    }
}

#[test]
fn reserved_addresses_are_never_given() {
    let subnet = range("10.0.0.16/28");
    let mut used = BTreeSet::new();
    while let Some(address) = next_free(subnet, 9, |a| used.contains(&a)) {
        assert!(is_assignable(subnet, address));
        assert!(used.insert(address));
    }
    let expected: BTreeSet<_> = (20..=30).map(|last| Ipv4Addr::new(10, 0, 0, last)).collect();
    assert_eq!(used, expected);
    assert_eq!(next_free(range("10.0.0.0/30"), 0, |_| false), None);
    assert_eq!(next_free(range("10.0.0.1/32"), 7, |_| false), None);
}

#[test]
fn names_spell_addresses_and_back() {
    let (east, west) = (Region::default_region(), Region::parse("eu-west-1").unwrap());
    let address = Ipv4Addr::new(172, 31, 0, 5);
    assert_eq!(private_dns_name(address, &east), "ip-172-31-0-5.ec2.internal");
    assert_eq!(private_dns_name(address, &west), "ip-172-31-0-5.eu-west-1.compute.internal");
    assert_eq!(private_address("IP-172-31-0-5.ec2.internal.", &east), Some(address));
    for wrong in
        ["ip-172-31-0-5.ec2.internal.x", "ip-172-31-0.ec2.internal", "ip-172-31-0-256.ec2.internal", "x"]
    {
        assert_eq!(private_address(wrong, &east), None, "{wrong}");
    }
    assert_eq!(private_address("ip-172-31-0-5.ec2.internal", &west), None);
}

#[test]
fn the_vpc_answers_at_its_first_addresses() {
    assert_eq!(resolver_of(DEFAULT_VPC), Ipv4Addr::new(172, 31, 0, 2));
    assert_eq!(gateway_of(DEFAULT_SUBNETS[1]), Ipv4Addr::new(172, 31, 16, 1));
}

proptest! {
    #[test]
    fn a_range_contains_exactly_its_hosts(bits in any::<u32>(), prefix in 20u8..=32, other in any::<u32>()) {
        let range = Cidr::new(Ipv4Addr::from_bits(bits), prefix);
        prop_assert_eq!(range.hosts().count() as u64, range.size());
        prop_assert!(range.hosts().all(|a| range.contains(a)));
        let other = Ipv4Addr::from_bits(other);
        prop_assert_eq!(range.contains(other), range.hosts().any(|a| a == other));
        prop_assert_eq!(range.to_string().parse::<Cidr>(), Ok(range));
    }

    #[test]
    fn a_free_address_is_found_while_there_is_one(start in any::<u64>(), holes in prop::collection::btree_set(4u8..=30, 1..8)) {
        let subnet = range("10.0.0.0/27");
        let is_used = |a: Ipv4Addr| !holes.contains(&a.octets()[3]);
        let found = next_free(subnet, start, is_used).unwrap();
        prop_assert!(holes.contains(&found.octets()[3]));
    }

    #[test]
    fn hardware_addresses_are_local_unicast(eni in "eni-[0-9a-f]{17}") {
        let mac = mac_of(&eni);
        prop_assert_eq!(mac.0[0] & 0b11, 0b10);
        prop_assert_eq!(mac.to_string().parse::<Mac>(), Ok(mac));
    }
}
