//! Control plane ↔ host: desired state down, observed state up, by generation; and control plane ↔
//! proxy, where balancers are served by a process of their own.
//!
//! Invariant: generations only grow; a host refuses an order older than the newest that it has
//! seen for the task. Either direction may lose or repeat a message: receivers know a repetition
//! by its generation (down) or its sequence number (up), and senders repeat until they see the
//! effect.
//!
//! Deliberately ignores what an assignment means.

mod balancers;
mod channel;

use std::sync::Arc;

use core_lifecycle::{Assignment, Observation};
use serde::{Deserialize, Serialize};

pub use balancers::{Counted, Down, Lines, PROXY_VERSION, Spot, Times, Up};
pub use channel::{Channel, DESCRIPTORS, Receiving, Sending};

/// A host's name, unique within a control plane.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostId(pub Arc<str>);

/// One task's desired state on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    pub host: HostId,
    /// The task's ARN.
    pub task: Arc<str>,
    pub generation: u64,
    pub order: Order,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Order {
    /// Have the task running. Shared with the record that it comes from.
    Run(Arc<Assignment>),
    /// End its containers, in order and with their stop timeouts, and report.
    Stop,
    /// Nothing of it is needed any more, not even its report.
    Forget,
}

/// What a host saw of one task. The newest replaces the older ones: it is a state, not an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    pub host: HostId,
    pub task: Arc<str>,
    /// The generation that the host acts on.
    pub generation: u64,
    /// Grows with every message about the task from that host.
    pub sequence: u64,
    pub observation: Observation,
}
