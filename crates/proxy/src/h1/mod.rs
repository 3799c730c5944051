//! HTTP/1.1 at both ends.
//!
//! Owns how heads and bodies look in bytes, and the order of requests on a connection. Invariants:
//! what is written was framed here, never copied from a peer; a request is read once its head is
//! whole; after anything ambiguous the connection is closed.
//!
//! Deliberately ignores what is answered.

mod answer;
mod chunked;
mod client;
mod connection;
mod request;
mod server;
mod wire;

pub(crate) use answer::{usual_reason, write_number};
pub(crate) use client::Client;
pub(crate) use connection::serve;
pub(crate) use wire::{Framing, Wire, write_field};

/// Whether a head ends in `input`, whose first `scanned` bytes were looked at before.
fn has_head_end(input: &[u8], scanned: usize) -> bool {
    request::end_of_head(&input[scanned.saturating_sub(3).min(input.len())..]).is_some()
}
