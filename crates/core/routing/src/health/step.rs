//! What a probe's outcome makes of a target.
//!
//! ```text
//!            one passed                    unhealthy_after failed in a row
//!  Initial ─────────────► Healthy ◄──────────────────────────► Unhealthy
//!     │                              healthy_after passed in a row   ▲
//!     └──────────────────────────────────────────────────────────────┘
//!                     unhealthy_after failed in a row
//! ```
//!
//! A new target that fails is probed again soon, and more and more seldom, so that it is found well when
//! it is: a program needs a moment until it listens. Those early probes count only if they pass; failures
//! count at the pace of the group's interval, as AWS has it.

use std::time::Duration;

use base::{Chance, Timestamp};

use super::{Reason, State};
use crate::table::{GroupCheck, Matcher};

/// One target under checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    pub state: State,
    pub reason: Option<Reason>,
    /// Since when it is in that state; slow start counts from here.
    pub since: Timestamp,
    /// Outcomes in a row that speak against the state.
    pub against: u32,
    pub probed_at: Option<Timestamp>,
    /// While it is new: early probes are made in between those whose failures count.
    early: Option<Early>,
}

/// Early probes of a new target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Early {
    /// When the first probe began; `None`: not yet.
    since: Option<Timestamp>,
    /// When the next one begins whose failure counts.
    counts_at: Timestamp,
}

/// What came of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer: an HTTP status, or a gRPC status code.
    Answered(u16),
    /// Nothing within the timeout, be it the connection or the answer.
    TimedOut,
    /// Refused, reset, or garbage.
    Broken,
    /// The probe could not be made for a reason that lies with us.
    Impossible,
}

/// What follows from an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub watch: Watch,
    /// Whether state or reason changed, so that a report is due.
    pub is_change: bool,
    /// When the next probe is due.
    pub wake_at: Timestamp,
    /// Whether this probe passed, and why not.
    pub failure: Option<Reason>,
    /// It was an early one that failed: nothing follows from it.
    pub is_void: bool,
}

/// Until a new target is probed again for the first time.
const SOON: Duration = Duration::from_millis(50);

impl Watch {
    /// A target just registered.
    pub fn new(now: Timestamp) -> Watch {
        let reason = Some(Reason::Registering);
        Watch { state: State::Initial, reason, since: now, against: 0, probed_at: None, early: None }
    }

    /// The same, to be found well as soon as it is.
    pub fn eager(now: Timestamp) -> Watch {
        Watch { early: Some(Early { since: None, counts_at: now }), ..Watch::new(now) }
    }

    /// A target of which an earlier watcher left this state: a restart keeps what was known.
    pub fn resumed(state: State, reason: Option<Reason>, since: Timestamp) -> Watch {
        Watch { state, reason, since, against: 0, probed_at: None, early: None }
    }
}

/// Takes in the outcome of a probe that began at `began_at`; `now` is when it was known. How long a
/// target takes to answer does not move the next probe, as AWS has it.
///
/// AWS: a target just registered is healthy after one passed check, whatever the threshold says; one
/// that was unhealthy needs `healthy_after` in a row.
pub fn step(
    watch: &Watch,
    outcome: Outcome,
    check: &GroupCheck,
    began_at: Timestamp,
    now: Timestamp,
) -> Step {
    let failure = failure(outcome, &check.matcher);
    if let (State::Initial, Some(early), Some(_)) = (watch.state, watch.early, &failure)
        && began_at < early.counts_at
    {
        let wake_at = early.next(began_at).min(early.counts_at);
        return Step { watch: watch.clone(), is_change: false, wake_at, failure, is_void: true };
    }
    let next = match (watch.state, &failure) {
        (State::Initial, None) => turned(State::Healthy, None, now),
        (State::Initial | State::Healthy, Some(reason)) => {
            let against = watch.against + 1;
            if against >= check.unhealthy_after {
                turned(State::Unhealthy, Some(reason.clone()), now)
            } else {
                // The registration is done once a probe was made.
                let reason = (watch.state == State::Initial).then_some(Reason::FirstChecks);
                Watch { against, reason, ..watch.clone() }
            }
        }
        (State::Healthy, None) => Watch { against: 0, ..watch.clone() },
        (State::Unhealthy, None) => {
            let against = watch.against + 1;
            if against >= check.healthy_after {
                turned(State::Healthy, None, now)
            } else {
                Watch { against, ..watch.clone() }
            }
        }
        (State::Unhealthy, Some(reason)) => {
            Watch { against: 0, reason: Some(reason.clone()), ..watch.clone() }
        }
    };
    let regular_at = began_at + check.interval;
    let early = next.early.filter(|_| next.state == State::Initial);
    let early =
        early.map(|early| Early { since: Some(early.since.unwrap_or(began_at)), counts_at: regular_at });
    let wake_at = early.map_or(regular_at, |early| early.next(began_at).min(regular_at));
    let next = Watch { probed_at: Some(now), early, ..next };
    let is_change = (next.state, &next.reason) != (watch.state, &watch.reason);
    Step { watch: next, is_change, wake_at, failure, is_void: false }
}

impl Early {
    /// After half of the time that has passed: about fifteen probes within half a minute, and nobody is
    /// found much later than it could be.
    fn next(self, began_at: Timestamp) -> Timestamp {
        let passed = self.since.map(|since| began_at.since(since)).unwrap_or_default();
        began_at + SOON.max(passed / 2)
    }
}

fn turned(state: State, reason: Option<Reason>, now: Timestamp) -> Watch {
    Watch { state, reason, since: now, against: 0, probed_at: None, early: None }
}

fn failure(outcome: Outcome, matcher: &Matcher) -> Option<Reason> {
    match outcome {
        Outcome::Answered(code) if matcher.has(code) => None,
        Outcome::Answered(code) => Some(Reason::Code(code)),
        Outcome::TimedOut => Some(Reason::Timeout),
        Outcome::Broken => Some(Reason::Failed),
        Outcome::Impossible => Some(Reason::Internal),
    }
}

/// When a target's first probe is due: at once where few wait; where `waiting` were registered at the
/// same time, spread out by a thousand a second and over five seconds at most, so that 10,000 do not
/// burst.
pub fn first_probe_at(waiting: usize, now: Timestamp, chance: &mut Chance) -> Timestamp {
    // 100 at once is what a checker does anyway.
    let spread =
        Duration::from_micros((waiting as u64).saturating_sub(100).saturating_mul(1_000).min(5_000_000));
    now + Duration::from_micros(chance.below(spread.as_micros() as u64))
}
