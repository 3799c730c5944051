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
