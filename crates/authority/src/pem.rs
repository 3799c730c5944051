//! PEM, in and out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why a text is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    #[error("no such section in PEM")]
    Missing,
    #[error("malformed PEM")]
    Malformed,
    /// A private key under a passphrase.
    #[error("an encrypted private key")]
    Encrypted,
}

/// The certificates of a PEM text in their order, as DER. Sections of other kinds are refused.
///
/// # Errors
/// There is none, or the text is broken.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let mut found = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        match section {
            Ok((SectionKind::Certificate, der)) => found.push(CertificateDer::from(der)),
            Ok(_) | Err(_) => return Err(PemError::Malformed),
        }
    }
    let is_whole = found.len() == count(pem, b"-----BEGIN ");
    match found.is_empty() {
        true => Err(PemError::Missing),
        false if is_whole => Ok(found),
        false => Err(PemError::Malformed),
    }
}

/// The one private key of a PEM text: PKCS#8, PKCS#1 or SEC1.
///
/// # Errors
/// There is none, several, or it is encrypted.
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    let has = |text: &[u8]| count(pem, text) > 0;
    if has(b"-----BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(PemError::Encrypted);
    }
    let mut keys = PrivateKeyDer::pem_slice_iter(pem);
    let key = keys.next().ok_or(PemError::Missing)?.map_err(|_| PemError::Malformed)?;
    match keys.next() {
        None => Ok(key),
        Some(_) => Err(PemError::Malformed),
    }
}

fn count(text: &[u8], part: &[u8]) -> usize {
    text.windows(part.len()).filter(|window| *window == part).count()
}

/// One PEM section: lines of 64, a newline at the end.
pub fn to_pem(kind: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {kind}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem + &format!("-----END {kind}-----\n")
}
