//! Whether a certificate, its key and its chain can be imported.
//!
//! AWS: "Prerequisites for importing certificates" and "Certificate and key format for importing";
//! the texts are those of the knowledge center's page on failing imports, where it has one.

use authority::{PemError, Reading, certificates, private_key, to_pem};
use base::{Fault, Secret, Timestamp};

use crate::behaviour::facts::{Facts, key_type};
use crate::faults::invalid;

/// AWS: bytes of a private key's PEM.
const LARGEST_KEY: usize = 5_120;

/// What was asked to be imported, as it came.
pub(crate) struct Offer<'a> {
    pub certificate: &'a [u8],
    pub key: &'a [u8],
    pub chain: Option<&'a [u8]>,
}

/// What an offer holds.
pub(crate) struct Accepted {
    /// PEM.
    pub certificate: String,
    pub chain: Option<String>,
    pub key: Secret,
    pub facts: Facts,
}

pub(crate) fn accept(offer: &Offer<'_>, now: Timestamp) -> Result<Accepted, Fault> {
    let unparsed = || invalid("Unable to parse certificate. Be sure that the certificate is in PEM format.");
    let own = certificates(offer.certificate).map_err(|_| unparsed())?;
    let [der] = own.as_slice() else {
        return Err(invalid(
            "The certificate field contains more than one certificate. You can specify only one certificate \
             in this field.",
        ));
    };
    let reading = Reading::of(der).map_err(|_| unparsed())?;
    check_certificate(&reading, now)?;
    let Some(kind) = key_type(reading.key) else {
        return Err(invalid("The private key length is not supported for key algorithm."));
    };
    check_key(&reading, offer.key)?;
    let chain = offer.chain.map(|chain| accept_chain(&reading, chain)).transpose()?;
    if chain.is_none() && !reading.is_signed_by(&reading) {
        return Err(invalid(
            "Provided certificate is not a valid self signed. Please provide either a valid self-signed \
             certificate or certificate chain.",
        ));
    }
    let key = std::str::from_utf8(offer.key).map_err(|_| invalid("The private key is not supported."))?;
    Ok(Accepted {
        certificate: to_pem("CERTIFICATE", der),
        chain,
        key: Secret::new(key),
        facts: Facts::of(&reading, kind),
    })
}

fn check_certificate(reading: &Reading, now: Timestamp) -> Result<(), Fault> {
    if reading.issuer.is_empty() {
        return Err(invalid("The Issuer field of the certificate must not be empty."));
    }
    if now < reading.not_before {
        return Err(invalid("The certificate is not valid yet."));
    }
    if now > reading.not_after {
        return Err(invalid("The certificate has expired."));
    }
    Ok(())
}

fn check_key(reading: &Reading, pem: &[u8]) -> Result<(), Fault> {
    if pem.len() > LARGEST_KEY {
        return Err(invalid(format_args!("The private key must have at most {LARGEST_KEY} bytes.")));
    }
    let key = private_key(pem).map_err(|error| match error {
        PemError::Encrypted => invalid("Your private key should not be encrypted."),
        PemError::Missing | PemError::Malformed => invalid("The private key is not supported."),
    })?;
    match reading.belongs_to(&key) {
        None => Err(invalid("The private key is not supported.")),
        Some(false) => Err(invalid("The private key does not match the certificate's public key.")),
        Some(true) => Ok(()),
    }
}

/// The chain as PEM. It starts with who signed the certificate, and goes up.
fn accept_chain(leaf: &Reading, pem: &[u8]) -> Result<String, Fault> {
    let unparsed = || invalid("The certificate chain provided is not in a valid PEM format.");
    let chain = certificates(pem).map_err(|_| unparsed())?;
    let readings = chain.iter().map(Reading::of).collect::<Result<Vec<_>, _>>().map_err(|_| unparsed())?;
    for (at, issuer) in readings.iter().enumerate() {
        let below = at.checked_sub(1).map_or(leaf, |below| &readings[below]);
        if below.is_signed_by(issuer) {
            continue;
        }
        if at == 0 && !readings.iter().any(|other| leaf.is_signed_by(other)) {
            return Err(invalid("Could not validate the certificate with the certificate chain."));
        }
        return Err(invalid(format_args!(
            "Unable to validate certificate chain. The certificate chain must start with the immediate \
             signing certificate, followed by any intermediaries in order. The index within the chain of the \
             invalid certificate is: {at}"
        )));
    }
    Ok(chain.iter().map(|der| to_pem("CERTIFICATE", der)).collect())
}

/// Whether `new` may take the place of `old`.
///
/// AWS: "Reimport a certificate": key type and size stay, no key usage is taken away.
pub(crate) fn check_replacement(old: &Facts, new: &Facts) -> Result<(), Fault> {
    if old.key != new.key {
        return Err(invalid("The key type and size of a reimported certificate cannot be changed."));
    }
    let keeps_usages = old.usages.iter().all(|usage| new.usages.contains(usage));
    let keeps_extended = old.extended_usages.iter().all(|usage| new.extended_usages.contains(usage));
    match keeps_usages && keeps_extended {
        true => Ok(()),
        false => {
            Err(invalid("A reimported certificate cannot lack key usages that the certificate had before."))
        }
    }
}
