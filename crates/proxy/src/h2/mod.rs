//! HTTP/2 on both sides: clients' streams run through the same exchange as HTTP/1's requests, and
//! targets that speak HTTP/2 or gRPC share connections.
//!
//! Framing, header compression and flow control are the `h2` crate's. Owned here: what a stream's
//! head must look like to become a request ([`request`]), bodies with backpressure in both
//! directions, resets handed on both ways, how many streams, requests and resets a connection may
//! see, and the pool of connections to targets.
//!
//! Invariants:
//! - What is handed to an exchange can be written as one HTTP/1.1 request and as nothing else.
//! - What a peer may make us hold is bounded by the windows and limits of [`limits`].
//! - A stream that ends early, at whichever end, ends the exchange and the other end's stream.
//!
//! Deliberately ignores HTTP/2 in the clear from clients, server push, priorities and RFC 8441, as
//! the balancer of AWS does.

mod back;
mod fields;
mod front;
mod limits;
mod pool;
mod request;
mod serve;

pub(crate) use back::{Back, Sent};
pub(crate) use pool::{Pool, Wanted};
pub(crate) use serve::serve;
