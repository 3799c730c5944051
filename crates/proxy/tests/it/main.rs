//! The data plane over sockets of loopback.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod changes;
mod corpus;
mod front;
mod grpc;
mod h2_conformance;
mod h2_hostile;
mod h2_requests;
mod h2_stage;
mod h2_wire;
mod held;
mod hostile;
mod known;
mod requests;
mod smuggling;
mod soak;
mod tls;
mod tls_requests;
mod told;
