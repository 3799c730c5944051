//! SSL policies by AWS's names: which protocols and ciphers each offers, as `DescribeSSLPolicies`
//! shows them.
//!
//! Owns the table. Ignores what a TLS library can speak: whoever serves takes from a policy what it
//! has (rustls: TLS 1.2 and 1.3, forward secrecy only).
//! Source: "Security policies for your Application Load Balancer" in the ELB user guide, and the
//! order of `describe-ssl-policies`.

/// A TLS version, named as AWS names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    V1_0,
    V1_1,
    V1_2,
    V1_3,
}

impl TlsVersion {
    /// As in `SslProtocols` and in logs: `TLSv1`, `TLSv1.1`, `TLSv1.2`, `TLSv1.3`.
    pub const fn name(self) -> &'static str {
        match self {
            TlsVersion::V1_0 => "TLSv1",
            TlsVersion::V1_1 => "TLSv1.1",
            TlsVersion::V1_2 => "TLSv1.2",
            TlsVersion::V1_3 => "TLSv1.3",
        }
    }
}

/// One policy of [`SSL_POLICIES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SslPolicy {
    pub name: &'static str,
    oldest: TlsVersion,
    newest: TlsVersion,
    ciphers: u16,
    /// Offers hybrid post-quantum key exchange.
    pub is_post_quantum: bool,
}

impl SslPolicy {
    /// From the oldest to the newest.
    pub fn protocols(&self) -> impl Iterator<Item = TlsVersion> + use<> {
        let (oldest, newest) = (self.oldest, self.newest);
        [TlsVersion::V1_0, TlsVersion::V1_1, TlsVersion::V1_2, TlsVersion::V1_3]
            .into_iter()
            .filter(move |version| *version >= oldest && *version <= newest)
    }

    pub fn offers(&self, version: TlsVersion) -> bool {
        version >= self.oldest && version <= self.newest
    }

    /// OpenSSL's names in the order of their priorities; the first has priority 1.
    pub fn ciphers(&self) -> impl Iterator<Item = &'static str> + use<> {
        let mask = self.ciphers;
        CIPHERS.iter().filter(move |(family, _)| mask & family != 0).map(|(_, name)| *name)
    }
}

/// AWS: what CreateListener takes where the request names none.
pub const DEFAULT_SSL_POLICY: &str = "ELBSecurityPolicy-2016-08";

/// The policy of that name.
pub fn ssl_policy(name: &str) -> Option<&'static SslPolicy> {
    SSL_POLICIES.iter().find(|policy| policy.name == name)
}

/// AES with TLS 1.3.
const T13: u16 = 1;
/// ChaCha20 with TLS 1.3; not in the FIPS policies.
const CHA: u16 = 1 << 1;
/// Forward secrecy and GCM.
const GCM: u16 = 1 << 2;
/// Forward secrecy, CBC with SHA-2.
const CBC: u16 = 1 << 3;
/// Forward secrecy, CBC with SHA-1.
const SHA: u16 = 1 << 4;
/// RSA key exchange with SHA-2.
const RSA: u16 = 1 << 5;
/// RSA key exchange with SHA-1.
const OLD: u16 = 1 << 6;
const DES: u16 = 1 << 7;

const FORWARD: u16 = GCM | CBC | SHA;
const EVERY: u16 = FORWARD | RSA | OLD;

