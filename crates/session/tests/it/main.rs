//! Sessions from outside: the protocol over bad networks, and whole sessions over sockets.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;
mod network;
mod protocol;
mod sockets;
