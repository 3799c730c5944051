//! Which of a group's targets gets a request.
//!
//! Owns who may be chosen ([`Pool`]: zones, health, fail-open) and who is ([`Balance`]: the three
//! algorithms, slow start, weights by anomalies). Invariant: a draining target is never chosen, and
//! a target that is not healthy only where the pool fails open.
//!
//! Deliberately ignores connections and cookies.

mod anomaly;
mod pool;

use base::{Chance, Timestamp};

pub use anomaly::{Tally, anomalies};
pub use pool::{Pool, Standings, Stands};

use crate::health::Anomaly;
use crate::table::{Algorithm, TargetGroup};

/// What a worker remembers of one group between requests.
#[derive(Debug)]
pub struct Balance {
    chance: Chance,
    /// Where round robin goes on, and where ties are looked for first.
    cursor: usize,
    /// Weighted random: by the target's place. Empty: all weigh the same.
    weights: Vec<f32>,
    tallies: Vec<Tally>,
    judged_at: Option<Timestamp>,
    /// Of the last judgment, until somebody asks; targets that nothing is held against are left out.
    verdicts: Option<Vec<(usize, Anomaly)>>,
}

/// How many targets are compared for the least requests under way. In pools that are larger it is
/// the least of so many neighbors, from another place each time: comparing 10,000 would cost more
/// than the request.
const COMPARED: usize = 256;

/// How long outcomes are gathered before weights change.
const JUDGED_EVERY: std::time::Duration = std::time::Duration::from_secs(10);

/// Least share of its weight that an anomalous target keeps: it must be seen to recover.
const LEAST_WEIGHT: f32 = 1.0 / 16.0;

impl Balance {
    /// `chance` must differ from worker to worker, or they would walk in step.
    pub fn new(mut chance: Chance) -> Self {
        let cursor = chance.below(1 << 20) as usize;
        Balance { chance, cursor, weights: Vec::new(), tallies: Vec::new(), judged_at: None, verdicts: None }
    }

    /// The place of a target in [`TargetGroup::targets`]; `None` where the pool is empty: 503.
    ///
    /// `pool` and `standings` are of this group.
    pub fn choose(
        &mut self,
        group: &TargetGroup,
        pool: &Pool,
        standings: &impl Standings,
        now: Timestamp,
    ) -> Option<usize> {
        let members = pool.members();
        if members.len() < 2 {
            return members.first().map(|at| *at as usize);
        }
        match group.algorithm {
            Algorithm::RoundRobin if group.slow_start_for.is_zero() => Some(self.next(members)),
            Algorithm::RoundRobin => Some(self.next_warm(group, members, standings, now)),
            Algorithm::LeastOutstanding => Some(self.least(members, standings)),
            Algorithm::WeightedRandom => {
                if group.mitigates_anomalies && !pool.fails_open() {
                    self.judge(group.targets.len(), members, now);
                }
                Some(self.draw(members))
            }
        }
    }

    /// As [`Balance::choose`], but none of `without`: for another try. `None` where there is no other.
    pub fn choose_other(&mut self, pool: &Pool, without: &[usize]) -> Option<usize> {
        let members = pool.members();
        let others = members.iter().filter(|at| !without.contains(&(**at as usize)));
        let count = others.clone().count();
        let at = self.chance.below(count as u64) as usize;
        others.copied().nth(at).map(|at| at as usize)
    }

    /// Whether a request to the target at that place went well: no 5xx, no broken connection.
    /// Needed for weighted random with anomaly mitigation only.
    pub fn note(&mut self, at: usize, went_well: bool) {
        if self.tallies.len() <= at {
            self.tallies.resize(at + 1, Tally::default());
        }
        let tally = &mut self.tallies[at];
        *(if went_well { &mut tally.well } else { &mut tally.badly }) += 1;
    }

