//! AWS Certificate Manager: certificates that users import.
//!
//! A certificate is one record with what it says, read once when it is imported, and its private
//! key under [`authority::Seal`].
//!
//! Invariant: the certificate of a record is its key's, and its chain leads up in order.
//! Invariant: no operation answers a key; only [`certificate`] opens one, for the data planes.
//!
//! Deliberately ignores who uses a certificate ([`Config::uses`] says), and every kind of
//! certificate that ACM would issue by itself.

mod api;
mod behaviour;
mod convert;
mod faults;
mod state;

use std::sync::Arc;

use authority::Seal;
use base::Secret;
use service::Service;
use store::{Change, Snapshot};

pub use faults::refuse;

/// What the service works with.
#[derive(Clone)]
pub struct Config {
    /// Seals the private keys.
    pub seal: Arc<Seal>,
    /// The ARNs of what uses the certificate with this ARN: load balancers. Its owners tell.
    pub uses: fn(&Snapshot, &str) -> Vec<String>,
}

/// The service with its operations.
pub fn service(config: &Config) -> Service {
    Service {
        api: &aws_acm::API,
        operations: api::operations(config),
        kinds: state::kinds,
        refuse: faults::refuse,
        observe: None,
    }
}

/// The certificate with this ARN for a data plane, its key in clear. `None`: there is none, or its
/// key was sealed under another secret.
pub fn certificate(records: &Snapshot, seal: &Seal, arn: &str) -> Option<core_routing::Certificate> {
    let record = state::by_arn(records, arn)?;
    let key: Secret = seal.open(&state::label(arn), &record.key)?;
    let chain = format!("{}{}", record.certificate, record.chain.as_deref().unwrap_or_default());
    Some(core_routing::Certificate { arn: arn.into(), chain, key })
}

/// The ARNs of certificates that `change` made, replaced or deleted.
pub fn touched(change: &Change) -> Vec<String> {
    let record = change.after::<state::Certificate>().or_else(|| change.before::<state::Certificate>());
    record.map(|record| record.arn().to_string()).into_iter().collect()
}
