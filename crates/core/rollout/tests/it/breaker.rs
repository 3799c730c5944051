use core_rollout::breaker::Threshold;

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
