//! What outcomes make of a target.

use std::time::Duration;

use base::{Chance, Timestamp};
use core_routing::{
    GroupCheck, Matcher, MatcherError, Outcome, Protocol, Reason, State, Watch, first_probe_at, step,
};
use proptest::prelude::*;

fn check(healthy_after: u32, unhealthy_after: u32) -> GroupCheck {
    GroupCheck {
        protocol: Protocol::Http,
        port: None,
        path: "/".into(),
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
        healthy_after,
        unhealthy_after,
        matcher: Matcher::http("200-299").unwrap(),
    }
}

/// Outcomes by letters: `.` 200, `5` 503, `t` timed out, `b` broken, `i` impossible. Answers the state
/// after each: `I`, `H`, `U`.
fn walk(outcomes: &str, healthy_after: u32, unhealthy_after: u32) -> String {
    let mut watch = Watch::new(Timestamp::EPOCH);
    let check = check(healthy_after, unhealthy_after);
    let letter = |(at, letter): (usize, char)| {
        let now = Timestamp::from_secs(at as i64 * 30);
        watch = step(&watch, outcome(letter), &check, now, now).watch;
        match watch.state {
            State::Initial => 'I',
            State::Healthy => 'H',
            State::Unhealthy => 'U',
        }
    };
    outcomes.chars().enumerate().map(letter).collect()
}

fn outcome(letter: char) -> Outcome {
    match letter {
        '.' => Outcome::Answered(200),
        '5' => Outcome::Answered(503),
        't' => Outcome::TimedOut,
        'b' => Outcome::Broken,
        _ => Outcome::Impossible,
    }
}

#[test]
fn states_follow_thresholds() {
    for (outcomes, healthy_after, unhealthy_after, expected) in [
        (".", 5, 2, "H"),
        ("5.", 5, 2, "IH"),
        ("55", 5, 2, "IU"),
        ("55.....", 5, 2, "IUUUUUH"),
        ("55....5.....", 5, 2, "IUUUUUUUUUUH"),
        (".5.5.5", 2, 2, "HHHHHH"),
        (".55", 2, 2, "HHU"),
        (".tb", 2, 2, "HHU"),
        (".55..", 2, 2, "HHUUH"),
        ("5", 2, 1, "U"),
        ("i", 2, 1, "U"),
        ("5555555555", 2, 10, "IIIIIIIIIU"),
    ] {
        assert_eq!(walk(outcomes, healthy_after, unhealthy_after), expected, "{outcomes}");
    }
}

#[test]
fn reasons_are_awss() {
    let check = check(2, 1);
    let reason = |outcome| {
        step(&Watch::new(Timestamp::EPOCH), outcome, &check, Timestamp::EPOCH, Timestamp::EPOCH)
            .watch
            .reason
            .unwrap()
    };
    for (reason, code, description) in [
        (Reason::Registering, "Elb.RegistrationInProgress", "Target registration is in progress"),
        (Reason::FirstChecks, "Elb.InitialHealthChecking", "Initial health checks in progress"),
        (
            reason(Outcome::Answered(404)),
            "Target.ResponseCodeMismatch",
            "Health checks failed with these codes: [404]",
        ),
        (reason(Outcome::TimedOut), "Target.Timeout", "Request timed out"),
        (reason(Outcome::Broken), "Target.FailedHealthChecks", "Health checks failed"),
        (reason(Outcome::Impossible), "Elb.InternalError", "Health checks failed due to an internal error"),
    ] {
        assert_eq!((reason.code(), &*reason.description()), (code, description));
    }
}

#[test]
fn only_changes_are_reported_and_a_new_reason_is_one() {
    let check = check(2, 2);
    let (began, now) = (Timestamp::from_secs(100), Timestamp::from_secs(104));
    let healthy = step(&Watch::new(Timestamp::EPOCH), Outcome::Answered(204), &check, began, now);
    assert!(healthy.is_change && healthy.failure.is_none());
    assert_eq!(
        (healthy.watch.since, healthy.wake_at),
        (now, Timestamp::from_secs(130)),
        "from when it began"
    );
    let again = step(&healthy.watch, Outcome::Answered(200), &check, began, now);
    assert!(!again.is_change);
    let first = step(&again.watch, Outcome::TimedOut, &check, began, now);
    assert!(!first.is_change && first.failure == Some(Reason::Timeout));
    let second = step(&first.watch, Outcome::TimedOut, &check, began, now);
    assert_eq!((second.is_change, second.watch.reason.clone()), (true, Some(Reason::Timeout)));
    let other = step(&second.watch, Outcome::Answered(500), &check, began, now);
    assert_eq!((other.is_change, other.watch.reason), (true, Some(Reason::Code(500))));
}

