//! Starts that fail again and again come ever more slowly.

use std::time::Duration;

use base::Timestamp;
use serde::{Deserialize, Serialize};

/// Tasks in a row that never reached RUNNING.
// AWS: the time between starts grows up to fifteen minutes; tasks that ran and ended are not
// slowed down. A new deployment begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Throttle {
    pub failed: u32,
    pub last_at: Option<Timestamp>,
}

/// Failures that are not answered by a wait.
const FREE: u32 = 3;
const LONGEST: Duration = Duration::from_secs(15 * 60);

impl Throttle {
    /// Until when nothing is started; `None`: it is open.
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let over = self.failed.checked_sub(FREE)?;
        let wait = Duration::from_secs(1 << over.min(10)).min(LONGEST);
        let until = self.last_at? + wait;
        (now < until).then_some(until)
    }

    #[must_use]
    pub fn after_failure(self, at: Timestamp) -> Throttle {
        Throttle { failed: self.failed.saturating_add(1), last_at: Some(at) }
    }

    /// After a task has reached RUNNING.
    #[must_use]
    pub fn after_success(self) -> Throttle {
        Throttle::default()
    }
}
