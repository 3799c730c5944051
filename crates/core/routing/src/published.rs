//! How a target stands, for whoever put it there.

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
