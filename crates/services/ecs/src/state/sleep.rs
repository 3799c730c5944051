//! Services that have gone to sleep: scaled to zero until somebody asks for them.

use base::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Key, Record};

use super::service::ServiceId;

/// The service sleeps: no task of it is wanted, whatever its owner's count says. Gone once it is awake.
/// Written by whoever knows of requests, and by the controller `wake`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sleep {
    pub at: ServiceId,
    pub since: Timestamp,
}

impl Record for Sleep {
    const KIND: &'static str = "ecs/service-sleep";
    fn key(&self) -> Key {
        self.at.key()
    }
}
