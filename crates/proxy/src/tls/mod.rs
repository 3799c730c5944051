//! TLS at both ends: what clients speak with a listener, and what listeners speak with targets.
//!
//! Owns: certificates by ARN, the choice among a listener's by server name, SSL policies as far as
//! rustls has them, ALPN, tickets, and what a handshake was like ([`Facts`]).
//!
//! Invariants:
//! - A connection keeps the configuration that it began with; a changed certificate or policy is
//!   for the next one.
//! - Tickets are a listener's own: a session of one listener is never resumed at another.
//! - What a listener's policy does not name is not spoken, whatever the client asks for.
//!
//! Deliberately ignores where certificates come from, and client certificates.

mod certificate;
mod choice;
mod facts;
mod policy;
mod target;
mod terminator;

pub use certificate::CertificateError;
pub use facts::{Facts, Refused};
pub use target::Reencryption;
pub use terminator::{Terminator, Terminators};
