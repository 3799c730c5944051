//! Balancers by the host that a request names, and by a certificate that they have.

use std::collections::BTreeSet;
use std::sync::Arc;

use core_routing::Protocol;
use store::Snapshot;

use crate::state::id::shared;
use crate::state::{Balancer, Listener};

/// Where a request for a host goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The balancer's ARN.
    pub balancer: Arc<str>,
    /// Of one of its listeners; `None`: it has none that fits.
    pub port: Option<u16>,
}

/// The balancer that `host` names, in any account and region. `host` may end in `:port`, which is
/// the one port's and says nothing. `<dns name>` is the listener on port 80, or else the first of
/// HTTP; `p<port>.<dns name>` names another.
pub fn named(records: &Snapshot, host: &str) -> Option<Named> {
    let host = host.to_ascii_lowercase();
    let host = host.split_once(':').map_or(host.as_str(), |(name, _)| name);
    let host = host.strip_suffix('.').unwrap_or(host);
    if !host.ends_with(".elb.localhost") {
        return None;
    }
    if let Some(balancer) = by_name(records, host) {
        let listeners: Vec<_> = records.scan::<Listener>(&balancer.at.key()).collect();
        let plain = listeners.iter().filter(|listener| listener.protocol == Protocol::Http);
        let port = plain.map(|listener| listener.port).min_by_key(|port| (*port != 80, *port));
        return Some(Named { balancer: shared(&balancer.at.arn()), port });
    }
    let (first, rest) = host.split_once('.')?;
    let port: u16 = first.strip_prefix('p')?.parse().ok()?;
    let balancer = by_name(records, rest)?;
    let mut listeners = records.scan::<Listener>(&balancer.at.key());
    let has_it = listeners.any(|listener| listener.port == port);
    Some(Named { balancer: shared(&balancer.at.arn()), port: has_it.then_some(port) })
}

/// The ARNs of the balancers with a listener that has a certificate, each once.
pub fn users_of_certificate(records: &Snapshot, certificate: &str) -> Vec<String> {
    let (index, prefix) = Listener::of_certificate(certificate);
    let listeners = records.by::<Listener>(index, &prefix);
    let balancers: BTreeSet<_> = listeners.map(|one| one.at.balancer.arn().to_string()).collect();
    balancers.into_iter().collect()
}

fn by_name(records: &Snapshot, name: &str) -> Option<Arc<Balancer>> {
    let (index, prefix) = Balancer::of_name(name);
    records.by::<Balancer>(index, &prefix).next()
}
