//! The table of SSL policies.

use core_routing::{DEFAULT_SSL_POLICY, SSL_POLICIES, TlsVersion, ssl_policy};

fn ciphers(name: &str) -> Vec<&'static str> {
    ssl_policy(name).unwrap().ciphers().collect()
}

#[test]
fn names_are_unique_and_the_default_is_there() {
    let names: std::collections::BTreeSet<_> = SSL_POLICIES.iter().map(|policy| policy.name).collect();
    assert_eq!(names.len(), SSL_POLICIES.len());
    assert!(ssl_policy(DEFAULT_SSL_POLICY).is_some() && ssl_policy("ELBSecurityPolicy-None").is_none());
}

/// As AWS's documentation of `describe-ssl-policies` lists it.
#[test]
fn ciphers_stand_in_awss_order() {
    assert_eq!(
        ciphers("ELBSecurityPolicy-TLS13-1-2-2021-06"),
        [
            "TLS_AES_128_GCM_SHA256",
            "TLS_AES_256_GCM_SHA384",
            "TLS_CHACHA20_POLY1305_SHA256",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-AES128-SHA256",
            "ECDHE-RSA-AES128-SHA256",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-RSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-AES256-SHA384",
            "ECDHE-RSA-AES256-SHA384",
        ]
    );
    assert_eq!(ciphers(DEFAULT_SSL_POLICY).len(), 18);
    assert_eq!(ciphers("ELBSecurityPolicy-TLS-1-0-2015-04").last(), Some(&"DES-CBC3-SHA"));
    assert_eq!(
        ciphers("ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04"),
        ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"]
    );
    assert_eq!(ciphers("ELBSecurityPolicy-FS-1-2-Res-2020-10").len(), 4);
}

#[test]
fn protocols_are_what_names_say() {
    let protocols = |name| ssl_policy(name).unwrap().protocols().map(TlsVersion::name).collect::<Vec<_>>();
    assert_eq!(protocols("ELBSecurityPolicy-2016-08"), ["TLSv1", "TLSv1.1", "TLSv1.2"]);
    assert_eq!(protocols("ELBSecurityPolicy-TLS-1-1-2017-01"), ["TLSv1.1", "TLSv1.2"]);
    assert_eq!(protocols("ELBSecurityPolicy-TLS13-1-2-2021-06"), ["TLSv1.2", "TLSv1.3"]);
    assert_eq!(protocols("ELBSecurityPolicy-TLS13-1-3-2021-06"), ["TLSv1.3"]);
    for policy in &SSL_POLICIES {
        let is_modern = policy.name.contains("TLS13");
        assert_eq!(policy.offers(TlsVersion::V1_3), is_modern, "{}", policy.name);
        assert_eq!(policy.is_post_quantum, policy.name.contains("-PQ-"), "{}", policy.name);
        let has_chacha = policy.ciphers().any(|cipher| cipher.contains("CHACHA20"));
        assert_eq!(has_chacha, is_modern && !policy.name.contains("FIPS"), "{}", policy.name);
        let only_tls13 = policy.ciphers().all(|cipher| cipher.starts_with("TLS_"));
        assert_eq!(only_tls13, policy.name.contains("-1-3-"), "{}", policy.name);
    }
}
