//! What a certificate says.

use base::Timestamp;
use der::asn1::ObjectIdentifier;
use der::{Decode, Encode};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};
use x509_cert::time::Time;

use crate::text::{common_name, organization, printed};

/// The text is no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an X.509 certificate")]
pub struct UnreadableCertificate;

/// The kind of a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// With the modulus' bits.
    Rsa(usize),
    P256,
    P384,
    P521,
    Other,
}

/// A certificate, read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// RFC 4514: `CN=example.com,O=Example`.
    pub subject: String,
    /// RFC 4514; empty where the certificate names nobody.
    pub issuer: String,
    /// The issuer's organization, or else its common name.
    pub issuer_name: Option<String>,
    pub common_name: Option<String>,
    /// Host names among the alternative names, in order.
    pub names: Vec<String>,
    /// `01:ab:…`
    pub serial: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub key: KeyKind,
    /// `SHA256WITHRSA`; the dotted number where it has no such name.
    pub signature: String,
    /// The bits of the key usage extension, the first is 1; `None` without the extension.
    pub usages: Option<u16>,
    /// Dotted numbers.
    pub extended_usages: Vec<String>,
    pub is_authority: bool,
    whole: Certificate,
}

const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";

/// A signature algorithm, and how a signature of it is verified where we can.
struct Algorithm {
    oid: &'static str,
    name: &'static str,
    /// With the issuer's RSA key, or its key on P-256.
    usual: Option<&'static dyn VerificationAlgorithm>,
    /// With the issuer's key on P-384.
    p384: Option<&'static dyn VerificationAlgorithm>,
}

