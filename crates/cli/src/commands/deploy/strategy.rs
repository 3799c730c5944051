//! How a new version comes: the deployment configuration that deploy's options mean.

use anyhow::{Result, bail};
use aws_ecs::{CanaryConfiguration, DeploymentCircuitBreaker, DeploymentConfiguration, LinearConfiguration};
use clap::ValueEnum;

use super::DeployArgs;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Strategy {
    /// New tasks take the place of old ones, some at a time
    Rolling,
    /// All new tasks beside all old ones, then the traffic at once
    BlueGreen,
    /// A part of the traffic first, then all of it
    Canary,
    /// Traffic in equal steps
    Linear,
}

/// Percent of the traffic that a canary or a linear step gets where nobody says.
const PERCENT: u32 = 10;
/// Minutes that the new version is watched for where nobody says. AWS: fifteen.
const BAKE: u32 = 1;

impl Strategy {
    pub fn is_shifting(self) -> bool {
        self != Strategy::Rolling
    }

    pub fn aws(self) -> &'static str {
        match self {
            Strategy::Rolling => "ROLLING",
            Strategy::BlueGreen => "BLUE_GREEN",
            Strategy::Canary => "CANARY",
            Strategy::Linear => "LINEAR",
        }
    }

    pub fn of(configuration: Option<&DeploymentConfiguration>) -> Strategy {
        match configuration.and_then(|one| one.strategy.as_deref()) {
            Some("BLUE_GREEN") => Strategy::BlueGreen,
            Some("CANARY") => Strategy::Canary,
            Some("LINEAR") => Strategy::Linear,
            _ => Strategy::Rolling,
        }
    }
}

/// The strategy and its configuration, after what the service has `before`.
pub fn told(
    before: Option<&DeploymentConfiguration>,
    args: &DeployArgs,
) -> Result<(Strategy, DeploymentConfiguration)> {
    let strategy = args.strategy.unwrap_or_else(|| Strategy::of(before));
    if before.is_some_and(|one| Strategy::of(Some(one)).is_shifting()) && !strategy.is_shifting() {
        bail!(
            "a service that shifts traffic keeps its two target groups: `boxship destroy` it to go back to rolling"
        );
    }
    if args.no_balancer && strategy.is_shifting() {
        bail!("--strategy {} shifts a balancer's traffic: it does not go with --no-balancer", name(strategy));
    }
    if args.bake.is_some() && !strategy.is_shifting() {
        bail!("--bake goes with --strategy blue-green, canary or linear");
    }
    if args.step.is_some() && !matches!(strategy, Strategy::Canary | Strategy::Linear) {
        bail!("--step goes with --strategy canary or linear");
    }
    let is_same = before.is_some_and(|one| Strategy::of(Some(one)) == strategy);
    let kept = before.filter(|_| is_same);
    let canary = kept.and_then(|one| one.canary_configuration.as_ref()?.canary_percent);
    let linear = kept.and_then(|one| one.linear_configuration.as_ref()?.step_percent);
    let percent = args.step.map(f64::from).or(canary).or(linear).unwrap_or(f64::from(PERCENT));
    let bake =
        args.bake.or(kept.and_then(|one| u32::try_from(one.bake_time_in_minutes?).ok())).unwrap_or(BAKE);
    let minutes = Some(i32::try_from(bake)?);
    let breaker = DeploymentCircuitBreaker { enable: true, rollback: true, ..Default::default() };
    // Percents, hooks and a breaker that somebody has set through the API stay.
    let rest = before.cloned().unwrap_or_default();
    let configuration = DeploymentConfiguration {
        deployment_circuit_breaker: rest.deployment_circuit_breaker.clone().or(Some(breaker)),
        strategy: Some(strategy.aws().to_owned()),
        bake_time_in_minutes: if strategy.is_shifting() { minutes } else { rest.bake_time_in_minutes },
        canary_configuration: (strategy == Strategy::Canary).then_some(CanaryConfiguration {
            canary_percent: Some(percent),
            canary_bake_time_in_minutes: minutes,
        }),
        linear_configuration: (strategy == Strategy::Linear).then_some(LinearConfiguration {
            step_percent: Some(percent),
            step_bake_time_in_minutes: minutes,
        }),
        ..rest
    };
    Ok((strategy, configuration))
}

fn name(strategy: Strategy) -> String {
    strategy.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_together_and_what_does_not() {
        let told = |args: DeployArgs| told(None, &args).map(|(_, configuration)| configuration);
        let rolling = told(DeployArgs::default()).expect("the default");
        assert_eq!(rolling.strategy.as_deref(), Some("ROLLING"));
        assert_eq!(rolling.bake_time_in_minutes, None);
        let canary = DeployArgs {
            strategy: Some(Strategy::Canary),
            bake: Some(0),
            step: Some(5),
            ..Default::default()
        };
        let canary = told(canary).expect("a canary");
        let configuration = canary.canary_configuration.expect("its own part");
        assert_eq!(
            (configuration.canary_percent, configuration.canary_bake_time_in_minutes),
            (Some(5.0), Some(0))
        );
        assert!(canary.linear_configuration.is_none());
        assert!(told(DeployArgs { bake: Some(1), ..Default::default() }).is_err());
        let blue = || DeployArgs { strategy: Some(Strategy::BlueGreen), ..Default::default() };
        assert!(told(DeployArgs { step: Some(1), ..blue() }).is_err());
        assert!(told(DeployArgs { no_balancer: true, ..blue() }).is_err());
    }

    #[test]
    fn a_strategy_stays_until_another_is_told() {
        let first = DeployArgs {
            strategy: Some(Strategy::Linear),
            step: Some(25),
            bake: Some(3),
            ..Default::default()
        };
        let (_, first) = told(None, &first).expect("linear");
        let (strategy, again) = told(Some(&first), &DeployArgs::default()).expect("as it was");
        assert_eq!((strategy, &again), (Strategy::Linear, &first));
        let rolling = DeployArgs { strategy: Some(Strategy::Rolling), ..Default::default() };
        assert!(told(Some(&first), &rolling).is_err());
        let canary = DeployArgs { strategy: Some(Strategy::Canary), ..Default::default() };
        let first = DeploymentConfiguration { minimum_healthy_percent: Some(50), ..first };
        let (_, canary) = told(Some(&first), &canary).expect("another that shifts");
        assert_eq!((canary.bake_time_in_minutes, canary.minimum_healthy_percent), (Some(1), Some(50)));
        assert!(canary.linear_configuration.is_none());
    }
}
