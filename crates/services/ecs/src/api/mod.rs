//! Operations, one file per resource. A handler validates, looks up, changes, answers.

pub mod attribute;
pub mod cluster;
pub mod exec;
pub mod instance;
pub mod launch;
pub mod network;
pub mod observe;
pub mod run_task;
pub mod start_task;
pub mod tag;
pub mod task;
pub mod task_definition;
