//! Amazon Elastic Container Registry: repositories, images, tags, layers.
//!
//! The registry's own protocol (`/v2/`) is the crate `registry`; both come through [`Content`], so
//! what one pushes the other sees.
//!
//! Invariant: an image is recorded only when its manifest, and every layer or manifest that it
//! names, is on disk and recorded for the repository.
//!
//! Deliberately ignores who runs images, scanning, lifecycle policies, replication and encryption
//! with customer keys: refused by name.

mod api;
mod behaviour;
mod content;

mod convert;
mod faults;
mod state;
mod sweep;
mod token;

use std::sync::Arc;

use base::Timestamp;
use blobs::Blobs;
use service::Service;

pub use content::{Content, Manifest};
pub use faults::refuse;
pub use state::Registry;
pub use sweep::{live_blobs, sweep};
pub use token::Tokens;

/// What the service needs beside its records.
#[derive(Clone)]
pub struct Config {
    pub blobs: Blobs,
    pub tokens: Tokens,
    /// `localhost:4566`: the host of every repository's URI.
    pub host: Arc<str>,
    /// Wall time, by which passwords expire; the platform's own clock may jump.
    pub wall: fn() -> Timestamp,
}

/// The service with its operations.
pub fn service(config: &Config) -> Service {
    Service {
        api: &aws_ecr::API,
        operations: api::operations(config),
        kinds: state::kinds,
        refuse: faults::refuse,
        observe: None,
    }
}
