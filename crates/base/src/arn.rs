//! Accounts, regions and Amazon Resource Names.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(Arc<str>);

        impl $type {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// Twelve digits.
    AccountId
}

name! {
    /// A region's name: `us-east-1`. Every well-formed name is a region here.
    Region
}

impl AccountId {
    /// The account of callers whose key names no other.
    pub fn default_account() -> Self {
        AccountId(Arc::from("000000000000"))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let is_id = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
        is_id.then(|| AccountId(Arc::from(text)))
    }
}

impl Region {
    /// The region of requests that name none.
    pub fn default_region() -> Self {
        Region(Arc::from("us-east-1"))
    }

    /// Lower-case letters, digits and hyphens, at most 32.
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = !text.is_empty()
            && text.len() <= 32
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        is_name.then(|| Region(Arc::from(text)))
    }

    /// The names of its three availability zones.
    pub fn zones(&self) -> [String; 3] {
        ["a", "b", "c"].map(|letter| format!("{}{letter}", self.0))
    }
}

/// `arn:partition:service:region:account:resource`; region and account may be empty (IAM, S3).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arn {
    text: Arc<str>,
}

/// The text does not have an ARN's six parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArnError;

impl fmt::Display for ArnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an ARN")
    }
}

impl std::error::Error for ArnError {}

impl Arn {
    pub fn new(service: &str, region: &str, account: &AccountId, resource: impl fmt::Display) -> Self {
        Arn { text: format!("arn:aws:{service}:{region}:{account}:{resource}").into() }
    }

    pub fn parse(text: &str) -> Result<Self, ArnError> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let is_arn = parts.len() == 6
            && parts[0] == "arn"
            && !parts[1].is_empty()
            && !parts[2].is_empty()
            && !parts[5].is_empty();
        if is_arn { Ok(Arn { text: text.into() }) } else { Err(ArnError) }
    }

    fn part(&self, index: usize) -> &str {
        self.text.splitn(6, ':').nth(index).unwrap_or_default()
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn service(&self) -> &str {
        self.part(2)
    }

    pub fn region(&self) -> &str {
        self.part(3)
    }

    pub fn account(&self) -> &str {
        self.part(4)
    }

    /// Everything after the fifth colon.
    pub fn resource(&self) -> &str {
        self.part(5)
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Arn {
    type Error = ArnError;
    fn try_from(text: String) -> Result<Self, ArnError> {
        Arn::parse(&text)
    }
}

impl From<Arn> for String {
    fn from(arn: Arn) -> String {
        arn.text.to_string()
    }
}
