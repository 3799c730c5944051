//! Records of ECS, and the only place that spells their keys.
//!
//! ```text
//! ecs/cluster           account / region / name
//! ecs/family            account / region / family                   how many revisions there were
//! ecs/task-definition   account / region / family / revision        ten digits, so that they sort
//! ecs/task              account / region / cluster / id             accepted, wanted   (callers)
//!   by-instance         account / region / cluster / container instance
//! ecs/task-assignment   account / region / cluster / id             for the host       (RunTask)
//! ecs/task-status       account / region / cluster / id             how it stands      (controller)
//!   by-stage            account / region / cluster / stage
//!   live                account / region / cluster                  those that have not stopped
//! ecs/task-observed     account / region / cluster / id             what was seen      (host)
//! ecs/task-protection   account / region / cluster / id             until it is over
//! ecs/client-token      account / region / token
//! ecs/container-instance  account / region / cluster / id
//!   by-host             host
//! ecs/setting           account / region / principal / name
//! ecs/session           id                                          until it is taken up
//! ```
//!
//! Invariant: `ecs/task`, `-assignment` and `-status` of a task come and go together.

pub mod cluster;
pub mod container;
pub mod definition;
pub mod instance;
pub mod kept;
pub mod overrides;
pub mod protection;
pub mod session;
pub mod setting;
pub mod task;
pub mod token;
pub mod volume;

use store::Kinds;

/// Everything that a database may hold of ECS.
pub fn kinds(kinds: Kinds) -> Kinds {
    kinds
        .with::<cluster::Cluster>()
        .with::<definition::Family>()
        .with::<definition::TaskDefinition>()
        .with::<task::Task>()
        .with::<task::TaskAssignment>()
        .with::<task::TaskStatus>()
        .with::<task::TaskObserved>()
        .with::<token::ClientToken>()
        .with::<instance::ContainerInstance>()
        .with::<session::Session>()
        .with::<protection::TaskProtection>()
        .with::<setting::Setting>()
}
