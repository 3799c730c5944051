//! What a service may be asked to be: ranges and what goes together.

use core_rollout::breaker::Threshold;
use core_rollout::shift::Stage;

use crate::state::service::{Breaker, DeploymentSettings, Hook, Strategy};

/// AWS: of a service whose tasks come and go in parts.
const MINIMUM: u32 = 100;
const MAXIMUM: u32 = 200;
/// AWS names no most; we take what multiplies safely.
const MOST_PERCENT: u32 = 10_000;
/// AWS: minutes that one wait of a deployment may last.
const MOST_MINUTES: u32 = 1440;
/// AWS: minutes until nobody's answer to a hook is taken for one, and the most that can be asked for.
pub const HOOK_MINUTES: u32 = 1440;
const MOST_HOOK_MINUTES: u32 = 20160;
/// AWS: tasks of one service.
pub const MOST_TASKS: u32 = 5000;

/// What `deploymentConfiguration` asks for and cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DeploymentFlaw {
    #[error("Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.")]
    Blocked,
    #[error("{name} must be between {least} and {most}.")]
    Range { name: &'static str, least: u32, most: u32 },
    #[error("{name} must be a multiple of 0.1 between {least:.1} and 100.0.")]
    Share { name: &'static str, least: f64 },
    #[error("{member} is only valid when the deployment strategy is {strategy}.")]
    OtherStrategy { member: &'static str, strategy: &'static str },
    #[error("{name} '{value}' is not valid.")]
    Unknown { name: &'static str, value: String },
    #[error("lifecycleHooks are only valid when the deployment strategy is BLUE_GREEN, LINEAR or CANARY.")]
    Hooks,
    #[error("A PAUSE hook cannot be configured at {0}.")]
    PauseStage(&'static str),
    #[error("lifecycleStages cannot be empty.")]
    NoStages,
    #[error("{0} is not used by PAUSE hooks.")]
    PauseMember(&'static str),
    #[error("The deployment circuit breaker must be enabled to roll back.")]
    BreakerOff,
    #[error("healthyPercent must not be less than minimumHealthyPercent.")]
    Early,
    #[error("{0} is required when the early success criteria are enabled.")]
    EarlyMember(&'static str),
    #[error("{0} is not supported by Boxship yet.")]
    NotYet(String),
}

/// What a service begins with that says nothing.
pub fn defaults() -> DeploymentSettings {
    DeploymentSettings {
        minimum_percent: MINIMUM,
        maximum_percent: MAXIMUM,
        breaker: None,
        strategy: Strategy::Rolling,
        bake_minutes: 0,
        hooks: Vec::new(),
        early: None,
        alarms: None,
    }
}

/// Whether deployments under `settings` can be.
pub fn check(settings: &DeploymentSettings) -> Result<(), DeploymentFlaw> {
    within("minimumHealthyPercent", settings.minimum_percent, 0, 100)?;
    within("maximumPercent", settings.maximum_percent, 100, MOST_PERCENT)?;
    if settings.minimum_percent == 100 && settings.maximum_percent == 100 {
        return Err(DeploymentFlaw::Blocked);
    }
    within("bakeTimeInMinutes", settings.bake_minutes, 0, MOST_MINUTES)?;
    match settings.strategy {
        Strategy::Rolling | Strategy::BlueGreen => {}
        Strategy::Linear { step_percent, bake_minutes } => {
            share("stepPercent", step_percent, 3.0)?;
            within("stepBakeTimeInMinutes", bake_minutes, 0, MOST_MINUTES)?;
        }
        Strategy::Canary { percent, bake_minutes } => {
            share("canaryPercent", percent, 0.1)?;
            within("canaryBakeTimeInMinutes", bake_minutes, 0, MOST_MINUTES)?;
        }
    }
    if let Some(breaker) = &settings.breaker {
        check_breaker(breaker)?;
    }
    if let Some(early) = &settings.early {
        if settings.strategy != Strategy::Rolling {
            return Err(DeploymentFlaw::OtherStrategy {
                member: "earlySuccessCriteria",
                strategy: "ROLLING",
            });
        }
        let percent = early.healthy_percent.ok_or(DeploymentFlaw::EarlyMember("healthyPercent"))?;
        within("healthyPercent", percent, 0, 100)?;
        if percent < settings.minimum_percent {
            return Err(DeploymentFlaw::Early);
        }
    }
    if settings.strategy == Strategy::Rolling && !settings.hooks.is_empty() {
        return Err(DeploymentFlaw::Hooks);
    }
    settings.hooks.iter().try_for_each(check_hook)
}

fn check_breaker(breaker: &Breaker) -> Result<(), DeploymentFlaw> {
    if breaker.rolls_back && !breaker.is_enabled {
        return Err(DeploymentFlaw::BreakerOff);
    }
    match breaker.threshold {
        None => Ok(()),
        Some(Threshold::Count(count)) => within("value", count, 1, MOST_TASKS),
        Some(Threshold::BoundedPercent(percent) | Threshold::UnboundedPercent(percent)) => {
            within("value", percent, 1, 100)
        }
    }
}

fn check_hook(hook: &Hook) -> Result<(), DeploymentFlaw> {
    if hook.stages.is_empty() {
        return Err(DeploymentFlaw::NoStages);
    }
    for stage in &hook.stages {
        // AWS: nobody is waited for while weights move.
        match stage {
            Stage::TestTrafficShift => return Err(DeploymentFlaw::PauseStage("TEST_TRAFFIC_SHIFT")),
            Stage::ProductionTrafficShift => {
                return Err(DeploymentFlaw::PauseStage("PRODUCTION_TRAFFIC_SHIFT"));
            }
            Stage::ReconcileService
            | Stage::PreScaleUp
            | Stage::ScaleUp
            | Stage::PostScaleUp
            | Stage::PostTestTrafficShift
            | Stage::PreProductionTrafficShift
            | Stage::PostProductionTrafficShift
            | Stage::BakeTime
            | Stage::CleanUp => {}
        }
    }
    match hook.timeout_minutes {
        None => Ok(()),
        Some(minutes) => within("timeoutInMinutes", minutes, 1, MOST_HOOK_MINUTES),
    }
}

fn within(name: &'static str, value: u32, least: u32, most: u32) -> Result<(), DeploymentFlaw> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(DeploymentFlaw::Range { name, least, most }) }
}

/// A share in tenths of a percent.
fn share(name: &'static str, value: f64, least: f64) -> Result<(), DeploymentFlaw> {
    let tenths = value * 10.0;
    let is_whole = (tenths - tenths.round()).abs() < 1e-6;
    if is_whole && (least..=100.0).contains(&value) {
        Ok(())
    } else {
        Err(DeploymentFlaw::Share { name, least })
    }
}
