//! Sessions that ExecuteCommand opened and nobody has connected to yet.

use base::{Secret, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Key, Record};

use super::task::TaskId;

/// A command that waits for the channel over which it talks. Gone once somebody has taken it up, or
/// when it expires.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    /// `ecs-execute-command-` and 17 hexadecimal digits.
    pub id: String,
    pub task: TaskId,
    pub container: String,
    pub command: String,
    /// A digest of the token: a copy of the records opens nothing.
    pub token: Secret,
    pub expires_at: Timestamp,
}

impl Session {
    pub fn key_of(id: &str) -> Key {
        Key::of(&[id])
    }
}

impl Record for Session {
    const KIND: &'static str = "ecs/session";
    fn key(&self) -> Key {
        Session::key_of(&self.id)
    }
}
