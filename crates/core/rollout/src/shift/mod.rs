//! Blue/green, linear and canary deployments: a whole second set of tasks, and traffic that moves
//! to it in steps.
//!
//! ```text
//!  (ReconcileService ▶) PreScaleUp ▶ ScaleUp ▶ PostScaleUp ▶ TestTrafficShift ▶ PostTestTrafficShift
//!    ▶ PreProductionTrafficShift ▶ ProductionTrafficShift ──────▶ PostProductionTrafficShift ▶ BakeTime ▶ CleanUp ▶ Done
//!                  ▲──────────────────────┘ below 100 %
//!
//!  back, from any of them:   ProductionTrafficShift (to the source) ▶ CleanUp (of the target) ▶ RolledBack
//! ```
//!
//! The *source* is the revision that has the traffic when the deployment begins (blue), the *target*
//! the one that it brings (green). Each is kept at the desired count like a service of its own, by
//! [`rolling::step`](crate::rolling::step).
//!
//! Invariant: traffic only moves towards the target, but for going back; it never moves to a set
//! without a healthy task while the other has one; the source keeps its tasks until all traffic has
//! left it.
//!
//! Deliberately ignores listeners and target groups: it says percentages.

mod gates;
mod record;
mod stages;

use std::collections::BTreeMap;
use std::time::Duration;

use base::{Chance, Timestamp};

use crate::rolling::{self, Blocked, Start, Stop};
use crate::throttle::Throttle;
use crate::view::TaskView;

pub use record::{Back, HookRun, HookState, Shift, Stage, Weights, Why};

/// What a deployment is to bring about.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// How each of the two sets is kept; its `current` is the target.
    pub set: rolling::Goal,
    pub pace: Pace,
    /// For how long both sets run after all traffic has moved.
    pub bake: Duration,
    pub pauses: Vec<Pause>,
    /// A listener shows the target to testers first.
    pub has_test: bool,
}

/// How production traffic moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    AllAtOnce,
    /// In equal steps of so many percent.
    Linear {
        percent: f64,
        bake: Duration,
    },
    /// So many percent first, then the rest.
    Canary {
        percent: f64,
        bake: Duration,
    },
}

/// Stages at whose end somebody must say that it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    pub stages: Vec<Stage>,
    pub timeout: Duration,
    /// What no answer means: going on, or (else) going back.
    pub continues: bool,
}

/// What others say about a deployment.
#[derive(Debug, Clone, Default)]
pub struct Heard<'a> {
    /// Somebody wants the source back.
    pub is_stopped: bool,
    /// Pause → whether it goes on (or, else, back).
    pub answers: Option<&'a BTreeMap<String, bool>>,
    /// The circuit breaker has had enough.
    pub is_tripped: bool,
    /// The listeners or groups that traffic would move by are not there.
    pub is_broken: bool,
}

/// How starts are slowed down, of each set.
#[derive(Debug, Clone, Copy, Default)]
pub struct Throttles {
    pub target: Throttle,
    pub source: Throttle,
}

/// What is done now, and what follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The deployment's state from now on; its weights hold at once.
    pub shift: Shift,
    pub start: Vec<Start>,
    pub stop: Vec<Stop>,
    /// The deployment is over. Nothing starts or stops any more in its name.
    pub outcome: Option<Outcome>,
    pub wake_at: Option<Timestamp>,
    /// Why a set's tasks do not start though they should.
    pub blocked: Option<Blocked>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The target has all traffic, the source has no task.
    Done,
    /// The source has all traffic, the target has no task.
    RolledBack,
    /// It should go back, and there is nothing to go back to or no way there.
    Failed,
}

/// Decides what may change now. `chance` names the pauses.
pub fn step(
    goal: &Goal,
    shift: &Shift,
    heard: &Heard<'_>,
    tasks: &[TaskView],
    throttles: Throttles,
    now: Timestamp,
    chance: &mut Chance,
) -> Step {
    let sets = stages::Sets::of(goal, shift, tasks, now);
    let mut shift = shift.clone();
    gates::hear(&mut shift, heard, now);
    let (outcome, wake_at) = stages::advance(goal, &mut shift, heard, &sets, now, chance);
    let step = Step { shift, start: Vec::new(), stop: Vec::new(), outcome, wake_at, blocked: None };
    if outcome.is_some() { step } else { stages::keep(step, goal, tasks, throttles, now) }
}

impl Pace {
    /// Where production traffic is after the next step from `at` percent.
    pub fn next(self, at: f64) -> f64 {
        let next = match self {
            Pace::AllAtOnce => 100.0,
            Pace::Linear { percent, .. } => at + percent,
            Pace::Canary { percent, .. } if at < percent => percent,
            Pace::Canary { .. } => 100.0,
        };
        // AWS: percentages have one decimal place. Sums of them are kept from drifting.
        ((next * 10.0).round() / 10.0).min(100.0)
    }

    fn bake(self) -> Duration {
        match self {
            Pace::AllAtOnce => Duration::ZERO,
            Pace::Linear { bake, .. } | Pace::Canary { bake, .. } => bake,
        }
    }
}

impl Step {
    fn wake_by(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}