    /// What the newest judgment holds against targets, by their places; `None`: there was none since
    /// this was asked last.
    pub fn verdicts(&mut self) -> Option<Vec<(usize, Anomaly)>> {
        self.verdicts.take()
    }

    /// The group's targets changed their places: what was learned by place is void.
    pub fn forget(&mut self) {
        self.weights.clear();
        self.tallies.clear();
        (self.judged_at, self.verdicts) = (None, None);
    }

    /// Of the target at that place, 1 for one that nothing is held against.
    pub fn weight(&self, at: usize) -> f32 {
        self.weights.get(at).copied().unwrap_or(1.0)
    }

    fn next(&mut self, members: &[u32]) -> usize {
        self.cursor = self.cursor.wrapping_add(1);
        members[self.cursor % members.len()] as usize
    }

    /// Round robin that passes over a target in slow start as often as it is cold.
    fn next_warm(
        &mut self,
        group: &TargetGroup,
        members: &[u32],
        standings: &impl Standings,
        now: Timestamp,
    ) -> usize {
        let whole = group.slow_start_for.as_micros() as u64;
        let first = self.next(members);
        let mut at = first;
        // Each member is asked once: where all are cold, all are equally so, and the first serves.
        for _ in 0..members.len().min(COMPARED) {
            let warm = now.since(standings.healthy_at(at)).as_micros() as u64;
            if warm >= whole || self.chance.below(whole) < warm {
                return at;
            }
            at = self.next(members);
        }
        first
    }

    fn least(&mut self, members: &[u32], standings: &impl Standings) -> usize {
        let start = if members.len() <= COMPARED {
            self.cursor = self.cursor.wrapping_add(1);
            self.cursor % members.len()
        } else {
            self.chance.below(members.len() as u64) as usize
        };
        let (mut best, mut least) = (members[start] as usize, u32::MAX);
        let neighbors = members[start..].iter().chain(&members[..start]).take(COMPARED);
        for at in neighbors.map(|at| *at as usize) {
            let under_way = standings.in_flight(at);
            if under_way < least {
                (best, least) = (at, under_way);
                if least == 0 {
                    break;
                }
            }
        }
        best
    }

    fn draw(&mut self, members: &[u32]) -> usize {
        if self.weights.is_empty() {
            return members[self.chance.below(members.len() as u64) as usize] as usize;
        }
        // Rejection: at least a sixteenth of the draws are taken, nearly all where nothing is wrong.
        for _ in 0..64 {
            let at = members[self.chance.below(members.len() as u64) as usize] as usize;
            let height = self.chance.below(1 << 16) as f32 / 65_536.0;
            if height < self.weight(at) {
                return at;
            }
        }
        members[0] as usize
    }

    /// Every ten seconds: anomalous targets weigh half of before, the others twice, up to one.
    fn judge(&mut self, targets: usize, members: &[u32], now: Timestamp) {
        let Some(judged_at) = self.judged_at else {
            self.judged_at = Some(now);
            return;
        };
        if now.since(judged_at) < JUDGED_EVERY {
            return;
        }
        self.judged_at = Some(now);
        self.tallies.resize(targets, Tally::default());
        let tallies: Vec<Tally> = members.iter().map(|at| self.tallies[*at as usize]).collect();
        self.weights.resize(targets, 1.0);
        let mut verdicts = Vec::new();
        for (at, is_anomalous) in members.iter().zip(anomalies(&tallies)) {
            let at = *at as usize;
            let weight = &mut self.weights[at];
            *weight = if is_anomalous { *weight / 2.0 } else { *weight * 2.0 }.clamp(LEAST_WEIGHT, 1.0);
            let verdict = Anomaly { is_anomalous, is_mitigated: *weight < 1.0 };
            if verdict != Anomaly::default() {
                verdicts.push((at, verdict));
            }
        }
        self.verdicts = Some(verdicts);
        if self.weights.iter().all(|weight| *weight == 1.0) {
            self.weights.clear();
        }
        self.tallies.clear();
    }
}
