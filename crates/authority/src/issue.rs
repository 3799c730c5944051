//! Making and signing certificates.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use base::{AccountId, Secret, Timestamp};
use der::asn1::{Any, BitString, GeneralizedTime, Ia5String, OctetString, UtcTime};
use der::{Encode, Sequence};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use x509_cert::Version;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, ObjectIdentifier, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

use crate::pem::{certificates, private_key, to_pem};

const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const EC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
/// UTCTime ends with 2049.
const UTC_TIME_ENDS_SECS: i64 = 2_524_608_000;
/// Clocks of clients may be behind.
const BACKDATED_FOR: Duration = Duration::from_secs(3_600);
/// What Apple's clients take of an authority that the user added is longer; browsers' public limit
/// is this.
const LEAF_LASTS_FOR: Duration = Duration::from_secs(397 * 86_400);
/// A common name's bound in X.520.
const LONGEST_COMMON_NAME: usize = 64;

/// The system gave no random numbers.
#[derive(Debug)]
pub(crate) struct NoChance;

/// An account's authority, ready to sign.
pub struct Issuer {
    name: Name,
    key: EcdsaKeyPair,
    key_id: OctetString,
    certificate: String,
}

/// A certificate for servers, with its key.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// PEM: the certificate alone. Its issuer is what clients trust.
    pub chain: String,
    /// PKCS#8 as PEM.
    pub key: Secret,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// What [`root`] made.
pub(crate) struct Made {
    pub certificate: Vec<u8>,
    pub key: Secret,
}

/// `TBSCertificate` of RFC 5280: what is signed.
#[derive(Sequence)]
struct Unsigned {
    #[asn1(context_specific = "0", default = "Default::default")]
    version: Version,
    serial: SerialNumber,
    signature: AlgorithmIdentifierOwned,
    issuer: Name,
    validity: Validity,
    subject: Name,
    key: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct Signed {
    unsigned: Unsigned,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

const ENCODES: &str = "what this module makes has a DER form";

fn algorithm() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: ECDSA_SHA256, parameters: None }
}

fn issuer_name(account: &AccountId) -> Name {
    // An account is twelve digits: nothing to escape.
    Name::from_str(&format!("CN=Boxship local CA {account},O=Boxship")).expect("a plain name parses")
}

fn time(at: Timestamp) -> Time {
    let secs = at.as_secs().max(0);
    let since = Duration::from_secs(secs.unsigned_abs());
    match secs < UTC_TIME_ENDS_SECS {
        true => UtcTime::from_unix_duration(since).expect("before 2050").into(),
        false => GeneralizedTime::from_unix_duration(since).expect("before the year 10000").into(),
    }
}

fn serial(chance: &SystemRandom) -> Result<SerialNumber, NoChance> {
    let mut bytes = [0; 16];
    chance.fill(&mut bytes).map_err(|_| NoChance)?;
    // Neither negative nor with a leading zero.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::new(&bytes).expect("sixteen bytes are a serial number"))
}

fn key_pair(chance: &SystemRandom) -> Result<(EcdsaKeyPair, Secret), NoChance> {
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, chance).map_err(|_| NoChance)?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), chance).map_err(|_| NoChance)?;
    Ok((pair, Secret::new(to_pem("PRIVATE KEY", pkcs8.as_ref()))))
}

fn public_key(pair: &EcdsaKeyPair) -> SubjectPublicKeyInfoOwned {
    let parameters = Some(Any::encode_from(&P256).expect(ENCODES));
    SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned { oid: EC_KEY, parameters },
        subject_public_key: BitString::from_bytes(pair.public_key().as_ref()).expect(ENCODES),
    }
}

/// RFC 5280's first way: SHA-1 of the public key's bits. A name, nothing that must resist anybody.
fn key_id(pair: &EcdsaKeyPair) -> OctetString {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, pair.public_key().as_ref());
    OctetString::new(hash.as_ref()).expect(ENCODES)
}

fn extension<E: Encode>(id: ObjectIdentifier, critical: bool, value: &E) -> Extension {
    let value = OctetString::new(value.to_der().expect(ENCODES)).expect(ENCODES);
    Extension { extn_id: id, critical, extn_value: value }
}

fn extension_of<E: Encode + der::oid::AssociatedOid>(critical: bool, value: &E) -> Extension {
    extension(E::OID, critical, value)
}

