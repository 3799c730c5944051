//! Traffic between a service's two sets of tasks: which target group each of them is in, and what
//! the listener rules must say for so much of the traffic to reach it.

use std::sync::Arc;

use aws_elbv2 as elb;
use core_rollout::shift::{Weights, Why};
use core_routing::Forwarding;

use crate::state::service::LoadBalancer;

/// The target group of a balancer that tasks are registered in.
// AWS: deployments that shift traffic take the two groups in turn.
pub fn group(balancer: &LoadBalancer, is_swapped: bool) -> Option<&str> {
    let advanced = balancer.advanced_configuration.as_ref().filter(|_| is_swapped);
    let alternate = advanced.and_then(|advanced| advanced.alternate_target_group_arn.as_deref());
    alternate.or(balancer.target_group_arn.as_deref())
}

/// Whether there are two groups to take in turn.
pub fn has_two_groups(balancers: &[LoadBalancer]) -> bool {
    balancers.iter().any(|balancer| {
        let advanced = balancer.advanced_configuration.as_ref();
        advanced.is_some_and(|advanced| advanced.alternate_target_group_arn.is_some())
    })
}

/// Whether a listener rule shows the target to testers.
pub fn has_test(balancers: &[LoadBalancer]) -> bool {
    balancers.iter().any(|balancer| {
        let advanced = balancer.advanced_configuration.as_ref();
        advanced.is_some_and(|advanced| advanced.test_listener_rule.is_some())
    })
}

/// What a rule must do.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// ARN of a rule, or of a listener for its default rule.
    pub rule: String,
    /// In whose name it is changed.
    pub role: Option<String>,
    /// The target's group, and the source's.
    pub target: String,
    pub source: String,
    /// Of the traffic, to the target.
    pub percent: f64,
}

/// What every rule of a service must do; `is_swapped` says where the target's tasks are.
pub fn wanted(balancers: &[LoadBalancer], weights: Weights, is_swapped: bool) -> Vec<Wanted> {
    let mut all = Vec::new();
    for balancer in balancers {
        let Some(advanced) = &balancer.advanced_configuration else { continue };
        let (Some(target), Some(source)) = (group(balancer, is_swapped), group(balancer, !is_swapped)) else {
            continue;
        };
        let rules = [
            (&advanced.production_listener_rule, weights.production),
            (&advanced.test_listener_rule, weights.test),
        ];
        for (rule, percent) in rules {
            let Some(rule) = rule.clone() else { continue };
            let (target, source) = (String::from(target), String::from(source));
            all.push(Wanted { rule, role: advanced.role_arn.clone(), target, source, percent });
        }
    }
    all
}

impl Wanted {
    /// The groups of the rule as they must be; `None`: they are so. Groups that are no matter of the
    /// service stay as they are.
    pub fn change(&self, now: &Forwarding) -> Option<Vec<(Arc<str>, u32)>> {
        let (target, source) = weights(self.percent);
        let own = [(&self.source, source), (&self.target, target)];
        let mut groups = now.groups.clone();
        for (group, weight) in own {
            match groups.iter_mut().find(|(arn, _)| **arn == **group) {
                Some(found) => found.1 = weight,
                None => groups.push((Arc::from(group.as_str()), weight)),
            }
        }
        (groups != now.groups).then_some(groups)
    }
}

/// Weights of the target's group and the source's for so many percent.
// AWS: a weight is at most 999, and a percentage has one decimal place.
pub fn weights(percent: f64) -> (u32, u32) {
    let tenths = (0..=1000).find(|tenths| f64::from(*tenths) >= percent * 10.0 - 0.5).unwrap_or(1000);
    if tenths % 10 == 0 { (tenths / 10, 100 - tenths / 10) } else { (tenths, 1000 - tenths) }
}

/// The rule's action with other groups, and everything else as it is.
pub fn action(now: &Forwarding, groups: Vec<(Arc<str>, u32)>) -> elb::Action {
    let tuple = |(group, weight): (Arc<str>, u32)| elb::TargetGroupTuple {
        target_group_arn: Some(String::from(&*group)),
        weight: i32::try_from(weight).ok(),
    };
    elb::Action {
        r#type: String::from("forward"),
        order: now.order,
        forward_config: Some(elb::ForwardActionConfig {
            target_groups: Some(groups.into_iter().map(tuple).collect()),
            target_group_stickiness_config: Some(elb::TargetGroupStickinessConfig {
                enabled: Some(now.is_sticky),
                duration_seconds: now.sticky_for_seconds.and_then(|seconds| i32::try_from(seconds).ok()),
            }),
        }),
        ..Default::default()
    }
}

