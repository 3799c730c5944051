//! The end of TLS at a listener.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use core_routing::{Certificate, Listener};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{Accepted, Acceptor, ProducesTickets};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{StartHandshake, TlsAcceptor};

use super::certificate::{CertificateError, Loaded};
use super::choice::{Choice, picking};
use super::facts::{Facts, Refused, UNMAPPED};
use super::policy::{Spoken, spoken};

/// All certificates and terminators of a plane. Changed by one thread at a time; workers hold
/// [`Terminator`]s and never come here.
#[derive(Debug, Default)]
pub struct Terminators {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    certificates: HashMap<Arc<str>, Arc<Loaded>>,
    /// By the listener's ARN.
    terminators: HashMap<Arc<str>, Kept>,
}

#[derive(Debug)]
struct Kept {
    terminator: Arc<Terminator>,
    wanted: Wanted,
}

/// What of a listener a configuration follows from.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    certificates: Vec<Arc<str>>,
    policy: Option<Arc<str>>,
    http2: bool,
}

impl Terminators {
    /// Takes a certificate in, new or in place of the one with its ARN; listeners that use it show
    /// it from their next handshake on.
    ///
    /// # Errors
    /// It cannot be used; the one before it stays.
    pub fn certificate(&self, certificate: &Certificate) -> Result<(), CertificateError> {
        let loaded = Arc::new(Loaded::read(certificate)?);
        let mut state = self.state();
        state.certificates.insert(certificate.arn.clone(), loaded);
        let State { certificates, terminators } = &mut *state;
        for kept in terminators.values() {
            if kept.wanted.certificates.contains(&certificate.arn) {
                kept.terminator.configure(&kept.wanted, certificates);
            }
        }
        Ok(())
    }

    /// Forgets a certificate. Listeners that still use it show it until they are changed.
    pub fn forget_certificate(&self, arn: &str) {
        self.state().certificates.remove(arn);
    }

    /// The terminator of an HTTPS listener, made or brought up to date; the same one for as long
    /// as the listener lives. `http2`: `routing.http2.enabled`.
    pub fn listener(&self, listener: &Listener, http2: bool) -> Arc<Terminator> {
        let wanted = Wanted {
            certificates: listener.certificates.clone(),
            policy: listener.ssl_policy.clone(),
            http2,
        };
        let mut state = self.state();
        let State { certificates, terminators } = &mut *state;
        if let Some(kept) = terminators.get_mut(&listener.arn) {
            if kept.wanted != wanted {
                kept.terminator.configure(&wanted, certificates);
                kept.wanted = wanted;
            }
            return kept.terminator.clone();
        }
        let terminator = Arc::new(Terminator::new());
        terminator.configure(&wanted, certificates);
        terminators.insert(listener.arn.clone(), Kept { terminator: terminator.clone(), wanted });
        terminator
    }

    /// The listener is gone.
    pub fn forget_listener(&self, arn: &str) {
        self.state().terminators.remove(arn);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One listener's end of TLS, shared by all workers.
#[derive(Debug)]
pub struct Terminator {
    /// `None`: its default certificate has not come yet. Read once per handshake.
    config: RwLock<Option<Arc<ServerConfig>>>,
    tickets: Option<Arc<dyn ProducesTickets>>,
}

impl Terminator {
    fn new() -> Self {
        // Without a source of chance sessions are not resumed, all else works.
        let tickets = rustls::crypto::ring::Ticketer::new().ok();
        Terminator { config: RwLock::new(None), tickets }
    }

    fn configure(&self, wanted: &Wanted, certificates: &HashMap<Arc<str>, Arc<Loaded>>) {
        let mut found = wanted.certificates.iter().map(|arn| certificates.get(arn));
        let default = found.next().flatten().cloned();
        let listed: Vec<_> = found.flatten().cloned().collect();
        // A list without its default is better shown than nothing.
        let default = default.or_else(|| listed.first().cloned());
        let config = default.map(|default| {
            let spoken = spoken(wanted.policy.as_deref());
            Arc::new(self.config(&spoken, wanted.http2, Choice::new(default, listed)))
        });
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    fn config(&self, spoken: &Spoken, http2: bool, choice: Choice) -> ServerConfig {
        let provider = CryptoProvider {
            cipher_suites: spoken.suites.clone(),
            ..rustls::crypto::ring::default_provider()
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&spoken.versions)
            .expect("every policy has a suite for each of its versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(choice));
        // AWS: the first of the server's suites that the client has as well.
        config.ignore_client_order = true;
        if let Some(tickets) = &self.tickets {
            config.ticketer = tickets.clone();
        }
        config.alpn_protocols = match http2 {
            true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            false => vec![b"http/1.1".to_vec()],
        };
        config
    }

    /// Shakes hands. `within` is for the whole of it.
    ///
    /// # Errors
    /// What the connection log says of it; `stream` is closed.
    pub async fn accept<S>(&self, stream: S, within: Duration) -> Result<(TlsStream<S>, Facts), Refused>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.accept_begun(stream, b"", within).await
    }

    /// As [`Terminator::accept`], where `read` was read of the client's hello already: nothing, or all
    /// of it.
    ///
    /// # Errors
    /// As there.
    pub async fn accept_begun<S>(
        &self,
        stream: S,
        read: &[u8],
        within: Duration,
    ) -> Result<(TlsStream<S>, Facts), Refused>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let began_at = Instant::now();
        let refused = |cause| Refused {
            code: UNMAPPED,
            version: "-",
            cipher: "-",
            took_for: began_at.elapsed(),
            cause,
        };
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(config) = config else {
            return Err(refused(std::io::Error::other("no certificate has come yet")));
        };
        let shaking = async {
            match hello(read)? {
                None => TlsAcceptor::from(config).accept(stream).await,
                Some(hello) => StartHandshake::from_parts(hello, stream).into_stream(config).await,
            }
        };
        let (shaken, picked) = picking(tokio::time::timeout(within, shaking)).await;
        match shaken {
            Ok(Ok(stream)) => {
                let facts = Facts::of(stream.get_ref().1, picked, began_at.elapsed());
                Ok((stream, facts))
            }
            Ok(Err(cause)) => Err(refused(cause)),
            Err(_) => Err(refused(std::io::ErrorKind::TimedOut.into())),
        }
    }
}

/// A hello that was read already; `None`: nothing was.
fn hello(mut read: &[u8]) -> std::io::Result<Option<Accepted>> {
    if read.is_empty() {
        return Ok(None);
    }
    let mut acceptor = Acceptor::default();
    while !read.is_empty() {
        acceptor.read_tls(&mut read)?;
    }
    match acceptor.accept() {
        Ok(Some(accepted)) => Ok(Some(accepted)),
        Ok(None) => Err(std::io::ErrorKind::UnexpectedEof.into()),
        Err((error, _)) => Err(std::io::Error::new(std::io::ErrorKind::InvalidData, error)),
    }
}
