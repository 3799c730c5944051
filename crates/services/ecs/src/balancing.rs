//! What ECS sees of load balancers: the view that they publish, which the server hands in.

use core_routing::{TargetName, TargetStanding};
use store::{Change, Snapshot};

/// The published view of targets.
#[derive(Debug, Clone, Copy)]
pub struct Balancing {
    /// The target of which a change says something.
    pub touched: fn(&Change) -> Option<TargetName>,
    /// How a target stands.
    pub standing: fn(&Snapshot, &TargetName) -> TargetStanding,
}

impl Balancing {
    /// No balancer anywhere: every target is one that is not registered.
    pub fn none() -> Balancing {
        Balancing { touched: |_| None, standing: |_, _| TargetStanding { state: None, text: None } }
    }
}
