//! The records of roles; the only place that spells a key.
//!
//! ```text
//! iam/role   account · name in lower case   → Role
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::{AccountId, Arn, Fault, Tags, Timestamp};
use serde::{Deserialize, Serialize};
use service::Caller;
use store::{Key, Kinds, Record, Snapshot};

use crate::faults;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Role {
    pub account: AccountId,
    pub name: String,
    /// Begins and ends with a slash.
    pub path: String,
    pub id: String,
    pub created_at: Timestamp,
    /// Who may assume it: a policy document as it was given.
    pub trust: String,
    pub description: Option<String>,
    pub max_session_secs: i32,
    /// ARNs of managed policies.
    #[serde(default)]
    pub attached: BTreeSet<String>,
    /// Documents by policy name, as they were given.
    #[serde(default)]
    pub inline: BTreeMap<String, String>,
    #[serde(default)]
    pub tags: Tags,
}

impl Record for Role {
    const KIND: &'static str = "iam/role";

    fn key(&self) -> Key {
        role_key(&self.account, &self.name)
    }
}

impl Role {
    pub fn arn(&self) -> Arn {
        Arn::new("iam", "", &self.account, format_args!("role{}{}", self.path, self.name))
    }
}

pub(crate) fn kinds(kinds: Kinds) -> Kinds {
    kinds.with::<Role>()
}

/// AWS: two names that differ only in case cannot both be used.
pub(crate) fn role_key(account: &AccountId, name: &str) -> Key {
    Key::of(&[account.as_str(), &name.to_lowercase()])
}

pub(crate) fn roles_of(caller: &Caller) -> Key {
    Key::of(&[caller.account.as_str()])
}

pub(crate) fn find_role(records: &Snapshot, caller: &Caller, name: &str) -> Result<Arc<Role>, Fault> {
    let role = records.get::<Role>(&role_key(&caller.account, name));
    role.filter(|role| role.name == name).ok_or_else(|| faults::no_role(name))
}
