//! Service deployments: one change of a service on its way, or behind it.

use std::collections::BTreeMap;

use base::Timestamp;
use core_rollout::shift::Shift;
use serde::{Deserialize, Serialize};
use store::{Entries, Key, Record};

use super::service::{DeploymentSettings, ServiceId};

/// One deployment. Callers make it and ask (`asked`); the controller `services` writes the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    pub at: ServiceId,
    /// Twenty-one letters and digits: the last part of its ARN.
    pub id: String,
    /// The revision that it brings.
    pub target: String,
    /// The revisions that had tasks when it began, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// The settings under which it began.
    pub settings: DeploymentSettings,
    pub created_at: Timestamp,
    pub state: DeploymentState,
    pub updated_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What a caller asks of it.
    #[serde(default)]
    pub asked: Asked,
    /// Tasks of its target that failed: all, and those that the circuit breaker counts.
    #[serde(default)]
    pub failed: u32,
    #[serde(default)]
    pub counted: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker_tripped_at: Option<Timestamp>,
    /// When a rolling one had brought what it should: since then it is watched, for its bake time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baking_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    /// Of strategies that shift traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<Shift>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentState {
    Pending,
    InProgress,
    StopRequested,
    Stopped,
    RollbackRequested,
    RollbackInProgress,
    RollbackSuccessful,
    RollbackFailed,
    Successful,
}

impl DeploymentState {
    pub fn is_over(self) -> bool {
        match self {
            DeploymentState::Pending
            | DeploymentState::InProgress
            | DeploymentState::StopRequested
            | DeploymentState::RollbackRequested
            | DeploymentState::RollbackInProgress => false,
            DeploymentState::Stopped
            | DeploymentState::RollbackSuccessful
            | DeploymentState::RollbackFailed
            | DeploymentState::Successful => true,
        }
    }
}

/// The reason of one that is STOPPED because another came.
pub const SUPERSEDED: &str = "Service deployment stopped because a newer deployment was started.";

/// Written by callers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Asked {
    /// StopServiceDeployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopType>,
    /// ContinueServiceDeployment: hook → whether it goes on (or, else, is rolled back).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<String, bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopType {
    Abort,
    Rollback,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    pub reason: String,
    pub started_at: Timestamp,
    /// `None`: there is no revision to go back to.
    pub revision: Option<String>,
}

impl Deployment {
    /// One that was just asked for.
    pub fn new(
        at: ServiceId,
        id: String,
        target: String,
        settings: DeploymentSettings,
        now: Timestamp,
    ) -> Deployment {
        Deployment {
            at,
            id,
            target,
            sources: Vec::new(),
            settings,
            created_at: now,
            state: DeploymentState::Pending,
            updated_at: now,
            started_at: None,
            finished_at: None,
            reason: None,
            asked: Asked::default(),
            failed: 0,
            counted: 0,
            breaker_tripped_at: None,
            baking_since: None,
            rollback: None,
            shift: None,
        }
    }

    pub fn key_of(at: &ServiceId, id: &str) -> Key {
        at.under(id)
    }

    pub fn arn(&self) -> base::Arn {
        self.at.arn_of("service-deployment", Some(&self.id))
    }
}

impl Record for Deployment {
    const KIND: &'static str = "ecs/service-deployment";
    fn key(&self) -> Key {
        Deployment::key_of(&self.at, &self.id)
    }
    fn index(&self, entries: &mut Entries) {
        if !self.state.is_over() {
            let ServiceId { account, region, cluster, name } = &self.at;
            entries.add(UNDER_WAY, &[account.as_str(), region.as_str(), cluster, name]);
        }
    }
}

/// The index of deployments that are not over, by service: at most one.
pub const UNDER_WAY: &str = "under-way";
