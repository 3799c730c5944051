//! Targets, and what was seen of them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use base::Timestamp;
use core_routing::{Anomaly, Reason, State};
use serde::{Deserialize, Serialize};
use store::{Entries, Key, Record};

use super::id::GroupId;

/// Those that drain, by their group.
const DRAINING: &str = "draining";

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
    /// Records of before have none.
    #[serde(default)]
    pub anomaly: Anomaly,
    pub at: Timestamp,
}

impl Record for Target {
    const KIND: &'static str = "elb/target";

    fn key(&self) -> Key {
        self.group.target(&self.id, self.port)
    }

    fn index(&self, entries: &mut Entries) {
        if self.draining_until.is_some() {
            let GroupId { account, region, name, id } = &*self.group;
            entries.add(DRAINING, &[account.as_str(), region.as_str(), name, id]);
        }
    }
}

impl Target {
    /// Those of a group that drain.
    pub fn draining(group: &GroupId) -> (&'static str, Key) {
        (DRAINING, group.targets())
    }
}

impl Record for Health {
    const KIND: &'static str = "elb/health";

    fn key(&self) -> Key {
        self.group.target(&self.id, self.port)
    }
}
