//! HTTPS on the one port, with certificates of the default account's authority.
//!
//! A certificate is issued when a name is first asked for, and kept in memory: the names are those
//! that may stand in `Host`, and a client that names none gets the addresses of this machine.
//!
//! Invariant: what is kept is bounded, and no certificate is served past its half-life.
//!
//! Deliberately ignores balancers' certificates, which are their listeners' own.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use authority::{Issuer, Leaf, Seal};
use base::{AccountId, Timestamp};
use rustls::ServerConfig;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use store::Store;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OnceCell;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Names with a certificate at a time; a further one takes all their places, and whoever comes
/// again has one issued again.
const MOST: usize = 256;

/// Speaks TLS with whoever comes in and says hello. Cheap to make: the authority is made, or
/// opened, when the first client comes.
pub struct TlsDoor {
    store: Store,
    seal: Arc<Seal>,
    listen: IpAddr,
    acceptor: OnceCell<TlsAcceptor>,
}

impl TlsDoor {
    /// `listen` is the port's address, which the certificates name as well.
    pub fn new(store: Store, seal: Arc<Seal>, listen: IpAddr) -> Self {
        TlsDoor { store, seal, listen, acceptor: OnceCell::new() }
    }

    /// Shakes hands over `stream`, whose first byte is the client's hello's.
    ///
    /// # Errors
    /// The client and we do not agree, or the authority cannot be had.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        self.acceptor.get_or_try_init(|| self.open()).await?.accept(stream).await
    }

    async fn open(&self) -> io::Result<TlsAcceptor> {
        let account = AccountId::default_account();
        let now = base::clock::wall();
        let root = authority::root(&self.store, &self.seal, &account, now).await.map_err(io::Error::other)?;
        let issuer = root.issuer(&self.seal).ok_or_else(|| io::Error::other(authority::RootError::Sealed))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let names = Names { issuer, listen: self.listen, issued: Mutex::default() };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(names));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// The certificates that were issued, by name; the nameless client's under the empty one.
struct Names {
    issuer: Issuer,
    listen: IpAddr,
    issued: Mutex<HashMap<String, Issued>>,
}

#[derive(Clone)]
struct Issued {
    key: Arc<CertifiedKey>,
    renew_at: Timestamp,
}

impl Names {
    fn get(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let now = base::clock::wall();
        // A poisoned lock holds what is as good as ever: nothing here panics half-way.
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = issued.get(name).filter(|known| now < known.renew_at) {
            return Some(known.key.clone());
        }
        let fresh = self.issue(name, now)?;
        if issued.len() >= MOST {
            issued.clear();
        }
        issued.insert(name.to_owned(), fresh.clone());
        Some(fresh.key)
    }

    fn issue(&self, name: &str, now: Timestamp) -> Option<Issued> {
        let listen = self.listen.to_string();
        let mut names: Vec<&str> = if name.is_empty() { Vec::new() } else { vec![name] };
        for local in ["localhost", "127.0.0.1", "::1", "169.254.170.2", &listen] {
            if !names.contains(&local) && !is_unspecified(local) {
                names.push(local);
            }
        }
        let leaf: Leaf = self.issuer.issue(&names, now)?;
        let half = leaf.not_after.since(now) / 2;
        let chain = authority::certificates(leaf.chain.as_bytes()).ok()?;
        let key = authority::private_key(leaf.key.expose().as_bytes()).ok()?;
        let key = any_supported_type(&key).ok()?;
        Some(Issued { key: Arc::new(CertifiedKey::new(chain, key)), renew_at: now + half })
    }
}

fn is_unspecified(address: &str) -> bool {
    address.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}

/// Whether a certificate is issued for a server name: those that `Host` may have.
fn is_ours(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost") || name.ends_with(".amazonaws.com")
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
        // A foreign name gets the machine's own certificate: the client says what is wrong with it.
        self.get(if is_ours(&name) { &name } else { "" })
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}
