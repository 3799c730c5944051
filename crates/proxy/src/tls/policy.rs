//! SSL policies as far as rustls has them.
//!
//! AWS: a policy names protocol versions and cipher suites in the server's order. TLS 1.0 and 1.1,
//! suites without forward secrecy, with CBC or with a key exchange after quantum computers are not
//! spoken here; every policy of AWS's has suites that are.

use core_routing::{DEFAULT_SSL_POLICY, TlsVersion, ssl_policy};
use rustls::SupportedCipherSuite;
use rustls::crypto::ring::cipher_suite as suite;
use rustls::version::{TLS12, TLS13};

const SUITES: [SupportedCipherSuite; 7] = [
    suite::TLS13_AES_128_GCM_SHA256,
    suite::TLS13_AES_256_GCM_SHA384,
    suite::TLS13_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];

/// Versions and suites of a policy, the preferred one first.
#[derive(Debug, Clone)]
pub(super) struct Spoken {
    pub versions: Vec<&'static rustls::SupportedProtocolVersion>,
    pub suites: Vec<SupportedCipherSuite>,
}

/// A policy that is not known, or none, is the default one.
pub(super) fn spoken(policy: Option<&str>) -> Spoken {
    let policy = policy
        .and_then(ssl_policy)
        .or_else(|| ssl_policy(DEFAULT_SSL_POLICY))
        .expect("the default policy is in the table");
    let versions = [(TlsVersion::V1_3, &TLS13), (TlsVersion::V1_2, &TLS12)]
        .into_iter()
        .filter(|(version, _)| policy.offers(*version))
        .map(|(_, version)| version);
    let suites = policy
        .ciphers()
        .filter_map(|name| SUITES.into_iter().find(|suite| cipher_name(suite.suite()) == name));
    Spoken { versions: versions.collect(), suites: suites.collect() }
}

/// OpenSSL's name, which AWS uses in headers and logs.
pub(super) fn cipher_name(suite: rustls::CipherSuite) -> &'static str {
    use rustls::CipherSuite as S;
    match suite {
        S::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        S::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        S::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        _ => "-",
    }
}
