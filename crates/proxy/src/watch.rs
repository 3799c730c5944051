//! Deadlines of connections: set with a store, looked at by a sweep, so that a request registers no
//! timer. They are late by up to half a second, never early.
//!
//! Invariant: whoever waits is woken once its deadline has passed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;

use crate::table::TargetState;

/// How often the sweep runs; each run looks at one of [`PARTS`] of the watches.
pub const TICK: Duration = Duration::from_millis(100);
const PARTS: usize = 4;

/// A connection's deadline.
pub struct Watch {
    /// Milliseconds of the worker's coarse clock.
    due_at: Cell<u64>,
    is_due: Cell<bool>,
    is_cut: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Whose request is under way: when that target is cut, so is the request.
    target: RefCell<Option<Arc<TargetState>>>,
}

/// All watches of a worker, and its coarse clock.
#[derive(Default)]
pub struct Watches {
    all: RefCell<Vec<Option<Rc<Watch>>>>,
    free: RefCell<Vec<u32>>,
    now_ms: Cell<u64>,
    part: Cell<usize>,
}

/// A watch while it is looked at.
pub struct Watched {
    pub watch: Rc<Watch>,
    of: Rc<Watches>,
    at: u32,
}

impl Watches {
    /// Milliseconds since the worker began, late by up to a tick.
    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    pub fn add(self: &Rc<Self>) -> Watched {
        let watch = Rc::new(Watch {
            due_at: Cell::new(u64::MAX),
            is_due: Cell::new(false),
            is_cut: Cell::new(false),
            waker: RefCell::new(None),
            target: RefCell::new(None),
        });
        let mut all = self.all.borrow_mut();
        let at = match self.free.borrow_mut().pop() {
            Some(at) => {
                all[at as usize] = Some(watch.clone());
                at
            }
            None => {
                all.push(Some(watch.clone()));
                all.len() as u32 - 1
            }
        };
        Watched { watch, of: self.clone(), at }
    }

    /// Looks at the next part. `now_ms` since the worker began, `wall_micros` since 1970.
    pub fn sweep(&self, now_ms: u64, wall_micros: i64) {
        self.now_ms.set(now_ms);
        let part = self.part.get();
        self.part.set((part + 1) % PARTS);
        // Woken wakers only mark tasks as ready: none of them runs in here.
        for watch in self.all.borrow().iter().skip(part).step_by(PARTS).flatten() {
            watch.look(now_ms, wall_micros);
        }
    }

    /// How many are watched.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.all.borrow().len() - self.free.borrow().len()
    }

    /// Wakes everybody, to look whether the worker is leaving.
    pub fn wake_all(&self) {
        for watch in self.all.borrow().iter().flatten() {
            if let Some(waker) = watch.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }
}

impl Watch {
    fn look(&self, now_ms: u64, wall_micros: i64) {
        let is_late = self.due_at.get() <= now_ms;
        let target = self.target.borrow();
        let is_cut =
            target.as_ref().is_some_and(|target| target.cut_at.load(Ordering::Relaxed) <= wall_micros);
        if !is_late && !is_cut {
            return;
        }
        self.is_due.set(self.is_due.get() || is_late);
        self.is_cut.set(self.is_cut.get() || is_cut);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Whether the deadline has passed or the target was cut; if not, the caller is woken then.
    pub fn poll_due(&self, cx: &Context<'_>) -> bool {
        if self.is_due.get() || self.is_cut.get() {
            return true;
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        false
    }

    /// The deadline has passed, as far as was seen.
    pub fn is_due(&self) -> bool {
        self.is_due.get()
    }

    /// The target under way was deregistered and its time is over.
    pub fn is_cut(&self) -> bool {
        self.is_cut.get()
    }

    pub fn serve(&self, target: Option<Arc<TargetState>>) {
        self.is_cut.set(false);
        *self.target.borrow_mut() = target;
    }
}

impl Watched {
    /// Due that long from now; what was set before is void.
    pub fn within(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2);
        self.watch.due_at.set(self.of.now_ms.get() + time + TICK.as_millis() as u64);
        self.watch.is_due.set(false);
    }

    pub fn poll_due(&self, cx: &Context<'_>) -> bool {
        self.watch.poll_due(cx)
    }

    /// Nobody waits any more: no deadline, no target, and nobody to wake.
    pub fn rest(&self) {
        self.watch.due_at.set(u64::MAX);
        self.watch.is_due.set(false);
        self.watch.serve(None);
        *self.watch.waker.borrow_mut() = None;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.of.all.borrow_mut()[self.at as usize] = None;
        self.of.free.borrow_mut().push(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep_all(watches: &Watches, now_ms: u64) {
        (0..PARTS).for_each(|_| watches.sweep(now_ms, 0));
    }

    #[test]
    fn a_deadline_that_has_passed_is_due_and_one_set_again_is_not() {
        let watches = Rc::new(Watches::default());
        let watched = watches.add();
        let cx = Context::from_waker(Waker::noop());
        watched.within(Duration::from_secs(1));
        sweep_all(&watches, 1_000);
        assert!(!watched.poll_due(&cx), "never early");
        sweep_all(&watches, 1_100);
        assert!(watched.poll_due(&cx));
        watched.within(Duration::from_secs(1));
        assert!(!watched.poll_due(&cx));
    }

    #[test]
    fn a_place_is_used_again() {
        let watches = Rc::new(Watches::default());
        let (first, _second) = (watches.add(), watches.add());
        drop(first);
        assert_eq!(watches.count(), 1);
        let _third = watches.add();
        assert_eq!((watches.count(), watches.all.borrow().len()), (2, 2));
    }
}