/// Why a deployment goes back, as its description says it, whatever its strategy.
pub fn reason(why: Why) -> &'static str {
    match why {
        Why::Stopped => "Service deployment rolled back because it was stopped by a user.",
        Why::Answered => {
            "Service deployment rolled back because a lifecycle hook was answered with ROLLBACK."
        }
        Why::TimedOut => "Service deployment rolled back because a lifecycle hook timed out.",
        Why::Failures => "Service deployment rolled back because the circuit breaker threshold was exceeded.",
        Why::Broken => {
            "Service deployment rolled back because a listener rule or a target group that traffic shifts \
             between does not exist."
        }
    }
}

/// What the owner is told.
pub mod told {
    use std::fmt;

    // AWS tells of stages in events of EventBridge alone; these sentences are ours.

    pub fn shifted(service: &str, revision: &str, which: &str, percent: f64) -> String {
        format!(
            "(service {service}) (deployment ecs-svc/{revision}) has shifted {which} traffic: {percent} percent go \
             to the new service revision."
        )
    }

    pub fn set_again(service: &str, rule: &str) -> String {
        format!(
            "(service {service}) has set the weights of (rule {rule}) again, because they were changed during a \
             deployment."
        )
    }

    pub fn gone(service: &str, what: &str) -> String {
        format!("(service {service}) cannot shift traffic, because ({what}) does not exist.")
    }

    pub fn paused(service: &str, revision: &str, stage: impl fmt::Debug, hook: &str) -> String {
        format!(
            "(service {service}) (deployment ecs-svc/{revision}) waits at {stage:?} for (hook {hook}) to be \
             continued."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::service::AdvancedConfiguration;

    fn forwarding(groups: &[(&str, u32)]) -> Forwarding {
        Forwarding {
            listener: Arc::from("listener"),
            rule: Some(Arc::from("rule")),
            order: Some(1),
            groups: groups.iter().map(|(group, weight)| (Arc::from(*group), *weight)).collect(),
            is_sticky: true,
            sticky_for_seconds: Some(60),
        }
    }

    fn balancer() -> LoadBalancer {
        LoadBalancer {
            target_group_arn: Some(String::from("blue")),
            advanced_configuration: Some(AdvancedConfiguration {
                alternate_target_group_arn: Some(String::from("green")),
                production_listener_rule: Some(String::from("rule")),
                test_listener_rule: Some(String::from("test")),
                role_arn: Some(String::from("role")),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn percentages_as_weights() {
        let check = |percent: f64, expected: (u32, u32)| assert_eq!(weights(percent), expected, "{percent}");
        check(0.0, (0, 100));
        check(0.1, (1, 999));
        check(2.5, (25, 975));
        check(10.0, (10, 90));
        check(66.6, (666, 334));
        check(99.9, (999, 1));
        check(100.0, (100, 0));
    }

    #[test]
    fn groups_change_their_places() {
        let weights = Weights { production: 10.0, test: 100.0 };
        let of = |is_swapped: bool| {
            let all = wanted(&[balancer()], weights, is_swapped);
            all.into_iter().map(|one| (one.rule, one.target, one.source, one.percent)).collect::<Vec<_>>()
        };
        let text = String::from;
        assert_eq!(
            of(true),
            [
                (text("rule"), text("green"), text("blue"), 10.0),
                (text("test"), text("green"), text("blue"), 100.0)
            ]
        );
        assert_eq!(of(false)[0], (text("rule"), text("blue"), text("green"), 10.0));
        assert_eq!(wanted(&[LoadBalancer::default()], weights, true), []);
    }

    #[test]
    fn only_the_two_groups_of_a_rule_change() {
        let wanted = wanted(&[balancer()], Weights { production: 10.0, test: 0.0 }, true).remove(0);
        let check = |before: &[(&str, u32)], expected: Option<&[(&str, u32)]>| {
            let after = wanted.change(&forwarding(before));
            assert_eq!(after, expected.map(|groups| forwarding(groups).groups), "{before:?}");
        };
        check(&[("blue", 90), ("green", 10)], None);
        check(&[("green", 10), ("blue", 90)], None);
        check(&[("blue", 1)], Some(&[("blue", 90), ("green", 10)]));
        check(&[("other", 7), ("green", 0)], Some(&[("other", 7), ("green", 10), ("blue", 90)]));
        check(&[], Some(&[("blue", 90), ("green", 10)]));
    }

    #[test]
    fn what_else_a_rule_does_stays() {
        let now = forwarding(&[]);
        let action = action(&now, vec![(Arc::from("blue"), 100)]);
        assert_eq!(action.order, Some(1));
        let config = action.forward_config.expect("it forwards");
        let sticky = config.target_group_stickiness_config.expect("it is sticky");
        assert_eq!((sticky.enabled, sticky.duration_seconds), (Some(true), Some(60)));
    }
}
