//! What else than AWS APIs answers on the one port.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, Response};
use service::Origin;

use crate::body::Body;

/// The other end of a connection, as far as it matters to an endpoint.
#[derive(Debug, Clone)]
pub struct Peer {
    pub address: SocketAddr,
    pub origin: Origin,
}

/// Answers every request below a path prefix: the registry, the operator's endpoints, the page.
pub trait Endpoint: Send + Sync {
    fn handle<'a>(
        &'a self,
        request: Request<Incoming>,
        peer: &'a Peer,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send + 'a>>;
}

/// Path prefixes with their endpoints; the longest that fits wins.
#[derive(Default, Clone)]
pub struct Routes {
    prefixes: Vec<(&'static str, Arc<dyn Endpoint>)>,
}

impl Routes {
    /// `prefix` ends with a slash, or is the whole path.
    #[must_use]
    pub fn with(mut self, prefix: &'static str, endpoint: Arc<dyn Endpoint>) -> Self {
        self.prefixes.push((prefix, endpoint));
        self.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        self
    }

    pub(crate) fn find(&self, path: &str) -> Option<&Arc<dyn Endpoint>> {
        let fits = |prefix: &str| {
            path == prefix
                || (prefix.len() > 1
                    && (prefix.ends_with('/') && path.starts_with(prefix)
                        || path == prefix.trim_end_matches('/')))
        };
        self.prefixes.iter().find(|(prefix, _)| fits(prefix)).map(|(_, endpoint)| endpoint)
    }
}