/// Probes a new target that is well from `well_at` on, each when it is due; answers when which came, in
/// milliseconds, and the end.
fn probed(well_at: u64, check: &GroupCheck) -> (Vec<i64>, State, Vec<i64>) {
    let well_at = Timestamp::EPOCH + Duration::from_millis(well_at);
    let mut watch = Watch::eager(Timestamp::EPOCH);
    let (mut all, mut counted, mut at) = (Vec::new(), Vec::new(), Timestamp::EPOCH);
    while watch.state == State::Initial {
        let outcome = if at < well_at { Outcome::Broken } else { Outcome::Answered(200) };
        let next = step(&watch, outcome, check, at, at + Duration::from_millis(1));
        all.push(at.as_millis());
        if !next.is_void {
            counted.push(at.as_millis());
        }
        (watch, at) = (next.watch, next.wake_at);
    }
    (all, watch.state, counted)
}

#[test]
fn a_new_target_is_found_well_soon_and_fails_at_the_pace_of_its_interval() {
    let check = check(5, 2);
    // At once, and after the moment that a program needs to listen.
    assert_eq!(probed(0, &check), (vec![0], State::Healthy, vec![0]));
    assert_eq!(probed(100, &check), (vec![0, 50, 100], State::Healthy, vec![0, 100]));
    for well_at in [130, 400, 1_000, 5_000, 20_000] {
        let (all, state, _) = probed(well_at, &check);
        let found = *all.last().unwrap() as u64;
        assert_eq!(state, State::Healthy);
        assert!((well_at..=well_at + 51 + well_at / 2).contains(&found), "{well_at}: {all:?}");
    }
    // Never: two failures an interval apart, whatever was seen in between, and few of those.
    let (all, state, counted) = probed(u64::MAX >> 20, &check);
    assert_eq!((state, counted), (State::Unhealthy, vec![0, 30_000]));
    assert!(all.len() < 20, "{all:?}");
}

#[test]
fn matchers_are_read_as_aws_reads_them() {
    let malformed = Err(MatcherError::Malformed);
    for (text, expected) in [
        ("200", Ok(vec![(200, 200)])),
        ("200,202", Ok(vec![(200, 200), (202, 202)])),
        ("200-299", Ok(vec![(200, 299)])),
        ("200-299,404", Ok(vec![(200, 299), (404, 404)])),
        ("", malformed.clone()),
        ("abc", malformed.clone()),
        ("200-", malformed.clone()),
        ("299-200", malformed.clone()),
        ("200,,202", malformed.clone()),
        ("+200", malformed.clone()),
        ("200 ", malformed.clone()),
        ("199", Err(MatcherError::OutOfRange(200, 599))),
        ("600", Err(MatcherError::OutOfRange(200, 599))),
    ] {
        assert_eq!(Matcher::http(text), expected.map(Matcher::Http), "{text}");
    }
    assert_eq!(Matcher::grpc("12"), Ok(Matcher::Grpc(vec![(12, 12)])));
    assert_eq!(Matcher::grpc("0-99"), Ok(Matcher::Grpc(vec![(0, 99)])));
    assert_eq!(Matcher::grpc("100"), Err(MatcherError::OutOfRange(0, 99)));
    let matcher = Matcher::http("200-299,404").unwrap();
    assert!([200, 250, 299, 404].into_iter().all(|code| matcher.has(code)));
    assert!([199, 300, 403, 405].into_iter().all(|code| !matcher.has(code)));
}

#[test]
fn first_probes_are_at_once_for_few_and_spread_for_many() {
    let mut chance = Chance::new(1);
    assert_eq!(first_probe_at(1, Timestamp::EPOCH, &mut chance), Timestamp::EPOCH);
    assert_eq!(first_probe_at(100, Timestamp::EPOCH, &mut chance), Timestamp::EPOCH);
    let mut by_tenth = [0; 50];
    for _ in 0..10_000 {
        let at = first_probe_at(10_000, Timestamp::EPOCH, &mut chance).as_millis();
        by_tenth[(at / 100) as usize] += 1;
    }
    assert!(by_tenth.iter().all(|count| *count < 300), "{by_tenth:?}");
}

proptest! {
    #[test]
    fn a_state_never_turns_by_fewer_outcomes_than_its_threshold(outcomes in "[.5tb]{0,60}", healthy_after in 2u32..6, unhealthy_after in 2u32..6) {
        let states: Vec<char> = walk(&outcomes, healthy_after, unhealthy_after).chars().collect();
        let outcomes: Vec<char> = outcomes.chars().collect();
        for at in 1..states.len() {
            let needed = match (states[at - 1], states[at]) {
                ('U', 'H') => healthy_after,
                ('H' | 'I', 'U') => unhealthy_after,
                _ => continue,
            } as usize;
            let is_pass = states[at] == 'H';
            prop_assert!(at + 1 >= needed);
            prop_assert!(outcomes[at + 1 - needed..=at].iter().all(|letter| (*letter == '.') == is_pass));
        }
    }
}
