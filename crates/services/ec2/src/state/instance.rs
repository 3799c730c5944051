//! Instances: so far the machine that a server runs on, as a container instance.

use base::{Tags, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Key, Record};

use super::default::Home;
use super::resource::{self, Resource};
use crate::faults::Kind;

/// The machine as an instance. Its address and groups are its interface's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    #[serde(flatten)]
    pub home: Home,
    /// `i-…`
    pub id: String,
    /// `eni-…`
    pub interface: String,
    pub state: InstanceState,
    /// `x86_64`, `arm64`.
    pub architecture: String,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    pub launched_at: Timestamp,
}

/// ```text
/// Running ◀── the server is started with or without `--instance` ──▶ Stopped
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceState {
    Running,
    Stopped { at: Timestamp },
}

impl Record for Instance {
    const KIND: &'static str = "ec2/instance";

    fn key(&self) -> Key {
        resource::key_of(&self.home, &self.id)
    }
}

impl Resource for Instance {
    const NAMED: Kind = Kind::Instance;

    fn id(&self) -> &str {
        &self.id
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}
