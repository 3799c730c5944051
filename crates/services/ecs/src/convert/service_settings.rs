//! `deploymentConfiguration`: shape ↔ record.

use aws_ecs as aws;
use core_rollout::breaker::Threshold;
use core_rollout::shift::Stage;

use crate::behaviour::service::{self, DeploymentFlaw, HOOK_MINUTES};
use crate::state::kept::Kept;
use crate::state::service::{Breaker, DeploymentSettings, EarlySuccess, Hook, Strategy};

/// `before` with what `asked` says of it. AWS: what is left out stays as it is.
pub fn settings(
    asked: Option<aws::DeploymentConfiguration>,
    before: DeploymentSettings,
) -> Result<DeploymentSettings, DeploymentFlaw> {
    let Some(asked) = asked else { return Ok(before) };
    let mut settings = before;
    if let Some(percent) = asked.minimum_healthy_percent {
        settings.minimum_percent = number("minimumHealthyPercent", percent, 100)?;
    }
    if let Some(percent) = asked.maximum_percent {
        settings.maximum_percent = number("maximumPercent", percent, 200)?;
    }
    if let Some(minutes) = asked.bake_time_in_minutes {
        settings.bake_minutes = number("bakeTimeInMinutes", minutes, 1440)?;
    }
    settings.strategy = strategy(
        asked.strategy.as_deref(),
        asked.linear_configuration,
        asked.canary_configuration,
        settings.strategy,
    )?;
    if let Some(breaker) = asked.deployment_circuit_breaker {
        settings.breaker = Some(self::breaker(breaker)?);
    }
    if let Some(alarms) = asked.alarms {
        if alarms.enable {
            return Err(DeploymentFlaw::NotYet(String::from("deploymentConfiguration.alarms")));
        }
        settings.alarms = Some(Kept::keep(alarms));
    }
    if let Some(hooks) = asked.lifecycle_hooks {
        settings.hooks = hooks.into_iter().map(hook).collect::<Result<_, _>>()?;
    }
    if let Some(criteria) = asked.early_success_criteria {
        settings.early = early(criteria)?;
    }
    service::check(&settings)?;
    Ok(settings)
}

fn number(name: &'static str, value: i32, most: u32) -> Result<u32, DeploymentFlaw> {
    u32::try_from(value).map_err(|_| DeploymentFlaw::Range { name, least: 0, most })
}

fn unknown(name: &'static str, value: &str) -> DeploymentFlaw {
    DeploymentFlaw::Unknown { name, value: String::from(value) }
}

/// The strategy by its name; AWS's defaults where it says nothing of its steps.
fn strategy(
    name: Option<&str>,
    linear: Option<aws::LinearConfiguration>,
    canary: Option<aws::CanaryConfiguration>,
    before: Strategy,
) -> Result<Strategy, DeploymentFlaw> {
    let strategy = match (name.filter(|name| !name.is_empty()), before) {
        (None, before) => before,
        (Some("ROLLING"), _) => Strategy::Rolling,
        (Some("BLUE_GREEN"), _) => Strategy::BlueGreen,
        (Some("LINEAR"), Strategy::Linear { .. }) | (Some("CANARY"), Strategy::Canary { .. }) => before,
        (Some("LINEAR"), _) => Strategy::Linear { step_percent: 10.0, bake_minutes: 6 },
        (Some("CANARY"), _) => Strategy::Canary { percent: 5.0, bake_minutes: 10 },
        (Some(other), _) => return Err(unknown("strategy", other)),
    };
    match strategy {
        Strategy::Linear { step_percent, bake_minutes } => {
            if canary.is_some() {
                return Err(only("canaryConfiguration", "CANARY"));
            }
            let Some(linear) = linear else { return Ok(strategy) };
            let minutes = linear.step_bake_time_in_minutes;
            let minutes =
                minutes.map(|minutes| number("stepBakeTimeInMinutes", minutes, 1440)).transpose()?;
            Ok(Strategy::Linear {
                step_percent: linear.step_percent.unwrap_or(step_percent),
                bake_minutes: minutes.unwrap_or(bake_minutes),
            })
        }
        Strategy::Canary { percent, bake_minutes } => {
            if linear.is_some() {
                return Err(only("linearConfiguration", "LINEAR"));
            }
            let Some(canary) = canary else { return Ok(strategy) };
            let minutes = canary.canary_bake_time_in_minutes;
            let minutes =
                minutes.map(|minutes| number("canaryBakeTimeInMinutes", minutes, 1440)).transpose()?;
            Ok(Strategy::Canary {
                percent: canary.canary_percent.unwrap_or(percent),
                bake_minutes: minutes.unwrap_or(bake_minutes),
            })
        }
        Strategy::Rolling | Strategy::BlueGreen => {
            if linear.is_some() {
                return Err(only("linearConfiguration", "LINEAR"));
            }
            if canary.is_some() {
                return Err(only("canaryConfiguration", "CANARY"));
            }
            Ok(strategy)
        }
    }
}