fn sign(unsigned: Unsigned, key: &EcdsaKeyPair, chance: &SystemRandom) -> Result<Vec<u8>, NoChance> {
    let message = unsigned.to_der().expect(ENCODES);
    let signature = key.sign(chance, &message).map_err(|_| NoChance)?;
    let signature = BitString::from_bytes(signature.as_ref()).expect(ENCODES);
    Ok(Signed { unsigned, algorithm: algorithm(), signature }.to_der().expect(ENCODES))
}

/// An authority's key with the certificate that it signs for itself.
pub(crate) fn root(account: &AccountId, from: Timestamp, until: Timestamp) -> Result<Made, NoChance> {
    let chance = SystemRandom::new();
    let (pair, key) = key_pair(&chance)?;
    let name = issuer_name(account);
    let unsigned = Unsigned {
        version: Version::V3,
        serial: serial(&chance)?,
        signature: algorithm(),
        issuer: name.clone(),
        validity: Validity::new(time(from - BACKDATED_FOR), time(until)),
        subject: name,
        key: public_key(&pair),
        extensions: vec![
            extension_of(true, &BasicConstraints { ca: true, path_len_constraint: Some(0) }),
            extension_of(true, &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign)),
            extension_of(false, &SubjectKeyIdentifier(key_id(&pair))),
        ],
    };
    Ok(Made { certificate: sign(unsigned, &pair, &chance)?, key })
}

impl Issuer {
    pub(crate) fn new(account: &AccountId, certificate: &str, key: &Secret) -> Option<Self> {
        let PrivateKeyDer::Pkcs8(pkcs8) = private_key(key.expose().as_bytes()).ok()? else { return None };
        let chance = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.secret_pkcs8_der(), &chance).ok()?;
        certificates(certificate.as_bytes()).ok()?;
        let key_id = key_id(&key);
        Some(Issuer { name: issuer_name(account), key, key_id, certificate: certificate.to_owned() })
    }

    /// The authority's own certificate as PEM: what clients are to trust.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for a server of these names (host names, `*.` in front, or addresses), with a
    /// fresh P-256 key, good from an hour ago for 397 days. `None`: no name is one, or the system
    /// gives no random numbers.
    pub fn issue(&self, names: &[&str], now: Timestamp) -> Option<Leaf> {
        let chance = SystemRandom::new();
        let general: Option<Vec<GeneralName>> = names.iter().map(|name| general_name(name)).collect();
        let general = general.filter(|names| !names.is_empty())?;
        let first = names.first().filter(|name| name.len() <= LONGEST_COMMON_NAME);
        let subject = Name::from_str(&format!("CN={}", first.unwrap_or(&"boxship"))).ok()?;
        let (pair, key) = key_pair(&chance).ok()?;
        let (not_before, not_after) = (now - BACKDATED_FOR, now + LEAF_LASTS_FOR);
        let authority = AuthorityKeyIdentifier {
            key_identifier: Some(self.key_id.clone()),
            ..AuthorityKeyIdentifier::default()
        };
        let unsigned = Unsigned {
            version: Version::V3,
            serial: serial(&chance).ok()?,
            signature: algorithm(),
            issuer: self.name.clone(),
            validity: Validity::new(time(not_before), time(not_after)),
            subject,
            key: public_key(&pair),
            extensions: vec![
                extension_of(true, &BasicConstraints { ca: false, path_len_constraint: None }),
                extension_of(true, &KeyUsage(KeyUsages::DigitalSignature.into())),
                extension_of(false, &ExtendedKeyUsage(vec![SERVER_AUTH])),
                extension_of(false, &SubjectAltName(general)),
                extension_of(false, &SubjectKeyIdentifier(key_id(&pair))),
                extension_of(false, &authority),
            ],
        };
        let certificate = sign(unsigned, &self.key, &chance).ok()?;
        Some(Leaf { chain: to_pem("CERTIFICATE", &certificate), key, not_before, not_after })
    }
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Issuer({})", self.name)
    }
}

fn general_name(name: &str) -> Option<GeneralName> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Some(address.into());
    }
    let bare = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        !label.is_empty() && label.len() <= 63 && inner
    };
    let is_name = bare.len() <= 253 && bare.split('.').all(is_label);
    is_name.then(|| Ia5String::new(name).ok().map(GeneralName::DnsName))?
}
