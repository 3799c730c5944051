use core_rollout::breaker::{Count, Event, LEAST, MOST, Threshold};

#[test]
fn thresholds_follow_the_desired_count() {
    let check = |threshold: Threshold, desired: u32, expected: u32| {
        assert_eq!(threshold.failures(desired), expected, "{threshold:?} of {desired}");
    };
    check(Threshold::default(), 1, 3);
    check(Threshold::default(), 25, 13);
    check(Threshold::default(), 400, 200);
    check(Threshold::default(), 800, 200);
    check(Threshold::Count(1), 800, 1);
    check(Threshold::UnboundedPercent(10), 5, 1);
    check(Threshold::UnboundedPercent(100), 500, 500);
}

#[test]
fn bounds_and_rounding() {
    let check = |threshold: Threshold, desired: u32, expected: u32| {
        assert_eq!(threshold.failures(desired), expected, "{threshold:?} of {desired}");
    };
    check(Threshold::BoundedPercent(50), 0, LEAST);
    check(Threshold::BoundedPercent(50), 7, 4);
    check(Threshold::BoundedPercent(200), 150, MOST);
    check(Threshold::UnboundedPercent(50), 0, 1);
    check(Threshold::UnboundedPercent(33), 10, 4);
    check(Threshold::UnboundedPercent(200), 3, 6);
    check(Threshold::UnboundedPercent(u32::MAX), u32::MAX, u32::MAX);
    check(Threshold::Count(0), 5, 1);
}

#[test]
fn a_healthy_task_sets_the_count_back_where_that_is_asked() {
    let events = [Event::Failed, Event::Failed, Event::Healthy, Event::Failed, Event::Failed];
    let count =
        |resets: bool| events.iter().fold(Count::default(), |count, event| count.after(*event, resets));
    assert_eq!(count(true), Count { failed: 4, counted: 2 });
    assert_eq!(count(false), Count { failed: 4, counted: 4 });
    assert!(!count(true).is_tripped(Threshold::default(), 4));
    assert!(count(false).is_tripped(Threshold::default(), 4));
    // AWS: of the latest desired count.
    assert!(!count(false).is_tripped(Threshold::default(), 10));
    assert!(count(false).is_tripped(Threshold::default(), 8));
}
