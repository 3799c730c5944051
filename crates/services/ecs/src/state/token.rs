//! What RunTask answered to a client token.

use base::{AccountId, Region, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Key, Record};

/// One accepted request with a client token. Pruned a day after it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientToken {
    pub account: AccountId,
    pub region: Region,
    pub token: String,
    /// A digest of the request: the same token with another request is a conflict.
    pub request: String,
    /// ARNs of the tasks that it started.
    pub tasks: Vec<String>,
    pub created_at: Timestamp,
}

impl ClientToken {
    pub fn key_of(account: &AccountId, region: &Region, token: &str) -> Key {
        Key::of(&[account.as_str(), region.as_str(), token])
    }
}

impl Record for ClientToken {
    const KIND: &'static str = "ecs/client-token";
    fn key(&self) -> Key {
        ClientToken::key_of(&self.account, &self.region, &self.token)
    }
}
