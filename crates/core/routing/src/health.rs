//! How targets stand.

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

/// A target's state changed. The newest replaces the older ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    pub target: TargetKey,
    /// Of the registration that was checked: a report about an earlier one is void.
    pub registered_at: Timestamp,
    pub state: State,
    pub reason: Option<Reason>,
    pub at: Timestamp,
}
