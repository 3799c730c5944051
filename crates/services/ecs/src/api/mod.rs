//! Operations, one file per resource. A handler validates, looks up, changes, answers.

pub mod attribute;
pub mod cluster;
pub mod deployment;
pub mod exec;
pub mod instance;
pub mod launch;
pub mod list_tasks;
pub mod member;
pub mod network;
pub mod observe;
pub mod protection;
pub mod revision;
pub mod run_task;
pub mod service;
pub mod service_checks;
pub mod service_describe;
pub mod service_update;
pub mod setting;
pub mod start_task;
pub mod tag;
pub mod task;
pub mod task_definition;
pub mod wake;
