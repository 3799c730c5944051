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
//! ecs/service           account / region / cluster / name           wanted             (callers)
//!   by-token            account / region / token
//!   sleepers            account / region                            those that may sleep
//! ecs/service-status    account / region / cluster / name           how it stands      (controller)
//!   waiting             account / region / cluster                  those that wait for room
//! ecs/service-sleep     account / region / cluster / name           it sleeps          (wake)
//! ecs/rest              machine                                   everything is ended (operator)
//! ecs/service-revision  account / region / cluster / name / id      what tasks start from
//!   by-group            target group
//!   by-definition       account / region / family / number
//! ecs/service-deployment  account / region / cluster / name / id
//!   under-way           account / region / cluster / name
//! ecs/service-event     account / region / cluster / name / number  the last hundred
//! ecs/service-member    account / region / cluster / name / task    until its end is accounted for
//! ecs/task-targets      account / region / cluster / id             where a task is registered
//!   by-target           target group / target / port
//! ```
//!
//! Invariant: `ecs/task`, `-assignment` and `-status` of a task come and go together.

pub mod cluster;
pub mod container;
pub mod definition;
pub mod deployment;
pub mod event;
pub mod instance;
pub mod kept;
pub mod member;
pub mod overrides;
pub mod protection;
pub mod rest;
pub mod revision;
pub mod service;
pub mod session;
pub mod setting;
pub mod sleep;
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
        .with::<service::Service>()
        .with::<service::ServiceStatus>()
        .with::<sleep::Sleep>()
        .with::<rest::Rest>()
        .with::<revision::Revision>()
        .with::<deployment::Deployment>()
        .with::<event::Event>()
        .with::<member::Member>()
        .with::<member::TaskTargets>()
}
