//! Listeners.

use std::collections::BTreeMap;

use base::Tags;
use core_routing::Protocol;
use serde::{Deserialize, Serialize};
use store::{Entries, Key, Record};

use super::id::ListenerId;

/// By the certificates that it has.
const BY_CERTIFICATE: &str = "by-certificate";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    pub at: ListenerId,
    pub port: u16,
    pub protocol: Protocol,
    /// HTTPS only, and always there.
    pub ssl_policy: Option<String>,
    /// ACM ARNs, the default one first. HTTPS only, and never empty there.
    pub certificates: Vec<String>,
    /// What was set, by AWS's keys.
    pub attributes: BTreeMap<String, String>,
    pub tags: Tags,
}

impl Record for Listener {
    const KIND: &'static str = "elb/listener";

    fn key(&self) -> Key {
        self.at.key()
    }

    fn index(&self, entries: &mut Entries) {
        for arn in &self.certificates {
            entries.add(BY_CERTIFICATE, &[arn]);
        }
    }
}

impl Listener {
    /// Those that have a certificate.
    pub fn of_certificate(arn: &str) -> (&'static str, Key) {
        (BY_CERTIFICATE, Key::of(&[arn]))
    }

    pub fn is_secure(&self) -> bool {
        self.protocol == Protocol::Https
    }
}
