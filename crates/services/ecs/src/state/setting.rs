//! Account settings that somebody made: what nobody made is AWS's default.

use base::{AccountId, Region};
use serde::{Deserialize, Serialize};
use store::{Key, Record};

/// One setting of one principal. The root user's holds for everybody who has none of his own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    pub account: AccountId,
    pub region: Region,
    /// An ARN: `arn:aws:iam::000000000000:root`.
    pub principal: String,
    pub name: String,
    pub value: String,
}

impl Setting {
    pub fn key_of(account: &AccountId, region: &Region, principal: &str, name: &str) -> Key {
        Key::of(&[account.as_str(), region.as_str(), principal, name])
    }
}

impl Record for Setting {
    const KIND: &'static str = "ecs/setting";
    fn key(&self) -> Key {
        Setting::key_of(&self.account, &self.region, &self.principal, &self.name)
    }
}
