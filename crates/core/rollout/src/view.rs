//! A service's tasks as decisions see them.

use std::sync::Arc;

use base::Timestamp;

/// One task that is or was a member of the service, and has not been forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskView {
    pub id: Arc<str>,
    /// The service revision that it was started from.
    pub revision: Arc<str>,
    pub stage: Stage,
    pub created_at: Timestamp,
    /// When its containers had started, if they have.
    pub running_at: Option<Timestamp>,
    /// What its containers' own health checks say; `None`: no essential one has any.
    pub check: Option<Check>,
    /// Where balancers send to it.
    pub targets: Vec<Target>,
    /// Scaling in and deployments leave it alone.
    pub is_protected: bool,
    pub zone: Arc<str>,
}

/// How far a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Accepted, not running yet.
    Coming,
    Running,
    /// Told to stop, or ending by itself: it counts for nothing any more.
    Leaving,
}

/// What health checks of containers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    Waiting,
    Passing,
    Failing,
}

/// A task in one target group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The group's ARN.
    pub group: Arc<str>,
    pub port: u16,
    pub state: TargetState,
}

/// What a balancer says of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetState {
    /// Registered, not checked yet.
    Initial,
    Healthy,
    Unhealthy,
    /// Leaving: what it has is finished, nothing new comes.
    Draining,
    /// No listener uses the group, or the target is not registered.
    Unused,
}
