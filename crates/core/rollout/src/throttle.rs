//! Starts that fail again and again come ever more slowly.

use std::time::Duration;

use base::Timestamp;
use serde::{Deserialize, Serialize};

/// Failures in a row: tasks that never reached RUNNING, or could not be placed.
// AWS: the time between starts grows, nowadays up to 27 minutes (15 once); tasks that ran and ended
// are not slowed down, and a new deployment begins anew, with the default. How it grows AWS does not
// say: here it doubles, from a second on.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-throttle-logic.html
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Throttle {
    /// Rounds of failures.
    pub failed: u32,
    pub last_at: Option<Timestamp>,
}

/// Failures that are not answered by a wait.
pub const FREE: u32 = 2;
/// The longest wait between two starts.
pub const LONGEST: Duration = Duration::from_secs(27 * 60);

impl Throttle {
    /// Until when nothing is started; `None`: it is open.
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let over = self.failed.checked_sub(FREE + 1)?;
        let wait = Duration::from_secs(1 << over.min(11)).min(LONGEST);
        let until = self.last_at? + wait;
        (now < until).then_some(until)
    }

    /// Starts fail so often that a service's events should say so.
    pub fn is_slow(&self) -> bool {
        self.failed > FREE
    }

    /// Tasks that were started together and fail together are one failure once starts are slowed
    /// down: what fails while nothing is started lengthens no wait.
    #[must_use]
    pub fn after_failure(self, at: Timestamp) -> Throttle {
        if self.until(at).is_some() {
            return self;
        }
        Throttle { failed: self.failed.saturating_add(1), last_at: Some(at) }
    }

    /// After a task has reached RUNNING.
    #[must_use]
    pub fn after_success(self) -> Throttle {
        Throttle::default()
    }
}
