//! The accounts' local certificate authorities, and the seal under which private keys rest.
//!
//! Each account has one authority, made on first need: a P-256 key and a certificate of its own
//! that is good for ten years. It signs what the platform needs certificates for; whoever is to
//! believe those trusts the authority's certificate (`boxship ca export`).
//!
//! Invariant: no private key lies in a record in clear; [`Seal`] is the only way in and out.
//! Invariant: an account's authority, once made, stays the same for as long as its records do.
//!
//! Deliberately ignores who may have a certificate for which name, and where certificates are used.

mod issue;
mod pem;
mod read;
mod root;
mod seal;
mod text;

pub use issue::{Issuer, Leaf};
pub use pem::{PemError, certificates, private_key, to_pem};
pub use read::{KeyKind, Reading, UnreadableCertificate};
pub use root::{Root, RootError, kinds, root};
pub use seal::Seal;
pub use text::printed;
