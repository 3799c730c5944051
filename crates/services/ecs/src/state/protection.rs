//! Tasks that scaling in and deployments must leave alone for a while.

use base::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Key, Record};

use super::task::TaskId;

/// The protection of one task. None: it has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProtection {
    pub at: TaskId,
    pub expires_at: Timestamp,
    /// The task's, so that who watches protections knows whom they concern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

impl Record for TaskProtection {
    const KIND: &'static str = "ecs/task-protection";
    fn key(&self) -> Key {
        self.at.key()
    }
}
