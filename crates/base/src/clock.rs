//! The only place that reads the wall clock. The simulated runtime adds an offset that jumps.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Timestamp;

/// Wall time plus an offset. Cheap to clone; clones share the offset.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    offset_micros: AtomicI64,
    jumps: AtomicU64,
    /// Who waits for a jump, by an id of its own.
    waiting: Mutex<BTreeMap<u64, Waker>>,
    next_id: AtomicU64,
}

impl Clock {
    pub fn new(offset: Duration) -> Self {
        let clock = Clock::default();
        clock.advance(offset);
        clock
    }

    /// Wall time plus the offset.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(wall().as_micros() + self.shared.offset_micros.load(Ordering::SeqCst))
    }

    pub fn advance(&self, by: Duration) {
        self.shared.offset_micros.fetch_add(by.as_micros() as i64, Ordering::SeqCst);
        self.shared.jumps.fetch_add(1, Ordering::SeqCst);
        let waiting = std::mem::take(&mut *self.shared.lock());
        waiting.into_values().for_each(Waker::wake);
    }

    /// Resolves when the clock jumps after this call. Whoever sleeps until an instant of this clock
    /// waits for this as well, since a timer does not hear of the jump.
    pub fn jump(&self) -> Jump {
        let (shared, id) = (self.shared.clone(), self.shared.next_id.fetch_add(1, Ordering::SeqCst));
        Jump { since: shared.jumps.load(Ordering::SeqCst), shared, id }
    }

    pub fn offset(&self) -> Duration {
        Duration::from_micros(self.shared.offset_micros.load(Ordering::SeqCst).max(0) as u64)
    }
}

/// See [`Clock::jump`].
#[derive(Debug)]
pub struct Jump {
    shared: Arc<Shared>,
    since: u64,
    id: u64,
}

impl Future for Jump {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Laid down before looking, so that a jump in between is not missed.
        self.shared.lock().insert(self.id, cx.waker().clone());
        match self.shared.jumps.load(Ordering::SeqCst) == self.since {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }
}

impl Drop for Jump {
    fn drop(&mut self) {
        self.shared.lock().remove(&self.id);
    }
}

impl Shared {
    /// A poisoned lock holds data that is as good as ever: no code here panics half-way.
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wall clock itself, for what must never jump: signatures, credentials' expiry, TLS.
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(since.as_micros() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_wakes_whoever_waits_for_it() {
        let clock = Clock::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut before = std::pin::pin!(clock.jump());
        assert!(before.as_mut().poll(&mut context).is_pending());
        clock.clone().advance(Duration::from_secs(5));
        assert!(before.as_mut().poll(&mut context).is_ready());
        let mut after = std::pin::pin!(clock.jump());
        assert!(after.as_mut().poll(&mut context).is_pending(), "that jump is over");
    }

    #[test]
    fn nobody_waits_on_after_giving_up() {
        let clock = Clock::default();
        let mut jump = Box::pin(clock.jump());
        assert!(jump.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(clock.shared.lock().len(), 1);
        drop(jump);
        assert!(clock.shared.lock().is_empty());
    }
}
