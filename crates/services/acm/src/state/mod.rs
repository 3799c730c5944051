//! The records of certificates; the only place that spells a key.
//!
//! ```text
//! acm/certificate   account · region · id   → Certificate
//! ```

use std::sync::Arc;

use base::{AccountId, Arn, Fault, Region, Tags, Timestamp};
use serde::{Deserialize, Serialize};
use service::Caller;
use store::{Key, Kinds, Record, Snapshot};

use crate::behaviour::facts::Facts;
use crate::faults;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub account: AccountId,
    pub region: Region,
    /// A UUID.
    pub id: String,
    /// PEM.
    pub certificate: String,
    /// PEM, from the immediate issuer up.
    pub chain: Option<String>,
    /// PEM as it was given, sealed under [`label`].
    pub key: String,
    pub facts: Facts,
    pub created_at: Timestamp,
    pub imported_at: Timestamp,
    #[serde(default)]
    pub tags: Tags,
}

impl Record for Certificate {
    const KIND: &'static str = "acm/certificate";

    fn key(&self) -> Key {
        Key::of(&[self.account.as_str(), self.region.as_str(), &self.id])
    }
}

impl Certificate {
    pub fn arn(&self) -> Arn {
        arn(&self.account, &self.region, &self.id)
    }
}

pub(crate) fn arn(account: &AccountId, region: &Region, id: &str) -> Arn {
    Arn::new("acm", region.as_str(), account, format_args!("certificate/{id}"))
}

/// What a key is sealed under: it opens for this certificate alone.
pub(crate) fn label(arn: &str) -> String {
    format!("acm {arn}")
}

pub(crate) fn kinds(kinds: Kinds) -> Kinds {
    kinds.with::<Certificate>()
}

/// The prefix of the caller's certificates in its region.
pub(crate) fn of(caller: &Caller) -> Key {
    Key::of(&[caller.account.as_str(), caller.region.as_str()])
}

pub(crate) fn by_arn(records: &Snapshot, arn: &str) -> Option<Arc<Certificate>> {
    let arn = Arn::parse(arn).ok()?;
    let id = arn.resource().strip_prefix("certificate/")?;
    let is_ours = arn.service() == "acm";
    records.get(&Key::of(&[arn.account(), arn.region(), id])).filter(|_| is_ours)
}

/// The caller's certificate with this ARN, as its requests name it.
pub(crate) fn find(records: &Snapshot, caller: &Caller, arn: &str) -> Result<Arc<Certificate>, Fault> {
    let parsed = Arn::parse(arn).map_err(|_| faults::bad_arn(arn))?;
    if !parsed.resource().starts_with("certificate/") {
        return Err(faults::bad_arn(arn));
    }
    let found = by_arn(records, arn);
    // AWS: a certificate of another account or region is none.
    let found = found.filter(|found| found.account == caller.account && found.region == caller.region);
    found.ok_or_else(|| faults::no_certificate(arn))
}
