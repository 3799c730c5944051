//! Pulling from registries over HTTP and HTTPS, as the OCI distribution specification has it.
//!
//! Owns requests, redirects, tokens, resumption and verification.
//! Invariant: HTTP without TLS goes to this machine and to mirrors that say so, never elsewhere;
//! credentials go to the registry's host and to the token server that it names, not along a redirect.
//! Invariant: every answer is bounded in time and size, every retry in number.
//!
//! Ignores pushing, proxies and client certificates.

mod auth;
mod client;
mod http;
mod mirror;

pub use client::{Client, Credentials};
pub use mirror::{MirrorError, Mirrors, Target};
