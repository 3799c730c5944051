//! Which targets do worse than their like.

/// What came of requests to one target within a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub well: u32,
    /// 5xx, or a connection that was refused or broke.
    pub badly: u32,
}

impl Tally {
    fn total(self) -> f64 {
        f64::from(self.well) + f64::from(self.badly)
    }
}

/// AWS: anomalies are told only in groups with so many healthy targets.
const LEAST_TARGETS: usize = 3;
/// Fewer requests say nothing.
const LEAST_REQUESTS: f64 = 20.0;
/// How much larger a share of failures must be than that of the others, in itself ...
const LEAST_GAP: f64 = 0.05;
/// ... and by how many standard errors: one in 700 by chance.
const DEVIATIONS: f64 = 3.0;

/// For each target whether it fails so much more often than the others together that chance does
/// not explain it: a comparison of two proportions.
///
/// AWS says only that it compares 5xx and connection errors statistically within the group. Where
/// all fail alike, none is anomalous: less traffic for all is no mitigation.
pub fn anomalies(tallies: &[Tally]) -> Vec<bool> {
    if tallies.len() < LEAST_TARGETS {
        return vec![false; tallies.len()];
    }
    let all: f64 = tallies.iter().map(|tally| tally.total()).sum();
    let all_badly: f64 = tallies.iter().map(|tally| f64::from(tally.badly)).sum();
    let is_anomalous = |tally: &Tally| {
        let (own, others) = (tally.total(), all - tally.total());
        if own < LEAST_REQUESTS || others < LEAST_REQUESTS {
            return false;
        }
        let share = f64::from(tally.badly) / own;
        let of_others = (all_badly - f64::from(tally.badly)) / others;
        let pooled = all_badly / all;
        let error = (pooled * (1.0 - pooled) * (1.0 / own + 1.0 / others)).sqrt();
        share - of_others > LEAST_GAP.max(DEVIATIONS * error)
    };
    tallies.iter().map(is_anomalous).collect()
}
