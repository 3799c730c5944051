//! The health of one run of a container, as its checks show it.

use std::time::Duration;

use base::Timestamp;
use serde::{Deserialize, Serialize};

use super::HealthCheck;
use crate::observation::{Health, HealthStatus};

/// What the checks of one run have shown so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks {
    pub status: HealthStatus,
    pub since: Timestamp,
    /// Failures in a row that count.
    pub failures: u32,
    /// A check has succeeded: the start period is over.
    pub has_succeeded: bool,
    /// When the next one is to be made.
    pub due_at: Timestamp,
    pub exit_code: Option<i32>,
    pub output: String,
}

/// How one check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    pub began_at: Timestamp,
    pub ended_at: Timestamp,
    /// 0 is well. `None`: it did not end in time, or could not be run.
    pub exit_code: Option<i32>,
    /// The first bytes that it printed, or why it could not be run.
    pub output: String,
    /// Known beforehand (simulated): checks before then go the same way.
    pub holds_until: Option<Timestamp>,
}

impl Checks {
    /// Of a run that began at `started_at`. The first check comes an interval later.
    pub fn begin(check: &HealthCheck, started_at: Timestamp) -> Checks {
        Checks {
            status: HealthStatus::Unknown,
            since: started_at,
            failures: 0,
            has_succeeded: false,
            due_at: started_at + interval(check),
            exit_code: None,
            output: String::new(),
        }
    }

    /// What is known after one more check of the run that began at `started_at`.
    #[must_use]
    pub fn take(self, check: &HealthCheck, started_at: Timestamp, result: CheckResult) -> Checks {
        let is_well = result.exit_code == Some(0);
        let is_early = !self.has_succeeded && result.began_at.since(started_at) < check.start_period;
        let failures = match (is_well, is_early) {
            (true, _) => 0,
            (false, true) => self.failures,
            (false, false) => self.failures.saturating_add(1),
        };
        let status = match is_well {
            true => HealthStatus::Healthy,
            false if failures >= check.retries.max(1) => HealthStatus::Unhealthy,
            false => self.status,
        };
        let since = if status == self.status { self.since } else { result.ended_at };
        let is_settled = match status {
            HealthStatus::Healthy => is_well,
            HealthStatus::Unhealthy => !is_well,
            HealthStatus::Unknown => false,
        };
        let due_at = match result.holds_until {
            Some(until) if is_settled => first_from(until, result.ended_at, check),
            Some(_) | None => result.ended_at + interval(check),
        };
        Checks {
            status,
            since,
            failures,
            has_succeeded: self.has_succeeded || is_well,
            due_at,
            exit_code: result.exit_code,
            output: result.output,
        }
    }

    /// As it is reported.
    pub fn health(&self) -> Health {
        let Checks { status, since, exit_code, output, .. } = self.clone();
        Health { status, since, exit_code, output }
    }
}

/// The first check that comes no earlier than `until`, when each follows the one before after an
/// interval: those in between would change nothing.
fn first_from(until: Timestamp, last: Timestamp, check: &HealthCheck) -> Timestamp {
    let next = last + interval(check);
    if until <= next || until == Timestamp::NEVER {
        return next.max(until);
    }
    let interval = interval(check).as_micros();
    let skipped = until.since(next).as_micros().div_ceil(interval);
    let micros = u64::try_from(skipped * interval).unwrap_or(u64::MAX);
    next + Duration::from_micros(micros)
}

/// Time between checks. Registration allows no less than five seconds; none at all would check for
/// ever.
fn interval(check: &HealthCheck) -> Duration {
    check.interval.max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> HealthCheck {
        HealthCheck {
            command: vec![String::from("true")],
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            retries: 3,
            start_period: Duration::from_secs(25),
        }
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn result(secs: i64, exit_code: Option<i32>) -> CheckResult {
        let output = String::from("said");
        CheckResult { began_at: at(secs), ended_at: at(secs), exit_code, output, holds_until: None }
    }

    /// Statuses after each check of `(second, exit code)`.
    fn statuses(results: &[(i64, Option<i32>)]) -> Vec<(HealthStatus, u32)> {
        let mut checks = Checks::begin(&check(), at(0));
        assert_eq!(checks.due_at, at(10));
        let mut all = Vec::new();
        for (secs, code) in results {
            checks = checks.take(&check(), at(0), result(*secs, *code));
            assert_eq!(checks.due_at, at(secs + 10));
            all.push((checks.status, checks.failures));
        }
        all
    }

    #[test]
    fn failures_in_the_start_period_do_not_count() {
        use HealthStatus::{Healthy, Unhealthy, Unknown};
        let seen = statuses(&[(10, Some(1)), (20, None), (30, Some(1)), (40, Some(1)), (50, Some(1))]);
        assert_eq!(seen, [(Unknown, 0), (Unknown, 0), (Unknown, 1), (Unknown, 2), (Unhealthy, 3)]);
        // A success ends the start period, and any streak.
        let seen = statuses(&[(5, Some(0)), (10, Some(1)), (15, Some(0)), (16, None), (17, Some(2))]);
        assert_eq!(seen, [(Healthy, 0), (Healthy, 1), (Healthy, 0), (Healthy, 1), (Healthy, 2)]);
        let seen = statuses(&[(5, Some(0)), (16, None), (17, Some(2)), (18, Some(1)), (30, Some(0))]);
        let counts = [(Healthy, 0), (Healthy, 1), (Healthy, 2), (Unhealthy, 3), (Healthy, 0)];
        assert_eq!(seen, counts);
    }

    #[test]
    fn what_is_known_beforehand_is_not_asked() {
        let take = |secs, code, until| {
            let foretold = CheckResult { holds_until: Some(until), ..result(secs, Some(code)) };
            Checks::begin(&check(), at(0)).take(&check(), at(0), foretold).due_at
        };
        assert_eq!(take(10, 0, at(15)), at(20));
        assert_eq!(take(10, 0, at(20)), at(20));
        assert_eq!(take(10, 0, at(41)), at(50));
        assert_eq!(take(10, 0, Timestamp::NEVER), Timestamp::NEVER);
        assert_eq!(take(10, 1, Timestamp::NEVER), at(20), "the failures are still to be counted");
    }

    #[test]
    fn programs() {
        let program = |words: &[&str]| {
            let command = words.iter().map(|word| String::from(*word)).collect();
            HealthCheck { command, ..check() }.program()
        };
        let words = |words: &[&str]| Some(words.iter().map(|word| String::from(*word)).collect::<Vec<_>>());
        assert_eq!(program(&["CMD", "curl", "-f", "x"]), words(&["curl", "-f", "x"]));
        assert_eq!(program(&["CMD-SHELL", "exit 1 || true"]), words(&["/bin/sh", "-c", "exit 1 || true"]));
        assert_eq!(program(&["exit 1"]), words(&["/bin/sh", "-c", "exit 1"]));
        assert_eq!(program(&["CMD"]), None);
        assert_eq!(program(&[]), None);
    }
}
