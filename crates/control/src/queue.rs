//! One controller's keys: which to look at, in which order, and when again.
//!
//! Invariant: a key is in `ready` once at most, and not while it is busy.
//!
//! ```text
//! idle ──touched, woken──► ready ──take──► busy ──done──► idle (may have a wake-up)
//!                            ▲               └─touched meanwhile, moved─► ready
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use base::{Chance, Timestamp};

/// After the first failure; doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// A plan that has so often met a moved world is made where nothing can move.
const PATIENCE: u32 = 3;
/// A plan that asks to be woken at its own instant or before would spin.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Queue<K> {
    ready: VecDeque<K>,
    entries: BTreeMap<K, Entry>,
    wakes: BTreeSet<(Timestamp, K)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    state: State,
    wake_at: Option<Timestamp>,
    failures: u32,
    /// In a row.
    moved: u32,
}

/// A key to plan.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Taken<K> {
    pub key: K,
    /// What it reads moves too often: plan it within the transaction itself.
    pub is_impatient: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Idle,
    Ready,
    Busy,
    /// Busy, and touched since it was taken.
    BusyAgain,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Queue { ready: VecDeque::new(), entries: BTreeMap::new(), wakes: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Queue<K> {
    pub fn touch(&mut self, key: K) {
        let entry = self.entries.entry(key.clone()).or_default();
        match entry.state {
            State::Idle => {
                entry.state = State::Ready;
                self.ready.push_back(key);
            }
            State::Busy => entry.state = State::BusyAgain,
            State::Ready | State::BusyAgain => {}
        }
    }

    /// The next key to plan; it is busy until [`Queue::done`].
    pub fn take(&mut self, now: Timestamp) -> Option<Taken<K>> {
        self.wake(now);
        let key = self.ready.pop_front()?;
        let entry = self.entries.get_mut(&key).expect("a ready key has an entry");
        entry.state = State::Busy;
        if let Some(at) = entry.wake_at.take() {
            self.wakes.remove(&(at, key.clone()));
        }
        Some(Taken { key, is_impatient: entry.moved >= PATIENCE })
    }

    /// The key was dealt with at `planned_at` and wants to be woken at `wake_at`.
    pub fn done(&mut self, key: K, planned_at: Timestamp, wake_at: Option<Timestamp>) {
        let wake_at = wake_at.map(|at| at.max(planned_at + SHORTEST_WAIT));
        self.finish(key, wake_at, |_| (0, 0));
    }

    /// What the plan had read has moved: plan again at once.
    pub fn moved(&mut self, key: K) {
        self.touch(key.clone());
        self.finish(key, None, |entry| (entry.failures, entry.moved.saturating_add(1)));
    }

    /// The commit failed: again after a while, or when touched.
    pub fn failed(&mut self, key: K, now: Timestamp, chance: &mut Chance) {
        let failures = self.entries.get(&key).map_or(0, |entry| entry.failures);
        let wait = backoff(failures, chance);
        self.finish(key, Some(now + wait), |entry| (entry.failures.saturating_add(1), 0));
    }

    /// When the first key that nobody has touched wakes.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Whether nothing is ready, busy or due.
    pub fn is_quiet(&self, now: Timestamp) -> bool {
        self.ready.is_empty()
            && self.next_wake().is_none_or(|at| at > now)
            && self.entries.values().all(|entry| entry.state == State::Idle)
    }

    fn wake(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.wakes.first().cloned()
            && at <= now
        {
            self.wakes.pop_first();
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.wake_at = None;
            }
            self.touch(key);
        }
    }

    fn finish(&mut self, key: K, wake_at: Option<Timestamp>, counts: impl Fn(&Entry) -> (u32, u32)) {
        let entry = self.entries.get_mut(&key).expect("a busy key has an entry");
        (entry.failures, entry.moved) = counts(entry);
        let is_touched = entry.state == State::BusyAgain;
        entry.state = State::Idle;
        entry.wake_at = wake_at;
        if let Some(at) = wake_at {
            self.wakes.insert((at, key.clone()));
        }
        if is_touched {
            self.touch(key);
        } else if wake_at.is_none() {
            self.entries.remove(&key);
        }
    }
}

