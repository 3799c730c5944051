//! Handshakes over an in-memory pipe: which certificate, version, cipher and protocol comes of it.

use std::sync::Arc;
use std::time::Duration;

use base::Secret;
use core_routing::{Action, Certificate, HeaderRules, Listener, Protocol, Rule};
use proxy::tls::{Facts, Reencryption, Refused, Terminator, Terminators};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

const WITHIN: Duration = Duration::from_secs(20);
static ONLY_12: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
static ONLY_13: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
const TLS13: &str = "ELBSecurityPolicy-TLS13-1-2-2021-06";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub fn certificate(arn: &str, names: &[&str]) -> Certificate {
    signed(arn, names, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
}

fn signed(arn: &str, names: &[&str], key: KeyPair) -> Certificate {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    Certificate { arn: arn.into(), chain: certificate.pem(), key: Secret::new(key.serialize_pem()) }
}

/// An RSA key of a kind that rcgen with ring does not make: `openssl genrsa`, in PKCS#1.
fn rsa(arn: &str, name: &str) -> Certificate {
    let pem = include_str!("data/rsa.pem");
    let pkcs8 = include_str!("data/rsa.pkcs8.pem");
    let made = signed(arn, &[name], KeyPair::from_pem(pkcs8).unwrap());
    Certificate { key: Secret::new(pem), ..made }
}

fn listener(arn: &str, policy: &str, certificates: &[&str]) -> Listener {
    let action = Action::Fixed { status: 200, content_type: None, body: String::new() };
    Listener {
        arn: arn.into(),
        port: 443,
        protocol: Protocol::Https,
        ssl_policy: Some(policy.into()),
        certificates: certificates.iter().map(|arn| Arc::from(*arn)).collect(),
        headers: HeaderRules::default(),
        rules: Vec::new(),
        default: Rule {
            arn: "rule".into(),
            priority: 0,
            conditions: Vec::new(),
            rewrites: Vec::new(),
            action,
        },
    }
}

/// What a client makes of the handshake.
#[derive(Debug)]
struct Seen {
    leaf: Vec<u8>,
    alpn: Option<Vec<u8>>,
}

struct Client {
    name: Option<&'static str>,
    alpn: &'static [&'static str],
    versions: &'static [&'static rustls::SupportedProtocolVersion],
    /// Only these, where any are given.
    schemes: &'static [SignatureScheme],
    config: Option<Arc<ClientConfig>>,
}

impl Default for Client {
    fn default() -> Self {
        Client {
            name: Some("a.example.com"),
            alpn: &[],
            versions: rustls::ALL_VERSIONS,
            schemes: &[],
            config: None,
        }
    }
}

impl Client {
    fn config(&self) -> Arc<ClientConfig> {
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_protocol_versions(self.versions)
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anyone(self.schemes)))
                .with_no_client_auth();
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.enable_sni = self.name.is_some();
        Arc::new(config)
    }

    fn shake(&self, terminator: &Terminator) -> (Result<Facts, Refused>, std::io::Result<Seen>) {
        runtime().block_on(async {
            let (near, far) = tokio::io::duplex(1 << 16);
            let config = self.config.clone().unwrap_or_else(|| self.config());
            let name = ServerName::try_from(self.name.unwrap_or("nobody.example")).unwrap();
            let client = async {
                let mut stream = TlsConnector::from(config).connect(name, near).await?;
                // One byte there and back, so that tickets arrive as well.
                stream.write_all(b"x").await?;
                stream.read_exact(&mut [0]).await?;
                let (_, state) = stream.get_ref();
                let leaf = state.peer_certificates().unwrap()[0].to_vec();
                Ok(Seen { leaf, alpn: state.alpn_protocol().map(<[u8]>::to_vec) })
            };
            let server = async {
                let (mut stream, facts) = terminator.accept(far, WITHIN).await?;
                // A client that thinks otherwise is its own side's result.
                let _ = stream.read_exact(&mut [0]).await;
                let _ = stream.write_all(b"x").await;
                Ok(facts)
            };
            tokio::join!(server, client)
        })
    }
}

#[derive(Debug)]
struct Anyone(&'static [SignatureScheme]);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let provider = rustls::crypto::ring::default_provider();
        let algorithms = provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let provider: CryptoProvider = rustls::crypto::ring::default_provider();
        let algorithms = provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        if !self.0.is_empty() {
            return self.0.to_vec();
        }
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Trusts everyone, offers these protocols.
pub fn trusting(alpn: &'static [&'static str]) -> Arc<ClientConfig> {
    Client { alpn, ..Client::default() }.config()
}

fn leaf(certificate: &Certificate) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(certificate.chain.as_bytes()).unwrap().to_vec()
}

