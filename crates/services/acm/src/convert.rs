//! Records → shapes.

use aws_acm as shape;
use base::{Tags, Timestamp};

use crate::behaviour::facts::{KeyType, KeyUsage};
use crate::state::Certificate;

/// AWS: a summary has no more alternative names than these.
const SUMMARIZED_NAMES: usize = 100;
const IMPORTED: &str = "IMPORTED";
const CUSTOMER_PROVIDED: &str = "CUSTOMER_PROVIDED";

pub(crate) fn status(record: &Certificate, now: Timestamp) -> &'static str {
    if now > record.facts.not_after { "EXPIRED" } else { "ISSUED" }
}

/// As requests and the model spell it.
pub(crate) fn key_algorithm(key: KeyType) -> &'static str {
    match key {
        KeyType::Rsa2048 => "RSA_2048",
        KeyType::Rsa3072 => "RSA_3072",
        KeyType::Rsa4096 => "RSA_4096",
        KeyType::P256 => "EC_prime256v1",
        KeyType::P384 => "EC_secp384r1",
    }
}

pub(crate) fn key_usage(usage: KeyUsage) -> &'static str {
    match usage {
        KeyUsage::DigitalSignature => "DIGITAL_SIGNATURE",
        KeyUsage::NonRepudiation => "NON_REPUDIATION",
        KeyUsage::KeyEncipherment => "KEY_ENCIPHERMENT",
        KeyUsage::DataEncipherment => "DATA_ENCIPHERMENT",
        KeyUsage::KeyAgreement => "KEY_AGREEMENT",
        KeyUsage::CertificateSigning => "CERTIFICATE_SIGNING",
        KeyUsage::CrlSigning => "CRL_SIGNING",
        KeyUsage::EncipherOnly => "ENCIPHER_ONLY",
        KeyUsage::DecipherOnly => "DECIPHER_ONLY",
    }
}

/// AWS's name of an extended key usage by its number.
pub(crate) fn extended_key_usage(oid: &str) -> &'static str {
    match oid {
        "1.3.6.1.5.5.7.3.1" => "TLS_WEB_SERVER_AUTHENTICATION",
        "1.3.6.1.5.5.7.3.2" => "TLS_WEB_CLIENT_AUTHENTICATION",
        "1.3.6.1.5.5.7.3.3" => "CODE_SIGNING",
        "1.3.6.1.5.5.7.3.4" => "EMAIL_PROTECTION",
        "1.3.6.1.5.5.7.3.5" => "IPSEC_END_SYSTEM",
        "1.3.6.1.5.5.7.3.6" => "IPSEC_TUNNEL",
        "1.3.6.1.5.5.7.3.7" => "IPSEC_USER",
        "1.3.6.1.5.5.7.3.8" => "TIME_STAMPING",
        "1.3.6.1.5.5.7.3.9" => "OCSP_SIGNING",
        "2.5.29.37.0" => "ANY",
        _ => "CUSTOM",
    }
}

pub(crate) fn detail(record: &Certificate, uses: Vec<String>, now: Timestamp) -> shape::CertificateDetail {
    let facts = &record.facts;
    let extended = facts.extended_usages.iter().map(|oid| shape::ExtendedKeyUsage {
        name: Some(extended_key_usage(oid).into()),
        oid: Some(oid.clone()),
    });
    let usages = facts.usages.iter().map(|usage| shape::KeyUsage { name: Some(key_usage(*usage).into()) });
    shape::CertificateDetail {
        certificate_arn: Some(record.arn().to_string()),
        domain_name: facts.domain.clone(),
        subject_alternative_names: Some(facts.names.clone()),
        serial: Some(facts.serial.clone()),
        subject: Some(facts.subject.clone()),
        issuer: Some(facts.issuer.clone()),
        created_at: Some(record.created_at),
        imported_at: Some(record.imported_at),
        status: Some(status(record, now).into()),
        not_before: Some(facts.not_before),
        not_after: Some(facts.not_after),
        // AWS: the one place that spells it with a hyphen, against its own model.
        key_algorithm: Some(key_algorithm(facts.key).replacen('_', "-", 1)),
        signature_algorithm: Some(facts.signature.clone()),
        in_use_by: Some(uses),
        r#type: Some(IMPORTED.into()),
        key_usages: Some(usages.collect()),
        extended_key_usages: Some(extended.collect()),
        renewal_eligibility: Some(String::from("INELIGIBLE")),
        options: Some(shape::CertificateOptions {
            certificate_transparency_logging_preference: Some(String::from("DISABLED")),
            export: Some(String::from("DISABLED")),
            ..shape::CertificateOptions::default()
        }),
        certificate_key_pair_origin: Some(CUSTOMER_PROVIDED.into()),
        ..shape::CertificateDetail::default()
    }
}

pub(crate) fn summary(record: &Certificate, is_used: bool, now: Timestamp) -> shape::CertificateSummary {
    let facts = &record.facts;
    let extended = facts.extended_usages.iter().map(|oid| extended_key_usage(oid).to_owned());
    shape::CertificateSummary {
        certificate_arn: Some(record.arn().to_string()),
        domain_name: facts.domain.clone(),
        subject_alternative_name_summaries: Some(
            facts.names.iter().take(SUMMARIZED_NAMES).cloned().collect(),
        ),
        has_additional_subject_alternative_names: Some(facts.names.len() > SUMMARIZED_NAMES),
        status: Some(status(record, now).into()),
        r#type: Some(IMPORTED.into()),
        key_algorithm: Some(key_algorithm(facts.key).replacen('_', "-", 1)),
        key_usages: Some(facts.usages.iter().map(|usage| key_usage(*usage).to_owned()).collect()),
        extended_key_usages: Some(extended.collect()),
        export_option: Some(String::from("DISABLED")),
        in_use: Some(is_used),
        exported: Some(false),
        renewal_eligibility: Some(String::from("INELIGIBLE")),
        not_before: Some(facts.not_before),
        not_after: Some(facts.not_after),
        created_at: Some(record.created_at),
        imported_at: Some(record.imported_at),
        certificate_key_pair_origin: Some(CUSTOMER_PROVIDED.into()),
        ..shape::CertificateSummary::default()
    }
}

pub(crate) fn tags(tags: &Tags) -> Vec<shape::Tag> {
    tags.iter().map(|(key, value)| shape::Tag { key: key.clone(), value: Some(value.clone()) }).collect()
}