/// Between half and all of the doubled wait, so that keys which failed together part.
fn backoff(failures: u32, chance: &mut Chance) -> Duration {
    let longest = FIRST_BACKOFF.saturating_mul(1 << failures.min(20)).min(LONGEST_BACKOFF);
    let half = longest / 2;
    half + Duration::from_micros(chance.below(half.as_micros() as u64))
}

#[cfg(test)]
mod tests {
    use base::{Chance, Timestamp};

    use super::Queue;

    fn take(queue: &mut Queue<char>, now: Timestamp) -> Option<char> {
        queue.take(now).map(|taken| taken.key)
    }

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_key_is_there_once_and_one_at_a_time() {
        let mut queue = Queue::default();
        queue.touch('a');
        queue.touch('b');
        queue.touch('a');
        assert_eq!(take(&mut queue, at(0)), Some('a'));
        queue.touch('a');
        queue.touch('a');
        assert_eq!(take(&mut queue, at(0)), Some('b'));
        assert_eq!(take(&mut queue, at(0)), None, "a is busy");
        queue.done('a', at(0), None);
        assert_eq!(take(&mut queue, at(0)), Some('a'), "it was touched meanwhile");
        queue.done('a', at(0), None);
        assert!(!queue.is_quiet(at(0)));
        queue.done('b', at(0), None);
        assert!(queue.is_quiet(at(0)));
        assert!(queue.entries.is_empty());
    }

    #[test]
    fn a_wake_up_comes_when_it_is_due_and_not_after_a_touch_has_used_it() {
        let mut queue = Queue::default();
        queue.touch('a');
        take(&mut queue, at(0));
        queue.done('a', at(0), Some(at(5000)));
        assert_eq!(take(&mut queue, at(4999)), None);
        assert_eq!(queue.next_wake(), Some(at(5000)));
        assert!(!queue.is_quiet(at(5000)));
        queue.touch('a');
        assert_eq!(take(&mut queue, at(4999)), Some('a'));
        queue.done('a', at(4999), None);
        assert_eq!(take(&mut queue, at(5000)), None);
        assert_eq!(queue.next_wake(), None);
    }

    #[test]
    fn a_wake_up_in_the_past_does_not_spin() {
        let mut queue = Queue::default();
        queue.touch('a');
        take(&mut queue, at(1000));
        queue.done('a', at(1000), Some(at(1000)));
        assert_eq!(take(&mut queue, at(1000)), None);
        assert_eq!(take(&mut queue, at(1100)), Some('a'));
    }

    #[test]
    fn failures_wait_longer_and_longer_until_a_success() {
        let mut queue = Queue::default();
        let mut chance = Chance::new(1);
        queue.touch('a');
        let mut now = at(0);
        for longest in [100, 200, 400, 800] {
            take(&mut queue, now).unwrap();
            queue.failed('a', now, &mut chance);
            let wake = queue.next_wake().unwrap();
            let wait = wake.since(now).as_millis();
            assert!((longest / 2..=longest).contains(&wait), "{wait} of {longest}");
            now = wake;
        }
        take(&mut queue, now).unwrap();
        queue.done('a', now, None);
        queue.touch('a');
        take(&mut queue, now).unwrap();
        queue.failed('a', now, &mut chance);
        assert!(queue.next_wake().unwrap().since(now).as_millis() <= 100);
        queue.touch('a');
        assert_eq!(take(&mut queue, now), Some('a'), "a change cuts the wait short");
        queue.moved('a');
        assert_eq!(take(&mut queue, now), Some('a'), "moved: at once");
    }

    #[test]
    fn a_key_whose_world_moves_on_and_on_becomes_impatient_once() {
        let mut queue = Queue::default();
        queue.touch('a');
        for is_impatient in [false, false, false, true] {
            assert_eq!(queue.take(at(0)).map(|taken| taken.is_impatient), Some(is_impatient));
            queue.moved('a');
        }
        assert!(queue.take(at(0)).is_some_and(|taken| taken.is_impatient));
        queue.done('a', at(0), None);
        queue.touch('a');
        assert!(queue.take(at(0)).is_some_and(|taken| !taken.is_impatient));
    }
}