#[test]
fn the_certificate_follows_from_the_name() {
    let terminators = Terminators::default();
    let given = [
        certificate("default", &["default.example.com"]),
        certificate("exact", &["a.example.com", "Upper.Example.com"]),
        certificate("wild", &["*.example.com"]),
        certificate("deep", &["*.b.example.com"]),
    ];
    given.iter().for_each(|certificate| terminators.certificate(certificate).unwrap());
    let terminator = terminators.listener(&listener("l", TLS13, &["default", "exact", "wild", "deep"]), true);
    let check = |name: Option<&'static str>, expected: usize| {
        let (facts, seen) = Client { name, ..Client::default() }.shake(&terminator);
        let facts = facts.unwrap();
        assert_eq!(facts.server_name.as_deref(), name.map(str::to_ascii_lowercase).as_deref());
        assert_eq!(facts.certificate.as_ref(), Some(&given[expected].arn));
        assert_eq!(seen.unwrap().leaf, leaf(&given[expected]), "{name:?}");
    };
    check(Some("a.example.com"), 1);
    check(Some("UPPER.example.com"), 1);
    check(Some("other.example.com"), 2);
    check(Some("x.b.example.com"), 3);
    check(Some("x.y.b.example.com"), 0);
    check(Some("example.com"), 0);
    check(Some("example.org"), 0);
    check(None, 0);
}

#[test]
fn of_two_for_a_name_the_better_that_the_client_can_check_is_shown() {
    let terminators = Terminators::default();
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let given = [
        rsa("rsa", "a.example.com"),
        certificate("p256", &["a.example.com"]),
        signed("p384", &["a.example.com"], p384),
    ];
    given.iter().for_each(|certificate| terminators.certificate(certificate).unwrap());
    let check = |list: &[&str], schemes: &'static [SignatureScheme], expected: usize| {
        let terminator = terminators.listener(&listener("l", TLS13, list), true);
        let (facts, seen) = Client { schemes, ..Client::default() }.shake(&terminator);
        facts.unwrap();
        assert_eq!(seen.unwrap().leaf, leaf(&given[expected]), "{list:?}");
    };
    check(&["rsa", "rsa", "p256"], &[], 1);
    check(&["rsa", "rsa", "p256", "p384"], &[], 2);
    check(&["p256", "rsa", "p256", "p384"], &[SignatureScheme::RSA_PSS_SHA256], 0);
    check(&["rsa", "p256"], &[SignatureScheme::RSA_PSS_SHA256], 0);
}

#[test]
fn a_policy_says_versions_and_ciphers() {
    let terminators = Terminators::default();
    terminators.certificate(&certificate("c", &["a.example.com"])).unwrap();
    terminators.certificate(&rsa("r", "a.example.com")).unwrap();
    let check = |policy: &str, certificate: &str, versions, expected: Option<(&str, &str)>| {
        let terminator = terminators.listener(&listener("l", policy, &[certificate]), true);
        let (facts, _) = Client { versions, ..Client::default() }.shake(&terminator);
        let facts = facts.map(|facts| (facts.version, facts.cipher));
        match expected {
            Some(expected) => assert_eq!(facts.unwrap(), expected, "{policy}"),
            None => assert_eq!(facts.unwrap_err().code, "UnmappedConnectionError", "{policy}"),
        }
    };
    check(TLS13, "c", rustls::ALL_VERSIONS, Some(("TLSv1.3", "TLS_AES_128_GCM_SHA256")));
    check(TLS13, "c", &ONLY_12, Some(("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256")));
    check(TLS13, "r", &ONLY_12, Some(("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256")));
    check(
        "ELBSecurityPolicy-2016-08",
        "c",
        rustls::ALL_VERSIONS,
        Some(("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256")),
    );
    check("ELBSecurityPolicy-2016-08", "c", &ONLY_13, None);
    check("ELBSecurityPolicy-TLS13-1-3-2021-06", "c", &ONLY_13, Some(("TLSv1.3", "TLS_AES_128_GCM_SHA256")));
    check("ELBSecurityPolicy-TLS13-1-3-2021-06", "c", &ONLY_12, None);
}

#[test]
fn every_policy_can_be_spoken() {
    let terminators = Terminators::default();
    terminators.certificate(&certificate("c", &["a.example.com"])).unwrap();
    for policy in &core_routing::SSL_POLICIES {
        let terminator = terminators.listener(&listener("l", policy.name, &["c"]), true);
        let (facts, _) = Client::default().shake(&terminator);
        facts.unwrap();
    }
}

