//! The only place that reads the wall clock. The simulated runtime adds an offset that jumps.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Timestamp;

/// Wall time plus an offset. Cheap to clone; clones share the offset.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_micros: Arc<AtomicI64>,
}

impl Clock {
    pub fn new(offset: Duration) -> Self {
        let clock = Clock::default();
        clock.advance(offset);
        clock
    }

    /// Wall time plus the offset.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(wall().as_micros() + self.offset_micros.load(Ordering::SeqCst))
    }

    pub fn advance(&self, by: Duration) {
        self.offset_micros.fetch_add(by.as_micros() as i64, Ordering::SeqCst);
    }

    pub fn offset(&self) -> Duration {
        Duration::from_micros(self.offset_micros.load(Ordering::SeqCst).max(0) as u64)
    }
}

/// The wall clock itself, for what must never jump: signatures, credentials' expiry, TLS.
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(since.as_micros() as i64)
}
