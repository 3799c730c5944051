//! One suite for every runtime, and what only real containers can show. Tests that need root say
//! so and pass where there is none.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod exec;
mod fixture;
mod hostile;
mod linux;
mod restart;
mod settings;
mod simulated;
mod spool;
mod stats;
mod storage;
mod suite;
mod translate;
mod volumes;
