//! AWS Security Token Service: who asks, and credentials for a while.
//!
//! A session is one record: whose it is and until when. Its secret and its token are derived from
//! the record with the data directory's own secret, so that no record holds any.
//!
//! Invariant: a role's session exists only if the role's trust policy let its caller assume it.
//! Invariant: what a trust policy says and we do not evaluate refuses by name; it never allows.
//!
//! Deliberately ignores what a session may do: nothing is evaluated yet, as IAM's README says.
//! Session policies, session tags, MFA, federation and SAML are refused by name.

mod api;
mod behaviour;
mod faults;
mod seal;
mod state;
mod sweep;

use std::sync::Arc;

use base::{Secret, Timestamp};
use service::{Keys, Service};

pub use faults::refuse;
pub use sweep::sweep;

use seal::Seal;
use state::Issuer;

/// What the service needs beside its records.
#[derive(Clone)]
pub struct Config {
    /// Derives secrets and tokens: the data directory's own. With another, no session is good.
    pub secret: Secret,
    /// Wall time, by which sessions expire; the platform's own clock may jump.
    pub wall: fn() -> Timestamp,
}

/// The service with its operations.
pub fn service(config: &Config) -> Service {
    Service {
        api: &aws_sts::API,
        operations: api::operations(config),
        kinds: state::kinds,
        refuse: faults::refuse,
        observe: None,
    }
}

/// Tells the platform whose its keys are.
pub fn keys(config: &Config) -> Arc<dyn Keys> {
    Arc::new(Issuer { seal: Seal::new(config.secret.clone()), wall: config.wall })
}
