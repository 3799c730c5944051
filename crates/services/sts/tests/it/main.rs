//! Requests in, answers out, over the memory store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod identity;
mod sessions;
mod world;
