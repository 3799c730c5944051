//! Records of log groups and streams; the only place that spells a key.
//!
//! ```text
//! logs/group    account · region · group            → Group
//! logs/stream   account · region · group · stream   → Stream
//!
//! journal       logs/account/region/group id/stream id
//! ```

use base::{AccountId, Arn, Region, Tags, Timestamp};
use serde::{Deserialize, Serialize};
use service::Caller;
use store::{Key, Kinds, Record, Snapshot};

use crate::faults;

/// The beginning of every key of this service in the journal.
pub(crate) const JOURNAL: &str = "logs/";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Group {
    pub account: AccountId,
    pub region: Region,
    pub name: String,
    /// Drawn when the group was made; part of its events' place in the journal.
    pub id: String,
    pub created_at: Timestamp,
    pub retention_days: Option<i32>,
    #[serde(default)]
    pub tags: Tags,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stream {
    pub account: AccountId,
    pub region: Region,
    pub group: String,
    pub group_id: String,
    pub name: String,
    pub id: String,
    pub created_at: Timestamp,
}

impl Record for Group {
    const KIND: &'static str = "logs/group";

    fn key(&self) -> Key {
        group_key(&self.account, &self.region, &self.name)
    }
}

impl Record for Stream {
    const KIND: &'static str = "logs/stream";

    fn key(&self) -> Key {
        stream_key(&self.account, &self.region, &self.group, &self.name)
    }
}

pub(crate) fn kinds(kinds: Kinds) -> Kinds {
    kinds.with::<Group>().with::<Stream>()
}

pub(crate) fn group_key(account: &AccountId, region: &Region, name: &str) -> Key {
    Key::of(&[account.as_str(), region.as_str(), name])
}

pub(crate) fn stream_key(account: &AccountId, region: &Region, group: &str, name: &str) -> Key {
    group_key(account, region, group).child(name)
}

/// All groups of the caller's account and region.
pub(crate) fn groups_of(caller: &Caller) -> Key {
    Key::of(&[caller.account.as_str(), caller.region.as_str()])
}

impl Group {
    /// Without the `:*` that stands for its streams.
    pub fn arn(&self) -> Arn {
        Arn::new("logs", self.region.as_str(), &self.account, format_args!("log-group:{}", self.name))
    }

    /// The instant before which its events are gone.
    pub fn cutoff_ms(&self, now: Timestamp) -> i64 {
        match self.retention_days {
            Some(days) => now.as_millis() - i64::from(days) * 86_400_000,
            None => i64::MIN,
        }
    }

    /// The beginning of its streams' keys in the journal.
    pub fn journal_prefix(&self) -> String {
        format!("{JOURNAL}{}/{}/{}/", self.account, self.region, self.id)
    }
}

impl Stream {
    pub fn arn(&self) -> Arn {
        let resource = format_args!("log-group:{}:log-stream:{}", self.group, self.name);
        Arn::new("logs", self.region.as_str(), &self.account, resource)
    }

    pub fn journal_key(&self) -> String {
        format!("{JOURNAL}{}/{}/{}/{}", self.account, self.region, self.group_id, self.id)
    }
}

/// The group that a request names by `logGroupName` or by `logGroupIdentifier`, a name or an ARN.
pub(crate) fn find_group(
    records: &Snapshot,
    caller: &Caller,
    name: Option<&str>,
    identifier: Option<&str>,
) -> Result<std::sync::Arc<Group>, base::Fault> {
    let name = match (name, identifier) {
        (Some(name), None) => name.to_owned(),
        (None, Some(identifier)) => name_of(caller, identifier)?,
        (Some(_), Some(_)) => {
            return Err(faults::invalid("LogGroup name and LogGroup identifier cannot both be provided."));
        }
        (None, None) => {
            return Err(faults::invalid("Either logGroupName or logGroupIdentifier must be provided."));
        }
    };
    records.get(&group_key(&caller.account, &caller.region, &name)).ok_or_else(faults::no_group)
}

/// The name in an identifier. Another account's or region's group is one that we do not find.
pub(crate) fn name_of(caller: &Caller, identifier: &str) -> Result<String, base::Fault> {
    let Ok(arn) = Arn::parse(identifier) else { return Ok(identifier.to_owned()) };
    let is_ours = arn.service() == "logs"
        && arn.region() == caller.region.as_str()
        && arn.account() == caller.account.as_str();
    let name = arn.resource().strip_prefix("log-group:").filter(|_| is_ours);
    let name = name.ok_or_else(faults::no_group)?;
    Ok(name.strip_suffix(":*").unwrap_or(name).to_owned())
}
