//! Balancers by a certificate that they have.

use std::collections::BTreeSet;

use store::Snapshot;

use crate::state::Listener;

/// The ARNs of the balancers with a listener that has a certificate, each once.
pub fn users_of_certificate(records: &Snapshot, certificate: &str) -> Vec<String> {
    let (index, prefix) = Listener::of_certificate(certificate);
    let listeners = records.by::<Listener>(index, &prefix);
    let balancers: BTreeSet<_> = listeners.map(|one| one.at.balancer.arn().to_string()).collect();
    balancers.into_iter().collect()
}
