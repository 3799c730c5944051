//! A certificate as it was given, made ready to sign with.

use std::sync::Arc;

use base::Timestamp;
use core_routing::Certificate;
use rustls::SignatureAlgorithm;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::{Certificate as X509, TbsCertificate};

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("the certificate is not PEM of X.509")]
    Chain,
    #[error("the key is not PEM in PKCS#8, PKCS#1 or SEC1")]
    Key,
    #[error("the key's kind is not supported")]
    Kind(#[source] rustls::Error),
    #[error("the key does not belong to the certificate")]
    Mismatch,
}

/// Ready to sign with, and what the choice among several looks at.
#[derive(Debug)]
pub(super) struct Loaded {
    pub arn: Arc<str>,
    pub key: Arc<CertifiedKey>,
    /// Lower case; with `*.` where it is a wildcard.
    pub names: Vec<String>,
    pub rank: Rank,
    pub expires_at: Timestamp,
}

/// AWS: of several certificates that fit, the greater is taken (an unexpired one before all; see
/// `choice`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    ecdsa: bool,
    /// SHA-512 over SHA-256 over SHA-1 over MD5.
    hash: u8,
    /// Of the public key as it is encoded, in bytes: grows with the key.
    key_length: usize,
    valid_for_secs: i64,
}

impl Loaded {
    pub fn read(certificate: &Certificate) -> Result<Self, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(certificate.chain.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| CertificateError::Chain)?;
        let leaf = chain.first().ok_or(CertificateError::Chain)?.clone();
        let parsed = X509::from_der(&leaf).map_err(|_| CertificateError::Chain)?;
        let signed = parsed.tbs_certificate();
        let spki = signed.subject_public_key_info().to_der().map_err(|_| CertificateError::Chain)?;
        let key = PrivateKeyDer::from_pem_slice(certificate.key.expose().as_bytes())
            .map_err(|_| CertificateError::Key)?;
        let key = any_supported_type(&key).map_err(CertificateError::Kind)?;
        if key.public_key().is_some_and(|public| *public != *spki) {
            return Err(CertificateError::Mismatch);
        }
        let from = signed.validity().not_before.to_unix_duration().as_secs() as i64;
        let until = signed.validity().not_after.to_unix_duration().as_secs() as i64;
        let rank = Rank {
            ecdsa: key.algorithm() == SignatureAlgorithm::ECDSA,
            hash: hash_rank(&parsed.signature_algorithm().oid.to_string()),
            key_length: spki.len(),
            valid_for_secs: until - from,
        };
        Ok(Loaded {
            arn: certificate.arn.clone(),
            names: names(signed),
            key: Arc::new(CertifiedKey::new(chain, key)),
            rank,
            expires_at: Timestamp::from_secs(until),
        })
    }
}

/// Of the alternative names, or, where there are none, of the subject.
fn names(certificate: &TbsCertificate) -> Vec<String> {
    let alternative = certificate.get_extension::<SubjectAltName>().ok().flatten();
    let mut names: Vec<String> = alternative
        .into_iter()
        .flat_map(|(_, names)| names.0)
        .filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        let common = certificate.subject().common_name().ok().flatten();
        names.extend(common.map(|name| name.value().to_ascii_lowercase()));
    }
    names
}

fn hash_rank(algorithm: &str) -> u8 {
    match algorithm {
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => 5, // with SHA-512
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => 4, // with SHA-384
        "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" => 3, // with SHA-256
        "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" => 1,    // with SHA-1
        "1.2.840.113549.1.1.4" => 0,                          // with MD5
        _ => 2,
    }
}
