//! The circuit breaker: how many failed tasks end a deployment.

use serde::{Deserialize, Serialize};

/// When a deployment has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Threshold {
    Count(u32),
    /// Of the desired count, between [`LEAST`] and [`MOST`].
    BoundedPercent(u32),
    UnboundedPercent(u32),
}

pub const LEAST: u32 = 3;
pub const MOST: u32 = 200;

// AWS: half of the desired count, between 3 and 200.
impl Default for Threshold {
    fn default() -> Threshold {
        Threshold::BoundedPercent(50)
    }
}

impl Threshold {
    /// Failures that end a deployment of `desired` tasks; at least one.
    pub fn failures(self, desired: u32) -> u32 {
        let share = |percent: u32| {
            u32::try_from((u64::from(desired) * u64::from(percent)).div_ceil(100)).unwrap_or(u32::MAX)
        };
        match self {
            Threshold::Count(count) => count.max(1),
            Threshold::BoundedPercent(percent) => share(percent).clamp(LEAST, MOST),
            Threshold::UnboundedPercent(percent) => share(percent).max(1),
        }
    }
}

/// Failures of a deployment's tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Count {
    /// All of them.
    pub failed: u32,
    /// Those that the breaker looks at.
    pub counted: u32,
}

/// What a task of the deployment's revision has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It was healthy for the first time.
    Healthy,
    /// It ended before it was ever healthy, or was stopped for being unhealthy.
    Failed,
}

impl Count {
    /// `resets`: AWS's `resetOnHealthyTask`, true where nothing is said.
    #[must_use]
    pub fn after(self, event: Event, resets: bool) -> Count {
        match event {
            Event::Failed => {
                Count { failed: self.failed.saturating_add(1), counted: self.counted.saturating_add(1) }
            }
            Event::Healthy if resets => Count { counted: 0, ..self },
            Event::Healthy => self,
        }
    }

    pub fn is_tripped(self, threshold: Threshold, desired: u32) -> bool {
        self.counted >= threshold.failures(desired)
    }
}
