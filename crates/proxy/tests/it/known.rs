//! What a plane that begins is told of targets.

use std::net::SocketAddrV4;

use base::Timestamp;
use core_routing::{Anomaly, HealthReport, State, TargetKey};

use crate::front::{Front, recording, target};

fn report(at: SocketAddrV4, state: State, registered_at: i64) -> HealthReport {
    HealthReport {
        target: TargetKey { group: "group".into(), id: at.to_string().into(), port: at.port() },
        registered_at: Timestamp::from_secs(registered_at),
        state,
        reason: None,
        anomaly: Anomaly::default(),
        at: Timestamp::from_secs(2),
    }
}

/// Which of two targets gets some of eight requests. Checks reach nobody, and count ten failures.
fn served(reports: impl Fn([SocketAddrV4; 2]) -> Vec<HealthReport>) -> [bool; 2] {
    let (one, two) = (recording(), recording());
    let mut front = Front::to(&[]);
    front.recall(reports([one.0, two.0]));
    front.group(|group| group.targets = vec![target(one.0), target(two.0)]);
    (0..8).for_each(|_| assert_eq!(front.get("/").status, 200));
    [!one.1.requests().is_empty(), !two.1.requests().is_empty()]
}

#[test]
fn targets_stand_as_others_saw_them() {
    // Where nothing is known all of them serve.
    assert_eq!(served(|_| Vec::new()), [true, true]);
    let one = |state, registered_at| {
        move |[one, two]: [SocketAddrV4; 2]| {
            vec![report(one, State::Healthy, 1), report(two, state, registered_at)]
        }
    };
    assert_eq!(served(one(State::Unhealthy, 1)), [true, false]);
    assert_eq!(served(one(State::Healthy, 1)), [true, true]);
    // Of another registration nothing is known.
    assert_eq!(served(one(State::Healthy, 2)), [true, false]);
}

#[test]
fn what_was_checked_here_is_known_better() {
    let (one, two) = (recording(), recording());
    let mut front = Front::to(&[one.0, two.0]);
    front.recall(vec![report(one.0, State::Healthy, 1)]);
    front.change(|_| {});
    (0..8).for_each(|_| assert_eq!(front.get("/").status, 200));
    assert!(!one.1.requests().is_empty() && !two.1.requests().is_empty(), "neither has a verdict");
    // Nor is it good for a table after the next.
    front.group(|group| group.targets.clear());
    front.group(|group| group.targets = vec![target(one.0), target(two.0)]);
    let before = two.1.requests().len();
    (0..8).for_each(|_| assert_eq!(front.get("/").status, 200));
    assert!(two.1.requests().len() > before);
}
