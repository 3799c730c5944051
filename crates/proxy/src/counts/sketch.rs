//! Durations counted in buckets whose width grows with the duration, so that any percentile is known
//! to one part in 32, whatever was counted.
//!
//! Our own, because the crates that do this (`hdrhistogram`, `sketches-ddsketch`) have one owner at a
//! time or a lock: here a worker adds with two plain stores while another thread reads. 32 buckets
//! per power of two, from a microsecond to an hour and a bit: 896 buckets, 7 KiB.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets per power of two.
const STEPS_LOG2: u32 = 5;
const STEPS: u64 = 1 << STEPS_LOG2;
/// 2^32 µs are 71 minutes; an idle timeout is 4,000 s at most, so that all else is an error.
const LARGEST: u64 = (1 << 32) - 1;
const BUCKETS: usize = ((32 - STEPS_LOG2 + 1) as usize) << STEPS_LOG2;

/// A duration's bucket: exact below 32 µs, then 32 to each power of two.
fn bucket(micros: u64) -> usize {
    let micros = micros.min(LARGEST);
    if micros < STEPS {
        return micros as usize;
    }
    let shift = 63 - micros.leading_zeros() - STEPS_LOG2;
    (((shift + 1) as usize) << STEPS_LOG2) + ((micros >> shift) - STEPS) as usize
}

/// The middle of a bucket, in microseconds.
fn middle(bucket: usize) -> f64 {
    let (row, step) = ((bucket >> STEPS_LOG2) as u32, (bucket as u64) & (STEPS - 1));
    if row == 0 {
        return step as f64;
    }
    let width = 1_u64 << (row - 1);
    ((STEPS + step) * width) as f64 + (width - 1) as f64 / 2.0
}

/// What one worker counts into.
#[derive(Debug)]
pub struct Sketch {
    buckets: Box<[AtomicU64]>,
    sum_micros: AtomicU64,
}

impl Sketch {
    pub(super) fn new() -> Sketch {
        Sketch { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), sum_micros: AtomicU64::new(0) }
    }

    /// Only the worker that owns it may add.
    pub fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).min(LARGEST);
        let raise = |place: &AtomicU64, by: u64| {
            place.store(place.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
        };
        raise(&self.buckets[bucket(micros)], 1);
        raise(&self.sum_micros, micros);
    }

    pub(super) fn take_in(&self, other: &Sketch) {
        for (own, other) in self.buckets.iter().zip(&other.buckets) {
            own.fetch_add(other.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.sum_micros.fetch_add(other.sum_micros.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Distribution {
        let counts: Vec<u64> = self.buckets.iter().map(|place| place.load(Ordering::Relaxed)).collect();
        Distribution { counts, sum_micros: self.sum_micros.load(Ordering::Relaxed) }
    }
}

/// Durations as they were counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Distribution {
    /// Empty: nothing was counted.
    counts: Vec<u64>,
    sum_micros: u64,
}

impl Distribution {
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Seconds; `None` where nothing was counted.
    pub fn average(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum_micros as f64 / count as f64 / 1e6)
    }

    /// Seconds below which `share` (0 to 1) of the durations lie, to one part in 32.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        let rank = (share.clamp(0.0, 1.0) * count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.counts.iter().position(|counted| {
            seen += counted;
            seen >= rank
        })?;
        Some(middle(found) / 1e6)
    }

    pub fn minimum(&self) -> Option<f64> {
        self.counts.iter().position(|count| *count > 0).map(|bucket| middle(bucket) / 1e6)
    }

    pub fn maximum(&self) -> Option<f64> {
        self.counts.iter().rposition(|count| *count > 0).map(|bucket| middle(bucket) / 1e6)
    }

    /// Buckets that have something in them: seconds and count, in order.
    pub fn values(&self) -> impl Iterator<Item = (f64, u64)> {
        let counted = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counted.map(|(bucket, count)| (middle(bucket) / 1e6, *count))
    }

    pub(super) fn merge(&mut self, other: &Distribution) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (own, other) in self.counts.iter_mut().zip(&other.counts) {
            *own += other;
        }
        self.sum_micros = self.sum_micros.wrapping_add(other.sum_micros);
    }

    pub(super) fn since(&self, earlier: &Distribution) -> Distribution {
        let mut counts = self.counts.clone();
        for (own, earlier) in counts.iter_mut().zip(&earlier.counts) {
            *own = own.saturating_sub(*earlier);
        }
        Distribution { counts, sum_micros: self.sum_micros.wrapping_sub(earlier.sum_micros) }
    }
}