fn only(member: &'static str, strategy: &'static str) -> DeploymentFlaw {
    DeploymentFlaw::OtherStrategy { member, strategy }
}

fn breaker(asked: aws::DeploymentCircuitBreaker) -> Result<Breaker, DeploymentFlaw> {
    let threshold = match asked.threshold_configuration {
        None => None,
        Some(threshold) => {
            let value = number("value", threshold.value, service::MOST_TASKS)?;
            Some(match threshold.r#type.as_str() {
                "COUNT" => Threshold::Count(value),
                "" | "BOUNDED_PERCENT" => Threshold::BoundedPercent(value),
                "UNBOUNDED_PERCENT" => Threshold::UnboundedPercent(value),
                other => return Err(unknown("thresholdConfiguration.type", other)),
            })
        }
    };
    Ok(Breaker {
        is_enabled: asked.enable,
        rolls_back: asked.rollback,
        resets: asked.reset_on_healthy_task.unwrap_or(true),
        threshold,
    })
}

fn hook(asked: aws::DeploymentLifecycleHook) -> Result<Hook, DeploymentFlaw> {
    match asked.target_type.as_deref() {
        Some("PAUSE") => {}
        None | Some("" | "AWS_LAMBDA") => {
            let what = "deploymentConfiguration.lifecycleHooks with targetType 'AWS_LAMBDA'";
            return Err(DeploymentFlaw::NotYet(String::from(what)));
        }
        Some(other) => return Err(unknown("targetType", other)),
    }
    let is_said = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    if is_said(&asked.hook_target_arn) {
        return Err(DeploymentFlaw::PauseMember("hookTargetArn"));
    }
    if is_said(&asked.role_arn) {
        return Err(DeploymentFlaw::PauseMember("roleArn"));
    }
    if asked.hook_details.is_some() {
        return Err(DeploymentFlaw::PauseMember("hookDetails"));
    }
    let stages = asked.lifecycle_stages.unwrap_or_default();
    let stages = stages.iter().map(|name| {
        let stage = stage_of(name)
            .filter(|stage| !matches!(stage, Stage::ScaleUp | Stage::BakeTime | Stage::CleanUp));
        stage.ok_or_else(|| unknown("lifecycleStages", name))
    });
    let stages = stages.collect::<Result<_, _>>()?;
    let timeout = asked.timeout_configuration.unwrap_or_default();
    let minutes = timeout.timeout_in_minutes;
    let continues = match timeout.action.as_deref() {
        None | Some("" | "ROLLBACK") => false,
        Some("CONTINUE") => true,
        Some(other) => return Err(unknown("timeoutConfiguration.action", other)),
    };
    let minutes = minutes.map(|minutes| number("timeoutInMinutes", minutes, 20160)).transpose()?;
    Ok(Hook { stages, timeout_minutes: Some(minutes.unwrap_or(HOOK_MINUTES)), continues })
}

fn early(asked: aws::DeploymentEarlySuccessCriteria) -> Result<Option<EarlySuccess>, DeploymentFlaw> {
    if !asked.enable {
        return Ok(None);
    }
    let percent = asked.healthy_percent;
    let healthy_percent = percent.map(|percent| number("healthyPercent", percent, 100)).transpose()?;
    let is_blocking = match asked.source_service_revision_cleanup.as_deref() {
        Some("BLOCKING") => true,
        Some("DEFERRED") => false,
        None | Some("") => return Err(DeploymentFlaw::EarlyMember("sourceServiceRevisionCleanup")),
        Some(other) => return Err(unknown("sourceServiceRevisionCleanup", other)),
    };
    Ok(Some(EarlySuccess { healthy_percent, is_blocking }))
}

