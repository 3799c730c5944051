use std::time::Duration;

use base::Timestamp;
use core_rollout::throttle::{FREE, LONGEST, Throttle};

/// What a deployment's tasks, of which each fails as soon as it may start, wait for.
fn waits(rounds: usize) -> Vec<u64> {
    let mut throttle = Throttle::default();
    let mut now = Timestamp::from_secs(1_000);
    let mut waits = Vec::new();
    for _ in 0..rounds {
        throttle = throttle.after_failure(now);
        let until = throttle.until(now).unwrap_or(now);
        waits.push(until.since(now).as_secs());
        now = until;
    }
    waits
}

#[test]
fn waits_double_up_to_the_longest() {
    let expected = [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 1_620, 1_620];
    assert_eq!(waits(expected.len()), expected);
    assert_eq!(waits(100)[99], LONGEST.as_secs());
}

#[test]
fn tasks_that_fail_together_are_one_round() {
    let now = Timestamp::from_secs(1_000);
    let mut throttle = Throttle::default();
    for index in 0..20 {
        throttle = throttle.after_failure(now + Duration::from_millis(index));
    }
    assert_eq!(throttle.failed, FREE + 1);
    assert_eq!(throttle.until(now), Some(now + Duration::from_millis(1_002)));
    assert!(throttle.is_slow());
    assert_eq!(throttle.after_success(), Throttle::default());
}

#[test]
fn the_wait_is_over_at_its_end() {
    let now = Timestamp::from_secs(1_000);
    let throttle = Throttle { failed: FREE + 1, last_at: Some(now) };
    assert_eq!(throttle.until(now + Duration::from_millis(999)), Some(now + Duration::from_secs(1)));
    assert_eq!(throttle.until(now + Duration::from_secs(1)), None);
    assert!(!Throttle { failed: FREE, last_at: Some(now) }.is_slow());
}
