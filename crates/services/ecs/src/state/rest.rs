//! The machine at rest: its operator ends every task, and services start no other in its place.

use base::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Key, Record};

/// There while the operator ends everything; gone once the server starts again. Services keep what
/// their owners want, and come back then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    pub since: Timestamp,
}

impl Rest {
    /// There is at most one.
    pub fn only() -> Key {
        Key::of(&["machine"])
    }
}

impl Record for Rest {
    const KIND: &'static str = "ecs/rest";
    fn key(&self) -> Key {
        Rest::only()
    }
}
