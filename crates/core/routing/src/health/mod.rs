//! How targets stand: states, reasons in AWS's words, and what a probe's outcome makes of them.

mod matcher;
mod step;

pub use matcher::MatcherError;
pub use step::{Outcome, Step, Watch, first_probe_at, step};

use std::borrow::Cow;
use std::sync::Arc;

use base::Timestamp;
use serde::{Deserialize, Serialize};

/// A target within a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetKey {
    pub group: Arc<str>,
    pub id: Arc<str>,
    pub port: u16,
}

/// AWS: the states of `TargetHealth` that a proxy decides on; `unused` and `draining` follow from
/// records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Registered, no verdict yet.
    Initial,
    Healthy,
    Unhealthy,
}

impl State {
    /// AWS: as `DescribeTargetHealth` names it.
    pub const fn name(self) -> &'static str {
        match self {
            State::Initial => "initial",
            State::Healthy => "healthy",
            State::Unhealthy => "unhealthy",
        }
    }
}

/// Why a target is not healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// `Elb.RegistrationInProgress`
    Registering,
    /// `Elb.InitialHealthChecking`
    FirstChecks,
    /// `Target.ResponseCodeMismatch`, with the code that came.
    Code(u16),
    /// `Target.Timeout`
    Timeout,
    /// `Target.FailedHealthChecks`: the connection was refused or broke.
    Failed,
    /// `Elb.InternalError`
    Internal,
}

impl Reason {
    /// AWS: `Reason` of `TargetHealth`.
    pub const fn code(&self) -> &'static str {
        match self {
            Reason::Registering => "Elb.RegistrationInProgress",
            Reason::FirstChecks => "Elb.InitialHealthChecking",
            Reason::Code(_) => "Target.ResponseCodeMismatch",
            Reason::Timeout => "Target.Timeout",
            Reason::Failed => "Target.FailedHealthChecks",
            Reason::Internal => "Elb.InternalError",
        }
    }

    /// AWS: `Description` of `TargetHealth` ("Target health status", ALB guide).
    pub fn description(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Reason::Registering => "Target registration is in progress",
            Reason::FirstChecks => "Initial health checks in progress",
            Reason::Code(code) => return format!("Health checks failed with these codes: [{code}]").into(),
            Reason::Timeout => "Request timed out",
            Reason::Failed => "Health checks failed",
            Reason::Internal => "Health checks failed due to an internal error",
        })
    }
}

/// How a target does beside the others of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Anomaly {
    /// It fails more often than they do.
    pub is_anomalous: bool,
    /// It gets less than its share of requests for it.
    pub is_mitigated: bool,
}

/// A target's state, or what is held against it, changed. The newest replaces the older ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    pub target: TargetKey,
    /// Of the registration that was checked: a report about an earlier one is void.
    pub registered_at: Timestamp,
    pub state: State,
    pub reason: Option<Reason>,
    /// Of groups that mitigate anomalies.
    #[serde(default)]
    pub anomaly: Anomaly,
    pub at: Timestamp,
}
