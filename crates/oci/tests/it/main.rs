//! Images through the public surface. What needs root is left out without it, and says so.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archives;
mod client;
mod content;
mod hostile;
mod properties;
mod support;
mod umoci;
