//! Blue/green, linear and canary deployments: a whole second set of tasks, and traffic that moves
//! to it in steps.
//!
//! ```text
//!  ReconcileService ▶ PreScaleUp ▶ ScaleUp ▶ PostScaleUp ▶ TestTrafficShift ▶ PostTestTrafficShift
//!    ▶ (PreProductionTrafficShift ▶) ProductionTrafficShift ▶ PostProductionTrafficShift ▶ BakeTime ▶ CleanUp
//! ```

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