const ALGORITHMS: [Algorithm; 7] = [
    Algorithm {
        oid: "1.2.840.113549.1.1.5",
        name: "SHA1WITHRSA",
        usual: Some(&signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY),
        p384: None,
    },
    Algorithm {
        oid: "1.2.840.113549.1.1.11",
        name: "SHA256WITHRSA",
        usual: Some(&signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
        p384: None,
    },
    Algorithm {
        oid: "1.2.840.113549.1.1.12",
        name: "SHA384WITHRSA",
        usual: Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        p384: None,
    },
    Algorithm {
        oid: "1.2.840.113549.1.1.13",
        name: "SHA512WITHRSA",
        usual: Some(&signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY),
        p384: None,
    },
    Algorithm {
        oid: "1.2.840.10045.4.3.2",
        name: "SHA256WITHECDSA",
        usual: Some(&signature::ECDSA_P256_SHA256_ASN1),
        p384: Some(&signature::ECDSA_P384_SHA256_ASN1),
    },
    Algorithm {
        oid: "1.2.840.10045.4.3.3",
        name: "SHA384WITHECDSA",
        usual: Some(&signature::ECDSA_P256_SHA384_ASN1),
        p384: Some(&signature::ECDSA_P384_SHA384_ASN1),
    },
    Algorithm { oid: "1.2.840.10045.4.3.4", name: "SHA512WITHECDSA", usual: None, p384: None },
];

impl Reading {
    /// Reads one certificate.
    ///
    /// # Errors
    /// It is none, or one of its known extensions is broken.
    pub fn of(der: &CertificateDer<'_>) -> Result<Self, UnreadableCertificate> {
        let whole = Certificate::from_der(der).map_err(|_| UnreadableCertificate)?;
        let body = whole.tbs_certificate();
        let usages = body.get_extension::<KeyUsage>().map_err(|_| UnreadableCertificate)?;
        let extended = body.get_extension::<ExtendedKeyUsage>().map_err(|_| UnreadableCertificate)?;
        let basic = body.get_extension::<BasicConstraints>().map_err(|_| UnreadableCertificate)?;
        let names = body.get_extension::<SubjectAltName>().map_err(|_| UnreadableCertificate)?;
        let names = names.into_iter().flat_map(|(_, names)| names.0).filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
            _ => None,
        });
        let algorithm = whole.signature_algorithm().oid.to_string();
        Ok(Reading {
            subject: body.subject().to_string(),
            issuer: body.issuer().to_string(),
            issuer_name: organization(body.issuer()).or_else(|| common_name(body.issuer())),
            common_name: common_name(body.subject()),
            names: names.collect(),
            serial: printed(body.serial_number().as_bytes()),
            not_before: instant(&body.validity().not_before),
            not_after: instant(&body.validity().not_after),
            key: key_kind(&whole),
            signature: ALGORITHMS
                .iter()
                .find(|known| known.oid == algorithm)
                .map_or(algorithm, |known| known.name.into()),
            usages: usages.map(|(_, usages)| usages.0.bits()),
            extended_usages: extended
                .into_iter()
                .flat_map(|(_, usages)| usages.0)
                .map(|usage| usage.to_string())
                .collect(),
            is_authority: basic.is_some_and(|(_, basic)| basic.ca),
            whole,
        })
    }

    /// Whether `issuer` has signed this certificate: its subject is this one's issuer, and, where
    /// the algorithm is one that we verify, its key made the signature.
    pub fn is_signed_by(&self, issuer: &Reading) -> bool {
        let body = self.whole.tbs_certificate();
        if body.issuer() != issuer.whole.tbs_certificate().subject() {
            return false;
        }
        let oid = self.whole.signature_algorithm().oid.to_string();
        let Some(known) = ALGORITHMS.iter().find(|known| known.oid == oid) else { return true };
        let algorithm = match issuer.key {
            KeyKind::P384 => known.p384,
            KeyKind::P521 | KeyKind::Other => None,
            KeyKind::Rsa(_) | KeyKind::P256 => known.usual,
        };
        let Some(algorithm) = algorithm else { return true };
        let (Ok(message), Some(signature)) = (body.to_der(), self.whole.signature().as_bytes()) else {
            return false;
        };
        let key = issuer.whole.tbs_certificate().subject_public_key_info();
        let key = key.subject_public_key.raw_bytes();
        UnparsedPublicKey::new(algorithm, key).verify(&message, signature).is_ok()
    }

    /// Whether `key` is this certificate's private key. `None`: no kind of key that we can use.
    pub fn belongs_to(&self, key: &PrivateKeyDer<'_>) -> Option<bool> {
        let signer = any_supported_type(key).ok()?;
        let public = signer.public_key()?;
        let own = self.whole.tbs_certificate().subject_public_key_info().to_der().ok()?;
        Some(public.as_ref() == own.as_slice())
    }
}

fn instant(time: &Time) -> Timestamp {
    Timestamp::from_secs(i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX / 1_000_000))
}

fn key_kind(certificate: &Certificate) -> KeyKind {
    let info = certificate.tbs_certificate().subject_public_key_info();
    match info.algorithm.oid.to_string().as_str() {
        RSA => rsa_bits(info.subject_public_key.raw_bytes()).map_or(KeyKind::Other, KeyKind::Rsa),
        EC => {
            let curve = info.algorithm.parameters.as_ref();
            let curve = curve.and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
            match curve.map(|curve| curve.to_string()).as_deref() {
                Some("1.2.840.10045.3.1.7") => KeyKind::P256,
                Some("1.3.132.0.34") => KeyKind::P384,
                Some("1.3.132.0.35") => KeyKind::P521,
                _ => KeyKind::Other,
            }
        }
        _ => KeyKind::Other,
    }
}

/// `RSAPublicKey` of RFC 8017.
#[derive(der::Sequence)]
struct RsaPublicKey {
    modulus: der::asn1::Uint,
    exponent: der::asn1::Uint,
}

fn rsa_bits(der: &[u8]) -> Option<usize> {
    let key = RsaPublicKey::from_der(der).ok()?;
    let modulus = key.modulus.as_bytes();
    let leading = modulus.first()?.leading_zeros() as usize;
    Some(modulus.len() * 8 - leading)
}
