//! The data plane as a whole: what the server holds.

use std::net::TcpStream;
use std::sync::Arc;

use bytes::Bytes;
use core_routing::{Balancer, Certificate, HealthReport};
use tokio::sync::mpsc;

use crate::sockets::Sockets;

/// How a plane is made.
pub struct Config {
    /// Threads that serve; at least one.
    pub workers: usize,
    /// Opens every socket.
    pub sockets: Arc<dyn Sockets>,
    /// Where changes of targets' health go.
    pub reports: mpsc::Sender<HealthReport>,
}

/// Balancers, served. Dropping it ends its threads without waiting for requests under way.
pub struct Plane {}

/// Why a balancer is not served as its table says.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("a newer table of this balancer is served")]
    Older,
    #[error("only application balancers are served")]
    Kind,
    /// The other listeners are served all the same; applying again tries again.
    #[error("port {port} cannot be listened on at {address}")]
    Listen {
        address: std::net::Ipv4Addr,
        port: u16,
        #[source]
        source: std::io::Error,
    },
    #[error("the plane is closed")]
    Closed,
}

impl Plane {
    /// # Errors
    /// A thread or a runtime cannot be made.
    pub fn start(_config: Config) -> std::io::Result<Plane> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    /// Serves a balancer by this table from now on, in place of its older one. Answers when every
    /// worker has it and its listeners are open.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn apply(&self, _balancer: Arc<Balancer>) -> Result<(), ApplyError> {
        Err(ApplyError::Closed)
    }

    /// Closes a balancer's listeners. Connections that were accepted get the answers of requests
    /// under way.
    pub async fn remove(&self, _arn: &str) {}

    /// Takes in a certificate, new or in place of the one with its ARN.
    ///
    /// # Errors
    /// It cannot be used; the one before it stays.
    pub fn certificate(&self, _certificate: &Certificate) -> Result<(), crate::tls::CertificateError> {
        Ok(())
    }

    /// Serves a connection that came in elsewhere, `read` being what was read of it already, as if
    /// it had come to that balancer's listener; in the clear. Where there is no such listener the
    /// connection is closed.
    pub fn adopt(&self, _stream: TcpStream, _read: Bytes, _balancer: &str, _port: u16) {}

    /// Stops listening, lets requests under way end, at most for `within`, and ends the threads.
    pub async fn close(self, _within: std::time::Duration) {}
}
