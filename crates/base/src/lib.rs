//! The vocabulary that every other crate shares: instants, accounts, names, faults, chance.
//!
//! Owns no behaviour of any AWS service and no I/O. Editing this crate rebuilds the world: be sure.
//!
//! Invariant: nothing here reads a clock or a random source, except [`clock`], which only the
//! edge (gateway, runtime, layers 4 and 5) may use.

mod arn;
mod chance;
pub mod clock;
mod fault;
mod secret;
mod time;

pub use arn::{AccountId, Arn, ArnError, Region};
pub use chance::Chance;
pub use fault::{Blame, Fault};
pub use secret::Secret;
pub use time::Timestamp;

use std::collections::BTreeMap;

/// Tags of a resource, by key. Ordered, so that answers are stable.
pub type Tags = BTreeMap<String, String>;
