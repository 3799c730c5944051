//! What a service tells its owner.

use base::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Key, Record};

use super::service::ServiceId;

/// One event. The last hundred of a service are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub at: ServiceId,
    /// Counted from 0 within the service.
    pub number: u64,
    /// A UUID.
    pub id: String,
    pub created_at: Timestamp,
    pub message: String,
}

// AWS.
pub const KEPT: u64 = 100;

impl Event {
    pub fn key_of(at: &ServiceId, number: u64) -> Key {
        at.under(&format!("{number:020}"))
    }
}

impl Record for Event {
    const KIND: &'static str = "ecs/service-event";
    fn key(&self) -> Key {
        Event::key_of(&self.at, self.number)
    }
}
