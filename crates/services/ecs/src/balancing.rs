//! What ECS sees of load balancers: the view that they publish, which the server hands in.

use core_routing::{Forwarding, TargetName, TargetStanding};
use store::{Change, Snapshot};

/// The published view of targets, and of rules that forward to them.
#[derive(Debug, Clone, Copy)]
pub struct Balancing {
    /// The target of which a change says something.
    pub touched: fn(&Change) -> Option<TargetName>,
    /// How a target stands.
    pub standing: fn(&Snapshot, &TargetName) -> TargetStanding,
    /// What the rule of an ARN does, or the default one of a listener's.
    pub forwarding: fn(&Snapshot, &str) -> Option<Forwarding>,
    /// Whether there is a target group of an ARN.
    pub has_group: fn(&Snapshot, &str) -> bool,
}

impl Balancing {
    /// No balancer anywhere: every target is one that is not registered.
    pub fn none() -> Balancing {
        Balancing {
            touched: |_| None,
            standing: |_, _| TargetStanding { state: None, text: None },
            forwarding: |_, _| None,
            has_group: |_, _| false,
        }
    }
}
