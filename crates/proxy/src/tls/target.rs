//! TLS to targets: encrypted again, not verified.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::policy::spoken;

/// How requests go to HTTPS targets; one per worker, since sessions are kept in it.
#[derive(Debug, Clone)]
pub struct Reencryption {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Reencryption {
    /// AWS: the policy towards targets has TLS 1.3 where one of the balancer's HTTPS listeners has.
    pub fn new(has_tls13: bool) -> Self {
        let policy = match has_tls13 {
            true => "ELBSecurityPolicy-TLS13-1-0-2021-06",
            false => "ELBSecurityPolicy-2016-08",
        };
        Reencryption { http1: config(policy, b"http/1.1"), http2: config(policy, b"h2") }
    }

    /// Shakes hands with a target over a connection to it. The time for it is the caller's bound.
    ///
    /// # Errors
    /// The target speaks no TLS, none of ours, or another protocol than `http2` says (h2 that was
    /// not agreed on; HTTP/1.1 needs no agreement).
    pub async fn connect<S>(&self, stream: S, target: Ipv4Addr, http2: bool) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = if http2 { &self.http2 } else { &self.http1 };
        let name = ServerName::IpAddress(std::net::IpAddr::V4(target).into());
        let stream = TlsConnector::from(config.clone()).connect(name, stream).await?;
        if http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(std::io::Error::other("the target did not agree on h2"));
        }
        Ok(stream)
    }
}

fn config(policy: &str, alpn: &[u8]) -> Arc<ClientConfig> {
    let spoken = spoken(Some(policy));
    let provider =
        CryptoProvider { cipher_suites: spoken.suites, ..rustls::crypto::ring::default_provider() };
    let verifier = Anyone { algorithms: provider.signature_verification_algorithms };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&spoken.versions)
        .expect("the policies towards targets have suites for their versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::in_memory_sessions(256);
    // Connections are shared by requests for any host, so there is no one name to say.
    config.enable_sni = false;
    Arc::new(config)
}

/// AWS: a balancer does not validate targets' certificates: self-signed and expired ones serve.
/// A signature by a key that nobody vouched for proves nothing, so it is not checked either, and
/// certificates too old for a strict parser serve as well.
#[derive(Debug)]
struct Anyone {
    algorithms: WebPkiSupportedAlgorithms,
}

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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
