//! Who may be chosen, and who is.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use base::{Chance, Timestamp};
use core_routing::{
    Algorithm, Anomaly, Balance, GroupCheck, GroupKind, Matcher, MinimumHealthy, Pool, Protocol, Standings,
    Stands, State, Tally, Target, TargetGroup, Version, anomalies,
};
use proptest::prelude::*;

pub fn group(zones: &[Option<&str>]) -> TargetGroup {
    let target = |(at, zone): (usize, &Option<&str>)| Target {
        id: format!("10.0.0.{at}").into(),
        port: 80,
        address: Ipv4Addr::new(10, 0, 0, at as u8),
        zone: zone.map(Into::into),
        registered_at: Timestamp::EPOCH,
        draining_until: None,
    };
    TargetGroup {
        arn: "arn:blue".into(),
        id: "targetgroup/blue/1".into(),
        kind: GroupKind::Ip,
        protocol: Protocol::Http,
        version: Version::Http1,
        check: GroupCheck {
            protocol: Protocol::Http,
            port: None,
            path: "/".into(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            healthy_after: 5,
            unhealthy_after: 2,
            matcher: Matcher::Http(vec![(200, 200)]),
        },
        algorithm: Algorithm::RoundRobin,
        mitigates_anomalies: false,
        stickiness: None,
        slow_start_for: Duration::ZERO,
        deregistration_delay_for: Duration::from_secs(300),
        held_for: Duration::ZERO,
        cross_zone: true,
        healthy: MinimumHealthy::default(),
        targets: zones.iter().enumerate().map(target).collect(),
    }
}

/// States, requests under way, healthy since.
struct Live(Vec<(State, u32, Timestamp)>);

impl Standings for Live {
    fn state(&self, at: usize) -> State {
        self.0[at].0
    }
    fn in_flight(&self, at: usize) -> u32 {
        self.0[at].1
    }
    fn healthy_at(&self, at: usize) -> Timestamp {
        self.0[at].2
    }
}

/// `H`ealthy, `U`nhealthy, `I`nitial.
fn live(states: &str) -> Live {
    let state = |letter| match letter {
        'H' => State::Healthy,
        'U' => State::Unhealthy,
        _ => State::Initial,
    };
    Live(states.chars().map(|letter| (state(letter), 0, Timestamp::EPOCH)).collect())
}

fn now() -> Timestamp {
    Timestamp::from_secs(1_000_000)
}

fn picks(group: &TargetGroup, live: &Live, count: usize) -> BTreeMap<usize, usize> {
    let pool = Pool::of(group, live, None);
    let mut balance = Balance::new(Chance::new(7));
    let mut picks = BTreeMap::new();
    for _ in 0..count {
        *picks.entry(balance.choose(group, &pool, live, now()).unwrap()).or_default() += 1;
    }
    picks
}

#[test]
fn only_the_healthy_serve_unless_none_is() {
    for (states, members, fails_open) in [
        ("HHH", vec![0, 1, 2], false),
        ("HUI", vec![0], false),
        ("UUU", vec![0, 1, 2], true),
        ("IUI", vec![0, 1, 2], true),
        ("", vec![], true),
    ] {
        let pool = Pool::of(&group(&vec![None; states.len()]), &live(states), None);
        assert_eq!((pool.members(), pool.fails_open()), (members.as_slice(), fails_open), "{states}");
        assert!(members.iter().all(|at| pool.has(*at as usize)) && !pool.has(9));
    }
}

#[test]
fn requests_are_held_until_there_is_a_verdict() {
    for (states, holds) in [("", true), ("I", true), ("II", true), ("IH", false), ("IU", false), ("U", false)]
    {
        // The other zone's count, too.
        for zone in [None, Some("a")] {
            let mut group = group(&vec![Some("b"); states.len()]);
            assert!(!Pool::of(&group, &live(states), zone).holds(), "not asked for");
            group.held_for = Duration::from_secs(60);
            assert_eq!(Pool::of(&group, &live(states), zone).holds(), holds, "{states}");
        }
    }
    // One that drains is as good as gone.
    let mut group = group(&[None]);
    group.held_for = Duration::from_secs(60);
    group.targets[0].draining_until = Some(now());
    assert!(Pool::of(&group, &live("H"), None).holds());
}

#[test]
fn below_a_threshold_all_serve() {
    // Ten targets of which `healthy` are; AWS's example has 50 percent.
    let check = |count, percent, healthy: usize| {
        let mut group = group(&[None; 10]);
        group.healthy =
            MinimumHealthy { routing_count: count, routing_percent: percent, ..Default::default() };
        let states = "H".repeat(healthy) + &"U".repeat(10 - healthy);
        Pool::of(&group, &live(&states), None).members().len()
    };
    assert_eq!(check(None, Some(50), 5), 5);
    assert_eq!(check(None, Some(50), 4), 10);
    assert_eq!(check(Some(3), None, 3), 3);
    assert_eq!(check(Some(3), None, 2), 10);
    assert_eq!(check(Some(1), Some(50), 4), 10, "either is enough");
    assert_eq!(check(None, None, 1), 1);
}

#[test]
fn without_cross_zone_a_node_keeps_to_its_zone() {
    let mut group = group(&[Some("a"), Some("b"), None, Some("a")]);
    let members = |group: &TargetGroup, states, zone| Pool::of(group, &live(states), zone).members().to_vec();
    assert_eq!(members(&group, "HHHH", Some("a")), [0, 1, 2, 3]);
    group.cross_zone = false;
    assert_eq!(members(&group, "HHHH", Some("a")), [0, 2, 3]);
    assert_eq!(members(&group, "HHHH", Some("b")), [1, 2]);
    assert_eq!(members(&group, "HHHH", None), [0, 1, 2, 3]);
    // Counted by zone: zone b fails open by itself.
    assert_eq!(members(&group, "HUUH", Some("b")), [1, 2]);
    assert_eq!(members(&group, "HUUH", Some("a")), [0, 3]);
}

#[test]
fn the_draining_get_nothing() {
    let mut group = group(&[None, None]);
    group.targets[0].draining_until = Some(Timestamp::NEVER);
    assert_eq!(Pool::of(&group, &live("HH"), None).members(), [1]);
    assert_eq!(Pool::of(&group, &live("HU"), None).members(), [1], "fails open towards the other alone");
    group.targets[1].draining_until = Some(Timestamp::NEVER);
    let pool = Pool::of(&group, &live("HH"), None);
    assert_eq!(Balance::new(Chance::new(1)).choose(&group, &pool, &live("HH"), now()), None);
}

#[test]
fn round_robin_is_even() {
    let got = picks(&group(&[None; 3]), &live("HHH"), 300);
    assert_eq!(got, BTreeMap::from([(0, 100), (1, 100), (2, 100)]));
}

#[test]
fn least_outstanding_goes_where_least_is_under_way() {
    let mut group = group(&[None; 4]);
    group.algorithm = Algorithm::LeastOutstanding;
    let mut live = live("HHHU");
    for (at, under_way) in [5, 2, 9, 0].into_iter().enumerate() {
        live.0[at].1 = under_way;
    }
    assert_eq!(picks(&group, &live, 50), BTreeMap::from([(1, 50)]));
    live.0[0].1 = 2;
    let even = picks(&group, &live, 50);
    assert_eq!(even.keys().copied().collect::<Vec<_>>(), [0, 1], "ties are dealt");
}

#[test]
fn least_outstanding_finds_an_idle_target_in_a_large_group() {
    let mut group = group(&[]);
    group.algorithm = Algorithm::LeastOutstanding;
    let one = self::group(&[None]).targets.remove(0);
    group.targets = vec![one; 5_000];
    let live =
        Live((0..5_000).map(|at| (State::Healthy, u32::from(at % 100 != 0), Timestamp::EPOCH)).collect());
    let pool = Pool::of(&group, &live, None);
    let mut balance = Balance::new(Chance::new(3));
    for _ in 0..200 {
        assert_eq!(balance.choose(&group, &pool, &live, now()).unwrap() % 100, 0);
    }
}

#[test]
fn a_target_in_slow_start_gets_its_share_by_and_by() {
    let mut group = group(&[None; 2]);
    group.slow_start_for = Duration::from_secs(100);
    let share = |warm_for: u64| {
        let mut live = live("HH");
        live.0[1].2 = now() - Duration::from_secs(warm_for);
        picks(&group, &live, 10_000).get(&1).copied().unwrap_or(0)
    };
    assert_eq!(share(0), 0);
    // A tenth as warm as the other: one in eleven; half as warm: one in three.
    assert!((800..1_000).contains(&share(10)), "{}", share(10));
    assert!((3_200..3_470).contains(&share(50)), "{}", share(50));
    assert_eq!(share(100), 5_000);
}

#[test]
fn where_all_are_cold_all_serve() {
    let mut group = group(&[None; 2]);
    group.slow_start_for = Duration::from_secs(100);
    let mut live = live("HH");
    live.0.iter_mut().for_each(|target| target.2 = now());
    assert_eq!(picks(&group, &live, 1_000), BTreeMap::from([(0, 500), (1, 500)]));
}

#[test]
fn weighted_random_is_even_without_anomalies() {
    let mut group = group(&[None; 4]);
    group.algorithm = Algorithm::WeightedRandom;
    let got = picks(&group, &live("HHHH"), 8_000);
    assert!(got.values().all(|count| (1_800..2_200).contains(count)), "{got:?}");
}

#[test]
fn an_anomalous_target_gets_less_and_recovers() {
    let mut group = group(&[None; 4]);
    (group.algorithm, group.mitigates_anomalies) = (Algorithm::WeightedRandom, true);
    let live = live("HHHH");
    let pool = Pool::of(&group, &live, None);
    let mut balance = Balance::new(Chance::new(5));
    let mut at = now();
    let mut round = |balance: &mut Balance, is_third_bad: bool| {
        let mut third = 0;
        for _ in 0..4_000 {
            let target = balance.choose(&group, &pool, &live, at).unwrap();
            balance.note(target, !(target == 2 && is_third_bad));
            third += usize::from(target == 2);
        }
        at = at + Duration::from_secs(10);
        third
    };
    let before = round(&mut balance, true);
    for _ in 0..6 {
        round(&mut balance, true);
    }
    let during = round(&mut balance, true);
    assert!(during * 5 < before && during > 0, "{before} then {during}");
    assert_eq!(balance.verdicts(), Some(vec![(2, Anomaly { is_anomalous: true, is_mitigated: true })]));
    assert_eq!(balance.verdicts(), None);
    for _ in 0..8 {
        round(&mut balance, false);
    }
    let after = round(&mut balance, false);
    assert!(after * 10 > before * 9, "{before} then {after}");
    assert_eq!(balance.verdicts(), Some(Vec::new()));
}

#[test]
fn a_group_stands_in_a_zone_or_not() {
    let mut group = group(&[Some("a"), Some("a"), Some("b"), None]);
    let stands = |group: &TargetGroup, states: &str, zone: Option<&str>| {
        let Stands { dns, routing } = Stands::of(group, &live(states), zone);
        (dns, routing)
    };
    assert_eq!(stands(&group, "UUHU", Some("a")), (true, true));
    assert_eq!(stands(&group, "UUUU", Some("a")), (false, false));
    group.cross_zone = false;
    assert_eq!(stands(&group, "UUHU", Some("a")), (false, false));
    assert_eq!(stands(&group, "UUHU", Some("b")), (true, true));
    group.healthy = MinimumHealthy { dns_count: Some(2), routing_percent: Some(60), ..group.healthy };
    assert_eq!(stands(&group, "UUHH", Some("b")), (true, true));
    assert_eq!(stands(&group, "UUHU", Some("b")), (false, false));
    assert_eq!(stands(&group, "HUHU", Some("a")), (false, false));
    group.healthy = MinimumHealthy { dns_count: Some(2), ..MinimumHealthy::default() };
    assert_eq!(stands(&group, "HUHU", Some("a")), (false, true));
}

#[test]
fn an_anomaly_is_worse_than_the_others_and_no_accident() {
    let tally = |well, badly| Tally { well, badly };
    for (tallies, expected) in [
        (vec![tally(100, 0), tally(100, 0), tally(50, 50)], vec![false, false, true]),
        // All alike: no one is to blame.
        (vec![tally(50, 50), tally(50, 50), tally(50, 50)], vec![false; 3]),
        // Two are no crowd.
        (vec![tally(100, 0), tally(0, 100)], vec![false; 2]),
        // Too few requests.
        (vec![tally(100, 0), tally(100, 0), tally(5, 5)], vec![false; 3]),
        // Too small a gap.
        (vec![tally(10_000, 0), tally(10_000, 0), tally(9_700, 300)], vec![false; 3]),
        // One failure by chance.
        (vec![tally(30, 0), tally(30, 0), tally(29, 1)], vec![false; 3]),
        (
            vec![tally(0, 100), tally(100, 0), tally(0, 100), tally(100, 0), tally(100, 0)],
            vec![true, false, true, false, false],
        ),
        (vec![], vec![]),
    ] {
        assert_eq!(anomalies(&tallies), expected, "{tallies:?}");
    }
}

#[test]
fn a_second_try_goes_elsewhere() {
    let group = group(&[None; 3]);
    let pool = Pool::of(&group, &live("HHH"), None);
    let mut balance = Balance::new(Chance::new(1));
    let others: std::collections::BTreeSet<_> =
        (0..50).map(|_| balance.choose_other(&pool, &[1]).unwrap()).collect();
    assert_eq!(others.into_iter().collect::<Vec<_>>(), [0, 2]);
    let alone = Pool::of(&group, &live("UHU"), None);
    assert_eq!(balance.choose_other(&alone, &[1]), None);
}

proptest! {
    #[test]
    fn whoever_is_chosen_may_be(
        states in "[HUI]{1,12}",
        draining in prop::collection::vec(any::<bool>(), 12),
        zones in prop::collection::vec(prop::option::of(prop_oneof![Just("a"), Just("b")]), 12),
        algorithm in prop_oneof![Just(Algorithm::RoundRobin), Just(Algorithm::LeastOutstanding), Just(Algorithm::WeightedRandom)],
        cross_zone in any::<bool>(), slow in 0u64..3, seed in any::<u64>(),
    ) {
        let mut group = group(&zones[..states.len()]);
        (group.algorithm, group.cross_zone, group.mitigates_anomalies) = (algorithm, cross_zone, true);
        group.slow_start_for = Duration::from_secs(slow * 60);
        for (target, is_draining) in group.targets.iter_mut().zip(&draining) {
            target.draining_until = is_draining.then_some(Timestamp::NEVER);
        }
        let live = live(&states);
        let pool = Pool::of(&group, &live, Some("a"));
        let mut balance = Balance::new(Chance::new(seed));
        for _ in 0..20 {
            match balance.choose(&group, &pool, &live, now()) {
                None => prop_assert!(pool.members().is_empty()),
                Some(at) => {
                    prop_assert!(pool.has(at));
                    prop_assert!(group.targets[at].draining_until.is_none());
                    prop_assert!(pool.fails_open() || live.state(at) == State::Healthy);
                    prop_assert!(cross_zone || group.targets[at].zone.as_deref().is_none_or(|zone| zone == "a"));
                }
            }
        }
    }
}