pub fn shape(settings: &DeploymentSettings) -> aws::DeploymentConfiguration {
    let number = |value: u32| i32::try_from(value).ok();
    let breaker = settings.breaker;
    let (strategy, linear, canary) = match settings.strategy {
        Strategy::Rolling => ("ROLLING", None, None),
        Strategy::BlueGreen => ("BLUE_GREEN", None, None),
        Strategy::Linear { step_percent, bake_minutes } => {
            let linear = aws::LinearConfiguration {
                step_percent: Some(step_percent),
                step_bake_time_in_minutes: number(bake_minutes),
            };
            ("LINEAR", Some(linear), None)
        }
        Strategy::Canary { percent, bake_minutes } => {
            let canary = aws::CanaryConfiguration {
                canary_percent: Some(percent),
                canary_bake_time_in_minutes: number(bake_minutes),
            };
            ("CANARY", None, Some(canary))
        }
    };
    aws::DeploymentConfiguration {
        // AWS: shown as off where nothing was said of it.
        deployment_circuit_breaker: Some(aws::DeploymentCircuitBreaker {
            enable: breaker.is_some_and(|breaker| breaker.is_enabled),
            rollback: breaker.is_some_and(|breaker| breaker.rolls_back),
            reset_on_healthy_task: breaker.filter(|it| it.is_enabled).map(|breaker| breaker.resets),
            threshold_configuration: breaker.and_then(|breaker| breaker.threshold).map(threshold),
        }),
        maximum_percent: number(settings.maximum_percent),
        minimum_healthy_percent: number(settings.minimum_percent),
        alarms: settings.alarms.give(),
        strategy: Some(String::from(strategy)),
        bake_time_in_minutes: number(settings.bake_minutes),
        lifecycle_hooks: (!settings.hooks.is_empty())
            .then(|| settings.hooks.iter().map(hook_shape).collect()),
        linear_configuration: linear,
        canary_configuration: canary,
        early_success_criteria: settings.early.map(|early| aws::DeploymentEarlySuccessCriteria {
            enable: true,
            healthy_percent: early.healthy_percent.and_then(number),
            source_service_revision_cleanup: Some(String::from(if early.is_blocking {
                "BLOCKING"
            } else {
                "DEFERRED"
            })),
        }),
    }
}

fn threshold(threshold: Threshold) -> aws::ThresholdConfiguration {
    let (kind, value) = match threshold {
        Threshold::Count(count) => ("COUNT", count),
        Threshold::BoundedPercent(percent) => ("BOUNDED_PERCENT", percent),
        Threshold::UnboundedPercent(percent) => ("UNBOUNDED_PERCENT", percent),
    };
    aws::ThresholdConfiguration {
        r#type: String::from(kind),
        value: i32::try_from(value).unwrap_or(i32::MAX),
    }
}

fn hook_shape(hook: &Hook) -> aws::DeploymentLifecycleHook {
    aws::DeploymentLifecycleHook {
        target_type: Some(String::from("PAUSE")),
        lifecycle_stages: Some(hook.stages.iter().map(|stage| String::from(stage_text(*stage))).collect()),
        timeout_configuration: Some(aws::DeploymentLifecycleHookTimeoutConfiguration {
            timeout_in_minutes: hook.timeout_minutes.and_then(|minutes| i32::try_from(minutes).ok()),
            action: Some(String::from(if hook.continues { "CONTINUE" } else { "ROLLBACK" })),
        }),
        ..Default::default()
    }
}

const STAGES: [(Stage, &str); 11] = [
    (Stage::ReconcileService, "RECONCILE_SERVICE"),
    (Stage::PreScaleUp, "PRE_SCALE_UP"),
    (Stage::ScaleUp, "SCALE_UP"),
    (Stage::PostScaleUp, "POST_SCALE_UP"),
    (Stage::TestTrafficShift, "TEST_TRAFFIC_SHIFT"),
    (Stage::PostTestTrafficShift, "POST_TEST_TRAFFIC_SHIFT"),
    (Stage::PreProductionTrafficShift, "PRE_PRODUCTION_TRAFFIC_SHIFT"),
    (Stage::ProductionTrafficShift, "PRODUCTION_TRAFFIC_SHIFT"),
    (Stage::PostProductionTrafficShift, "POST_PRODUCTION_TRAFFIC_SHIFT"),
    (Stage::BakeTime, "BAKE_TIME"),
    (Stage::CleanUp, "CLEAN_UP"),
];

fn stage_of(text: &str) -> Option<Stage> {
    STAGES.iter().find(|(_, name)| *name == text).map(|(stage, _)| *stage)
}

pub fn stage_text(stage: Stage) -> &'static str {
    STAGES.iter().find(|(of, _)| *of == stage).map_or("", |(_, name)| name)
}
