//! What is known of a certificate without opening it again.

use authority::{KeyKind, Reading};
use base::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// RFC 4514.
    pub subject: String,
    pub issuer: String,
    pub serial: String,
    /// The common name, or else the first alternative name.
    pub domain: Option<String>,
    /// The domain, then the other alternative names.
    pub names: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub key: KeyType,
    /// `SHA256WITHRSA`.
    pub signature: String,
    /// In the order of their bits.
    pub usages: Vec<KeyUsage>,
    /// Dotted numbers.
    pub extended_usages: Vec<String>,
}

/// The kinds of keys that balancers can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyType {
    Rsa2048,
    Rsa3072,
    Rsa4096,
    P256,
    P384,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyUsage {
    DigitalSignature,
    NonRepudiation,
    KeyEncipherment,
    DataEncipherment,
    KeyAgreement,
    CertificateSigning,
    CrlSigning,
    EncipherOnly,
    DecipherOnly,
}

/// In the order of RFC 5280's bits.
const USAGES: [KeyUsage; 9] = [
    KeyUsage::DigitalSignature,
    KeyUsage::NonRepudiation,
    KeyUsage::KeyEncipherment,
    KeyUsage::DataEncipherment,
    KeyUsage::KeyAgreement,
    KeyUsage::CertificateSigning,
    KeyUsage::CrlSigning,
    KeyUsage::EncipherOnly,
    KeyUsage::DecipherOnly,
];

pub(crate) fn key_type(kind: KeyKind) -> Option<KeyType> {
    match kind {
        KeyKind::Rsa(2048) => Some(KeyType::Rsa2048),
        KeyKind::Rsa(3072) => Some(KeyType::Rsa3072),
        KeyKind::Rsa(4096) => Some(KeyType::Rsa4096),
        KeyKind::P256 => Some(KeyType::P256),
        KeyKind::P384 => Some(KeyType::P384),
        KeyKind::Rsa(_) | KeyKind::P521 | KeyKind::Other => None,
    }
}

impl Facts {
    pub fn of(reading: &Reading, key: KeyType) -> Self {
        let domain = reading.common_name.clone().or_else(|| reading.names.first().cloned());
        let others = reading.names.iter().filter(|name| Some(*name) != domain.as_ref());
        let bits = reading.usages.unwrap_or_default();
        let used = USAGES.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
        Facts {
            subject: reading.subject.clone(),
            issuer: reading.issuer_name.clone().unwrap_or_else(|| reading.issuer.clone()),
            serial: reading.serial.clone(),
            names: domain.iter().chain(others).cloned().collect(),
            domain,
            not_before: reading.not_before,
            not_after: reading.not_after,
            key,
            signature: reading.signature.clone(),
            usages: used.map(|(_, usage)| *usage).collect(),
            extended_usages: reading.extended_usages.clone(),
        }
    }
}
