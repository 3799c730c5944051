//! What is counted: every metric of `AWS/ApplicationELB`, per balancer, target group and zone.
//!
//! Owns counters and their reading. A worker has counters of its own, so that counting is a plain
//! addition; reading adds the workers up. Everything grows since the start of the plane: whoever
//! wants what happened in a minute takes the difference of two readings.
//!
//! How targets stand is read off the tables that are served when somebody asks.
//!
//! Deliberately ignores what is derived from others (`RequestCountPerTarget`, `ConsumedLCUs`), and
//! what no feature here can bring about (Lambda, authentication, reputation, zonal shift).

mod connection;
mod levels;
mod metric;
mod sketch;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(crate) use connection::{Active, Open, connection_id, log_connection};
pub(crate) use levels::Levels;
pub use metric::Metric;
pub use sketch::{Distribution, Sketch};

/// What counts are kept for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// [`core_routing::Balancer::arn`].
    pub balancer: Arc<str>,
    /// `None`: what concerns the balancer as a whole.
    pub group: Option<Arc<str>>,
    /// The node's zone for a balancer, the target's for a group. `None`: no zone.
    pub zone: Option<Arc<str>>,
}

/// One worker's counters of one subject. Only that worker may add.
#[derive(Debug)]
pub struct Counters {
    metrics: [AtomicU64; Metric::COUNT],
    /// `TargetResponseTime`.
    pub response_time: Sketch,
}

impl Counters {
    fn new() -> Counters {
        Counters { metrics: [const { AtomicU64::new(0) }; Metric::COUNT], response_time: Sketch::new() }
    }

    /// Counts. One writer, so that no locked addition is needed.
    pub fn add(&self, metric: Metric, count: u64) {
        let place = &self.metrics[metric as usize];
        place.store(place.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// For what goes up and down (`ActiveConnectionCount`).
    pub fn subtract(&self, metric: Metric, count: u64) {
        let place = &self.metrics[metric as usize];
        place.store(place.load(Ordering::Relaxed).wrapping_sub(count), Ordering::Relaxed);
    }

    /// Counts the answer of a target: its status, and how long it took.
    pub fn target_answered(&self, status: u16, took: Duration) {
        let metric = match status {
            200..=299 => Metric::HttpCodeTarget2xx,
            300..=399 => Metric::HttpCodeTarget3xx,
            400..=499 => Metric::HttpCodeTarget4xx,
            500..=599 => Metric::HttpCodeTarget5xx,
            _ => return,
        };
        self.add(metric, 1);
        self.response_time.add(took);
    }

    /// Counts an answer that the balancer gave by itself, but for redirects and fixed responses.
    pub fn balancer_answered(&self, status: u16) {
        let class = match status {
            300..=399 => Metric::HttpCodeElb3xx,
            400..=499 => Metric::HttpCodeElb4xx,
            500..=599 => Metric::HttpCodeElb5xx,
            _ => return,
        };
        self.add(class, 1);
        let own = match status {
            500 => Metric::HttpCodeElb500,
            502 => Metric::HttpCodeElb502,
            503 => Metric::HttpCodeElb503,
            504 => Metric::HttpCodeElb504,
            _ => return,
        };
        self.add(own, 1);
    }
}

/// All counters of a plane.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    all: Arc<Mutex<BTreeMap<Subject, Vec<Arc<Counters>>>>>,
}

impl Counts {
    /// Counters for one more worker. Asked once per worker and subject, not per request.
    pub fn counters(&self, subject: Subject) -> Arc<Counters> {
        let counters = Arc::new(Counters::new());
        self.lock().entry(subject).or_default().push(counters.clone());
        counters
    }

    /// Everything, added up over workers.
    pub fn read(&self) -> BTreeMap<Subject, Reading> {
        let mut all = self.lock();
        let read = |counters: &Vec<Arc<Counters>>| {
            let mut reading = Reading::default();
            counters.iter().for_each(|counters| reading.add(counters));
            reading
        };
        let readings = all.iter().map(|(subject, counters)| (subject.clone(), read(counters))).collect();
        // What only this list holds has no writer left: it is kept in one.
        for counters in all.values_mut().filter(|counters| counters.len() > 1) {
            fold(counters);
        }
        readings
    }

    /// The requests that a group's targets were given.
    pub fn requests(&self, balancer: &Arc<str>, group: &Arc<str>) -> u64 {
        let all = self.lock();
        let from = Subject { balancer: balancer.clone(), group: Some(group.clone()), zone: None };
        let of_group = all.range(from..).take_while(|(subject, _)| {
            subject.balancer == *balancer && subject.group.as_ref() == Some(group)
        });
        let place = Metric::RequestCount as usize;
        let counters = of_group.flat_map(|(_, counters)| counters);
        counters.map(|counters| counters.metrics[place].load(Ordering::Relaxed)).sum()
    }

    /// Drops the counts of a balancer that is gone.
    pub fn forget(&self, balancer: &str) {
        self.lock().retain(|subject, _| &*subject.balancer != balancer);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Subject, Vec<Arc<Counters>>>> {
        // Counters are whole at any instant.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds up counters without a writer, so that tables that come and go leave nothing behind.
fn fold(counters: &mut Vec<Arc<Counters>>) {
    let (left, mut kept): (Vec<_>, Vec<_>) =
        counters.drain(..).partition(|counters| Arc::strong_count(counters) == 1);
    if left.len() > 1 {
        let sum = Counters::new();
        for counters in &left {
            for metric in Metric::ALL {
                sum.add(metric, counters.metrics[metric as usize].load(Ordering::Relaxed));
            }
            sum.response_time.take_in(&counters.response_time);
        }
        kept.push(Arc::new(sum));
    } else {
        kept.extend(left);
    }
    *counters = kept;
}

/// Counts of one subject at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    metrics: [u64; Metric::COUNT],
    pub response_time: Distribution,
}

impl Default for Reading {
    fn default() -> Self {
        Reading { metrics: [0; Metric::COUNT], response_time: Distribution::default() }
    }
}

impl Reading {
    fn set(&mut self, metric: Metric, level: u64) {
        self.metrics[metric as usize] = level;
    }

    pub fn get(&self, metric: Metric) -> u64 {
        self.metrics[metric as usize]
    }

    /// What was added since an earlier reading. For what goes up and down: what there is now.
    pub fn since(&self, earlier: &Reading) -> Reading {
        let mut metrics = self.metrics;
        for metric in Metric::ALL.into_iter().filter(|metric| !metric.is_level()) {
            let place = metric as usize;
            metrics[place] = metrics[place].saturating_sub(earlier.metrics[place]);
        }
        Reading { metrics, response_time: self.response_time.since(&earlier.response_time) }
    }

    /// Adds the reading of another subject: a balancer's zones make the balancer.
    pub fn merge(&mut self, other: &Reading) {
        for (sum, count) in self.metrics.iter_mut().zip(&other.metrics) {
            *sum = sum.wrapping_add(*count);
        }
        self.response_time.merge(&other.response_time);
    }

    fn add(&mut self, counters: &Counters) {
        for (sum, count) in self.metrics.iter_mut().zip(&counters.metrics) {
            *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
        }
        self.response_time.merge(&counters.response_time.read());
    }
}

#[cfg(test)]
mod tests;
