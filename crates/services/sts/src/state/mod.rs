//! The records of sessions; the only place that spells a key.
//!
//! ```text
//! sts/session   access key id   → Session
//! ```

use base::{AccountId, Arn, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use service::{Identity, KeyError, Keys, Principal};
use store::{Key, Kinds, Record, Snapshot};

use crate::behaviour::access_key;
use crate::seal::Seal;

/// Credentials for a while.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub access_key: String,
    pub account: AccountId,
    pub holder: Holder,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}

/// In whose name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Holder {
    /// The account itself (GetSessionToken).
    Root,
    Role {
        arn: String,
        session: String,
        source_identity: Option<String>,
    },
}

impl Record for Session {
    const KIND: &'static str = "sts/session";

    fn key(&self) -> Key {
        session_key(&self.access_key)
    }
}

impl Session {
    /// What its secrets are derived from: never the same twice, also if a key is drawn again.
    pub fn claim(&self) -> String {
        let holder = match &self.holder {
            Holder::Root => String::from("root"),
            Holder::Role { arn, session, .. } => format!("{arn}/{session}"),
        };
        let (issued, expires) = (self.issued_at.as_micros(), self.expires_at.as_micros());
        format!("{}\n{}\n{holder}\n{issued}\n{expires}", self.access_key, self.account)
    }
}

pub(crate) fn kinds(kinds: Kinds) -> Kinds {
    kinds.with::<Session>()
}

pub(crate) fn session_key(access_key: &str) -> Key {
    Key::of(&[access_key])
}

/// The session of a role, as its ARN: `arn:aws:sts::<account>:assumed-role/<name>/<session>`.
pub(crate) fn assumed_role(role_arn: &str, account: &AccountId, session: &str) -> Arn {
    // AWS: without the role's path.
    let name = role_arn.rsplit('/').next().unwrap_or(role_arn);
    Arn::new("sts", "", account, format_args!("assumed-role/{name}/{session}"))
}

/// Knows the keys that were issued.
pub(crate) struct Issuer {
    pub seal: Seal,
    pub wall: fn() -> Timestamp,
}

impl Keys for Issuer {
    fn identity(
        &self,
        records: &Snapshot,
        access_key: &str,
        token: Option<&str>,
    ) -> Result<Option<Identity>, KeyError> {
        if !access_key::is_ours(access_key, &self.seal) {
            return Ok(None);
        }
        let session = records.get::<Session>(&session_key(access_key)).ok_or(KeyError::Invalid)?;
        let expected: Secret = self.seal.token(&session);
        if !token.is_some_and(|token| expected.matches(token)) {
            return Err(KeyError::Invalid);
        }
        if session.expires_at <= (self.wall)() {
            return Err(KeyError::Expired);
        }
        let principal = match &session.holder {
            Holder::Root => Principal::Root,
            Holder::Role { arn, session, .. } => {
                Principal::Role { arn: arn.clone(), session: session.clone() }
            }
        };
        Ok(Some(Identity { account: session.account.clone(), principal }))
    }
}