const CIPHERS: [(u16, &str); 22] = [
    (T13, "TLS_AES_128_GCM_SHA256"),
    (T13, "TLS_AES_256_GCM_SHA384"),
    (CHA, "TLS_CHACHA20_POLY1305_SHA256"),
    (GCM, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (GCM, "ECDHE-RSA-AES128-GCM-SHA256"),
    (CBC, "ECDHE-ECDSA-AES128-SHA256"),
    (CBC, "ECDHE-RSA-AES128-SHA256"),
    (SHA, "ECDHE-ECDSA-AES128-SHA"),
    (SHA, "ECDHE-RSA-AES128-SHA"),
    (GCM, "ECDHE-ECDSA-AES256-GCM-SHA384"),
    (GCM, "ECDHE-RSA-AES256-GCM-SHA384"),
    (CBC, "ECDHE-ECDSA-AES256-SHA384"),
    (CBC, "ECDHE-RSA-AES256-SHA384"),
    (SHA, "ECDHE-RSA-AES256-SHA"),
    (SHA, "ECDHE-ECDSA-AES256-SHA"),
    (RSA, "AES128-GCM-SHA256"),
    (RSA, "AES128-SHA256"),
    (OLD, "AES128-SHA"),
    (RSA, "AES256-GCM-SHA384"),
    (RSA, "AES256-SHA256"),
    (OLD, "AES256-SHA"),
    (DES, "DES-CBC3-SHA"),
];

const fn policy(name: &'static str, oldest: TlsVersion, newest: TlsVersion, ciphers: u16) -> SslPolicy {
    SslPolicy { name, oldest, newest, ciphers, is_post_quantum: false }
}

const fn modern(name: &'static str, oldest: TlsVersion, ciphers: u16) -> SslPolicy {
    policy(name, oldest, TlsVersion::V1_3, T13 | CHA | ciphers)
}

const fn fips(name: &'static str, oldest: TlsVersion, ciphers: u16) -> SslPolicy {
    policy(name, oldest, TlsVersion::V1_3, T13 | ciphers)
}

const fn quantum(mut policy: SslPolicy) -> SslPolicy {
    policy.is_post_quantum = true;
    policy
}

use TlsVersion::{V1_0, V1_1, V1_2, V1_3};

/// Every policy for application load balancers, in the order of `DescribeSSLPolicies`.
pub const SSL_POLICIES: [SslPolicy; 39] = [
    policy("ELBSecurityPolicy-2016-08", V1_0, V1_2, EVERY),
    modern("ELBSecurityPolicy-TLS13-1-2-2021-06", V1_2, GCM | CBC),
    modern("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", V1_2, GCM),
    modern("ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06", V1_2, GCM | CBC | RSA),
    modern("ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06", V1_2, EVERY),
    modern("ELBSecurityPolicy-TLS13-1-1-2021-06", V1_1, EVERY),
    modern("ELBSecurityPolicy-TLS13-1-0-2021-06", V1_0, EVERY),
    modern("ELBSecurityPolicy-TLS13-1-3-2021-06", V1_3, 0),
    policy("ELBSecurityPolicy-TLS-1-2-2017-01", V1_2, V1_2, GCM | CBC | RSA),
    policy("ELBSecurityPolicy-TLS-1-1-2017-01", V1_1, V1_2, EVERY),
    policy("ELBSecurityPolicy-TLS-1-2-Ext-2018-06", V1_2, V1_2, EVERY),
    policy("ELBSecurityPolicy-FS-2018-06", V1_0, V1_2, FORWARD),
    policy("ELBSecurityPolicy-2015-05", V1_0, V1_2, EVERY),
    policy("ELBSecurityPolicy-TLS-1-0-2015-04", V1_0, V1_2, EVERY | DES),
    policy("ELBSecurityPolicy-FS-1-2-Res-2019-08", V1_2, V1_2, GCM | CBC),
    policy("ELBSecurityPolicy-FS-1-1-2019-08", V1_1, V1_2, FORWARD),
    policy("ELBSecurityPolicy-FS-1-2-2019-08", V1_2, V1_2, FORWARD),
    policy("ELBSecurityPolicy-FS-1-2-Res-2020-10", V1_2, V1_2, GCM),
    fips("ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04", V1_3, 0),
    fips("ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04", V1_2, GCM | CBC),
    fips("ELBSecurityPolicy-TLS13-1-2-Res-FIPS-2023-04", V1_2, GCM),
    fips("ELBSecurityPolicy-TLS13-1-2-Ext0-FIPS-2023-04", V1_2, FORWARD),
    fips("ELBSecurityPolicy-TLS13-1-2-Ext1-FIPS-2023-04", V1_2, GCM | CBC | RSA),
    fips("ELBSecurityPolicy-TLS13-1-2-Ext2-FIPS-2023-04", V1_2, EVERY),
    fips("ELBSecurityPolicy-TLS13-1-1-FIPS-2023-04", V1_1, EVERY),
    fips("ELBSecurityPolicy-TLS13-1-0-FIPS-2023-04", V1_0, EVERY),
    quantum(modern("ELBSecurityPolicy-TLS13-1-3-PQ-2025-09", V1_3, 0)),
    quantum(modern("ELBSecurityPolicy-TLS13-1-2-PQ-2025-09", V1_2, GCM | CBC)),
    quantum(modern("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", V1_2, GCM)),
    quantum(modern("ELBSecurityPolicy-TLS13-1-2-Ext1-PQ-2025-09", V1_2, GCM | CBC | RSA)),
    quantum(modern("ELBSecurityPolicy-TLS13-1-2-Ext2-PQ-2025-09", V1_2, EVERY)),
    quantum(modern("ELBSecurityPolicy-TLS13-1-0-PQ-2025-09", V1_0, EVERY)),
    quantum(fips("ELBSecurityPolicy-TLS13-1-3-FIPS-PQ-2025-09", V1_3, 0)),
    quantum(fips("ELBSecurityPolicy-TLS13-1-2-FIPS-PQ-2025-09", V1_2, GCM | CBC)),
    quantum(fips("ELBSecurityPolicy-TLS13-1-2-Res-FIPS-PQ-2025-09", V1_2, GCM)),
    quantum(fips("ELBSecurityPolicy-TLS13-1-2-Ext0-FIPS-PQ-2025-09", V1_2, FORWARD)),
    quantum(fips("ELBSecurityPolicy-TLS13-1-2-Ext1-FIPS-PQ-2025-09", V1_2, GCM | CBC | RSA)),
    quantum(fips("ELBSecurityPolicy-TLS13-1-2-Ext2-FIPS-PQ-2025-09", V1_2, EVERY)),
    quantum(fips("ELBSecurityPolicy-TLS13-1-0-FIPS-PQ-2025-09", V1_0, EVERY)),
];
