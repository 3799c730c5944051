use std::time::Duration;

use base::Timestamp;
use core_rollout::health::{Cause, Rules, Verdict, verdict};
use core_rollout::{Check, Stage, Target, TargetState, TaskView};

const RULES: Rules = Rules { grace: Duration::from_secs(30), settles: Duration::from_secs(5) };

/// What a task counts as that has been running for so long.
fn check(stage: Stage, check: Option<Check>, targets: &[TargetState], seconds: u64, expected: Verdict) {
    let running_at = Timestamp::from_secs(1_000);
    let target = |state: &TargetState| Target { group: "web".into(), port: 80, state: *state };
    let task = TaskView {
        id: "a".into(),
        revision: "v1".into(),
        stage,
        created_at: running_at,
        running_at: (stage != Stage::Coming).then_some(running_at),
        check,
        targets: targets.iter().map(target).collect(),
        is_protected: false,
        zone: "z".into(),
    };
    let found = verdict(&task, RULES, running_at + Duration::from_secs(seconds));
    assert_eq!(found, expected, "{stage:?} {check:?} {targets:?} after {seconds} s");
}

const OPEN: Verdict = Verdict::Waiting { until: None };

fn until(seconds: i64) -> Verdict {
    Verdict::Waiting { until: Some(Timestamp::from_secs(1_000 + seconds)) }
}

#[test]
fn without_checks_a_task_settles() {
    check(Stage::Coming, None, &[], 100, OPEN);
    check(Stage::Running, None, &[], 4, until(5));
    check(Stage::Running, None, &[], 5, Verdict::Healthy);
    check(Stage::Leaving, None, &[], 5, OPEN);
}

#[test]
fn all_checks_must_pass() {
    use TargetState::{Healthy, Initial, Unused};
    check(Stage::Running, Some(Check::Passing), &[], 0, Verdict::Healthy);
    check(Stage::Running, Some(Check::Waiting), &[], 100, OPEN);
    check(Stage::Running, Some(Check::Waiting), &[Healthy], 100, OPEN);
    check(Stage::Running, Some(Check::Passing), &[Healthy, Initial], 100, OPEN);
    check(Stage::Running, Some(Check::Passing), &[Healthy, Healthy], 0, Verdict::Healthy);
    check(Stage::Running, None, &[Initial], 100, OPEN);
    check(Stage::Running, None, &[Healthy, Unused], 0, Verdict::Healthy);
}

#[test]
fn nothing_counts_against_a_task_within_its_grace() {
    use TargetState::{Healthy, Unhealthy};
    check(Stage::Running, Some(Check::Failing), &[], 29, until(30));
    check(Stage::Running, Some(Check::Failing), &[], 30, Verdict::Unhealthy(Cause::Container));
    check(Stage::Running, Some(Check::Failing), &[Unhealthy], 30, Verdict::Unhealthy(Cause::Container));
    check(Stage::Running, None, &[Healthy, Unhealthy], 29, until(30));
    check(Stage::Running, None, &[Healthy, Unhealthy], 30, Verdict::Unhealthy(Cause::Target(1)));
}