#[test]
fn http2_is_agreed_on_where_the_balancer_speaks_it() {
    let terminators = Terminators::default();
    terminators.certificate(&certificate("c", &["a.example.com"])).unwrap();
    let check = |http2: bool, alpn: &'static [&'static str], expected: Option<&str>| {
        let terminator = terminators.listener(&listener("l", TLS13, &["c"]), http2);
        let (facts, seen) = Client { alpn, ..Client::default() }.shake(&terminator);
        assert_eq!(facts.unwrap().is_http2, expected == Some("h2"));
        assert_eq!(seen.unwrap().alpn.as_deref(), expected.map(str::as_bytes));
    };
    check(true, &["http/1.1", "h2"], Some("h2"));
    check(true, &["http/1.1"], Some("http/1.1"));
    check(true, &[], None);
    check(false, &["h2", "http/1.1"], Some("http/1.1"));
}

#[test]
fn sessions_are_resumed_across_changes_and_never_at_another_listener() {
    let terminators = Terminators::default();
    terminators.certificate(&certificate("c", &["a.example.com"])).unwrap();
    let terminator = terminators.listener(&listener("l", TLS13, &["c"]), true);
    let other = terminators.listener(&listener("other", TLS13, &["c"]), true);
    for versions in [&ONLY_12, &ONLY_13] {
        let config = Client { versions, ..Client::default() }.config();
        let client = Client { config: Some(config), ..Client::default() };
        let resumed = |terminator: &Terminator| {
            let facts = client.shake(terminator).0.unwrap();
            // What is resumed shows no certificate.
            assert_eq!(facts.certificate.as_deref(), Some("c").filter(|_| !facts.is_resumed));
            facts.is_resumed
        };
        assert!(!resumed(&terminator));
        assert!(resumed(&terminator));
        terminators.certificate(&certificate("c", &["a.example.com"])).unwrap();
        assert!(resumed(&terminator));
        assert!(!resumed(&other));
    }
}

#[test]
fn a_changed_certificate_is_for_the_next_connection() {
    let terminators = Terminators::default();
    let (first, second) = (certificate("c", &["a.example.com"]), certificate("c", &["a.example.com"]));
    let terminator = terminators.listener(&listener("l", TLS13, &["c"]), true);
    // The listener may be there before its certificate is.
    let (facts, _) = Client::default().shake(&terminator);
    assert!(facts.is_err());
    for given in [&first, &second] {
        terminators.certificate(given).unwrap();
        let (_, seen) = Client::default().shake(&terminator);
        assert_eq!(seen.unwrap().leaf, leaf(given));
    }
    let unusable = Certificate { key: Secret::new("not a key"), ..first.clone() };
    assert!(terminators.certificate(&unusable).is_err());
    let mismatched = Certificate { key: second.key.clone(), ..first };
    assert!(terminators.certificate(&mismatched).is_err());
    let (_, seen) = Client::default().shake(&terminator);
    assert_eq!(seen.unwrap().leaf, leaf(&second));
}

#[test]
fn who_says_nothing_is_let_go() {
    let terminators = Terminators::default();
    terminators.certificate(&certificate("c", &["a.example.com"])).unwrap();
    let terminator = terminators.listener(&listener("l", TLS13, &["c"]), true);
    runtime().block_on(async {
        let (_near, far) = tokio::io::duplex(64);
        let refused = terminator.accept(far, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(refused.cause.kind(), std::io::ErrorKind::TimedOut);
        let (mut near, far) = tokio::io::duplex(64);
        near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let refused = terminator.accept(far, WITHIN).await.unwrap_err();
        assert_eq!((refused.code, refused.version), ("UnmappedConnectionError", "-"));
    });
}

#[test]
fn targets_are_not_verified() {
    let terminators = Terminators::default();
    terminators.certificate(&certificate("c", &["somebody-else.example"])).unwrap();
    let check = |has_tls13, target_http2, http2, expected: Option<&str>| {
        let terminator = terminators.listener(&listener("l", TLS13, &["c"]), target_http2);
        let facts = runtime().block_on(async {
            let (near, far) = tokio::io::duplex(1 << 16);
            let targets = Reencryption::new(has_tls13);
            let connect = targets.connect(near, [10, 0, 0, 1].into(), http2);
            let (facts, connected) = tokio::join!(terminator.accept(far, WITHIN), connect);
            connected.map(|_| facts.unwrap().1)
        });
        assert_eq!(facts.as_ref().ok().map(|facts| facts.version), expected);
        if let Ok(facts) = facts {
            assert_eq!((facts.is_http2, facts.server_name), (http2, None));
        }
    };
    check(true, true, true, Some("TLSv1.3"));
    check(false, true, false, Some("TLSv1.2"));
    check(true, false, true, None);
}
