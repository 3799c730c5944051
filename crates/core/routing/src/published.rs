//! How a target stands, for whoever put it there; and where a rule forwards to, for whoever shifts
//! its traffic.

use std::sync::Arc;

/// A target as it was registered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetName {
    /// The group's ARN.
    pub group: Arc<str>,
    /// An instance's id, or an address.
    pub id: Arc<str>,
    pub port: u16,
}

/// What DescribeTargetHealth says of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStanding {
    /// `initial`, `healthy`, `unhealthy`, `unused`, `draining`; `None`: it is not registered.
    pub state: Option<&'static str>,
    /// Why, as a sentence of AWS's.
    pub text: Option<String>,
}

/// What a listener's rule does with requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarding {
    /// ARN of the listener.
    pub listener: Arc<str>,
    /// ARN of the rule; `None`: it is the listener's default.
    pub rule: Option<Arc<str>>,
    /// As it was given with the action.
    pub order: Option<i32>,
    /// ARNs of target groups, with their weights. Empty: it answers otherwise.
    pub groups: Vec<(Arc<str>, u32)>,
    /// Whether clients stay with the group that they came to first, and for how many seconds.
    pub is_sticky: bool,
    pub sticky_for_seconds: Option<u32>,
}
