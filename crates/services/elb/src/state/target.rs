//! Targets, and what was seen of them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use base::Timestamp;
use core_routing::{Reason, State};
use serde::{Deserialize, Serialize};
use store::{Key, Record};

use super::id::GroupId;

/// A registered target: desired. It is there until its deregistration delay is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    pub group: Arc<GroupId>,
    /// An instance's id, or an address.
    pub id: Arc<str>,
    pub port: u16,
    /// Where connections go.
    pub address: Ipv4Addr,
    /// `None`: registered for all zones.
    pub zone: Option<Arc<str>>,
    pub registered_at: Timestamp,
    pub draining_until: Option<Timestamp>,
}

/// What a proxy last saw of a target: observed. Written on transitions only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    pub group: Arc<GroupId>,
    pub id: Arc<str>,
    pub port: u16,
    /// Of the registration that was seen: about any other it says nothing.
    pub registered_at: Timestamp,
    pub state: State,
    pub reason: Option<Reason>,
    pub at: Timestamp,
}

impl Record for Target {
    const KIND: &'static str = "elb/target";

    fn key(&self) -> Key {
        self.group.target(&self.id, self.port)
    }
}

impl Record for Health {
    const KIND: &'static str = "elb/health";

    fn key(&self) -> Key {
        self.group.target(&self.id, self.port)
    }
}
