//! How far a deployment that shifts traffic has come: what is kept of it.

use base::Timestamp;
use serde::{Deserialize, Serialize};

/// The stages of a deployment that shifts traffic, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    ReconcileService,
    PreScaleUp,
    ScaleUp,
    PostScaleUp,
    TestTrafficShift,
    PostTestTrafficShift,
    PreProductionTrafficShift,
    ProductionTrafficShift,
    PostProductionTrafficShift,
    BakeTime,
    CleanUp,
}

/// How much of the traffic goes to the new revision, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Weights {
    pub production: f64,
    pub test: f64,
}

/// How far a deployment that shifts traffic has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// The revision that had the traffic when it began; `None`: the service's first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    pub stage: Stage,
    /// When the stage began.
    pub since: Timestamp,
    pub weights: Weights,
    /// When the weights last changed.
    pub moved_at: Timestamp,
    /// The stage has moved its traffic.
    #[serde(default)]
    pub has_moved: bool,
    /// The stage's pauses have begun.
    #[serde(default)]
    pub has_paused: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookRun>,
    /// It goes back to the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<Back>,
    /// The target's tasks are in the alternate target groups of the service's balancers.
    #[serde(default)]
    pub is_swapped: bool,
}

/// That a deployment goes back, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Back {
    pub why: Why,
    pub since: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// Somebody stopped it.
    Stopped,
    /// Somebody answered a pause so.
    Answered,
    /// Nobody answered a pause.
    TimedOut,
    /// Too many tasks of the target failed.
    Failures,
    /// What traffic moves by is gone.
    Broken,
}

/// One run of a PAUSE hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRun {
    pub id: String,
    pub stage: Stage,
    pub expires_at: Option<Timestamp>,
    pub continues: bool,
    pub state: HookState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookState {
    Awaiting,
    Succeeded,
    Failed,
    TimedOut,
}

impl Shift {
    /// A deployment that begins. `is_swapped` says which groups the target's tasks go to;
    /// `has_others`, whether revisions that are neither source nor target have tasks.
    pub fn begin(source: Option<String>, is_swapped: bool, has_others: bool, now: Timestamp) -> Shift {
        // Without a source there is nothing else that traffic could go to.
        let all = if source.is_none() { 100.0 } else { 0.0 };
        Shift {
            source,
            stage: if has_others { Stage::ReconcileService } else { Stage::PreScaleUp },
            since: now,
            weights: Weights { production: all, test: all },
            moved_at: now,
            has_moved: false,
            has_paused: false,
            hooks: Vec::new(),
            back: None,
            is_swapped,
        }
    }

    /// Of the deployment that follows this one, which brought `target`: its source, and whether that
    /// one's tasks are in the alternate groups. A first revision that was never complete is nothing
    /// to go back to.
    pub fn heir(&self, target: &str) -> (Option<String>, bool) {
        match &self.source {
            Some(source) if self.weights.production < 50.0 => (Some(source.clone()), !self.is_swapped),
            None if self.stage <= Stage::ScaleUp => (None, self.is_swapped),
            Some(_) | None => (Some(String::from(target)), self.is_swapped),
        }
    }

    pub(super) fn enter(&mut self, stage: Stage, now: Timestamp) {
        self.stage = stage;
        self.since = now;
        self.has_moved = false;
        self.has_paused = false;
    }

    pub(super) fn shift_to(&mut self, weights: Weights, now: Timestamp) {
        if self.weights != weights {
            self.weights = weights;
            self.moved_at = now;
        }
    }

    /// Turns round, unless it has.
    pub fn turn_back(&mut self, why: Why, now: Timestamp) {
        if self.back.is_none() {
            self.back = Some(Back { why, since: now });
            self.enter(Stage::ProductionTrafficShift, now);
            for hook in &mut self.hooks {
                if hook.state == HookState::Awaiting {
                    hook.state = HookState::Failed;
                }
            }
        }
    }
}
